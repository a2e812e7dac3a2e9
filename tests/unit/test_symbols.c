/* SPDX-License-Identifier: BSD-2-Clause */
/* The look-up, on a table in the form that tools/symbols makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cpu/symbols.h"

__asm__(
    "	.section .rodata\n"
    "	.globl text_start, text_end, symbol_count, symbol_offsets, symbol_names, symbol_text\n"
    "text_start:\n"
    "	.skip 0x100\n"
    "text_end:\n"
    "	.balign 4\n"
    "symbol_count:\n"
    "	.long 3\n"
    "symbol_offsets:\n"
    "	.long 0x10, 0x40, 0x41\n"
    "symbol_names:\n"
    "	.long 0, 6, 12\n"
    "symbol_text:\n"
    "	.asciz \"first\", \"short\", \"last.cold\"\n"
    "	.previous\n");

#include "cpu/symbols.c"

static void assert_symbol(u64 offset, const char *name, u64 expected)
{
	u64 within = ~0ull;
	const char *found = symbol_find((u64)text_start + offset, &within);

	assert_non_null(found);
	assert_string_equal(found, name);
	assert_int_equal(within, expected);
}

static void test_find(void **state)
{
	(void)state;
	assert_symbol(0x10, "first", 0);
	assert_symbol(0x3f, "first", 0x2f);
	assert_symbol(0x40, "short", 0);
	assert_symbol(0x41, "last.cold", 0);
	assert_symbol(0xff, "last.cold", 0xbe);
}

static void test_no_symbol(void **state)
{
	u64 within;

	(void)state;
	assert_null(symbol_find((u64)text_start, &within));
	assert_null(symbol_find((u64)text_start + 0xf, &within));
	assert_null(symbol_find((u64)text_start - 1, &within));
	assert_null(symbol_find((u64)text_end, &within));
	assert_null(symbol_find(0, &within));
	assert_null(symbol_find(UINT64_MAX, &within));
}

static void test_is_code(void **state)
{
	(void)state;
	assert_true(symbol_is_code((u64)text_start));
	assert_true(symbol_is_code((u64)text_end - 1));
	assert_false(symbol_is_code((u64)text_start - 1));
	assert_false(symbol_is_code((u64)text_end));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_no_symbol),
	    cmocka_unit_test(test_is_code),
	};

	return cmocka_run_group_tests_name("symbols", tests, NULL, NULL);
}
