/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said to be pinned, and how much at once. Pins are only counted. */
#include "kvm/pins.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MIB  ((uintptr_t)1 << 20)
#define GIB  ((uintptr_t)1 << 30)
#define ASKS 2000000u

static unsigned pinned;

int luv_pin(void *address, size_t size, const char **why)
{
	(void)address, (void)size, (void)why;
	pinned++;
	return 0;
}

int luv_unpin(void *address, size_t size)
{
	(void)address, (void)size;
	pinned--;
	return 0;
}

int luv_pin_allowed(size_t size, const char **why)
{
	(void)size, (void)why;
	return 0;
}

static int forget(void **state)
{
	(void)state;
	pins_forget();
	pinned = 0;
	return 0;
}

static bool over;

/* One entry is always the first, and always another one than before. */
static void *pin_and_unpin(void *argument)
{
	const char *why;

	(void)argument;
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		assert_int_equal(pins_keep(8 * GIB, 8 * GIB + 2 * MIB, &why), 0);
		pins_drop(8 * GIB, 8 * GIB + 2 * MIB);
	}
	return NULL;
}

static void nothing_else_is_pinned(void **state)
{
	uintptr_t begin, end;
	unsigned wrong = 0;
	const char *why;
	pthread_t thread;

	(void)state;
	assert_int_equal(pins_keep(100 * GIB, 101 * GIB, &why), 0);
	assert_int_equal(pins_keep(102 * GIB, 103 * GIB, &why), 0);
	pins_drop(100 * GIB, 101 * GIB);
	assert_int_equal(pthread_create(&thread, NULL, pin_and_unpin, NULL), 0);
	for (unsigned i = 0; i < ASKS; i++)
		wrong += pins_around(4 * GIB, &begin, &end) || pins_hold(4 * GIB, MIB);
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(wrong, 0);
}

static uintptr_t piece_size(void)
{
	uintptr_t begin = 0, end = 100 * GIB;

	pins_piece(50 * GIB, &begin, &end);
	return end - begin;
}

/* A process that had much memory pinned begins with small pieces again. */
static void pieces_shrink(void **state)
{
	const char *why;

	(void)state;
	assert_int_equal(piece_size(), 2 * MIB);
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(pins_keep(i * 4 * MIB, i * 4 * MIB + MIB, &why), 0);
	assert_true(piece_size() > 2 * MIB);
	pins_drop(4 * MIB, UINTPTR_MAX);
	assert_int_equal(pinned, 1);
	assert_int_equal(piece_size(), 2 * MIB);
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(pins_keep(i * 4 * MIB, i * 4 * MIB + MIB, &why), 0);
	pins_forget();
	assert_int_equal(piece_size(), 2 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(nothing_else_is_pinned, forget),
	    cmocka_unit_test_setup(pieces_shrink, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
