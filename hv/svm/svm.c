/* SPDX-License-Identifier: BSD-2-Clause */
/* AMD-V: virt_ops for the Secure Virtual Machine architecture (APM 2 chapter 15). */
#include "cpu/desc.h"
#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/host.h"
#include "mem/page.h"
#include "svm/guest.h"
#include "svm/msrpm.h"
#include "svm/npt.h"
#include "svm/vmcb.h"
#include "vm/exit_policy.h"
#include "vm/guest.h"
#include "vm/tag.h"
#include "vm/virt_ops.h"

/* CPUID 80000001h ECX and 8000000Ah EDX (APM 3 E.4.2, E.4.9). */
#define CPUID_80000001_ECX_SVM	   BIT(2)
#define CPUID_80000001_EDX_PAGE1GB BIT(26)
#define CPUID_8000000A_EDX_NP	   BIT(0)
#define CPUID_8000000A_EDX_NRIPS   BIT(3)

#define INTERCEPT_1                                                                                \
	(VMCB_INTERCEPT_1_CPUID | VMCB_INTERCEPT_1_INVD | VMCB_INTERCEPT_1_INVLPGA |               \
	 VMCB_INTERCEPT_1_IO | VMCB_INTERCEPT_1_MSR | VMCB_INTERCEPT_1_SHUTDOWN)
#define INTERCEPT_2                                                                                \
	(VMCB_INTERCEPT_2_VMRUN | VMCB_INTERCEPT_2_VMMCALL | VMCB_INTERCEPT_2_VMLOAD |             \
	 VMCB_INTERCEPT_2_VMSAVE | VMCB_INTERCEPT_2_STGI | VMCB_INTERCEPT_2_CLGI |                 \
	 VMCB_INTERCEPT_2_SKINIT)
#define INTERCEPT_3 (VMCB_INTERCEPT_3_INVLPGB | VMCB_INTERCEPT_3_TLBSYNC)

/* One for all of dom0's vCPUs; filled before the first runs. */
static u8 dom0_msrpm[MSRPM_SIZE] ALIGNED(4096);

void svm_run(struct vcpu *vcpu, u64 vmcb); /* ends with svm_exited */

static void vmsave(const struct vmcb *vmcb)
{
	__asm__ volatile("vmsave %%rax" : : "a"(vmcb->self) : "memory");
}

static void vmload(const struct vmcb *vmcb)
{
	__asm__ volatile("vmload %%rax" : : "a"(vmcb->self) : "memory");
}

static bool under_tcg(void)
{
	struct cpuid id = cpuid(0x40000000, 0);

	/* "TCGTCGTCGTCG" */
	return id.ebx == 0x54474354 && id.ecx == 0x43544743 && id.edx == 0x47435447;
}

static bool has_svm(void)
{
	return cpuid(0x80000001, 0).ecx & CPUID_80000001_ECX_SVM;
}

/* Also AMD's CPUs without SVM, so that probe can say what is missing. */
static COLD bool svm_ident(void)
{
	struct cpuid id = cpuid(0, 0);

	/* "AuthenticAMD" */
	return has_svm() || (id.ebx == 0x68747541 && id.edx == 0x69746e65 && id.ecx == 0x444d4163);
}

static COLD const char *svm_probe(void)
{
	if (!has_svm())
		return "this CPU has no AMD-V (SVM), or it is switched off: look for \"SVM\" or "
		       "\"virtualization\" in the firmware's setup, or start your system without "
		       "Luvalley";
	if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
		return "AMD-V (SVM) is disabled by the firmware, or another hypervisor runs "
		       "already: switch \"SVM\" on in the firmware's setup";
	if (!(cpuid(0x8000000a, 0).edx & CPUID_8000000A_EDX_NP))
		return "this CPU's AMD-V has no nested paging, which Luvalley needs: start your "
		       "system without Luvalley";
	return NULL;
}

/* TCG stores the exit, leaves INIT pending, and resets the CPU all the same. */
static bool svm_init_exits(void)
{
	return !under_tcg();
}

static bool svm_startup_exits(void)
{
	return false;
}

static const struct nested_format *svm_nested_format(bool guest)
{
	return cpuid(0x80000001, 0).edx & CPUID_80000001_EDX_PAGE1GB ? &npt_format : &npt_format_2m;
}

static void svm_cpu_on(hpa_t host_save)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, host_save.addr);
	__asm__ volatile("clgi" : : : "memory");
}

static void intercept_msr(u32 msr, bool read, bool write)
{
	msrpm_intercept(dom0_msrpm, msr, read, write);
}

static COLD bool svm_vcpu_create_dom0(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vendor ? vcpu->vendor : page_alloc();

	if (!vmcb)
		return false;
	memset(vmcb, 0, sizeof(*vmcb));
	/* The boot CPU is first, and alone. */
	if (!vcpu->cpu->index) {
		vcpu->policy->for_each_msr(LUV_VENDOR_SVM, intercept_msr);
		svm_guest_init();
	}
	vmcb->self = virt_to_hpa(vmcb).addr;
	vmcb->intercept_1 = INTERCEPT_1;
	if (svm_init_exits())
		vmcb->intercept_1 |= VMCB_INTERCEPT_1_INIT;
	vmcb->intercept_2 = INTERCEPT_2;
	vmcb->intercept_3 = INTERCEPT_3;
	vmcb->iopm_base = image_to_hpa(vcpu->policy->ports).addr;
	vmcb->msrpm_base = image_to_hpa(dom0_msrpm).addr;
	vmcb->asid = TAG_DOM0;
	vmcb->np_enable = 1;
	vmcb->nested_cr3 = virt_to_hpa(vcpu->nested->root).addr;
	vmcb->g_pat = rdmsr(MSR_PAT);
	/* FS, GS, LDTR, TR and the system call MSRs as this CPU has them now. */
	vmsave(vmcb);
	vcpu->vendor = vmcb;
	vcpu->active = true;
	return true;
}

static void svm_vcpu_destroy(struct vcpu *vcpu)
{
	page_free(vcpu->vendor);
}

/* The order of enum segment_name; GDTR and IDTR lie between in the VMCB. */
static struct vmcb_segment *vmcb_segment(struct vmcb *vmcb, u32 name)
{
	switch (name) {
	case SEG_LDTR:
		return &vmcb->ldtr;
	case SEG_TR:
		return &vmcb->tr;
	default:
		return &vmcb->es + name;
	}
}

/*
 * The parts of the VMCB that VMSAVE and VMLOAD move are current only after a VMSAVE while the vCPU
 * is active; otherwise the registers hold another's.
 */
static void refresh(const struct vcpu *vcpu, struct vmcb *vmcb)
{
	if (vcpu->active)
		vmsave(vmcb);
}

static void load_segments(struct vcpu *vcpu, struct vmcb *vmcb)
{
	struct vcpu_segments *s = &vcpu->segments;

	refresh(vcpu, vmcb);
	for (u32 i = 0; i < SEG_COUNT; i++) {
		const struct vmcb_segment *from = vmcb_segment(vmcb, i);

		s->seg[i] = (struct segment){from->selector, from->attributes, from->limit,
					     from->base};
	}
	/* In real mode and elsewhere the CPU keeps the CPL in a field of its own. */
	s->seg[SEG_SS].attributes = (u16)((s->seg[SEG_SS].attributes & ~0x60u) | vmcb->cpl << 5);
	s->gdt_base = vmcb->gdtr.base;
	s->gdt_limit = vmcb->gdtr.limit;
	s->idt_base = vmcb->idtr.base;
	s->idt_limit = vmcb->idtr.limit;
}

/* All but PAT lie in the same order there. */
#define MSR_WORDS (offsetof(struct vcpu_msrs, pat) / sizeof(u64))
_Static_assert(offsetof(struct vmcb, cr2) - offsetof(struct vmcb, star) == MSR_WORDS * sizeof(u64), "MSRs");

static void load_msrs(struct vcpu *vcpu, struct vmcb *vmcb)
{
	refresh(vcpu, vmcb);
	copy_words(vcpu->msrs.syscall, &vmcb->star, MSR_WORDS);
	vcpu->msrs.pat = vmcb->g_pat;
}

static void load_control(struct vcpu *vcpu, const struct vmcb *vmcb)
{
	vcpu->control = (struct vcpu_control){
		.cr0 = vmcb->cr0,
		.cr2 = vmcb->cr2,
		.cr3 = vmcb->cr3,
		.cr4 = vmcb->cr4,
		.efer = vmcb->efer & ~EFER_SVME,
		.dr6 = vmcb->dr6,
		.dr7 = vmcb->dr7,
		.tpr = vcpu->control.tpr,
		.cpl = vmcb->cpl,
	};
}

static void svm_load(struct vcpu *vcpu, u32 groups)
{
	struct vmcb *vmcb = vcpu->vendor;

	if (groups & (VCPU_CONTROL | VCPU_NEAR))
		load_control(vcpu, vmcb);
	if (groups & VCPU_SEGMENTS)
		load_segments(vcpu, vmcb);
	if (groups & VCPU_MSRS)
		load_msrs(vcpu, vmcb);
}

static void store_control(const struct vcpu_control *c, struct vmcb *vmcb)
{
	vmcb->cr0 = c->cr0;
	vmcb->cr2 = c->cr2;
	vmcb->cr3 = c->cr3;
	vmcb->cr4 = c->cr4;
	/* VMRUN demands SVME in the guest's EFER (APM 2 15.5.1); dom0 never sees it. */
	vmcb->efer = c->efer | EFER_SVME;
	vmcb->dr6 = c->dr6;
	vmcb->dr7 = c->dr7;
	if (vmcb->v_intr & VMCB_V_INTR_MASKING)
		vmcb->v_intr = (vmcb->v_intr & ~VMCB_V_TPR_MASK) | c->tpr >> 4;
	vmcb->cpl = c->cpl;
	vmcb->clean &= (u32)~(VMCB_CLEAN_CRX | VMCB_CLEAN_DRX | VMCB_CLEAN_CR2 | VMCB_CLEAN_SEG |
			      VMCB_CLEAN_TPR);
}

static void store_segments(const struct vcpu *vcpu, struct vmcb *vmcb)
{
	const struct vcpu_segments *s = &vcpu->segments;

	/* VMLOAD below reloads the system call MSRs too: the live ones are the guest's. */
	refresh(vcpu, vmcb);
	for (u32 i = 0; i < SEG_COUNT; i++) {
		const struct segment *from = &s->seg[i];

		*vmcb_segment(vmcb, i) = (struct vmcb_segment){from->selector, from->attributes,
							       from->limit, from->base};
	}
	vmcb->gdtr.base = s->gdt_base;
	vmcb->gdtr.limit = s->gdt_limit;
	vmcb->idtr.base = s->idt_base;
	vmcb->idtr.limit = s->idt_limit;
	if (vcpu->active)
		vmload(vmcb);
	vmcb->clean &= (u32)~(VMCB_CLEAN_SEG | VMCB_CLEAN_DT);
}

/* Guests only: dom0's MSRs are its own business. */
static void store_msrs(const struct vcpu *vcpu, struct vmcb *vmcb)
{
	refresh(vcpu, vmcb);
	copy_words(&vmcb->star, vcpu->msrs.syscall, MSR_WORDS);
	vmcb->g_pat = vcpu->msrs.pat;
	vmcb->tsc_offset = vcpu->guest->tsc_offset;
	if (vcpu->active)
		vmload(vmcb);
	vmcb->clean &= (u32)~(VMCB_CLEAN_NP | VMCB_CLEAN_I);
}

static void svm_store(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vendor;

	if (vcpu->dirty & VCPU_CONTROL)
		store_control(&vcpu->control, vmcb);
	if (vcpu->dirty & VCPU_SEGMENTS)
		store_segments(vcpu, vmcb);
	if (vcpu->dirty & VCPU_MSRS)
		store_msrs(vcpu, vmcb);
	if (vcpu->dirty & VCPU_INTERCEPTS)
		svm_guest_intercepts(vcpu);
	if (vcpu->dirty & VCPU_FLUSH) {
		vmcb->tlb_control = VMCB_TLB_FLUSH_ALL;
		vmcb->clean = 0;
	}
	vcpu->dirty = 0;
}

static void svm_switch_worlds(struct vcpu *from, struct vcpu *to)
{
	if (from) {
		vmsave(from->vendor);
		from->active = false;
	}
	vmload(to->vendor);
	to->active = true;
}

static void decode_io(const struct vmcb *vmcb, struct vcpu_exit *exit)
{
	u64 info = vmcb->exit_info_1;

	exit->length = (u8)(vmcb->exit_info_2 - vmcb->rip);
	exit->io.port = (u16)IO_PORT(info);
	exit->io.size = (u8)IO_SIZE(info);
	exit->io.in = info & IO_IN;
	exit->io.string = info & IO_STRING;
	if (!exit->io.string)
		return;
	exit->io.rep = info & IO_REP;
	exit->io.segment = (u8)min_u64(IO_SEGMENT(info), SEG_GS);
	exit->io.address_size = (u8)(IO_ADDRESS(info) * 2);
}

static void decode_exception(const struct vmcb *vmcb, struct vcpu_exit *exit)
{
	u8 vector = (u8)(vmcb->exit_code - VMEXIT_EXCEPTION);
	/* APM 2 table 8-1: these push an error code. */
	const u32 with_error = BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17) |
			       BIT(21) | BIT(29) | BIT(30);

	exit->exception.vector = vector;
	exit->exception.has_error = with_error & BIT(vector);
	exit->exception.error = (u32)vmcb->exit_info_1;
	exit->exception.address = vmcb->exit_info_2;
}

/* Executing them is refused with the given exception. */
static void decode_refused(struct vcpu_exit *exit, u8 vector)
{
	exit->exception.vector = vector;
	exit->exception.has_error = vector == VECTOR_GP;
	exit->exception.error = 0;
}

static void decode_memory(const struct vmcb *vmcb, struct vcpu_exit *exit)
{
	u64 info = vmcb->exit_info_1;

	exit->info = vmcb->exit_info_2;
	exit->memory.at = gpa(vmcb->exit_info_2);
	exit->memory.present = info & NPF_PRESENT;
	exit->memory.write = info & NPF_WRITE;
	exit->memory.exec = info & NPF_EXEC;
	exit->memory.page_walk = info & NPF_WALK;
	/* Zero without decode assists (APM 2 15.8.4). */
	exit->memory.fetched = (u8)min_u64(vmcb->fetched_count, sizeof(exit->memory.bytes));
	if (exit->memory.fetched)
		memcpy(exit->memory.bytes, vmcb->fetched, sizeof(exit->memory.bytes));
}

/* A code that the table does not have, 0, is LUV_EXIT_OTHER. MORE: decode_more has something to say. */
#define REASON(name) (LUV_EXIT_##name ^ LUV_EXIT_OTHER)
#define MORE	     0x80u

static const u8 reasons[] = {
	[VMEXIT_CR4_WRITE] = REASON(CR),
	[VMEXIT_CR8_WRITE] = REASON(CR),
	[VMEXIT_DR ... VMEXIT_DR + 31] = REASON(DR),
	[VMEXIT_EXCEPTION ... VMEXIT_EXCEPTION_LAST] = MORE | REASON(EXCEPTION),
	[VMEXIT_INTR] = REASON(INTERRUPT),
	[VMEXIT_NMI] = REASON(NMI),
	[VMEXIT_SMI] = REASON(INTERRUPT),
	[VMEXIT_INIT] = REASON(INIT),
	[VMEXIT_VINTR] = REASON(WINDOW),
	[VMEXIT_RDPMC] = MORE | REASON(ILLEGAL),
	[VMEXIT_CPUID] = REASON(CPUID),
	[VMEXIT_IRET] = REASON(WINDOW),
	[VMEXIT_INVD] = REASON(INVD),
	[VMEXIT_HLT] = REASON(HLT),
	[VMEXIT_INVLPGA] = MORE | REASON(ILLEGAL),
	[VMEXIT_IO] = REASON(IO),
	[VMEXIT_MSR] = MORE | REASON(MSR),
	[VMEXIT_SHUTDOWN] = REASON(SHUTDOWN),
	[VMEXIT_VMRUN] = MORE | REASON(ILLEGAL),
	[VMEXIT_VMMCALL] = REASON(CALL),
	[VMEXIT_VMLOAD ... VMEXIT_SKINIT] = MORE | REASON(ILLEGAL), /* VMSAVE, STGI, CLGI */
	[VMEXIT_RDTSCP] = MORE | REASON(ILLEGAL),
	[VMEXIT_WBINVD] = REASON(INVD),
	[VMEXIT_MONITOR ... VMEXIT_MWAIT_ARMED] = MORE | REASON(ILLEGAL), /* MWAIT */
	[VMEXIT_XSETBV] = REASON(XSETBV),
	[VMEXIT_RDPRU] = MORE | REASON(ILLEGAL),
	[VMEXIT_INVLPGB] = MORE | REASON(ILLEGAL),
	[VMEXIT_INVPCID ... VMEXIT_TLBSYNC] = MORE | REASON(ILLEGAL),
};

static u32 look_up(u64 code)
{
	if (code < ARRAY_SIZE(reasons))
		return reasons[code];
	if (code == VMEXIT_NPF)
		return MORE | REASON(MEMORY);
	return code == VMEXIT_INVALID || code == VMEXIT_INVALID_TCG ? REASON(ENTRY_FAILED) : 0;
}

/*
 * An event whose delivery the exit interrupted is delivered again (APM 2 15.20). What an instruction
 * asked for (INTn; INT3 and INTO, which come as exceptions) is asked for again by executing it.
 */
static u64 interrupted_event(const struct vmcb *vmcb)
{
	u64 event = vmcb->exit_int_info;
	u8 vector = (u8)event;

	if (EVENT_TYPE_OF(event) == EVENT_SOFTWARE || look_up(vmcb->exit_code) == REASON(ENTRY_FAILED))
		return 0;
	/* TCG calls interrupts exceptions here; those end at 31. */
	if (EVENT_TYPE_OF(event) == EVENT_EXCEPTION && vector >= 32)
		return EVENT_VALID | EVENT_INTERRUPT | vector;
	if (EVENT_TYPE_OF(event) == EVENT_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF))
		return 0;
	return event;
}

static inline void leave(struct vcpu *vcpu, struct vmcb *vmcb)
{
	if (vcpu->guest)
		svm_guest_exited(vcpu, vmcb);
}

/* What else there is to know of an exit; of most there is nothing. */
static NOINLINE void decode_more(struct vcpu *vcpu, struct vmcb *vmcb)
{
	struct vcpu_exit *exit = &vcpu->exit;

	if (vmcb->exit_int_info & EVENT_VALID)
		vcpu->event = interrupted_event(vmcb);
	switch (exit->reason) {
	case LUV_EXIT_EXCEPTION:
		decode_exception(vmcb, exit);
		break;
	case LUV_EXIT_ILLEGAL:
		decode_refused(exit, vmcb->exit_code == VMEXIT_RDPMC ? VECTOR_GP : VECTOR_UD);
		break;
	case LUV_EXIT_MEMORY:
		decode_memory(vmcb, exit);
		break;
	case LUV_EXIT_MSR:
		exit->msr.index = (u32)vcpu->gpr[GPR_RCX];
		exit->msr.write = vmcb->exit_info_1 & 1;
		/* The map may have changed: this exit may have been one too many (msr_write_exits). */
		vmcb->clean &= (u32)~VMCB_CLEAN_MAPS;
		break;
	}
	leave(vcpu, vmcb);
}

static void svm_enter(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vendor;

	vmcb->rax = vcpu->gpr[GPR_RAX];
	vmcb->rsp = vcpu->gpr[GPR_RSP];
	vmcb->rip = vcpu->rip;
	vmcb->rflags = vcpu->rflags;
	vmcb->interrupt_shadow = vcpu->shadow;
	vmcb->event_inject = vcpu->event;
	/* An SMI handler that TCG ran inside the guest may have lost it. */
	vmcb->efer |= EFER_SVME;
	if (vcpu->guest) {
		svm_guest_enter(vcpu, vmcb);
	} else {
		svm_clear_buffers();
		svm_run(vcpu, vmcb->self);
	}
}

/* From entry.S. */
void svm_exited(struct vcpu *vcpu);

void svm_exited(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vendor;
	u32 found = look_up(vmcb->exit_code), reason = (found & ~MORE) ^ LUV_EXIT_OTHER;

	vcpu->gpr[GPR_RAX] = vmcb->rax;
	vcpu->gpr[GPR_RSP] = vmcb->rsp;
	vcpu->rip = vmcb->rip;
	vcpu->rflags = vmcb->rflags;
	vcpu->shadow = vmcb->interrupt_shadow & 1;
	vcpu->event = 0;
	vcpu->code64 = vmcb->efer & EFER_LMA && vmcb->cs.attributes & SEGMENT_LONG;
	vcpu->control.cr3 = vmcb->cr3;
	vcpu->control.cr4 = vmcb->cr4;
	vcpu->valid = VCPU_NEAR;
	vmcb->tlb_control = VMCB_TLB_KEEP;
	vmcb->clean = VMCB_CLEAN_ALL;
	vcpu->exit.reason = reason;
	vcpu->exit.code = vmcb->exit_code;
	vcpu->exit.info = vmcb->exit_info_1;
	/* Zero without NRIP save; never more than 15 with it. */
	vcpu->exit.length = vmcb->next_rip ? (u8)(vmcb->next_rip - vmcb->rip) : 0;
	if (reason == LUV_EXIT_IO)
		decode_io(vmcb, &vcpu->exit);
	if (found & MORE || vmcb->exit_int_info & EVENT_VALID)
		decode_more(vcpu, vmcb);
	else
		leave(vcpu, vmcb);
}

/* GIF=1 lets INIT through; interrupts stay masked by IF, NMIs are ignored (cpu/desc.c). */
static noreturn void svm_park(struct vcpu *vcpu)
{
	__asm__ volatile("stgi" : : : "memory");
	for (;;)
		__asm__ volatile("hlt" : : : "memory");
}

static u64 svm_debugctl(struct vcpu *vcpu)
{
	return rdmsr(MSR_DEBUGCTL);
}

static void svm_msr_write_exits(u32 msr, bool exits)
{
	msrpm_pass(dom0_msrpm, msr);
	msrpm_intercept(dom0_msrpm, msr, false, exits);
}

static COLD void svm_take_init(void)
{
	u64 vm_cr = rdmsr(MSR_VM_CR);

	/* INIT becomes #SX, which cpu/desc.c swallows (APM 2 15.21.8, 15.30.1). */
	wrmsr(MSR_VM_CR, vm_cr | VM_CR_R_INIT);
	__asm__ volatile("stgi\n\tnop\n\tclgi" : : : "memory");
	wrmsr(MSR_VM_CR, vm_cr);
}

const struct virt_ops svm_ops = {
	.name = "AMD-V",
	.vendor = LUV_VENDOR_SVM,
	.ident = svm_ident,
	.probe = svm_probe,
	.init_exits = svm_init_exits,
	.startup_exits = svm_startup_exits,
	.nested_format = svm_nested_format,
	.cpu_on = svm_cpu_on,
	.vcpu_create_dom0 = svm_vcpu_create_dom0,
	.vcpu_create_guest = svm_guest_create,
	.vcpu_destroy = svm_vcpu_destroy,
	.switch_worlds = svm_switch_worlds,
	.load = svm_load,
	.store = svm_store,
	.debugctl = svm_debugctl,
	.enter = svm_enter,
	.park = svm_park,
	.msr_write_exits = svm_msr_write_exits,
	.take_init = svm_take_init,
};
