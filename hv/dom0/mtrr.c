/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/mtrr.h"

#include "cpu/desc.h"
#include "cpu/msr.h"
#include "cpu/x86.h"
#include "dom0/memory.h"
#include "lib/string.h"

#define MTRR_CAP_VCNT(cap) ((u32)(cap) & 0xff)

/*
 * One snapshot for all CPUs: they must agree (SDM 3A 11.11.8), and while an operating system changes them it
 * has every CPU stopped with caches off. A reader in that moment may see a mixture; the last CPU's
 * write leaves the final state behind.
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

void mtrr_changed(struct vcpu *vcpu)
{
	struct mtrr_state before = current;

	snapshot();
	if (memcmp(&before, &current, sizeof(before)))
		dom0_memory_split_by_type(vcpu);
}
