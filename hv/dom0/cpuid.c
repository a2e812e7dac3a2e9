/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An allow-list (APM 3 appendix E, SDM 2A CPUID): a bit that is not in the table reads as zero, so a
 * feature of a future CPU reaches dom0 only when we know what it needs from us. What is left out
 * although known:
 *   hypervisor (1 ECX 31)   with it Linux leaves errata, microcode and mitigations to "the host"
 *   SGX, PT, PCONFIG, key locker, UINTR, FRED, ENQCMD, PKS, TME, HRESET   not handled yet
 *   INVLPGB, SKINIT         would act behind our back, or end us
 *   SME, SEV, SNP           encryption bits in addresses, not handled yet
 * The SVM bit stays: VM_CR says that the firmware disabled it (dom0/msr.c).
 */
#include "dom0/cpuid.h"

#include "cpu/x86.h"
#include "exit/instruction.h"
#include "luvalley/calls.h"

#define ANY  UINT32_MAX
#define ALL  UINT32_MAX
#define NOT(bits) (u32)(~(u64)(bits))

struct cpuid_rule {
	u32 first, last; /* leaves */
	u32 subleaf;	 /* or ANY */
	u32 eax, ebx, ecx, edx;
};

static const struct cpuid_rule rules[] = {
	{0x00, 0x00, ANY, ALL, ALL, ALL, ALL},
	{0x01, 0x01, ANY, ALL, ALL, NOT(BIT(31)), ALL},
	/* Caches, MONITOR, power, performance counters, topology. */
	{0x02, 0x06, ANY, ALL, ALL, ALL, ALL},
	{0x07, 0x07, 0, ALL, NOT(BIT(2) | BIT(25)),
	 NOT(BIT(13) | BIT(15) | BIT(23) | BIT(26) | BIT(29) | BIT(30) | BIT(31)),
	 NOT(BIT(0) | BIT(1) | BIT(5) | BIT(6) | BIT(7) | BIT(12) | BIT(17) | BIT(18) | BIT(21))},
	/* AVX-VNNI, BF16, LASS, CMPCCXADD, fast short REP, WRMSRNS, AMX-FP16, AVX-IFMA, LAM. */
	{0x07, 0x07, 1, 0x04a81df8, BIT(0), 0, 0x000c4530},
	{0x07, 0x07, 2, 0, 0, 0, 0x0000003f},
	{0x09, 0x0b, ANY, ALL, ALL, ALL, ALL},
	{0x0d, 0x0d, ANY, ALL, ALL, ALL, ALL},
	{0x0f, 0x10, ANY, ALL, ALL, ALL, ALL},
	{0x15, 0x18, ANY, ALL, ALL, ALL, ALL},
	{0x1a, 0x1a, ANY, ALL, ALL, ALL, ALL},
	{0x1c, 0x1f, ANY, ALL, ALL, ALL, ALL},
	{0x24, 0x24, ANY, ALL, ALL, ALL, ALL},
	{0x80000000, 0x80000000, ANY, ALL, ALL, ALL, ALL},
	{0x80000001, 0x80000001, ANY, ALL, ALL, NOT(BIT(12)), ALL},
	/* Brand, caches, power. */
	{0x80000002, 0x80000007, ANY, ALL, ALL, ALL, ALL},
	{0x80000008, 0x80000008, ANY, ALL, NOT(BIT(3) | BIT(21)), ALL, 0xffff0000},
	{0x8000000a, 0x8000000a, ANY, ALL, ALL, ALL, ALL},
	{0x80000019, 0x8000001e, ANY, ALL, ALL, ALL, ALL},
	{0x80000020, 0x80000022, ANY, ALL, ALL, ALL, ALL},
	{0x80000026, 0x80000026, ANY, ALL, ALL, ALL, ALL},
};

static struct cpuid filtered(u32 leaf, u32 subleaf)
{
	struct cpuid r;

	for (u32 i = 0; i < ARRAY_SIZE(rules); i++) {
		const struct cpuid_rule *rule = &rules[i];

		if (leaf < rule->first || leaf > rule->last ||
		    (rule->subleaf != ANY && rule->subleaf != subleaf))
			continue;
		r = cpuid(leaf, subleaf);
		r.eax &= rule->eax;
		r.ebx &= rule->ebx;
		r.ecx &= rule->ecx;
		r.edx &= rule->edx;
		return r;
	}
	return (struct cpuid){0};
}

static u32 signature_word(u32 index)
{
	const char *s = &LUV_CPUID_SIGNATURE[4 * index];

	return (u32)(u8)s[0] | (u32)(u8)s[1] << 8 | (u32)(u8)s[2] << 16 | (u32)(u8)s[3] << 24;
}

static struct cpuid ours(u32 leaf)
{
	if (leaf == LUV_CPUID_BASE)
		return (struct cpuid){LUV_CPUID_VERSION, signature_word(0), signature_word(1),
				      signature_word(2)};
	if (leaf == LUV_CPUID_VERSION)
		return (struct cpuid){.eax = LUV_ABI_VERSION, .ebx = LUV_VERSION};
	return (struct cpuid){0};
}

/* Bits that mirror CR4 were computed from root mode's. */
static u32 mirror(u32 reg, u64 bit, u64 cr4, u64 cr4_bit)
{
	return (u32)(cr4 & cr4_bit ? reg | bit : reg & ~bit);
}

void dom0_cpuid_exit(struct vcpu *vcpu)
{
	static const u8 opcode[] = {0x0f, 0xa2};
	u32 leaf = (u32)vcpu->gpr[GPR_RAX], subleaf = (u32)vcpu->gpr[GPR_RCX];
	struct cpuid r;

	if (!instruction_measure(vcpu, opcode, sizeof(opcode)))
		return;
	r = leaf >> 8 == LUV_CPUID_BASE >> 8 ? ours(leaf) : filtered(leaf, subleaf);
	vcpu_need(vcpu, VCPU_CONTROL);
	if (leaf == 1)
		r.ecx = mirror(r.ecx, BIT(27), vcpu->control.cr4, CR4_OSXSAVE);
	if (leaf == 7 && subleaf == 0)
		r.ecx = mirror(r.ecx, BIT(4), vcpu->control.cr4, CR4_PKE);
	vcpu->gpr[GPR_RAX] = r.eax;
	vcpu->gpr[GPR_RBX] = r.ebx;
	vcpu->gpr[GPR_RCX] = r.ecx;
	vcpu->gpr[GPR_RDX] = r.edx;
	instruction_retire(vcpu);
}
