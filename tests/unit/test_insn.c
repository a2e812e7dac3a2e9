/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exit/insn.h"

#define BYTES(s) s, sizeof(s) - 1

static const struct {
	const char *bytes;
	unsigned count;
	const char *opcode;
	unsigned opcode_size;
	unsigned length_64, length_32;
} rows[] = {
    {BYTES("\x0f\xa2"), BYTES("\x0f\xa2"), 2, 2}, /* CPUID */
    {BYTES("\x0f\xa2\x90\x90"), BYTES("\x0f\xa2"), 2, 2},
    {BYTES("\x0f\x01\xd9"), BYTES("\x0f\x01\xd9"), 3, 3}, /* VMMCALL */
    {BYTES("\xf4"), BYTES("\xf4"), 1, 1},
    {BYTES("\x66\x0f\xa2"), BYTES("\x0f\xa2"), 3, 3},
    {BYTES("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3\x0f\xa2"), BYTES("\x0f\xa2"), 13, 13},
    {BYTES("\x48\x0f\x30"), BYTES("\x0f\x30"), 3, 0},
    {BYTES("\x40\x0f\x30"), BYTES("\x0f\x30"), 3, 0},
    {BYTES("\x4f\x0f\x30"), BYTES("\x0f\x30"), 3, 0},
    {BYTES("\x50\x0f\x30"), BYTES("\x0f\x30"), 0, 0},
    {BYTES("\x66\x48\x0f\x30"), BYTES("\x0f\x30"), 4, 0},
    {BYTES("\x48\x66\x0f\x30"), BYTES("\x0f\x30"), 0, 0},
    {BYTES("\x48\x48\x0f\x30"), BYTES("\x0f\x30"), 0, 0},
    {BYTES("\x0f\x32"), BYTES("\x0f\x30"), 0, 0},
    {BYTES("\x90\x0f\x30"), BYTES("\x0f\x30"), 0, 0},
    {BYTES("\x0f"), BYTES("\x0f\xa2"), 0, 0},
    {BYTES("\x66\x66\x66"), BYTES("\x0f\xa2"), 0, 0},
    {BYTES("\x48"), BYTES("\x0f\xa2"), 0, 0},
    {BYTES(""), BYTES("\x0f\xa2"), 0, 0},
    {BYTES("\x66\x0f\xa2"), BYTES(""), 0, 0},
    /* 15 bytes, 16 bytes, and 17. */
    {BYTES("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x0f\xa2"), BYTES("\x0f\xa2"),
     15, 15},
    {BYTES("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x0f\xa2"),
     BYTES("\x0f\xa2"), 0, 0},
    {BYTES("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x0f\xa2"),
     BYTES("\x0f\xa2"), 0, 0},
};

/* From a buffer of exactly so many bytes: the sanitizer sees a read beyond them. */
static unsigned length(size_t row, unsigned count, bool long_mode)
{
	u8 *copy = malloc(count ? count : 1);
	unsigned result;

	memcpy(copy, rows[row].bytes, count);
	result = insn_length(copy, count, long_mode, (const u8 *)rows[row].opcode,
			     rows[row].opcode_size);
	free(copy);
	return result;
}

static void test_lengths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (length(i, rows[i].count, true) != rows[i].length_64)
			fail_msg("row %zu, 64-bit: %u", i, length(i, rows[i].count, true));
		if (length(i, rows[i].count, false) != rows[i].length_32)
			fail_msg("row %zu, 32-bit: %u", i, length(i, rows[i].count, false));
	}
}

static void test_cut_off(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (unsigned count = 0; count < rows[i].length_64; count++)
			assert_int_equal(length(i, count, true), 0);
}

static void test_prefixes(void **state)
{
	static const struct {
		u8 bytes[4];
		u8 segment;
		bool address_size;
	} cases[] = {
	    {{0x6e}, INSN_NO_SEGMENT, false},	  {{0xf3, 0x6e}, INSN_NO_SEGMENT, false},
	    {{0x26, 0x6e}, 0, false},		  {{0x2e, 0x6e}, 1, false},
	    {{0x36, 0x6e}, 2, false},		  {{0x3e, 0x6e}, 3, false},
	    {{0x64, 0x6e}, 4, false},		  {{0x65, 0x67, 0x6e}, 5, true},
	    {{0x26, 0x64, 0x6e}, 4, false},	  {{0x6e, 0x67, 0x64}, INSN_NO_SEGMENT, false},
	    {{0x67, 0xf3, 0x6e}, INSN_NO_SEGMENT, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct insn_prefixes prefixes;

		insn_prefixes(cases[i].bytes, 4, &prefixes);
		assert_int_equal(prefixes.segment, cases[i].segment);
		assert_int_equal(prefixes.address_size, cases[i].address_size);
		insn_prefixes(cases[i].bytes, 0, &prefixes);
		assert_int_equal(prefixes.segment, INSN_NO_SEGMENT);
	}
}

static void test_cr(void **state)
{
	static const struct {
		u8 bytes[6];
		u8 length_64, length_32, cr, gpr;
	} cases[] = {
	    {{0x44, 0x0f, 0x22, 0xc0}, 4, 0, 8, 0},	  {{0x45, 0x0f, 0x22, 0xc3}, 4, 0, 8, 11},
	    {{0x66, 0x44, 0x0f, 0x22, 0xc6}, 5, 0, 8, 6}, {{0xf0, 0x0f, 0x22, 0xc1}, 4, 4, 8, 1},
	    {{0x0f, 0x22, 0xc0}, 3, 3, 0, 0},		  {{0x44, 0x0f, 0x22, 0xc8}, 4, 0, 9, 0},
	    {{0x0f, 0x22, 0xe0}, 3, 3, 4, 0},		  {{0x41, 0x0f, 0x22, 0xe7}, 4, 0, 4, 15},
	    {{0x44, 0x0f, 0x20, 0xc0}, 0, 0, 0, 0},	  {{0xf0, 0x44, 0x0f, 0x22, 0xc0}, 0, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u8 cr = 0, gpr = 0;

		assert_int_equal(insn_mov_to_cr(cases[i].bytes, 6, true, &cr, &gpr),
				 cases[i].length_64);
		assert_int_equal(gpr, cases[i].gpr);
		assert_int_equal(cr, cases[i].cr);
		assert_int_equal(insn_mov_to_cr(cases[i].bytes, 6, false, &cr, &gpr),
				 cases[i].length_32);
		for (unsigned count = 0; count < cases[i].length_64; count++)
			assert_int_equal(insn_mov_to_cr(cases[i].bytes, count, true, &cr, &gpr), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_cut_off),
	    cmocka_unit_test(test_prefixes),
	    cmocka_unit_test(test_cr),
	};

	return cmocka_run_group_tests_name("insn", tests, NULL, NULL);
}
