/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/mtrr.h"

#include "cpu/desc.h"
#include "cpu/msr.h"
#include "cpu/x86.h"
#include "dom0/memory.h"
#include "lib/string.h"
#include "mem/memmap.h"
#include "mem/ram.h"

#define MTRR_CAP_VCNT(cap) ((u32)(cap) & 0xff)

/*
 * One snapshot for all CPUs: they must agree (SDM 3A 11.11.8), and while an operating system changes them it
 * has every CPU stopped with caches off. What is taken in that moment may be a mixture; the last CPU's
 * write leaves the final state behind. Off, all is uncacheable: an operating system does that for the moment of the change, on each
 * CPU, and it is no state to follow.
 */
static struct mtrr_state current;

static const u16 fixed_msr[MTRR_FIXED_COUNT] = {
	MSR_MTRR_FIX64K,     MSR_MTRR_FIX16K(0), MSR_MTRR_FIX16K(1), MSR_MTRR_FIX4K(0),
	MSR_MTRR_FIX4K(1),   MSR_MTRR_FIX4K(2),	 MSR_MTRR_FIX4K(3),  MSR_MTRR_FIX4K(4),
	MSR_MTRR_FIX4K(5),   MSR_MTRR_FIX4K(6),	 MSR_MTRR_FIX4K(7),
};

static u32 variable_count(void)
{
	return (u32)min_u64(MTRR_CAP_VCNT(current.cap), MTRR_VARIABLE_MAX);
}

static u64 tom2_write_back(void)
{
	u64 syscfg = 0, tom2 = 0;

	if (!rdmsr_safe(MSR_SYSCFG, &syscfg) || !(syscfg & SYSCFG_MTRR_TOM2_EN) ||
	    !(syscfg & SYSCFG_TOM2_FORCE_WB) || !rdmsr_safe(MSR_TOP_MEM2, &tom2))
		return 0;
	return tom2;
}

static void snapshot(void)
{
	rdmsr_safe(MSR_MTRR_DEF_TYPE, &current.def_type);
	for (u32 i = 0; i < MTRR_FIXED_COUNT; i++)
		rdmsr_safe(fixed_msr[i], &current.fixed[i]);
	for (u32 i = 0; i < variable_count(); i++) {
		rdmsr_safe(MSR_MTRR_BASE(i), &current.variable[i].base);
		rdmsr_safe(MSR_MTRR_MASK(i), &current.variable[i].mask);
	}
	current.wb_above_4g = tom2_write_back();
}

void mtrr_init(void)
{
	rdmsr_safe(MSR_MTRR_CAP, &current.cap);
	current.address_mask = BIT(cpuid(0x80000008, 0).eax & 0xff) - 1;
	snapshot();
}

const struct mtrr_state *mtrr_current(void)
{
	return &current;
}

void mtrr_for_each_msr(void (*visit)(u32 msr))
{
	visit(MSR_MTRR_DEF_TYPE);
	for (u32 i = 0; i < MTRR_FIXED_COUNT; i++)
		visit(fixed_msr[i]);
	for (u32 i = 0; i < variable_count(); i++) {
		visit(MSR_MTRR_BASE(i));
		visit(MSR_MTRR_MASK(i));
	}
}

bool mtrr_is_msr(u32 msr)
{
	if (msr == MSR_MTRR_DEF_TYPE)
		return true;
	for (u32 i = 0; i < MTRR_FIXED_COUNT; i++) {
		if (msr == fixed_msr[i])
			return true;
	}
	return msr >= MSR_MTRR_BASE(0) && msr < MSR_MTRR_BASE(variable_count());
}

bool mtrr_update(void)
{
	struct mtrr_state before = current;
	u64 def_type = 0;

	if (!rdmsr_safe(MSR_MTRR_DEF_TYPE, &def_type) || !(def_type & MTRR_DEF_TYPE_E))
		return false;
	snapshot();
	return memcmp(&before, &current, sizeof(before));
}

/* Where the n-th range of a fixed MTRR begins, and its size (SDM 3A table 11-9). */
static struct mem_range fixed_range(u32 index, u32 n)
{
	if (index == 0)
		return (struct mem_range){n * 64 * KIB, 64 * KIB, MEM_NONE};
	if (index < 3)
		return (struct mem_range){0x80000 + ((index - 1) * 8 + n) * 16 * KIB, 16 * KIB, MEM_NONE};
	return (struct mem_range){0xc0000 + ((index - 3) * 8 + n) * 4 * KIB, 4 * KIB, MEM_NONE};
}

/* RdMem and WrMem (APM 2 7.9.1) where memory of ours lies: without them it would be a device's. */
static u64 kept_bits(u32 msr)
{
	u64 bits = 0;

	for (u32 i = 0; i < MTRR_FIXED_COUNT; i++) {
		for (u32 n = 0; fixed_msr[i] == msr && n < 8; n++) {
			struct mem_range range = fixed_range(i, n);

			if (ram_is_hidden(range.base, range.size))
				bits |= MTRR_FIXED_DRAM << (8 * n);
		}
	}
	return bits;
}

/*
 * With caches off and emptied, before and behind, and the TLB flushed (APM 2 7.7.5, SDM 3A 11.11.7.2):
 * dom0 has done so, but in guest mode, and on the way here caches were on.
 */
static bool write_uncached(u32 msr, u64 value)
{
	u64 cr0 = read_cr0();
	bool done;

	write_cr0(cr0 | CR0_CD);
	wbinvd();
	write_cr3(read_cr3());
	done = wrmsr_safe(msr, value);
	wbinvd();
	write_cr3(read_cr3());
	write_cr0(cr0);
	return done;
}

bool mtrr_write(struct vcpu *vcpu, u32 msr, u64 value)
{
	u64 kept = kept_bits(msr), now = 0;

	if (!rdmsr_safe(msr, &now) || !write_uncached(msr, (value & ~kept) | (now & kept)))
		return false;
	dom0_memory_follow_mtrrs(vcpu);
	return true;
}
