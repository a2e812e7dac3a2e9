/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/valid.h"

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "vm/guest.h"
#include "vm/state.h"

u64 event_decode(u64 word, u64 error)
{
	u8 vector = (u8)word;

	if (!(word & LUV_INJECT_VALID))
		return 0;
	switch (EVENT_TYPE_OF(word)) {
	case EVENT_NMI:
		return EVENT_VALID | EVENT_NMI | VECTOR_NMI;
	case EVENT_INTERRUPT:
		return EVENT_VALID | EVENT_INTERRUPT | vector;
	case EVENT_EXCEPTION:
		if (vector >= 32 || vector == VECTOR_NMI)
			return 0;
		word &= EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_VALID | 0xff;
		return word & EVENT_ERROR_VALID ? word | error << 32 : word;
	default:
		return 0;
	}
}
_Static_assert(LUV_INJECT_VALID == EVENT_VALID && LUV_INJECT_ERROR == EVENT_ERROR_VALID &&
		       LUV_INJECT_NMI == EVENT_NMI && LUV_INJECT_EXCEPTION == EVENT_EXCEPTION,
	       "the client's words");

static bool canonical(u64 address, bool five_levels)
{
	unsigned shift = five_levels ? 7 : 16;

	return (u64)((s64)(address << shift) >> shift) == address;
}

/* APM 2 15.5.1, "Canonicalization and Consistency Checks", the control registers. */
static bool control_valid(const struct vcpu_control *c, const struct state_limits *limits)
{
	bool paging = c->cr0 & CR0_PG;

	if (c->cr0 >> 32 || (c->cr0 & CR0_NW && !(c->cr0 & CR0_CD)))
		return false;
	if (paging && !(c->cr0 & CR0_PE))
		return false;
	if (c->cr4 & ~limits->cr4 || c->efer & ~limits->efer)
		return false;
	if (c->efer & EFER_LME && paging && !(c->cr4 & CR4_PAE))
		return false;
	/* SDM 3A 4.10.1 and 4.5.1: PCIDs and 57-bit addresses are long mode's. */
	if (c->cr4 & (CR4_PCIDE | CR4_LA57) && paging && !(c->efer & EFER_LMA))
		return false;
	return !(c->cr3 & ~(BIT(limits->physical_bits) - 1)) && !(c->dr6 >> 32) && !(c->dr7 >> 32);
}

static bool segments_valid(const struct vcpu *vcpu)
{
	const struct vcpu_control *c = &vcpu->control;
	const struct vcpu_segments *s = &vcpu->segments;
	bool la57 = c->cr4 & CR4_LA57;
	u16 cs = s->seg[SEG_CS].attributes;

	/* In long mode a code segment is 64-bit or has a default size, not both. */
	if (c->efer & EFER_LMA && cs & SEGMENT_LONG && cs & SEGMENT_BIG)
		return false;
	return canonical(s->gdt_base, la57) && canonical(s->idt_base, la57) &&
	       canonical(s->seg[SEG_FS].base, la57) && canonical(s->seg[SEG_GS].base, la57) &&
	       canonical(s->seg[SEG_LDTR].base, la57) && canonical(s->seg[SEG_TR].base, la57);
}

/* PAT holds types 0, 1, 4, 5, 6, 7 (APM 2 7.8.2). */
static bool pat_valid(u64 pat)
{
	for (u32 i = 0; i < 8; i++) {
		u64 type = pat >> 8 * i & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static bool msrs_valid(const struct vcpu *vcpu)
{
	const struct vcpu_msrs *m = &vcpu->msrs;
	bool la57 = vcpu->control.cr4 & CR4_LA57;

	return canonical(m->syscall[LUV_MSR_LSTAR], la57) && canonical(m->syscall[LUV_MSR_CSTAR], la57) &&
	       canonical(m->kernel_gs_base, la57) && canonical(m->sysenter_esp, la57) &&
	       canonical(m->sysenter_eip, la57) && pat_valid(m->pat);
}

/* APM 2 11.5.2: x87 always; AVX needs SSE; the AVX-512 parts come together and need AVX. */
bool xcr0_is_valid(u64 xcr0, u64 available)
{
	const u64 avx512 = BIT(5) | BIT(6) | BIT(7), bounds = BIT(3) | BIT(4);

	if (!(xcr0 & 1) || xcr0 & ~available)
		return false;
	if (xcr0 & BIT(2) && !(xcr0 & BIT(1)))
		return false;
	if (xcr0 & avx512 && ((xcr0 & avx512) != avx512 || !(xcr0 & BIT(2))))
		return false;
	return !(xcr0 & bounds) || (xcr0 & bounds) == bounds;
}

bool state_is_valid(const struct vcpu *vcpu, const struct state_limits *limits)
{
	return control_valid(&vcpu->control, limits) && segments_valid(vcpu) && msrs_valid(vcpu) &&
	       xcr0_is_valid(vcpu->guest->xcr0, limits->xcr0);
}
