/* SPDX-License-Identifier: BSD-2-Clause */
/* user/kvm/emulate_walk.c: the guest's page tables, its page faults, accessed and dirty bits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "emulate_guest.h"
#include "kvm/emulate_state.h"

#define P	 (1ull << 0)
#define RW	 (1ull << 1)
#define US	 (1ull << 2)
#define A	 (1ull << 5)
#define D	 (1ull << 6)
#define PS	 (1ull << 7)
#define NX	 (1ull << 63)
#define ALL	 (P | RW | US)

#define LEVELS	 5
#define RAM_SIZE 0x10000
#define HOME	 0x1000

#define E_P	 1u
#define E_W	 2u
#define E_U	 4u
#define E_R	 8u
#define E_I	 16u
#define E_PK	 32u

/* Numbers by hand: an address, its path, and what the leaf holds. */
struct path {
	const char *name;
	uint64_t cr4, efer;
	unsigned size; /* of entries */
	unsigned top, leaf;
	uint64_t linear;
	unsigned index[LEVELS + 1];
	uint64_t leaf_bits; /* the address, as the leaf has it */
	uint64_t gpa;
	uint64_t reserved[LEVELS + 1]; /* one bit of each level; 0: none */
};

static const struct path paths[] = {
    {
	.name = "32-bit",
	.size = 4,
	.top = 2,
	.leaf = 1,
	.linear = 0xc0de1234,
	.index = {0, 0x1e1, 0x303},
	.leaf_bits = 0xfedcb000,
	.gpa = 0xfedcb234,
    },
    {
	.name = "32-bit, 4 MiB",
	.cr4 = CR4_PSE,
	.size = 4,
	.top = 2,
	.leaf = 2,
	.linear = 0xc0de1234,
	.index = {0, 0, 0x303},
	.leaf_bits = 0xfec00000 | 0x12 << 13,
	.gpa = 0x12fede1234,
	.reserved = {0, 0, 1 << 21},
    },
    {
	.name = "PAE",
	.cr4 = CR4_PAE,
	.efer = EFER_NXE,
	.size = 8,
	.top = 3,
	.leaf = 1,
	.linear = 0xc0de1234,
	.index = {0, 0x1e1, 0x006, 3},
	.leaf_bits = 0x2345678000,
	.gpa = 0x2345678234,
	.reserved = {0, 1ull << 62, 1ull << 46, 2},
    },
    {
	.name = "PAE, 2 MiB",
	.cr4 = CR4_PAE,
	.size = 8,
	.top = 3,
	.leaf = 2,
	.linear = 0xc0de1234,
	.index = {0, 0, 0x006, 3},
	.leaf_bits = 0x2345600000,
	.gpa = 0x23457e1234,
	.reserved = {0, 0, 1 << 13, 1 << 8},
    },
    {
	.name = "4-level",
	.cr4 = CR4_PAE,
	.efer = EFER_LMA | EFER_NXE,
	.size = 8,
	.top = 4,
	.leaf = 1,
	.linear = 0x7f1234567abc,
	.index = {0, 0x167, 0x1a2, 0x48, 0xfe},
	.leaf_bits = 0x345678000,
	.gpa = 0x345678abc,
	.reserved = {0, 1ull << 46, 1ull << 47, 1ull << 51, PS},
    },
    {
	.name = "4-level, 2 MiB, no NX",
	.cr4 = CR4_PAE,
	.efer = EFER_LMA,
	.size = 8,
	.top = 4,
	.leaf = 2,
	.linear = 0xffff801234567abc,
	.index = {0, 0, 0x1a2, 0x48, 0x100},
	.leaf_bits = 0x345600000,
	.gpa = 0x345767abc,
	.reserved = {0, 0, 1 << 20, NX, NX},
    },
    {
	.name = "4-level, 1 GiB",
	.cr4 = CR4_PAE,
	.efer = EFER_LMA | EFER_NXE,
	.size = 8,
	.top = 4,
	.leaf = 3,
	.linear = 0x7f1234567abc,
	.index = {0, 0, 0, 0x48, 0xfe},
	.leaf_bits = 0x3ffc0000000,
	.gpa = 0x3fff4567abc,
	.reserved = {0, 0, 0, 1 << 29, PS},
    },
    {
	.name = "5-level",
	.cr4 = CR4_PAE | CR4_LA57,
	.efer = EFER_LMA | EFER_NXE,
	.size = 8,
	.top = 5,
	.leaf = 1,
	.linear = 0x00ab7f1234567abc,
	.index = {0, 0x167, 0x1a2, 0x48, 0xfe, 0xab},
	.leaf_bits = 0x345678000,
	.gpa = 0x345678abc,
	.reserved = {0, 1ull << 46, 1ull << 46, 1ull << 46, PS, PS},
    },
};

#define PATHS (sizeof(paths) / sizeof(paths[0]))

static struct guest guest;
static uint8_t ram[RAM_SIZE] __attribute__((aligned(4096)));
static uint8_t device[4096] __attribute__((aligned(4096)));

static uint64_t table_of(const struct path *path, unsigned level)
{
	/* The PDPTEs of PAE need 32-byte alignment only. */
	return 0x2000 + 0x1000 * level + (path->top == 3 && level == 3 ? 0x60 : 0);
}

static uint8_t *entry_at(const struct path *path, unsigned level)
{
	return ram + table_of(path, level) + path->index[level] * path->size;
}

static uint64_t entry_get(const struct path *path, unsigned level)
{
	uint64_t entry = 0;

	memcpy(&entry, entry_at(path, level), path->size);
	return entry;
}

static void entry_set(const struct path *path, unsigned level, uint64_t entry)
{
	memcpy(entry_at(path, level), &entry, path->size);
}

static bool is_pdpte(const struct path *path, unsigned level)
{
	return path->top == 3 && level == 3;
}

/* A guest whose RBX points through the path at a device; CR0.WP is set. */
static void begin(const struct path *path)
{
	guest_init(&guest, path->efer & EFER_LMA ? GUEST_CODE64 : GUEST_CODE32);
	memset(ram, 0, sizeof(ram));
	memset(device, 0, sizeof(device));
	guest.page.cr0 |= CR0_PG | CR0_WP;
	guest.page.cr3 = table_of(path, path->top) | (path->top == 3 ? 0 : 0x18);
	guest.page.cr4 |= path->cr4;
	guest.page.efer = path->efer;
	guest.page.rip = HOME;
	guest.page.general[LUV_RBX] = path->linear;
	guest.page.general[LUV_RCX] = 0x11;
	guest.region[0] = (struct guest_region){0, RAM_SIZE, ram, false, false};
	guest.region[1] =
	    (struct guest_region){path->gpa & ~0xfffull, 4096, device, true, false};
	for (unsigned level = path->leaf + 1; level <= path->top; level++)
		entry_set(path, level,
			  table_of(path, level - 1) | (is_pdpte(path, level) ? P : ALL));
	entry_set(path, path->leaf, path->leaf_bits | ALL | (path->leaf > 1 ? PS : 0));
}

/* mov [rbx], cl; mov cl, [rbx]; add [rbx], cl */
static enum emulate_result run(const char *bytes)
{
	guest_exit(&guest, 0, false, bytes, 2);
	return emulate_mmio(&guest.emulate);
}

#define STORE "\x88\x0b"
#define LOAD  "\x8a\x0b"
#define ADD   "\x00\x0b"

static void expect(const struct path *path, const char *bytes, bool fault, uint32_t error)
{
	enum emulate_result result = run(bytes);

	if (result != (fault ? EMULATE_FAULT : EMULATE_DONE))
		fail_msg("%s: result %d, vector %u, error %#x", path->name, result,
			 guest.emulate.fault.vector, guest.emulate.fault.error);
	if (!fault)
		return;
	if (guest.emulate.fault.vector != VECTOR_PF || guest.emulate.fault.error != error)
		fail_msg("%s: vector %u, error %#x, not %#x", path->name,
			 guest.emulate.fault.vector, guest.emulate.fault.error, error);
	assert_int_equal(guest.emulate.fault.cr2, path->linear);
	assert_int_equal(guest.page.rip, HOME);
	assert_int_equal(guest.logged, 0);
}

static void be_user(void)
{
	guest.page.segment[LUV_SS].attributes |= GUEST_RING3;
}

static void test_paths(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PATHS; i++) {
		begin(&paths[i]);
		expect(&paths[i], STORE, false, 0);
		assert_int_equal(guest.logged, 1);
		if (guest.log[0].gpa != paths[i].gpa)
			fail_msg("%s: %#llx", paths[i].name,
				 (unsigned long long)guest.log[0].gpa);
		begin(&paths[i]);
		be_user();
		expect(&paths[i], LOAD, false, 0);
	}
}

static void test_accessed_dirty(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PATHS; i++)
		for (unsigned write = 0; write < 2; write++) {
			const struct path *path = &paths[i];

			begin(path);
			expect(path, write ? STORE : LOAD, false, 0);
			for (unsigned level = path->leaf; level <= path->top; level++) {
				uint64_t expected = is_pdpte(path, level)	   ? 0
						    : write && level == path->leaf ? A | D
										   : A;

				assert_int_equal(entry_get(path, level) & (A | D), expected);
			}
			assert_int_equal(guest.dirtied > 0, true);
			/* The second time there is nothing to set. */
			guest.dirtied = 0;
			guest.page.rip = HOME;
			expect(path, write ? STORE : LOAD, false, 0);
			assert_int_equal(guest.dirtied, 0);
		}
}

/* TCG's walks leave an accessed bit in PDPTEs. */
static void test_pdpte_accessed(void **state)
{
	const struct path *path = &paths[2];

	(void)state;
	begin(path);
	entry_set(path, 3, entry_get(path, 3) | A);
	expect(path, LOAD, false, 0);
}

static void test_not_present(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PATHS; i++)
		for (unsigned level = paths[i].leaf; level <= paths[i].top; level++) {
			begin(&paths[i]);
			entry_set(&paths[i], level, ~P);
			expect(&paths[i], LOAD, true, 0);
			expect(&paths[i], STORE, true, E_W);
			expect(&paths[i], ADD, true, E_W); /* one access, for writing */
			be_user();
			expect(&paths[i], LOAD, true, E_U);
		}
}

static void test_reserved(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PATHS; i++)
		for (unsigned level = paths[i].leaf; level <= paths[i].top; level++) {
			if (!paths[i].reserved[level])
				continue;
			begin(&paths[i]);
			entry_set(&paths[i], level,
				  entry_get(&paths[i], level) | paths[i].reserved[level]);
			expect(&paths[i], LOAD, true, E_P | E_R);
			expect(&paths[i], STORE, true, E_P | E_R | E_W);
		}
}

static void test_rights(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PATHS; i++)
		for (unsigned level = paths[i].leaf; level <= paths[i].top; level++) {
			if (is_pdpte(&paths[i], level))
				continue;
			begin(&paths[i]);
			entry_set(&paths[i], level, entry_get(&paths[i], level) & ~RW);
			expect(&paths[i], STORE, true, E_P | E_W);
			expect(&paths[i], ADD, true, E_P | E_W);
			/* Nothing was accessed or dirtied by what faulted. */
			assert_int_equal(entry_get(&paths[i], paths[i].leaf) & (A | D), 0);
			guest.page.cr0 &= ~CR0_WP;
			expect(&paths[i], STORE, false, 0);
			guest.logged = 0;
			guest.page.rip = HOME;
			be_user();
			expect(&paths[i], STORE, true, E_P | E_W | E_U);

			begin(&paths[i]);
			be_user();
			entry_set(&paths[i], level, entry_get(&paths[i], level) & ~US);
			expect(&paths[i], LOAD, true, E_P | E_U);
			expect(&paths[i], STORE, true, E_P | E_W | E_U);
		}
}

static void test_smap(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PATHS; i++) {
		begin(&paths[i]);
		guest.page.cr4 |= CR4_SMAP;
		expect(&paths[i], LOAD, true, E_P);
		guest.page.rflags |= RFLAGS_AC;
		expect(&paths[i], LOAD, false, 0);
		begin(&paths[i]);
		guest.page.cr4 |= CR4_SMAP;
		entry_set(&paths[i], paths[i].leaf, entry_get(&paths[i], paths[i].leaf) & ~US);
		expect(&paths[i], LOAD, false, 0);
		begin(&paths[i]);
		guest.page.cr4 |= CR4_SMAP;
		be_user();
		expect(&paths[i], LOAD, false, 0);
	}
}

/* Only a fetch asks about NX and SMEP. The code lies where the path leads. */
static void test_fetch(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PATHS; i++) {
		const struct path *path = &paths[i];
		bool no_execute = path->efer & EFER_NXE;

		begin(path);
		guest.region[1].device = false;
		guest.page.rip = path->linear;
		guest.page.cr4 |= CR4_SMEP;
		memcpy(device + path->gpa % 4096, "\x90", 1);
		guest_exit(&guest, 0, false, "", 0);
		assert_int_equal(emulate_mmio(&guest.emulate), EMULATE_FAULT);
		assert_int_equal(guest.emulate.fault.error, E_P | E_I);
		assert_int_equal(guest.emulate.fault.cr2, path->linear);
		guest.page.cr4 &= ~CR4_SMEP;
		assert_int_equal(emulate_mmio(&guest.emulate), EMULATE_DONE);
		assert_int_equal(guest.page.rip, path->linear + 1);
		guest.page.rip = path->linear;
		entry_set(path, path->leaf, entry_get(path, path->leaf) & ~P);
		assert_int_equal(emulate_mmio(&guest.emulate), EMULATE_FAULT);
		assert_int_equal(guest.emulate.fault.error, no_execute ? E_I : 0);
		if (!no_execute)
			continue;
		entry_set(path, path->leaf, entry_get(path, path->leaf) | P | NX);
		assert_int_equal(emulate_mmio(&guest.emulate), EMULATE_FAULT);
		assert_int_equal(guest.emulate.fault.error, E_P | E_I);
		/* Data may be read. */
		guest.page.rip = HOME;
		guest.region[1].device = true;
		expect(path, STORE, false, 0);
	}
}

static void test_keys(void **state)
{
	static const struct {
		uint32_t pkru;
		bool user, wp, write;
		uint32_t error;
	} rows[] = {
	    {0, true, true, true, 0},
	    {1u << 10, true, true, false, E_P | E_U | E_PK},
	    {1u << 10, false, true, false, E_P | E_PK},
	    {1u << 11, true, true, false, 0},
	    {1u << 11, true, false, true, E_P | E_U | E_W | E_PK},
	    {1u << 11, false, true, true, E_P | E_W | E_PK},
	    {1u << 11, false, false, true, 0},
	    {~(3u << 10), true, true, true, 0},
	};
	const struct path *path = &paths[4];

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(path);
		entry_set(path, 1, entry_get(path, 1) | 5ull << 59);
		guest.page.cr4 |= CR4_PKE;
		guest.xsave[513] = 2; /* PKRU is in use */
		memcpy(guest.xsave + guest.emulate.setup.pkru_offset, &rows[i].pkru, 4);
		if (rows[i].user)
			be_user();
		if (!rows[i].wp)
			guest.page.cr0 &= ~CR0_WP;
		expect(path, rows[i].write ? STORE : LOAD, rows[i].error, rows[i].error);
		/* A page of the supervisor's has no key. */
		guest.page.rip = HOME;
		guest.logged = 0;
		guest.page.segment[LUV_SS].attributes = GUEST_DATA32;
		entry_set(path, 1, entry_get(path, 1) & ~US);
		expect(path, STORE, false, 0);
	}
}

/* An operand in two pages: the fault names the second one's address, and nothing was touched.
 */
static void test_second_page(void **state)
{
	const struct path *path = &paths[4];

	(void)state;
	begin(path);
	guest.page.general[LUV_RBX] = (path->linear | 0xfff) - 1;
	guest_exit(&guest, 0, true, "\x89\x0b", 2);
	assert_int_equal(emulate_mmio(&guest.emulate), EMULATE_FAULT);
	assert_int_equal(guest.emulate.fault.cr2, (path->linear | 0xfff) + 1);
	assert_int_equal(guest.emulate.fault.error, E_W);
	assert_int_equal(guest.logged, 0);
	/* Both: RAM and a device. */
	memcpy(entry_at(path, 1) + 8, "\x07\xf0\0\0\0\0\0", 8); /* F000h */
	guest_exit(&guest, 0, true, "\x89\x0b", 2);
	guest.page.general[LUV_RCX] = 0x44332211;
	assert_int_equal(emulate_mmio(&guest.emulate), EMULATE_DONE);
	assert_memory_equal(device + 0xffe, "\x11\x22", 2);
	assert_memory_equal(ram + 0xf000, "\x33\x44", 2);
	assert_int_equal(guest.log[0].size, 2);
}

static void test_rep_page_fault(void **state)
{
	const struct path *path = &paths[4];

	(void)state;
	begin(path);
	guest.page.general[LUV_RDI] = (path->linear & ~0xfffull) + 0xff8;
	guest.page.general[LUV_RCX] = 10;
	guest_exit(&guest, 0, true, "\xf3\xab", 2);
	assert_int_equal(emulate_mmio(&guest.emulate), EMULATE_FAULT);
	assert_int_equal(guest.emulate.fault.cr2, (path->linear | 0xfff) + 1);
	assert_int_equal(guest.page.general[LUV_RCX], 8);
	assert_int_equal(guest.page.rip, HOME);
	assert_int_equal(guest.logged, 2);
}

static void test_tables_elsewhere(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PATHS; i++) {
		begin(&paths[i]);
		guest.region[0].device = true;
		assert_int_equal(run(LOAD), EMULATE_UNKNOWN);
		/* They can be read, but no accessed bit can be set. */
		begin(&paths[i]);
		guest.region[0].read_only = true;
		assert_int_equal(run(LOAD), EMULATE_UNKNOWN);
	}
}

/* Another CPU sets a bit in the entry just before we set ours: both stay. */
static void *meddling_memory(void *context, uint64_t gpa, bool write)
{
	uint8_t *page = guest_memory(context, gpa, write);
	const struct path *path = &paths[4];

	if (write && guest.dirtied == 4)
		entry_set(path, 1, entry_get(path, 1) | 1 << 9);
	return page;
}

static void test_entry_changes(void **state)
{
	const struct path *path = &paths[4];
	struct emulate_ops ops = guest_ops;

	(void)state;
	begin(path);
	ops.memory = meddling_memory;
	guest.emulate.setup.ops = &ops;
	expect(path, STORE, false, 0);
	assert_int_equal(entry_get(path, 1) & (A | D | 1 << 9), A | D | 1 << 9);
	assert_int_equal(guest.logged, 1);
}

/* The page is mapped elsewhere while the client answers: its answer was for the other address.
 */
static void test_remapped(void **state)
{
	const struct path *path = &paths[4];

	(void)state;
	begin(path);
	guest.ask = true;
	assert_int_equal(run(LOAD), EMULATE_MMIO);
	assert_int_equal(guest.emulate.access.gpa, path->gpa);
	guest.emulate.access.data[0] = 1;
	entry_set(path, 1, 0x777000 | ALL);
	assert_int_equal(emulate_resume(&guest.emulate), EMULATE_MMIO);
	assert_int_equal(guest.emulate.access.gpa, 0x777000 + path->gpa % 4096);
	guest.emulate.access.data[0] = 2;
	assert_int_equal(emulate_resume(&guest.emulate), EMULATE_DONE);
	assert_int_equal(guest.page.general[LUV_RCX], 2);
}

/* A descriptor table in the page behind the path's, and a far pointer in the device. */
static void begin_table(const struct path *path, uint64_t rights)
{
	uint64_t entry = 0xf000 | rights, code = 0x00affa000000ffff; /* of privilege 3 */

	begin(path);
	memcpy(entry_at(path, 1) + 8, &entry, 8);
	memcpy(ram + 0xf010, &code, 8);
	guest.page.gdt_base = (path->linear | 0xfff) + 1;
	guest.page.gdt_limit = 0xfff;
	memcpy(device + path->gpa % 4096, "\x00\x10\x00\x00\x13\x00", 6);
}

/* The CPU reads its tables with all rights; the program's accesses to the same page have its
 * own. */
static void test_table_rights(void **state)
{
	const struct path *path = &paths[4];
	uint64_t table = (path->linear | 0xfff) + 1;

	(void)state;
	begin_table(path, P | RW);
	be_user();
	guest.page.general[LUV_RSP] = table + 0x800;
	assert_int_equal(run("\xff\x1b"), EMULATE_FAULT); /* call far [rbx] */
	assert_int_equal(guest.emulate.fault.vector, VECTOR_PF);
	assert_int_equal(guest.emulate.fault.error, E_P | E_W | E_U);
	assert_int_equal(guest.emulate.fault.cr2, table + 0x7fc);
	assert_int_equal(ram[0xf015], 0xfa);
	assert_int_equal(run("\xff\x2b"), EMULATE_DONE); /* jmp far [rbx] */
	assert_int_equal(guest.page.rip, 0x1000);
	assert_int_equal(ram[0xf015], 0xfb);
	/* RFLAGS.AC lifts SMAP, but not for these. */
	begin_table(path, ALL);
	entry_set(path, 1, entry_get(path, 1) & ~US);
	guest.page.cr4 |= CR4_SMAP;
	guest.page.rflags |= RFLAGS_AC;
	memset(device, 0, sizeof(device));
	assert_int_equal(run("\x8e\x1b"), EMULATE_DONE); /* mov ds, [rbx]: null */
	guest.page.rip = HOME;
	memcpy(device + path->gpa % 4096, "\x13", 1);
	assert_int_equal(run("\x8e\x1b"), EMULATE_FAULT);
	assert_int_equal(guest.emulate.fault.vector, VECTOR_PF);
	assert_int_equal(guest.emulate.fault.error, E_P);
	assert_int_equal(guest.emulate.fault.cr2, table + 0x10);
}

/* What the exit says of the only operand needs no walk; no more than what it says. */
static void test_exit_tells(void **state)
{
	const struct path *path = &paths[4];

	(void)state;
	begin(path);
	guest_exit(&guest, path->gpa, true, STORE, 2);
	assert_int_equal(emulate_mmio(&guest.emulate), EMULATE_DONE);
	assert_int_equal(guest.walked, 1);
	assert_int_equal(guest.log[0].gpa, path->gpa);
	/* The exit was for a read: who knows whether it may be written. */
	begin(path);
	entry_set(path, 1, entry_get(path, 1) & ~RW);
	guest_exit(&guest, path->gpa, false, STORE, 2);
	assert_int_equal(emulate_mmio(&guest.emulate), EMULATE_FAULT);
	/* Another address. */
	begin(path);
	guest_exit(&guest, path->gpa + 1, true, STORE, 2);
	assert_int_equal(emulate_mmio(&guest.emulate), EMULATE_DONE);
	assert_int_equal(guest.log[0].gpa, path->gpa);
	/* PUSH has two. */
	begin(path);
	guest.page.general[LUV_RSP] = (path->linear & ~0xfffull) + 8;
	guest_exit(&guest, 0x777000, true, "\xff\x33", 2);
	assert_int_equal(emulate_mmio(&guest.emulate), EMULATE_DONE);
	assert_int_equal(guest.log[0].gpa, path->gpa);
	assert_int_equal(guest.log[1].gpa, path->gpa & ~0xfffull);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_paths),	   cmocka_unit_test(test_accessed_dirty),
	    cmocka_unit_test(test_not_present),	   cmocka_unit_test(test_pdpte_accessed),
	    cmocka_unit_test(test_reserved),	   cmocka_unit_test(test_rights),
	    cmocka_unit_test(test_smap),	   cmocka_unit_test(test_fetch),
	    cmocka_unit_test(test_keys),	   cmocka_unit_test(test_second_page),
	    cmocka_unit_test(test_rep_page_fault), cmocka_unit_test(test_tables_elsewhere),
	    cmocka_unit_test(test_exit_tells),	   cmocka_unit_test(test_entry_changes),
	    cmocka_unit_test(test_remapped),	   cmocka_unit_test(test_table_rights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
