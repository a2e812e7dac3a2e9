/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mem/mtrr.h"

#define CAP_FIX	   BIT(8)
#define FE	   BIT(10)
#define E	   BIT(11)
#define VALID	   BIT(11)
#define ADDRESS_36 (BIT(36) - 1)

static void expect(const struct mtrr_state *mtrr, u64 address, u8 type, u64 end)
{
	u64 got_end = 0;
	u8 got = mtrr_type(mtrr, address, &got_end);

	if (got != type || got_end != end)
		fail_msg("%lx: type %u to %lx, not %u to %lx", address, got, got_end, type,
			 end);
}

static void set_variable(struct mtrr_state *mtrr, unsigned i, u64 base, u64 size, u8 type)
{
	mtrr->variable[i].base = base | type;
	mtrr->variable[i].mask = (mtrr->address_mask & ~(size - 1)) | VALID;
	mtrr->cap = (mtrr->cap & ~0xffull) | (i + 1);
}

static void test_disabled(void **state)
{
	struct mtrr_state mtrr = {
	    .cap = CAP_FIX | 8, .def_type = FE | CACHE_WB, .address_mask = ADDRESS_36};

	(void)state;
	set_variable(&mtrr, 0, 0, 4 * GIB, CACHE_WB);
	mtrr.wb_above_4g = 8 * GIB;
	expect(&mtrr, 0, CACHE_UC, BIT(52));
	expect(&mtrr, 5 * GIB, CACHE_UC, BIT(52));
}

static void test_fixed(void **state)
{
	static const u8 types[] = {CACHE_UC, CACHE_WC, CACHE_WT, CACHE_WP, CACHE_WB};
	struct mtrr_state mtrr = {
	    .cap = CAP_FIX, .def_type = FE | E | CACHE_WC, .address_mask = ADDRESS_36};
	u64 at = 0;

	(void)state;
	for (unsigned i = 0; i < 88; i++)
		mtrr.fixed[i / 8] |= (u64)types[i * 7 % 5] << (i % 8 * 8);
	for (unsigned i = 0; i < 88; i++) {
		u64 size = i < 8 ? 64 * KIB : i < 24 ? 16 * KIB : 4 * KIB;

		expect(&mtrr, at, types[i * 7 % 5], at + size);
		expect(&mtrr, at + size - 1, types[i * 7 % 5], at + size);
		at += size;
	}
	assert_int_equal(at, MIB);
	expect(&mtrr, MIB, CACHE_WC, BIT(36));

	/* AMD's RdMem and WrMem are not of the type; encodings 2, 3 and 7 are none. */
	mtrr.fixed[0] = 0x0203071e18160e06;
	expect(&mtrr, 0x00000, CACHE_WB, 0x10000);
	expect(&mtrr, 0x10000, CACHE_WB, 0x20000);
	expect(&mtrr, 0x20000, CACHE_WB, 0x30000);
	expect(&mtrr, 0x30000, CACHE_UC, 0x40000);
	expect(&mtrr, 0x40000, CACHE_WB, 0x50000);
	expect(&mtrr, 0x50000, CACHE_UC, 0x60000);
	expect(&mtrr, 0x70000, CACHE_UC, 0x80000);

	/* They beat the variable ranges, and count only when the CPU has and uses them. */
	mtrr.fixed[0] = 0x0606060606060606;
	set_variable(&mtrr, 0, 0, MIB, CACHE_UC);
	expect(&mtrr, 0, CACHE_WB, 64 * KIB);
	mtrr.def_type = E | CACHE_WC;
	expect(&mtrr, 0, CACHE_UC, MIB);
	mtrr.def_type = FE | E | CACHE_WC;
	mtrr.cap &= ~CAP_FIX;
	expect(&mtrr, 0, CACHE_UC, MIB);
}

/* A PC with 6 GiB: write-back by registers, a hole below 4 GiB. */
static void test_variable(void **state)
{
	struct mtrr_state mtrr = {.def_type = E | CACHE_UC, .address_mask = ADDRESS_36};

	(void)state;
	set_variable(&mtrr, 0, 0, 4 * GIB, CACHE_WB);
	set_variable(&mtrr, 1, 3 * GIB, GIB, CACHE_UC);
	set_variable(&mtrr, 2, 4 * GIB, 2 * GIB, CACHE_WB);
	set_variable(&mtrr, 3, 0xd0000000, 256 * MIB, CACHE_WC);
	expect(&mtrr, 0, CACHE_WB, 3 * GIB);
	expect(&mtrr, 3 * GIB, CACHE_UC, 0xd0000000);
	expect(&mtrr, 0xd0000000, CACHE_UC, 0xe0000000);
	expect(&mtrr, 0xe0000000, CACHE_UC, 4 * GIB);
	expect(&mtrr, 4 * GIB, CACHE_WB, 6 * GIB);
	expect(&mtrr, 6 * GIB, CACHE_UC, BIT(36));
	expect(&mtrr, BIT(36), CACHE_UC, BIT(52));
	expect(&mtrr, BIT(52) - PAGE_SIZE, CACHE_UC, BIT(52));

	mtrr.variable[1].mask &= ~VALID;
	expect(&mtrr, 3 * GIB, CACHE_WB, 0xd0000000);
	expect(&mtrr, 0xd0000000, CACHE_UC, 0xe0000000);
	mtrr.cap = 3;
	expect(&mtrr, 3 * GIB, CACHE_WB, 4 * GIB);
	mtrr.cap = 2;
	expect(&mtrr, 4 * GIB, CACHE_UC, BIT(36));
}

static void test_overlaps(void **state)
{
	static const struct {
		u8 a, b, type;
	} rows[] = {
	    {CACHE_WB, CACHE_WB, CACHE_WB}, {CACHE_WC, CACHE_WC, CACHE_WC},
	    {CACHE_UC, CACHE_WB, CACHE_UC}, {CACHE_UC, CACHE_WC, CACHE_UC},
	    {CACHE_WT, CACHE_WB, CACHE_WT}, {CACHE_WC, CACHE_WB, CACHE_UC},
	    {CACHE_WP, CACHE_WB, CACHE_UC}, {CACHE_WC, CACHE_WT, CACHE_UC},
	    {7, CACHE_WB, CACHE_UC},	    {2, 2, CACHE_UC},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows) * 2; i++) {
		bool swap = i % 2;
		struct mtrr_state mtrr = {.def_type = E | CACHE_WB, .address_mask = ADDRESS_36};

		set_variable(&mtrr, swap, GIB, GIB, rows[i / 2].a);
		set_variable(&mtrr, !swap, GIB, 2 * MIB, rows[i / 2].b);
		mtrr.cap = 2;
		expect(&mtrr, GIB, rows[i / 2].type, GIB + 2 * MIB);
	}
}

static void test_three_overlap(void **state)
{
	struct mtrr_state mtrr = {.def_type = E, .address_mask = ADDRESS_36};

	(void)state;
	set_variable(&mtrr, 0, 0, GIB, CACHE_WB);
	set_variable(&mtrr, 1, 0, GIB, CACHE_WT);
	set_variable(&mtrr, 2, 0, GIB, CACHE_WB);
	expect(&mtrr, 0, CACHE_WT, GIB);
	set_variable(&mtrr, 2, 0, GIB, CACHE_UC);
	expect(&mtrr, 0, CACHE_UC, GIB);
}

static void test_wb_above_4g(void **state)
{
	struct mtrr_state mtrr = {
	    .def_type = E | CACHE_UC, .address_mask = ADDRESS_36, .wb_above_4g = 9 * GIB};

	(void)state;
	expect(&mtrr, 4 * GIB - PAGE_SIZE, CACHE_UC, 4 * GIB);
	expect(&mtrr, 4 * GIB, CACHE_WB, 9 * GIB);
	expect(&mtrr, 9 * GIB, CACHE_UC, BIT(36));
	/* A default only: registers win. */
	set_variable(&mtrr, 0, 8 * GIB, GIB, CACHE_WC);
	expect(&mtrr, 4 * GIB, CACHE_WB, 8 * GIB);
	expect(&mtrr, 8 * GIB, CACHE_WC, 9 * GIB);
	mtrr.cap = 0;
	mtrr.wb_above_4g = 9 * GIB + 0x123;
	expect(&mtrr, 4 * GIB, CACHE_WB, 9 * GIB);
	mtrr.wb_above_4g = 2 * GIB;
	expect(&mtrr, GIB, CACHE_UC, BIT(36));
	expect(&mtrr, 4 * GIB, CACHE_UC, BIT(36));
}

static void test_hostile(void **state)
{
	struct mtrr_state mtrr = {.cap = 0xff, .def_type = E | 3};

	(void)state;
	expect(&mtrr, PAGE_SIZE, CACHE_UC, BIT(52));
	mtrr.address_mask = UINT64_MAX;
	expect(&mtrr, 0, CACHE_UC, BIT(52));
	/* A mask of nothing matches everything. */
	mtrr.variable[15].base = CACHE_WB;
	mtrr.variable[15].mask = VALID;
	expect(&mtrr, 0, CACHE_WB, BIT(52));
	expect(&mtrr, BIT(52) - 1, CACHE_WB, BIT(52));
	mtrr.variable[15].mask = VALID | BIT(12);
	expect(&mtrr, 0, CACHE_WB, 0x1000);
	expect(&mtrr, 0x1fff, CACHE_UC, 0x2000);
}

/* --- against a page by page model, masks with holes included --- */

#define MODEL_BITS 27

static u64 random_state = 0x9e3779b97f4a7c15;

static u64 random_below(u64 limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

static u8 model_type(const struct mtrr_state *mtrr, u64 address)
{
	bool seen[8] = {false};
	unsigned kinds = 0;
	u8 type = mtrr->def_type & 0xff;

	for (unsigned i = 0; i < (mtrr->cap & 0xff); i++) {
		u64 mask = mtrr->variable[i].mask & mtrr->address_mask & ~0xfffull;

		if (!(mtrr->variable[i].mask & VALID) ||
		    ((address ^ mtrr->variable[i].base) & mask))
			continue;
		type = mtrr->variable[i].base & 7;
		kinds += !seen[type];
		seen[type] = true;
	}
	if (kinds == 2 && seen[CACHE_WT] && seen[CACHE_WB])
		return CACHE_WT;
	return kinds > 1 ? CACHE_UC : type;
}

static void test_random(void **state)
{
	static const u8 types[] = {CACHE_UC, CACHE_WC, CACHE_WT, CACHE_WP, CACHE_WB};

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct mtrr_state mtrr = {
		    .cap = random_below(6),
		    .def_type = E | types[random_below(5)],
		    .address_mask = BIT(MODEL_BITS) - 1,
		};
		u64 end = 0;

		for (unsigned i = 0; i < (mtrr.cap & 0xff); i++) {
			u64 size = PAGE_SIZE << random_below(MODEL_BITS - 12);
			u64 mask = ~(size - 1) & mtrr.address_mask;

			if (random_below(2))
				mask &= random_below(UINT64_MAX) & ~0xfffull;
			mtrr.variable[i].base =
			    (random_below(BIT(40)) & ~0xfffull) | types[random_below(5)];
			mtrr.variable[i].mask = mask | (random_below(8) ? VALID : 0);
		}
		for (u64 at = 0; at < BIT(MODEL_BITS); at = end) {
			u8 type = mtrr_type(&mtrr, at, &end);

			assert_true(end > at && end % PAGE_SIZE == 0);
			assert_true(end <= BIT(MODEL_BITS));
			for (u64 page = at; page < end; page += PAGE_SIZE)
				if (model_type(&mtrr, page) != type)
					fail_msg("round %u, %lx: %u to %lx, but %lx", round, at,
						 type, end, page);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_disabled),	  cmocka_unit_test(test_fixed),
	    cmocka_unit_test(test_variable),	  cmocka_unit_test(test_overlaps),
	    cmocka_unit_test(test_three_overlap), cmocka_unit_test(test_wb_above_4g),
	    cmocka_unit_test(test_hostile),	  cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("mtrr", tests, NULL, NULL);
}
