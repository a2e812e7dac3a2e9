/* SPDX-License-Identifier: BSD-2-Clause */
#include "exit/instruction.h"

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "exit/access.h"
#include "exit/guest.h"
#include "exit/insn.h"
#include "vm/guest.h"
#include "vm/virt_ops.h"

static NOINLINE bool find_length(struct vcpu *vcpu, u32 opcode)
{
	u8 bytes[INSN_MAX], size = (u8)(opcode >> 24);
	unsigned count = code_fetch(vcpu, bytes, sizeof(bytes));

	/*
	 * dom0's, where we may not read: firmware's memory. TCG runs SMM in guest mode. The CPU has decoded it, and
	 * compilers put no prefix before what exits.
	 */
	if (!count && !vcpu->guest)
		vcpu->exit.length = size;
	else
		vcpu->exit.length = (u8)insn_length(bytes, count, vcpu->code64, (const u8 *)&opcode, size);
	return vcpu->exit.length;
}

bool instruction_measure(struct vcpu *vcpu, u32 opcode, u32 mask)
{
	const u8 *code = NULL;
	u32 bytes;

	/* Most often there is no prefix, and the page was fetched from before. */
	if (vcpu->code64 && vcpu->valid & VCPU_NEAR)
		code = code_known(vcpu, vcpu->rip, sizeof(bytes));
	if (!code)
		return find_length(vcpu, opcode);
	__builtin_memcpy(&bytes, code, sizeof(bytes));
	if ((bytes ^ opcode) & mask)
		return find_length(vcpu, opcode);
	vcpu->exit.length = (u8)(opcode >> 24);
	return true;
}

enum code_size instruction_code_size(struct vcpu *vcpu)
{
	if (vcpu->code64)
		return CODE_64;
	vcpu_need(vcpu, VCPU_SEGMENTS);
	return vcpu->segments.seg[SEG_CS].attributes & SEGMENT_BIG ? CODE_32 : CODE_16;
}

/*
 * A trap flag that was set when the instruction began traps behind it, unless it means branches
 * only (APM 2 13.1.4). A guest's DEBUGCTL is always 0.
 */
static NOINLINE void single_step(struct vcpu *vcpu)
{
	if (!vcpu->guest && vcpu->ops->debugctl(vcpu) & DEBUGCTL_BTF)
		return;
	if (vcpu->guest && vcpu->guest->stepping) {
		guest_step_done(vcpu);
		return;
	}
	vcpu_need(vcpu, VCPU_CONTROL);
	vcpu->control.dr6 |= DR6_BS;
	vcpu->dirty |= VCPU_CONTROL;
	vcpu_raise(vcpu, VECTOR_DB, false, 0);
}

void instruction_retire(struct vcpu *vcpu)
{
	vcpu->rip += vcpu->exit.length;
	if (!vcpu->code64)
		vcpu->rip = (u32)vcpu->rip;
	vcpu->rflags &= ~RFLAGS_RF;
	vcpu->shadow = false;
	if (vcpu->rflags & RFLAGS_TF)
		single_step(vcpu);
}
