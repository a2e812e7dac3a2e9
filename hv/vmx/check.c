/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmx/check.h"

#include "cpu/msr.h"
#include "cpu/x86.h"

#define TYPE(s)		((s)->attributes & 15)
#define S		BIT(4)
#define DPL(s)		((s)->attributes >> 5 & 3)
#define GRANULAR	BIT(11)
#define SELECTOR_LDT	BIT(2)
#define VM86_ATTRIBUTES 0xf3u

#define TYPE_ACCESSED 1u
#define TYPE_READABLE 2u
#define TYPE_CODE     8u

static bool usable(const struct segment *s)
{
	return s->attributes & SEGMENT_PRESENT;
}

/* A limit with a bit of 11:0 clear is in bytes, one with a bit of 31:20 set in pages. */
static bool limit_fits(const struct segment *s)
{
	bool pages = s->attributes & GRANULAR;

	return pages ? (s->limit & 0xfff) == 0xfff : !(s->limit >> 20);
}

static const char *check_vm86(const struct segment *seg)
{
	for (u32 i = SEG_ES; i <= SEG_GS; i++) {
		if (seg[i].base != (u64)seg[i].selector << 4 || seg[i].limit != 0xffff ||
		    seg[i].attributes != VM86_ATTRIBUTES)
			return "segments in virtual-8086 mode";
	}
	return NULL;
}

static const char *check_code(const struct segment *seg, bool protected_mode)
{
	const struct segment *cs = &seg[SEG_CS], *ss = &seg[SEG_SS];
	bool conforming = TYPE(cs) == 13 || TYPE(cs) == 15, data = TYPE(cs) == 3;

	if (!usable(cs) || !(cs->attributes & S) || cs->base >> 32 || !limit_fits(cs))
		return "CS";
	if (!data && TYPE(cs) != 9 && TYPE(cs) != 11 && !conforming)
		return "CS's type";
	if (conforming ? DPL(cs) > DPL(ss) : DPL(cs) != (data ? 0 : DPL(ss)))
		return "CS's DPL";
	if ((data || !protected_mode) && DPL(ss))
		return "SS's DPL";
	return NULL;
}

static const char *check_data(const struct segment *seg)
{
	const struct segment *ss = &seg[SEG_SS];

	if (usable(ss) && TYPE(ss) != 3 && TYPE(ss) != 7)
		return "SS's type";
	for (u32 i = SEG_ES; i <= SEG_GS; i++) {
		const struct segment *s = &seg[i];

		if (i == SEG_CS || !usable(s))
			continue;
		if (!(s->attributes & S) || !(TYPE(s) & TYPE_ACCESSED) || !limit_fits(s) ||
		    (TYPE(s) & TYPE_CODE && !(TYPE(s) & TYPE_READABLE)))
			return "a data segment";
		if (i < SEG_FS && s->base >> 32)
			return "a data segment's base";
	}
	return NULL;
}

static const char *check_system(const struct segment *seg, bool long_mode)
{
	const struct segment *tr = &seg[SEG_TR], *ldtr = &seg[SEG_LDTR];

	if (!usable(tr) || tr->attributes & S || tr->selector & SELECTOR_LDT || !limit_fits(tr) ||
	    (TYPE(tr) != 11 && (long_mode || TYPE(tr) != 3)))
		return "TR";
	if (usable(ldtr) && (TYPE(ldtr) != 2 || ldtr->attributes & S ||
			     ldtr->selector & SELECTOR_LDT || !limit_fits(ldtr)))
		return "LDTR";
	return NULL;
}

static const char *check_flags(const struct vcpu *vcpu, bool long_mode, bool injects)
{
	bool code64 = long_mode && vcpu->segments.seg[SEG_CS].attributes & SEGMENT_LONG;
	unsigned shift = vcpu->control.cr4 & CR4_LA57 ? 7 : 16;

	if (code64 ? (u64)((s64)(vcpu->rip << shift) >> shift) != vcpu->rip : vcpu->rip >> 32)
		return "RIP";
	if (vcpu->rflags & RFLAGS_VM && (long_mode || !(vcpu->control.cr0 & CR0_PE)))
		return "RFLAGS.VM";
	if (injects && !(vcpu->rflags & RFLAGS_IF))
		return "RFLAGS.IF with an interrupt to deliver";
	return NULL;
}

const char *vmx_check_guest(const struct vcpu *vcpu, bool injects)
{
	const struct segment *seg = vcpu->segments.seg;
	bool long_mode = vcpu->control.efer & EFER_LMA;
	const char *wrong = check_flags(vcpu, long_mode, injects);

	if (!wrong && vcpu->rflags & RFLAGS_VM)
		wrong = check_vm86(seg);
	else if (!wrong)
		wrong = check_code(seg, vcpu->control.cr0 & CR0_PE);
	if (!wrong && !(vcpu->rflags & RFLAGS_VM))
		wrong = check_data(seg);
	return wrong ? wrong : check_system(seg, long_mode);
}
