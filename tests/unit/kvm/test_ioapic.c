/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kvm/device/ioapic.h"

#define LEVEL	   0x8000u
#define REMOTE_IRR 0x4000u
#define MASKED	   0x10000u
#define LOGICAL	   0x800u

static struct ioapic ioapic;
static struct message last;
static unsigned sent, reaches;

static unsigned take(void *context, const struct message *message)
{
	assert_ptr_equal(context, &ioapic);
	last = *message;
	sent++;
	return reaches;
}

static const struct message_bus bus = {take, &ioapic};

static uint32_t get(uint8_t index)
{
	ioapic_write(&ioapic, 0, index, &bus);
	return ioapic_read(&ioapic, 0x10);
}

static void put(uint8_t index, uint32_t value)
{
	ioapic_write(&ioapic, 0, index, &bus);
	ioapic_write(&ioapic, 0x10, value, &bus);
}

static void program(unsigned pin, uint32_t low, uint8_t destination)
{
	put((uint8_t)(0x11 + 2 * pin), (uint32_t)destination << 24);
	put((uint8_t)(0x10 + 2 * pin), low);
}

static uint32_t low_of(unsigned pin)
{
	return get((uint8_t)(0x10 + 2 * pin));
}

static int set(unsigned pin, bool level)
{
	return ioapic_set_line(&ioapic, pin, level, &bus);
}

static void expect_sent(unsigned count)
{
	assert_int_equal(sent, count);
	sent = 0;
}

static void end(uint8_t vector, uint32_t pins)
{
	assert_int_equal(ioapic_eoi(&ioapic, vector), pins);
	ioapic_resend(&ioapic, pins, &bus);
}

static int setup(void **state)
{
	(void)state;
	memset(&ioapic, 0, sizeof(ioapic));
	ioapic_reset(&ioapic);
	sent = 0;
	reaches = 1;
	return 0;
}

/* --- registers --- */

static void test_registers(void **state)
{
	(void)state;
	assert_int_equal(ioapic.base, 0xfec00000);
	assert_int_equal(get(1), 0x170011);
	put(1, 0xffffffff);
	assert_int_equal(get(1), 0x170011);
	assert_int_equal(get(0), 0);
	put(0, 0xffffffff);
	assert_int_equal(get(0), 0x0f000000);
	assert_int_equal(get(2), 0x0f000000); /* loaded with the ID */
	put(2, 0);
	assert_int_equal(get(2), 0x0f000000);
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		assert_int_equal(low_of(pin), MASKED);
	for (unsigned index = 3; index < 256; index++) {
		if (index >= 0x10 && index < 0x40)
			continue;
		put((uint8_t)index, 0xffffffff);
		assert_int_equal(get((uint8_t)index), 0);
	}
	assert_int_equal(ioapic_read(&ioapic, 0), 0xff);
	for (uint32_t offset = 1; offset < IOAPIC_SIZE; offset++) {
		if (offset == 0x10)
			continue;
		ioapic_write(&ioapic, offset, 0, &bus);
		assert_int_equal(ioapic_read(&ioapic, offset), 0);
	}
	expect_sent(0);
}

/* Delivery status and Remote IRR cannot be written, nor what is reserved. */
static void test_writable_bits(void **state)
{
	(void)state;
	put(0x12, 0xffffffff);
	put(0x13, 0xffffffff);
	assert_int_equal(get(0x12), 0x1afff);
	assert_int_equal(get(0x13), 0xff000000);
	put(0x12, 0);
	assert_int_equal(get(0x13), 0xff000000);
	assert_int_equal(get(0x12), 0);
	assert_int_equal(get(0x10), MASKED);
	assert_int_equal(get(0x14), MASKED);
	expect_sent(0);
}

/* --- messages --- */

static void test_message(void **state)
{
	(void)state;
	program(3, 0x31 | LOGICAL | 1 << 8, 0x42);
	assert_int_equal(set(3, true), 1);
	expect_sent(1);
	assert_int_equal(last.vector, 0x31);
	assert_int_equal(last.delivery, MESSAGE_LOWEST);
	assert_int_equal(last.destination, 0x42);
	assert_true(last.logical);
	assert_false(last.level);
	assert_false(last.tell_eoi);
	ioapic.tell_eoi = 1 << 4;
	program(4, 0x32 | LEVEL, 0xff);
	reaches = 3;
	assert_int_equal(set(4, true), 3);
	assert_int_equal(last.destination, 0xff);
	assert_false(last.logical);
	assert_true(last.level);
	assert_true(last.tell_eoi);
}

static void test_pins_that_are_not_there(void **state)
{
	(void)state;
	assert_int_equal(set(IOAPIC_PINS, true), -1);
	assert_int_equal(set(~0u, true), -1);
	assert_int_equal(ioapic.lines, 0);
}

/* --- edges --- */

static void test_edge(void **state)
{
	(void)state;
	program(3, 0x31, 0);
	assert_int_equal(set(3, true), 1);
	assert_int_equal(set(3, true), 0); /* no edge */
	assert_int_equal(set(3, false), 1);
	expect_sent(1);
	assert_int_equal(set(3, true), 1); /* whether the first was completed does not matter */
	expect_sent(1);
	assert_int_equal(low_of(3), 0x31);
	end(0x31, 1 << 3);
	expect_sent(0);
}

/* Data sheet 3.2.4: "edge-sensitive interrupts signaled on a masked pin are ignored". */
static void test_masked_edge_is_lost(void **state)
{
	(void)state;
	program(3, 0x31 | MASKED, 0);
	assert_int_equal(set(3, true), -1);
	program(3, 0x31, 0);
	expect_sent(0);
	assert_int_equal(ioapic.unmasked, 1 << 3);
	assert_int_equal(set(3, false), 1);
	assert_int_equal(set(3, true), 1);
	expect_sent(1);
}

/* --- levels --- */

static void test_level(void **state)
{
	(void)state;
	program(9, 0x51 | LEVEL, 0);
	assert_int_equal(set(9, true), 1);
	assert_int_equal(low_of(9), 0x51 | LEVEL | REMOTE_IRR);
	assert_int_equal(set(9, true), 0);
	expect_sent(1);
	end(0x52, 0);
	expect_sent(0);
	end(0x51, 1 << 9);
	expect_sent(1); /* still high */
	set(9, false);
	end(0x51, 1 << 9);
	expect_sent(0);
	assert_int_equal(low_of(9), 0x51 | LEVEL);
}

static void test_level_that_falls_by_the_eoi(void **state)
{
	(void)state;
	program(9, 0x51 | LEVEL, 0);
	set(9, true);
	assert_int_equal(ioapic_eoi(&ioapic, 0x51), 1 << 9);
	set(9, false);
	ioapic_resend(&ioapic, 1 << 9, &bus);
	expect_sent(1);
}

static void test_masked_level_waits(void **state)
{
	(void)state;
	program(9, 0x51 | LEVEL | MASKED, 0);
	assert_int_equal(set(9, true), -1);
	expect_sent(0);
	program(9, 0x51 | LEVEL, 0);
	expect_sent(1);
	/* Masked while it is served: the EOI brings nothing, unmasking does. */
	program(9, 0x51 | LEVEL | MASKED, 0);
	assert_int_equal(low_of(9), 0x51 | LEVEL | MASKED | REMOTE_IRR);
	assert_int_equal(set(9, true), -1);
	end(0x51, 1 << 9);
	expect_sent(0);
	program(9, 0x51 | LEVEL, 0);
	expect_sent(1);
}

/* What systems do where there is no EOI register: mask and edge, then level again. */
static void test_eoi_by_trigger_mode(void **state)
{
	(void)state;
	program(9, 0x51 | LEVEL, 0);
	set(9, true);
	expect_sent(1);
	program(9, 0x51 | MASKED, 0);
	assert_int_equal(low_of(9), 0x51 | MASKED);
	program(9, 0x51 | LEVEL, 0);
	expect_sent(1);
	assert_int_equal(low_of(9), 0x51 | LEVEL | REMOTE_IRR);
}

static void test_shared_vector(void **state)
{
	(void)state;
	program(9, 0x51 | LEVEL, 0);
	program(10, 0x51 | LEVEL, 0);
	program(11, 0x51, 0);
	set(9, true);
	set(10, true);
	set(11, true);
	expect_sent(3);
	end(0x51, 7 << 9);
	expect_sent(2);
}

/* Remote IRR says that a local APIC took it: nobody did. */
static void test_nobody_there(void **state)
{
	(void)state;
	reaches = 0;
	program(9, 0x51 | LEVEL, 7);
	assert_int_equal(set(9, true), -1);
	assert_int_equal(low_of(9), 0x51 | LEVEL);
	reaches = 1;
	program(9, 0x51 | LEVEL, 0);
	expect_sent(2); /* the next write of the entry tries again */
	assert_int_equal(low_of(9), 0x51 | LEVEL | REMOTE_IRR);
}

/* These have no EOI, so they are edges whatever the entry says. */
static void test_other_deliveries(void **state)
{
	static const uint8_t deliveries[] = {MESSAGE_SMI, MESSAGE_NMI, MESSAGE_INIT};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		program(i, (uint32_t)deliveries[i] << 8 | LEVEL, 0);
		assert_int_equal(set(i, true), 1);
		assert_int_equal(last.delivery, deliveries[i]);
		assert_false(last.level);
		assert_int_equal(low_of(i) & REMOTE_IRR, 0);
		expect_sent(1);
	}
	program(5, MESSAGE_EXTINT << 8, 0);
	assert_int_equal(set(5, true), -1);
	expect_sent(0);
}

/* --- state --- */

static void test_state(void **state)
{
	struct kvm_ioapic_state saved;
	struct ioapic copy;

	(void)state;
	program(9, 0x51 | LEVEL, 1);
	program(3, 0x31, 2);
	program(4, 0x32 | MASKED, 2);
	put(0, 5u << 24);
	set(9, true);
	set(3, true);
	set(4, true);
	ioapic_get_state(&ioapic, &saved);
	assert_int_equal(saved.id, 5);
	assert_int_equal(saved.base_address, 0xfec00000);
	assert_int_equal(saved.irr, 1 << 9 | 1 << 4); /* 3 was delivered */
	copy = ioapic;
	sent = 0;
	ioapic_set_state(&ioapic, &saved, &bus);
	expect_sent(0); /* 9 waits for its EOI, 4 is masked */
	assert_memory_equal(ioapic.entry, copy.entry, sizeof(copy.entry));
	saved.redirtbl[9].bits &= ~(uint64_t)REMOTE_IRR;
	saved.redirtbl[4].bits &= ~(uint64_t)MASKED;
	ioapic_set_state(&ioapic, &saved, &bus);
	expect_sent(2);
}

static void test_hostile_state(void **state)
{
	struct kvm_ioapic_state hostile;

	(void)state;
	memset(&hostile, 0xff, sizeof(hostile));
	ioapic_set_state(&ioapic, &hostile, &bus);
	assert_int_equal(get(0), 0x0f000000);
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		assert_int_equal(low_of(pin), 0x1efff);
	assert_int_equal(ioapic.lines, (1u << IOAPIC_PINS) - 1);
	expect_sent(0);
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
	assert_int_equal(ioapic.lines >> IOAPIC_PINS, 0);
	assert_int_equal(ioapic.sent & ~ioapic.lines, 0);
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t entry = ioapic.entry[pin];

		assert_int_equal(entry & ~0xff0000000001efffull, 0);
		/* Remote IRR belongs to levels; a level that is high and open has it. */
		if (entry & REMOTE_IRR)
			assert_true(entry & LEVEL);
		else if (reaches && ioapic.lines >> pin & 1 && entry & LEVEL)
			assert_true(entry & MASKED || (entry >> 8 & 7) > MESSAGE_LOWEST);
	}
}

static void test_random(void **state)
{
	struct kvm_ioapic_state saved;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		uint32_t what = random32(), argument = random32();

		switch (what % 8) {
		case 0:
			ioapic_write(&ioapic, 0, argument % 0x48, &bus);
			break;
		case 1:
		case 2:
			/* Few vectors and deliveries, so that they meet. */
			ioapic_write(&ioapic, 0x10, argument & 0xff01ff1f, &bus);
			break;
		case 3:
			ioapic_read(&ioapic, argument % IOAPIC_SIZE);
			break;
		case 4: {
			uint32_t pins = ioapic_eoi(&ioapic, argument & 0x1f);

			ioapic_resend(&ioapic, pins, &bus);
			break;
		}
		case 5:
			if (argument % 64 == 0) {
				ioapic_get_state(&ioapic, &saved);
				ioapic_set_state(&ioapic, &saved, &bus);
			}
			break;
		default:
			set(argument % (IOAPIC_PINS + 1), argument >> 16 & 1);
		}
		check_invariants();
	}
}

#define TEST(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_registers),
	    TEST(test_writable_bits),
	    TEST(test_message),
	    TEST(test_pins_that_are_not_there),
	    TEST(test_edge),
	    TEST(test_masked_edge_is_lost),
	    TEST(test_level),
	    TEST(test_level_that_falls_by_the_eoi),
	    TEST(test_masked_level_waits),
	    TEST(test_eoi_by_trigger_mode),
	    TEST(test_shared_vector),
	    TEST(test_nobody_there),
	    TEST(test_other_deliveries),
	    TEST(test_state),
	    TEST(test_hostile_state),
	    TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
