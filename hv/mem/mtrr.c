/* SPDX-License-Identifier: BSD-2-Clause */
#include "mem/mtrr.h"

#define CAP_VCNT    0xff
#define CAP_FIX	    BIT(8)

#define MASK_VALID  BIT(11)

#define TYPE_MASK   0xff
/* APM 2 7.9.1: bits 4:3 of a fixed-range type are AMD's RdMem and WrMem. */
#define FIXED_TYPE_MASK 0x7

#define TOM2_ADDRESS	(~(8 * MIB - 1)) /* APM 2 7.9.4: bits 22:0 are not there */

#define ADDRESS_LIMIT	BIT(52)

struct lookup {
	u64 address;
	u64 end;
	bool found;
	u8 type;
};

/* Reserved encodings cannot be in an MSR; in a snapshot they are the safe type. */
static u8 valid_type(u64 type)
{
	switch (type) {
	case CACHE_WC:
	case CACHE_WT:
	case CACHE_WP:
	case CACHE_WB:
		return (u8)type;
	default:
		return CACHE_UC;
	}
}

/* SDM 3A 11.11.4.1. */
static u8 combine(u8 a, u8 b)
{
	if (a == b)
		return a;
	if ((a == CACHE_WT && b == CACHE_WB) || (a == CACHE_WB && b == CACHE_WT))
		return CACHE_WT;
	return CACHE_UC;
}

static void end_at(struct lookup *lookup, u64 boundary)
{
	if (boundary > lookup->address && boundary < lookup->end)
		lookup->end = boundary;
}

/* SDM 3A table 11-9: one MSR of 64 KiB ranges, two of 16 KiB, eight of 4 KiB, eight ranges
 * each. */
static u8 fixed_type(const struct mtrr_state *mtrr, u64 address, u64 *end)
{
	u64 size = 4 * KIB;
	u64 first = 0xc0000;
	unsigned msr = 3;
	u64 range;

	if (address < 0x80000) {
		size = 64 * KIB;
		first = 0;
		msr = 0;
	} else if (address < 0xc0000) {
		size = 16 * KIB;
		first = 0x80000;
		msr = 1;
	}
	range = (address - first) / size;
	*end = first + (range + 1) * size;
	return valid_type(mtrr->fixed[msr + range / 8] >> (8 * (range % 8)) & FIXED_TYPE_MASK);
}

/*
 * A register whose mask has holes matches many ranges (SDM 3A 11.11.3). Whether it matches
 * never changes between two multiples of the mask's lowest bit, so the next multiple is a safe
 * end.
 */
static void look_at_variable(const struct mtrr_state *mtrr, unsigned i, u64 address_mask,
			     struct lookup *lookup)
{
	u64 base = mtrr->variable[i].base;
	u64 mask = mtrr->variable[i].mask & address_mask & ~(PAGE_SIZE - 1);
	u64 size = mask & -mask;
	bool matches = (lookup->address & mask) == (base & mask);

	if (!(mtrr->variable[i].mask & MASK_VALID))
		return;
	if (matches) {
		u8 type = valid_type(base & TYPE_MASK);

		lookup->type = lookup->found ? combine(lookup->type, type) : type;
		lookup->found = true;
	}
	if (!mask)
		return;
	if (matches || mask != (address_mask & ~(size - 1)))
		end_at(lookup, align_down(lookup->address, size) + size);
	else
		end_at(lookup, base & mask);
}

static u8 default_type(const struct mtrr_state *mtrr, struct lookup *lookup)
{
	u64 top = mtrr->wb_above_4g & TOM2_ADDRESS;

	if (top > 4 * GIB) {
		end_at(lookup, 4 * GIB);
		end_at(lookup, top);
		if (lookup->address >= 4 * GIB && lookup->address < top)
			return CACHE_WB;
	}
	return valid_type(mtrr->def_type & TYPE_MASK);
}

u8 mtrr_type(const struct mtrr_state *mtrr, u64 address, u64 *end)
{
	u64 address_mask = mtrr->address_mask & (ADDRESS_LIMIT - 1);
	struct lookup lookup = {.address = address, .end = ADDRESS_LIMIT};
	u64 count = min_u64(mtrr->cap & CAP_VCNT, MTRR_VARIABLE_MAX);
	u8 type;

	*end = ADDRESS_LIMIT;
	if (!(mtrr->def_type & MTRR_DEF_TYPE_E) || address > address_mask)
		return CACHE_UC;
	if (address < 1 * MIB && (mtrr->cap & CAP_FIX) && (mtrr->def_type & MTRR_DEF_TYPE_FE))
		return fixed_type(mtrr, address, end);
	end_at(&lookup, address_mask + 1);
	for (unsigned i = 0; i < count; i++)
		look_at_variable(mtrr, i, address_mask, &lookup);
	type = default_type(mtrr, &lookup);
	*end = lookup.end;
	return lookup.found ? lookup.type : type;
}
