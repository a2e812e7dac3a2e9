/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/state.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "kvm/cpuid.h"
#include "kvm/msr.h"
#include "kvm/system.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define CR0_PE		(1ull << 0)
#define CR0_NW		(1ull << 29)
#define CR0_CD		(1ull << 30)
#define CR0_PG		(1ull << 31)
#define CR4_PAE		(1ull << 5)
#define EFER_LME	(1ull << 8)
#define EFER_LMA	(1ull << 10)

#define APIC_LVT0	0x350u
#define APIC_LVT_EXTINT 0x700u

void state_need(struct vcpu *vcpu, uint64_t groups)
{
	struct luv_vcpu_page *page = vcpu->page;
	uint64_t held = page->valid, missing = groups & ~(held | LUV_GROUP_FPU);

	if (!missing)
		return;
	page->wanted = missing;
	/* INVAL: the state as a whole is not one to run with, and is read all the same. */
	(void)luv_vcpu_sync(vcpu->vm->handle, vcpu->index);
	page->valid = held | missing;
}

void state_changed(struct vcpu *vcpu, uint64_t groups)
{
	__atomic_fetch_or(&vcpu->page->dirty, groups, __ATOMIC_RELEASE);
}

void state_inject(struct vcpu *vcpu, uint64_t event, uint64_t error)
{
	vcpu->page->inject = (struct luv_inject){event, error};
	vcpu->page->valid &= ~LUV_GROUP_EVENTS;
}

/* KVM's first vCPU begins with LINT0 open to the PIC, as a BIOS that knows no APIC needs it. */
static void open_lint0(struct vcpu *vcpu)
{
	struct kvm_lapic_state state;
	const uint32_t lvt0 = APIC_LVT_EXTINT;

	if (state_get_lapic(vcpu, &state) < 0)
		return;
	memcpy(state.regs + APIC_LVT0, &lvt0, sizeof(lvt0));
	(void)state_set_lapic(vcpu, &state);
}

/* KVM's vCPUs begin with the APIC enabled, and the FPU page is always as the guest has it. */
void state_reset(struct vcpu *vcpu)
{
	vcpu->page->valid = LUV_GROUP_FPU;
	msr_reset(vcpu);
	if (vcpu->index == 0 && vcpu->vm->mode != IRQCHIP_NONE)
		open_lint0(vcpu);
}

/* --- general registers ------------------------------------------------------------------- */

int state_get_regs(struct vcpu *vcpu, struct kvm_regs *regs)
{
	const struct luv_vcpu_page *page = vcpu->page;
	const uint64_t *r = page->general;

	state_need(vcpu, LUV_GROUP_GENERAL);
	*regs = (struct kvm_regs){
	    .rax = r[LUV_RAX],
	    .rbx = r[LUV_RBX],
	    .rcx = r[LUV_RCX],
	    .rdx = r[LUV_RDX],
	    .rsi = r[LUV_RSI],
	    .rdi = r[LUV_RDI],
	    .rsp = r[LUV_RSP],
	    .rbp = r[LUV_RBP],
	    .r8 = r[LUV_R8],
	    .r9 = r[LUV_R9],
	    .r10 = r[LUV_R10],
	    .r11 = r[LUV_R11],
	    .r12 = r[LUV_R12],
	    .r13 = r[LUV_R13],
	    .r14 = r[LUV_R14],
	    .r15 = r[LUV_R15],
	    .rip = page->rip,
	    .rflags = page->rflags,
	};
	return 0;
}

int state_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs)
{
	struct luv_vcpu_page *page = vcpu->page;
	const uint64_t r[LUV_GENERAL_COUNT] = {
	    [LUV_RAX] = regs->rax, [LUV_RBX] = regs->rbx, [LUV_RCX] = regs->rcx,
	    [LUV_RDX] = regs->rdx, [LUV_RSI] = regs->rsi, [LUV_RDI] = regs->rdi,
	    [LUV_RSP] = regs->rsp, [LUV_RBP] = regs->rbp, [LUV_R8] = regs->r8,
	    [LUV_R9] = regs->r9,   [LUV_R10] = regs->r10, [LUV_R11] = regs->r11,
	    [LUV_R12] = regs->r12, [LUV_R13] = regs->r13, [LUV_R14] = regs->r14,
	    [LUV_R15] = regs->r15,
	};

	memcpy(page->general, r, sizeof(r));
	page->rip = regs->rip;
	page->rflags = regs->rflags | 2;
	page->valid |= LUV_GROUP_GENERAL;
	state_changed(vcpu, LUV_GROUP_GENERAL);
	return 0;
}

/* --- segments, control registers --------------------------------------------------------- */

static void get_segment(struct kvm_segment *to, const struct luv_segment *from)
{
	uint64_t a = from->attributes;

	*to = (struct kvm_segment){
	    .base = from->base,
	    .limit = (uint32_t)from->limit,
	    .selector = (uint16_t)from->selector,
	    .type = a & 15,
	    .s = a >> 4 & 1,
	    .dpl = a >> 5 & 3,
	    .present = a >> 7 & 1,
	    .avl = a >> 8 & 1,
	    .l = a >> 9 & 1,
	    .db = a >> 10 & 1,
	    .g = a >> 11 & 1,
	    .unusable = !(a >> 7 & 1),
	};
}

static void set_segment(struct luv_segment *to, const struct kvm_segment *from)
{
	bool present = from->present && !from->unusable;

	*to = (struct luv_segment){
	    .base = from->base,
	    .limit = from->limit,
	    .selector = from->selector,
	    .attributes = (uint64_t)(from->type & 15) | (uint64_t)(from->s & 1) << 4 |
			  (uint64_t)(from->dpl & 3) << 5 | (uint64_t)present << 7 |
			  (uint64_t)(from->avl & 1) << 8 | (uint64_t)(from->l & 1) << 9 |
			  (uint64_t)(from->db & 1) << 10 | (uint64_t)(from->g & 1) << 11,
	};
}

/* Of the two structures the part up to apic_base is the same. */
_Static_assert(offsetof(struct kvm_sregs, apic_base) == offsetof(struct kvm_sregs2, apic_base),
	       "struct kvm_sregs2");

static void get_common(struct vcpu *vcpu, struct kvm_sregs2 *s)
{
	const struct luv_vcpu_page *page = vcpu->page;
	const struct luv_segment *segment = page->segment;

	state_need(vcpu, LUV_GROUP_CONTROL | LUV_GROUP_SEGMENTS | LUV_GROUP_MSRS);
	get_segment(&s->cs, &segment[LUV_CS]);
	get_segment(&s->ds, &segment[LUV_DS]);
	get_segment(&s->es, &segment[LUV_ES]);
	get_segment(&s->fs, &segment[LUV_FS]);
	get_segment(&s->gs, &segment[LUV_GS]);
	get_segment(&s->ss, &segment[LUV_SS]);
	get_segment(&s->tr, &segment[LUV_TR]);
	/* AMD's CPUs do not show that the task is busy, which it is; Intel's refuse it
	 * otherwise. */
	s->tr.type |= s->tr.present ? 2 : 0;
	get_segment(&s->ldt, &segment[LUV_LDTR]);
	s->gdt =
	    (struct kvm_dtable){.base = page->gdt_base, .limit = (uint16_t)page->gdt_limit};
	s->idt =
	    (struct kvm_dtable){.base = page->idt_base, .limit = (uint16_t)page->idt_limit};
	s->cr0 = page->cr0;
	s->cr2 = page->cr2;
	s->cr3 = page->cr3;
	s->cr4 = page->cr4;
	s->cr8 = page->cr8;
	s->efer = page->efer;
	s->apic_base = page->msr[LUV_MSR_APIC_BASE];
}

/* What KVM checks of it (kvm_is_valid_sregs). */
static bool common_valid(const struct kvm_sregs2 *s)
{
	bool paging = s->cr0 & CR0_PG;

	if (s->cr0 >> 32 || (paging && !(s->cr0 & CR0_PE)) ||
	    (s->cr0 & CR0_NW && !(s->cr0 & CR0_CD)))
		return false;
	if (s->efer & EFER_LME && paging) {
		if (!(s->cr4 & CR4_PAE) || !(s->efer & EFER_LMA) ||
		    s->cr3 >> cpuid_physical_bits())
			return false;
	} else if (s->efer & EFER_LMA || s->cs.l) {
		return false;
	}
	return !(s->cr4 & ~cpuid_cr4_bits());
}

static int set_common(struct vcpu *vcpu, const struct kvm_sregs2 *s)
{
	struct luv_vcpu_page *page = vcpu->page;
	struct luv_segment *segment = page->segment;

	if (!common_valid(s))
		return -EINVAL;
	state_need(vcpu, LUV_GROUP_CONTROL | LUV_GROUP_MSRS);
	if (msr_set_apic_base(vcpu, s->apic_base) < 0)
		return -EINVAL;
	set_segment(&segment[LUV_CS], &s->cs);
	set_segment(&segment[LUV_DS], &s->ds);
	set_segment(&segment[LUV_ES], &s->es);
	set_segment(&segment[LUV_FS], &s->fs);
	set_segment(&segment[LUV_GS], &s->gs);
	set_segment(&segment[LUV_SS], &s->ss);
	set_segment(&segment[LUV_TR], &s->tr);
	set_segment(&segment[LUV_LDTR], &s->ldt);
	page->gdt_base = s->gdt.base;
	page->gdt_limit = s->gdt.limit;
	page->idt_base = s->idt.base;
	page->idt_limit = s->idt.limit;
	page->cr0 = s->cr0;
	page->cr2 = s->cr2;
	page->cr3 = s->cr3;
	page->cr4 = s->cr4;
	page->cr8 = s->cr8 & 15;
	page->efer = s->efer;
	page->valid |= LUV_GROUP_SEGMENTS;
	state_changed(vcpu, LUV_GROUP_CONTROL | LUV_GROUP_SEGMENTS);
	return 0;
}

int state_get_sregs2(struct vcpu *vcpu, struct kvm_sregs2 *sregs)
{
	*sregs = (struct kvm_sregs2){0};
	get_common(vcpu, sregs);
	return 0;
}

/* PDPTRs: the hypervisor's guests load them from memory, as the CPU does with CR3. */
int state_set_sregs2(struct vcpu *vcpu, const struct kvm_sregs2 *sregs)
{
	if (sregs->flags & ~(uint64_t)KVM_SREGS2_FLAGS_PDPTRS_VALID)
		return -EINVAL;
	return set_common(vcpu, sregs);
}

static bool queued_interrupt(const struct vcpu *vcpu, uint8_t *vector)
{
	uint64_t pending = vcpu->page->events.pending;

	*vector = (uint8_t)pending;
	return pending & LUV_INJECT_VALID && (pending & (7 << 8)) == LUV_INJECT_INTERRUPT;
}

int state_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs)
{
	struct kvm_sregs2 common = {0};
	uint8_t vector;

	*sregs = (struct kvm_sregs){0};
	get_common(vcpu, &common);
	memcpy(sregs, &common, offsetof(struct kvm_sregs, interrupt_bitmap));
	state_need(vcpu, LUV_GROUP_EVENTS);
	if (queued_interrupt(vcpu, &vector))
		sregs->interrupt_bitmap[vector / 64] |= 1ull << vector % 64;
	return 0;
}

int state_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs)
{
	struct kvm_sregs2 common = {0};
	int result;

	memcpy(&common, sregs, offsetof(struct kvm_sregs, interrupt_bitmap));
	result = set_common(vcpu, &common);
	for (unsigned i = 0; result == 0 && i < 256; i++)
		if (sregs->interrupt_bitmap[i / 64] >> i % 64 & 1) {
			state_inject(vcpu, LUV_INJECT_VALID | LUV_INJECT_INTERRUPT | i, 0);
			break;
		}
	return result;
}

/* --- debug registers --------------------------------------------------------------------- */

int state_get_debugregs(struct vcpu *vcpu, struct kvm_debugregs *regs)
{
	const uint64_t *dr = vcpu->page->dr;

	*regs = (struct kvm_debugregs){0};
	state_need(vcpu, LUV_GROUP_DEBUG);
	/* A debugger outside has the CPU's: the guest's own are kept apart. */
	if (vcpu->debug.control & KVM_GUESTDBG_USE_HW_BP)
		dr = vcpu->guest_dr;
	memcpy(regs->db, dr, sizeof(regs->db));
	regs->dr6 = dr[6];
	regs->dr7 = dr[7];
	return 0;
}

int state_set_debugregs(struct vcpu *vcpu, const struct kvm_debugregs *regs)
{
	uint64_t *dr = vcpu->page->dr;

	if (regs->flags || regs->dr6 >> 32 || regs->dr7 >> 32)
		return -EINVAL;
	state_need(vcpu, LUV_GROUP_DEBUG);
	if (vcpu->debug.control & KVM_GUESTDBG_USE_HW_BP)
		dr = vcpu->guest_dr;
	memcpy(dr, regs->db, sizeof(regs->db));
	dr[6] = regs->dr6;
	dr[7] = regs->dr7;
	state_changed(vcpu, LUV_GROUP_DEBUG);
	return 0;
}

/* --- the local APIC ---------------------------------------------------------------------- */

_Static_assert(sizeof(((struct kvm_lapic_state *)0)->regs) == LUV_LAPIC_SIZE,
	       "struct kvm_lapic_state");

int state_get_lapic(struct vcpu *vcpu, struct kvm_lapic_state *state)
{
	if (vcpu->vm->mode == IRQCHIP_NONE)
		return -EINVAL;
	/* What was written to APIC_BASE and CR8 counts first. */
	if (vcpu->page->dirty)
		(void)luv_vcpu_sync(vcpu->vm->handle, vcpu->index);
	return system_errno(
	    luv_lapic_read(vcpu->vm->handle, vcpu->index, (uint8_t *)state->regs));
}

int state_set_lapic(struct vcpu *vcpu, const struct kvm_lapic_state *state)
{
	uint64_t held = vcpu->page->valid;
	int result;

	if (vcpu->vm->mode == IRQCHIP_NONE)
		return -EINVAL;
	vcpu->page->wanted = 0;
	(void)luv_vcpu_sync(vcpu->vm->handle, vcpu->index);
	/* CR8 follows the TPR. */
	vcpu->page->valid = held & ~LUV_GROUP_CONTROL;
	result = luv_lapic_write(vcpu->vm->handle, vcpu->index, (const uint8_t *)state->regs);
	vcpu_nudge(vcpu);
	return system_errno(result);
}
