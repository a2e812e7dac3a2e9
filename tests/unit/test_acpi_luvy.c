/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dom0/acpi_luvy.h"
#include "fake_acpi.h"

#define AREA	  0x60000 /* where dom0 sees the new tables */
#define AREA_SIZE 0x1000

static struct fake_memory memory;
static struct acpi_root root;
static struct acpi_rsdp rsdp;

static const struct luv_acpi_table contents = {
    .abi_version = 0x10002, .flags = LUV_ACPI_HAS_KEY, .key = {1, 2, 3}, .checksum = 99};

static int start(void **unused)
{
	(void)unused;
	fake_memory_init(&memory, FAKE_ACPI_SIZE);
	fake_memory_allow(&memory, 0, FAKE_ACPI_SIZE);
	memset(&rsdp, 0xa5, sizeof(rsdp));
	return 0;
}

static int end(void **unused)
{
	(void)unused;
	fake_memory_free(&memory);
	return 0;
}

/* Builds into a heap buffer of exactly `size` bytes, for ASan; then puts it where dom0 looks.
 */
static u64 build(u64 size, u64 address)
{
	u8 *buffer = calloc(1, size);
	u64 used =
	    acpi_luvy_build(&memory.view, &root, &contents, buffer, size, address, &rsdp);

	assert_true(used <= size);
	if (used && address + used <= memory.size)
		fake_memory_put(&memory, address, buffer, used);
	free(buffer);
	return used;
}

/* What dom0 finds once the RSDP has been replaced. */
static void expect_dom0_finds_all(bool has_rsdt, bool has_xsdt)
{
	struct luv_acpi_table luvy;
	struct acpi_root seen, one;
	u64 address;

	fake_memory_put(&memory, RSDP, &rsdp, rsdp.revision < 2 ? 20 : 36);
	assert_true(acpi_find_root(&memory.view, &seen));
	assert_int_equal(!!seen.rsdt, has_rsdt);
	assert_int_equal(!!seen.xsdt, has_xsdt);
	for (u32 i = 0; i < 2; i++) {
		if (!(i ? has_xsdt : has_rsdt))
			continue;
		one = (struct acpi_root){RSDP, i ? 0 : seen.rsdt, i ? seen.xsdt : 0};
		assert_true(range_within(i ? one.xsdt : one.rsdt, 36, AREA, AREA_SIZE));
		assert_int_equal(acpi_find_table(&memory.view, &one, "FACP", 0), FADT);
		assert_int_equal(acpi_find_table(&memory.view, &one, "APIC", 0), MADT);
		address = acpi_find_table(&memory.view, &one, "LUVY", sizeof(luvy));
		assert_int_equal(address, AREA);
	}
	memcpy(&luvy, memory.bytes + AREA, sizeof(luvy));
	assert_int_equal(luvy.length, 56);
	assert_int_equal(luvy.revision, LUV_ACPI_REVISION);
	assert_memory_equal(luvy.oem_id, "LUVALY", 6);
	assert_int_equal(luvy.abi_version, 0x10002);
	assert_int_equal(luvy.flags, LUV_ACPI_HAS_KEY);
	assert_memory_equal(luvy.key, contents.key, sizeof(luvy.key));
}

static void test_both_root_tables(void **unused)
{
	(void)unused;
	put_tables(&memory, 2, 8);
	assert_true(acpi_find_root(&memory.view, &root));
	assert_int_equal(build(AREA_SIZE, AREA), 64 + 48 + 60);
	assert_int_equal(rsdp.revision, 2);
	assert_memory_equal(rsdp.oem_id, "FAKE  ", 6);
	expect_dom0_finds_all(true, true);
}

static void test_revision_0(void **unused)
{
	static const u8 zero[16];

	(void)unused;
	put_tables(&memory, 0, 8);
	memset(memory.bytes + RSDP + 20, 0x77, 16);
	assert_true(acpi_find_root(&memory.view, &root));
	assert_int_equal(build(AREA_SIZE, AREA), 64 + 48);
	assert_int_equal(rsdp.revision, 0);
	assert_memory_equal(&rsdp.length, zero, sizeof(zero));
	expect_dom0_finds_all(true, false);
}

static void test_one_root_table_only(void **unused)
{
	(void)unused;
	put_tables(&memory, 2, 8);
	memory.bytes[XSDT + 40]++;
	assert_true(acpi_find_root(&memory.view, &root));
	assert_int_equal(build(AREA_SIZE, AREA), 64 + 48);
	assert_int_equal(rsdp.xsdt, 0);
	expect_dom0_finds_all(true, false);

	put_tables(&memory, 2, 8);
	memory.bytes[RSDT + 40]++;
	assert_true(acpi_find_root(&memory.view, &root));
	assert_int_equal(build(AREA_SIZE, AREA), 64 + 52 + 8);
	assert_int_equal(rsdp.rsdt, 0);
	expect_dom0_finds_all(false, true);
}

static void test_uneven_root_table(void **unused)
{
	const u32 entries[] = {FADT, MADT, 0x77777777};

	(void)unused;
	put_tables(&memory, 0, 8);
	put_table(&memory, RSDT, "RSDT", entries, 11);
	assert_true(acpi_find_root(&memory.view, &root));
	assert_int_equal(build(AREA_SIZE, AREA), 64 + 48);
	expect_dom0_finds_all(true, false);
}

/* A longer RSDP becomes one of 36 bytes, since no more is copied. */
static void test_long_rsdp(void **unused)
{
	(void)unused;
	put_tables(&memory, 2, 8);
	memory.bytes[RSDP + 20] = 48;
	fix_sum(&memory, RSDP, 48, RSDP + 32);
	assert_true(acpi_find_root(&memory.view, &root));
	assert_true(build(AREA_SIZE, AREA) > 0);
	assert_int_equal(rsdp.length, 36);
	expect_dom0_finds_all(true, true);
}

static void test_room(void **unused)
{
	(void)unused;
	put_tables(&memory, 2, 8);
	assert_true(acpi_find_root(&memory.view, &root));
	for (u64 size = 1; size < 64 + 48 + 60; size++)
		assert_int_equal(build(size, AREA), 0);
	assert_int_equal(build(64 + 48 + 60, AREA), 64 + 48 + 60);
	assert_int_equal(build(0x1000, 0xfffff000), 64 + 48 + 60);
	assert_int_equal(build(0x1000, 0xfffff010), 0);
	assert_int_equal(build(0x1000, 0x100000000), 0);
	assert_int_equal(build(0x1000, -0x10ull), 0);
}

static void test_damage_after_the_search(void **unused)
{
	static const u64 places[] = {RSDP + 3, RSDP + 34, RSDT + 20, XSDT + 20, XSDT + 4};

	(void)unused;
	put_tables(&memory, 2, 8);
	assert_true(acpi_find_root(&memory.view, &root));
	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		memory.bytes[places[i]]++;
		assert_int_equal(build(AREA_SIZE, AREA), 0);
		memory.bytes[places[i]]--;
	}
	assert_true(build(AREA_SIZE, AREA) > 0);
}

static void test_random_damage(void **unused)
{
	u64 state = 13;
	u32 built = 0;

	(void)unused;
	for (u32 round = 0; round < 3000; round++) {
		static const u64 target[] = {RSDP, RSDT, XSDT};

		put_tables(&memory, 2, 8);
		damage(memory.bytes + target[next_random(&state) % 3], 36, &state);
		if (next_random(&state) % 8) {
			fix_sum(&memory, RSDT, 44, RSDT + 9);
			fix_sum(&memory, XSDT, 52, XSDT + 9);
			fix_sum(&memory, RSDP, 20, RSDP + 8);
			fix_sum(&memory, RSDP, 36, RSDP + 32);
		}
		root = (struct acpi_root){RSDP, RSDT, XSDT};
		built += build(next_random(&state) % 400 + 1, AREA) != 0;
	}
	assert_true(built > 300);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_both_root_tables),
	    TEST(test_revision_0),
	    TEST(test_one_root_table_only),
	    TEST(test_uneven_root_table),
	    TEST(test_long_rsdp),
	    TEST(test_room),
	    TEST(test_damage_after_the_search),
	    TEST(test_random_damage),
	};

	return cmocka_run_group_tests_name("acpi_luvy", tests, NULL, NULL);
}
