/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's exits: what the hypervisor answers by itself, and the records for everything that
 * its client answers.
 */
#ifndef EXIT_GUEST_H
#define EXIT_GUEST_H

#include "luvalley/vcpu.h"
#include "vm/exit_policy.h"
#include "vm/guest.h"
#include "vm/vm.h"

extern const struct exit_policy guest_policy;

/* Ends the inner loop with a fresh record in the client's page: its first six words are zero. */
struct luv_exit_record *guest_exit(struct vcpu *vcpu, u64 reason);
void guest_exit_exception(struct vcpu *vcpu, u8 vector, bool has_error, u32 error);

/* A single step of the client's is over: tells it, after the record that there may be already. */
void guest_step_done(struct vcpu *vcpu);

/* Lets the guest execute one instruction where the client asked for it; and undoes that. */
void guest_step_begin(struct vcpu *vcpu);
void guest_step_end(struct vcpu *vcpu);

/* Raises an exception: in the guest, or to the client that asked for such ones. */
void guest_raise(struct vcpu *vcpu, u8 vector, bool has_error, u32 error);

/* Takes an event from the client; it waits until the guest can take it. */
void guest_queue_event(struct vcpu *vcpu, u64 event);

/*
 * Before each entry: injects what can be injected, opens windows for what cannot, and ends the loop when
 * a window that the client asked for is open.
 */
void guest_deliver_events(struct vcpu *vcpu);

/* RFLAGS.IF is set and no shadow holds interrupts back. */
bool guest_interruptible(struct vcpu *vcpu);

/* Asks for an exit once that is so. */
void guest_open_window(struct vcpu *vcpu);

/* LUV_READY_ for the client. */
u64 guest_ready(struct vcpu *vcpu);

/* Completes the instruction whose exit the client has answered. */
void guest_finish(struct vcpu *vcpu);

/* --- the local APIC (LUV_VM_LAPIC): guest_apic.c --- */

/* An MSR of the local APIC's: true when it was one; *ok false for #GP. */
bool guest_apic_read(struct vcpu *vcpu, u32 msr, u64 *value, bool *ok);
bool guest_apic_write(struct vcpu *vcpu, u32 msr, u64 value, bool *ok);

/* A memory exit that is a plain store to a register in the xAPIC page: true when it was, and is done. */
bool guest_apic_store(struct vcpu *vcpu);

/*
 * Does what a register write asked for; what the client must do is left in *kind (LUV_APIC_) and
 * *value.
 */
void guest_apic_effect(struct vcpu *vcpu, const struct lapic_effect *effect, u64 *kind, u64 *value);

/* Sends a message to the VM's APICs. sender: an index, or LUV_VCPUS_MAX for a device. Returns the
 * vCPUs to kick. */
u64 guest_apic_send(struct vm *vm, const struct icr *icr, u32 sender);

/* Takes what has arrived. False: the vCPU has nothing to run (halted, or waits for SIPI); the loop has
 * ended then. */
bool guest_apic_wake(struct vcpu *vcpu);

/* Injects an interrupt that the APIC lets through, or opens the window for it. */
void guest_apic_deliver(struct vcpu *vcpu);
void guest_trap_cr8(struct vcpu *vcpu, bool trap);

/* The client has written guest->cpuid. */
void guest_cpuid_changed(struct vcpu *vcpu);

/* The client has answered LUV_RUN_PIN. */
void guest_memory_pinned(struct vcpu *vcpu);

/* exit handlers in files of their own */
void guest_memory_exit(struct vcpu *vcpu);
void guest_cr_exit(struct vcpu *vcpu);
void guest_cpuid_exit(struct vcpu *vcpu);
void guest_msr_exit(struct vcpu *vcpu);

#endif
