/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which memory is whose: the firmware's map, and the parts of it that are the hypervisor's. dom0's
 * physical addresses are the machine's, so this is also what its addresses mean.
 */
#ifndef MEM_RAM_H
#define MEM_RAM_H

#include "mem/memmap.h"

#define HIDDEN_RANGES_MAX 4
#define HOTPLUG_MAX	  16

/* The machine's map as the firmware reported it; kept by reference. Once, before all else here. */
void ram_init(const struct mem_map *map);

/* RAM may be added in [base, base+size): its holes in the machine's map, from 4 GiB on, are dom0's RAM. At boot only. */
void ram_add_hotplug(u64 base, u64 size);

/* Declares [base, base+size) (page aligned) ours. At boot only, before dom0 runs. */
void ram_hide(hpa_t base, u64 size);

/* True when the range touches memory of ours. */
bool ram_is_hidden(u64 base, u64 size);

/* The hidden range that overlaps [base, base+size), lowest first; NULL without one. */
const struct mem_range *ram_next_hidden(u64 base, u64 size);

u64 ram_hidden_bytes(void);

/* The instruction at rip touched a hidden page for the first time: counted, and logged. */
void ram_count_touch(u64 page, bool write, u64 rip);
u64 ram_touches(void);

/* True when the range is ordinary RAM and none of it ours. */
bool ram_is_dom0(u64 base, u64 size);

/*
 * dom0's memory at a physical address, for reading and writing what its programs named: NULL unless every
 * byte is ordinary RAM and none is ours. The range must not cross a page.
 */
void *ram_dom0(gpa_t address, u64 size);

/*
 * As ram_dom0, for fetching the instruction that dom0 just executed: also firmware's code in the
 * first MiB (not VGA's window) and in ACPI's areas.
 */
const void *ram_dom0_code(gpa_t address, u64 size);

#endif
