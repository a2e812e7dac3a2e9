/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kvm/device/pic.h"

#define MASTER	     0x20
#define SLAVE	     0xa0
#define ELCR	     0x4d0

#define EOI	     0x20
#define SPECIFIC_EOI 0x60
#define READ_IRR     0x0a
#define READ_ISR     0x0b
#define POLL	     0x0c
#define SET_SMM	     0x68
#define RESET_SMM    0x48

static struct pic pic;

static void write_port(uint16_t port, uint8_t value)
{
	assert_true(pic_has_port(port));
	pic_write(&pic, port, value);
}

static uint8_t read_port(uint16_t port)
{
	return pic_read(&pic, port);
}

static uint8_t read_register(uint16_t chip, uint8_t command)
{
	write_port(chip, command);
	return read_port(chip);
}

static void initialize(uint16_t chip, uint8_t base, uint8_t icw4)
{
	write_port(chip, 0x11);
	write_port(chip + 1, base);
	write_port(chip + 1, chip == MASTER ? 4 : 2);
	write_port(chip + 1, icw4);
}

/* As a PC's firmware or Linux has them: vectors 20h to 2Fh. */
static int setup(void **state)
{
	(void)state;
	memset(&pic, 0xa5, sizeof(pic));
	pic_reset(&pic);
	initialize(MASTER, 0x20, 1);
	initialize(SLAVE, 0x28, 1);
	pic.completed = pic.unmasked = 0;
	return 0;
}

static void pulse(unsigned line)
{
	pic_set_line(&pic, line, true);
	pic_set_line(&pic, line, false);
}

static void expect_vector(uint8_t vector)
{
	assert_true(pic_output(&pic));
	assert_int_equal(pic_acknowledge(&pic), vector);
}

static void expect_nothing(void)
{
	assert_false(pic_output(&pic));
}

/* --- tests --- */

static void test_ports(void **state)
{
	static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1};
	unsigned found = 0;

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		assert_true(pic_has_port(ports[i]));
	for (uint32_t port = 0; port < 0x10000; port++)
		found += pic_has_port((uint16_t)port);
	assert_int_equal(found, 6);
}

static void test_reset(void **state)
{
	(void)state;
	pic_reset(&pic);
	expect_nothing();
	assert_int_equal(read_port(MASTER + 1), 0);
	assert_int_equal(read_port(ELCR), 0);
	pulse(1);
	expect_vector(1);
}

/* Until the last word nothing is requested; without ICW4 there are three words. */
static void test_initialization(void **state)
{
	(void)state;
	write_port(MASTER + 1, 0xff);
	pulse(3);
	write_port(MASTER, 0x11);
	pic_set_line(&pic, 1, true);
	expect_nothing();
	write_port(MASTER + 1, 0x47); /* only bits 7:3 of a vector are programmed */
	write_port(MASTER + 1, 4);
	expect_nothing();
	write_port(MASTER + 1, 1);
	expect_vector(0x41);
	assert_int_equal(read_port(MASTER + 1), 0);
	write_port(MASTER, EOI);
	expect_nothing(); /* line 3's edge was before */

	write_port(MASTER, 0x10);
	write_port(MASTER + 1, 0x50);
	write_port(MASTER + 1, 4);
	assert_int_equal(read_port(MASTER + 1), 0);
	pulse(0);
	expect_vector(0x50);
}

/* A line that stays high during initialization is no edge. */
static void test_initialization_needs_an_edge(void **state)
{
	(void)state;
	pic_set_line(&pic, 4, true);
	initialize(MASTER, 0x20, 1);
	expect_nothing();
	pic_set_line(&pic, 4, true);
	expect_nothing();
	pic_set_line(&pic, 4, false);
	pic_set_line(&pic, 4, true);
	expect_vector(0x24);
}

static void test_initialization_ends_services(void **state)
{
	(void)state;
	pulse(3);
	expect_vector(0x23);
	initialize(MASTER, 0x20, 1);
	assert_int_equal(pic.completed, 1 << 3);
	assert_int_equal(read_register(MASTER, READ_ISR), 0);
}

static void test_priorities(void **state)
{
	(void)state;
	pulse(6);
	pulse(3);
	expect_vector(0x23);
	expect_nothing(); /* 6 is lower */
	pulse(1);
	expect_vector(0x21); /* nests */
	assert_int_equal(read_register(MASTER, READ_ISR), 0x0a);
	assert_int_equal(read_register(MASTER, READ_IRR), 0x40);
	write_port(MASTER, EOI);
	assert_int_equal(pic.completed, 1 << 1);
	expect_nothing();
	write_port(MASTER, EOI);
	expect_vector(0x26);
	write_port(MASTER, EOI);
	write_port(MASTER, EOI); /* of nothing */
	assert_int_equal(pic.completed, 1 << 1 | 1 << 3 | 1 << 6);
}

static void test_specific_eoi(void **state)
{
	(void)state;
	pulse(3);
	expect_vector(0x23);
	pulse(1);
	expect_vector(0x21);
	write_port(MASTER, SPECIFIC_EOI | 3);
	assert_int_equal(read_register(MASTER, READ_ISR), 0x02);
	assert_int_equal(pic.completed, 1 << 3);
	write_port(MASTER, SPECIFIC_EOI | 5);
	assert_int_equal(pic.completed, 1 << 3);
}

static void test_masks(void **state)
{
	(void)state;
	write_port(MASTER + 1, 0x08);
	assert_int_equal(pic_set_line(&pic, 3, true), -1);
	expect_nothing();
	assert_int_equal(read_register(MASTER, READ_IRR), 0x08);
	pic.unmasked = 0;
	write_port(MASTER + 1, 0x00);
	assert_int_equal(pic.unmasked, 0x08);
	expect_vector(0x23);
	write_port(SLAVE + 1, 0xff);
	write_port(SLAVE + 1, 0x7f);
	assert_int_equal(pic.unmasked, 0x8008);
}

static void test_line_status(void **state)
{
	(void)state;
	assert_int_equal(pic_set_line(&pic, 3, true), 1);
	assert_int_equal(pic_set_line(&pic, 3, false), 1);
	assert_int_equal(pic_set_line(&pic, 3, true), 0); /* coalesced */
	expect_vector(0x23);
	assert_int_equal(pic_set_line(&pic, 3, false), 1);
	assert_int_equal(pic_set_line(&pic, 3, true), 1);
	assert_int_equal(pic_set_line(&pic, PIC_CASCADE, true), -1); /* the slave's */
	write_port(ELCR, 0x20);
	assert_int_equal(pic_set_line(&pic, 5, true), 1);
	assert_int_equal(pic_set_line(&pic, 5, true), 1);
}

static void test_cascade(void **state)
{
	(void)state;
	pulse(12);
	expect_vector(0x2c);
	assert_int_equal(read_register(MASTER, READ_ISR), 0x04);
	assert_int_equal(read_register(SLAVE, READ_ISR), 0x10);
	pulse(10);
	expect_nothing(); /* higher at the slave, but the master serves it: fully nested */
	pulse(1);
	expect_vector(0x21);
	write_port(MASTER, EOI);
	write_port(SLAVE, EOI);
	assert_int_equal(pic.completed, 1 << 1 | 1 << 12);
	expect_nothing();
	write_port(MASTER, EOI);
	expect_vector(0x2a);
}

/* Special fully nested: the slave may interrupt itself. */
static void test_special_fully_nested(void **state)
{
	(void)state;
	initialize(MASTER, 0x20, 0x11);
	pulse(12);
	expect_vector(0x2c);
	pulse(10);
	expect_vector(0x2a);
	pulse(11);
	expect_nothing();
	pulse(3);
	expect_vector(0x23); /* lower than the cascade, which does not count */
}

static void test_automatic_eoi(void **state)
{
	(void)state;
	initialize(MASTER, 0x20, 3);
	pulse(5);
	pulse(6);
	expect_vector(0x25);
	assert_int_equal(pic.completed, 1 << 5);
	expect_vector(0x26);
	assert_int_equal(read_register(MASTER, READ_ISR), 0);
	/* Rotating: what was served is the lowest. */
	write_port(MASTER, 0x80);
	pulse(3);
	pulse(4);
	expect_vector(0x23);
	pulse(3);
	expect_vector(0x24);
	expect_vector(0x23);
	write_port(MASTER, 0x00);
	pulse(3);
	pulse(4);
	expect_vector(0x24); /* 3 stays the lowest */
}

static void test_rotation(void **state)
{
	(void)state;
	pulse(4);
	pulse(6);
	expect_vector(0x24);
	write_port(MASTER, 0xa0); /* rotate on non-specific EOI: 5 is the highest now */
	expect_vector(0x26);
	pulse(4);
	expect_nothing();
	pulse(5);
	expect_vector(0x25);
	write_port(MASTER, 0xe0 | 5); /* rotate on specific EOI */
	assert_int_equal(read_register(MASTER, READ_ISR), 0x40);
	write_port(MASTER, SPECIFIC_EOI | 6);
	expect_vector(0x24);
	write_port(MASTER, EOI);
	write_port(MASTER, 0xc0 | 2); /* set priority: 3 is the highest */
	pulse(1);
	pulse(3);
	expect_vector(0x23);
	write_port(MASTER, 0x40); /* no operation */
	assert_int_equal(read_register(MASTER, READ_ISR), 0x08);
}

static void test_special_mask(void **state)
{
	(void)state;
	pulse(3);
	expect_vector(0x23);
	pulse(6);
	expect_nothing();
	write_port(MASTER, SET_SMM);
	expect_nothing();
	write_port(MASTER + 1, 0x08);
	expect_vector(0x26);
	pulse(3);
	expect_nothing();
	write_port(MASTER, EOI); /* the masked one's service is not ended */
	assert_int_equal(read_register(MASTER, READ_ISR), 0x08);
	write_port(MASTER, EOI);
	assert_int_equal(read_register(MASTER, READ_ISR), 0x08);
	pulse(6);
	write_port(MASTER, RESET_SMM);
	expect_nothing();
	write_port(MASTER, EOI);
	expect_vector(0x26);
}

static void test_poll(void **state)
{
	(void)state;
	write_port(MASTER, POLL);
	assert_int_equal(read_port(MASTER) & 0x80, 0);
	pulse(4);
	write_port(MASTER, POLL);
	assert_int_equal(read_port(MASTER), 0x84);
	assert_int_equal(read_port(MASTER), 0); /* once: IRR again */
	assert_int_equal(read_register(MASTER, READ_ISR), 0x10);
	expect_nothing();
	write_port(MASTER, EOI);
	pulse(9);
	write_port(MASTER, POLL);
	assert_int_equal(read_port(MASTER + 1), 0x82);
	write_port(SLAVE, POLL);
	assert_int_equal(read_port(SLAVE), 0x81);
	expect_nothing();
}

static void test_elcr(void **state)
{
	(void)state;
	write_port(ELCR, 0xff);
	write_port(ELCR + 1, 0xff);
	assert_int_equal(read_port(ELCR), 0xf8);
	assert_int_equal(read_port(ELCR + 1), 0xde);
	pic_set_line(&pic, 11, true);
	expect_vector(0x2b);
	write_port(SLAVE, EOI);
	write_port(MASTER, EOI);
	expect_vector(0x2b); /* still high */
	pic_set_line(&pic, 11, false);
	write_port(SLAVE, EOI);
	write_port(MASTER, EOI);
	expect_nothing();
	pic_set_line(&pic, 11, true);
	pic_set_line(&pic, 11, false);
	expect_nothing(); /* levels are not remembered */
	/* Lines that are high already when they become level-triggered. */
	write_port(ELCR, 0);
	pic_set_line(&pic, 5, true);
	expect_vector(0x25);
	write_port(MASTER, EOI);
	expect_nothing();
	write_port(ELCR, 0x20);
	expect_vector(0x25);
}

static void test_spurious(void **state)
{
	(void)state;
	assert_int_equal(pic_acknowledge(&pic), 0x27);
	assert_int_equal(read_register(MASTER, READ_ISR), 0);
	write_port(ELCR + 1, 0x08);
	pic_set_line(&pic, 11, true);
	/* The slave's request is gone after the master has taken it. */
	assert_true(pic_output(&pic));
	pic_set_line(&pic, 11, false);
	assert_int_equal(pic_acknowledge(&pic), 0x27);
	/* A mask between the two: the master's own line is what counts. */
	pic_set_line(&pic, 11, true);
	write_port(SLAVE + 1, 0x08);
	expect_nothing();
}

/* IRQ 15's spurious vector needs a slave that lost its request with the master's still set. */
static void test_spurious_slave(void **state)
{
	struct kvm_pic_state master;

	(void)state;
	pulse(14);
	expect_vector(0x2e);
	write_port(MASTER, EOI);
	expect_nothing(); /* the slave serves 14: nothing of it for the master */
	master = pic.chip[0];
	master.irr |= 1 << PIC_CASCADE;
	pic_set_state(&pic, 0, &master);
	expect_nothing(); /* and no state that says so brings one */
}

static void test_state(void **state)
{
	struct kvm_pic_state hostile;
	struct pic copy = {0};

	(void)state;
	pulse(3);
	expect_vector(0x23);
	pulse(1);
	pulse(12);
	write_port(ELCR, 0x20);
	copy.chip[0].elcr_mask = 0;
	pic_set_state(&copy, 0, &pic.chip[0]);
	pic_set_state(&copy, 1, &pic.chip[1]);
	assert_memory_equal(copy.chip, pic.chip, sizeof(copy.chip));
	for (unsigned fill = 0; fill < 256; fill++) {
		memset(&hostile, (int)fill, sizeof(hostile));
		pic_set_state(&pic, fill & 1, &hostile);
		assert_int_equal(pic.chip[0].elcr & ~0xf8, 0);
		assert_int_equal(pic.chip[1].elcr & ~0xde, 0);
		pic_acknowledge(&pic);
		write_port(MASTER, EOI);
	}
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
	for (unsigned i = 0; i < 2; i++) {
		const struct kvm_pic_state *s = &pic.chip[i];

		assert_in_range(s->priority_add, 0, 7);
		assert_in_range(s->init_state, 0, 3);
		assert_int_equal(s->irq_base & 7, 0);
		assert_int_equal(s->elcr & ~s->elcr_mask, 0);
		/* A level-triggered line is requested exactly while it is high. */
		assert_int_equal((s->irr ^ s->last_irr) & s->elcr, 0);
	}
}

static void test_random(void **state)
{
	static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1};

	(void)state;
	for (unsigned i = 0; i < 400000; i++) {
		uint32_t what = random32(), argument = random32();

		switch (what % 5) {
		case 0:
			pic_write(&pic, ports[argument % 6], (uint8_t)(argument >> 8));
			break;
		case 1:
			pic_read(&pic, ports[argument % 6]);
			break;
		case 2: {
			bool asks = pic_output(&pic);
			uint8_t in_service = pic.chip[0].isr;
			uint8_t vector = pic_acknowledge(&pic);

			if (!asks)
				assert_int_equal(vector, pic.chip[0].irq_base + 7);
			if (!asks)
				assert_int_equal(pic.chip[0].isr, in_service);
			break;
		}
		default:
			pic_set_line(&pic, argument & 15, argument >> 8 & 1);
		}
		check_invariants();
	}
}

#define TEST(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_ports),
	    TEST(test_reset),
	    TEST(test_initialization),
	    TEST(test_initialization_needs_an_edge),
	    TEST(test_initialization_ends_services),
	    TEST(test_priorities),
	    TEST(test_specific_eoi),
	    TEST(test_masks),
	    TEST(test_line_status),
	    TEST(test_cascade),
	    TEST(test_special_fully_nested),
	    TEST(test_automatic_eoi),
	    TEST(test_rotation),
	    TEST(test_special_mask),
	    TEST(test_poll),
	    TEST(test_elcr),
	    TEST(test_spurious),
	    TEST(test_spurious_slave),
	    TEST(test_state),
	    TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
