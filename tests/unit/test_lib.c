/* SPDX-License-Identifier: BSD-2-Clause */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_memory.h"
#include "lib/printf.h"

/* The hypervisor's own <string.h>, under names that leave libc's alone. */
#define LIB_STRING_H
#define memcpy	our_memcpy
#define memmove our_memmove
#define memset	our_memset
#define memcmp	our_memcmp
#define strlen	our_strlen
#define strnlen our_strnlen
#define strcmp	our_strcmp
#define strncmp our_strncmp
#undef strchr
#define strchr our_strchr
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
size_t str_copy(char *to, const char *from, size_t size);
#include "../../hv/lib/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr

static int sign(int n)
{
	return (n > 0) - (n < 0);
}

static void fill(u8 *bytes, size_t n, u64 *state)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = next_random(state);
}

static void test_copies_equal_libc(void **unused)
{
	u8 ours[64], libc[64];
	u64 state = 1;

	(void)unused;
	for (u32 round = 0; round < 20000; round++) {
		u64 to = next_random(&state) % 40, from = next_random(&state) % 40;
		u64 n = next_random(&state) % 25;

		fill(ours, sizeof(ours), &state);
		memcpy(libc, ours, sizeof(libc));
		assert_ptr_equal(our_memmove(ours + to, ours + from, n), ours + to);
		memmove(libc + to, libc + from, n);
		assert_memory_equal(ours, libc, sizeof(libc));

		assert_ptr_equal(our_memset(ours + to, 0x1a5, n), ours + to);
		memset(libc + to, 0xa5, n);
		assert_memory_equal(ours, libc, sizeof(libc));

		fill(libc, sizeof(libc), &state);
		assert_ptr_equal(our_memcpy(ours + to, libc + from, n), ours + to);
		assert_memory_equal(ours + to, libc + from, n);
	}
}

static void test_comparing(void **unused)
{
	static const char *const words[] = {"",	   "a",	   "ab",       "abc",
					    "abd", "\x80", "\xff\x01", "b"};

	(void)unused;
	for (u32 i = 0; i < ARRAY_SIZE(words); i++) {
		for (u32 k = 0; k < ARRAY_SIZE(words); k++) {
			const char *a = words[i], *b = words[k];
			size_t n = min_u64(strlen(a), strlen(b)) + 1;

			assert_int_equal(sign(our_strcmp(a, b)), sign(strcmp(a, b)));
			assert_int_equal(sign(our_memcmp(a, b, n)), sign(memcmp(a, b, n)));
			for (n = 0; n < 5; n++)
				assert_int_equal(sign(our_strncmp(a, b, n)),
						 sign(strncmp(a, b, n)));
		}
	}
}

static void test_searching(void **unused)
{
	const char *text = "x\xfey";
	char unterminated[3] = {'a', 'b', 'c'};

	(void)unused;
	assert_int_equal(our_strlen(""), 0);
	assert_int_equal(our_strlen(text), 3);
	assert_int_equal(our_strnlen(unterminated, sizeof(unterminated)), 3);
	assert_int_equal(our_strnlen(text, 2), 2);
	assert_int_equal(our_strnlen(text, 0), 0);
	assert_ptr_equal(our_strchr(text, 'y'), text + 2);
	assert_ptr_equal(our_strchr(text, 0xfe), text + 1);
	assert_ptr_equal(our_strchr(text, 0), text + 3);
	assert_null(our_strchr(text, 'z'));
}

static void test_str_copy_cuts_and_terminates(void **unused)
{
	char to[4] = {'?', '?', '?', '?'};

	(void)unused;
	assert_int_equal(str_copy(to, "", 1), 0);
	assert_memory_equal(to, "\0???", 4);
	assert_int_equal(str_copy(to, "abc", 4), 3);
	assert_string_equal(to, "abc");
	assert_int_equal(str_copy(to, "vwxyz", 3), 5);
	assert_string_equal(to, "vw");
}

/* Formats that are not literals, because the test makes them. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wmissing-format-attribute"

static void same(const char *format, ...)
{
	char ours[128], libc[128];
	va_list args;
	int wanted;

	for (size_t size = 0; size <= sizeof(ours); size += size < 8 ? 1 : 40) {
		memset(ours, '?', sizeof(ours));
		memset(libc, '?', sizeof(libc));
		va_start(args, format);
		wanted = vsnprintf(libc, size, format, args);
		va_end(args);
		va_start(args, format);
		assert_int_equal(hv_vsnprintf(ours, size, format, args), wanted);
		va_end(args);
		assert_memory_equal(ours, libc, sizeof(ours));
	}
}

static const char *const flags[] = {"",	  "-",	"0",  "#",  "+",   "-0",
				    "0#", "-#", "0+", "-+", "#+0-"};
static const char *const widths[] = {"", "1", "7", "21", ".0", ".1", ".", ".9", "12.5", "5.12"};

/* In every flag and width, where C defines them for the conversion. */
static void for_all_specs(const char *tail, bool is_signed, bool is_hex,
			  void (*check)(const char *format))
{
	char format[32];

	for (u32 i = 0; i < ARRAY_SIZE(flags); i++) {
		if ((strchr(flags[i], '+') && !is_signed) || (strchr(flags[i], '#') && !is_hex))
			continue;
		for (u32 k = 0; k < ARRAY_SIZE(widths); k++) {
			snprintf(format, sizeof(format), "<%%%s%s%s>", flags[i], widths[k],
				 tail);
			check(format);
		}
	}
}

static void check_int(const char *format)
{
	static const int values[] = {0,	  1,	 -1,	 42,	  127,	  128,
				     255, 65535, -40000, INT_MAX, INT_MIN};

	for (u32 i = 0; i < ARRAY_SIZE(values); i++)
		same(format, values[i]);
}

static void check_long(const char *format)
{
	static const long values[] = {0, 1, -1, 1l << 40, LONG_MAX, LONG_MIN};

	for (u32 i = 0; i < ARRAY_SIZE(values); i++)
		same(format, values[i]);
}

static void test_numbers_equal_libc(void **unused)
{
	(void)unused;
	for_all_specs("d", true, false, check_int);
	for_all_specs("i", true, false, check_int);
	for_all_specs("u", false, false, check_int);
	for_all_specs("x", false, true, check_int);
	for_all_specs("X", false, true, check_int);
	for_all_specs("hhd", true, false, check_int);
	for_all_specs("hd", true, false, check_int);
	for_all_specs("hhx", false, true, check_int);
	for_all_specs("hu", false, false, check_int);
	for_all_specs("ld", true, false, check_long);
	for_all_specs("lld", true, false, check_long);
	for_all_specs("lx", false, true, check_long);
	for_all_specs("llX", false, true, check_long);
	for_all_specs("zu", false, false, check_long);
}

static void test_text_equals_libc(void **unused)
{
	char unterminated[3] = {'a', 'b', 'c'};

	(void)unused;
	same("");
	same("plain, 100%%");
	same("%s|%5s|%-5s|%.2s|%5.1s|%.s", "abc", "abc", "abc", "abc", "abc", "abc");
	same("%.3s", unterminated);
	same("%.*s|%*s|%-*s|", 2, "abc", 5, "x", 5, "y");
	same("%*d|%.*d|%.*d", -6, 42, 4, 42, -4, 42);
	same("%c%3c%-3c|%c", 'a', 'b', 'c', '\0');
	same("%p", (void *)0x12abcull);
	same("%20p|%-20p|", (void *)-1, (void *)1);
}

static void expect(const char *wanted, const char *format, ...)
{
	char ours[64];
	va_list args;

	va_start(args, format);
	assert_int_equal(hv_vsnprintf(ours, sizeof(ours), format, args), strlen(wanted));
	va_end(args);
	assert_string_equal(ours, wanted);
}

static void test_what_c_leaves_open(void **unused)
{
	(void)unused;
	expect("(null)", "%s", NULL);
	expect("0x0", "%p", NULL);
	expect("%f 7", "%f %d", 7);
	expect("%-05.3lq|", "%-05.3lq|");
	expect("%", "%");
	expect("50%l", "50%l");
}

static void expect_length(int wanted, const char *format, ...)
{
	char c = '?';
	va_list args;

	va_start(args, format);
	assert_int_equal(hv_vsnprintf(&c, 1, format, args), wanted);
	va_end(args);
	assert_int_equal(c, 0);
}

static void test_widths_are_bounded(void **unused)
{
	(void)unused;
	expect_length(9999, "%99999999999999999999d", 1);
	expect_length(2 * 9999, "%*d%.*d", INT_MIN, 1, INT_MAX, 1);
	assert_int_equal(hv_snprintf(NULL, 0, "abc"), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_copies_equal_libc),
	    cmocka_unit_test(test_comparing),
	    cmocka_unit_test(test_searching),
	    cmocka_unit_test(test_str_copy_cuts_and_terminates),
	    cmocka_unit_test(test_numbers_equal_libc),
	    cmocka_unit_test(test_text_equals_libc),
	    cmocka_unit_test(test_what_c_leaves_open),
	    cmocka_unit_test(test_widths_are_bounded),
	};

	return cmocka_run_group_tests_name("lib", tests, NULL, NULL);
}
