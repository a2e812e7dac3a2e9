/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/state.h"

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "vm/guest.h"
#include "vm/valid.h"
#include "vm/virt_ops.h"

#define RFLAGS_WRITABLE 0x3f7fd5ull /* APM 2 3.1.6: the bits that are not reserved */
#define ATTRIBUTES_MASK 0xfffu
#define SS_DPL(attributes) ((attributes) >> 5 & 3)

/* One read of a field that the client may be writing to. */
static u64 read_once(const u64 *field)
{
	return __atomic_load_n(field, __ATOMIC_RELAXED);
}

/* The registers that lie in the same order there and here. */
#define GENERAL_WORDS (GPR_COUNT + 2)
#define MSR_WORDS     (LUV_MSR_PAT + 1)
ASSERT_OFFSET(struct vcpu, rflags, (GENERAL_WORDS - 1) * sizeof(u64));
ASSERT_OFFSET(struct luv_vcpu_page, rflags, 256 + (GENERAL_WORDS - 1) * sizeof(u64));
_Static_assert(sizeof(struct vcpu_msrs) == MSR_WORDS * sizeof(u64) && !LUV_MSR_STAR, "the switched MSRs");

static void take_general(struct vcpu *vcpu, const struct luv_vcpu_page *page)
{
	copy_words(vcpu->gpr, page->general, GENERAL_WORDS);
	vcpu->rflags = (vcpu->rflags & RFLAGS_WRITABLE) | RFLAGS_FIXED;
}

static void take_rip(struct vcpu *vcpu, const struct luv_vcpu_page *page)
{
	vcpu->rip = read_once(&page->rip);
	vcpu->rflags = (read_once(&page->rflags) & RFLAGS_WRITABLE) | RFLAGS_FIXED;
}

static void take_control(struct vcpu *vcpu, const struct luv_vcpu_page *page)
{
	struct vcpu_control *c = &vcpu->control;
	u8 tpr = (u8)(read_once(&page->cr8) << 4);

	vcpu_need(vcpu, VCPU_CONTROL);
	c->cr0 = read_once(&page->cr0) | CR0_ET;
	c->cr2 = read_once(&page->cr2);
	c->cr3 = read_once(&page->cr3);
	c->cr4 = read_once(&page->cr4);
	/* The same CR8 leaves TPR's lower half alone. */
	if ((tpr ^ c->tpr) & 0xf0)
		c->tpr = tpr;
	c->efer = read_once(&page->efer) & ~EFER_LMA;
	if (c->efer & EFER_LME && c->cr0 & CR0_PG)
		c->efer |= EFER_LMA;
	lapic_set_tpr(&vcpu->guest->lapic, c->tpr);
	vcpu->guest->xcr0 = read_once(&page->xcr0);
	/* PCIDs and global pages of the old CR3 and CR4 may be cached. */
	vcpu->dirty |= VCPU_CONTROL | VCPU_FLUSH;
}

static void take_segments(struct vcpu *vcpu, const struct luv_vcpu_page *page)
{
	struct vcpu_segments *s = &vcpu->segments;

	vcpu_need(vcpu, VCPU_SEGMENTS | VCPU_CONTROL);
	for (u32 i = 0; i < SEG_COUNT; i++) {
		const struct luv_segment *from = &page->segment[i];

		s->seg[i] = (struct segment){
			.selector = (u16)read_once(&from->selector),
			.attributes = (u16)(read_once(&from->attributes) & ATTRIBUTES_MASK),
			.limit = (u32)read_once(&from->limit),
			.base = read_once(&from->base),
		};
	}
	s->gdt_base = read_once(&page->gdt_base);
	s->gdt_limit = (u32)(read_once(&page->gdt_limit) & 0xffff);
	s->idt_base = read_once(&page->idt_base);
	s->idt_limit = (u32)(read_once(&page->idt_limit) & 0xffff);
	/* SS.DPL is the CPL in every mode (APM 2 15.5.1). */
	vcpu->control.cpl = SS_DPL(s->seg[SEG_SS].attributes);
	vcpu->dirty |= VCPU_SEGMENTS | VCPU_CONTROL;
}

static void take_debug(struct vcpu *vcpu, const struct luv_vcpu_page *page)
{
	vcpu_need(vcpu, VCPU_CONTROL);
	for (u32 i = 0; i < 4; i++)
		vcpu->dr[i] = read_once(&page->dr[i]);
	vcpu->control.dr6 = (read_once(&page->dr[6]) & 0x1e00f) | 0xfffe0ff0;
	vcpu->control.dr7 = (read_once(&page->dr[7]) & 0xffff2bff) | 0x400;
	vcpu->debug_armed = vcpu->control.dr7 & DR7_ENABLED;
	vcpu->dirty |= VCPU_CONTROL;
}

void state_set_tsc_offset(struct guest *guest, u64 offset)
{
	u64 host = rdtsc();

	if (offset == guest->tsc_offset)
		return;
	lapic_tsc_stepped(&guest->lapic, host + guest->tsc_offset, host + offset);
	guest->tsc_offset = offset;
	guest->told_deadline = 0; /* it comes at another time now */
}

static void take_msrs(struct vcpu *vcpu, const struct luv_vcpu_page *page)
{
	const u64 *msr = page->msr;

	copy_words(vcpu->msrs.syscall, msr, MSR_WORDS);
	vcpu->msrs.syscall[LUV_MSR_SFMASK] = (u32)vcpu->msrs.syscall[LUV_MSR_SFMASK];
	vcpu->msrs.sysenter_cs = (u32)vcpu->msrs.sysenter_cs;
	vcpu->guest->tsc_aux = (u32)read_once(&msr[LUV_MSR_TSC_AUX]);
	state_set_tsc_offset(vcpu->guest, read_once(&msr[LUV_MSR_TSC_OFFSET]));
	vcpu->guest->apic_base = read_once(&msr[LUV_MSR_APIC_BASE]);
	lapic_set_base(&vcpu->guest->lapic, vcpu->guest->apic_base);
	vcpu->valid |= VCPU_MSRS;
	vcpu->dirty |= VCPU_MSRS;
}

static void take_events(struct vcpu *vcpu, const struct luv_vcpu_page *page)
{
	struct guest *guest = vcpu->guest;
	const struct luv_events *from = &page->events;

	vcpu->shadow = read_once(&from->shadow) & 1;
	guest->nmi_blocked = read_once(&from->nmi_blocked) & 1;
	guest->nmi_pending = read_once(&from->nmi_pending) & 1;
	guest->nmi_return = 0;
	guest->mp_state = (u8)min_u64(read_once(&from->mp_state), LUV_MP_HALTED);
	guest->queued = event_decode(read_once(&from->pending), read_once(&from->pending_error));
	vcpu->event = 0;
	vcpu->dirty |= VCPU_INTERCEPTS;
}

/* A group of its own: a deadline that has passed meanwhile is not to be set again with the others. */
static void take_deadline(struct vcpu *vcpu, const struct luv_vcpu_page *page)
{
	struct guest *guest = vcpu->guest;

	lapic_set_deadline(&guest->lapic, read_once(&page->tsc_deadline),
			   rdtsc() + guest->tsc_offset);
}

void state_take(struct vcpu *vcpu, u64 groups)
{
	const struct luv_vcpu_page *page = vcpu->guest->page;

	if (groups & LUV_GROUP_GENERAL)
		take_general(vcpu, page);
	if (groups & LUV_GROUP_RIP) {
		take_rip(vcpu, page);
		vcpu->shadow = false;
	}
	if (groups & LUV_GROUP_CONTROL)
		take_control(vcpu, page);
	if (groups & LUV_GROUP_SEGMENTS)
		take_segments(vcpu, page);
	if (groups & LUV_GROUP_DEBUG)
		take_debug(vcpu, page);
	if (groups & LUV_GROUP_MSRS)
		take_msrs(vcpu, page);
	if (groups & LUV_GROUP_EVENTS)
		take_events(vcpu, page);
	if (groups & LUV_GROUP_DEADLINE)
		take_deadline(vcpu, page);
	if (groups & ~(LUV_GROUP_GENERAL | LUV_GROUP_RIP | LUV_GROUP_FPU | LUV_GROUP_DEADLINE))
		vcpu->guest->unchecked = true;
}

static void give_general(const struct vcpu *vcpu, struct luv_vcpu_page *page)
{
	copy_words(page->general, vcpu->gpr, GENERAL_WORDS);
}

static void give_control(const struct vcpu *vcpu, struct luv_vcpu_page *page)
{
	const struct vcpu_control *c = &vcpu->control;

	page->cr0 = c->cr0;
	page->cr2 = c->cr2;
	page->cr3 = c->cr3;
	page->cr4 = c->cr4;
	page->cr8 = c->tpr >> 4;
	page->efer = c->efer;
	page->xcr0 = vcpu->guest->xcr0;
}

static void give_segments(const struct vcpu *vcpu, struct luv_vcpu_page *page)
{
	const struct vcpu_segments *s = &vcpu->segments;

	for (u32 i = 0; i < SEG_COUNT; i++) {
		page->segment[i] = (struct luv_segment){
			.base = s->seg[i].base,
			.limit = s->seg[i].limit,
			.selector = s->seg[i].selector,
			.attributes = s->seg[i].attributes,
		};
	}
	page->gdt_base = s->gdt_base;
	page->gdt_limit = s->gdt_limit;
	page->idt_base = s->idt_base;
	page->idt_limit = s->idt_limit;
}

static void give_debug(const struct vcpu *vcpu, struct luv_vcpu_page *page)
{
	for (u32 i = 0; i < 4; i++)
		page->dr[i] = vcpu->dr[i];
	page->dr[6] = vcpu->control.dr6;
	page->dr[7] = vcpu->control.dr7;
}

static void give_msrs(const struct vcpu *vcpu, struct luv_vcpu_page *page)
{
	copy_words(page->msr, vcpu->msrs.syscall, MSR_WORDS);
	page->msr[LUV_MSR_TSC_AUX] = vcpu->guest->tsc_aux;
	page->msr[LUV_MSR_TSC_OFFSET] = vcpu->guest->tsc_offset;
	page->msr[LUV_MSR_APIC_BASE] = vcpu->guest->lapic.base;
}

static void give_events(struct vcpu *vcpu, struct luv_vcpu_page *page)
{
	const struct guest *guest = vcpu->guest;
	u64 pending = guest->queued ? guest->queued : vcpu->event;

	page->events = (struct luv_events){
		.shadow = vcpu->shadow,
		.nmi_blocked = guest->nmi_blocked,
		.nmi_pending = guest->nmi_pending,
		.pending = (u32)pending,
		.pending_error = pending >> 32,
		.mp_state = guest->mp_state,
	};
}

void state_give(struct vcpu *vcpu, u64 groups)
{
	struct luv_vcpu_page *page = vcpu->guest->page;

	if (groups & LUV_GROUP_GENERAL)
		give_general(vcpu, page);
	if (groups & (LUV_GROUP_CONTROL | LUV_GROUP_DEBUG))
		vcpu_need(vcpu, VCPU_CONTROL);
	if (groups & LUV_GROUP_CONTROL)
		give_control(vcpu, page);
	if (groups & LUV_GROUP_SEGMENTS) {
		vcpu_need(vcpu, VCPU_SEGMENTS);
		give_segments(vcpu, page);
	}
	if (groups & LUV_GROUP_DEBUG)
		give_debug(vcpu, page);
	if (groups & LUV_GROUP_MSRS) {
		vcpu_need(vcpu, VCPU_MSRS);
		give_msrs(vcpu, page);
	}
	if (groups & LUV_GROUP_EVENTS)
		give_events(vcpu, page);
	if (groups & LUV_GROUP_DEADLINE)
		page->tsc_deadline = lapic_tsc_deadline(&vcpu->guest->lapic,
							rdtsc() + vcpu->guest->tsc_offset);
}
