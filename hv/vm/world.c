/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/world.h"

#include "cpu/crash.h"
#include "cpu/desc.h"
#include "cpu/msr.h"
#include "cpu/x86.h"
#include "mem/page.h"
#include "vm/guest.h"
#include "vm/virt_ops.h"

/* x87, SSE, AVX, MPX's two, AVX-512's three, PKRU (SDM 1 13.1). AMX's tiles would not fit a page. */
#define XCR0_KNOWN (BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(9))

#define FAMILY_ZEN	0x17
#define FAMILY_HYGON	0x18
#define FAMILY_ZEN3	0x19
#define FAMILY_ZEN5	0x1a
#define PRED_CMD_IBPB	BIT(0)
#define FLUSH_CMD_L1D	BIT(0)

/* Immutable after world_init. */
static struct {
	bool xsave, xss, tsc_aux, spec_ctrl, ibpb, debugctl, counters, l1d;
	bool leaks_pointers;
	bool xcr0_known; /* XSETBV exits, dom0's too */
	bool more; /* any of xss, spec_ctrl, ibpb, counters */
	u64 xcr0;
	struct state_limits limits;
} has;

static u32 family(void)
{
	u32 eax = cpuid(1, 0).eax;

	return (eax >> 8 & 15) + (eax >> 20 & 0xff);
}

static bool is_intel(void)
{
	return cpuid(0, 0).ebx == 0x756e6547; /* "Genu" */
}

static enum mitigation_mode mitigation_mode;
static u32 mitigations;

void world_set_mitigations(enum mitigation_mode mode)
{
	mitigation_mode = mode;
}

COLD bool world_mitigate(u32 which, bool can, bool needed)
{
	bool done = can && (mitigation_mode == MITIGATE_ALL || (mitigation_mode == MITIGATE_AUTO && needed));

	mitigations |= done ? which : 0;
	return done;
}

u32 world_mitigations(void)
{
	return mitigations;
}

/*
 * CPUs whose branch predictors do not keep a guest and the user process that runs it apart (VMSCAPE,
 * CVE-2025-40300): Zen to Zen 5, and nearly all of Intel's that have IBPB. dom0's kernel cannot know when its
 * process has run a guest.
 */
static COLD bool wants_ibpb(void)
{
	u32 f = family();

	if (is_intel())
		return world_mitigate(LUV_MITIGATION_IBPB, cpuid(7, 0).edx & BIT(26), true);
	return world_mitigate(LUV_MITIGATION_IBPB, cpuid(0x80000008, 0).ebx & BIT(12),
			      f == FAMILY_ZEN || f == FAMILY_HYGON || f == FAMILY_ZEN3 || f == FAMILY_ZEN5);
}

/* L1 terminal fault (CVE-2018-3646): a guest reads what is in the L1 data cache, by guest physical address. */
static COLD bool wants_l1d_flush(void)
{
	u64 capabilities = 0;

	if (cpuid(7, 0).edx & BIT(29))
		rdmsr_safe(MSR_ARCH_CAPABILITIES, &capabilities);
	return world_mitigate(LUV_MITIGATION_L1D, is_intel() && cpuid(7, 0).edx & BIT(28),
			      !(capabilities & (ARCH_RDCL_NO | ARCH_SKIP_L1D_FLUSH)));
}

/* Intel's MDS and its kin, always; AMD's TSA where CPUID 80000021h has VERW_CLEAR, but not TSA_SQ_NO and TSA_L1_NO. */
static COLD void choose_verw(void)
{
	const u64 not_affected = BIT(1) | BIT(2);
	struct cpuid id = {0};

	if (cpuid(0x80000000, 0).eax >= 0x80000021)
		id = cpuid(0x80000021, 0);
	world_mitigate(LUV_MITIGATION_VERW, is_intel() || id.eax & BIT(5),
		       is_intel() || (id.ecx & not_affected) != not_affected);
}

COLD u64 world_cr4_bits(u32 ecx_1, u32 ebx_7, u32 ecx_7)
{
	u64 bits = 0x7ff; /* VME PVI TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT */

	bits |= (ecx_1 & BIT(17) ? CR4_PCIDE : 0) | (ecx_1 & BIT(26) ? CR4_OSXSAVE : 0);
	bits |= (ebx_7 & BIT(0) ? CR4_FSGSBASE : 0) | (ebx_7 & BIT(7) ? CR4_SMEP : 0);
	bits |= (ebx_7 & BIT(20) ? CR4_SMAP : 0) | (ecx_7 & BIT(2) ? CR4_UMIP : 0);
	bits |= (ecx_7 & BIT(3) ? CR4_PKE : 0) | (ecx_7 & BIT(16) ? CR4_LA57 : 0);
	return bits;
}

/* The largest set of known parts whose XSAVE area fits the page. */
static COLD u64 usable_xcr0(void)
{
	u64 xcr0 = cpuid(0xd, 0).eax & XCR0_KNOWN, size = 576;

	for (u32 part = 2; part < 64; part++) {
		struct cpuid at;

		if (!(xcr0 & BIT(part)))
			continue;
		at = cpuid(0xd, part);
		if (at.ebx + at.eax > LUV_XSAVE_SIZE_MAX)
			xcr0 &= ~BIT(part);
		else
			size = max_u64(size, at.ebx + at.eax);
	}
	ASSERT(size <= LUV_XSAVE_SIZE_MAX);
	return xcr0;
}

COLD void world_init(void)
{
	struct cpuid sizes = cpuid(0x80000008, 0), extended = cpuid(7, 0);

	has.xsave = cpuid(1, 0).ecx & BIT(26);
	has.xcr0 = has.xsave ? usable_xcr0() : BIT(0);
	has.xss = has.xsave && cpuid(0xd, 1).eax & BIT(3);
	has.xcr0_known = is_intel(); /* SDM 3C 26.1.2 */
	has.tsc_aux = cpuid(0x80000001, 0).edx & BIT(27);
	has.leaks_pointers = !is_intel() && !(sizes.ebx & BIT(2)); /* RstrFpErrPtrs (APM 3 E.4.7) */
	/* AMD: any of IBRS, STIBP, SSBD (APM 3 E.4.7). */
	has.spec_ctrl = sizes.ebx & (BIT(14) | BIT(15) | BIT(24));
	if (is_intel()) /* IBRS and IBPB, STIBP, SSBD (SDM 2A CPUID) */
		has.spec_ctrl = cpuid(7, 0).edx & (BIT(26) | BIT(27) | BIT(31));
	has.ibpb = wants_ibpb();
	choose_verw();
	/* VT-x switches it by itself. */
	has.debugctl = !is_intel();
	has.counters = is_intel() && (cpuid(0xa, 0).eax & 0xff) >= 2;
	has.l1d = wants_l1d_flush();
	has.more = has.xss || has.spec_ctrl || has.ibpb || has.counters;
	has.limits = (struct state_limits){
		.physical_bits = (u8)sizes.eax,
		.cr4 = world_cr4_bits(cpuid(1, 0).ecx, extended.ebx, extended.ecx),
		.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
		.xcr0 = has.xcr0,
	};
	if (cpuid(0x80000001, 0).edx & BIT(25))
		has.limits.efer |= EFER_FFXSR;
}

COLD bool world_cpu_init(struct cpu *cpu)
{
	u64 cr4 = read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_MCE;

	write_cr4(has.xsave ? cr4 | CR4_OSXSAVE : cr4);
	/* dom0's, whose writes exit; unless an INIT has just torn a guest off, and they are the guest's. */
	if (!cpu->guest && has.tsc_aux)
		cpu->dom0_msrs.tsc_aux = rdmsr(MSR_TSC_AUX);
	if (!cpu->guest && has.xsave)
		cpu->dom0_xcr0 = xgetbv();
	if (!cpu->fpu)
		cpu->fpu = page_alloc();
	return cpu->fpu;
}

const struct state_limits *world_limits(void)
{
	return &has.limits;
}

u64 world_xcr0(void)
{
	return has.xcr0;
}

/* --- FPU ------------------------------------------------------------------------------------ */

static void fpu_save(void *area, u64 parts)
{
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"((u32)parts), "d"((u32)(parts >> 32)) : "memory");
}

/* False where the CPU answers #GP: reserved bits in the area. Parts of it may be loaded then. */
static bool fpu_restore(const void *area, u64 parts)
{
	__asm__ goto("1: xrstor64 (%0)\n\t"
		     ".pushsection .fixup, \"a\"\n\t"
		     ".quad 1b, %l[fault]\n\t"
		     ".popsection"
		     :
		     : "r"(area), "a"((u32)parts), "d"((u32)(parts >> 32))
		     : "memory"
		     : fault);
	return true;
fault:
	return false;
}

/*
 * AMD before Zen saves and restores the x87's last opcode, instruction and operand pointers only where an exception is pending
 * (APM 2 11.5.10): a load of ours takes their place, lest one side read the other's.
 */
static void fpu_forget_pointers(void)
{
	static const u32 zero;

	if (has.leaks_pointers)
		__asm__ volatile("fnclex\n\temms\n\tfildl %0" : : "m"(zero));
}

/* Without XSAVE. */
static COLD bool fx_switch(void *from, const void *to)
{
	__asm__ volatile("fxsave64 (%0)" : : "r"(from) : "memory");
	fpu_forget_pointers();
	__asm__ goto("1: fxrstor64 (%0)\n\t"
		     ".pushsection .fixup, \"a\"\n\t"
		     ".quad 1b, %l[fault]\n\t"
		     ".popsection"
		     :
		     : "r"(to)
		     : "memory"
		     : fault);
	return true;
fault:
	__asm__ volatile("fxrstor64 (%0)" : : "r"(from) : "memory");
	return false;
}

/* XSETBV is slow and serializing; most often there is nothing to do. */
static void set_xcr0(u64 from, u64 to)
{
	if (from != to)
		xsetbv(to);
}

/*
 * From the one area to the other, with all that we switch enabled. False where the other is refused: the one is back.
 * With AMD-V dom0's XSETBV does not exit, nor a guest's under TCG, so XCR0 is read there.
 */
static inline bool fpu_switch(void *from, u64 *from_xcr0, const void *to, u64 to_xcr0)
{
	u64 parts = has.xcr0, now;

	if (!has.xsave)
		return fx_switch(from, to);
	if (!has.xcr0_known)
		*from_xcr0 = xgetbv();
	now = *from_xcr0;
	set_xcr0(now, parts);
	fpu_save(from, parts);
	fpu_forget_pointers();
	if (fpu_restore(to, parts)) {
		set_xcr0(parts, to_xcr0);
		return true;
	}
	ASSERT(fpu_restore(from, parts));
	set_xcr0(parts, now);
	return false;
}

/* --- debug registers and MSRs --------------------------------------------------------------- */

/* The DR6 of root mode is nobody's with AMD-V, where entry and exit switch it. */
static NOINLINE void debug_switch(struct vcpu *guest, struct vcpu *from, struct vcpu *to)
{
	from->dr[0] = read_dr0();
	from->dr[1] = read_dr1();
	from->dr[2] = read_dr2();
	from->dr[3] = read_dr3();
	from->dr6 = read_dr6();
	write_dr0(to->dr[0]);
	write_dr1(to->dr[1]);
	write_dr2(to->dr[2]);
	write_dr3(to->dr[3]);
	write_dr6(to->dr6);
	from->debug_live = false;
	to->debug_live = true;
	guest->dirty |= VCPU_INTERCEPTS;
}

COLD void world_load_debug(struct vcpu *guest)
{
	if (!guest->debug_live)
		debug_switch(guest, guest->cpu->vcpu, guest);
}

static COLD void debug_leave(struct vcpu *guest)
{
	vcpu_need(guest, VCPU_CONTROL);
	guest->debug_armed = guest->control.dr7 & DR7_ENABLED;
	debug_switch(guest, guest, guest->cpu->vcpu);
}

static void swap_msr(bool present, u32 msr, u64 *old, u64 new)
{
	if (!present)
		return;
	*old = rdmsr(msr);
	if (*old != new)
		wrmsr(msr, new);
}

/* Where what is there is known, because writes of it exit. */
static void set_msr(bool present, u32 msr, u64 now, u64 new)
{
	if (now != new && present)
		wrmsr(msr, new);
}

/* For those that were 0 with the guest, which cannot write to them itself; `old` is 0 where the CPU has none. */
static void set_again(u32 msr, u64 old)
{
	if (old)
		wrmsr(msr, old);
}

static void msrs_enter(struct dom0_msrs *dom0, const struct guest *guest)
{
	/* dom0 must not trace or count in the guest, nor may the guest inherit branch traps. */
	swap_msr(has.debugctl, MSR_DEBUGCTL, &dom0->debugctl, 0);
	set_msr(has.tsc_aux, MSR_TSC_AUX, dom0->tsc_aux, guest->tsc_aux);
	if (!has.more)
		return;
	swap_msr(has.counters, MSR_PERF_GLOBAL_CTRL, &dom0->counters, 0);
	swap_msr(has.xss, MSR_XSS, &dom0->xss, 0);
	/* Last: it may restrict our own speculation. */
	swap_msr(has.spec_ctrl, MSR_SPEC_CTRL, &dom0->spec_ctrl, guest->spec_ctrl);
}

COLD bool world_allow_split_locks(struct cpu *cpu)
{
	u64 now = 0;

	if (!is_intel() || !has.more || !rdmsr_safe(MSR_TEST_CTRL, &now) || !(now & TEST_CTRL_SPLIT_LOCK))
		return false;
	cpu->dom0_msrs.test_ctrl = now;
	wrmsr(MSR_TEST_CTRL, now & ~TEST_CTRL_SPLIT_LOCK);
	return true;
}

static void msrs_leave(struct dom0_msrs *dom0, u64 spec_ctrl, u64 tsc_aux)
{
	if (has.more) {
		set_again(MSR_TEST_CTRL, dom0->test_ctrl);
		dom0->test_ctrl = 0;
		set_msr(has.spec_ctrl, MSR_SPEC_CTRL, spec_ctrl, dom0->spec_ctrl);
		if (has.ibpb)
			wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
		set_again(MSR_XSS, dom0->xss);
		set_again(MSR_PERF_GLOBAL_CTRL, dom0->counters);
	}
	set_msr(has.tsc_aux, MSR_TSC_AUX, tsc_aux, dom0->tsc_aux);
	set_again(MSR_DEBUGCTL, dom0->debugctl);
}

bool world_enter(struct vcpu *dom0, struct vcpu *guest)
{
	struct cpu *cpu = dom0->cpu;
	struct guest *g = guest->guest;

	if (!fpu_switch(cpu->fpu, &cpu->dom0_xcr0, g->fpu, g->xcr0))
		return false;
	guest->cpu = cpu;
	if (guest->debug_armed)
		world_load_debug(guest);
	msrs_enter(&cpu->dom0_msrs, g);
	if (guest->dirty)
		guest->ops->store(guest);
	guest->ops->switch_worlds(dom0, guest);
	cpu->guest = guest;
	if (has.l1d)
		wrmsr(MSR_FLUSH_CMD, FLUSH_CMD_L1D);
	return true;
}

void world_leave(struct vcpu *dom0, struct vcpu *guest)
{
	struct cpu *cpu = dom0->cpu;
	struct guest *g = guest->guest;

	cpu->guest = NULL;
	if (guest->debug_live)
		debug_leave(guest);
	dom0->ops->switch_worlds(guest, dom0);
	msrs_leave(&cpu->dom0_msrs, g->spec_ctrl, g->tsc_aux);
	ASSERT(fpu_switch(g->fpu, &g->xcr0, cpu->fpu, cpu->dom0_xcr0));
}

COLD void world_abandon(struct vcpu *dom0, struct vcpu *guest)
{
	struct cpu *cpu = dom0->cpu;

	dom0->ops->switch_worlds(NULL, dom0);
	/* Whatever is there. */
	msrs_leave(&cpu->dom0_msrs, ~cpu->dom0_msrs.spec_ctrl, ~cpu->dom0_msrs.tsc_aux);
	/* INIT has cleared them, as it should dom0's (APM 2 table 14-1). */
	guest->debug_live = false;
	guest->debug_armed = true; /* what its DR7 says is not known here */
	guest->dirty |= VCPU_INTERCEPTS;
	dom0->debug_live = true;
	if (has.xsave)
		xsetbv(cpu->dom0_xcr0);
}
