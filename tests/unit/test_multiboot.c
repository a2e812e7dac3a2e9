/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/multiboot.h"
#include "fake_memory.h"

#define SIZE	 0x4000
#define INFO	 0x100
#define CMDLINE	 0x200
#define MODULES	 0x800
#define NAMES	 0x900
#define MAP	 0x1000
#define UNMAPPED 0x100000

#define RAM_END	 0x8000000

static struct fake_memory memory;
static struct boot_info boot;
static u64 cursor; /* where the next Multiboot 2 tag goes */

static int start(void **unused)
{
	(void)unused;
	fake_memory_init(&memory, SIZE);
	fake_memory_allow(&memory, 0, SIZE);
	memset(&boot, 0xa5, sizeof(boot));
	return 0;
}

static int end(void **unused)
{
	(void)unused;
	fake_memory_free(&memory);
	return 0;
}

static void put32(u64 at, u32 value)
{
	fake_memory_put(&memory, at, &value, sizeof(value));
}

static void put64(u64 at, u64 value)
{
	fake_memory_put(&memory, at, &value, sizeof(value));
}

static void put_text(u64 at, const char *text)
{
	fake_memory_put(&memory, at, text, strlen(text) + 1);
}

static void expect_error(const char *error, const char *part)
{
	if (!error || !strstr(error, part))
		fail_msg("wanted '%s', got '%s'", part, error ? error : "success");
}

/* --- Multiboot 1 ---------------------------------------------------------------------------
 */

static const char *parse1(void)
{
	return multiboot_parse(MULTIBOOT1_BOOT_MAGIC, INFO, &memory.view, &boot);
}

static void put_map1(u64 at, u32 size, u64 base, u64 length, u32 type)
{
	put32(at, size);
	put64(at + 4, base);
	put64(at + 12, length);
	put32(at + 20, type);
}

static void put_module1(u32 index, u32 from, u32 to, u32 name)
{
	put32(MODULES + index * 16, from);
	put32(MODULES + index * 16 + 4, to);
	put32(MODULES + index * 16 + 8, name);
}

/* Two modules, drive 0x81, a map of three entries, one of them longer than it must be. */
static void build1(void)
{
	put32(INFO, BIT(1) | BIT(2) | BIT(3) | BIT(6));
	put32(INFO + 12, 0x8100ffff);
	put32(INFO + 16, CMDLINE);
	put_text(CMDLINE, "/boot/luvalley.elf apic=trap  boot=hd0");
	put32(INFO + 20, 2);
	put32(INFO + 24, MODULES);
	put_module1(0, 0x200000, 0x300001, NAMES);
	put_module1(1, 0x400000, 0x400001, 0);
	put_text(0, "no command line lies here");
	put_text(NAMES, "/boot/vmlinuz root=/dev/sda1");
	put32(INFO + 44, 24 + 28 + 24);
	put32(INFO + 48, MAP);
	put_map1(MAP, 20, 0x100000, RAM_END - 0x100000, MEM_RAM);
	put_map1(MAP + 24, 24, 0, 0x9fc00, MEM_RAM);
	put_map1(MAP + 52, 20, 0x9fc00, 0x400, MEM_RESERVED);
}

static void expect_machine(void)
{
	assert_string_equal(boot.cmdline, "apic=trap  boot=hd0");
	assert_true(boot.has_boot_drive);
	assert_int_equal(boot.boot_drive, 0x81);
	assert_int_equal(boot.module_count, 2);
	assert_int_equal(boot.module[0].base, 0x200000);
	assert_int_equal(boot.module[0].size, 0x100001);
	assert_string_equal(boot.module[0].cmdline, "/boot/vmlinuz root=/dev/sda1");
	assert_int_equal(boot.module[1].base, 0x400000);
	assert_int_equal(boot.module[1].size, 1);
	assert_string_equal(boot.module[1].cmdline, "");
	assert_int_equal(boot.map.count, 3);
	assert_int_equal(boot.map.range[1].base, 0x9f000);
	assert_int_equal(boot.map.range[1].type, MEM_RESERVED);
	assert_int_equal(mem_map_ram_end(&boot.map), RAM_END);
}

static void test_multiboot1(void **unused)
{
	(void)unused;
	build1();
	assert_null(parse1());
	expect_machine();
}

static void test_multiboot1_optional_parts(void **unused)
{
	(void)unused;
	build1();
	put32(INFO, BIT(6));
	assert_null(parse1());
	assert_string_equal(boot.cmdline, "");
	assert_false(boot.has_boot_drive);
	assert_int_equal(boot.module_count, 0);
	put32(INFO, BIT(1) | BIT(3) | BIT(6));
	put32(INFO + 12, 0xffffffff);
	put32(INFO + 20, 0);
	put32(INFO + 24, UNMAPPED);
	assert_null(parse1());
	assert_false(boot.has_boot_drive);
	put32(INFO, BIT(1) | BIT(2) | BIT(3));
	expect_error(parse1(), "no memory map");
}

static void test_image_name(void **unused)
{
	static const char *const lines[][2] = {
	    {"", ""},
	    {"   ", ""},
	    {"a=b", "a=b"},
	    {"luvalley.elf", ""},
	    {" luvalley.elf  a=b c ", "a=b c "},
	    {".elf x", "x"},
	    {"elf x", "elf x"},
	    {"/luvalley x", "x"},
	    {"(hd0)/l", ""},
	    {"x /y", "x /y"},
	    {"x luvalley.elf", "x luvalley.elf"},
	    {"luvalley.elfx", "luvalley.elfx"},
	};

	(void)unused;
	build1();
	for (u32 i = 0; i < ARRAY_SIZE(lines); i++) {
		put_text(CMDLINE, lines[i][0]);
		assert_null(parse1());
		assert_string_equal(boot.cmdline, lines[i][1]);
	}
}

static void test_text_is_bounded(void **unused)
{
	(void)unused;
	build1();
	memset(memory.bytes + CMDLINE, 'x', BOOT_CMDLINE_MAX);
	memory.bytes[CMDLINE + BOOT_CMDLINE_MAX - 1] = 0;
	assert_null(parse1());
	assert_int_equal(strlen(boot.cmdline), BOOT_CMDLINE_MAX - 1);
	memory.bytes[CMDLINE + BOOT_CMDLINE_MAX - 1] = 'x';
	memory.bytes[CMDLINE + BOOT_CMDLINE_MAX] = 0;
	expect_error(parse1(), "more than 1023");
	put32(INFO + 16, UNMAPPED);
	expect_error(parse1(), "outside of memory");
	memory.bytes[SIZE - 1] = 'x';
	put32(INFO + 16, SIZE - 1);
	expect_error(parse1(), "outside of memory");
	put32(INFO, BIT(3) | BIT(6));
	put_module1(0, 0x200000, 0x300000, SIZE - 1);
	expect_error(parse1(), "outside of memory");
}

static void test_multiboot1_damaged_map(void **unused)
{
	static const u32 lengths[] = {1,
				      3,
				      4,
				      23,
				      25,
				      24 + 27,
				      24 + 28 + 25,
				      SIZE,
				      1 << 20,
				      (1 << 20) + 1,
				      0x7fffffff,
				      0xffffffff};

	(void)unused;
	build1();
	for (u32 i = 0; i < ARRAY_SIZE(lengths); i++) {
		put32(INFO + 44, lengths[i]);
		expect_error(parse1(), "memory map is damaged");
	}
	put32(INFO + 44, 0);
	expect_error(parse1(), "no RAM");
	put32(INFO + 44, 24);
	for (u32 size = 0; size < 20; size++) {
		put32(MAP, size);
		expect_error(parse1(), "memory map is damaged");
	}
	put32(MAP, 21);
	expect_error(parse1(), "memory map is damaged");
	/* One that is too short, though the next fits behind it. */
	put_map1(MAP, 19, 0x100000, RAM_END - 0x100000, MEM_RAM);
	put_map1(MAP + 23, 21, 0x100000, RAM_END - 0x100000, MEM_RAM);
	put32(INFO + 44, 48);
	expect_error(parse1(), "memory map is damaged");
	put32(INFO + 44, 24);
	put32(MAP, 0xfffffffc);
	expect_error(parse1(), "memory map is damaged");
	put_map1(MAP, 20, 0x100000, RAM_END - 0x100000, MEM_RAM);
	assert_null(parse1());
	put32(INFO + 48, SIZE - 23);
	expect_error(parse1(), "memory map is damaged");
	put32(INFO + 48, 0xfffffff0);
	expect_error(parse1(), "memory map is damaged");
}

/* Empty ranges take no room in our map, so only the size ends the loop. */
static void test_multiboot1_huge_map(void **unused)
{
	const u64 size = 2 * MIB;

	fake_memory_free(&memory);
	fake_memory_init(&memory, size);
	fake_memory_allow(&memory, 0, size);
	build1();
	for (u64 at = MAP + 76; at + 24 <= size; at += 24)
		put_map1(at, 20, 0, 0, MEM_RAM);
	put32(INFO + 44, 76 + 24 * 1000);
	assert_null(parse1());
	put32(INFO + 44, 76 + 24 * (u32)(MIB / 24));
	expect_error(parse1(), "memory map is damaged");
	end(unused);
	start(unused);
}

static void test_map_limits(void **unused)
{
	(void)unused;
	build1();
	put32(INFO, BIT(6));
	for (u64 i = 0; i <= MEM_MAP_MAX; i++)
		put_map1(MAP + i * 24, 20, i * 0x2000, 0x1000, MEM_RAM);
	put32(INFO + 44, MEM_MAP_MAX * 24);
	assert_null(parse1());
	assert_int_equal(boot.map.count, MEM_MAP_MAX);
	put32(INFO + 44, (MEM_MAP_MAX + 1) * 24);
	expect_error(parse1(), "more than 128");
	put_map1(MAP, 20, 0, 0x1000000, MEM_NVS);
	put_map1(MAP + 24, 20, 0, UINT64_MAX, MEM_RAM);
	put32(INFO + 44, 48);
	assert_null(parse1());
	assert_int_equal(boot.map.count, 3); /* the last page lacks a byte */
	assert_int_equal(mem_map_type(&boot.map, 0xffffff), MEM_NVS);
	put_map1(MAP, 20, 0, UINT64_MAX, MEM_UNUSABLE);
	expect_error(parse1(), "no RAM");
	/* One big range under 127 small ones. */
	for (u64 i = 0; i < MEM_MAP_MAX; i++)
		put_map1(MAP + i * 24, 20, i * 0x2000, 0x1000, MEM_RESERVED);
	put_map1(MAP, 20, 0, 0x1000000, MEM_RAM);
	put32(INFO + 44, MEM_MAP_MAX * 24);
	expect_error(parse1(), "too many overlapping");
}

static void test_modules_are_checked(void **unused)
{
	static const u32 outside[][2] = {{0x9f000, 0xa0000},
					 {0x50000, 0x200000},
					 {RAM_END - 1, RAM_END + 1},
					 {RAM_END, RAM_END + 1},
					 {0xf0000000, 0xffffffff}};

	(void)unused;
	build1();
	for (u32 i = 0; i < ARRAY_SIZE(outside); i++) {
		put_module1(0, outside[i][0], outside[i][1], 0);
		expect_error(parse1(), "not lie in RAM");
	}
	put_module1(0, RAM_END - 1, RAM_END, 0);
	assert_null(parse1());
	put_module1(0, 0x200000, 0x200000, 0);
	expect_error(parse1(), "empty module");
	put_module1(0, 0x200000, 0x100000, 0);
	expect_error(parse1(), "empty module");
	for (u32 i = 0; i < 5; i++)
		put_module1(i, 0x200000, 0x200001, NAMES);
	put32(INFO + 20, 4);
	assert_null(parse1());
	assert_int_equal(boot.module_count, 4);
	put32(INFO + 20, 5);
	expect_error(parse1(), "more than 4 modules");
	put32(INFO + 20, 0xffffffff);
	expect_error(parse1(), "more than 4 modules");
	put32(INFO + 24, 0xfffffff8);
	expect_error(parse1(), "list of modules");
}

static void test_bad_start(void **unused)
{
	(void)unused;
	build1();
	expect_error(multiboot_parse(0, INFO, &memory.view, &boot), "no Multiboot loader");
	expect_error(multiboot_parse(0x1badb002, INFO, &memory.view, &boot),
		     "no Multiboot loader");
	for (u32 i = 0; i < 2; i++) {
		u32 magic = i ? MULTIBOOT1_BOOT_MAGIC : MULTIBOOT2_BOOT_MAGIC;

		expect_error(multiboot_parse(magic, SIZE - 4, &memory.view, &boot), "outside");
		expect_error(multiboot_parse(magic, UINT64_MAX - 2, &memory.view, &boot),
			     "outside");
	}
}

/* --- Multiboot 2 ---------------------------------------------------------------------------
 */

static const char *parse2(void)
{
	return multiboot_parse(MULTIBOOT2_BOOT_MAGIC, INFO, &memory.view, &boot);
}

static u64 put_tag(u32 type, u32 size)
{
	u64 at = align_up(cursor, 8);

	put32(at, type);
	put32(at + 4, size);
	cursor = at + size;
	return at;
}

static void put_module2(u32 from, u32 to, const char *name)
{
	u64 at = put_tag(3, 16 + strlen(name) + 1);

	put32(at + 8, from);
	put32(at + 12, to);
	put_text(at + 16, name);
}

static u64 put_map2(u32 entry_size, u32 entries)
{
	u64 at = put_tag(6, 16 + entry_size * entries);

	put32(at + 8, entry_size);
	return at;
}

static void put_entry2(u64 at, u64 base, u64 length, u32 type)
{
	put64(at, base);
	put64(at + 8, length);
	put32(at + 16, type);
}

static void finish2(void)
{
	put_tag(0, 8);
	put32(INFO, cursor - INFO);
}

static u64 map2_at;

static void build2(void)
{
	const char *line = "luvalley.elf apic=trap  boot=hd0";
	u64 at;

	cursor = INFO + 8;
	at = put_tag(1, 8 + strlen(line) + 1);
	put_text(at + 8, line);
	at = put_tag(5, 20);
	put32(at + 8, 0x81);
	put_tag(0x7777, 13);
	put_module2(0x200000, 0x300001, "/boot/vmlinuz root=/dev/sda1");
	put_module2(0x400000, 0x400001, "");
	map2_at = put_map2(32, 3);
	put_entry2(map2_at + 16, 0x100000, RAM_END - 0x100000, MEM_RAM);
	put_entry2(map2_at + 48, 0, 0x9fc00, MEM_RAM);
	put_entry2(map2_at + 80, 0x9fc00, 0x400, MEM_RESERVED);
	finish2();
}

static void test_multiboot2(void **unused)
{
	(void)unused;
	build2();
	assert_null(parse2());
	expect_machine();
}

static void test_multiboot2_sizes(void **unused)
{
	u32 total;

	(void)unused;
	build2();
	total = cursor - INFO;
	for (u32 size = 0; size < total; size++) {
		put32(INFO, size);
		expect_error(parse2(), "damaged");
	}
	put32(INFO, total + 8);
	assert_null(parse2());
	put32(INFO, 0xffffffff);
	expect_error(parse2(), "impossible size");
	put32(INFO, total);
	for (u32 size = 0; size < 8; size++) {
		put32(INFO + 8 + 4, size);
		expect_error(parse2(), "damaged");
	}
	put32(INFO + 8 + 4, 0xffffffff);
	expect_error(parse2(), "damaged");
	put32(INFO + 8 + 4, total - 8 + 1);
	expect_error(parse2(), "damaged");
	put32(INFO + 8 + 4, 8);
	expect_error(parse2(), "no end");
	put32(INFO + 8 + 4, 12);
	expect_error(parse2(), "no end");
}

static void test_multiboot2_damaged_map(void **unused)
{
	static const u32 sizes[] = {0,	8,  16,		23,	    25,
				    36, 64, 0x80000000, 0xfffffff8, 0xffffffff};

	(void)unused;
	build2();
	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		put32(map2_at + 8, sizes[i]);
		expect_error(parse2(), "memory map is damaged");
	}
	put32(map2_at + 8, 24);
	put_entry2(map2_at + 16 + 24, 0, 0, 0);
	put_entry2(map2_at + 16 + 48, 0, 0, 0);
	put_entry2(map2_at + 16 + 72, 0, 0, 0);
	assert_null(parse2());
	cursor = INFO + 8;
	finish2();
	expect_error(parse2(), "no RAM");
}

static void test_multiboot2_short_tags(void **unused)
{
	static const u32 types[] = {3, 5, 6};

	(void)unused;
	for (u32 i = 0; i < ARRAY_SIZE(types); i++) {
		build2();
		cursor = INFO + 8;
		put_tag(types[i], types[i] == 5 ? 11 : 15);
		finish2();
		expect_error(parse2(), "damaged");
	}
	/* A module without a command line, not even an empty one. */
	build2();
	cursor = map2_at + 16 + 96;
	put32(put_tag(3, 16) + 8, 0x200000);
	put32(cursor - 4, 0x200010);
	finish2();
	assert_null(parse2());
	assert_int_equal(boot.module_count, 3);
	assert_string_equal(boot.module[2].cmdline, "");
}

static void test_multiboot2_long_text(void **unused)
{
	u64 at;

	(void)unused;
	build2();
	cursor = map2_at + 16 + 96;
	at = put_tag(1, 8 + BOOT_CMDLINE_MAX + 80);
	memset(memory.bytes + at + 8, 'x', BOOT_CMDLINE_MAX + 79);
	finish2();
	expect_error(parse2(), "more than 1023");
	memory.bytes[at + 8 + BOOT_CMDLINE_MAX - 1] = 0;
	assert_null(parse2());
	put32(at + 4, 12);
	expect_error(parse2(), "no end");
}

/* --- both ----------------------------------------------------------------------------------
 */

static void test_random_damage(void **unused)
{
	u64 state = 11;
	u8 good[SIZE];
	u32 accepted = 0;

	(void)unused;
	for (u32 kind = 0; kind < 2; kind++) {
		memset(memory.bytes, 0, SIZE);
		if (kind == 0)
			build1();
		else
			build2();
		memcpy(good, memory.bytes, SIZE);
		for (u32 round = 0; round < 3000; round++) {
			const char *error;

			memcpy(memory.bytes, good, SIZE);
			damage(memory.bytes + INFO, kind ? cursor - INFO : 52, &state);
			damage(memory.bytes + (kind ? INFO : MODULES), 32, &state);
			damage(memory.bytes + (kind ? map2_at : MAP), 24 * 3, &state);
			memory.reads = 0;
			error = kind ? parse2() : parse1();
			assert_true(memory.reads < 200000);
			if (error)
				continue;
			accepted++;
			assert_true(mem_map_ram_bytes(&boot.map) > 0);
			assert_true(boot.module_count <= BOOT_MODULES_MAX);
			assert_true(strnlen(boot.cmdline, BOOT_CMDLINE_MAX) < BOOT_CMDLINE_MAX);
			for (u32 i = 0; i < boot.module_count; i++)
				assert_true(mem_map_all(&boot.map, boot.module[i].base,
							boot.module[i].size, MEM_RAM));
		}
	}
	/* Otherwise the damage is too great to reach what comes late. */
	assert_true(accepted > 100);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_multiboot1),
	    TEST(test_multiboot1_optional_parts),
	    TEST(test_image_name),
	    TEST(test_text_is_bounded),
	    TEST(test_multiboot1_damaged_map),
	    TEST(test_multiboot1_huge_map),
	    TEST(test_map_limits),
	    TEST(test_modules_are_checked),
	    TEST(test_bad_start),
	    TEST(test_multiboot2),
	    TEST(test_multiboot2_sizes),
	    TEST(test_multiboot2_damaged_map),
	    TEST(test_multiboot2_short_tags),
	    TEST(test_multiboot2_long_text),
	    TEST(test_random_damage),
	};

	return cmocka_run_group_tests_name("multiboot", tests, NULL, NULL);
}
