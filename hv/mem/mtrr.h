/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory types by the MTRRs (SDM 3A 11.11, APM 2 7.7). Pure: works on a snapshot. */
#ifndef MEM_MTRR_H
#define MEM_MTRR_H

#include "lib/types.h"

enum mem_cache_type {
	CACHE_UC = 0,
	CACHE_WC = 1,
	CACHE_WT = 4,
	CACHE_WP = 5,
	CACHE_WB = 6,
};

#define MTRR_DEF_TYPE_FE BIT(10)
#define MTRR_DEF_TYPE_E	 BIT(11)
#define MTRR_FIXED_DRAM	 0x18ull /* RdMem, WrMem of each range in a fixed MTRR (APM 2 7.9.1) */

#define MTRR_FIXED_COUNT  11
#define MTRR_VARIABLE_MAX 16

struct mtrr_state {
	u64 cap;		     /* IA32_MTRRCAP */
	u64 def_type;		     /* IA32_MTRR_DEF_TYPE: type, FE, E */
	u64 fixed[MTRR_FIXED_COUNT]; /* 250h, 258h, 259h, 268h ... 26Fh */
	struct {
		u64 base;
		u64 mask;
	} variable[MTRR_VARIABLE_MAX]; /* as many as cap's VCNT says */
	u64 address_mask; /* physical address bits that exist: BIT(MAXPHYADDR) - 1 */
	u64 wb_above_4g;  /* AMD SYSCFG.Tom2ForceMemTypeWB: TOP_MEM2, or 0 */
};

/*
 * The effective MTRR type at an address below 2^52 (SDM 3A 11.11.4.1: UC wins, WT over WB,
 * other overlaps are undefined and answer UC; so do addresses that the CPU does not have), and
 * in *end an address above it, 4 KiB aligned and at most 2^52, up to which the type stays the
 * same. The type need not change there. A caller splits large pages there.
 */
u8 mtrr_type(const struct mtrr_state *mtrr, u64 address, u64 *end);

#endif
