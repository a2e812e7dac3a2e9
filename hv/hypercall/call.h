/* SPDX-License-Identifier: BSD-2-Clause */
/* One function per call: arguments in, result out (enum luv_error when negative). */
#ifndef HYPERCALL_CALL_H
#define HYPERCALL_CALL_H

#include "vm/vcpu.h"

s64 call_query(struct vcpu *vcpu, const u64 argument[3]);
s64 call_log_read(struct vcpu *vcpu, const u64 argument[3]);
s64 call_cpu_statistics(struct vcpu *vcpu, const u64 argument[3]);
s64 call_debug_crash(struct vcpu *vcpu, const u64 argument[3]);
s64 call_apic_mode(struct vcpu *vcpu, const u64 argument[3]);
s64 call_vm_create(struct vcpu *vcpu, const u64 argument[3]);
s64 call_vm_destroy(struct vcpu *vcpu, const u64 argument[3]);
s64 call_slot_set(struct vcpu *vcpu, const u64 argument[3]);
s64 call_dirty_read(struct vcpu *vcpu, const u64 argument[3]);
s64 call_vcpu_create(struct vcpu *vcpu, const u64 argument[3]);
s64 call_vcpu_run(struct vcpu *caller, const u64 argument[3]);
s64 call_vcpu_sync(struct vcpu *caller, const u64 argument[3]);
s64 call_vcpu_cpuid(struct vcpu *caller, const u64 argument[3]);
s64 call_vcpu_statistics(struct vcpu *caller, const u64 argument[3]);
s64 call_interrupt(struct vcpu *caller, const u64 argument[3]);
s64 call_lapic_read(struct vcpu *caller, const u64 argument[3]);
s64 call_lapic_write(struct vcpu *caller, const u64 argument[3]);
s64 call_lapic_access(struct vcpu *caller, const u64 argument[3]);

/*
 * Not a result: the call is to be executed again after dom0 has taken what is pending. The
 * instruction pointer stays on the call, as with REP MOVS.
 */
#define CALL_RESTART ((s64)INT32_MIN)

/* The policy of guests' vCPUs. */
const struct exit_policy *call_guest_policy(void);

/* What the calls of inspect.c cannot know by themselves; set once at boot. */
struct call_facts {
	u32 (*apic_mode)(void);
	s64 (*set_apic_mode)(struct vcpu *vcpu, bool trap);
	u64 hidden_base;
	bool may_crash; /* debug=crash */
};
void call_set_facts(const struct call_facts *facts);

#endif
