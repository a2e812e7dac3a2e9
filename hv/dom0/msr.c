/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/msr.h"

#include "cpu/desc.h"
#include "cpu/log.h"
#include "cpu/msr.h"
#include "cpu/x86.h"
#include "dom0/apic.h"
#include "dom0/microcode.h"
#include "dom0/mtrr.h"
#include "exit/instruction.h"
#include "vm/virt_ops.h"

/* False: the access raises #GP. */
typedef bool (*read_t)(struct vcpu *vcpu, u32 msr, u64 *value);
typedef bool (*write_t)(struct vcpu *vcpu, u32 msr, u64 value);

static bool read_efer(struct vcpu *vcpu, u32 msr, u64 *value)
{
	vcpu_need(vcpu, VCPU_CONTROL);
	*value = vcpu->control.efer;
	return true;
}

static u64 efer_bits; /* that dom0 may write; immutable after dom0_msr_for_each */

/* CPUID 80000001h, 80000008h and 80000021h name the optional bits (APM 2 3.1.7). */
static u64 efer_writable(void)
{
	struct cpuid extended = cpuid(0x80000001, 0), sizes = cpuid(0x80000008, 0);
	u64 bits = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

	if (extended.edx & BIT(25))
		bits |= EFER_FFXSR;
	if (extended.ecx & BIT(17))
		bits |= EFER_TCE;
	if (extended.ecx & BIT(2) && !(sizes.ebx & BIT(20))) /* AMD's (SVM): EferLmsleUnsupported */
		bits |= EFER_LMSLE;
	if (sizes.ebx & BIT(8)) /* MCOMMIT */
		bits |= BIT(17);
	if (sizes.ebx & BIT(13)) /* INT_WBINVD */
		bits |= BIT(18);
	if (cpuid(0x80000000, 0).eax >= 0x80000021) {
		u32 eax = cpuid(0x80000021, 0).eax;

		if (eax & BIT(7)) /* UpperAddressIgnore */
			bits |= BIT(20);
		if (eax & BIT(8)) /* AutomaticIBRS */
			bits |= BIT(21);
	}
	return bits;
}

/* SVME raises #GP, as where VM_CR.SVMDIS is set (APM 2 15.4). */
static bool write_efer(struct vcpu *vcpu, u32 msr, u64 value)
{
	struct vcpu_control *c = &vcpu->control;

	vcpu_need(vcpu, VCPU_CONTROL);
	if (value & ~efer_bits)
		return false;
	if ((value ^ c->efer) & EFER_LME && c->cr0 & CR0_PG)
		return false;
	/* LMA is read-only: the CPU's own doing. */
	c->efer = (value & ~EFER_LMA) | (c->efer & EFER_LMA);
	vcpu->dirty |= VCPU_CONTROL;
	return true;
}

/* "SVM disabled and locked by the firmware" (APM 2 15.30.1). */
static bool read_vm_cr(struct vcpu *vcpu, u32 msr, u64 *value)
{
	*value = VM_CR_SVMDIS | VM_CR_LOCK;
	return true;
}

static bool read_zero(struct vcpu *vcpu, u32 msr, u64 *value)
{
	*value = 0;
	return true;
}

static bool write_ignored(struct vcpu *vcpu, u32 msr, u64 value)
{
	return true;
}

static bool write_refused(struct vcpu *vcpu, u32 msr, u64 value)
{
	return false;
}

/* Of the register only these bits change. */
static bool write_bits(struct vcpu *vcpu, u32 msr, u64 value, u64 free_bits)
{
	u64 now = 0, ignored;

	if (!rdmsr_safe(msr, &now))
		return false;
	ignored = (value ^ now) & ~free_bits;
	if (ignored)
		hv_log_first("CPU %u: dom0's change of bits 0x%llx of MSR 0x%x was ignored (it was 0x%llx)",
			     vcpu->cpu->index, (unsigned long long)ignored, msr,
			     (unsigned long long)now);
	return value == now || !free_bits || wrmsr_safe(msr, value ^ ignored);
}

/*
 * Registers that move memory about (where RAM ends, what overlays it, where SMM lives) or that others
 * depend on. What is there may be written again.
 */
static bool write_same(struct vcpu *vcpu, u32 msr, u64 value)
{
	return write_bits(vcpu, msr, value, 0);
}

/* Linux sets and clears MtrrFixDramModEn around fixed MTRR writes; the rest of SYSCFG stays. */
static bool write_syscfg(struct vcpu *vcpu, u32 msr, u64 value)
{
	return write_bits(vcpu, msr, value, SYSCFG_MTRR_FIX_DRAM_EN | SYSCFG_MTRR_FIX_DRAM_MOD_EN);
}

/* What operating systems set: boost, counting, injected machine checks. SmmLock and others stay. */
static bool write_hwcr(struct vcpu *vcpu, u32 msr, u64 value)
{
	return write_bits(vcpu, msr, value,
			  HWCR_MC_STATUS_WR_EN | HWCR_CPB_DIS | HWCR_IR_PERF_EN);
}

/* The page may not move: root mode's mapping and the write trap are where it is. */
static bool write_apic_base(struct vcpu *vcpu, u32 msr, u64 value)
{
	u64 now = rdmsr(MSR_APIC_BASE);

	if ((value ^ now) & ~APIC_BASE_FLAGS) {
		hv_log_first("dom0 tried to move the local APIC (APIC_BASE = 0x%llx): #GP",
			     (unsigned long long)value);
		return false;
	}
	return wrmsr_safe(msr, value);
}

static bool write_x2apic_icr(struct vcpu *vcpu, u32 msr, u64 value)
{
	return dom0_apic_write_icr64(vcpu, value);
}

/* vm/world.c knows it without reading it. */
static bool write_tsc_aux(struct vcpu *vcpu, u32 msr, u64 value)
{
	if (!wrmsr_safe(msr, value))
		return false;
	vcpu->cpu->dom0_msrs.tsc_aux = rdmsr(msr);
	return true;
}

/* "VMX disabled and locked by the firmware" (SDM 3C 24.7). */
static bool read_feature_control(struct vcpu *vcpu, u32 msr, u64 *value)
{
	*value = FEATURE_CONTROL_LOCK;
	return true;
}

#define SVM BIT(LUV_VENDOR_SVM)
#define VMX BIT(LUV_VENDOR_VMX)
#define BOTH (SVM | VMX)

struct msr_rule {
	u32 vendors;
	u32 first, last;
	read_t read;   /* NULL: passes */
	write_t write; /* NULL: passes */
};

static const struct msr_rule rules[] = {
	{BOTH, MSR_EFER, MSR_EFER, read_efer, write_efer},
	{SVM, MSR_VM_CR, MSR_VM_CR, read_vm_cr, write_ignored},
	{SVM, MSR_VM_HSAVE_PA, MSR_VM_HSAVE_PA, read_zero, write_refused},
	{SVM, MSR_SVM_KEY, MSR_SVM_KEY, read_zero, write_refused},
	{BOTH, MSR_APIC_BASE, MSR_APIC_BASE, NULL, write_apic_base},
	{BOTH, MSR_X2APIC_ICR, MSR_X2APIC_ICR, NULL, write_x2apic_icr},
	{BOTH, MSR_TSC_AUX, MSR_TSC_AUX, NULL, write_tsc_aux},
	{VMX, MSR_STAR, MSR_SFMASK, NULL, vcpu_write_syscall_msr},
	{SVM, MSR_TSC_RATIO, MSR_TSC_RATIO, NULL, write_refused},
	{SVM, MSR_SYSCFG, MSR_SYSCFG, NULL, write_syscfg},
	{SVM, MSR_HWCR, MSR_HWCR, NULL, write_hwcr},
	{SVM, MSR_IORR_BASE0, MSR_IORR_MASK1, NULL, write_same},
	{SVM, MSR_TOP_MEM, MSR_TOP_MEM, NULL, write_same},
	{SVM, MSR_TOP_MEM2, MSR_TOP_MEM2, NULL, write_same},
	{SVM, MSR_PATCH_LOADER, MSR_PATCH_LOADER, NULL, microcode_load_amd},
	{SVM, MSR_SMI_ON_IO_TRAP0, MSR_SMI_ON_IO_TRAP_CTL, NULL, write_same},
	{SVM, MSR_INT_PENDING, MSR_SMI_TRIGGER, NULL, write_same},
	{SVM, MSR_MMIO_CFG_BASE, MSR_MMIO_CFG_BASE, NULL, write_same},
	{SVM, MSR_SMM_BASE, MSR_SMM_MASK, NULL, write_same},
	{SVM, MSR_SMM_CTL, MSR_SMM_CTL, NULL, write_refused},
	{SVM, MSR_SMM_KEY, MSR_SMM_KEY, NULL, write_same},
	{SVM, MSR_AVIC_DOORBELL, MSR_AVIC_DOORBELL, NULL, write_refused},
	{SVM, MSR_VMPAGE_FLUSH, MSR_VMPAGE_FLUSH, NULL, write_refused},
	{SVM, MSR_GHCB, MSR_SEV_LAST, NULL, write_refused},
	{SVM, MSR_CPUID_7_FEATURES, MSR_CPUID_EXT_FEATURES, NULL, write_same},
	{VMX, MSR_FEATURE_CONTROL, MSR_FEATURE_CONTROL, read_feature_control, write_refused},
	{VMX, MSR_BIOS_UPDT_TRIG, MSR_BIOS_UPDT_TRIG, NULL, microcode_load_intel},
	{VMX, MSR_SMM_MONITOR_CTL, MSR_SMM_MONITOR_CTL, NULL, write_refused},
	{VMX, MSR_RTIT_CTL, MSR_RTIT_CTL, NULL, write_refused},
};

static void (*visitor)(u32 msr, bool read, bool write);

static void visit_mtrr(u32 msr)
{
	visitor(msr, false, true);
}

void dom0_msr_for_each(u32 vendor, void (*intercept)(u32 msr, bool read, bool write))
{
	efer_bits = efer_writable();
	for (u32 i = 0; i < ARRAY_SIZE(rules); i++) {
		for (u32 msr = rules[i].first; msr <= rules[i].last; msr++) {
			if (rules[i].vendors & BIT(vendor))
				intercept(msr, rules[i].read, rules[i].write);
		}
	}
	visitor = intercept;
	mtrr_for_each_msr(visit_mtrr);
}

static bool read_passed(struct vcpu *vcpu, u32 msr, u64 *value)
{
	return rdmsr_safe(msr, value);
}

static bool write_passed(struct vcpu *vcpu, u32 msr, u64 value)
{
	return wrmsr_safe(msr, value);
}

static const struct msr_rule *find(u32 vendor, u32 msr)
{
	static const struct msr_rule mtrr = {.read = NULL, .write = mtrr_write};
	/* What the intercept map does not cover always exits (APM 2 15.11, SDM 3C 25.6.9): SMCA's at C0002000h. */
	static const struct msr_rule uncovered = {.read = read_passed, .write = write_passed};

	for (u32 i = 0; i < ARRAY_SIZE(rules); i++) {
		if (rules[i].vendors & BIT(vendor) && msr >= rules[i].first && msr <= rules[i].last)
			return &rules[i];
	}
	return mtrr_is_msr(msr) ? &mtrr : &uncovered;
}

void dom0_msr_exit(struct vcpu *vcpu)
{
	bool write = vcpu->exit.msr.write, done;
	u32 msr = vcpu->exit.msr.index;
	const struct msr_rule *rule = find(vcpu->ops->vendor, msr);
	u64 value = (u64)(u32)vcpu->gpr[GPR_RDX] << 32 | (u32)vcpu->gpr[GPR_RAX];

	if (!instruction_known(vcpu, write ? OPCODE_WRMSR : OPCODE_RDMSR))
		return;
	if (write)
		done = rule->write && rule->write(vcpu, msr, value);
	else
		done = rule->read && rule->read(vcpu, msr, &value);
	if (!done) {
		vcpu_raise(vcpu, VECTOR_GP, true, 0);
		return;
	}
	if (!write) {
		vcpu->gpr[GPR_RAX] = (u32)value;
		vcpu->gpr[GPR_RDX] = value >> 32;
	}
	instruction_retire(vcpu);
}
