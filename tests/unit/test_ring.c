/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/ring.h"

#define SIZE 16u

static struct ring ring;

/* The bytes on the heap, so that the sanitizer sees a step over either end. */
static int start(void **state)
{
	(void)state;
	ring = (struct ring){.bytes = malloc(SIZE), .size = SIZE};
	return ring.bytes ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	free(ring.bytes);
	return 0;
}

static void assert_read(u64 position, size_t size, const char *expected, u64 expected_lost)
{
	size_t length = strlen(expected);
	char *got = malloc(size ? size : 1);
	u64 lost;

	assert_non_null(got);
	assert_int_equal(ring_read(&ring, position, got, size, &lost), length);
	assert_memory_equal(got, expected, length);
	assert_int_equal(lost, expected_lost);
	free(got);
}

static void write_text(const char *text)
{
	ring_write(&ring, text, strlen(text));
}

static void test_empty(void **state)
{
	(void)state;
	assert_read(0, 8, "", 0);
	assert_read(5, 8, "", 0);
	assert_read(UINT64_MAX, 8, "", 0);
	write_text("");
	assert_read(0, 8, "", 0);
}

static void test_pieces(void **state)
{
	(void)state;
	write_text("hello ");
	write_text("world");
	assert_read(0, 100, "hello world", 0);
	assert_read(0, 5, "hello", 0);
	assert_read(6, 5, "world", 0);
	assert_read(10, 1, "d", 0);
	assert_read(11, 1, "", 0);
	assert_read(0, 0, "", 0);
}

static void test_wrap(void **state)
{
	(void)state;
	write_text("0123456789");
	write_text("abcdef");
	assert_read(0, 100, "0123456789abcdef", 0);
	write_text("XYZ");
	assert_read(0, 100, "3456789abcdefXYZ", 3);
	assert_read(2, 2, "34", 1);
	assert_read(3, 2, "34", 0);
	assert_read(14, 4, "efXY", 0);
	assert_read(19, 4, "", 0);
}

static void test_longer_than_ring(void **state)
{
	(void)state;
	write_text("abc");
	write_text("0123456789abcdefghijklmnopqrstuvwxyz");
	assert_read(0, 100, "klmnopqrstuvwxyz", 23);
	assert_read(38, 100, "z", 0);
}

/* Against the plain history: random writes, then random reads. */
static void test_random(void **state)
{
	static char history[20000];
	u64 written = 0, lost;

	(void)state;
	srand(1);
	for (size_t i = 0; i < sizeof(history); i++)
		history[i] = (char)rand();
	while (written < sizeof(history) - 2 * SIZE) {
		size_t size = (size_t)rand() % (2 * SIZE);
		u64 position = (u64)rand() % (written + size + 4);
		u64 oldest, begin, expected;
		char got[2 * SIZE];

		ring_write(&ring, history + written, size);
		written += size;
		oldest = written > SIZE ? written - SIZE : 0;
		begin = max_u64(position, oldest);
		size = (size_t)rand() % sizeof(got);
		expected = begin < written ? min_u64(size, written - begin) : 0;
		assert_int_equal(ring_read(&ring, position, got, size, &lost), expected);
		assert_int_equal(lost, begin - position);
		assert_memory_equal(got, history + begin, expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_empty, start, end),
	    cmocka_unit_test_setup_teardown(test_pieces, start, end),
	    cmocka_unit_test_setup_teardown(test_wrap, start, end),
	    cmocka_unit_test_setup_teardown(test_longer_than_ring, start, end),
	    cmocka_unit_test_setup_teardown(test_random, start, end),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
