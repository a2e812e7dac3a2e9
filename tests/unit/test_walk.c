/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "mem/walk.h"

#define P      BIT(0)
#define RW     BIT(1)
#define US     BIT(2)
#define A      BIT(5)
#define D      BIT(6)
#define PS     BIT(7)
#define NX     BIT(63)

#define LEVELS 5
#define LONG   (EFER_LMA | EFER_LME)

/* One path through one kind of paging; arrays are by level, [0] unused. Numbers by hand. */
struct path {
	const char *name;
	u64 cr4, efer;
	u8 physical_bits;
	u8 entry_size;
	u8 top, leaf;
	u64 at;
	u64 index[LEVELS + 1];
	u64 leaf_bits; /* address bits as the leaf holds them */
	u64 page_size;
	u64 address; /* what comes out */
	u64 reserved[LEVELS + 1];
};

static const struct path paths[] = {
    {
	.name = "32-bit, 4 KiB",
	.physical_bits = 46,
	.entry_size = 4,
	.top = 2,
	.leaf = 1,
	.at = 0xc0de1234,
	.index = {0, 0x1e1, 0x303},
	.leaf_bits = 0xfedcb000,
	.page_size = 4 * KIB,
	.address = 0xfedcb234,
    },
    {
	.name = "32-bit, 4 MiB",
	.cr4 = CR4_PSE,
	.physical_bits = 46,
	.entry_size = 4,
	.top = 2,
	.leaf = 2,
	.at = 0xc0de1234,
	.index = {0, 0, 0x303},
	.leaf_bits = 0xfec00000 | 0x12 << 13,
	.page_size = 4 * MIB,
	.address = 0x12fede1234,
	.reserved = {0, 0, 0x200000},
    },
    {
	.name = "32-bit, 4 MiB, 36 address bits",
	.cr4 = CR4_PSE,
	.efer = EFER_NXE,
	.physical_bits = 36,
	.entry_size = 4,
	.top = 2,
	.leaf = 2,
	.at = 0xc0de1234,
	.index = {0, 0, 0x303},
	.leaf_bits = 0xfec00000 | 0x2 << 13,
	.page_size = 4 * MIB,
	.address = 0x2fede1234,
	.reserved = {0, 0, 0x3e0000},
    },
    {
	.name = "PAE, 4 KiB",
	.cr4 = CR4_PAE,
	.efer = EFER_NXE,
	.physical_bits = 46,
	.entry_size = 8,
	.top = 3,
	.leaf = 1,
	.at = 0xc0de1234,
	.index = {0, 0x1e1, 0x006, 3},
	.leaf_bits = 0x2345678000,
	.page_size = 4 * KIB,
	.address = 0x2345678234,
	.reserved = {0, 0x7fffc00000000000, 0x7fffc00000000000, 0xffffc000000001c6},
    },
    {
	.name = "PAE, 2 MiB, no NX",
	.cr4 = CR4_PAE | CR4_LA57,
	.physical_bits = 46,
	.entry_size = 8,
	.top = 3,
	.leaf = 2,
	.at = 0xc0de1234,
	.index = {0, 0, 0x006, 3},
	.leaf_bits = 0x2345600000,
	.page_size = 2 * MIB,
	.address = 0x23457e1234,
	.reserved = {0, 0, 0xffffc000001fe000, 0xffffc000000001c6},
    },
    {
	.name = "4-level, 4 KiB",
	.cr4 = CR4_PAE,
	.efer = LONG | EFER_NXE,
	.physical_bits = 46,
	.entry_size = 8,
	.top = 4,
	.leaf = 1,
	.at = 0x7f1234567abc,
	.index = {0, 0x167, 0x1a2, 0x48, 0xfe},
	.leaf_bits = 0x345678000,
	.page_size = 4 * KIB,
	.address = 0x345678abc,
	.reserved = {0, 0xfc00000000000, 0xfc00000000000, 0xfc00000000000, 0xfc00000000080},
    },
    {
	.name = "4-level, 2 MiB, no NX",
	.cr4 = CR4_PAE,
	.efer = LONG,
	.physical_bits = 46,
	.entry_size = 8,
	.top = 4,
	.leaf = 2,
	.at = 0x7f1234567abc,
	.index = {0, 0, 0x1a2, 0x48, 0xfe},
	.leaf_bits = 0x345600000,
	.page_size = 2 * MIB,
	.address = 0x345767abc,
	.reserved = {0, 0, 0x800fc000001fe000, 0x800fc00000000000, 0x800fc00000000080},
    },
    {
	.name = "4-level, 1 GiB, 52 address bits",
	.cr4 = CR4_PAE,
	.efer = LONG | EFER_NXE,
	.physical_bits = 52,
	.entry_size = 8,
	.top = 4,
	.leaf = 3,
	.at = 0x7f1234567abc,
	.index = {0, 0, 0, 0x48, 0xfe},
	.leaf_bits = 0xfffffc0000000,
	.page_size = GIB,
	.address = 0xffffff4567abc,
	.reserved = {0, 0, 0, 0x3fffe000, 0x80},
    },
    {
	.name = "4-level, 4 KiB, upper half",
	.cr4 = CR4_PAE,
	.efer = LONG | EFER_NXE,
	.physical_bits = 40,
	.entry_size = 8,
	.top = 4,
	.leaf = 1,
	.at = 0xffffff1234567abc,
	.index = {0, 0x167, 0x1a2, 0x48, 0x1fe},
	.leaf_bits = 0x345678000,
	.page_size = 4 * KIB,
	.address = 0x345678abc,
	.reserved = {0, 0xfff0000000000, 0xfff0000000000, 0xfff0000000000, 0xfff0000000080},
    },
    {
	.name = "5-level, 4 KiB",
	.cr4 = CR4_PAE | CR4_LA57,
	.efer = LONG | EFER_NXE,
	.physical_bits = 46,
	.entry_size = 8,
	.top = 5,
	.leaf = 1,
	.at = 0x00ab7f1234567abc,
	.index = {0, 0x167, 0x1a2, 0x48, 0xfe, 0xab},
	.leaf_bits = 0x345678000,
	.page_size = 4 * KIB,
	.address = 0x345678abc,
	.reserved = {0, 0xfc00000000000, 0xfc00000000000, 0xfc00000000000, 0xfc00000000080,
		     0xfc00000000080},
    },
};

/* --- memory that holds just the entries of one path --- */

struct fake {
	struct walk_memory memory;
	const struct path *path;
	u64 entry[LEVELS + 1];
	unsigned reads[LEVELS + 1];
	unsigned hidden; /* a level that is no RAM */
};

static bool is_pdpte(const struct path *path, unsigned level)
{
	return path->top == 3 && level == 3;
}

/* PAE's top table need not be page-aligned. */
static u64 table_address(const struct path *path, unsigned level)
{
	return 0x10000 * level + (is_pdpte(path, level) ? 0x20 : 0);
}

static bool fake_read(const struct walk_memory *memory, gpa_t address, unsigned size,
		      u64 *entry)
{
	struct fake *fake = (struct fake *)(uintptr_t)memory;
	const struct path *path = fake->path;

	assert_int_equal(size, path->entry_size);
	assert_int_equal(address.addr % size, 0);
	for (unsigned level = path->leaf; level <= path->top; level++) {
		u64 table = table_address(path, level);

		if (level == fake->hidden ||
		    address.addr != table + path->index[level] * path->entry_size)
			continue;
		fake->reads[level]++;
		*entry = fake->entry[level];
		return true;
	}
	return false;
}

static struct fake fake_of(const struct path *path)
{
	struct fake fake = {.memory = {fake_read}, .path = path};

	for (unsigned level = path->leaf + 1; level <= path->top; level++)
		fake.entry[level] = table_address(path, level - 1) |
				    (is_pdpte(path, level) ? P : P | RW | US | A);
	fake.entry[path->leaf] =
	    path->leaf_bits | P | RW | US | A | D | (path->leaf > 1 ? PS : 0);
	return fake;
}

static struct walk_cpu cpu_of(const struct path *path)
{
	return (struct walk_cpu){
	    .cr0 = CR0_PG | CR0_PE,
	    .cr3 = table_address(path, path->top) | 0x18, /* PCD and PWT */
	    .cr4 = path->cr4,
	    .efer = path->efer,
	    .physical_bits = path->physical_bits,
	};
}

static enum walk_status walk(const struct fake *fake, u32 need)
{
	struct walk_cpu cpu = cpu_of(fake->path);
	struct walk_result result;

	return walk_gva(&fake->memory, &cpu, gva(fake->path->at), need, &result);
}

static void expect(const struct fake *fake, unsigned level, u32 need, enum walk_status status)
{
	enum walk_status got = walk(fake, need);

	if (got != status)
		fail_msg("%s: level %u %lx, need %u: %d, not %d", fake->path->name, level,
			 fake->entry[level], need, got, status);
}

/* --- tests --- */

static void test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct fake fake = fake_of(&paths[i]);
		struct walk_cpu cpu = cpu_of(&paths[i]);
		struct walk_result result;

		assert_int_equal(walk_gva(&fake.memory, &cpu, gva(paths[i].at),
					  WALK_WRITE | WALK_USER | WALK_EXEC, &result),
				 WALK_OK);
		assert_int_equal(result.address.addr, paths[i].address);
		assert_int_equal(result.page_size, paths[i].page_size);
		for (unsigned level = 1; level <= LEVELS; level++)
			assert_int_equal(fake.reads[level],
					 level >= paths[i].leaf && level <= paths[i].top);
	}
}

static void test_not_present(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		for (unsigned level = paths[i].leaf; level <= paths[i].top; level++) {
			struct fake fake = fake_of(&paths[i]);

			fake.entry[level] = 0;
			expect(&fake, level, 0, WALK_FAULT);
			/* Reserved bits say nothing then. */
			fake.entry[level] = ~P;
			expect(&fake, level, 0, WALK_FAULT);
		}
}

static void test_not_ram(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		for (unsigned level = paths[i].leaf; level <= paths[i].top; level++) {
			struct fake fake = fake_of(&paths[i]);

			fake.hidden = level;
			expect(&fake, level, 0, WALK_NOT_RAM);
		}
}

static void test_rights(void **state)
{
	static const struct {
		u64 bit;
		u32 need;
	} rows[] = {{A, WALK_WRITE | WALK_USER | WALK_EXEC}, {RW, WALK_WRITE}, {US, WALK_USER}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		for (unsigned level = paths[i].leaf; level <= paths[i].top; level++)
			for (size_t j = 0; j < ARRAY_SIZE(rows); j++)
				for (u32 need = 0; need < 8; need++) {
					struct fake fake = fake_of(&paths[i]);
					bool fault = rows[j].bit == A || (need & rows[j].need);

					if (is_pdpte(&paths[i], level))
						continue;
					fake.entry[level] &= ~rows[j].bit;
					expect(&fake, level, need,
					       fault ? WALK_FAULT : WALK_OK);
				}
}

static void test_dirty(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct fake fake = fake_of(&paths[i]);

		fake.entry[paths[i].leaf] &= ~D;
		expect(&fake, paths[i].leaf, WALK_USER | WALK_EXEC, WALK_OK);
		expect(&fake, paths[i].leaf, WALK_WRITE, WALK_FAULT);
	}
}

static void test_no_execute(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		for (unsigned level = paths[i].leaf; level <= paths[i].top; level++) {
			struct fake fake = fake_of(&paths[i]);

			if (paths[i].entry_size == 4 || (paths[i].reserved[level] & NX))
				continue;
			fake.entry[level] |= NX;
			expect(&fake, level, WALK_WRITE | WALK_USER, WALK_OK);
			expect(&fake, level, WALK_EXEC, WALK_FAULT);
		}
}

/* Every bit that is reserved, and every one that is not. */
static void test_reserved(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		for (unsigned level = paths[i].leaf; level <= paths[i].top; level++)
			for (unsigned bit = 0; bit < paths[i].entry_size * 8u; bit++) {
				struct fake fake = fake_of(&paths[i]);

				if (fake.entry[level] & BIT(bit))
					continue;
				fake.entry[level] |= BIT(bit);
				if (paths[i].reserved[level] & BIT(bit))
					expect(&fake, level, 0, WALK_RESERVED);
				else if (BIT(bit) != PS)
					assert_int_not_equal(walk(&fake, 0), WALK_RESERVED);
			}
}

/* Without CR4.PSE, 32-bit paging does not look at PS. */
static void test_no_pse(void **state)
{
	struct fake fake = fake_of(&paths[0]);

	(void)state;
	fake.entry[2] |= PS;
	expect(&fake, 2, WALK_WRITE | WALK_USER | WALK_EXEC, WALK_OK);
}

static void test_pdptr(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct fake fake = fake_of(&paths[i]);
		struct walk_cpu cpu = cpu_of(&paths[i]);
		struct walk_result result;
		enum walk_status status;

		cpu.pdptr_valid = true;
		cpu.pdptr[3] = fake.entry[3];
		if (paths[i].top == 3)
			fake.entry[3] = 0;
		status = walk_gva(&fake.memory, &cpu, gva(paths[i].at), 0, &result);
		assert_int_equal(status, WALK_OK);
		assert_int_equal(result.address.addr, paths[i].address);
		assert_int_equal(fake.reads[3], paths[i].top > 3);
		cpu.pdptr[3] |= BIT(1);
		status = walk_gva(&fake.memory, &cpu, gva(paths[i].at), 0, &result);
		assert_int_equal(status, paths[i].top == 3 ? WALK_RESERVED : WALK_OK);
	}
}

static void test_linear_limits(void **state)
{
	static const struct {
		u64 cr4, efer, at;
		enum walk_status status; /* WALK_NOT_RAM: it got as far as the tables */
	} rows[] = {
	    {0, 0, 0xffffffff, WALK_NOT_RAM},
	    {0, 0, 4 * GIB, WALK_NOT_CANONICAL},
	    {CR4_PAE, 0, 0xffffffff, WALK_NOT_RAM},
	    {CR4_PAE, 0, 0xffffffff00000000, WALK_NOT_CANONICAL},
	    {CR4_PAE, LONG, BIT(47) - 1, WALK_NOT_RAM},
	    {CR4_PAE, LONG, BIT(47), WALK_NOT_CANONICAL},
	    {CR4_PAE, LONG, -BIT(47), WALK_NOT_RAM},
	    {CR4_PAE, LONG, -BIT(47) - 1, WALK_NOT_CANONICAL},
	    {CR4_PAE, LONG, BIT(63), WALK_NOT_CANONICAL},
	    {CR4_PAE | CR4_LA57, LONG, BIT(56) - 1, WALK_NOT_RAM},
	    {CR4_PAE | CR4_LA57, LONG, BIT(56), WALK_NOT_CANONICAL},
	    {CR4_PAE | CR4_LA57, LONG, -BIT(56), WALK_NOT_RAM},
	    {CR4_PAE | CR4_LA57, LONG, -BIT(56) - 1, WALK_NOT_CANONICAL},
	    {CR4_PAE | CR4_LA57, LONG, BIT(47), WALK_NOT_RAM},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fake nothing = fake_of(&paths[rows[i].cr4 ? 5 : 0]);
		struct walk_cpu cpu = {
		    .cr0 = CR0_PG,
		    .cr3 = 0x4000000,
		    .cr4 = rows[i].cr4,
		    .efer = rows[i].efer,
		    .physical_bits = 46,
		};
		struct walk_result result;

		assert_int_equal(walk_gva(&nothing.memory, &cpu, gva(rows[i].at), 0, &result),
				 rows[i].status);
	}
}

static void test_no_paging(void **state)
{
	struct fake nothing = fake_of(&paths[0]);
	struct walk_cpu cpu = {.cr0 = CR0_PE, .cr4 = CR4_PAE, .physical_bits = 46};
	struct walk_result result;
	u32 all = WALK_WRITE | WALK_USER | WALK_EXEC;

	(void)state;
	assert_int_equal(walk_gva(&nothing.memory, &cpu, gva(0xfee00123), all, &result),
			 WALK_OK);
	assert_int_equal(result.address.addr, 0xfee00123);
	assert_int_equal(result.page_size, 4 * GIB);
	assert_int_equal(walk_gva(&nothing.memory, &cpu, gva(4 * GIB), 0, &result),
			 WALK_NOT_CANONICAL);
}

/* --- garbage --- */

struct garbage {
	struct walk_memory memory;
	u64 state;
	u64 physical_bits;
	unsigned reads, most;
};

static u64 next(struct garbage *garbage)
{
	garbage->state ^= garbage->state << 13;
	garbage->state ^= garbage->state >> 7;
	garbage->state ^= garbage->state << 17;
	return garbage->state;
}

/* Another answer at each read; mostly entries that lead on. */
static bool garbage_read(const struct walk_memory *memory, gpa_t address, unsigned size,
			 u64 *entry)
{
	struct garbage *garbage = (struct garbage *)(uintptr_t)memory;
	u64 kind = next(garbage) % 16;

	assert_true(size == 4 || size == 8);
	assert_int_equal(address.addr % size, 0);
	assert_int_equal(address.addr >> garbage->physical_bits, 0);
	assert_in_range(++garbage->reads, 1, garbage->most);
	*entry = next(garbage);
	if (kind > 1)
		*entry = (*entry & (BIT(garbage->physical_bits) - PAGE_SIZE)) |
			 (kind > 4 ? P | RW | US | A | D : P);
	if (size == 4)
		*entry &= 0xffffffff;
	return kind != 0;
}

static void test_garbage(void **state)
{
	unsigned count[WALK_NOT_RAM + 1] = {0};

	(void)state;
	for (u64 round = 0; round < 200000; round++) {
		struct garbage garbage = {
		    .memory = {garbage_read},
		    .state = 0x9e3779b97f4a7c15 ^ (round + 1) * 0x100000001b3,
		};
		struct walk_result result = {gpa(0), 0, 0};
		struct walk_cpu cpu = {.cr0 = CR0_PG, .cr3 = next(&garbage)};
		u64 at = (u64)((s64)next(&garbage) >> (next(&garbage) % 64));
		enum walk_status status;

		cpu.cr4 = next(&garbage) & (CR4_PSE | CR4_PAE | CR4_LA57);
		cpu.efer = next(&garbage) & (EFER_LMA | EFER_NXE);
		cpu.physical_bits = 32 + next(&garbage) % 21;
		garbage.physical_bits = cpu.physical_bits;
		garbage.most = cpu.efer & EFER_LMA ? (cpu.cr4 & CR4_LA57 ? 5 : 4) : 3;
		if (!(cpu.efer & EFER_LMA))
			at &= 0xffffffff;
		status = walk_gva(&garbage.memory, &cpu, gva(at), next(&garbage) & 7, &result);
		assert_in_range(status, WALK_OK, WALK_NOT_RAM);
		count[status]++;
		if (status != WALK_OK)
			continue;
		assert_int_equal(result.address.addr >> cpu.physical_bits, 0);
		assert_int_equal((result.address.addr ^ at) % result.page_size, 0);
	}
	for (unsigned i = WALK_OK; i <= WALK_NOT_RAM; i++)
		assert_true(count[i] > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_paths),     cmocka_unit_test(test_not_present),
	    cmocka_unit_test(test_not_ram),   cmocka_unit_test(test_rights),
	    cmocka_unit_test(test_dirty),     cmocka_unit_test(test_no_execute),
	    cmocka_unit_test(test_reserved),  cmocka_unit_test(test_no_pse),
	    cmocka_unit_test(test_pdptr),     cmocka_unit_test(test_linear_limits),
	    cmocka_unit_test(test_no_paging), cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
