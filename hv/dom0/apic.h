/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dom0 starts and stops its CPUs with INIT and STARTUP IPIs. With VT-x both exit, and dom0's reach its CPUs as they
 * are. AMD-V cannot intercept STARTUP, so while CPUs come up dom0's writes to the interrupt command register are trapped: a STARTUP's vector is
 * recorded and replaced by our trampoline's, and from there the CPU enters guest mode at the recorded
 * vector. docs/boot.md has the whole protocol.
 */
#ifndef DOM0_APIC_H
#define DOM0_APIC_H

#include "vm/vcpu.h"

/*
 * Traps writes to the APIC page, where STARTUPs do not exit, until every CPU runs dom0. keep: for ever, or until dom0 wishes
 * otherwise. foreign: for ever, since dom0 may learn of CPUs that are not ours. Boot CPU, once.
 */
void dom0_apic_init(const struct virt_ops *ops, bool keep, bool foreign);

/* The other CPUs have lost their power, and this one's APIC its state: as in the beginning. */
void dom0_apic_wake(const struct virt_ops *ops);

/*
 * UEFI: the firmware that runs on under this CR3 has CPUs outside guest mode, and starts them before the operating system
 * does. The trap is there, and stays until the system has started them all. Boot CPU, once, before it runs dom0.
 */
void dom0_apic_expect_firmware(const struct virt_ops *ops, u64 cr3);

/* True for an address in the page while it is trapped. */
bool dom0_apic_traps(gpa_t at);

/* 0 direct, 1 trap (LUV_QUERY_APIC_MODE). */
u32 dom0_apic_mode(void);

/* LUV_CALL_APIC_MODE on this CPU. */
s64 dom0_apic_set_mode(struct vcpu *vcpu, bool trap);

/* A write exit in the page. */
void dom0_apic_write(struct vcpu *vcpu);

/* WRMSR to the x2APIC ICR; false: #GP. */
bool dom0_apic_write_icr64(struct vcpu *vcpu, u64 value);

/* This CPU is about to run dom0: perhaps the trap can go. */
void dom0_apic_cpu_started(struct cpu *cpu);

/* An INIT reached a CPU in guest mode, or was left for it in cpu->init. */
void dom0_apic_init_exit(struct vcpu *vcpu);

/* The state after INIT, for a CPU that has had none of the hardware's: the vCPU's, the APIC's, the debug registers'. */
void dom0_apic_after_init(struct vcpu *vcpu);

#endif
