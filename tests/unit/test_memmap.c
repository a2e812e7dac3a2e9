/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_memory.h"
#include "mem/memmap.h"

#define RANGES(...)                              \
	(const struct mem_range[]){__VA_ARGS__}, \
	    ARRAY_SIZE(((const struct mem_range[]){__VA_ARGS__}))

static void load(struct mem_map *map, const struct mem_range *range, u32 count)
{
	memset(map, 0, sizeof(*map));
	for (u32 i = 0; i < count; i++)
		assert_true(mem_map_add(map, range[i].base, range[i].size, range[i].type));
	assert_true(mem_map_normalise(map));
}

static void expect(const struct mem_map *map, const struct mem_range *range, u32 count)
{
	assert_int_equal(map->count, count);
	for (u32 i = 0; i < count; i++) {
		assert_int_equal(map->range[i].base, range[i].base);
		assert_int_equal(map->range[i].size, range[i].size);
		assert_int_equal(map->range[i].type, range[i].type);
	}
}

static void expect_normalised(const struct mem_map *map)
{
	for (u32 i = 0; i < map->count; i++) {
		const struct mem_range *range = &map->range[i];

		assert_true(range->size > 0 && range->type != MEM_NONE);
		assert_true(range->base + range->size > range->base);
		if (i == 0)
			continue;
		assert_true(range->base >= range[-1].base + range[-1].size);
		assert_false(range->base == range[-1].base + range[-1].size &&
			     range->type == range[-1].type);
	}
}

static void test_sorts_and_merges(void **unused)
{
	struct mem_map map;

	(void)unused;
	load(&map, RANGES({0x3000, 0x1000, MEM_RAM}, {0x0, 0x1000, MEM_RAM},
			  {0x1000, 0x1000, MEM_RAM}, {0x2000, 0x1000, MEM_RESERVED},
			  {9, 0, MEM_NVS}));
	expect(&map, RANGES({0, 0x2000, MEM_RAM}, {0x2000, 0x1000, MEM_RESERVED},
			    {0x3000, 0x1000, MEM_RAM}));
	load(&map, NULL, 0);
	assert_int_equal(map.count, 0);
}

static void test_stricter_type_wins(void **unused)
{
	static const u32 order[] = {MEM_RAM, MEM_RESERVED, 12, MEM_ACPI, MEM_NVS, MEM_UNUSABLE};
	struct mem_map map;

	(void)unused;
	for (u32 weak = 0; weak < ARRAY_SIZE(order); weak++) {
		for (u32 strong = weak + 1; strong < ARRAY_SIZE(order); strong++) {
			u32 w = order[weak], s = order[strong];

			load(&map, RANGES({0, 100, w}, {40, 20, s}));
			expect(&map, RANGES({0, 40, w}, {40, 20, s}, {60, 40, w}));
			load(&map, RANGES({50, 20, w}, {40, 60, s}));
			expect(&map, RANGES({40, 60, s}));
			load(&map, RANGES({40, 60, s}, {50, 100, w}));
			expect(&map, RANGES({40, 60, s}, {100, 50, w}));
		}
	}
}

static void test_wrapping_ranges_are_cut(void **unused)
{
	struct mem_map map;
	u64 top = -PAGE_SIZE;

	(void)unused;
	load(&map, RANGES({top - 100, 100 + PAGE_SIZE, MEM_RAM}));
	expect(&map, RANGES({top - 100, 100, MEM_RAM}));
	load(&map, RANGES({100, UINT64_MAX, MEM_RAM}));
	expect(&map, RANGES({100, top - 100, MEM_RAM}));
	load(&map, RANGES({top, UINT64_MAX, MEM_RAM}, {UINT64_MAX, 1, MEM_RAM}));
	assert_int_equal(map.count, 0);
	load(&map, RANGES({0, 10, MEM_NONE}));
	expect(&map, RANGES({0, 10, MEM_RESERVED}));
}

static void test_full_maps(void **unused)
{
	struct mem_map map = {0}, before;

	(void)unused;
	for (u64 i = 0; i < MEM_MAP_MAX; i++)
		assert_true(mem_map_add(&map, i * 0x2000, 0x1000, MEM_RAM));
	assert_false(mem_map_add(&map, 0x900000, 1, MEM_RAM));
	assert_true(mem_map_add(&map, 0x900000, 0, MEM_RAM));
	assert_true(mem_map_normalise(&map));
	before = map;
	assert_false(mem_map_set(&map, 0x400, 0x10, MEM_RESERVED));
	assert_false(mem_map_set(&map, 0x400, 0x10, MEM_NONE));
	assert_false(mem_map_set(&map, 0x1400, 0x10, MEM_RESERVED));
	assert_memory_equal(&map, &before, sizeof(map));
	assert_true(mem_map_set(&map, 0x1000, 0x1000, MEM_RAM));
	assert_int_equal(map.count, MEM_MAP_MAX - 1);
	expect_normalised(&map);

	/* One big range under 127 small ones makes 255 pieces. */
	memset(&map, 0, sizeof(map));
	mem_map_add(&map, 0, 0x1000000, MEM_RAM);
	for (u64 i = 1; i < MEM_MAP_MAX; i++)
		mem_map_add(&map, i * 0x2000, 0x1000, MEM_RESERVED);
	before = map;
	assert_false(mem_map_normalise(&map));
	assert_memory_equal(&map, &before, sizeof(map));
}

static void test_set_splits_and_merges(void **unused)
{
	struct mem_map map;

	(void)unused;
	load(&map, RANGES({0, 100, MEM_RAM}, {200, 100, MEM_RESERVED}));
	assert_true(mem_map_set(&map, 40, 20, MEM_RESERVED));
	expect(&map, RANGES({0, 40, MEM_RAM}, {40, 20, MEM_RESERVED}, {60, 40, MEM_RAM},
			    {200, 100, MEM_RESERVED}));
	assert_true(mem_map_set(&map, 40, 20, MEM_RAM));
	expect(&map, RANGES({0, 100, MEM_RAM}, {200, 100, MEM_RESERVED}));
	assert_true(mem_map_set(&map, 100, 100, MEM_RESERVED));
	expect(&map, RANGES({0, 100, MEM_RAM}, {100, 200, MEM_RESERVED}));
	assert_true(mem_map_set(&map, 50, 100, MEM_NONE));
	expect(&map, RANGES({0, 50, MEM_RAM}, {150, 150, MEM_RESERVED}));
	assert_true(mem_map_set(&map, 50, 0, MEM_NVS));
	assert_true(mem_map_set(&map, 60, 10, MEM_NVS));
	expect(&map, RANGES({0, 50, MEM_RAM}, {60, 10, MEM_NVS}, {150, 150, MEM_RESERVED}));
	assert_true(mem_map_set(&map, 0, UINT64_MAX, MEM_NONE));
	assert_int_equal(map.count, 0);
	assert_true(mem_map_set(&map, 5, UINT64_MAX, MEM_RAM));
	expect(&map, RANGES({5, -PAGE_SIZE - 5, MEM_RAM}));
}

#define CELLS 64

/* Against a plain array, one cell a byte. */
static void test_random_edits(void **unused)
{
	struct mem_map map = {0};
	u32 model[CELLS] = {0};
	u64 state = 7;

	(void)unused;
	for (u32 round = 0; round < 20000; round++) {
		u64 base = next_random(&state) % CELLS;
		u64 size = next_random(&state) % (CELLS - base + 1);
		u32 type = next_random(&state) % 4;
		u64 ram = 0;

		assert_true(mem_map_set(&map, base, size, type));
		expect_normalised(&map);
		for (u64 i = base; i < base + size; i++)
			model[i] = type;
		for (u64 i = 0; i < CELLS; i++) {
			assert_int_equal(mem_map_type(&map, i), model[i]);
			ram += model[i] == MEM_RAM;
		}
		assert_int_equal(mem_map_ram_bytes(&map), ram);
	}
}

static void test_random_maps_normalise(void **unused)
{
	u64 state = 9;

	(void)unused;
	for (u32 round = 0; round < 3000; round++) {
		struct mem_map map = {0};
		u32 model[CELLS] = {0};

		for (u32 n = next_random(&state) % 12; n > 0; n--) {
			u64 base = next_random(&state) % CELLS;
			u64 size = next_random(&state) % (CELLS - base + 1);
			u32 type = next_random(&state) % 5 + 1;

			/* Of these types the higher number is the stricter. */
			mem_map_add(&map, base, size, type);
			for (u64 i = base; i < base + size; i++)
				model[i] = max_u64(model[i], type);
		}
		assert_true(mem_map_normalise(&map));
		expect_normalised(&map);
		for (u64 i = 0; i < CELLS; i++)
			assert_int_equal(mem_map_type(&map, i), model[i]);
	}
}

static void test_questions(void **unused)
{
	struct mem_map map;

	(void)unused;
	load(&map, RANGES({0, 0xa0000, MEM_RAM}, {0xf0000, 0x10000, MEM_RESERVED},
			  {0x100000, 0x700000, MEM_RAM}));
	assert_int_equal(mem_map_type(&map, 0x9ffff), MEM_RAM);
	assert_int_equal(mem_map_type(&map, 0xa0000), MEM_NONE);
	assert_int_equal(mem_map_type(&map, UINT64_MAX), MEM_NONE);
	assert_true(mem_map_all(&map, 0x100000, 0x700000, MEM_RAM));
	assert_false(mem_map_all(&map, 0x100000, 0x700001, MEM_RAM));
	assert_false(mem_map_all(&map, 0xfffff, 2, MEM_RAM));
	assert_false(mem_map_all(&map, 0x200000, UINT64_MAX, MEM_RAM));
	assert_false(mem_map_all(&map, 0x900000, 1, MEM_RAM));
	assert_int_equal(mem_map_ram_bytes(&map), 0x7a0000);
	assert_int_equal(mem_map_ram_end(&map), 0x800000);
	map.count = 0;
	assert_int_equal(mem_map_ram_end(&map), 0);
}

static void test_find_top(void **unused)
{
	const struct mem_range avoid[] = {
	    {0x780000, 0x1000, 0}, {0x7ff000, 1, 0}, {0x10000000, UINT64_MAX, 0}};
	struct mem_map map;
	u64 at;

	(void)unused;
	load(&map, RANGES({0, 0xa0000, MEM_RAM}, {0x100000, 0x700000, MEM_RAM},
			  {0x800000, 0x100000, MEM_ACPI}, {0x10000000, 0x10000000, MEM_RAM}));
	assert_true(mem_map_find_top(&map, 0x1000, 0x1000, UINT64_MAX, NULL, 0, &at));
	assert_int_equal(at, 0x1ffff000);
	assert_true(mem_map_find_top(&map, 0x1000, 0x1000, UINT64_MAX, avoid, 3, &at));
	assert_int_equal(at, 0x7fe000);
	assert_true(mem_map_find_top(&map, 0x7f000, 0x1000, 0x10000000, avoid, 2, &at));
	assert_int_equal(at, 0x700000 + 0x1000);
	assert_true(mem_map_find_top(&map, 0x1001, 0x10000, 0x7fffff, NULL, 0, &at));
	assert_int_equal(at, 0x7f0000);
	assert_true(mem_map_find_top(&map, 0x700000, 0x100000, 0x10000000, NULL, 0, &at));
	assert_int_equal(at, 0x100000);
	assert_false(mem_map_find_top(&map, 0x700000, 0x200000, 0x10000000, NULL, 0, &at));
	assert_true(mem_map_find_top(&map, 0x10000, 0x10000, 0x100000, NULL, 0, &at));
	assert_int_equal(at, 0x90000);
	assert_false(mem_map_find_top(&map, UINT64_MAX, 1, UINT64_MAX, NULL, 0, &at));
	assert_false(mem_map_find_top(&map, 0, 1, UINT64_MAX, NULL, 0, &at));
	assert_false(mem_map_find_top(&map, 1, 1, 0, NULL, 0, &at));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sorts_and_merges),
	    cmocka_unit_test(test_stricter_type_wins),
	    cmocka_unit_test(test_wrapping_ranges_are_cut),
	    cmocka_unit_test(test_full_maps),
	    cmocka_unit_test(test_set_splits_and_merges),
	    cmocka_unit_test(test_random_edits),
	    cmocka_unit_test(test_random_maps_normalise),
	    cmocka_unit_test(test_questions),
	    cmocka_unit_test(test_find_top),
	};

	return cmocka_run_group_tests_name("memmap", tests, NULL, NULL);
}
