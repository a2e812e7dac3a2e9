/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said to be pinned, and how much at once. Pins are only counted. */
#define _GNU_SOURCE
#include <sys/mman.h>

/* In the place of mincore. */
static int is_there(void *address, size_t size, unsigned char *pages);
#define mincore is_there
#include "kvm/pins.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MIB  ((uintptr_t)1 << 20)
#define GIB  ((uintptr_t)1 << 30)
#define ASKS 2000000u

static unsigned pinned;
static bool refuse;
static bool in_areas; /* all that is pinned must be */

int luv_pin(void *address, size_t size, const char **why)
{
	(void)why;
	if (in_areas)
		assert_true(pins_touch((uintptr_t)address, size));
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
	return refuse ? LUV_ERR_NOMEM : 0;
}

static enum { NONE, EVERY, EVERY_SECOND } present; /* huge page */

static int is_there(void *address, size_t size, unsigned char *pages)
{
	for (size_t i = 0; i < size / PAGE_SIZE; i++) {
		uintptr_t page = (uintptr_t)address / (2 * MIB) + i / 512;

		pages[i] = present == EVERY || (present == EVERY_SECOND && page % 2);
	}
	return 0;
}

static int forget(void **state)
{
	(void)state;
	pins_forget();
	pinned = 0;
	in_areas = false;
	present = NONE;
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

static bool touches(uintptr_t address)
{
	return pins_touch(address, PAGE_SIZE);
}

/* Others must see the area before anything in it is pinned, and no more if that fails. */
static void area_before_pins(void **state)
{
	const char *why;

	(void)state;
	in_areas = true;
	present = EVERY;
	assert_int_equal(pins_add_area(4 * GIB, 4 * GIB, &why), 0);
	assert_true(touches(8 * GIB - PAGE_SIZE));
	assert_false(touches(8 * GIB));
	refuse = true;
	assert_int_equal(pins_add_area(6 * GIB, 4 * GIB, &why), LUV_ERR_NOMEM);
	refuse = false;
	assert_true(touches(8 * GIB - PAGE_SIZE));
	assert_false(touches(8 * GIB));
}

static void change_under_way(void **state)
{
	const char *why;

	(void)state;
	assert_false(touches(GIB));
	pins_change_begin();
	assert_true(touches(GIB));
	assert_int_equal(pins_add_area(4 * GIB, 4 * GIB, &why), 0);
	pins_change_end();
	assert_false(touches(GIB));
	assert_true(touches(4 * GIB));
}

static void area_in_parts(void **state)
{
	const char *why;

	(void)state;
	assert_int_equal(pins_add_area(4 * GIB, 4 * GIB, &why), 0);
	pins_trim(5 * GIB, 6 * GIB);
	assert_true(touches(5 * GIB - PAGE_SIZE) && !touches(5 * GIB));
	assert_true(!touches(6 * GIB - PAGE_SIZE) && touches(6 * GIB));
	pins_trim(3 * GIB, 5 * GIB);
	assert_true(!touches(4 * GIB) && touches(6 * GIB));
	pins_trim(7 * GIB, 9 * GIB);
	assert_true(touches(7 * GIB - PAGE_SIZE) && !touches(7 * GIB));
	pins_trim(6 * GIB, 7 * GIB);
	assert_false(pins_touch(0, UINTPTR_MAX));
	assert_int_equal(areas.used, 0);
}

static void much_is_present(void **state)
{
	const char *why;

	(void)state;
	present = EVERY;
	assert_int_equal(pins_add_area(64 * GIB, 512 * GIB, &why), 0);
	assert_true(pins_hold(64 * GIB, 512 * GIB));
	assert_in_range(pinned, 512, 520);
}

/* Some is pinned at once, and there is room for the rest, when guests ask for it. */
static void scattered_is_present(void **state)
{
	const uintptr_t from = 64 * GIB, to = 128 * GIB;
	uintptr_t begin, end;
	const char *why;

	(void)state;
	present = EVERY_SECOND;
	assert_int_equal(pins_add_area(from, to - from, &why), 0);
	assert_in_range(pinned, PIECES_DOUBLE, PIECES_DOUBLE + 16);
	for (uintptr_t at = from; at < to; at += 2 * MIB) {
		if (pins_hold(at, PAGE_SIZE))
			continue;
		begin = from;
		end = to;
		pins_piece(at, &begin, &end);
		assert_int_equal(pins_keep(begin, end, &why), 0);
	}
	assert_true(pinned < PIECES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(nothing_else_is_pinned, forget),
	    cmocka_unit_test_setup(pieces_shrink, forget),
	    cmocka_unit_test_setup(area_before_pins, forget),
	    cmocka_unit_test_setup(change_under_way, forget),
	    cmocka_unit_test_setup(area_in_parts, forget),
	    cmocka_unit_test_setup(much_is_present, forget),
	    cmocka_unit_test_setup(scattered_is_present, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
