/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_acpi.h"

static struct fake_memory memory;
static struct acpi_root root;
static u32 madt_body; /* bytes behind the header */

static int start(void **unused)
{
	(void)unused;
	fake_memory_init(&memory, FAKE_ACPI_SIZE);
	fake_memory_allow(&memory, 0, FAKE_ACPI_SIZE);
	madt_body = 8; /* local APIC address, flags */
	return 0;
}

static int end(void **unused)
{
	(void)unused;
	fake_memory_free(&memory);
	return 0;
}

static bool find(void)
{
	return acpi_find_root(&memory.view, &root);
}

static void add_entry(const void *entry, u32 size)
{
	fake_memory_put(&memory, MADT + 36 + madt_body, entry, size);
	madt_body += size;
}

static void add_cpu(u8 id, u32 flags)
{
	const u8 entry[8] = {0, 8, 77, id, flags};

	add_entry(entry, sizeof(entry));
}

static void add_x2cpu(u32 id, u32 flags)
{
	const u32 entry[4] = {9 | 16 << 8, id, flags, 77};

	add_entry(entry, sizeof(entry));
}

static void test_finds_both_roots(void **unused)
{
	(void)unused;
	put_tables(&memory, 2, madt_body);
	assert_true(find());
	assert_int_equal(root.rsdp, RSDP);
	assert_int_equal(root.rsdt, RSDT);
	assert_int_equal(root.xsdt, XSDT);
	put_tables(&memory, 0, madt_body);
	assert_true(find());
	assert_int_equal(root.rsdt, RSDT);
	assert_int_equal(root.xsdt, 0);
}

static void put_ebda(u16 segment)
{
	fake_memory_put(&memory, 0x40e, &segment, sizeof(segment));
}

static void test_where_the_rsdp_may_lie(void **unused)
{
	static const u64 good[] = {0xe0000, 0xfffe0, EBDA, EBDA + 0x3f0};
	static const u64 bad[] = {0xdfff0, 0xe0008, EBDA + 8, EBDA + 0x400};

	(void)unused;
	put_tables(&memory, 0, madt_body);
	memset(memory.bytes + RSDP, 0, 36);
	put_ebda(EBDA >> 4);
	assert_false(find());
	for (u32 i = 0; i < 4; i++) {
		put_rsdp(&memory, good[i], 0, RSDT, 0);
		assert_true(find());
		assert_int_equal(root.rsdp, good[i]);
		memset(memory.bytes + good[i], 0, 20);
		put_rsdp(&memory, bad[i], 0, RSDT, 0);
		assert_false(find());
		memset(memory.bytes + bad[i], 0, 20);
	}
	/* Not among the interrupt vectors, and not beyond base memory. */
	put_rsdp(&memory, 0x100, 0, RSDT, 0);
	put_ebda(0x10);
	assert_false(find());
	put_rsdp(&memory, 0xa0000, 0, RSDT, 0);
	put_ebda(0xa000);
	assert_false(find());
	put_ebda(0xffff);
	assert_false(find());
}

static void test_damaged_rsdp(void **unused)
{
	(void)unused;
	put_tables(&memory, 2, madt_body);
	for (u32 i = 0; i < 33; i++) {
		memory.bytes[RSDP + i] ^= 0x10;
		assert_false(find());
		memory.bytes[RSDP + i] ^= 0x10;
	}
	assert_true(find());
	/* Lengths that the checksum was made for. */
	for (u32 i = 0; i < 4; i++) {
		static const u32 lengths[] = {0, 35, 4097, 0xffffffff};

		fake_memory_put(&memory, RSDP + 20, &lengths[i], 4);
		fix_sum(&memory, RSDP, min_u64(lengths[i], 4097), RSDP + 32);
		assert_false(find());
	}
	memory.bytes[RSDP + 20] = 40;
	memset(memory.bytes + RSDP + 21, 0, 3);
	fix_sum(&memory, RSDP, 40, RSDP + 32);
	assert_true(find());
}

static void test_damaged_rsdp_of_revision_0(void **unused)
{
	(void)unused;
	put_tables(&memory, 0, madt_body);
	for (u32 i = 0; i < 20; i++) {
		memory.bytes[RSDP + i] ^= 0x01;
		assert_false(find());
		memory.bytes[RSDP + i] ^= 0x01;
	}
	assert_true(find());
}

static void test_a_later_rsdp_counts_when_the_first_is_broken(void **unused)
{
	(void)unused;
	put_tables(&memory, 0, madt_body);
	put_rsdp(&memory, 0xe0100, 0, 0x50000, 0);
	put_rsdp(&memory, 0xe0200, 0, 0, 0);
	assert_true(find());
	assert_int_equal(root.rsdp, RSDP);
}

static void test_damaged_root_tables(void **unused)
{
	(void)unused;
	put_tables(&memory, 2, madt_body);
	memory.bytes[XSDT + 40]++;
	assert_true(find());
	assert_int_equal(root.xsdt, 0);
	assert_int_equal(acpi_find_table(&memory.view, &root, "APIC", 0), MADT);
	memory.bytes[RSDT + 40]++;
	assert_false(find());
	memory.bytes[XSDT + 40]--;
	assert_true(find());
	assert_int_equal(root.rsdt, 0);
	put_rsdp(&memory, RSDP, 2, 0, UINT64_MAX - 8);
	assert_false(find());
	put_rsdp(&memory, RSDP, 2, FAKE_ACPI_SIZE - 8, 1ull << 40);
	assert_false(find());
}

static void test_lengths_of_tables(void **unused)
{
	static const u32 bad[] = {0, 35, 0x20000000, 0xffffffff};

	(void)unused;
	put_tables(&memory, 2, madt_body);
	assert_int_equal(acpi_table_length(&memory.view, FADT, "FACP"), 136);
	assert_int_equal(acpi_table_length(&memory.view, FADT, "FACS"), 0);
	assert_int_equal(acpi_table_length(&memory.view, FAKE_ACPI_SIZE - 35, "FACP"), 0);
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		fake_memory_put(&memory, FADT + 4, &bad[i], 4);
		fix_sum(&memory, FADT, min_u64(bad[i], 136), FADT + 9);
		assert_int_equal(acpi_table_length(&memory.view, FADT, "FACP"), 0);
	}
	/* Ends with the memory; one byte more does not. */
	put_table(&memory, FAKE_ACPI_SIZE - 40, "FACP", "abcd", 4);
	assert_int_equal(acpi_table_length(&memory.view, FAKE_ACPI_SIZE - 40, "FACP"), 40);
	memory.bytes[FAKE_ACPI_SIZE - 36]++;
	memory.bytes[FAKE_ACPI_SIZE - 31]--;
	assert_int_equal(acpi_table_length(&memory.view, FAKE_ACPI_SIZE - 40, "FACP"), 0);
}

static void test_the_longest_table(void **unused)
{
	const u32 most = 16 * MIB;

	(void)unused;
	fake_memory_free(&memory);
	fake_memory_init(&memory, most + 1);
	fake_memory_allow(&memory, 0, most + 1);
	put_table(&memory, 0, "SSDT", NULL, most - 36);
	assert_int_equal(acpi_table_length(&memory.view, 0, "SSDT"), most);
	put_table(&memory, 0, "SSDT", NULL, most - 35);
	assert_int_equal(acpi_table_length(&memory.view, 0, "SSDT"), 0);
}

static void test_finding_tables(void **unused)
{
	const u64 entries[] = {0, UINT64_MAX, RSDP, FADT, MADT, MADT};

	(void)unused;
	put_tables(&memory, 2, madt_body);
	assert_true(find());
	assert_int_equal(acpi_find_table(&memory.view, &root, "FACP", 136), FADT);
	assert_int_equal(acpi_find_table(&memory.view, &root, "FACP", 137), 0);
	assert_int_equal(acpi_find_table(&memory.view, &root, "HPET", 0), 0);
	memory.bytes[FADT + 50]++;
	assert_int_equal(acpi_find_table(&memory.view, &root, "FACP", 0), 0);
	memory.bytes[FADT + 50]--;
	put_table(&memory, XSDT, "XSDT", entries, sizeof(entries));
	assert_int_equal(acpi_find_table(&memory.view, &root, "FACP", 0), FADT);
	/* The last entry is not whole. */
	put_table(&memory, XSDT, "XSDT", &entries[3], 15);
	memory.bytes[XSDT + 36 + 15] = 0;
	assert_int_equal(acpi_find_table(&memory.view, &root, "APIC", 0), 0);
	root.rsdt = root.xsdt = 0;
	assert_int_equal(acpi_find_table(&memory.view, &root, "APIC", 0), 0);
}

static void test_only_so_many_tables(void **unused)
{
	u64 entries[ACPI_TABLES_MAX + 1] = {0};

	(void)unused;
	put_tables(&memory, 2, madt_body);
	entries[ACPI_TABLES_MAX] = MADT;
	put_table(&memory, XSDT, "XSDT", entries, sizeof(entries));
	assert_true(find());
	assert_int_equal(acpi_find_table(&memory.view, &root, "APIC", 0), 0);
	entries[ACPI_TABLES_MAX - 1] = MADT;
	put_table(&memory, XSDT, "XSDT", entries, sizeof(entries));
	assert_int_equal(acpi_find_table(&memory.view, &root, "APIC", 0), MADT);
}

static void test_cpus(void **unused)
{
	static const u32 wanted[] = {0, 4, 2, 300, 0xff};
	u32 id[8] = {0};

	(void)unused;
	add_cpu(0, 1);
	add_cpu(4, 1);
	add_cpu(1, 0);
	add_cpu(3, 2);
	add_cpu(0xff, 1);
	add_entry("\x01\x0c\0\0\0\0\0\0\0\0\0\0", 12);
	add_entry("\x55\x02", 2);
	add_cpu(2, 1);
	add_x2cpu(300, 1);
	add_x2cpu(301, 0);
	add_x2cpu(4, 1);
	add_x2cpu(0xffffffff, 1);
	add_x2cpu(0xff, 1);
	add_entry("\x00\x07\x00\x09\x01\x00\x00", 7);
	add_entry("\x09\x0f\0\0\x0a\0\0\0\x01\0\0\0\0\0\0", 15);
	add_cpu(0, 1);
	put_tables(&memory, 2, madt_body);
	assert_true(find());
	assert_int_equal(acpi_madt_cpus(&memory.view, &root, id, 8), 5);
	assert_memory_equal(id, wanted, sizeof(wanted));
	id[2] = 0x5555;
	assert_int_equal(acpi_madt_cpus(&memory.view, &root, id, 2), 5);
	assert_int_equal(id[2], 0x5555);
	/* 0 and 4 are there twice; what is not stored is not recognised. */
	assert_int_equal(acpi_madt_cpus(&memory.view, &root, id, 1), 6);
	assert_int_equal(acpi_madt_cpus(&memory.view, &root, NULL, 0), 7);
}

static void test_damaged_madt(void **unused)
{
	static const u8 lengths[] = {0, 1, 9, 0xff};
	u32 id[4];

	(void)unused;
	add_cpu(1, 1);
	add_cpu(2, 1);
	put_tables(&memory, 0, madt_body);
	assert_true(find());
	assert_int_equal(acpi_madt_cpus(&memory.view, &root, id, 4), 2);
	for (u32 i = 0; i < ARRAY_SIZE(lengths); i++) {
		memory.bytes[MADT + 44 + 8 + 1] = lengths[i];
		put_table(&memory, MADT, "APIC", NULL, madt_body);
		assert_int_equal(acpi_madt_cpus(&memory.view, &root, id, 4), 1);
	}
	memory.bytes[MADT + 44 + 8 + 1] = 8;
	/* The last entry is cut. */
	put_table(&memory, MADT, "APIC", NULL, madt_body - 1);
	assert_int_equal(acpi_madt_cpus(&memory.view, &root, id, 4), 1);
	put_table(&memory, MADT, "APIC", NULL, madt_body - 7);
	assert_int_equal(acpi_madt_cpus(&memory.view, &root, id, 4), 1);
	put_table(&memory, MADT, "APIC", NULL, 8);
	assert_int_equal(acpi_madt_cpus(&memory.view, &root, id, 4), 0);
	put_table(&memory, MADT, "APIC", NULL, 7);
	assert_int_equal(acpi_madt_cpus(&memory.view, &root, id, 4), 0);
	memory.bytes[MADT + 9]++;
	assert_int_equal(acpi_madt_cpus(&memory.view, &root, id, 4), 0);
}

/* An entry must not begin inside of the header of the one before. */
static void test_entry_of_one_byte(void **unused)
{
	u32 id[4];

	(void)unused;
	add_entry("\x01\x01\x08\0\0\0\0\0", 9);
	add_cpu(1, 1);
	put_tables(&memory, 0, madt_body);
	assert_true(find());
	assert_int_equal(acpi_madt_cpus(&memory.view, &root, id, 4), 0);
}

static void test_counting_ends(void **unused)
{
	(void)unused;
	fake_memory_free(&memory);
	fake_memory_init(&memory, 2 * FAKE_ACPI_SIZE);
	fake_memory_allow(&memory, 0, memory.size);
	for (u32 i = 0; i < ACPI_CPUS_MAX + 100; i++)
		add_x2cpu(i, 1);
	put_tables(&memory, 0, madt_body);
	assert_true(find());
	assert_int_equal(acpi_madt_cpus(&memory.view, &root, NULL, 0), ACPI_CPUS_MAX);
}

static struct {
	u64 base, size;
} hotplug[4];
static u32 hotplugs;

static void note_hotplug(u64 base, u64 size)
{
	assert_true(hotplugs < ARRAY_SIZE(hotplug));
	hotplug[hotplugs].base = base;
	hotplug[hotplugs++].size = size;
}

static u32 count_hotplug(void)
{
	hotplugs = 0;
	acpi_srat_hotplug(&memory.view, &root, note_hotplug);
	return hotplugs;
}

/* One of each kind; the table takes the MADT's place. */
static void test_hotplug(void **unused)
{
	static const struct PACKED {
		u8 reserved[12], cpu[16];
		struct PACKED {
			u8 type, length;
			u8 domain[6];
			u64 base, size;
			u32 reserved, flags;
			u64 more;
		} memory[5];
	} srat = {{0}, {0, 16}, {
		{1, 40, {0}, 0, 0xa0000, 0, 1, 0},
		{1, 40, {0}, 0x100000000, 0x140000000, 0, 3, 0},
		{1, 40, {0}, 0x400000000, 0x1000, 0, 2, 0},
		{1, 39, {0}, 0x500000000, 0x1000, 0, 3, 0},
		{1, 40, {0}, 0x600000000, 0x2000, 0, 7, 0},
	}};

	(void)unused;
	put_tables(&memory, 2, 0);
	assert_true(find());
	assert_int_equal(count_hotplug(), 0);
	/* The short entry's length leads the next astray. */
	put_table(&memory, MADT, "SRAT", &srat, offsetof(typeof(srat), memory[3]));
	assert_int_equal(count_hotplug(), 1);
	assert_true(hotplug[0].base == 0x100000000 && hotplug[0].size == 0x140000000);
	put_table(&memory, MADT, "SRAT", &srat, sizeof(srat));
	memory.bytes[MADT + 36 + offsetof(typeof(srat), memory[3].type)] = 2;
	memory.bytes[MADT + 36 + offsetof(typeof(srat), memory[3].length)] = 40;
	put_table(&memory, MADT, "SRAT", NULL, sizeof(srat));
	assert_int_equal(count_hotplug(), 2);
	assert_true(hotplug[1].base == 0x600000000 && hotplug[1].size == 0x2000);
	for (u32 cut = 1; cut < 40; cut++) {
		put_table(&memory, MADT, "SRAT", NULL, (u32)sizeof(srat) - cut);
		assert_int_equal(count_hotplug(), 1);
	}
	put_table(&memory, MADT, "SRAT", NULL, 11);
	assert_int_equal(count_hotplug(), 0);
}

static void test_random_damage(void **unused)
{
	static u8 good[FAKE_ACPI_SIZE];
	u64 state = 5;
	u32 found = 0, cpus = 0;

	(void)unused;
	/* Less memory, so that a search of all of it is quick. */
	memory.readable[0].base = RSDT;
	memory.readable[0].size = RSDP + 48 - RSDT;
	add_cpu(0, 1);
	add_x2cpu(1, 1);
	add_cpu(2, 1);
	put_tables(&memory, 2, madt_body);
	memcpy(good, memory.bytes, sizeof(good));
	for (u32 round = 0; round < 2000; round++) {
		u32 id[3];
		u64 target[] = {RSDP, RSDT, XSDT, MADT, MADT + 44};
		u64 at = target[next_random(&state) % 5];

		damage(memory.bytes + at, 36, &state);
		/* Mostly with right checksums, or nothing gets past them. */
		if (next_random(&state) % 8) {
			fix_sum(&memory, MADT, 36 + madt_body, MADT + 9);
			fix_sum(&memory, RSDT, 44, RSDT + 9);
			fix_sum(&memory, XSDT, 52, XSDT + 9);
			fix_sum(&memory, RSDP, 20, RSDP + 8);
			fix_sum(&memory, RSDP, 36, RSDP + 32);
		}
		root = (struct acpi_root){RSDP, RSDT, XSDT};
		/* The search is slow here. */
		if (round % 64 == 0 && find())
			found++;
		cpus += acpi_madt_cpus(&memory.view, &root, id, 3);
		memcpy(memory.bytes + RSDT, good + RSDT, 0x4000);
		memcpy(memory.bytes + RSDP, good + RSDP, 64);
	}
	assert_true(found > 10 && cpus > 1000);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_finds_both_roots),
	    TEST(test_where_the_rsdp_may_lie),
	    TEST(test_damaged_rsdp),
	    TEST(test_damaged_rsdp_of_revision_0),
	    TEST(test_a_later_rsdp_counts_when_the_first_is_broken),
	    TEST(test_damaged_root_tables),
	    TEST(test_lengths_of_tables),
	    TEST(test_the_longest_table),
	    TEST(test_finding_tables),
	    TEST(test_only_so_many_tables),
	    TEST(test_cpus),
	    TEST(test_damaged_madt),
	    TEST(test_entry_of_one_byte),
	    TEST(test_counting_ends),
	    TEST(test_hotplug),
	    TEST(test_random_damage),
	};

	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
