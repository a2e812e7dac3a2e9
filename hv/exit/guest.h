/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's exits: what the hypervisor answers by itself, and the records for everything that
 * its client answers.
 */
#ifndef EXIT_GUEST_H
#define EXIT_GUEST_H

#include "luvalley/vcpu.h"
#include "vm/exit_policy.h"

extern const struct exit_policy guest_policy;

/* Ends the inner loop with a fresh record in the client's page, zeroed but for the reason. */
struct luv_exit_record *guest_exit(struct vcpu *vcpu, u64 reason);
void guest_exit_exception(struct vcpu *vcpu, u8 vector, bool has_error, u32 error);

/* Takes an event from the client; it waits until the guest can take it. */
void guest_queue_event(struct vcpu *vcpu, const struct vcpu_event *event);

/*
 * Before each entry: injects what can be injected, opens windows for what cannot, and ends the loop when
 * a window that the client asked for is open.
 */
void guest_deliver_events(struct vcpu *vcpu);

/* LUV_READY_ for the client. */
u64 guest_ready(struct vcpu *vcpu);

/* Completes the instruction whose exit the client has answered. */
void guest_finish(struct vcpu *vcpu);

/* exit handlers in files of their own */
void guest_memory_exit(struct vcpu *vcpu);
void guest_cpuid_exit(struct vcpu *vcpu);
void guest_msr_exit(struct vcpu *vcpu);

#endif
