/* SPDX-License-Identifier: BSD-2-Clause */
/* The look-up, on a table in the form that tools/symbols makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cpu/symbols.h"

__asm__("	.section .rodata\n"
	"	.globl text_start, text_end, symbol_table, symbol_table_end\n"
	"text_start:\n"
	"	.skip 0x1000\n"
	"text_end:\n"
	"symbol_table:\n"
	"	.short 0x10; .byte 0; .asciz \"first\"\n"
	"	.short 0x30; .byte 0; .asciz \"short\"\n"
	"	.short 1; .byte 5; .asciz \".cold\"\n"
	"	.short 0x1ff; .byte 2; .asciz \"ow\"\n"
	"symbol_table_end:\n"
	"	.previous\n");

#include "cpu/symbols.c"

static void assert_symbol(u64 offset, const char *name, u64 expected)
{
	u64 within = ~0ull;
	char found[SYMBOL_NAME_SIZE];

	assert_true(symbol_find((u64)text_start + offset, found, &within));
	assert_string_equal(found, name);
	assert_int_equal(within, expected);
}

static void test_find(void **state)
{
	(void)state;
	assert_symbol(0x10, "first", 0);
	assert_symbol(0x3f, "first", 0x2f);
	assert_symbol(0x40, "short", 0);
	assert_symbol(0x41, "short.cold", 0);
	assert_symbol(0x23f, "short.cold", 0x1fe);
	assert_symbol(0x240, "show", 0);
	assert_symbol(0xfff, "show", 0xdbf);
}

static void test_no_symbol(void **state)
{
	char name[SYMBOL_NAME_SIZE];
	u64 within;

	(void)state;
	assert_false(symbol_find((u64)text_start, name, &within));
	assert_false(symbol_find((u64)text_start + 0xf, name, &within));
	assert_false(symbol_find((u64)text_start - 1, name, &within));
	assert_false(symbol_find((u64)text_end, name, &within));
	assert_false(symbol_find(0, name, &within));
	assert_false(symbol_find(UINT64_MAX, name, &within));
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
