/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dom0/bzimage.h"
#include "fake_memory.h"

#define SETUP_SECTS  2u
#define PAYLOAD_SIZE 0x1230u
#define IMAGE_SIZE   ((1 + SETUP_SECTS) * 512 + PAYLOAD_SIZE)
#define PREFERRED    0x1000000u
#define INIT_SIZE    0x2000000u
#define RAM_END	     0x8000000u
#define INITRD_MAX   0x7fffffffu

static u8 *image; /* IMAGE_SIZE on the heap, for ASan */
static struct mem_map map;
static struct bzimage_plan plan;
static u8 *params;

static void put8(u32 at, u8 value)
{
	image[at] = value;
}

static void put16(u32 at, u16 value)
{
	memcpy(image + at, &value, sizeof(value));
}

static void put32(u32 at, u32 value)
{
	memcpy(image + at, &value, sizeof(value));
}

static void put64(u32 at, u64 value)
{
	memcpy(image + at, &value, sizeof(value));
}

static u64 get(const u8 *bytes, u32 at, u32 size)
{
	u64 value = 0;

	memcpy(&value, bytes + at, size);
	return value;
}

/* By the offsets of boot.rst, so that a slip in the structure under test shows. */
static void build_image(void)
{
	memset(image, 0xcc, IMAGE_SIZE);
	put8(0x1f1, SETUP_SECTS);
	put32(0x1f4, PAYLOAD_SIZE / 16);
	put16(0x1fe, 0xaa55);
	put16(0x200, 0x6ceb); /* the header ends at 0x26e */
	put32(0x202, 0x53726448);
	put16(0x206, 0x020f);
	put8(0x210, 0);
	put8(0x211, 0x81);
	put32(0x22c, INITRD_MAX);
	put32(0x230, 0x200000);
	put8(0x234, 1);
	put32(0x238, 2047);
	put64(0x250, 0x1234567);
	put64(0x258, PREFERRED);
	put32(0x260, INIT_SIZE);
}

static int start(void **unused)
{
	(void)unused;
	image = malloc(IMAGE_SIZE);
	params = malloc(BZIMAGE_BOOT_PARAMS_SIZE);
	build_image();
	memset(&map, 0, sizeof(map));
	mem_map_add(&map, 0, 0x9f000, MEM_RAM);
	mem_map_add(&map, 0x9f000, 0x61000, MEM_RESERVED);
	mem_map_add(&map, 0x100000, RAM_END - 0x100000, MEM_RAM);
	mem_map_add(&map, 4 * GIB, GIB, MEM_RAM);
	assert_true(mem_map_normalise(&map));
	memset(&plan, 0xa5, sizeof(plan));
	return 0;
}

static int end(void **unused)
{
	(void)unused;
	free(image);
	free(params);
	return 0;
}

static const char *make_plan(u64 initrd_size)
{
	return bzimage_plan(image, IMAGE_SIZE, initrd_size, &map, NULL, 0, &plan);
}

static void expect_error(const char *error, const char *part)
{
	if (!error || !strstr(error, part))
		fail_msg("wanted '%s', got '%s'", part, error ? error : "success");
}

static void reserve(u64 base, u64 size)
{
	assert_true(mem_map_set(&map, base, size, MEM_RESERVED));
}

static void test_preferred_place(void **unused)
{
	(void)unused;
	assert_null(make_plan(0));
	assert_int_equal(plan.payload_offset, (1 + SETUP_SECTS) * 512);
	assert_int_equal(plan.payload_size, PAYLOAD_SIZE);
	assert_int_equal(plan.load_address, PREFERRED);
	assert_int_equal(plan.run_size, INIT_SIZE);
	assert_int_equal(plan.initrd_address, 0);
	assert_int_equal(plan.initrd_size, 0);
	assert_int_equal(plan.cmdline_max, 2047);
	put32(0x260, 1);
	assert_null(make_plan(0));
	assert_int_equal(plan.run_size, PAYLOAD_SIZE);
}

static void test_what_is_no_kernel(void **unused)
{
	u8 *small = calloc(1, 0x290);

	(void)unused;
	memcpy(small, image, 0x28f);
	for (u64 size = 0; size < 0x290; size++)
		expect_error(bzimage_plan(small, size, 0, &map, NULL, 0, &plan), "too small");
	expect_error(bzimage_plan(small, 0x290, 0, &map, NULL, 0, &plan), "cut short");
	free(small);
	put16(0x1fe, 0xaa54);
	expect_error(make_plan(0), "signature");
	build_image();
	put32(0x202, 0);
	expect_error(make_plan(0), "signature");
	build_image();
	put16(0x206, 0x0209);
	expect_error(make_plan(0), "before 2.6.31");
	put16(0x206, 0x020a);
	assert_null(make_plan(0));
	put8(0x211, 0x80);
	expect_error(make_plan(0), "zImage");
	build_image();
	put8(0x201, 0x61); /* ends inside of init_size */
	expect_error(make_plan(0), "header is cut short");
	put8(0x201, 0);
	expect_error(make_plan(0), "header is cut short");
	put8(0x201, 0x62);
	assert_null(make_plan(0));
}

static void test_payload(void **unused)
{
	(void)unused;
	put8(0x1f1, 0);
	put32(0x1f4, (IMAGE_SIZE - 5 * 512) / 16);
	assert_null(make_plan(0));
	assert_int_equal(plan.payload_offset, 5 * 512);
	build_image();
	put32(0x1f4, PAYLOAD_SIZE / 16 + 1);
	expect_error(make_plan(0), "file is cut short");
	put32(0x1f4, 0xffffffff);
	expect_error(make_plan(0), "file is cut short");
	put32(0x1f4, 0);
	expect_error(make_plan(0), "no code");
	put32(0x1f4, 1);
	put8(0x1f1, 255);
	expect_error(make_plan(0), "file is cut short");
}

static void test_relocation(void **unused)
{
	(void)unused;
	reserve(PREFERRED + INIT_SIZE - 1, 1);
	assert_null(make_plan(0));
	assert_int_equal(plan.load_address, 0x200000);
	reserve(PREFERRED, 1);
	assert_null(make_plan(0));
	assert_int_equal(plan.load_address, PREFERRED + INIT_SIZE);
	reserve(0x300000, 0x1000);
	put32(0x260, 0x100000);
	put64(0x258, 0);
	assert_null(make_plan(0));
	assert_int_equal(plan.load_address, 0x200000);
	put32(0x230, 0x100000);
	assert_null(make_plan(0));
	assert_int_equal(plan.load_address, 0x100000);
	put32(0x260, 0x200001);
	assert_null(make_plan(0));
	assert_int_equal(plan.load_address, 0x400000);
}

static void test_no_place(void **unused)
{
	(void)unused;
	put8(0x234, 0);
	assert_null(make_plan(0));
	reserve(PREFERRED, 1);
	expect_error(make_plan(0), "not relocatable");
	put8(0x234, 1);
	assert_null(make_plan(0));
	put32(0x260, 0xffffffff);
	expect_error(make_plan(0), "not enough memory below 4 GiB for Linux");
	put32(0x260, RAM_END);
	expect_error(make_plan(0), "not enough memory below 4 GiB for Linux");
	put32(0x260, 0x1000);
	put64(0x258, 4 * GIB); /* there is RAM */
	assert_null(make_plan(0));
	assert_true(plan.load_address < RAM_END);
	put64(0x258, 0x10000);
	put32(0x230, 0x10000);
	assert_null(make_plan(0));
	assert_int_equal(plan.load_address, 0x100000);
	map.count = 0;
	expect_error(make_plan(0), "not enough memory below 4 GiB for Linux");
}

static void test_alignment(void **unused)
{
	static const u32 bad[] = {0, 3, 0x200001, 0xffffffff};

	(void)unused;
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		put32(0x230, bad[i]);
		put64(0x258, PREFERRED);
		expect_error(make_plan(0), "alignment");
		put64(0x258, 0);
		expect_error(make_plan(0), "alignment");
	}
	put64(0x258, PREFERRED);
	put32(0x230, 0x80000000);
	expect_error(make_plan(0), "alignment");
	put64(0x258, 0);
	expect_error(make_plan(0), "not enough memory");
	put64(0x258, UINT64_MAX);
	expect_error(make_plan(0), "alignment");
	put32(0x230, 1);
	assert_null(make_plan(0));
	assert_int_equal(plan.load_address, 0x100000);
}

static void test_initrd_place(void **unused)
{
	const struct mem_range avoid[] = {{RAM_END - 0x3000, 0x800, 0}, {0x5000000, 0x1000, 0}};

	(void)unused;
	assert_null(make_plan(0x1001));
	assert_int_equal(plan.initrd_address, RAM_END - 0x2000);
	assert_int_equal(plan.initrd_size, 0x1001);
	assert_null(bzimage_plan(image, IMAGE_SIZE, 0x2001, &map, avoid, 2, &plan));
	assert_int_equal(plan.initrd_address, RAM_END - 0x3000 - 0x3000);
	put32(0x22c, 0x5001fff);
	assert_null(bzimage_plan(image, IMAGE_SIZE, 0x1000, &map, avoid, 2, &plan));
	assert_int_equal(plan.initrd_address, 0x5001000);
	put32(0x22c, 0x5001ffe);
	assert_null(bzimage_plan(image, IMAGE_SIZE, 0x1000, &map, avoid, 2, &plan));
	assert_int_equal(plan.initrd_address, 0x4fff000);
	/* Under the kernel when there is no room above. */
	put32(0x22c, PREFERRED + INIT_SIZE + 0xfff);
	assert_null(make_plan(0x1000));
	assert_int_equal(plan.initrd_address, PREFERRED + INIT_SIZE);
	assert_null(make_plan(0x1001));
	assert_int_equal(plan.initrd_address, PREFERRED - 0x2000);
	put32(0x22c, 0xffffffff);
	assert_null(make_plan(0x1000));
	assert_int_equal(plan.initrd_address, RAM_END - 0x1000);
}

static void test_no_place_for_initrd(void **unused)
{
	struct mem_range avoid[BZIMAGE_AVOID_MAX + 1] = {0};

	(void)unused;
	expect_error(make_plan(RAM_END - PREFERRED - INIT_SIZE + 1), "for the initrd");
	expect_error(make_plan(UINT64_MAX), "for the initrd");
	expect_error(make_plan(UINT64_MAX - 0xfff), "for the initrd");
	put32(0x22c, 0);
	expect_error(make_plan(1), "for the initrd");
	put32(0x22c, 0x80000); /* RAM, but left to others */
	expect_error(make_plan(1), "for the initrd");
	build_image();
	assert_null(bzimage_plan(image, IMAGE_SIZE, 1, &map, avoid, BZIMAGE_AVOID_MAX, &plan));
	expect_error(
	    bzimage_plan(image, IMAGE_SIZE, 1, &map, avoid, BZIMAGE_AVOID_MAX + 1, &plan),
	    "too many");
	avoid[0] = (struct mem_range){0x100000, UINT64_MAX, 0};
	expect_error(bzimage_plan(image, IMAGE_SIZE, 1, &map, avoid, 1, &plan),
		     "for the initrd");
}

static void test_boot_params(void **unused)
{
	(void)unused;
	memset(params, 0xa5, BZIMAGE_BOOT_PARAMS_SIZE);
	assert_null(make_plan(0x12345));
	assert_null(
	    bzimage_boot_params(image, IMAGE_SIZE, &plan, &map, 0x90000, 0x123450, params));
	assert_int_equal(get(params, 0x210, 1), 0xff);
	assert_int_equal(get(params, 0x211, 1), 0x01);
	assert_int_equal(get(params, 0x214, 4), PREFERRED);
	assert_int_equal(get(params, 0x218, 4), plan.initrd_address);
	assert_int_equal(get(params, 0x21c, 4), 0x12345);
	assert_int_equal(get(params, 0x228, 4), 0x90000);
	assert_int_equal(get(params, 0x070, 8), 0x123450);
	assert_int_equal(get(params, 0x250, 8), 0);
	/* From the image, up to the header's end and no further. */
	assert_int_equal(get(params, 0x1f1, 1), SETUP_SECTS);
	assert_int_equal(get(params, 0x1fe, 2), 0xaa55);
	assert_int_equal(get(params, 0x206, 2), 0x020f);
	assert_int_equal(get(params, 0x260, 4), INIT_SIZE);
	assert_int_equal(get(params, 0x26d, 1), 0xcc);
	assert_int_equal(get(params, 0x26e, 1), 0);
	assert_int_equal(get(params, 0x290, 8), 0);
	/* The screen: mode, columns, EGA, lines, VGA, points. */
	assert_int_equal(get(params, 0x06, 1), 3);
	assert_int_equal(get(params, 0x07, 1), 80);
	assert_int_not_equal(get(params, 0x0a, 1), 0x10);
	assert_int_equal(get(params, 0x0e, 1), 25);
	assert_int_equal(get(params, 0x0f, 1), 1);
	assert_int_equal(get(params, 0x10, 2), 16);
	/* E820. */
	assert_int_equal(get(params, 0x1e8, 1), 4);
	assert_int_equal(get(params, 0x2d0 + 20, 8), 0x9f000);
	assert_int_equal(get(params, 0x2d0 + 28, 8), 0x61000);
	assert_int_equal(get(params, 0x2d0 + 36, 4), MEM_RESERVED);
	assert_int_equal(get(params, 0x2d0 + 60, 8), 4 * GIB);
	assert_int_equal(get(params, 0x2d0 + 80, 8), 0);
}

static void test_boot_params_limits(void **unused)
{
	(void)unused;
	assert_null(make_plan(0));
	put8(0x201, 0xff);
	memset(&map, 0, sizeof(map));
	for (u64 i = 0; i < MEM_MAP_MAX; i++)
		mem_map_add(&map, i * 0x2000, 0x1000, MEM_RAM);
	assert_null(bzimage_boot_params(image, IMAGE_SIZE, &plan, &map, 0xffffffff, 0, params));
	assert_int_equal(get(params, 0x1e8, 1), 128);
	assert_int_equal(get(params, 0x2d0 + 127 * 20, 8), 127 * 0x2000);
	assert_int_equal(get(params, 0x290, 8), 0);
	expect_error(bzimage_boot_params(image, IMAGE_SIZE, &plan, &map, 4 * GIB, 0, params),
		     "above 4 GiB");
	put16(0x1fe, 0);
	expect_error(bzimage_boot_params(image, IMAGE_SIZE, &plan, &map, 0, 0, params),
		     "signature");
}

static void test_cmdline(void **unused)
{
	static const char *const lines[][2] = {
	    {"", ""},
	    {"/boot/vmlinuz", ""},
	    {"/boot/vmlinuz  root=/dev/sda1 quiet", "root=/dev/sda1 quiet"},
	    {"root=/dev/sda1 quiet", "root=/dev/sda1 quiet"},
	    {"root=/dev/sda1", "root=/dev/sda1"},
	    {"quiet /x", "quiet /x"},
	    {"vmlinuz quiet", "vmlinuz quiet"},
	    {" /boot/vmlinuz", " /boot/vmlinuz"},
	};

	(void)unused;
	for (u32 i = 0; i < ARRAY_SIZE(lines); i++)
		assert_string_equal(bzimage_cmdline(lines[i][0]), lines[i][1]);
}

static void expect_sound_plan(u64 initrd_size)
{
	assert_true(range_within(plan.payload_offset, plan.payload_size, 0, IMAGE_SIZE));
	assert_true(plan.payload_size <= plan.run_size);
	assert_true(plan.load_address >= MIB && plan.load_address + plan.run_size <= 4 * GIB);
	assert_true(mem_map_all(&map, plan.load_address, plan.run_size, MEM_RAM));
	if (initrd_size == 0)
		return;
	assert_true(plan.initrd_address >= MIB);
	assert_true(plan.initrd_address + initrd_size <= 4 * GIB);
	assert_true(mem_map_all(&map, plan.initrd_address, initrd_size, MEM_RAM));
	assert_false(
	    range_overlaps(plan.initrd_address, initrd_size, plan.load_address, plan.run_size));
}

static void test_random_damage(void **unused)
{
	u64 state = 17;
	u32 accepted = 0;

	(void)unused;
	for (u32 round = 0; round < 5000; round++) {
		u64 initrd_size = next_random(&state) % 0x6000000;

		build_image();
		damage(image + 0x1f1, 0x264 - 0x1f1, &state);
		damage(image + 0x22c, 0x264 - 0x22c, &state);
		if (make_plan(initrd_size))
			continue;
		accepted++;
		expect_sound_plan(initrd_size);
		assert_null(bzimage_boot_params(image, IMAGE_SIZE, &plan, &map, 0, 0, params));
	}
	assert_true(accepted > 200);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_preferred_place), TEST(test_what_is_no_kernel),
	    TEST(test_payload),		TEST(test_relocation),
	    TEST(test_no_place),	TEST(test_alignment),
	    TEST(test_initrd_place),	TEST(test_no_place_for_initrd),
	    TEST(test_boot_params),	TEST(test_boot_params_limits),
	    TEST(test_cmdline),		TEST(test_random_damage),
	};

	return cmocka_run_group_tests_name("bzimage", tests, NULL, NULL);
}
