/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_RUN. The caller holds the vCPU's lock (fds_enter). */
#ifndef KVM_RUN_H
#define KVM_RUN_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/* 0: vcpu->run says why; else a negative errno value, EINTR above all. */
int run_vcpu(struct vcpu *vcpu);

/* What an exit's handler says. */
#define RUN_AGAIN  1 /* enter the guest again; 0: to the client; negative: an errno value */
#define RUN_HALTED 2 /* with a local APIC: there is nothing to do */

/* exits.c: what to do about page->exit, after the hypervisor's RUN returned 0. */
int exit_handle(struct vcpu *vcpu);

/*
 * exits.c: after each RUN that returned 0, while the vCPU still counts as in RUN, so that vm_stop waits: it takes no
 * lock and calls nobody who does. True: an eventfd was all of it, and the guest is entered again.
 */
bool exit_is_event(struct vcpu *vcpu);

/* exits.c: finishes what the last KVM_RUN left to the client. As exit_handle. */
int exit_complete(struct vcpu *vcpu);

/* exits.c: once, before the first RUN. */
void exit_prepare(struct vcpu *vcpu);

/* debug.c: EXCEPTION records. */
int debug_exit(struct vcpu *vcpu);
/* An instruction that was emulated is done: true: KVM_EXIT_DEBUG is due, and filled in. */
bool debug_stepped(struct vcpu *vcpu, bool guest_trap);

/* Which exceptions end RUN: for the debugger, and #UD (syscall.h). When either, or the CPUID, has changed. */
void debug_choose_exceptions(struct vcpu *vcpu);

struct kvm_guest_debug;
/* KVM_SET_GUEST_DEBUG. 0 or a negative errno value. */
int debug_set(struct vcpu *vcpu, const struct kvm_guest_debug *debug);

struct kvm_translation;
/* translate.c: KVM_TRANSLATE. 0 or -ENOMEM. */
int translate(struct vcpu *vcpu, struct kvm_translation *translation);

/* What RUN is to give with MMIO: what the emulator needs; all other registers are fetched when somebody asks
 * (state_need). For emulate_plain alone, and for all of it. */
#define WANTED_PLAIN LUV_WANTED_MMIO(LUV_GROUP_GENERAL)
#define WANTED_ALL                                                                   \
	LUV_WANTED_MMIO(LUV_GROUP_GENERAL | LUV_GROUP_CONTROL | LUV_GROUP_SEGMENTS | \
			LUV_GROUP_EVENTS)

/* extint.c: interrupts of the PIC, in this library or the client. */
void extint_before_run(struct vcpu *vcpu);
/* KVM_INTERRUPT: 0 or a negative errno value. */
int extint_queue(struct vcpu *vcpu, uint32_t vector);
/* It would be delivered at once, and the client asked to be told: KVM_EXIT_IRQ_WINDOW_OPEN. */
bool extint_window_open(struct vcpu *vcpu);

#endif
