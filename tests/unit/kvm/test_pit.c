/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kvm/device/pit.h"

#define START 1000000000ull /* of time */

static struct pit pit;
static uint64_t now;

/* The first time at which so many clocks have passed since START. */
static uint64_t after(uint64_t clocks)
{
	return START + (clocks * 1000000000ull + PIT_HZ - 1) / PIT_HZ;
}

static void wait_until(uint64_t clocks)
{
	now = after(clocks);
}

static uint8_t get(uint16_t port)
{
	return pit_read(&pit, port, now);
}

static void put(uint16_t port, uint8_t value)
{
	pit_write(&pit, port, value, now);
}

static unsigned get16(unsigned channel)
{
	unsigned low = get((uint16_t)(0x40 + channel));

	return low | (unsigned)get((uint16_t)(0x40 + channel)) << 8;
}

/* Both bytes, at START. */
static void program(unsigned channel, unsigned mode, unsigned count)
{
	now = START;
	put(0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	put((uint16_t)(0x40 + channel), (uint8_t)count);
	put((uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static bool out(void)
{
	return pit_speaker_read(&pit, now) & 0x20;
}

static void gate(bool high)
{
	pit_speaker_write(&pit, high, now);
}

static int setup(void **state)
{
	(void)state;
	memset(&pit, 0xa5, sizeof(pit));
	now = START;
	pit_reset(&pit, now);
	gate(true);
	return 0;
}

static void test_reset(void **state)
{
	struct kvm_pit_state2 saved;

	(void)state;
	pit_reset(&pit, now);
	assert_int_equal(pit_deadline(&pit), 0);
	now = UINT64_MAX;
	assert_int_equal(pit_expire(&pit, now), 0);
	pit_get_state(&pit, &saved, START);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(saved.channels[i].count, 65536);
		assert_int_equal(saved.channels[i].mode, 0xff);
		assert_int_equal(saved.channels[i].gate, i != 2);
	}
	assert_int_equal(saved.flags, 0);
}

/* --- how counts are written and read --- */

static void test_access(void **state)
{
	(void)state;
	now = START;
	put(0x43, 2 << 6 | 0x10); /* low byte, mode 0 */
	put(0x42, 0x80);
	assert_int_equal(get(0x42), 0x80);
	wait_until(0x10);
	assert_int_equal(get(0x42), 0x70);
	assert_int_equal(get(0x42), 0x70);
	now = START;
	put(0x43, 2 << 6 | 0x20); /* high byte */
	put(0x42, 0x80);
	wait_until(0x100);
	assert_int_equal(get(0x42), 0x7f);
	program(2, 0, 0x1234);
	assert_int_equal(get16(2), 0x1234);
	wait_until(0x34);
	assert_int_equal(get(0x42), 0x00);
	wait_until(0x35); /* the second byte is of another moment */
	assert_int_equal(get(0x42), 0x11);
	assert_int_equal(get(0x43), 0);
}

static void test_latch(void **state)
{
	(void)state;
	program(2, 0, 0x1234);
	wait_until(0x4);
	put(0x43, 2 << 6);
	wait_until(0x1000);
	put(0x43, 2 << 6); /* the first one stays */
	assert_int_equal(get16(2), 0x1230);
	assert_int_equal(get16(2), 0x0234);
	/* A latched count survives a new control word. */
	put(0x43, 2 << 6);
	put(0x43, 2 << 6 | 0x30);
	assert_int_equal(get16(2), 0x0234);
}

static void test_read_back(void **state)
{
	(void)state;
	program(0, 2, 0x1000);
	program(2, 3, 0x100);
	put(0x43, 0xc0 | 0x08 | 0x02); /* count and status of 0 and 2 */
	wait_until(7);
	assert_int_equal(get(0x40), 0x80 | 0x34);
	assert_int_equal(get16(0), 0x1000);
	assert_int_equal(get16(0), 0x1000 - 7);
	assert_int_equal(get(0x42), 0x80 | 0x36);
	assert_int_equal(get16(2), 0x100);
	put(0x43, 0xe0 | 0x08); /* status alone */
	assert_int_equal(get(0x42), 0xb6);
	wait_until(0x81);
	put(0x43, 0xe0 | 0x08);
	assert_int_equal(get(0x42), 0x36); /* the lower half */
	put(0x43, 0xd0 | 0x08);		   /* count alone */
	assert_int_equal(get16(2), 0xfe);
	put(0x43, 2 << 6 | 0x30);
	put(0x43, 0xe0 | 0x08);
	assert_int_equal(get(0x42), 0x40 | 0x30); /* null count, mode 0 low */
}

static void test_bcd(void **state)
{
	(void)state;
	now = START;
	put(0x43, 2 << 6 | 0x31);
	put(0x42, 0x34);
	put(0x42, 0x12);
	assert_int_equal(get16(2), 0x1234);
	wait_until(35);
	assert_int_equal(get16(2), 0x1199);
	wait_until(1235);
	assert_int_equal(get16(2), 0x9999);
	now = START;
	put(0x43, 2 << 6 | 0x35);
	put(0x42, 0);
	put(0x42, 0);
	wait_until(1); /* 0 is 10000 */
	assert_int_equal(get16(2), 0x9999);
}

/* --- modes --- */

static void test_mode_0(void **state)
{
	(void)state;
	program(2, 0, 100);
	assert_false(out());
	wait_until(99);
	assert_false(out());
	assert_int_equal(get16(2), 1);
	wait_until(100);
	assert_true(out());
	wait_until(101);
	assert_true(out());
	assert_int_equal(get16(2), 0xffff);
	wait_until(100 + 65536);
	assert_true(out());
	/* The gate holds the count. */
	program(2, 0, 100);
	wait_until(40);
	gate(false);
	wait_until(1000);
	assert_false(out());
	assert_int_equal(get16(2), 60);
	gate(true);
	wait_until(1059);
	assert_false(out());
	wait_until(1061);
	assert_true(out());
	/* The first byte of a new count makes it fall. */
	put(0x42, 10);
	assert_false(out());
	wait_until(5000);
	assert_false(out());
	put(0x42, 0);
	wait_until(5011);
	assert_true(out());
}

static void test_mode_1(void **state)
{
	(void)state;
	program(2, 1, 100);
	wait_until(500);
	assert_true(out()); /* waits for the gate to rise */
	gate(false);
	gate(true);
	assert_false(out());
	wait_until(550);
	gate(false); /* which does not matter any more */
	put(0x42, 10);
	put(0x42, 0);
	assert_false(out());
	wait_until(599);
	assert_false(out());
	wait_until(601);
	assert_true(out());
	gate(true); /* now the new count */
	wait_until(610);
	assert_false(out());
	wait_until(612);
	assert_true(out());
}

static void test_mode_2(void **state)
{
	(void)state;
	program(2, 2, 100);
	for (unsigned period = 0; period < 300; period += 100) {
		wait_until(period);
		assert_true(out());
		assert_int_equal(get16(2), 100);
		wait_until(period + 98);
		assert_true(out());
		wait_until(period + 99);
		assert_false(out());
		assert_int_equal(get16(2), 1);
	}
	gate(false);
	assert_true(out());
	wait_until(350);
	assert_int_equal(get16(2), 1);
	gate(true); /* begins anew */
	assert_int_equal(get16(2), 100);
	now += after(99) - START;
	assert_int_equal(get16(2), 1);
}

static void test_mode_3(void **state)
{
	(void)state;
	program(2, 3, 10);
	for (unsigned i = 0; i < 30; i++) {
		wait_until(i);
		assert_int_equal(out(), i % 10 < 5);
		assert_int_equal(get16(2), 10 - i % 5 * 2);
	}
	program(2, 3, 5); /* 3 high, 2 low; even numbers only */
	for (unsigned i = 0; i < 15; i++) {
		static const unsigned counts[] = {4, 2, 0, 4, 2};

		wait_until(i);
		assert_int_equal(out(), i % 5 < 3);
		assert_int_equal(get16(2), counts[i % 5]);
	}
	program(2, 7, 10);
	put(0x43, 0xe8);
	assert_int_equal(get(0x42) & 0x0e, 0x06);
	program(2, 6, 10);
	put(0x43, 0xe8);
	assert_int_equal(get(0x42) & 0x0e, 0x04);
}

static void test_modes_4_and_5(void **state)
{
	(void)state;
	program(2, 4, 10);
	wait_until(9);
	assert_true(out());
	wait_until(10);
	assert_false(out());
	wait_until(11);
	assert_true(out());
	program(2, 5, 10);
	wait_until(10);
	assert_true(out());
	gate(false);
	gate(true);
	wait_until(21);
	assert_false(out());
	wait_until(22);
	assert_true(out());
}

static void test_count_0(void **state)
{
	(void)state;
	program(2, 2, 0);
	assert_int_equal(get16(2), 0);
	wait_until(1);
	assert_int_equal(get16(2), 0xffff);
	wait_until(65535);
	assert_false(out());
}

static void test_speaker(void **state)
{
	unsigned toggles = 0;
	uint8_t before;

	(void)state;
	pit_speaker_write(&pit, 0xff, now);
	assert_int_equal(pit_speaker_read(&pit, now) & 0xcf, 3); /* and no parity errors */
	pit_speaker_write(&pit, 2, now);
	assert_int_equal(pit_speaker_read(&pit, now) & 0xcf, 2);
	before = pit_speaker_read(&pit, now);
	for (unsigned i = 0; i < 100; i++) {
		uint8_t next = pit_speaker_read(&pit, now + i * 15085);

		toggles += (before ^ next) >> 4 & 1;
		before = next;
	}
	assert_int_equal(toggles, 99);
}

/* --- interrupts --- */

static void test_periodic_interrupts(void **state)
{
	(void)state;
	for (unsigned mode = 2; mode <= 3; mode++) {
		program(0, mode, 11932);
		for (unsigned i = 1; i < 1000; i++) {
			assert_int_equal(pit_deadline(&pit), after(11932ull * i));
			assert_int_equal(pit_expire(&pit, pit_deadline(&pit) - 1), 0);
			assert_int_equal(pit_expire(&pit, pit_deadline(&pit)), 1);
		}
		/* Nobody looked for a while: none is forgotten, none comes twice. */
		wait_until(11932ull * 1500 + 5);
		assert_int_equal(pit_expire(&pit, now), 501);
		assert_int_equal(pit_expire(&pit, now), 0);
	}
}

static void test_short_periods(void **state)
{
	(void)state;
	program(0, 2, 1);
	assert_in_range(pit_deadline(&pit) - START, PIT_PERIOD_MIN - 1000,
			PIT_PERIOD_MIN + 1000);
	wait_until(PIT_HZ);
	assert_in_range(pit_expire(&pit, now), 4990, 5020);
	assert_true(pit_deadline(&pit) > now);
}

static void test_single_interrupts(void **state)
{
	(void)state;
	program(0, 0, 100);
	assert_int_equal(pit_deadline(&pit), after(100));
	wait_until(100);
	assert_int_equal(pit_expire(&pit, now), 1);
	assert_int_equal(pit_deadline(&pit), 0);
	wait_until(100000);
	assert_int_equal(pit_expire(&pit, now), 0);
	program(0, 4, 100);
	assert_int_equal(pit_deadline(&pit), after(101)); /* behind the strobe */
	for (unsigned mode = 1; mode <= 5; mode += 4) {
		program(0, mode, 100); /* the gate never rises */
		assert_int_equal(pit_deadline(&pit), 0);
	}
}

static void test_programming_stops(void **state)
{
	(void)state;
	program(0, 2, 1000);
	put(0x43, 0x34);
	assert_int_equal(pit_deadline(&pit), 0);
	put(0x40, 0);
	assert_int_equal(pit_deadline(&pit), 0);
	put(0x40, 1);
	assert_int_equal(pit_deadline(&pit), after(256 < 239 ? 239 : 256));
	program(2, 2, 1000);
	assert_int_equal(pit_deadline(&pit), after(256));
}

/* --- state --- */

static void test_state(void **state)
{
	struct kvm_pit_state2 saved, again;

	(void)state;
	program(0, 2, 11932);
	program(2, 3, 0x100);
	put(0x43, 0x40 | 0x30);
	put(0x41, 0x55); /* half a count */
	put(0x43, 0xc0 | 2);
	pit_speaker_write(&pit, 3, now);
	wait_until(50);
	pit_get_state(&pit, &saved, now);
	assert_int_equal(saved.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	assert_int_equal(saved.channels[0].count, 11932);
	assert_in_range(saved.channels[0].count_load_time, START - 1000, START + 1000);
	assert_int_equal(saved.channels[1].write_state, 4);
	assert_int_equal(saved.channels[1].write_latch, 0x55);
	assert_int_equal(saved.channels[0].status_latched, 1);
	pit_set_state(&pit, &saved, START + 77);
	pit_get_state(&pit, &again, START + 77);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(again.channels[i].count_load_time, START + 77);
		again.channels[i].count_load_time = saved.channels[i].count_load_time;
	}
	assert_memory_equal(&again, &saved, sizeof(saved));
	assert_int_equal(pit_deadline(&pit), after(11932) + 77);
	saved.flags = KVM_PIT_FLAGS_HPET_LEGACY;
	pit_set_state(&pit, &saved, START);
	assert_int_equal(pit_deadline(&pit), 0);
	assert_int_equal(pit_expire(&pit, UINT64_MAX / 2), 0);
}

/* --- random traffic --- */

static uint32_t random32(void)
{
	static uint64_t seed = 0x853c49e6748fea9bull;

	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33);
}

static void check_invariants(void)
{
	uint64_t deadline = pit_deadline(&pit), edges;

	for (unsigned i = 0; i < 3; i++) {
		const struct pit_channel *c = &pit.channel[i];

		assert_in_range(c->count, 1, c->bcd ? 10000 : 65536);
		assert_in_range(c->reload, 1, c->bcd ? 10000 : 65536);
		assert_true(c->mode <= 5 || (c->mode == PIT_UNPROGRAMMED && !c->loaded));
		assert_in_range(c->access, 1, 3);
	}
	assert_true(pit.channel[0].gate);
	/* Interrupts come when they were announced, and then the next is later. */
	edges = pit_expire(&pit, now);
	assert_int_equal(edges != 0, deadline && deadline <= now);
	deadline = pit_deadline(&pit);
	assert_true(!deadline || deadline > now);
}

static void test_random(void **state)
{
	struct kvm_pit_state2 some;

	(void)state;
	for (unsigned i = 0; i < 300000; i++) {
		uint32_t what = random32(), argument = random32();

		now += what % 3 ? argument % 100000 : argument;
		switch (what % 16) {
		case 0:
			pit_speaker_write(&pit, (uint8_t)argument, now);
			break;
		case 1:
			pit_speaker_read(&pit, now);
			break;
		case 2:
			for (unsigned j = 0; j < sizeof(some); j++)
				((uint8_t *)&some)[j] = (uint8_t)random32();
			if (argument & 1)
				pit_get_state(&pit, &some, now);
			if (argument & 2)
				pit_set_state(&pit, &some, now);
			break;
		case 3:
		case 4:
		case 5:
			put(0x43, (uint8_t)argument);
			break;
		case 6:
		case 7:
		case 8:
			get((uint16_t)(0x40 + (argument & 3)));
			break;
		default:
			put((uint16_t)(0x40 + argument % 3), (uint8_t)(argument >> 8));
		}
		check_invariants();
	}
}

#define TEST(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_reset),
	    TEST(test_access),
	    TEST(test_latch),
	    TEST(test_read_back),
	    TEST(test_bcd),
	    TEST(test_mode_0),
	    TEST(test_mode_1),
	    TEST(test_mode_2),
	    TEST(test_mode_3),
	    TEST(test_modes_4_and_5),
	    TEST(test_count_0),
	    TEST(test_speaker),
	    TEST(test_periodic_interrupts),
	    TEST(test_short_periods),
	    TEST(test_single_interrupts),
	    TEST(test_programming_stops),
	    TEST(test_state),
	    TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
