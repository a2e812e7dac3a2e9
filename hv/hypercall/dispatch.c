/* SPDX-License-Identifier: BSD-2-Clause */
#include "hypercall/dispatch.h"

#include "cpu/x86.h"
#include "exit/instruction.h"
#include "hypercall/call.h"
#include "hypercall/session.h"

/*
 * Whether a call needs a session in its first argument is decided here, once. The calls on a VM need
 * its handle instead, which takes a session to get.
 */
struct call {
	s64 (*run)(struct vcpu *vcpu, const u64 argument[3]);
	bool needs_session;
};

static const struct call calls[LUV_CALL_COUNT] = {
	[LUV_CALL_QUERY] = {call_query, false},
	[LUV_CALL_SESSION_OPEN] = {session_open, false},
	[LUV_CALL_SESSION_CLOSE] = {session_close, false},
	[LUV_CALL_LOG_READ] = {call_log_read, true},
	[LUV_CALL_CPU_STATISTICS] = {call_cpu_statistics, true},
	[LUV_CALL_DEBUG_CRASH] = {call_debug_crash, true},
	[LUV_CALL_VM_CREATE] = {call_vm_create, true},
	[LUV_CALL_VM_DESTROY] = {call_vm_destroy, false},
	[LUV_CALL_SLOT_SET] = {call_slot_set, false},
	[LUV_CALL_DIRTY_READ] = {call_dirty_read, false},
	[LUV_CALL_VCPU_CREATE] = {call_vcpu_create, false},
	[LUV_CALL_VCPU_RUN] = {call_vcpu_run, false},
	[LUV_CALL_VCPU_SYNC] = {call_vcpu_sync, false},
	[LUV_CALL_VCPU_CPUID] = {call_vcpu_cpuid, false},
	[LUV_CALL_VCPU_STATISTICS] = {call_vcpu_statistics, false},
	[LUV_CALL_INTERRUPT] = {call_interrupt, false},
	[LUV_CALL_LAPIC_READ] = {call_lapic_read, false},
	[LUV_CALL_LAPIC_WRITE] = {call_lapic_write, false},
	[LUV_CALL_LAPIC_ACCESS] = {call_lapic_access, false},
	[LUV_CALL_APIC_MODE] = {call_apic_mode, true},
};

static s64 dispatch(struct vcpu *vcpu, u64 number, const u64 argument[3])
{
	if (number >= LUV_CALL_COUNT)
		return LUV_ERR_NOSYS;
	number = index_nospec(number, LUV_CALL_COUNT);
	if (!calls[number].run)
		return LUV_ERR_NOSYS;
	if (calls[number].needs_session && !session_valid(vcpu, argument[0]))
		return LUV_ERR_PERM;
	return calls[number].run(vcpu, argument);
}

void hypercall_exit(struct vcpu *vcpu)
{
	u64 number = vcpu->gpr[GPR_RAX];
	u64 argument[3] = {vcpu->gpr[GPR_RDI], vcpu->gpr[GPR_RSI], vcpu->gpr[GPR_RDX]};
	s64 result;

	if (!instruction_known(vcpu, OPCODE_VMMCALL))
		return;
	/* Outside of 64-bit mode the registers' upper halves are nobody's. */
	if (!vcpu->code64) {
		number = (u32)number;
		for (u32 i = 0; i < 3; i++)
			argument[i] = (u32)argument[i];
	}
	result = dispatch(vcpu, number, argument);
	/* What an STI just before the call held back must get through, too. */
	if (result == CALL_RESTART) {
		vcpu->shadow = false;
		return;
	}
	vcpu->gpr[GPR_RAX] = vcpu->code64 ? (u64)result : (u32)result;
	instruction_retire(vcpu);
}
