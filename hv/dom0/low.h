/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three pages at the top of base memory, taken from dom0:
 *   0  the AP trampoline: runs in root mode, so dom0 cannot reach it
 *   1  chain boot: the BIOS stub (chain.S); direct boot: GDT and command line
 *   2  direct boot: Linux's boot_params
 * 1 and 2 are dom0's to see, and reserved in its memory map.
 */
#ifndef DOM0_LOW_H
#define DOM0_LOW_H

#include "lib/types.h"

#define LOW_TRAMPOLINE 0u
#define LOW_STUB       1u
#define LOW_PARAMS     2u
#define LOW_PAGES      3u

/* In the BIOS data area: the size of base memory in KiB. */
#define BDA_BASE_MEMORY 0x413u

struct low_memory {
	u32 base; /* physical, page aligned, below 1 MiB */
};

static inline hpa_t low_page(const struct low_memory *low, u32 page)
{
	return hpa(low->base + page * PAGE_SIZE);
}

#endif
