/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An allow-list (APM 3 appendix E, SDM 2A CPUID): a bit that is not in the table reads as zero, so a
 * feature of a future CPU reaches dom0 only when we know what it needs from us. What is left out
 * although known:
 *   hypervisor (1 ECX 31)   with it Linux leaves errata, microcode and mitigations to "the host"
 *   SMX, SGX, PT, PCONFIG, key locker, UINTR, FRED, ENQCMD, PKS, TME, HRESET   not handled yet
 *   INVLPGB, SKINIT         would act behind our back, or end us
 *   SME, SEV, SNP           encryption bits in addresses, not handled yet
 * The SVM and VMX bits stay: VM_CR, FEATURE_CONTROL say that the firmware disabled it (dom0/msr.c). What works in guest
 * mode only by a control of the vendor's structure is the vendor's to take away (virt_ops.cpuid).
 */
#include "dom0/cpuid.h"

#include "cpu/x86.h"
#include "exit/instruction.h"
#include "luvalley/calls.h"
#include "vm/virt_ops.h"

#define ANY  UINT32_MAX
#define ALL  UINT32_MAX

struct cpuid_rule {
	u32 first, last; /* leaves */
	u32 subleaf;	 /* or ANY */
	u32 eax, ebx, ecx, edx;
};

/* Bits in the order of the manuals' tables; a gap in the sequence is a bit that is hidden or reserved. */
#define B(n) (1u << (n))
#define RANGE(high, low) (UINT32_MAX >> (31 - (high)) & UINT32_MAX << (low))

/*
 * Not 6 SMX, 31 hypervisor. Nor 2 DTES64, 4 DS-CPL, EDX 21 DS: the CPU writes PEBS's records to a linear address (SDM 3B 18.6.2.4), which in root
 * mode, where counters go on, is nobody's.
 */
#define LEAF_1_ECX (RANGE(30, 17) | RANGE(15, 7) | B(5) | B(3) | RANGE(1, 0))
#define LEAF_1_EDX (B(31) | RANGE(29, 22) | RANGE(19, 11) | RANGE(9, 0))

/* FSGSBASE, TSC_ADJUST; BMI1 to RDT-A, AVX512F to AVX512_IFMA, CLFLUSHOPT, CLWB, AVX512PF to VL. */
#define LEAF_7_EBX (RANGE(1, 0) | RANGE(21, 3) | RANGE(24, 23) | RANGE(31, 26))
/* PREFETCHWT1 to AVX512_BITALG, VPOPCNTDQ, LA57, MAWAU, RDPID, bus lock, CLDEMOTE, MOVDIRI, MOVDIR64B. */
#define LEAF_7_ECX (RANGE(12, 0) | B(14) | RANGE(22, 16) | B(24) | B(25) | RANGE(28, 27))
/*
 * AVX512_4VNNIW, 4FMAPS, FSRM; VP2INTERSECT to RTM_ALWAYS_ABORT; TSX_FORCE_ABORT, SERIALIZE, hybrid,
 * TSXLDTRK; LBR, IBT; AMX-BF16, AVX512_FP16, AMX-TILE, AMX-INT8, then what mitigations need.
 */
#define LEAF_7_EDX                                                                                 \
	(RANGE(4, 2) | RANGE(11, 8) | RANGE(16, 13) | B(19) | B(20) | RANGE(31, 22))
/* AVX-VNNI, BF16, LASS, CMPCCXADD, fast short REP, WRMSRNS, AMX-FP16, AVX-IFMA, LAM. */
#define LEAF_7_1_EAX 0x04a81df8u
#define LEAF_7_1_EDX 0x000c4530u

/* XSAVEOPT, XSAVEC, XGETBV with ECX 1, XSAVES, XFD. */
#define LEAF_D_1_EAX RANGE(4, 0)

/*
 * LAHF to OSVW, IBS, XOP, WDT, LWP, FMA4, TCE; node, TBM, topology, performance counters, breakpoints'
 * masks, MONITORX. Not 12 SKINIT.
 */
#define LEAF_80000001_ECX                                                                          \
	(RANGE(11, 0) | B(13) | RANGE(17, 15) | B(19) | RANGE(24, 21) | RANGE(30, 26))
/* As leaf 1, SYSCALL; NX, MMX extensions; FFXSR, 1 GiB pages, RDTSCP, long mode, 3DNow. */
#define LEAF_80000001_EDX                                                                          \
	(RANGE(9, 0) | RANGE(17, 11) | RANGE(20, 19) | RANGE(27, 22) | RANGE(31, 29))

/* CLZERO, InstRetCnt, RstrFpErrPtrs; RDPRU; BE; MCOMMIT, WBNOINVD; then what mitigations need, PPIN, CPPC. */
#define LEAF_80000008_EBX (RANGE(2, 0) | B(4) | B(6) | B(8) | B(9) | RANGE(20, 12) | RANGE(31, 23))

/*
 * NoNestedDataBp, FsGsKernelGsBaseNonSerializing, LfenceAlwaysSerializing; VERW_CLEAR,
 * NullSelectorClearsBase, UpperAddressIgnore, AutomaticIBRS, NoSmmCtlMSR, FSRS, FSRC; PrefetchCtlMSR;
 * EPSF; PREFETCHI; SBPB, IBPB_BRTYPE, SRSO_NO, SRSO_USER_KERNEL_NO, BpSpecReduce. Not 17 CpuidUserDis
 * (HWCR is not dom0's, dom0/msr.c), 24 ERAPS (needs a control of the VMCB).
 */
#define LEAF_80000021_EAX                                                                          \
	(RANGE(2, 0) | RANGE(11, 5) | B(13) | B(18) | B(20) | RANGE(31, 27))
#define LEAF_80000021_ECX RANGE(2, 1) /* TSA_SQ_NO, TSA_L1_NO */

/* Ascending. */
static const struct cpuid_rule basic[] = {
	{0x00, 0x00, ANY, ALL, ALL, ALL, ALL},
	{0x01, 0x01, ANY, ALL, ALL, LEAF_1_ECX, LEAF_1_EDX},
	/* Caches, MONITOR, power, performance counters, topology. */
	{0x02, 0x06, ANY, ALL, ALL, ALL, ALL},
	{0x07, 0x07, 0, ALL, LEAF_7_EBX, LEAF_7_ECX, LEAF_7_EDX},
	{0x07, 0x07, 1, LEAF_7_1_EAX, B(0), 0, LEAF_7_1_EDX},
	{0x07, 0x07, 2, 0, 0, 0, RANGE(5, 0)},
	{0x09, 0x0b, ANY, ALL, ALL, ALL, ALL},
	{0x0d, 0x0d, 1, LEAF_D_1_EAX, ALL, ALL, ALL},
	{0x0d, 0x0d, ANY, ALL, ALL, ALL, ALL},
	{0x0f, 0x10, ANY, ALL, ALL, ALL, ALL},
	{0x15, 0x18, ANY, ALL, ALL, ALL, ALL},
	{0x1a, 0x1a, ANY, ALL, ALL, ALL, ALL},
	{0x1c, 0x1f, ANY, ALL, ALL, ALL, ALL},
	{0x24, 0x24, ANY, ALL, ALL, ALL, ALL},
}, extended[] = {
	{0x80000000, 0x80000000, ANY, ALL, ALL, ALL, ALL},
	{0x80000001, 0x80000001, ANY, ALL, ALL, LEAF_80000001_ECX, LEAF_80000001_EDX},
	/* Brand, caches, power. */
	{0x80000002, 0x80000007, ANY, ALL, ALL, ALL, ALL},
	{0x80000008, 0x80000008, ANY, ALL, LEAF_80000008_EBX, ALL, 0xffff0000},
	{0x8000000a, 0x8000000a, ANY, ALL, ALL, ALL, ALL},
	{0x80000019, 0x8000001e, ANY, ALL, ALL, ALL, ALL},
	{0x80000020, 0x80000020, ANY, ALL, ALL, ALL, ALL},
	{0x80000021, 0x80000021, ANY, LEAF_80000021_EAX, ALL, LEAF_80000021_ECX, 0},
	{0x80000022, 0x80000022, ANY, ALL, ALL, ALL, ALL},
	{0x80000026, 0x80000026, ANY, ALL, ALL, ALL, ALL},
};

static const struct cpuid_rule *find(u32 leaf, u32 subleaf)
{
	const struct cpuid_rule *rule = basic, *end = basic + ARRAY_SIZE(basic);

	if (leaf >= 0x80000000) {
		rule = extended;
		end = extended + ARRAY_SIZE(extended);
	}
	while (rule < end && rule->last < leaf)
		rule++;
	for (; rule < end && rule->first <= leaf; rule++) {
		if (rule->subleaf == ANY || rule->subleaf == subleaf)
			return rule;
	}
	return NULL;
}

static struct cpuid filtered(u32 leaf, u32 subleaf)
{
	const struct cpuid_rule *rule = find(leaf, subleaf);
	struct cpuid r;

	if (!rule)
		return (struct cpuid){0};
	r = cpuid(leaf, subleaf);
	return (struct cpuid){r.eax & rule->eax, r.ebx & rule->ebx, r.ecx & rule->ecx, r.edx & rule->edx};
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

/* Nested tables end at 2^48 (mem/nested.h): so do dom0's physical addresses. */
static u32 physical_bits(u32 eax)
{
	return (eax & ~0xffu) | (u32)min_u64(eax & 0xff, 48);
}
_Static_assert(NESTED_LIMIT == BIT(48), "the sizes above say so");

/* Bits that mirror CR4 were computed from root mode's. */
static u32 mirror(u32 reg, u64 bit, u64 cr4, u64 cr4_bit)
{
	return (u32)(cr4 & cr4_bit ? reg | bit : reg & ~bit);
}

void dom0_cpuid_exit(struct vcpu *vcpu)
{
	u32 leaf = (u32)vcpu->gpr[GPR_RAX], subleaf = (u32)vcpu->gpr[GPR_RCX];
	struct cpuid r;

	if (!instruction_known(vcpu, OPCODE_CPUID))
		return;
	r = leaf >> 8 == LUV_CPUID_BASE >> 8 ? ours(leaf) : filtered(leaf, subleaf);
	vcpu_need(vcpu, VCPU_NEAR);
	if (vcpu->ops->cpuid)
		vcpu->ops->cpuid(leaf, subleaf, &r);
	if (leaf == 1)
		r.ecx = mirror(r.ecx, BIT(27), vcpu->control.cr4, CR4_OSXSAVE);
	if (leaf == 7 && subleaf == 0)
		r.ecx = mirror(r.ecx, BIT(4), vcpu->control.cr4, CR4_PKE);
	if (leaf == 0x80000008)
		r.eax = physical_bits(r.eax);
	vcpu->gpr[GPR_RAX] = r.eax;
	vcpu->gpr[GPR_RBX] = r.ebx;
	vcpu->gpr[GPR_RCX] = r.ecx;
	vcpu->gpr[GPR_RDX] = r.edx;
	instruction_retire(vcpu);
}
