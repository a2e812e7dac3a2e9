/* SPDX-License-Identifier: BSD-2-Clause */
/* AMD-V: virt_ops for the Secure Virtual Machine architecture (APM 2 chapter 15). */
#include "cpu/desc.h"
#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/host.h"
#include "mem/page.h"
#include "svm/msrpm.h"
#include "svm/npt.h"
#include "svm/vmcb.h"
#include "vm/exit_policy.h"
#include "vm/virt_ops.h"

/* CPUID 80000001h ECX and 8000000Ah EDX (APM 3 E.4.2, E.4.9). */
#define CPUID_80000001_ECX_SVM	   BIT(2)
#define CPUID_80000001_EDX_PAGE1GB BIT(26)
#define CPUID_8000000A_EDX_NP	   BIT(0)
#define CPUID_8000000A_EDX_NRIPS   BIT(3)

#define DOM0_ASID 1

#define INTERCEPT_1                                                                                \
	(VMCB_INTERCEPT_1_CPUID | VMCB_INTERCEPT_1_INVD | VMCB_INTERCEPT_1_INVLPGA |               \
	 VMCB_INTERCEPT_1_MSR | VMCB_INTERCEPT_1_SHUTDOWN)
#define INTERCEPT_2                                                                                \
	(VMCB_INTERCEPT_2_VMRUN | VMCB_INTERCEPT_2_VMMCALL | VMCB_INTERCEPT_2_VMLOAD |             \
	 VMCB_INTERCEPT_2_VMSAVE | VMCB_INTERCEPT_2_STGI | VMCB_INTERCEPT_2_CLGI |                 \
	 VMCB_INTERCEPT_2_SKINIT)
#define INTERCEPT_3 (VMCB_INTERCEPT_3_INVLPGB | VMCB_INTERCEPT_3_TLBSYNC)

/* One for all of dom0's vCPUs; filled before the first runs. */
static u8 dom0_msrpm[MSRPM_SIZE] ALIGNED(4096);

void svm_run(struct vcpu *vcpu, u64 vmcb);

static void vmsave(hpa_t vmcb)
{
	__asm__ volatile("vmsave %%rax" : : "a"(vmcb.addr) : "memory");
}

static void vmload(hpa_t vmcb)
{
	__asm__ volatile("vmload %%rax" : : "a"(vmcb.addr) : "memory");
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
static bool svm_ident(void)
{
	struct cpuid id = cpuid(0, 0);

	/* "AuthenticAMD" */
	return has_svm() || (id.ebx == 0x68747541 && id.edx == 0x69746e65 && id.ecx == 0x444d4163);
}

static const char *svm_probe(void)
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

static const struct nested_format *svm_nested_format(void)
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

static bool svm_vcpu_create_dom0(struct vcpu *vcpu)
{
	struct vmcb *vmcb = page_alloc();

	if (!vmcb)
		return false;
	vcpu->policy->for_each_msr(intercept_msr);
	vmcb->intercept_1 = INTERCEPT_1;
	if (svm_init_exits())
		vmcb->intercept_1 |= VMCB_INTERCEPT_1_INIT;
	vmcb->intercept_2 = INTERCEPT_2;
	vmcb->intercept_3 = INTERCEPT_3;
	vmcb->msrpm_base = image_to_hpa(dom0_msrpm).addr;
	vmcb->asid = DOM0_ASID;
	vmcb->np_enable = 1;
	vmcb->nested_cr3 = virt_to_hpa(vcpu->nested->root).addr;
	vmcb->g_pat = rdmsr(MSR_PAT);
	/* FS, GS, LDTR, TR and the system call MSRs as this CPU has them now. */
	vmsave(virt_to_hpa(vmcb));
	vcpu->vendor = vmcb;
	return true;
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

static void load_segments(struct vcpu *vcpu, struct vmcb *vmcb)
{
	struct vcpu_segments *s = &vcpu->segments;

	vmsave(virt_to_hpa(vmcb));
	for (u32 i = 0; i < SEG_COUNT; i++) {
		const struct vmcb_segment *from = vmcb_segment(vmcb, i);

		s->seg[i] = (struct segment){from->selector, from->attributes, from->limit,
					     from->base};
	}
	s->gdt_base = vmcb->gdtr.base;
	s->gdt_limit = vmcb->gdtr.limit;
	s->idt_base = vmcb->idtr.base;
	s->idt_limit = vmcb->idtr.limit;
}

static void svm_load(struct vcpu *vcpu, u32 groups)
{
	struct vmcb *vmcb = vcpu->vendor;
	struct vcpu_control *c = &vcpu->control;

	if (groups & VCPU_CONTROL) {
		*c = (struct vcpu_control){
			.cr0 = vmcb->cr0,
			.cr2 = vmcb->cr2,
			.cr3 = vmcb->cr3,
			.cr4 = vmcb->cr4,
			.efer = vmcb->efer & ~EFER_SVME,
			.dr6 = vmcb->dr6,
			.dr7 = vmcb->dr7,
			.cpl = vmcb->cpl,
			.interrupt_shadow = vmcb->interrupt_shadow & 1,
		};
	}
	if (groups & VCPU_SEGMENTS)
		load_segments(vcpu, vmcb);
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
	vmcb->cpl = c->cpl;
	vmcb->interrupt_shadow = c->interrupt_shadow;
	vmcb->clean &= (u32)~(VMCB_CLEAN_CRX | VMCB_CLEAN_DRX | VMCB_CLEAN_CR2 | VMCB_CLEAN_SEG);
}

static void store_segments(const struct vcpu_segments *s, struct vmcb *vmcb)
{
	/* VMLOAD below reloads the system call MSRs too: the live ones are the guest's. */
	vmsave(virt_to_hpa(vmcb));
	for (u32 i = 0; i < SEG_COUNT; i++) {
		const struct segment *from = &s->seg[i];

		*vmcb_segment(vmcb, i) = (struct vmcb_segment){from->selector, from->attributes,
							       from->limit, from->base};
	}
	vmcb->gdtr.base = s->gdt_base;
	vmcb->gdtr.limit = s->gdt_limit;
	vmcb->idtr.base = s->idt_base;
	vmcb->idtr.limit = s->idt_limit;
	vmload(virt_to_hpa(vmcb));
	vmcb->clean &= (u32)~(VMCB_CLEAN_SEG | VMCB_CLEAN_DT);
}

static void svm_store(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vendor;

	if (vcpu->dirty & VCPU_CONTROL)
		store_control(&vcpu->control, vmcb);
	if (vcpu->dirty & VCPU_SEGMENTS)
		store_segments(&vcpu->segments, vmcb);
	if (vcpu->dirty & VCPU_FLUSH) {
		vmcb->tlb_control = VMCB_TLB_FLUSH_ALL;
		vmcb->clean = 0;
	}
	vcpu->dirty = 0;
}

static void svm_inject(struct vcpu *vcpu, const struct vcpu_event *event)
{
	struct vmcb *vmcb = vcpu->vendor;

	if (!event) {
		vmcb->event_inject = 0;
		return;
	}
	vmcb->event_inject = VMCB_EVENT_VALID | (u64)event->type << 8 | event->vector;
	if (event->has_error)
		vmcb->event_inject |= VMCB_EVENT_ERROR_VALID | (u64)event->error << 32;
}

static void decode_memory(const struct vmcb *vmcb, struct vcpu_exit *exit)
{
	u64 info = vmcb->exit_info_1;

	exit->reason = LUV_EXIT_MEMORY;
	exit->memory.at = gpa(vmcb->exit_info_2);
	exit->memory.present = info & NPF_PRESENT;
	exit->memory.write = info & NPF_WRITE;
	exit->memory.exec = info & NPF_EXEC;
	exit->memory.page_walk = info & NPF_WALK;
}

static void decode_exit(const struct vmcb *vmcb, struct vcpu_exit *exit)
{
	exit->code = vmcb->exit_code;
	exit->info = vmcb->exit_info_1;
	/* Zero without NRIP save; never more than 15 with it. */
	exit->length = vmcb->next_rip ? (u8)(vmcb->next_rip - vmcb->rip) : 0;

	switch (vmcb->exit_code) {
	case VMEXIT_CPUID:
		exit->reason = LUV_EXIT_CPUID;
		break;
	case VMEXIT_MSR:
		exit->reason = LUV_EXIT_MSR;
		exit->msr.write = vmcb->exit_info_1 & 1;
		break;
	case VMEXIT_NPF:
		decode_memory(vmcb, exit);
		break;
	case VMEXIT_VMMCALL:
		exit->reason = LUV_EXIT_CALL;
		break;
	case VMEXIT_INVLPGA:
	case VMEXIT_VMRUN:
	case VMEXIT_VMLOAD:
	case VMEXIT_VMSAVE:
	case VMEXIT_STGI:
	case VMEXIT_CLGI:
	case VMEXIT_SKINIT:
	case VMEXIT_INVLPGB:
	case VMEXIT_TLBSYNC:
		exit->reason = LUV_EXIT_ILLEGAL;
		break;
	case VMEXIT_INVD:
		exit->reason = LUV_EXIT_INVD;
		break;
	case VMEXIT_NMI:
		exit->reason = LUV_EXIT_NMI;
		break;
	case VMEXIT_INIT:
		exit->reason = LUV_EXIT_INIT;
		break;
	case VMEXIT_SHUTDOWN:
		exit->reason = LUV_EXIT_SHUTDOWN;
		break;
	default:
		exit->reason = LUV_EXIT_OTHER;
		break;
	}
}

/*
 * An event whose delivery the exit interrupted is delivered again (APM 2 15.20); a software
 * interrupt's instruction is simply executed again.
 */
static u64 interrupted_event(const struct vmcb *vmcb)
{
	u64 event = vmcb->exit_int_info;

	if (!(event & VMCB_EVENT_VALID) || VMCB_EVENT_TYPE(event) == VMCB_EVENT_SOFTWARE)
		return 0;
	return event;
}

static void svm_enter(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vendor;

	vmcb->rax = vcpu->gpr[GPR_RAX];
	vmcb->rsp = vcpu->gpr[GPR_RSP];
	vmcb->rip = vcpu->rip;
	vmcb->rflags = vcpu->rflags;
	/* An SMI handler that TCG ran inside the guest may have lost it. */
	vmcb->efer |= EFER_SVME;

	svm_run(vcpu, virt_to_hpa(vmcb).addr);

	vmcb->tlb_control = VMCB_TLB_KEEP;
	vmcb->clean = VMCB_CLEAN_ALL;
	vcpu->valid = 0;
	vcpu->gpr[GPR_RAX] = vmcb->rax;
	vcpu->gpr[GPR_RSP] = vmcb->rsp;
	vcpu->rip = vmcb->rip;
	vcpu->rflags = vmcb->rflags;
	decode_exit(vmcb, &vcpu->exit);
	if (vcpu->exit.reason == LUV_EXIT_MSR)
		vcpu->exit.msr.index = (u32)vcpu->gpr[GPR_RCX];
	vmcb->event_inject = interrupted_event(vmcb);
}

/* GIF=1 lets INIT through; interrupts stay masked by IF, NMIs are ignored (cpu/desc.c). */
static noreturn void svm_park(void)
{
	__asm__ volatile("stgi" : : : "memory");
	for (;;)
		__asm__ volatile("hlt" : : : "memory");
}

static void svm_take_init(void)
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
	.nested_format = svm_nested_format,
	.cpu_on = svm_cpu_on,
	.vcpu_create_dom0 = svm_vcpu_create_dom0,
	.load = svm_load,
	.store = svm_store,
	.inject = svm_inject,
	.enter = svm_enter,
	.park = svm_park,
	.take_init = svm_take_init,
};
