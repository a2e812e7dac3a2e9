/* SPDX-License-Identifier: BSD-2-Clause */
/* One function per call: arguments in, result out (enum luv_error when negative). */
#ifndef HYPERCALL_CALL_H
#define HYPERCALL_CALL_H

#include "vm/vcpu.h"

s64 call_query(struct vcpu *vcpu, const u64 argument[3]);
s64 call_log_read(struct vcpu *vcpu, const u64 argument[3]);
s64 call_cpu_statistics(struct vcpu *vcpu, const u64 argument[3]);
s64 call_debug_crash(struct vcpu *vcpu, const u64 argument[3]);

/* What call_query and call_debug_crash cannot know by themselves; set once at boot. */
struct call_facts {
	u32 (*apic_mode)(void);
	u64 hidden_base;
	bool may_crash; /* debug=crash */
};
void call_set_facts(const struct call_facts *facts);

#endif
