/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nested page tables: four levels, guest physical to host physical. The walk and the splitting
 * are here; what an entry looks like (AMD's NPT, Intel's EPT) is the vendor's nested_format.
 * Pure.
 *
 * Callers serialize changes to one set of tables and flush TLBs: every function that takes
 * something away says so. Entries are written with single 64-bit stores, child before parent,
 * so that a CPU that walks meanwhile sees the old or the new state.
 *
 * Tables only grow. A page that became a table stays one until nested_destroy, also when its
 * range is unmapped or mapped anew by what would fit a large page: a CPU may hold the pointer
 * to it in its paging-structure caches until the caller has flushed (SDM 3A 4.10.3, APM 2 5.5),
 * so no function here may free it before.
 */
#ifndef MEM_NESTED_H
#define MEM_NESTED_H

#include "mem/page_source.h"

#define NESTED_READ  BIT(0)
#define NESTED_WRITE BIT(1)
#define NESTED_EXEC  BIT(2)
#define NESTED_CLEAN BIT(3) /* with WRITE, for 4 KiB leaves: begin with the dirty bit clear */
#define NESTED_RWX   (NESTED_READ | NESTED_WRITE | NESTED_EXEC)

/* Levels: 1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB, 4 = 512 GiB (never a leaf). */
#define NESTED_LEVELS 4
#define NESTED_LIMIT  BIT(48) /* guest physical addresses lie below */

static inline unsigned nested_level_shift(unsigned level)
{
	return PAGE_SHIFT + 9 * (level - 1);
}

static inline u64 nested_level_size(unsigned level)
{
	return BIT(nested_level_shift(level));
}

/*
 * memory_type is the x86 encoding (0 UC, 1 WC, 4 WT, 5 WP, 6 WB); NPT ignores it. An all-zero
 * entry must not be present. is_leaf, address, access and memory_type are asked about present
 * entries only, the last two about leaves only; address answers for tables and leaves.
 */
struct nested_format {
	const char *name;
	unsigned largest_leaf; /* 3 with 1 GiB pages, else 2 */
	u64 (*table)(hpa_t child);
	u64 (*leaf)(hpa_t page, unsigned level, u32 access, u8 memory_type);
	bool (*present)(u64 entry);
	bool (*is_leaf)(u64 entry, unsigned level);
	hpa_t (*address)(u64 entry, unsigned level);
	u32 (*access)(u64 entry);
	u8 (*memory_type)(u64 entry);
	bool typed; /* leaves hold a memory type; else memory_type answers one for all */
	u64 dirty;  /* the bit that the CPU sets in a leaf on a write; 0: it sets none */
	bool small_exec; /* what is executable must be mapped by 4 KiB leaves: see vmx/ept.h */
};

struct nested {
	const struct nested_format *format;
	struct page_source *pages;
	u64 *root;
	u64 table_pages; /* held by the tables, the root included */
};

struct nested_leaf {
	hpa_t page; /* of the leaf's first byte; 0 in a hole */
	gpa_t base; /* of the leaf, or of the hole */
	u64 size;   /* of the leaf, or what the absent entry around the address spans; its
		     * neighbours may be absent too */
	u32 access; /* 0: a hole */
	u8 memory_type;
};

/* False when no page is left. */
bool nested_init(struct nested *nested, const struct nested_format *format,
		 struct page_source *pages);

/*
 * Gives every table page back; of no effect when nested_init failed. Nobody may be walking the
 * tables, and no CPU may have anything of them cached: the caller flushes before.
 */
void nested_destroy(struct nested *nested);

/* The same in steps: gives at most so many pages back; true when all are. */
bool nested_destroy_some(struct nested *nested, u32 pages);

/*
 * Maps [from, from+size) to [to, to+size), all 4 KiB aligned, with the largest pages that both
 * alignments, format->largest_leaf and the tables that are there already allow; what was mapped
 * before is replaced. Both ranges must end at or below 2^48 and 2^52, and access must not be 0.
 * False when they do not (nothing is changed then) or when pages run out: then a first part of
 * the range, possibly empty, is mapped anew, and the rest of it and everything outside it
 * translates as before. The caller flushes, in either case, if anything in the range was
 * present.
 */
bool nested_map(struct nested *nested, gpa_t from, hpa_t to, u64 size, u32 access,
		u8 memory_type);

/*
 * Maps an address, 4 KiB aligned, to `page` where it is absent, and as much around it as is absent and a page of `size`
 * (4 KiB, 2 MiB or 1 GiB) covers, which `page` lies in at the same offset. *there: it is present, and stays. False: as
 * nested_map.
 */
bool nested_map_hole(struct nested *nested, gpa_t at, hpa_t page, u64 size, u32 access, u8 memory_type, bool *there);

/*
 * Maps pages around one that is mapped by a leaf of that size, `at`, to frames (frames[index] is its own): those that are
 * absent and lie in the same table, but for frames of 0. Allocates nothing, and changes nothing that is present.
 */
void nested_map_near(struct nested *nested, gpa_t at, u64 size, const u64 *frames, u32 count, u32 index, u32 access,
		     u8 memory_type);

/*
 * Makes the range (4 KiB aligned, at or below 2^48) a hole, splitting large pages at its ends.
 * False when the range is not so, or pages run out for the splits; every address translates as
 * before then. The caller flushes; a failed call may have split pages and needs it too.
 */
bool nested_unmap(struct nested *nested, gpa_t from, u64 size);

/*
 * Changes the access (not 0) of what is mapped in the range; holes stay holes. As nested_unmap
 * otherwise.
 */
bool nested_protect(struct nested *nested, gpa_t from, u64 size, u32 access);

/*
 * Dirty bits of `pages` pages from an aligned address on: bit n of the bitmap (whole words are
 * written) says whether page n was written to since it was mapped NESTED_CLEAN or taken last. Large
 * leaves count as written and stay so. The caller flushes before it relies on the next answer.
 */
void nested_take_dirty(struct nested *nested, gpa_t from, u32 pages, u64 *bitmap);

/* The leaf or hole at an address. All from 2^48 on is holes of 2^48 bytes. */
void nested_lookup(const struct nested *nested, gpa_t at, struct nested_leaf *leaf);

#endif
