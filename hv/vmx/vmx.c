/* SPDX-License-Identifier: BSD-2-Clause */
/* Intel VT-x: virt_ops for virtual machine extensions (SDM 3C chapters 24 to 31). */
#include "vmx/vmx.h"

#include "cpu/crash.h"
#include "cpu/desc.h"
#include "cpu/log.h"
#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/host.h"
#include "mem/page.h"
#include "vm/exit_policy.h"
#include "vm/guest.h"
#include "vm/tag.h"
#include "vm/virt_ops.h"
#include "vm/world.h"
#include "vmx/bochs.h"
#include "vmx/capability.h"
#include "vmx/check.h"
#include "vmx/ept.h"
#include "vmx/instructions.h"
#include "vmx/msr_bitmap.h"

#define CPUID_1_ECX_VMX BIT(5)

#define PENDING_ENABLED BIT(12) /* GUEST_PENDING_DEBUG: one of B3 to B0 is of an enabled breakpoint */
#define PENDING_STEP	BIT(14) /* likewise, BS */

/* Host state has no null TR (SDM 3C 27.2.3). Its base and limit come with it, and nobody loads it. */
#define SELECTOR_TR 0x10

/* vmx_run's answers. */
enum run {
	RUN_EXITED,
	RUN_FAILED,
	RUN_FAILED_WITH_ERROR,
	RUN_PENDING,
};

#define RUN_LAUNCHED BIT(0)
#define RUN_VERW     BIT(1)

u32 vmx_run(struct vcpu *vcpu, u32 flags, const u32 *pending, u32 known, u64 *host_rsp);
u32 vmx_run_guest(struct vcpu *vcpu, u32 flags, const u32 *pending, u32 known, u64 *host_rsp);
extern const u8 vmx_exit[], vmx_exit_guest[];

static u32 verw; /* RUN_VERW, or 0; immutable once dom0 runs */

/* One for all of dom0's vCPUs; filled before the first runs. */
static u8 dom0_bitmap[PAGE_SIZE] ALIGNED(4096);

/* --- a CPU ---------------------------------------------------------------------------------- */

static bool has_vmx(void)
{
	return cpuid(1, 0).ecx & CPUID_1_ECX_VMX;
}

/* Also Intel's CPUs without VT-x, so that probe can say what is missing. */
static bool vmx_ident(void)
{
	struct cpuid id = cpuid(0, 0);

	/* "GenuineIntel" */
	return has_vmx() || (id.ebx == 0x756e6547 && id.edx == 0x49656e69 && id.ecx == 0x6c65746e);
}

/* Locked by the firmware, as it should be, or by us (SDM 3C 24.7). */
static COLD bool enabled(void)
{
	u64 control = rdmsr(MSR_FEATURE_CONTROL);

	if (control & FEATURE_CONTROL_LOCK)
		return control & FEATURE_CONTROL_VMX;
	wrmsr(MSR_FEATURE_CONTROL, control | FEATURE_CONTROL_VMX | FEATURE_CONTROL_LOCK);
	return true;
}

static COLD bool has_multihit(void)
{
	u64 capabilities = 0;

	if (cpuid(7, 0).edx & BIT(29))
		rdmsr_safe(MSR_ARCH_CAPABILITIES, &capabilities);
	return !(capabilities & ARCH_PSCHANGE_MC_NO);
}

static COLD const char *vmx_probe(void)
{
	const char *missing;

	if (!has_vmx())
		return "this CPU has no Intel VT-x (VMX), or it is switched off: look for \"VT-x\" or "
		       "\"virtualization\" in the firmware's setup, or start your system without Luvalley";
	if (!enabled())
		return "Intel VT-x (VMX) is disabled by the firmware, or another hypervisor runs already: "
		       "switch \"VT-x\" on in the firmware's setup";
	missing = vmx_capability_read();
	if (missing)
		return missing;
	bochs_detect();
	ept_init(vmx_has.ept_1g, vmx_has.ept_dirty,
		 world_mitigate(LUV_MITIGATION_SMALL_PAGES, true, has_multihit()));
	return NULL;
}

static bool vmx_init_exits(void)
{
	return !under_bochs;
}

static const struct nested_format *vmx_nested_format(bool guest)
{
	return guest ? &ept_guest_format : &ept_dom0_format;
}

/* From now on they are known, because writes exit. Those are dom0's, unless INIT (which changes some in Bochs) has torn off a guest. */
static void read_syscall_msrs(struct vcpu *dom0)
{
	struct cpu *cpu = dom0->cpu;

	for (u32 i = 0; i < ARRAY_SIZE(cpu->syscall); i++) {
		cpu->syscall[i] = rdmsr(MSR_STAR + i);
		if (!cpu->guest)
			dom0->msrs.syscall[i] = cpu->syscall[i];
	}
}

/* SDM 3C 24.8: what CR0 and CR4 must have in VMX operation. */
static void vmx_cpu_on(hpa_t region)
{
	struct vcpu *vcpu = this_cpu()->vcpu;

	write_cr0((read_cr0() | rdmsr(MSR_VMX_CR0_FIXED0)) & rdmsr(MSR_VMX_CR0_FIXED1));
	write_cr4((read_cr4() | rdmsr(MSR_VMX_CR4_FIXED0)) & rdmsr(MSR_VMX_CR4_FIXED1));
	*(u32 *)hpa_to_virt(region) = vmx_has.revision;
	desc_keep_events();
	vmx_on(region);
	vpid_invalidate_all();
	if (vcpu) {
		struct vmx *x = vcpu->vendor;

		vmcs_use(x->vmcs);
		x->flush = true;
		read_syscall_msrs(vcpu);
	}
}

/* --- creation ------------------------------------------------------------------------------- */

static void write_controls(const struct vmx_controls *c)
{
	vmcs_write(PIN_CONTROLS, c->pin);
	vmcs_write(PRIMARY_CONTROLS, c->primary);
	vmcs_write(SECONDARY_CONTROLS, c->secondary);
	vmcs_write(EXIT_CONTROLS, c->exit);
	vmcs_write(ENTRY_CONTROLS, c->entry);
}

/* Root mode, as it is now on every CPU; the selectors are null but for these two. */
static COLD void write_host_state(const u8 *exit)
{
	vmcs_write(HOST_CS_SELECTOR, SELECTOR_CODE);
	vmcs_write(HOST_TR_SELECTOR, SELECTOR_TR);
	vmcs_write(HOST_CR0, read_cr0());
	vmcs_write(HOST_CR3, host_cr3().addr);
	vmcs_write(HOST_CR4, read_cr4());
	vmcs_write(HOST_EFER, rdmsr(MSR_EFER));
	vmcs_write(HOST_PAT, rdmsr(MSR_PAT));
	vmcs_write(HOST_GDTR_BASE, desc_gdt());
	vmcs_write(HOST_IDTR_BASE, desc_idt());
	vmcs_write(HOST_RIP, (u64)exit);
}

COLD struct vmx *vmx_create(struct vcpu *vcpu)
{
	const struct vmx_controls *controls = vcpu->guest ? &vmx_has.guest : &vmx_has.dom0;
	struct vmx *x = vcpu->vendor ? vcpu->vendor : page_alloc();
	void *vmcs = x && x->vmcs.addr ? hpa_to_virt(x->vmcs) : page_alloc();

	if (!x || !vmcs) {
		if (x)
			page_free(x);
		return NULL;
	}
	memset(x, 0, sizeof(*x));
	*(u32 *)vmcs = vmx_has.revision;
	x->vmcs = virt_to_hpa(vmcs);
	x->pin = controls->pin;
	x->primary = controls->primary;
	x->secondary = controls->secondary;
	x->flush = true;
	x->ept_pointer = ept_pointer(virt_to_hpa(vcpu->nested->root), vmx_has.ept_dirty);
	vcpu->vendor = x;
	vmcs_clear(x->vmcs);
	vmcs_use(x->vmcs);
	vmcs_zero();
	write_controls(controls);
	write_host_state(vcpu->guest ? vmx_exit_guest : vmx_exit);
	vmcs_write(EPT_POINTER, x->ept_pointer);
	vmcs_write(VMCS_LINK_POINTER, UINT64_MAX);
	return x;
}

static void intercept_msr(u32 msr, bool read, bool write)
{
	msr_bitmap_set(dom0_bitmap, msr, read, write, true);
}

/*
 * Everything but what must be set, in VMX operation, and what dom0 must not see is dom0's own. CD and NW only seem to be: entry
 * and exit leave them alone (SDM 3C 27.3.2.1), and from Westmere on neither works well with CD set. What dom0 sets CD for, a
 * write of MTRRs, is done with caches off (dom0/mtrr.c).
 */
static COLD bool vmx_vcpu_create_dom0(struct vcpu *vcpu)
{
	struct vmx *x = vmx_create(vcpu);

	if (!x)
		return false;
	/* The boot CPU is first, and alone. */
	if (!vcpu->cpu->index) {
		vcpu->policy->for_each_msr(LUV_VENDOR_VMX, intercept_msr);
		vmx_guest_init();
		verw = world_mitigations() & LUV_MITIGATION_VERW ? (u32)RUN_VERW : 0;
	}
	x->cr0_mask = CR0_NE | CR0_CD | CR0_NW;
	x->cr4_mask = CR4_VMXE;
	x->vpid = TAG_DOM0;
	vmcs_write(CR0_MASK, x->cr0_mask);
	vmcs_write(CR4_MASK, x->cr4_mask);
	vmcs_write(VPID, x->vpid);
	vmcs_write(IO_BITMAP_A, image_to_hpa(vcpu->policy->ports).addr);
	vmcs_write(IO_BITMAP_A + VMCS_FIELD_STEP, image_to_hpa(vcpu->policy->ports).addr + PAGE_SIZE);
	vmcs_write(MSR_BITMAPS, image_to_hpa(dom0_bitmap).addr);
	vmcs_write(GUEST_PAT, rdmsr(MSR_PAT));
	vmcs_write(GUEST_DEBUGCTL, rdmsr(MSR_DEBUGCTL));
	vmcs_write(GUEST_SYSENTER_CS, rdmsr(MSR_SYSENTER_CS));
	vmcs_write(GUEST_SYSENTER_ESP, rdmsr(MSR_SYSENTER_ESP));
	vmcs_write(GUEST_SYSENTER_EIP, rdmsr(MSR_SYSENTER_EIP));
	read_syscall_msrs(vcpu);
	vcpu->active = true;
	return true;
}

static void vmx_vcpu_destroy(struct vcpu *vcpu)
{
	struct vmx *x = vcpu->vendor;

	page_free(hpa_to_virt(x->vmcs));
	page_free(x);
}

/* --- whose VMCS is current ------------------------------------------------------------------ */

/*
 * A VMCS is current from switch_in to switch_out. Another one may be borrowed in between: a guest's, by a call that looks
 * at it, and dom0's while a guest runs. A guest's must not stay active here (SDM 3C 25.11.1): it is cleared
 * when it is given back.
 */
static void borrow(const struct vcpu *vcpu)
{
	const struct vmx *x = vcpu->vendor;

	if (!vcpu->active)
		vmcs_use(x->vmcs);
}

static void clear(struct vmx *x)
{
	vmcs_clear(x->vmcs);
	x->launched = false;
}

void vmx_give_back(const struct vcpu *vcpu)
{
	const struct cpu *cpu = this_cpu();
	const struct vcpu *owner = cpu->guest && cpu->guest->active ? cpu->guest : cpu->vcpu;

	if (vcpu->active)
		return;
	if (vcpu->guest)
		clear(vcpu->vendor);
	if (owner)
		vmcs_use(((const struct vmx *)owner->vendor)->vmcs);
}

static void load_syscall_msrs(const struct vcpu *vcpu)
{
	u64 *now = vcpu->cpu->syscall;

	for (u32 i = 0; i < ARRAY_SIZE(vcpu->cpu->syscall); i++) {
		if (now[i] != vcpu->msrs.syscall[i])
			wrmsr(MSR_STAR + i, now[i] = vcpu->msrs.syscall[i]);
	}
}

/* Writes are slow, and some have nothing to change. `from` has what is in the registers; NULL: nobody knows. */
static void switch_in(struct vcpu *vcpu, const struct vcpu *from)
{
	const struct vmx *x = vcpu->vendor, *now = from ? from->vendor : NULL;

	vmcs_use(x->vmcs);
	if (!now || now->cr2 != x->cr2)
		write_cr2(x->cr2);
	if (!vcpu->guest || x->syscalls)
		load_syscall_msrs(vcpu);
	if (!from || from->msrs.kernel_gs_base != vcpu->msrs.kernel_gs_base)
		wrmsr(MSR_KERNEL_GS_BASE, vcpu->msrs.kernel_gs_base);
	vcpu->active = true;
}

static void switch_out(struct vcpu *vcpu)
{
	struct vmx *x = vcpu->vendor;

	x->cr2 = read_cr2();
	vcpu->msrs.kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
	vcpu->active = false;
	if (vcpu->guest)
		clear(x);
}

static void vmx_switch_worlds(struct vcpu *from, struct vcpu *to)
{
	if (from)
		switch_out(from);
	switch_in(to, from);
}

/* --- registers ------------------------------------------------------------------------------ */

static u64 seen(u64 field, u64 shadow, u64 mask)
{
	return (field & ~mask) | (shadow & mask);
}

/* What nearly every call asks for. */
static void load_near(struct vcpu *vcpu)
{
	const struct vmx *x = vcpu->vendor;

	vcpu->control.cr3 = vmcs_read(GUEST_CR3);
	vcpu->control.cr4 = seen(vmcs_read(GUEST_CR4), vmcs_read(CR4_SHADOW), x->cr4_mask);
}

static void load_control(struct vcpu *vcpu)
{
	const struct vmx *x = vcpu->vendor;

	vcpu->control = (struct vcpu_control){
		.cr0 = seen(vmcs_read(GUEST_CR0), vmcs_read(CR0_SHADOW), x->cr0_mask),
		.cr2 = vcpu->active ? read_cr2() : x->cr2,
		.cr3 = vmcs_read(GUEST_CR3),
		.cr4 = seen(vmcs_read(GUEST_CR4), vmcs_read(CR4_SHADOW), x->cr4_mask),
		.efer = vmcs_read(GUEST_EFER),
		.dr6 = vcpu->debug_live ? read_dr6() : vcpu->dr6,
		.dr7 = vmcs_read(GUEST_DR7),
		.tpr = vcpu->control.tpr,
		.cpl = (u8)(vmcs_read(GUEST_SS_RIGHTS) >> 5 & 3),
	};
}

/* The four fields of a segment lie equally far from those of ES. */
static u32 of_segment(u32 field, u32 name)
{
	return field + name * VMCS_FIELD_STEP;
}

static void load_segment(u32 name, struct segment *s)
{
	u64 rights = vmcs_read(of_segment(GUEST_ES_RIGHTS, name));

	s->selector = (u16)vmcs_read(of_segment(GUEST_ES_SELECTOR, name));
	s->limit = (u32)vmcs_read(of_segment(GUEST_ES_LIMIT, name));
	s->base = vmcs_read(of_segment(GUEST_ES_BASE, name));
	s->attributes = (u16)((rights & 0xff) | (rights >> 4 & 0xf00));
	if (rights & RIGHTS_UNUSABLE)
		s->attributes &= (u16)~SEGMENT_PRESENT;
}

static void load_segments(struct vcpu_segments *s)
{
	for (u32 i = 0; i < SEG_COUNT; i++)
		load_segment(i, &s->seg[i]);
	s->gdt_base = vmcs_read(GUEST_GDTR_BASE);
	s->gdt_limit = (u32)vmcs_read(GUEST_GDTR_LIMIT);
	s->idt_base = vmcs_read(GUEST_IDTR_BASE);
	s->idt_limit = (u32)vmcs_read(GUEST_IDTR_LIMIT);
}

static void load_msrs(struct vcpu *vcpu)
{
	struct vcpu_msrs *m = &vcpu->msrs;

	if (vcpu->active)
		m->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
	m->sysenter_cs = vmcs_read(GUEST_SYSENTER_CS);
	m->sysenter_esp = vmcs_read(GUEST_SYSENTER_ESP);
	m->sysenter_eip = vmcs_read(GUEST_SYSENTER_EIP);
	m->pat = vmcs_read(GUEST_PAT);
}

static void vmx_load(struct vcpu *vcpu, u32 groups)
{
	borrow(vcpu);
	if (groups & VCPU_CONTROL)
		load_control(vcpu);
	else if (groups & VCPU_NEAR)
		load_near(vcpu);
	if (groups & VCPU_SEGMENTS)
		load_segments(&vcpu->segments);
	if (groups & VCPU_MSRS)
		load_msrs(vcpu);
	vmx_give_back(vcpu);
}

static bool pae_paging(u64 cr0, u64 cr4, u64 efer)
{
	return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
}

/* With EPT the CPU takes PDPTEs from the VMCS (SDM 3C 27.3.1.6), so whoever changes the mode or CR3 changes them. */
static void look_at_changes(struct vmx *x, const struct vcpu_control *c)
{
	u64 cr0 = vmcs_read(GUEST_CR0), efer = vmcs_read(GUEST_EFER);

	if (pae_paging(c->cr0, c->cr4, c->efer) &&
	    (c->cr3 != vmcs_read(GUEST_CR3) || !pae_paging(cr0, vmcs_read(GUEST_CR4), efer)))
		x->load_pdptes = true;
	if ((cr0 ^ c->cr0) & (CR0_PE | CR0_PG) || efer != c->efer)
		x->unchecked = true;
}

/* Which of the two it was that holds events back is the CPU's own matter; STI needs IF (SDM 3C 27.3.1.5). */
static void store_shadow(const struct vcpu *vcpu)
{
	const u64 both = BLOCKED_BY_STI | BLOCKED_BY_MOV_SS;
	struct vmx *x = vcpu->vendor;
	u64 now = x->interruptibility, wanted = 0;

	if (vcpu->shadow)
		wanted = now & both ? now & both : BLOCKED_BY_MOV_SS;
	vmx_put(GUEST_INTERRUPTIBILITY, &x->interruptibility, (now & ~both) | wanted);
}

static void store_control(struct vcpu *vcpu)
{
	const struct vcpu_control *c = &vcpu->control;
	struct vmx *x = vcpu->vendor;
	u64 entry = vmcs_read(ENTRY_CONTROLS) & ~ENTRY_GUEST_64;

	look_at_changes(x, c);
	if (vcpu->guest)
		vmcs_write(CR4_MASK, x->cr4_mask = ~vcpu->guest->cr4 | CR4_MCE);
	vmcs_write(GUEST_CR0, (c->cr0 & ~x->cr0_mask) | CR0_NE);
	vmcs_write(CR0_SHADOW, c->cr0);
	vmcs_write(GUEST_CR3, c->cr3);
	vmcs_write(GUEST_CR4, (c->cr4 & ~x->cr4_mask) | CR4_VMXE | (x->cr4_mask & CR4_MCE));
	vmcs_write(CR4_SHADOW, c->cr4);
	vmcs_write(GUEST_EFER, c->efer);
	x->syscalls = c->efer & EFER_SCE;
	if (x->syscalls)
		load_syscall_msrs(vcpu);
	vmcs_write(ENTRY_CONTROLS, c->efer & EFER_LMA ? entry | ENTRY_GUEST_64 : entry);
	vmcs_write(GUEST_DR7, c->dr7);
	x->virtual_apic[VIRTUAL_TPR] = c->tpr;
	write_cr2(x->cr2 = c->cr2);
	vcpu->dr6 = c->dr6;
	if (vcpu->debug_live)
		write_dr6(c->dr6);
}

/* A code or data segment is accessed, and a TSS busy, when a CPU holds it; clients may forget that. */
static u64 rights_of(const struct segment *s, u32 name)
{
	u64 attributes = s->attributes;

	if (!(attributes & SEGMENT_PRESENT))
		return RIGHTS_UNUSABLE | (attributes & 0xff);
	if (name < SEG_LDTR)
		attributes |= 1;
	if (name == SEG_TR)
		attributes |= 2;
	return (attributes & 0xff) | (attributes & 0xf00) << 4;
}

static void store_segments(const struct vcpu_segments *s)
{
	for (u32 i = 0; i < SEG_COUNT; i++) {
		vmcs_write(of_segment(GUEST_ES_SELECTOR, i), s->seg[i].selector);
		vmcs_write(of_segment(GUEST_ES_LIMIT, i), s->seg[i].limit);
		vmcs_write(of_segment(GUEST_ES_BASE, i), s->seg[i].base);
		vmcs_write(of_segment(GUEST_ES_RIGHTS, i), rights_of(&s->seg[i], i));
	}
	vmcs_write(GUEST_GDTR_BASE, s->gdt_base);
	vmcs_write(GUEST_GDTR_LIMIT, s->gdt_limit);
	vmcs_write(GUEST_IDTR_BASE, s->idt_base);
	vmcs_write(GUEST_IDTR_LIMIT, s->idt_limit);
}

/* Guests only: dom0's MSRs are its own business. The others were switched in, or are when they matter. */
static void store_msrs(const struct vcpu *vcpu)
{
	const struct vcpu_msrs *m = &vcpu->msrs;

	vmcs_write(GUEST_SYSENTER_CS, m->sysenter_cs);
	vmcs_write(GUEST_SYSENTER_ESP, m->sysenter_esp);
	vmcs_write(GUEST_SYSENTER_EIP, m->sysenter_eip);
	vmcs_write(GUEST_PAT, m->pat);
	vmcs_write(TSC_OFFSET, vcpu->guest->tsc_offset);
}

static void vmx_store(struct vcpu *vcpu)
{
	struct vmx *x = vcpu->vendor;

	/* Not before it is switched in: that spares a change of the current VMCS. */
	if (!vcpu->active)
		return;
	if (vcpu->dirty & VCPU_CONTROL)
		store_control(vcpu);
	if (vcpu->dirty & VCPU_SEGMENTS)
		store_segments(&vcpu->segments);
	if (vcpu->dirty & VCPU_MSRS)
		store_msrs(vcpu);
	if (vcpu->dirty & VCPU_FLUSH)
		x->flush = true;
	if (vcpu->dirty & VCPU_SEGMENTS)
		x->unchecked = true;
	vcpu->dirty = 0;
}

static u64 vmx_debugctl(struct vcpu *vcpu)
{
	return vmcs_read(GUEST_DEBUGCTL);
}

/* --- events --------------------------------------------------------------------------------- */

/*
 * An event whose delivery the exit interrupted is delivered again (SDM 3C 28.2.4). What an instruction asked for (INTn, INT1,
 * INT3, INTO) is asked for again by executing it.
 */
static u64 interrupted_event(u32 reason)
{
	u64 event;

	/* Most often. What these instructions do is no delivery. */
	if (reason >= REASON_CPUID && reason <= REASON_WRMSR)
		return 0;
	event = vmcs_read(VECTORING_EVENT) & ~EVENT_IRET_UNBLOCKED;
	if (!(event & EVENT_VALID) || EVENT_TYPE_OF(event) >= EVENT_SOFTWARE)
		return 0;
	return event & EVENT_ERROR_VALID ? event | vmcs_read(VECTORING_EVENT_ERROR) << 32 : event;
}

/* An IRET that faulted had unblocked NMIs, and is executed again (SDM 3C 28.2.3). */
static void keep_nmi_blocked(const struct vcpu *vcpu, u32 reason)
{
	struct vmx *x = vcpu->vendor;
	bool unblocked = reason == REASON_EPT_VIOLATION
				 ? vmcs_read(EXIT_QUALIFICATION) & EPT_IRET_UNBLOCKED
				 : reason == REASON_EXCEPTION_OR_NMI &&
					   vmcs_read(EXIT_EVENT) & EVENT_IRET_UNBLOCKED;

	if (unblocked && !vcpu->event)
		vmx_put(GUEST_INTERRUPTIBILITY, &x->interruptibility, x->interruptibility | BLOCKED_BY_NMI);
}

/*
 * NMIs and machine checks that root mode took are dom0's. Returns what is left: one event an entry: where another waits already, the
 * preemption timer, at 0, ends dom0's run before its first instruction, behind that event's delivery (SDM 3C
 * 27.7.4). A CPU without the timer delivers the NMI at its next exit.
 */
static COLD u32 hand_on(struct vcpu *vcpu, u32 pending)
{
	bool mc = pending & CPU_PENDING_MC;

	if (vcpu->event)
		return pending;
	/* One that waits for STARTUP takes neither, and no entry that injects (SDM 3C 27.3.1.5). */
	if (__atomic_load_n(&vcpu->cpu->state, __ATOMIC_RELAXED) == CPU_WAITING)
		return __atomic_and_fetch(&vcpu->cpu->pending, 0, __ATOMIC_RELAXED);
	vcpu->shadow = false; /* MOV SS' and, with some CPUs, STI's forbid the injection of an NMI (SDM 3C 27.3.1.5) */
	vcpu->event = EVENT_VALID | (mc ? EVENT_EXCEPTION | VECTOR_MC : EVENT_NMI | VECTOR_NMI);
	return __atomic_and_fetch(&vcpu->cpu->pending, ~(u32)(mc ? CPU_PENDING_MC : CPU_PENDING_NMI),
				  __ATOMIC_RELAXED);
}

/* --- entry and exit ------------------------------------------------------------------------- */

static void flush(struct vmx *x)
{
	ept_invalidate(x->ept_pointer);
	vpid_invalidate((u16)x->vpid);
	x->flush = false;
}

/* TF's trap behind a shadow is pending (SDM 3C 27.3.1.5), unless it means branches only. */
static void store_pending_step(const struct vcpu *vcpu)
{
	const struct vmx *x = vcpu->vendor;
	u64 pending;

	if (!(x->interruptibility & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)))
		return;
	pending = vmcs_read(GUEST_PENDING_DEBUG) & ~PENDING_STEP;
	if (!(pending & PENDING_ENABLED)) /* they may be by dom0's registers (world_load_debug) */
		pending &= ~DR6_HITS;
	if (vcpu->rflags & RFLAGS_TF && !(vmcs_read(GUEST_DEBUGCTL) & DEBUGCTL_BTF))
		pending |= PENDING_STEP;
	vmcs_write(GUEST_PENDING_DEBUG, pending);
}

static void write_event(struct vmx *x, u64 event)
{
	/* These push an error code in protected mode, and no others do; the CPU checks it (SDM 3C 27.2.1.3). */
	const u32 with_error = BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17);

	if (!event && !x->event)
		return;
	x->event = event;
	event &= ~EVENT_ERROR_VALID;
	if (EVENT_TYPE_OF(event) == EVENT_EXCEPTION && BIT((u8)event) & with_error && vmcs_read(GUEST_CR0) & CR0_PE) {
		event |= EVENT_ERROR_VALID;
		vmcs_write(ENTRY_EVENT_ERROR, event >> 32 & 0xffff);
	}
	vmcs_write(ENTRY_EVENT, (u32)event);
}

static void write_entry(const struct vcpu *vcpu)
{
	struct vmx *x = vcpu->vendor;

	vmx_put(GUEST_RSP, &x->rsp, vcpu->gpr[GPR_RSP]);
	vmx_put(GUEST_RIP, &x->rip, vcpu->rip);
	vmx_put(GUEST_RFLAGS, &x->rflags, vcpu->rflags);
	write_event(x, vcpu->event);
	store_shadow(vcpu);
	if (vcpu->rflags & RFLAGS_TF || vcpu->guest)
		store_pending_step(vcpu);
}

static void read_exit(struct vcpu *vcpu, u32 reason)
{
	struct vmx *x = vcpu->vendor;

	x->event = false;
	x->interruptibility = vmcs_read_inline(GUEST_INTERRUPTIBILITY);
	vcpu->valid = 0;
	vcpu->gpr[GPR_RSP] = x->rsp = vmcs_read_inline(GUEST_RSP);
	vcpu->rip = x->rip = vmcs_read_inline(GUEST_RIP);
	vcpu->rflags = x->rflags = vmcs_read_inline(GUEST_RFLAGS);
	vcpu->shadow = x->interruptibility & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
	vcpu->event = interrupted_event(reason);
	/* Outside 64-bit mode RIP has 32 bits (SDM 3C 27.3.1.4). */
	vcpu->code64 = vcpu->rip >> 32 || (vmcs_read_inline(GUEST_CS_RIGHTS) >> 4 & SEGMENT_LONG &&
					   vmcs_read_inline(GUEST_EFER) & EFER_LMA);
	/* A call asks whose it is. */
	if (reason == REASON_VMCALL)
		vcpu->control.cr3 = vmcs_read_inline(GUEST_CR3);
}

/* The CPU refused: say which check of ours it would have failed, or what it says itself. */
static COLD void entry_failed(struct vcpu *vcpu, u32 reason, u64 error)
{
	const char *check;

	vcpu_need(vcpu, VCPU_CONTROL | VCPU_SEGMENTS);
	check = vmx_check_guest(vcpu, vcpu->event && EVENT_TYPE_OF(vcpu->event) == EVENT_INTERRUPT);
	vcpu->exit = (struct vcpu_exit){
		.reason = LUV_EXIT_ENTRY_FAILED,
		.code = reason ? reason : error,
		.info = reason ? vmcs_read(EXIT_QUALIFICATION) : 0,
	};
	hv_log_first("CPU %u: the CPU refused %s (0x%llx, %s); perhaps because of %s",
		     vcpu->cpu->index, vcpu->guest ? "a guest's state" : "dom0's state",
		     (unsigned long long)vcpu->exit.code,
		     reason ? "a check on guest state" : vmx_error_name(error),
		     check ? check : "something that our checks do not know");
}

static void exited(struct vcpu *vcpu)
{
	struct vmx *x = vcpu->vendor;
	u32 reason = (u32)vmcs_read_inline(EXIT_REASON);

	/* In the middle of an entry (SDM 3C 27.9): nothing of the guest's has changed, its event waits on. */
	if ((reason & 0xffff) == REASON_MACHINE_CHECK) {
		vmx_decode(vcpu, REASON_MACHINE_CHECK);
		return;
	}
	if (reason & REASON_ENTRY_FAILED) {
		entry_failed(vcpu, reason, 0);
		vcpu->event = 0;
		return;
	}
	x->launched = true;
	if (under_bochs)
		bochs_exited(reason & 0xffff);
	read_exit(vcpu, reason & 0xffff);
	keep_nmi_blocked(vcpu, reason & 0xffff);
	vmx_decode(vcpu, reason & 0xffff);
}

static void ended(struct vcpu *vcpu, u32 answer)
{
	if (answer == RUN_EXITED)
		exited(vcpu);
	else if (answer == RUN_PENDING)
		vcpu->exit = (struct vcpu_exit){.reason = LUV_EXIT_NMI};
	else
		entry_failed(vcpu, 0, answer == RUN_FAILED ? 0 : vmcs_read(INSTRUCTION_ERROR));
}

static u32 enter_dom0(struct vcpu *vcpu)
{
	struct vmx *x = vcpu->vendor;
	u32 waiting = __atomic_load_n(&vcpu->cpu->pending, __ATOMIC_RELAXED), answer;
	bool at_once;

	if (waiting)
		waiting = hand_on(vcpu, waiting);
	at_once = waiting && vmx_has.timer;
	if (x->flush)
		flush(x);
	if (at_once) {
		vmcs_write(PIN_CONTROLS, vmx_has.dom0.pin | PIN_TIMER);
		vmcs_write(PREEMPTION_TIMER, 0);
	}
	write_entry(vcpu);
	answer = vmx_run(vcpu, x->launched | verw, &vcpu->cpu->pending, waiting, &x->host_rsp);
	if (at_once)
		vmcs_write(PIN_CONTROLS, vmx_has.dom0.pin);
	ended(vcpu, answer);
	return answer;
}

static void enter_guest(struct vcpu *vcpu)
{
	struct vmx *x = vcpu->vendor;

	if (!vmx_guest_prepare(vcpu))
		return;
	write_entry(vcpu);
	ended(vcpu, vmx_run_guest(vcpu, x->launched | verw, &vcpu->cpu->pending, 0, &x->host_rsp));
	vmx_guest_exited(vcpu);
}

static void vmx_enter(struct vcpu *vcpu)
{
	u32 answer;

	if (vcpu->guest) {
		enter_guest(vcpu);
		return;
	}
	/* The timer's exit and an NMI before the entry are nobody's but ours. */
	do
		answer = enter_dom0(vcpu);
	while (answer == RUN_PENDING || (answer == RUN_EXITED && vcpu->exit.code == REASON_TIMER));
}

/* --- starting and stopping CPUs ------------------------------------------------------------- */

/*
 * The vCPU's next entry waits for a STARTUP (SDM 3C 27.7.2), which exits. Under Bochs a real INIT and STARTUP bring the
 * CPU back: outside VMX operation it takes them, with interrupts masked and NMIs ignored (cpu/desc.c).
 */
static void vmx_park(struct vcpu *vcpu)
{
	struct vmx *x = vcpu->vendor;

	/* Nothing can be injected then, nothing waits and nothing is blocked (SDM 3C 27.3.1.5): as after a real INIT. */
	__atomic_store_n(&vcpu->cpu->pending, 0, __ATOMIC_RELAXED);
	if (!under_bochs) {
		vcpu->event = 0;
		vcpu->shadow = 0;
		vmx_put(GUEST_INTERRUPTIBILITY, &x->interruptibility, 0);
		vmcs_write(GUEST_PENDING_DEBUG, 0);
		vmcs_write(GUEST_ACTIVITY, ACTIVITY_WAIT_SIPI);
		return;
	}
	clear(x);
	vmx_off();
	for (;;)
		__asm__ volatile("hlt" : : : "memory");
}

static void vmx_msr_write_exits(u32 msr, bool exits)
{
	msr_bitmap_set(dom0_bitmap, msr, false, true, exits);
}

/* It was used up by the exit. */
static void vmx_take_init(void)
{
}

/* What works in guest mode only with a control of the VMCS that this CPU may lack. */
static COLD void vmx_cpuid(u32 leaf, u32 subleaf, struct cpuid *r)
{
	u32 secondary = vmx_has.dom0.secondary;

	if (leaf == 0x80000001 && !(secondary & SECONDARY_RDTSCP))
		r->edx &= (u32)~BIT(27);
	if (leaf == 7 && !subleaf && !(secondary & SECONDARY_RDTSCP))
		r->ecx &= (u32)~BIT(22); /* RDPID */
	if (leaf == 7 && !subleaf && !(secondary & SECONDARY_INVPCID))
		r->ebx &= (u32)~BIT(10);
	if (leaf == 7 && !subleaf && !(secondary & SECONDARY_USER_WAIT))
		r->ecx &= (u32)~BIT(5);
	if (leaf == 0xd && subleaf == 1 && !(secondary & SECONDARY_XSAVES))
		r->eax &= (u32)~BIT(3);
}

const struct virt_ops vmx_ops = {
	.name = "VT-x",
	.vendor = LUV_VENDOR_VMX,
	.ident = vmx_ident,
	.probe = vmx_probe,
	.init_exits = vmx_init_exits,
	.startup_exits = vmx_init_exits,
	.nested_format = vmx_nested_format,
	.cpu_on = vmx_cpu_on,
	.vcpu_create_dom0 = vmx_vcpu_create_dom0,
	.vcpu_create_guest = vmx_guest_create,
	.vcpu_destroy = vmx_vcpu_destroy,
	.switch_worlds = vmx_switch_worlds,
	.load = vmx_load,
	.store = vmx_store,
	.debugctl = vmx_debugctl,
	.cpuid = vmx_cpuid,
	.enter = vmx_enter,
	.park = vmx_park,
	.msr_write_exits = vmx_msr_write_exits,
	.take_init = vmx_take_init,
};
