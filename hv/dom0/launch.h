/* SPDX-License-Identifier: BSD-2-Clause */
/* dom0's CPUs: each physical CPU has one vCPU that never leaves it. */
#ifndef DOM0_LAUNCH_H
#define DOM0_LAUNCH_H

#include "cpu/percpu.h"
#include "vm/vcpu.h"

/* Gives this CPU its vCPU, root mode switched on. False: out of pages. */
bool launch_cpu_on(struct cpu *cpu, const struct virt_ops *ops);

/* Runs the boot CPU's vCPU, which chain_prepare or linux_prepare has set up. */
noreturn void launch_boot_cpu(struct cpu *cpu);

/*
 * Where a CPU comes from the trampoline (smp_entry_t). The boot CPU: the firmware has woken it from S3. Another: after our
 * own start it waits; after dom0's STARTUP it enters guest mode at the vector that dom0 sent.
 */
void launch_ap(struct cpu *cpu);

/* A STARTUP reached a CPU that waited for it in guest mode. */
void launch_startup_exit(struct vcpu *vcpu);

/* The vendor's operations for launch_ap; before smp_start_all. */
void launch_set_ops(const struct virt_ops *ops);

#endif
