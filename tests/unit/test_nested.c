/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem/nested.h"
#include "svm/npt.h"

/* --- a page source with a budget --- */

#define ARENA_PAGES 2048
#define ARENA_BASE  0x7000000000ull

static u8 arena[ARENA_PAGES][PAGE_SIZE] ALIGNED(4096);
static bool live[ARENA_PAGES];
static u64 live_count;
static u64 budget;

static void *arena_alloc(struct page_source *source)
{
	(void)source;
	for (u64 i = 0; budget && i < ARENA_PAGES; i++) {
		if (live[i])
			continue;
		live[i] = true;
		live_count++;
		budget--;
		memset(arena[i], 0, PAGE_SIZE);
		return arena[i];
	}
	return NULL;
}

static u64 arena_index(const void *page)
{
	u64 index = ((uintptr_t)page - (uintptr_t)arena) / PAGE_SIZE;

	assert_true(index < ARENA_PAGES && live[index]);
	return index;
}

static void arena_free(struct page_source *source, void *page)
{
	u64 index = arena_index(page);

	(void)source;
	memset(page, 0xa5, PAGE_SIZE);
	live[index] = false;
	live_count--;
}

static hpa_t arena_to_hpa(struct page_source *source, const void *page)
{
	(void)source;
	return hpa(ARENA_BASE + arena_index(page) * PAGE_SIZE);
}

static void *arena_to_page(struct page_source *source, hpa_t address)
{
	u64 index = (address.addr - ARENA_BASE) / PAGE_SIZE;

	(void)source;
	assert_true(address.addr % PAGE_SIZE == 0 && index < ARENA_PAGES && live[index]);
	return arena[index];
}

static struct page_source pages = {arena_alloc, arena_free, arena_to_hpa, arena_to_page};

/* --- a format with memory types, which also looks on while a table is filled --- */

#define TYPED_LEAF    BIT(7)
#define TYPED_ADDRESS 0x000ffffffffff000ull

static bool typed_present(u64 entry)
{
	return entry & NESTED_RWX;
}

/* What a CPU that walks meanwhile would find there. */
static struct {
	const struct nested *nested;
	u64 at;
	u64 page;
	unsigned looks;
} watch;

static void look(void)
{
	struct nested_leaf leaf;

	if (!watch.nested)
		return;
	nested_lookup(watch.nested, gpa(watch.at), &leaf);
	assert_int_equal(leaf.access, NESTED_RWX);
	assert_int_equal(leaf.page.addr + watch.at - leaf.base.addr, watch.page);
	watch.looks++;
}

static u64 typed_table(hpa_t child)
{
	const u64 *table = arena_to_page(&pages, child);

	for (unsigned i = 1; i < 512; i++)
		assert_true(typed_present(table[i]) == typed_present(table[0]));
	return child.addr | NESTED_RWX;
}

static u64 typed_leaf(hpa_t page, unsigned level, u32 access, u8 memory_type)
{
	assert_true(page.addr % nested_level_size(level) == 0);
	assert_in_range(level, 1, 3);
	look();
	return page.addr | access | (u64)memory_type << 3 | TYPED_LEAF;
}

static bool typed_is_leaf(u64 entry, unsigned level)
{
	(void)level;
	return entry & TYPED_LEAF;
}

static hpa_t typed_address(u64 entry, unsigned level)
{
	(void)level;
	return hpa(entry & TYPED_ADDRESS);
}

static u32 typed_access(u64 entry)
{
	return entry & NESTED_RWX;
}

static u8 typed_memory_type(u64 entry)
{
	return entry >> 3 & 7;
}

static const struct nested_format typed_format = {
    .name = "typed",
    .largest_leaf = 3,
    .table = typed_table,
    .leaf = typed_leaf,
    .present = typed_present,
    .is_leaf = typed_is_leaf,
    .address = typed_address,
    .access = typed_access,
    .memory_type = typed_memory_type,
};

/* --- the naive model: one word for each page of a window across 512 GiB --- */

#define WINDOW_BASE  (511 * GIB - 4 * MIB)
#define WINDOW_PAGES ((GIB + 8 * MIB) / PAGE_SIZE)

static u64 model[WINDOW_PAGES]; /* page | type << 3 | access, 0 in a hole */

static void model_map(u64 at, u64 to, u64 count, u32 access, u8 type)
{
	for (u64 i = 0; i < count; i++)
		model[at + i] = (to + i * PAGE_SIZE) | (u64)type << 3 | access;
}

static void model_change(u64 at, u64 count, u32 access)
{
	for (u64 i = 0; i < count; i++)
		if (model[at + i])
			model[at + i] = access ? (model[at + i] & ~NESTED_RWX) | access : 0;
}

static u64 looked_up(const struct nested *nested, u64 at)
{
	struct nested_leaf leaf;

	nested_lookup(nested, gpa(at), &leaf);
	assert_true(leaf.size && leaf.base.addr % leaf.size == 0);
	assert_true(at - leaf.base.addr < leaf.size);
	if (!leaf.access)
		return 0;
	assert_true(leaf.page.addr % leaf.size == 0);
	return (leaf.page.addr + align_down(at - leaf.base.addr, PAGE_SIZE)) |
	       (u64)leaf.memory_type << 3 | leaf.access;
}

static void assert_page(const struct nested *nested, u64 page)
{
	assert_int_equal(looked_up(nested, WINDOW_BASE + page * PAGE_SIZE + page % PAGE_SIZE),
			 model[page]);
}

static void assert_window(const struct nested *nested)
{
	for (u64 page = 0; page < WINDOW_PAGES; page++)
		assert_page(nested, page);
	assert_int_equal(looked_up(nested, WINDOW_BASE - PAGE_SIZE), 0);
	assert_int_equal(looked_up(nested, WINDOW_BASE + WINDOW_PAGES * PAGE_SIZE), 0);
	assert_int_equal(nested->table_pages, live_count);
}

static u64 random_state;

static u64 random_below(u64 limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

static int start(void **state)
{
	(void)state;
	memset(model, 0, sizeof(model));
	memset(live, 0, sizeof(live));
	live_count = 0;
	budget = ARENA_PAGES;
	random_state = 0x9e3779b97f4a7c15;
	return 0;
}

static void finish(struct nested *nested)
{
	nested_destroy(nested);
	assert_int_equal(live_count, 0);
	assert_int_equal(nested->table_pages, 0);
	nested_destroy(nested);
}

/* --- tests --- */

static u64 leaf_size_at(const struct nested *nested, u64 at)
{
	struct nested_leaf leaf;

	nested_lookup(nested, gpa(at), &leaf);
	return leaf.size;
}

static void test_largest_pages(void **state)
{
	static const struct {
		const struct nested_format *format;
		u64 from, to, size, at, leaf;
	} rows[] = {
	    {&npt_format, 0, 0, 512 * GIB, 5 * GIB, GIB},
	    {&npt_format_2m, 0, 0, 4 * GIB, 3 * GIB, 2 * MIB},
	    {&npt_format, 0, 2 * MIB, 4 * GIB, GIB, 2 * MIB},
	    {&npt_format, 0, PAGE_SIZE, 4 * MIB, 2 * MIB, PAGE_SIZE},
	    {&npt_format, GIB, 5 * GIB, GIB - PAGE_SIZE, GIB, 2 * MIB},
	    {&npt_format, GIB, 5 * GIB, GIB - PAGE_SIZE, 2 * GIB - 2 * PAGE_SIZE, PAGE_SIZE},
	    {&npt_format, GIB - 2 * MIB, 3 * GIB - 2 * MIB, 2 * GIB, GIB, GIB},
	    {&npt_format, BIT(48) - GIB, BIT(52) - GIB, GIB, BIT(48) - 1, GIB},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct nested nested;

		assert_true(nested_init(&nested, rows[i].format, &pages));
		assert_true(nested_map(&nested, gpa(rows[i].from), hpa(rows[i].to),
				       rows[i].size, NESTED_RWX, 6));
		assert_int_equal(leaf_size_at(&nested, rows[i].at), rows[i].leaf);
		assert_int_equal(looked_up(&nested, rows[i].from + rows[i].size), 0);
		finish(&nested);
	}
}

static void test_refused_ranges(void **state)
{
	struct nested nested;

	(void)state;
	assert_true(nested_init(&nested, &npt_format, &pages));
	assert_false(nested_map(&nested, gpa(1), hpa(0), PAGE_SIZE, NESTED_RWX, 6));
	assert_false(nested_map(&nested, gpa(0), hpa(1), PAGE_SIZE, NESTED_RWX, 6));
	assert_false(nested_map(&nested, gpa(0), hpa(0), 1, NESTED_RWX, 6));
	assert_false(nested_map(&nested, gpa(0), hpa(0), PAGE_SIZE, 0, 6));
	assert_false(nested_map(&nested, gpa(BIT(48)), hpa(0), PAGE_SIZE, NESTED_RWX, 6));
	assert_false(nested_map(&nested, gpa(0), hpa(BIT(52)), PAGE_SIZE, NESTED_RWX, 6));
	assert_false(nested_map(&nested, gpa(PAGE_SIZE), hpa(0), -PAGE_SIZE, NESTED_RWX, 6));
	assert_false(nested_unmap(&nested, gpa(BIT(48) - PAGE_SIZE), 2 * PAGE_SIZE));
	assert_false(nested_unmap(&nested, gpa(2), PAGE_SIZE));
	assert_false(nested_protect(&nested, gpa(0), PAGE_SIZE, 0));
	assert_false(nested_protect(&nested, gpa(-PAGE_SIZE), 2 * PAGE_SIZE, NESTED_READ));
	assert_int_equal(nested.table_pages, 1);
	assert_int_equal(leaf_size_at(&nested, 0), 512 * GIB);
	assert_int_equal(leaf_size_at(&nested, BIT(48)), BIT(48));
	assert_int_equal(looked_up(&nested, UINT64_MAX), 0);
	assert_true(nested_unmap(&nested, gpa(0), BIT(48)));
	assert_true(nested_map(&nested, gpa(0), hpa(0), 0, NESTED_RWX, 6));
	finish(&nested);
}

static void test_no_root(void **state)
{
	struct nested nested;

	(void)state;
	budget = 0;
	assert_false(nested_init(&nested, &npt_format, &pages));
	nested_destroy(&nested);
	assert_int_equal(live_count, 0);
}

/* A table stays one: a CPU may have it cached until the caller has flushed. */
static void test_tables_stay(void **state)
{
	struct nested nested;

	(void)state;
	assert_true(nested_init(&nested, &npt_format, &pages));
	assert_true(nested_map(&nested, gpa(0), hpa(0), GIB, NESTED_RWX, 6));
	assert_int_equal(nested.table_pages, 2);
	assert_true(nested_unmap(&nested, gpa(4 * MIB), PAGE_SIZE));
	assert_int_equal(nested.table_pages, 4);
	assert_true(nested_map(&nested, gpa(0), hpa(0), GIB, NESTED_RWX, 6));
	assert_int_equal(leaf_size_at(&nested, 4 * MIB), PAGE_SIZE);
	assert_int_equal(leaf_size_at(&nested, 6 * MIB), 2 * MIB);
	assert_true(nested_unmap(&nested, gpa(0), GIB));
	assert_int_equal(nested.table_pages, 4);
	finish(&nested);
}

/* While a large page is split, a neighbour in it stays mapped. */
static void test_split_unseen(void **state)
{
	struct nested nested;

	(void)state;
	assert_true(nested_init(&nested, &typed_format, &pages));
	assert_true(nested_map(&nested, gpa(0), hpa(4 * GIB), GIB, NESTED_RWX, 6));
	watch.nested = &nested;
	watch.at = GIB - PAGE_SIZE;
	watch.page = 5 * GIB - PAGE_SIZE;
	assert_true(nested_unmap(&nested, gpa(GIB - 2 * PAGE_SIZE), PAGE_SIZE));
	assert_true(nested_protect(&nested, gpa(0), PAGE_SIZE, NESTED_READ));
	assert_true(nested_map(&nested, gpa(2 * MIB), hpa(0), PAGE_SIZE, NESTED_READ, 6));
	assert_in_range(watch.looks, 4 * 512, 5 * 512);
	watch.nested = NULL;
	finish(&nested);
}

enum op { OP_MAP, OP_UNMAP, OP_PROTECT, OPS };

struct action {
	enum op op;
	u64 at, count, to;
	u32 access;
	u8 type;
};

static bool act(struct nested *nested, const struct action *a)
{
	gpa_t from = gpa(WINDOW_BASE + a->at * PAGE_SIZE);
	u64 size = a->count * PAGE_SIZE;

	switch (a->op) {
	case OP_MAP:
		return nested_map(nested, from, hpa(a->to), size, a->access, a->type);
	case OP_UNMAP:
		return nested_unmap(nested, from, size);
	default:
		return nested_protect(nested, from, size, a->access);
	}
}

static void act_on_model(const struct action *a, u64 count)
{
	if (a->op == OP_MAP)
		model_map(a->at, a->to, count, a->access, a->type);
	else
		model_change(a->at, count, a->op == OP_PROTECT ? a->access : 0);
}

/* Now and then the aligned GiB in the window, else up to 8 MiB, often at 2 MiB boundaries. */
static struct action random_action(void)
{
	struct action a = {
	    .op = random_below(OPS),
	    .at = 1024,
	    .count = 512 * 512,
	    .to = random_below(4) * GIB,
	    .access = NESTED_READ | random_below(4) << 1,
	    .type = 6,
	};

	if (random_below(200) == 0)
		return a;
	a.at = random_below(WINDOW_PAGES);
	a.count = random_below(random_below(8) ? 64 : 2048);
	a.to += random_below(GIB / PAGE_SIZE) * PAGE_SIZE;
	if (random_below(2))
		a.at = align_down(a.at, 512);
	if (random_below(2))
		a.to = align_down(a.to, 2 * MIB) + a.at % 512 * PAGE_SIZE;
	if (random_below(2))
		a.count = align_up(a.count, 512);
	a.count = min_u64(a.count, WINDOW_PAGES - a.at);
	return a;
}

static void run_random(const struct nested_format *format, unsigned operations, bool typed)
{
	struct nested nested;

	assert_true(nested_init(&nested, format, &pages));
	for (unsigned i = 0; i < operations; i++) {
		struct action a = random_action();

		if (typed)
			a.type = random_below(8);
		assert_true(act(&nested, &a));
		act_on_model(&a, a.count);
		for (unsigned j = 0; j < 64; j++)
			assert_page(&nested, random_below(WINDOW_PAGES));
		for (u64 page = a.at; a.count && page <= a.at + a.count; page += a.count)
			for (u64 p = page ? page - 1 : 0; p <= page && p < WINDOW_PAGES; p++)
				assert_page(&nested, p);
		if (i % 128 == 0)
			assert_window(&nested);
	}
	assert_window(&nested);
	finish(&nested);
}

static void test_random_npt(void **state)
{
	(void)state;
	run_random(&npt_format, 2000, false);
}

static void test_random_npt_2m(void **state)
{
	(void)state;
	run_random(&npt_format_2m, 1000, false);
}

static void test_random_typed(void **state)
{
	(void)state;
	run_random(&typed_format, 2000, true);
}

/* With every number of pages until it succeeds. A failed map may have mapped a first part. */
static void run_out_of_pages(const struct action *a)
{
	bool done = false;

	for (u64 n = 0; !done; n++) {
		struct action gib = {OP_MAP, 1024, 512 * 512, 2 * GIB, NESTED_RWX, 6};
		struct nested nested;
		u64 mapped = 0;

		start(NULL);
		assert_true(nested_init(&nested, &typed_format, &pages));
		assert_true(act(&nested, &gib));
		act_on_model(&gib, gib.count);
		budget = n;
		done = act(&nested, a);
		if (done)
			mapped = a->count;
		while (a->op == OP_MAP && mapped < a->count &&
		       looked_up(&nested, WINDOW_BASE + (a->at + mapped) * PAGE_SIZE) ==
			   ((a->to + mapped * PAGE_SIZE) | (u64)a->type << 3 | a->access))
			mapped++;
		act_on_model(a, mapped);
		assert_window(&nested);
		assert_true(done || budget == 0);
		finish(&nested);
		assert_in_range(n, 0, 16);
	}
}

static void test_out_of_pages(void **state)
{
	static const struct action actions[] = {
	    {OP_MAP, 1000, 600, GIB + 8192, NESTED_READ, 0},
	    {OP_MAP, 1, 512 * 4, 1000 * PAGE_SIZE, NESTED_RWX, 6},
	    {OP_MAP, 512 * 512 + 512, 1024, 4 * GIB - 2 * MIB, NESTED_READ, 1},
	    {OP_UNMAP, 1030, 5000, 0, 0, 0},
	    {OP_UNMAP, 1024 + 512, 512, 0, 0, 0},
	    {OP_PROTECT, 5000, 1, 0, NESTED_READ, 0},
	    {OP_PROTECT, 1000, 512 * 512, 0, NESTED_READ | NESTED_EXEC, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		run_out_of_pages(&actions[i]);
}

/* APM 2 5.3.3 to 5.3.5 and 15.25.5, bit by bit. */
static u64 page_at(const struct nested *nested, u64 at)
{
	struct nested_leaf leaf;

	nested_lookup(nested, gpa(at), &leaf);
	return leaf.page.addr;
}

/* Of four pages around the third of a table: what is there stays, no frame maps nothing, and the table's begin is an end. */
static void test_near(void **state)
{
	const u64 frames[6] = {0x11000, 0x12000, 0x13000, 0, 0x15000, 0x16000};
	const u64 base = 4 * MIB, last = 8 * MIB - PAGE_SIZE;
	struct nested nested;

	(void)state;
	assert_true(nested_init(&nested, &npt_format, &pages));
	assert_true(nested_map(&nested, gpa(last), hpa(0xc000), PAGE_SIZE, NESTED_RWX, 6));
	assert_true(nested_map(&nested, gpa(base), hpa(0xa000), PAGE_SIZE, NESTED_RWX, 6));
	assert_true(nested_map(&nested, gpa(base + 4 * PAGE_SIZE), hpa(0xb000), PAGE_SIZE, NESTED_RWX, 6));
	budget = 0;
	nested_map_near(&nested, gpa(base + PAGE_SIZE), PAGE_SIZE, frames, 6, 2, NESTED_READ, 6);
	assert_int_equal(page_at(&nested, base - PAGE_SIZE), 0);
	assert_int_equal(page_at(&nested, base), 0xa000);
	assert_int_equal(page_at(&nested, base + PAGE_SIZE), 0x13000);
	assert_int_equal(page_at(&nested, base + 2 * PAGE_SIZE), 0);
	assert_int_equal(page_at(&nested, base + 3 * PAGE_SIZE), 0x15000);
	assert_int_equal(page_at(&nested, base + 4 * PAGE_SIZE), 0xb000);
	assert_int_equal(page_at(&nested, base + 5 * PAGE_SIZE), 0);
	/* Over either end of the table. */
	nested_map_near(&nested, gpa(last), PAGE_SIZE, frames, 6, 0, NESTED_READ, 6);
	assert_int_equal(page_at(&nested, last), 0xc000);
	nested_map_near(&nested, gpa(last - 510 * PAGE_SIZE), PAGE_SIZE, frames, 6, 5, NESTED_READ, 6);
	for (u64 at = last - 511 * PAGE_SIZE; at <= last + PAGE_SIZE; at += PAGE_SIZE) {
		u64 there = at == last ? 0xc000 : at == last - 510 * PAGE_SIZE ? 0x16000 :
			    at == last - 511 * PAGE_SIZE ? 0x15000 : 0;

		assert_int_equal(page_at(&nested, at), there);
	}
	/* No table there. */
	nested_map_near(&nested, gpa(GIB), PAGE_SIZE, frames, 6, 0, NESTED_READ, 6);
	assert_int_equal(page_at(&nested, GIB), 0);
	finish(&nested);
}

/* Large pages, at their table's end; and nothing where the page has another size. */
static void test_near_large(void **state)
{
	const u64 frames[4] = {2 * MIB, 4 * MIB, 6 * MIB, 8 * MIB}, last = GIB - 2 * MIB;
	struct nested nested;

	(void)state;
	assert_true(nested_init(&nested, &npt_format, &pages));
	assert_true(nested_map(&nested, gpa(last), hpa(6 * MIB), 2 * MIB, NESTED_RWX, 6));
	assert_true(nested_map(&nested, gpa(0), hpa(0x1000), PAGE_SIZE, NESTED_RWX, 6));
	budget = 0;
	nested_map_near(&nested, gpa(last + 5 * PAGE_SIZE), PAGE_SIZE, frames, 4, 2, NESTED_READ, 6);
	nested_map_near(&nested, gpa(0), 2 * MIB, frames, 4, 0, NESTED_READ, 6);
	assert_int_equal(page_at(&nested, 2 * MIB), 0);
	assert_int_equal(page_at(&nested, last - 2 * MIB), 0);
	nested_map_near(&nested, gpa(last + 5 * PAGE_SIZE), 2 * MIB, frames, 4, 2, NESTED_READ, 6);
	assert_int_equal(page_at(&nested, last - 6 * MIB), 0);
	assert_int_equal(page_at(&nested, last - 4 * MIB), 2 * MIB);
	assert_int_equal(page_at(&nested, last - 2 * MIB), 4 * MIB);
	assert_int_equal(page_at(&nested, last), 6 * MIB);
	assert_int_equal(page_at(&nested, GIB), 0);
	finish(&nested);
}

/* What is absent is mapped, as large as it is and the page allows; what is present stays. */
static void test_hole(void **state)
{
	struct nested nested;
	bool there;

	(void)state;
	assert_true(nested_init(&nested, &npt_format, &pages));
	assert_true(nested_map_hole(&nested, gpa(5 * MIB), hpa(9 * MIB), 2 * MIB, NESTED_RWX, 6, &there));
	assert_false(there);
	assert_int_equal(page_at(&nested, 4 * MIB), 8 * MIB);
	assert_true(nested_map_hole(&nested, gpa(5 * MIB), hpa(MIB), PAGE_SIZE, NESTED_RWX, 6, &there));
	assert_true(there);
	assert_int_equal(page_at(&nested, 4 * MIB), 8 * MIB);
	assert_true(nested_map_hole(&nested, gpa(6 * MIB), hpa(MIB), PAGE_SIZE, NESTED_RWX, 6, &there));
	assert_int_equal(page_at(&nested, 6 * MIB), MIB);
	assert_int_equal(page_at(&nested, 6 * MIB + PAGE_SIZE), 0);
	budget = 0;
	/* A table is there: the hole is no larger. And the tables above are: nothing is taken for a large page. */
	assert_true(nested_map_hole(&nested, gpa(7 * MIB), hpa(9 * MIB), 2 * MIB, NESTED_RWX, 6, &there));
	assert_false(there);
	assert_int_equal(page_at(&nested, 7 * MIB), 9 * MIB);
	assert_int_equal(page_at(&nested, 7 * MIB - PAGE_SIZE), 0);
	assert_true(nested_map_hole(&nested, gpa(9 * MIB), hpa(3 * MIB), 2 * MIB, NESTED_RWX, 6, &there));
	assert_int_equal(page_at(&nested, 8 * MIB), 2 * MIB);
	assert_false(nested_map_hole(&nested, gpa(10 * MIB), hpa(0), PAGE_SIZE, NESTED_RWX, 6, &there));
	assert_false(nested_map_hole(&nested, gpa(BIT(48) + 12 * MIB), hpa(0), 2 * MIB, NESTED_RWX, 6, &there));
	finish(&nested);
}

static void test_npt_entries(void **state)
{
	(void)state;
	assert_int_equal(npt_format.table(hpa(0x123000)), 0x123027);
	assert_int_equal(npt_format.leaf(hpa(0x123000), 1, NESTED_RWX, 0), 0x123067);
	assert_int_equal(npt_format.leaf(hpa(0x200000), 2, NESTED_RWX, 0), 0x2000e7);
	assert_int_equal(npt_format.leaf(hpa(GIB), 3, NESTED_READ | NESTED_EXEC, 6),
			 GIB | 0xe5);
	assert_int_equal(npt_format.leaf(hpa(0x1000), 1, NESTED_READ, 6), 0x1065 | BIT(63));
	assert_int_equal(npt_format.leaf(hpa(0), 1, NESTED_WRITE, 6), 0x67 | BIT(63));
	assert_int_equal(npt_format.access(0x65 | BIT(63)), NESTED_READ);
	assert_int_equal(npt_format.access(0x67), NESTED_RWX);
	assert_int_equal(npt_format.address(0xfffff12345601067 | BIT(63), 1).addr,
			 0xff12345601000);
	assert_int_equal(npt_format.address(0x2010e7, 2).addr, 0x200000);
	assert_int_equal(npt_format.address(0x201027, 2).addr, 0x201000);
	assert_true(npt_format.is_leaf(0x1067, 1));
	assert_false(npt_format.is_leaf(0x1067, 2));
	assert_true(npt_format.is_leaf(0xe7, 3));
	assert_false(npt_format.present(0));
	assert_int_equal(npt_format.memory_type(0x67), 6);
	assert_int_equal(npt_format.largest_leaf, 3);
	assert_int_equal(npt_format_2m.largest_leaf, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_largest_pages, start),
	    cmocka_unit_test_setup(test_refused_ranges, start),
	    cmocka_unit_test_setup(test_no_root, start),
	    cmocka_unit_test_setup(test_tables_stay, start),
	    cmocka_unit_test_setup(test_split_unseen, start),
	    cmocka_unit_test_setup(test_random_npt, start),
	    cmocka_unit_test_setup(test_random_npt_2m, start),
	    cmocka_unit_test_setup(test_random_typed, start),
	    cmocka_unit_test_setup(test_out_of_pages, start),
	    cmocka_unit_test_setup(test_near, start),
	    cmocka_unit_test_setup(test_near_large, start),
	    cmocka_unit_test_setup(test_hole, start),
	    cmocka_unit_test_setup(test_npt_entries, start),
	};

	return cmocka_run_group_tests_name("nested", tests, NULL, NULL);
}
