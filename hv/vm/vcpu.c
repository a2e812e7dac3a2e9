/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/vcpu.h"

#include "cpu/desc.h"
#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "vm/virt_ops.h"

void vcpu_load(struct vcpu *vcpu, u32 groups)
{
	if (groups & VCPU_CONTROL)
		groups |= VCPU_NEAR;
	vcpu->ops->load(vcpu, groups);
	vcpu->valid |= groups;
}

/* APM 2 8.2.9: an exception of either kind while one of these is delivered makes a double fault. */
static bool makes_double_fault(u64 first, u8 second)
{
	const u32 contributory = BIT(VECTOR_DE) | BIT(VECTOR_TS) | BIT(VECTOR_NP) |
				 BIT(VECTOR_SS) | BIT(VECTOR_GP);

	if (EVENT_TYPE_OF(first) != EVENT_EXCEPTION || second >= 32)
		return false;
	if (BIT(second) & contributory)
		return BIT(first & 31) & (contributory | BIT(VECTOR_PF));
	return second == VECTOR_PF && (u8)first == VECTOR_PF;
}

void vcpu_raise(struct vcpu *vcpu, u8 vector, bool has_error, u32 error)
{
	/* Faults set RF in the image that they push; injected ones push what RFLAGS is (APM 2 8.2, 15.20). */
	const u32 no_faults = BIT(VECTOR_DB) | BIT(VECTOR_NMI) | BIT(VECTOR_BP) | BIT(VECTOR_OF) |
			      BIT(VECTOR_DF) | BIT(VECTOR_MC);
	const u64 with_error = EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_VALID;

	if (!(no_faults >> vector & 1))
		vcpu->rflags |= RFLAGS_RF;
	if (makes_double_fault(vcpu->event, vector))
		vcpu->event = with_error | VECTOR_DF;
	else if (has_error)
		vcpu->event = with_error | (u64)error << 32 | vector;
	else
		vcpu->event = EVENT_VALID | EVENT_EXCEPTION | vector;
}

bool vcpu_write_syscall_msr(struct vcpu *vcpu, u32 msr, u64 value)
{
	if (!wrmsr_safe(msr, value))
		return false;
	vcpu->msrs.syscall[msr - MSR_STAR] = vcpu->cpu->syscall[msr - MSR_STAR] = rdmsr(msr);
	return true;
}

static struct segment real_segment(u16 attributes)
{
	return (struct segment){.limit = 0xffff, .attributes = attributes};
}

void vcpu_reset(struct vcpu *vcpu)
{
	struct vcpu_segments *s = &vcpu->segments;

	memset(vcpu->gpr, 0, sizeof(vcpu->gpr));
	vcpu->gpr[GPR_RDX] = cpuid(1, 0).eax;
	vcpu->rip = 0xfff0;
	vcpu->rflags = RFLAGS_FIXED;

	vcpu->control = (struct vcpu_control){
		.cr0 = CR0_ET | CR0_NW | CR0_CD,
		.dr6 = 0xffff0ff0,
		.dr7 = 0x400,
	};
	memset(vcpu->dr, 0, sizeof(vcpu->dr));
	if (vcpu->debug_live) {
		write_dr0(0);
		write_dr1(0);
		write_dr2(0);
		write_dr3(0);
	}
	for (u32 i = 0; i < SEG_LDTR; i++)
		s->seg[i] = real_segment(SEGMENT_DATA);
	s->seg[SEG_CS] = real_segment(SEGMENT_CODE);
	s->seg[SEG_CS].selector = 0xf000;
	s->seg[SEG_CS].base = 0xffff0000;
	s->seg[SEG_LDTR] = real_segment(SEGMENT_LDT);
	s->seg[SEG_TR] = real_segment(SEGMENT_TSS);
	s->gdt_base = s->idt_base = 0;
	s->gdt_limit = s->idt_limit = 0xffff;
	vcpu->valid |= VCPU_CONTROL | VCPU_NEAR | VCPU_SEGMENTS;
	vcpu->dirty |= VCPU_CONTROL | VCPU_SEGMENTS | VCPU_FLUSH;
	vcpu->shadow = false;
	vcpu->event = 0;
}

void vcpu_init(struct vcpu *vcpu)
{
	u64 kept;

	vcpu_need(vcpu, VCPU_CONTROL);
	kept = vcpu->control.cr0 & (CR0_CD | CR0_NW);
	vcpu_reset(vcpu);
	vcpu->control.cr0 = CR0_ET | kept;
}

void vcpu_start_at(struct vcpu *vcpu, u8 vector)
{
	vcpu->segments.seg[SEG_CS].selector = (u16)(vector << 8);
	vcpu->segments.seg[SEG_CS].base = (u64)vector << 12;
	vcpu->rip = 0;
	vcpu->dirty |= VCPU_SEGMENTS;
}

void vcpu_start_flat(struct vcpu *vcpu, u64 entry)
{
	struct vcpu_segments *s = &vcpu->segments;

	for (u32 i = 0; i < SEG_LDTR; i++) {
		u32 attributes = (i == SEG_CS ? SEGMENT_CODE : SEGMENT_DATA) | SEGMENT_FLAT32;

		s->seg[i] = (struct segment){
			.selector = i == SEG_CS ? 0x10 : 0x18,
			.attributes = (u16)attributes,
			.limit = 0xffffffff,
		};
	}
	vcpu->control.cr0 = CR0_PE | CR0_ET;
	vcpu->rip = entry;
}
