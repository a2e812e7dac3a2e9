/* SPDX-License-Identifier: BSD-2-Clause */
/* What guests need beyond dom0: their intercepts, windows, TLB tags, and checks before their entry. */
#include "vm/guest.h"

#include "cpu/log.h"
#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/host.h"
#include "mem/page.h"
#include "vm/tag.h"
#include "vm/vm.h"
#include "vm/world.h"
#include "vmx/bochs.h"
#include "vmx/capability.h"
#include "vmx/check.h"
#include "vmx/instructions.h"
#include "vmx/msr_bitmap.h"
#include "vmx/vmx.h"

/*
 * #AC and #DB are intercepted although the guest gets them: a guest can make their delivery raise
 * them again for ever, and no interrupt is taken meanwhile (CVE-2015-5307, CVE-2015-8104). #MC is dom0's.
 */
#define ALWAYS_EXCEPTIONS (BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(VECTOR_MC))

#define VPID_COUNT BIT(16)

/* Ticks of the TSC; the timer's field has 32 bits. */
#define FAR   BIT(31)
#define NEVER BIT(32)

/* SDM 3A table 4-8: what is reserved in a present PDPTE, below the physical address. */
#define PDPTE_PRESENT  BIT(0)
#define PDPTE_RESERVED 0x1e6ull

/* "Invalid guest state", as the CPU says it. */
#define INVALID_STATE ((u32)(REASON_ENTRY_FAILED | REASON_INVALID_STATE))

/* The MSRs that entry and exit and vmx_switch_worlds switch: the guest has its own. */
static const u32 switched_msrs[] = {
	MSR_FS_BASE,	  MSR_GS_BASE,	    MSR_KERNEL_GS_BASE, MSR_SYSENTER_CS,
	MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_PAT,
};

/* The second is for guests whose TPR is the hardware's, in x2APIC mode. */
static u8 guest_bitmap[2][PAGE_SIZE] ALIGNED(4096);

COLD void vmx_guest_init(void)
{
	memset(guest_bitmap[0], 0xff, PAGE_SIZE);
	for (u32 i = 0; i < ARRAY_SIZE(switched_msrs); i++)
		msr_bitmap_set(guest_bitmap[0], switched_msrs[i], true, true, false);
	memcpy(guest_bitmap[1], guest_bitmap[0], PAGE_SIZE);
	msr_bitmap_set(guest_bitmap[1], MSR_LAPIC_X2APIC + LAPIC_TPR / 16, true, true, false);
}

/* NE must be set; CD and NW would be the CPU's. CR4's mask is written with CR4. */
COLD bool vmx_guest_create(struct vcpu *vcpu)
{
	struct vmx *x = vmx_create(vcpu);

	if (!x)
		return false;
	vcpu->guest->timed = vmx_has.timer_counts;
	x->cr0_mask = CR0_NE | CR0_CD | CR0_NW;
	vmcs_write(CR0_MASK, x->cr0_mask);
	x->secondary = 0; /* the bitmap is written with it */
	vmcs_write(VIRTUAL_APIC_ADDRESS, virt_to_hpa(x->virtual_apic).addr);
	vmx_give_back(vcpu);
	return true;
}

static COLD bool refuse(struct vcpu *vcpu, const char *check)
{
	vcpu->exit = (struct vcpu_exit){.reason = LUV_EXIT_ENTRY_FAILED, .code = INVALID_STATE};
	hv_log_first("CPU %u: a guest's state is invalid: %s", vcpu->cpu->index, check);
	return false;
}

/* False where the four lie in memory that the nested tables do not map yet: an exit as the CPU's walk would make. */
static COLD bool load_pdptes(struct vcpu *vcpu)
{
	const u64 reserved = PDPTE_RESERVED | ~(BIT(world_limits()->physical_bits) - 1);
	gpa_t at = gpa(vmcs_read(GUEST_CR3) & 0xffffffe0);
	struct nested_leaf leaf;
	const u64 *pdpte;

	nested_lookup(vcpu->nested, at, &leaf);
	if (!leaf.access) {
		vcpu->exit = (struct vcpu_exit){
			.reason = LUV_EXIT_MEMORY,
			.memory = {.at = at, .page_walk = true},
		};
		return false;
	}
	/* Mapped is dom0's RAM only, which was checked. */
	pdpte = hpa_to_virt(hpa(leaf.page.addr + (at.addr - leaf.base.addr)));
	for (u32 i = 0; i < 4; i++) {
		u64 value = __atomic_load_n(&pdpte[i], __ATOMIC_RELAXED);

		if (value & PDPTE_PRESENT && value & reserved)
			return refuse(vcpu, "a PDPTE");
		vmcs_write(GUEST_PDPTE0 + i * VMCS_FIELD_STEP, value);
	}
	return true;
}

static bool check_state(struct vcpu *vcpu)
{
	struct vmx *x = vcpu->vendor;
	bool injects = vcpu->event && EVENT_TYPE_OF(vcpu->event) == EVENT_INTERRUPT;
	const char *wrong;

	/* A client may have cleared IF since the interrupt's delivery was interrupted. */
	if (!x->unchecked && !(vcpu->rflags & RFLAGS_VM) && !(injects && !(vcpu->rflags & RFLAGS_IF)))
		return true;
	vcpu_need(vcpu, VCPU_CONTROL | VCPU_SEGMENTS);
	wrong = vmx_check_guest(vcpu, injects);
	if (wrong)
		return refuse(vcpu, wrong);
	x->unchecked = false;
	return true;
}

/* Virtual NMIs: the CPU knows when they are blocked, and clears that behind IRET (SDM 3C 25.6.1). */
static void write_nmi_blocking(const struct vcpu *vcpu)
{
	bool injects = EVENT_TYPE_OF(vcpu->event) == EVENT_NMI;
	struct vmx *x = vcpu->vendor;
	u64 wanted = x->interruptibility & ~BLOCKED_BY_NMI;

	/* One that is injected blocks the next by itself, and may not find them blocked. */
	if (vcpu->guest->nmi_blocked && !injects)
		wanted |= BLOCKED_BY_NMI;
	vmx_put(GUEST_INTERRUPTIBILITY, &x->interruptibility, wanted);
}

static void write_intercepts(struct vcpu *vcpu)
{
	const struct guest *guest = vcpu->guest;
	struct vmx *x = vcpu->vendor;
	u64 primary = vmx_has.guest.primary, secondary = vmx_has.guest.secondary;

	if (vcpu->debug_live)
		primary &= ~PRIMARY_MOV_DR;
	if (guest->window_open)
		primary |= PRIMARY_INTERRUPT_WINDOW;
	if (guest->trap_cr8)
		primary |= PRIMARY_CR8_LOAD;
	if (guest->nmi_blocked && (guest->nmi_pending || guest->request & LUV_REQUEST_NMI_WINDOW))
		primary |= PRIMARY_NMI_WINDOW;
	vmx_put(PRIMARY_CONTROLS, &x->primary, primary);
	vmx_put(EXCEPTION_BITMAP, &x->exceptions, ALWAYS_EXCEPTIONS | guest->debug_exceptions);
	secondary &= ~((guest->rdtscp ? 0 : SECONDARY_RDTSCP) | (guest->invpcid ? 0 : SECONDARY_INVPCID));
	/* A lower TPR must be seen where it lets an interrupt through. */
	if (guest->trap_cr8 || !(guest->lapic.base & APIC_BASE_X2APIC) || !(guest->vm->flags & LUV_VM_LAPIC))
		secondary &= ~SECONDARY_X2APIC;
	if (x->secondary != secondary)
		vmcs_write(MSR_BITMAPS, image_to_hpa(guest_bitmap[!!(secondary & SECONDARY_X2APIC)]).addr);
	vmx_put(SECONDARY_CONTROLS, &x->secondary, secondary);
}

/* Mappings by EPT are tagged with the EPT pointer alone (SDM 3C 29.4.1): a new VPID does not hide them. */
static void renew_tag(struct vcpu *vcpu)
{
	struct vmx *x = vcpu->vendor;

	if (!x->flush && tag_is_valid(vcpu))
		return;
	if (tag_renew(vcpu, VPID_COUNT, &x->vpid))
		vpid_invalidate_all();
	ept_invalidate(x->ept_pointer);
	vmcs_write(VPID, x->vpid);
	x->flush = false;
}

/*
 * The timer counts changes of one bit of the TSC (SDM 3C 26.5.1); two more than there are before the local APIC's deadline make
 * sure that it has passed. What is far away is looked at again on the way. The timer's exit goes before those of
 * interrupts (SDM 3C 26.2): these are taken because a deadline is never followed by many others (vm/lapic.h).
 */
static void write_timer(struct vcpu *vcpu)
{
	const struct guest *guest = vcpu->guest;
	struct vmx *x = vcpu->vendor;
	u64 deadline = lapic_deadline(&guest->lapic), now, left = NEVER;

	if (deadline && guest->timed) {
		now = rdtsc() + guest->tsc_offset;
		left = deadline > now ? min_u64(deadline - now, FAR) : 0;
	}
	if (under_bochs && !(vcpu->rflags & RFLAGS_IF))
		left = min_u64(left, BOCHS_TICKS);
	vmx_put(PIN_CONTROLS, &x->pin, vmx_has.guest.pin | (left == NEVER ? 0 : PIN_TIMER));
	if (left != NEVER)
		vmcs_write(PREEMPTION_TIMER, (left >> vmx_has.timer_rate) + 2);
}

bool vmx_guest_prepare(struct vcpu *vcpu)
{
	struct vmx *x = vcpu->vendor;

	if (!check_state(vcpu))
		return false;
	if (x->load_pdptes && !load_pdptes(vcpu))
		return false;
	x->load_pdptes = false;
	renew_tag(vcpu);
	write_nmi_blocking(vcpu);
	write_intercepts(vcpu);
	write_timer(vcpu);
	return true;
}

void vmx_guest_exited(struct vcpu *vcpu)
{
	const struct vmx *x = vcpu->vendor;

	if (under_bochs && vcpu->exit.code == REASON_TIMER && !(vcpu->rflags & RFLAGS_IF))
		vcpu->exit.reason = LUV_EXIT_INTERRUPT;
	vcpu->guest->nmi_blocked = x->interruptibility & BLOCKED_BY_NMI;
	vcpu->control.tpr = (u8)x->virtual_apic[VIRTUAL_TPR];
}
