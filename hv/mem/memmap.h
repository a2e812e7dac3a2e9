/* SPDX-License-Identifier: BSD-2-Clause */
/* Physical memory maps: the loader's, and the edited one that dom0 is shown. Pure. */
#ifndef MEM_MEMMAP_H
#define MEM_MEMMAP_H

#include "lib/types.h"

/* ACPI 6.4, table 15-374 "Address Range Types". */
enum mem_type {
	MEM_NONE = 0, /* not in the map */
	MEM_RAM = 1,
	MEM_RESERVED = 2,
	MEM_ACPI = 3,
	MEM_NVS = 4,
	MEM_UNUSABLE = 5,
};

/* ACPI 6.4, table 15-372: as INT 15h and boot protocols pass it. */
struct e820_entry {
	u64 base, size;
	u32 type; /* enum mem_type */
} PACKED;
ASSERT_SIZE(struct e820_entry, 20);

struct mem_range {
	u64 base;
	u64 size;
	u32 type;
};

#define MEM_MAP_MAX 128

/* After mem_map_normalise: sorted, disjoint, no empty range, neighbours of one type merged. */
struct mem_map {
	u32 count;
	struct mem_range range[MEM_MAP_MAX];
};

/*
 * Appends a raw range as firmware reported it; its type MEM_NONE becomes reserved. Empty ranges
 * are dropped, one that reaches or wraps around 2^64 is cut at 2^64 - PAGE_SIZE. False when the
 * map is full.
 */
bool mem_map_add(struct mem_map *map, u64 base, u64 size, u32 type);

/*
 * Sorts and makes disjoint. Where ranges overlap the more restrictive type wins: unusable, NVS,
 * ACPI, reserved and unknown types, RAM, in this order. False when the result does not fit;
 * the map is then unchanged. For the boot CPU only: the work area is shared.
 */
bool mem_map_normalise(struct mem_map *map);

/*
 * Rounds RAM inwards to whole pages; what is cut off becomes reserved. The map must be normalised and
 * stays so. False when the result does not fit.
 */
bool mem_map_round_ram(struct mem_map *map);

/*
 * Gives [base, base+size) the type, splitting what lies across its ends; MEM_NONE removes it.
 * The map must be normalised and stays so. A range that wraps is cut as above. False when it
 * would not fit; unchanged then.
 */
bool mem_map_set(struct mem_map *map, u64 base, u64 size, u32 type);

/* From here on the map must be normalised. The type at one address; MEM_NONE outside all. */
u32 mem_map_type(const struct mem_map *map, u64 addr);

/* True when every byte of the range (size > 0) is of the type. */
bool mem_map_all(const struct mem_map *map, u64 base, u64 size, u32 type);

/*
 * The highest aligned address at which size bytes of RAM lie wholly below limit and overlap
 * none of the avoided ranges; align is a power of two. Same input, same answer. False when
 * there is none, or size is 0.
 */
bool mem_map_find_top(const struct mem_map *map, u64 size, u64 align, u64 limit,
		      const struct mem_range *avoid, u32 avoid_count, u64 *base);

u64 mem_map_ram_bytes(const struct mem_map *map);

/* One past the last byte of RAM; 0 without RAM. */
u64 mem_map_ram_end(const struct mem_map *map);

#endif
