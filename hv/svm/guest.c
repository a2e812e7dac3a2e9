/* SPDX-License-Identifier: BSD-2-Clause */
#include "svm/guest.h"

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/host.h"
#include "mem/page.h"
#include "svm/msrpm.h"
#include "svm/vmcb.h"
#include "vm/guest.h"
#include "vm/tag.h"
#include "vm/world.h"

#define INTERCEPT_1                                                                                \
	(VMCB_INTERCEPT_1_INTR | VMCB_INTERCEPT_1_NMI | VMCB_INTERCEPT_1_SMI |                     \
	 VMCB_INTERCEPT_1_INIT | VMCB_INTERCEPT_1_RDPMC | VMCB_INTERCEPT_1_CPUID |                 \
	 VMCB_INTERCEPT_1_INVD | VMCB_INTERCEPT_1_HLT | VMCB_INTERCEPT_1_INVLPGA |                 \
	 VMCB_INTERCEPT_1_IO | VMCB_INTERCEPT_1_MSR | VMCB_INTERCEPT_1_FERR |                      \
	 VMCB_INTERCEPT_1_SHUTDOWN)
#define INTERCEPT_2                                                                                \
	(VMCB_INTERCEPT_2_VMRUN | VMCB_INTERCEPT_2_VMMCALL | VMCB_INTERCEPT_2_VMLOAD |             \
	 VMCB_INTERCEPT_2_VMSAVE | VMCB_INTERCEPT_2_STGI | VMCB_INTERCEPT_2_CLGI |                 \
	 VMCB_INTERCEPT_2_SKINIT | VMCB_INTERCEPT_2_WBINVD | VMCB_INTERCEPT_2_MONITOR |            \
	 VMCB_INTERCEPT_2_MWAIT | VMCB_INTERCEPT_2_XSETBV | VMCB_INTERCEPT_2_RDPRU)
#define INTERCEPT_3                                                                                \
	(VMCB_INTERCEPT_3_INVLPGB | VMCB_INTERCEPT_3_MCOMMIT | VMCB_INTERCEPT_3_TLBSYNC)

/*
 * #AC and #DB are intercepted although the guest gets them: a guest can make their delivery raise
 * them again for ever, and no interrupt is taken meanwhile (CVE-2015-5307, CVE-2015-8104). #MC is dom0's.
 */
#define ALWAYS_EXCEPTIONS (BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(VECTOR_MC))

/* The MSRs that VMLOAD, VMSAVE, VMRUN and #VMEXIT switch: the guest has its own. */
static const u32 switched_msrs[] = {
	MSR_STAR,	    MSR_LSTAR,	      MSR_CSTAR,	  MSR_SFMASK,
	MSR_FS_BASE,	    MSR_GS_BASE,      MSR_KERNEL_GS_BASE, MSR_SYSENTER_CS,
	MSR_SYSENTER_ESP,   MSR_SYSENTER_EIP, MSR_PAT,
};

static u32 asid_count; /* immutable after svm_guest_init */
bool svm_clears_buffers;
static u8 guest_msrpm[MSRPM_SIZE] ALIGNED(4096);
static u8 guest_iopm[3 * PAGE_SIZE] ALIGNED(4096); /* APM 2 15.10.1 */

COLD void svm_guest_init(void)
{
	asid_count = cpuid(0x8000000a, 0).ebx;
	svm_clears_buffers = world_mitigations() & LUV_MITIGATION_VERW;
	memset(guest_iopm, 0xff, sizeof(guest_iopm));
	memset(guest_msrpm, 0xff, sizeof(guest_msrpm));
	for (u32 i = 0; i < ARRAY_SIZE(switched_msrs); i++)
		msrpm_pass(guest_msrpm, switched_msrs[i]);
}

COLD bool svm_guest_create(struct vcpu *vcpu)
{
	struct vmcb *vmcb = page_alloc();

	if (!vmcb)
		return false;
	vmcb->self = virt_to_hpa(vmcb).addr;
	vmcb->intercept_1 = INTERCEPT_1;
	vmcb->intercept_2 = INTERCEPT_2;
	vmcb->intercept_3 = INTERCEPT_3;
	vmcb->iopm_base = image_to_hpa(guest_iopm).addr;
	vmcb->msrpm_base = image_to_hpa(guest_msrpm).addr;
	vmcb->v_intr = VMCB_V_INTR_MASKING;
	vmcb->np_enable = 1;
	vmcb->nested_cr3 = virt_to_hpa(vcpu->nested->root).addr;
	vcpu->vendor = vmcb;
	return true;
}

void svm_guest_intercepts(struct vcpu *vcpu)
{
	const struct guest *guest = vcpu->guest;
	struct vmcb *vmcb = vcpu->vendor;

	vmcb->intercept_dr = vcpu->debug_live ? 0 : VMCB_INTERCEPT_DR;
	vmcb->intercept_exception = (u32)(ALWAYS_EXCEPTIONS | guest->debug_exceptions);
	vmcb->intercept_1 = INTERCEPT_1;
	vmcb->intercept_2 = (u32)(INTERCEPT_2 | (guest->rdtscp ? 0 : VMCB_INTERCEPT_2_RDTSCP));
	vmcb->intercept_3 = (u32)(INTERCEPT_3 | (guest->invpcid ? 0 : VMCB_INTERCEPT_3_INVPCID));
	vmcb->v_intr &= ~(VMCB_V_IRQ | VMCB_V_IGN_TPR);
	/* The CPU would let the guest set what it has and the guest's CPUID has not. */
	vmcb->intercept_cr = VMCB_INTERCEPT_CR4_WRITE;
	/* A virtual interrupt that is intercepted the moment the guest could take it. */
	if (guest->window_open) {
		vmcb->intercept_1 |= VMCB_INTERCEPT_1_VINTR;
		vmcb->v_intr |= VMCB_V_IRQ | VMCB_V_IGN_TPR;
	}
	/* With a virtual interrupt pending, too: TCG aborts when a guest writes CR8 then. */
	if (guest->trap_cr8 || guest->window_open)
		vmcb->intercept_cr |= VMCB_INTERCEPT_CR8_WRITE;
	/* Without virtual NMIs, IRET tells that the guest's handler is done. */
	if (guest->nmi_blocked && !guest->nmi_return)
		vmcb->intercept_1 |= VMCB_INTERCEPT_1_IRET;
	vmcb->clean &= (u32)~(VMCB_CLEAN_I | VMCB_CLEAN_TPR);
}

static bool nmi_waits_for_iret(const struct vcpu *vcpu)
{
	const struct guest *guest = vcpu->guest;

	/* What is injected first would push our TF. */
	return guest->nmi_blocked && guest->nmi_return && guest->nmi_return == vcpu->rip && !vcpu->event &&
	       (guest->nmi_pending || guest->request & LUV_REQUEST_NMI_WINDOW);
}

/* The step's TF is the guest's no longer: behind the IRET RFLAGS are what that popped. */
static void end_nmi_step(struct vcpu *vcpu, struct vmcb *vmcb)
{
	vcpu->guest->nmi_step = false;
	if (vcpu->rip == vcpu->guest->nmi_return)
		vcpu->rflags &= ~RFLAGS_TF;
	if (vmcb->exit_code != VMEXIT_EXCEPTION + VECTOR_DB)
		return;
	vmcb->dr6 &= ~DR6_BS;
	vmcb->clean &= (u32)~VMCB_CLEAN_DRX;
	vcpu->exit.reason = LUV_EXIT_WINDOW;
}

static inline void enter(struct vcpu *vcpu, const struct vmcb *vmcb)
{
	/* With V_INTR_MASKING our IF at VMRUN decides whether a physical interrupt ends the guest
	 * (APM 2 15.21.1); GIF keeps them from us. */
	__asm__ volatile("sti" : : : "memory");
	svm_clear_buffers();
	svm_run_guest(vcpu, vmcb->self);
}

static NOINLINE void prepare_and_enter(struct vcpu *vcpu, struct vmcb *vmcb)
{
	struct guest *guest = vcpu->guest;
	u32 before = guest->tag_cpu;

	/* The pending one, or the window, is due behind the IRET (APM 2 15.21.5 asks for no exit there): a single step ends there. */
	if (nmi_waits_for_iret(vcpu) && !(vmcb->rflags & RFLAGS_TF)) {
		vmcb->rflags |= RFLAGS_TF;
		guest->nmi_step = true;
	}
	if (vmcb->tlb_control != VMCB_TLB_KEEP || !tag_is_valid(vcpu)) {
		vmcb->tlb_control = tag_renew(vcpu, asid_count, &vmcb->asid) ? VMCB_TLB_FLUSH_ALL : VMCB_TLB_KEEP;
		/* What the CPU cached of a VMCB is void when the VMCB was on another CPU (APM 2 15.15.1). */
		vmcb->clean = before == vcpu->cpu->index ? vmcb->clean & (u32)~VMCB_CLEAN_ASID : 0;
	}
	enter(vcpu, vmcb);
}

void svm_guest_enter(struct vcpu *vcpu, struct vmcb *vmcb)
{
	if (vcpu->guest->nmi_blocked || vmcb->tlb_control != VMCB_TLB_KEEP || !tag_is_valid(vcpu))
		prepare_and_enter(vcpu, vmcb);
	else
		enter(vcpu, vmcb);
}

void svm_guest_exited(struct vcpu *vcpu, struct vmcb *vmcb)
{
	u8 tpr = (u8)(vmcb->v_intr << 4);

	__asm__ volatile("cli" : : : "memory");
	/* The VMCB has TPR's upper half (APM 2 15.21.2); the other stays while that one does. */
	if ((tpr ^ vcpu->control.tpr) & 0xf0)
		vcpu->control.tpr = tpr;
	if (vcpu->guest->nmi_step)
		end_nmi_step(vcpu, vmcb);
	if (vmcb->exit_code != VMEXIT_IRET)
		return;
	/* NMIs stay blocked until the IRET is done: until RIP has moved on. */
	vcpu->guest->nmi_return = vmcb->rip;
	vcpu->dirty |= VCPU_INTERCEPTS;
}
