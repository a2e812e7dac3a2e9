/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vm/lapic.h"

#define BOOT_BASE    0xfee00900ull
#define X2APIC_BASE  0xfee00d00ull
#define MASKED	     0x10000u
#define PERIODIC     0x20000u
#define TSC_DEADLINE 0x40000u
#define DIVIDE_BY_1  0xbu
#define ENABLED	     0x1ffu
#define REFUSED	     0xdeadu /* no register has this value here */

static struct lapic apic;
static struct lapic_effect effect;
static u64 now;

/* --- short forms --- */

static u32 get(u32 offset)
{
	u32 value;

	assert_true(lapic_mmio_read(&apic, offset, now, &value));
	return value;
}

static void put(u32 offset, u32 value)
{
	assert_true(lapic_mmio_write(&apic, offset, value, now, &effect));
}

static u64 msr(u32 offset)
{
	u64 value;

	return lapic_msr_read(&apic, MSR_LAPIC_X2APIC + offset / 16, now, &value) ? value
										  : REFUSED;
}

static bool set_msr(u32 offset, u64 value)
{
	return lapic_msr_write(&apic, MSR_LAPIC_X2APIC + offset / 16, value, now, &effect);
}

static u64 deadline_msr(void)
{
	u64 value;

	assert_true(lapic_msr_read(&apic, MSR_LAPIC_DEADLINE, now, &value));
	return value;
}

static void set_deadline_msr(u64 value)
{
	assert_true(lapic_msr_write(&apic, MSR_LAPIC_DEADLINE, value, now, &effect));
}

static bool set_base(u64 value)
{
	return lapic_msr_write(&apic, MSR_LAPIC_BASE, value, now, &effect);
}

static int setup(void **state)
{
	(void)state;
	memset(&apic, 0xa5, sizeof(apic));
	lapic_reset(&apic, 3, true);
	now = 1000;
	put(LAPIC_SVR, ENABLED);
	return 0;
}

static int setup_x2apic(void **state)
{
	setup(state);
	assert_true(set_base(X2APIC_BASE));
	return 0;
}

static void deliver(u8 vector)
{
	assert_int_equal(lapic_highest(&apic), vector);
	lapic_accept(&apic, vector);
}

static void assert_nothing_waits(void)
{
	assert_int_equal(apic.incoming.any, 0);
	for (u32 i = 0; i < LAPIC_VECTOR_WORDS; i++)
		assert_int_equal(apic.incoming.edge[i] | apic.incoming.level[i], 0);
}

/* --- registers --- */

static void test_reset(void **state)
{
	static const struct {
		u32 offset, value;
	} rows[] = {
	    {LAPIC_ID, 3u << 24},
	    {LAPIC_VERSION, 0x50014},
	    {LAPIC_TPR, 0},
	    {LAPIC_PPR, 0},
	    {LAPIC_LDR, 0},
	    {LAPIC_DFR, 0xffffffff},
	    {LAPIC_SVR, 0xff},
	    {LAPIC_ISR + 0x70, 0},
	    {LAPIC_TMR, 0},
	    {LAPIC_IRR, 0},
	    {LAPIC_ESR, 0},
	    {LAPIC_ICR, 0},
	    {LAPIC_ICR_HIGH, 0},
	    {LAPIC_LVT_TIMER, MASKED},
	    {LAPIC_LVT_THERMAL, MASKED},
	    {LAPIC_LVT_COUNTERS, MASKED},
	    {LAPIC_LVT_LINT0, MASKED},
	    {LAPIC_LVT_LINT1, MASKED},
	    {LAPIC_LVT_ERROR, MASKED},
	    {LAPIC_TMICT, 0},
	    {LAPIC_TMCCT, 0},
	    {LAPIC_TDCR, 0},
	};
	u64 base;

	(void)state;
	for (u32 pass = 0; pass < 2; pass++) {
		for (u32 i = 0; i < 0x400; i += 16)
			put(i, 0xffffffff); /* no trace of it must stay */
		put(LAPIC_TPR, 0);
		lapic_post(&apic, 0x40, true);
		deliver(0x40);
		lapic_post(&apic, 0x50, true);
		if (pass)
			lapic_init(&apic);
		else
			lapic_reset(&apic, 3, true);
		assert_nothing_waits();
		for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
			if (get(rows[i].offset) != rows[i].value)
				fail_msg("register %x: %x", rows[i].offset,
					 get(rows[i].offset));
		assert_true(lapic_msr_read(&apic, MSR_LAPIC_BASE, now, &base));
		assert_int_equal(base, BOOT_BASE);
		assert_int_equal(lapic_deadline(&apic), 0);
		assert_int_equal(get(LAPIC_ESR), 0);
	}
	lapic_reset(&apic, 4, false);
	assert_true(lapic_msr_read(&apic, MSR_LAPIC_BASE, now, &base));
	assert_int_equal(base, 0xfee00800);
}

/* Bits that a write of all ones leaves set; what x2APIC mode accepts. */
static const struct {
	u32 offset;
	bool readable, writable;
	u32 ones;
	bool msr_readable, msr_writable;
	u64 msr_valid; /* all bits that may be 1 */
} map[] = {
    {LAPIC_ID, true, false, 3u << 24, true, false, 0},
    {LAPIC_VERSION, true, false, 0x50014, true, false, 0},
    {LAPIC_TPR, true, true, 0xff, true, true, 0xff},
    {0x090, false, false, 0, false, false, 0},
    {LAPIC_PPR, true, false, 0, true, false, 0},
    {LAPIC_EOI, false, true, 0, false, true, 0},
    {0x0c0, false, false, 0, false, false, 0},
    {LAPIC_LDR, true, true, 0xff000000, true, false, 0},
    {LAPIC_DFR, true, true, 0xffffffff, false, false, 0},
    {LAPIC_SVR, true, true, 0x3ff, true, true, 0x3ff},
    {LAPIC_ISR, true, false, 0, true, false, 0},
    {LAPIC_TMR + 0x70, true, false, 0, true, false, 0},
    {LAPIC_IRR + 0x30, true, false, 0, true, false, 0},
    {LAPIC_ESR, true, true, 0, true, true, 0},
    {0x2f0, false, false, 0, false, false, 0},
    {LAPIC_ICR, true, true, 0x000ccfff, true, true, 0xffffffff000cdfff},
    {LAPIC_ICR_HIGH, true, true, 0xff000000, false, false, 0},
    {LAPIC_LVT_TIMER, true, true, 0x000700ff, true, true, 0x000710ff},
    {LAPIC_LVT_THERMAL, true, true, 0x000107ff, true, true, 0x000117ff},
    {LAPIC_LVT_COUNTERS, true, true, 0x000107ff, true, true, 0x000117ff},
    {LAPIC_LVT_LINT0, true, true, 0x0001a7ff, true, true, 0x0001f7ff},
    {LAPIC_LVT_LINT1, true, true, 0x0001a7ff, true, true, 0x0001f7ff},
    {LAPIC_LVT_ERROR, true, true, 0x000100ff, true, true, 0x000110ff},
    {LAPIC_TMICT, true, true, 0xffffffff, true, true, 0xffffffff},
    {LAPIC_TMCCT, true, false, 0, true, false, 0},
    {0x3a0, false, false, 0, false, false, 0},
    {LAPIC_TDCR, true, true, 0xb, true, true, 0xb},
    {LAPIC_SELF_IPI, false, false, 0, false, true, 0xff},
};

static void test_mmio_map(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(map); i++) {
		bool known = map[i].readable || map[i].writable;

		setup(state);
		put(map[i].offset, 0xffffffff);
		if (get(map[i].offset) != map[i].ones)
			fail_msg("register %x: %x", map[i].offset, get(map[i].offset));
		put(LAPIC_ESR, 0);
		if (!(get(LAPIC_ESR) & 0x80) != known)
			fail_msg("register %x: ESR %x", map[i].offset, get(LAPIC_ESR));
	}
	setup(state);
	put(0x400, 1);
	assert_int_equal(get(LAPIC_TPR + 1) | get(0xfffffff0) | get(0xffffffff), 0);
	put(LAPIC_TPR + 4, 0xff);
	assert_int_equal(get(LAPIC_TPR), 0);
}

static void test_msr_map(void **state)
{
	u64 value;

	for (u32 i = 0; i < ARRAY_SIZE(map); i++) {
		setup_x2apic(state);
		if ((msr(map[i].offset) != REFUSED) != map[i].msr_readable)
			fail_msg("register %x: read", map[i].offset);
		for (u32 bit = 0; bit < 64; bit++) {
			bool valid = map[i].msr_writable && map[i].msr_valid >> bit & 1;

			if (set_msr(map[i].offset, BIT(bit)) != valid)
				fail_msg("register %x: bit %u", map[i].offset, bit);
		}
		if (set_msr(map[i].offset, map[i].msr_valid) != map[i].msr_writable)
			fail_msg("register %x: write", map[i].offset);
	}
	for (u32 index = 0x840; index < 0x900; index++) {
		assert_false(lapic_msr_read(&apic, index, now, &value));
		assert_false(lapic_msr_write(&apic, index, 0, now, &effect));
	}
	assert_false(lapic_msr_read(&apic, 0x7ff, now, &value));
}

static void test_modes(void **state)
{
	/* From the mode to the base: taken? SDM 3A figure 10-27. */
	static const struct {
		u64 from, to;
		bool taken;
	} rows[] = {
	    {0xfee00000, 0xfee00000, true},	{0xfee00000, 0xfee00800, true},
	    {0xfee00000, 0xfee00c00, false},	{0xfee00000, 0xfee00400, false},
	    {0xfee00800, 0xfee00000, true},	{0xfee00800, 0xfee00900, true},
	    {0xfee00800, 0xfee00c00, true},	{0xfee00800, 0xfee00400, false},
	    {0xfee00c00, 0xfee00000, true},	{0xfee00c00, 0xfee00800, false},
	    {0xfee00c00, 0xfee00c00, true},	{0xfee00c00, 0xfee00400, false},
	    {0xfee00800, 0xfee00801, false},	{0xfee00800, 0xfee00a00, false},
	    {0xfee00800, 0xfffffffff800, true}, {0xfee00800, 0x1000000000800, false},
	};
	u64 base;

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		setup(state);
		assert_true(lapic_set_base(&apic, rows[i].from));
		if (set_base(rows[i].to) != rows[i].taken)
			fail_msg("row %u", i);
		lapic_msr_read(&apic, MSR_LAPIC_BASE, now, &base);
		assert_int_equal(base, rows[i].taken ? rows[i].to : rows[i].from);
	}
	assert_false(lapic_set_base(&apic, 0xfee00400));
}

static void test_mode_decides_the_way_in(void **state)
{
	u32 value;

	(void)state;
	assert_int_equal(lapic_mode(&apic), LAPIC_XAPIC);
	assert_int_equal(msr(LAPIC_TPR), REFUSED);
	assert_false(set_msr(LAPIC_TPR, 0));
	put(LAPIC_TPR, 0x20);
	put(LAPIC_LVT_TIMER, 0x30);
	put(LAPIC_TMICT, 1000);
	assert_true(set_base(X2APIC_BASE));
	assert_int_equal(lapic_mode(&apic), LAPIC_X2APIC);
	assert_false(lapic_mmio_read(&apic, LAPIC_TPR, now, &value));
	assert_false(lapic_mmio_write(&apic, LAPIC_TPR, 0, now, &effect));
	assert_int_equal(msr(LAPIC_TPR), 0x20);
	assert_int_equal(msr(LAPIC_ID), 3);

	assert_true(set_base(0xfee00100));
	assert_int_equal(effect.kind, LAPIC_TIMER); /* it has stopped */
	assert_int_equal(effect.deadline, 0);
	assert_int_equal(lapic_mode(&apic), LAPIC_DISABLED);
	assert_false(lapic_mmio_read(&apic, LAPIC_TPR, now, &value));
	assert_int_equal(msr(LAPIC_TPR), REFUSED);
	assert_true(set_base(BOOT_BASE));
	assert_int_equal(get(LAPIC_TPR), 0);
	assert_int_equal(get(LAPIC_SVR), 0xff);
}

static void test_x2apic_ldr(void **state)
{
	static const u32 ids[][2] = {{0, 1}, {15, 0x8000}, {16, 0x10001}, {0x35, 0x30020}};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(ids); i++) {
		lapic_reset(&apic, ids[i][0], false);
		set_base(X2APIC_BASE);
		assert_int_equal(msr(LAPIC_LDR), ids[i][1]);
	}
}

/* --- priorities --- */

static void test_priorities(void **state)
{
	static const struct {
		u8 tpr, in_service, requested;
		u8 ppr;
		bool delivered;
	} rows[] = {
	    {0x00, 0, 0x10, 0x00, true},     {0x0f, 0, 0x10, 0x0f, true},
	    {0x10, 0, 0x1f, 0x10, false},    {0x1f, 0, 0x20, 0x1f, true},
	    {0xf0, 0, 0xff, 0xf0, false},    {0xe0, 0, 0xff, 0xe0, true},
	    {0x00, 0x51, 0x5f, 0x50, false}, {0x00, 0x51, 0x60, 0x50, true},
	    {0x47, 0x51, 0x60, 0x50, true},  {0x53, 0x51, 0x60, 0x53, true},
	    {0x63, 0x51, 0x6f, 0x63, false}, {0x00, 0xff, 0xfe, 0xf0, false},
	};

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		setup(state);
		if (rows[i].in_service) {
			lapic_post(&apic, rows[i].in_service, false);
			deliver(rows[i].in_service);
		}
		put(LAPIC_TPR, rows[i].tpr);
		lapic_post(&apic, rows[i].requested, false);
		if (get(LAPIC_PPR) != rows[i].ppr)
			fail_msg("row %u: PPR %x", i, get(LAPIC_PPR));
		if (lapic_highest(&apic) != (rows[i].delivered ? rows[i].requested : -1))
			fail_msg("row %u: %d", i, lapic_highest(&apic));
		assert_int_equal(lapic_requested(&apic), rows[i].requested);
	}
}

static void test_tpr(void **state)
{
	(void)state;
	assert_int_equal(lapic_requested(&apic), -1);
	lapic_post(&apic, 0x95, false);
	lapic_set_tpr(&apic, 0x90);
	assert_int_equal(get(LAPIC_TPR), 0x90);
	assert_int_equal(lapic_highest(&apic), -1);
	lapic_set_tpr(&apic, 0x8f);
	assert_int_equal(lapic_highest(&apic), 0x95);
	put(LAPIC_TPR, 0xab);
	assert_int_equal(apic.tpr, 0xab);
}

/* An EOI, and what it broadcasts; -1: nothing. */
static void end(int broadcast)
{
	put(LAPIC_EOI, 0);
	if (broadcast < 0) {
		assert_int_equal(effect.kind, LAPIC_NOTHING);
	} else {
		assert_int_equal(effect.kind, LAPIC_BROADCAST_EOI);
		assert_int_equal(effect.vector, broadcast);
	}
}

static void test_nesting(void **state)
{
	(void)state;
	lapic_post(&apic, 0x31, false);
	deliver(0x31);
	lapic_post(&apic, 0x81, true);
	deliver(0x81);
	lapic_post(&apic, 0x41, false);
	lapic_post(&apic, 0x8f, false); /* the class in service */
	assert_int_equal(lapic_highest(&apic), -1);
	lapic_post(&apic, 0xff, false);
	deliver(0xff);
	assert_int_equal(get(LAPIC_ISR + 0x10), 0x20000);
	assert_int_equal(get(LAPIC_ISR + 0x40), 2);
	assert_int_equal(get(LAPIC_ISR + 0x70), 0x80000000);
	assert_int_equal(get(LAPIC_IRR + 0x40), 0x8000);
	assert_int_equal(get(LAPIC_TMR + 0x40), 2);
	end(-1);
	assert_int_equal(lapic_highest(&apic), -1);
	end(0x81);
	deliver(0x8f);
	end(-1);
	deliver(0x41);
	assert_int_equal(get(LAPIC_PPR), 0x40);
	end(-1);
	assert_int_equal(get(LAPIC_PPR), 0x30);
	end(-1);
	assert_int_equal(get(LAPIC_PPR), 0);
	end(-1); /* nothing is in service */
}

/* A device may want the EOI of an edge: TMR is what it always is. INIT forgets. */
static void test_told_edges(void **state)
{
	(void)state;
	lapic_tell_eoi(&apic, 0x51);
	for (u32 pass = 0; pass < 2; pass++) {
		lapic_post(&apic, 0x51, false);
		deliver(0x51);
		assert_int_equal(get(LAPIC_TMR + 0x20), 0);
		end(0x51);
	}
	lapic_post(&apic, 0x50, false);
	deliver(0x50);
	end(-1);
	lapic_init(&apic);
	put(LAPIC_SVR, ENABLED);
	lapic_post(&apic, 0x51, false);
	deliver(0x51);
	end(-1);
}

static void test_trigger_modes(void **state)
{
	(void)state;
	lapic_post(&apic, 0x50, true);
	deliver(0x50);
	end(0x50);
	lapic_post(&apic, 0x50, false);
	deliver(0x50);
	assert_int_equal(get(LAPIC_TMR + 0x20), 0);
	end(-1);
	lapic_post(&apic, 0x50, true); /* both at once: the EOI must not get lost */
	lapic_post(&apic, 0x50, false);
	deliver(0x50);
	assert_int_equal(lapic_highest(&apic), -1);
	end(0x50);
	assert_int_equal(lapic_highest(&apic), -1);
}

static void test_post_says_what_is_new(void **state)
{
	(void)state;
	assert_true(lapic_post(&apic, 0x40, false));
	assert_false(lapic_post(&apic, 0x40, false));
	assert_true(lapic_post(&apic, 0x40, true));
	assert_true(lapic_post(&apic, 0xc0, false));
	assert_int_equal(lapic_highest(&apic), 0xc0);
	assert_true(lapic_post(&apic, 0x40, false));
}

static void test_software_disable(void **state)
{
	(void)state;
	put(LAPIC_LVT_LINT0, 0x44);
	put(LAPIC_LVT_ERROR, 0x45);
	lapic_post(&apic, 0x60, false);
	put(LAPIC_SVR, 0xff);
	for (u32 offset = LAPIC_LVT_TIMER; offset <= LAPIC_LVT_ERROR; offset += 16)
		assert_true(get(offset) & MASKED);
	put(LAPIC_LVT_LINT0, 0x44);
	assert_int_equal(get(LAPIC_LVT_LINT0), 0x44 | MASKED);
	lapic_post(&apic, 0x70, false);
	put(LAPIC_ICR, 0x40080);		      /* to itself */
	assert_int_equal(lapic_highest(&apic), 0x60); /* what it had, it keeps */
	put(LAPIC_SVR, ENABLED);
	assert_int_equal(lapic_highest(&apic), 0x60);
	assert_int_equal(get(LAPIC_LVT_LINT0), 0x44 | MASKED);

	put(LAPIC_SVR, 0xff);
	lapic_post(&apic, 0x90, false); /* dropped although the owner looks too late */
	put(LAPIC_SVR, ENABLED);
	assert_int_equal(lapic_highest(&apic), 0x60);
}

/* --- errors --- */

static u32 errors(void)
{
	put(LAPIC_ESR, 0);
	return get(LAPIC_ESR);
}

static void test_errors(void **state)
{
	(void)state;
	put(LAPIC_ICR, 0x0000f);
	assert_int_equal(effect.kind, LAPIC_NOTHING);
	assert_int_equal(get(LAPIC_ESR), 0); /* until it is written */
	assert_int_equal(errors(), 0x20);
	assert_int_equal(errors(), 0);
	put(LAPIC_ICR, 0x00510); /* an INIT has no vector */
	assert_int_equal(errors(), 0);
	lapic_post(&apic, 15, false);
	assert_int_equal(errors(), 0x40);
	assert_int_equal(lapic_requested(&apic), -1);
	put(LAPIC_LVT_LINT0, 0x0c);
	lapic_lint(&apic, 0);
	assert_int_equal(errors(), 0x40);
	get(0x3a0);
	put(LAPIC_ICR, 0x40005);
	assert_int_equal(errors(), 0xa0);

	put(LAPIC_LVT_ERROR, 0xfe);
	get(0);
	deliver(0xfe);
	end(-1);
	put(LAPIC_LVT_ERROR, 0x0e);
	get(0);
	assert_int_equal(lapic_highest(&apic), -1);
	assert_int_equal(errors(), 0xc0);
	put(LAPIC_SVR, 0xff);
	lapic_post(&apic, 15, true);
	assert_int_equal(lapic_requested(&apic), -1);
	assert_int_equal(errors(), 0);
}

/* --- sending --- */

static void test_icr(void **state)
{
	/* What is written, and whether it is for the caller to send. */
	static const struct {
		u32 low;
		bool sent;
	} rows[] = {
	    {0x00030, true},  {0x00130, true},	{0x00200, true},  {0x00330, false},
	    {0x00400, true},  {0x04500, true},	{0x00699, true},  {0x00730, false},
	    {0x08500, false}, {0x88500, false}, {0x0c500, true},  {0x80030, true},
	    {0xc0030, true},  {0x40400, true},	{0x40030, false}, {0x40130, false},
	};

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		setup(state);
		put(LAPIC_ICR_HIGH, 0x07ffffff);
		put(LAPIC_ICR, rows[i].low | 0x1000);
		if ((effect.kind == LAPIC_SEND) != rows[i].sent)
			fail_msg("row %u: %u", i, effect.kind);
		assert_int_equal(get(LAPIC_ICR), rows[i].low);
		assert_int_equal(get(LAPIC_ICR_HIGH), 0x07000000);
		if (!rows[i].sent)
			continue;
		assert_int_equal(effect.icr.vector, rows[i].low & 0xff);
		assert_int_equal(effect.icr.destination, 7);
		assert_false(effect.icr.x2apic);
	}
	setup(state);
	put(LAPIC_ICR, 0x40030);
	assert_int_equal(lapic_highest(&apic), 0x30);
}

static void test_x2apic_icr(void **state)
{
	(void)state;
	assert_true(set_msr(LAPIC_ICR, 0x1234567800005831ull));
	assert_int_equal(effect.kind, LAPIC_SEND);
	assert_int_equal(effect.icr.destination, 0x12345678);
	assert_true(effect.icr.x2apic);
	assert_int_equal(msr(LAPIC_ICR), 0x1234567800004831ull); /* no delivery status */
	assert_true(set_msr(LAPIC_SELF_IPI, 0x77));
	assert_int_equal(effect.kind, LAPIC_NOTHING);
	deliver(0x77);
	assert_true(set_msr(LAPIC_EOI, 0));
	assert_int_equal(msr(LAPIC_PPR), 0);
	assert_true(set_msr(LAPIC_SELF_IPI, 0x0f));
	assert_int_equal(lapic_requested(&apic), -1);
	assert_true(set_msr(LAPIC_ESR, 0));
	assert_int_equal(msr(LAPIC_ESR), 0x40);
}

/* --- the timer --- */

static void start_timer(u32 lvt, u32 divide, u32 count)
{
	put(LAPIC_LVT_TIMER, lvt);
	put(LAPIC_TDCR, divide);
	put(LAPIC_TMICT, count);
}

static void test_one_shot(void **state)
{
	(void)state;
	start_timer(0x40, DIVIDE_BY_1, 500);
	assert_int_equal(effect.kind, LAPIC_TIMER);
	assert_int_equal(effect.deadline, 1500);
	assert_int_equal(get(LAPIC_TMCCT), 500);
	now = 1499;
	assert_int_equal(get(LAPIC_TMCCT), 1);
	assert_int_equal(lapic_timer_expired(&apic, now), 1500);
	assert_int_equal(lapic_highest(&apic), -1);
	now = 1500;
	assert_int_equal(get(LAPIC_TMCCT), 0);
	assert_int_equal(lapic_timer_expired(&apic, now), 0);
	deliver(0x40);
	end(-1);
	now = 99999;
	assert_int_equal(lapic_timer_expired(&apic, now), 0);
	assert_int_equal(lapic_highest(&apic), -1);
	assert_int_equal(get(LAPIC_TMICT), 500);

	start_timer(0x40, DIVIDE_BY_1, 500);
	put(LAPIC_TMICT, 0);
	assert_int_equal(effect.kind, LAPIC_TIMER);
	assert_int_equal(effect.deadline, 0);
	start_timer(0x40 | MASKED, DIVIDE_BY_1, 500);
	now += 500;
	assert_int_equal(lapic_timer_expired(&apic, now), 0);
	assert_int_equal(lapic_highest(&apic), -1);
	start_timer(0x0f, DIVIDE_BY_1, 500);
	now += 500;
	lapic_timer_expired(&apic, now);
	assert_int_equal(errors(), 0x40);
}

static void test_late_interrupt_is_not_lost(void **state)
{
	(void)state;
	start_timer(0x40, DIVIDE_BY_1, 500);
	now = 1600;
	put(LAPIC_TMICT, 700);
	assert_int_equal(effect.deadline, 2300);
	assert_int_equal(lapic_highest(&apic), 0x40);
}

static void test_divide(void **state)
{
	static const u8 by[16] = {
	    [0] = 2, [1] = 4, [2] = 8, [3] = 16, [8] = 32, [9] = 64, [10] = 128, [11] = 1};

	for (u32 divide = 0; divide < 16; divide++) {
		setup(state);
		if (!by[divide])
			continue;
		start_timer(0x40, divide, 10);
		assert_int_equal(effect.deadline, now + 10 * by[divide]);
		now += 3u * by[divide];
		assert_int_equal(get(LAPIC_TMCCT), 7);
		put(LAPIC_TDCR, DIVIDE_BY_1);
		assert_int_equal(get(LAPIC_TMCCT), 7);
		assert_int_equal(lapic_deadline(&apic), now + 7);
	}
}

static void test_periodic(void **state)
{
	(void)state;
	start_timer(0x40 | PERIODIC, DIVIDE_BY_1, 100000);
	for (u32 i = 1; i < 4; i++) {
		now = 1000 + i * 100000;
		assert_int_equal(lapic_timer_expired(&apic, now), now + 100000);
		deliver(0x40);
		end(-1);
	}
	now = 301000 + 5 * 100000 + 30000; /* five late: one interrupt, and the beat goes on */
	assert_int_equal(get(LAPIC_TMCCT), 70000);
	assert_int_equal(lapic_timer_expired(&apic, now), 901000);
	deliver(0x40);
	end(-1);
	assert_int_equal(lapic_highest(&apic), -1);
	put(LAPIC_LVT_TIMER, 0x41); /* goes on as one-shot */
	assert_int_equal(effect.kind, LAPIC_NOTHING);
	assert_int_equal(lapic_timer_expired(&apic, 901000), 0);
	deliver(0x41);
	put(LAPIC_LVT_TIMER, 0x41 | PERIODIC); /* does not start it */
	assert_int_equal(lapic_deadline(&apic), 0);
}

/* What a client sets and reads, when it moves a vCPU. */
static void test_clients_deadline(void **state)
{
	(void)state;
	lapic_set_deadline(&apic, 5000, now); /* not in this mode */
	assert_int_equal(lapic_tsc_deadline(&apic, now), 0);
	put(LAPIC_LVT_TIMER, 0x40 | TSC_DEADLINE);
	lapic_set_deadline(&apic, now + 50, now);
	assert_int_equal(lapic_deadline(&apic), now + 50);
	assert_int_equal(lapic_tsc_deadline(&apic, now), now + 50);
	now += 50;
	assert_int_equal(lapic_tsc_deadline(&apic, now), 0);
	assert_int_equal(lapic_timer_expired(&apic, now), 0);
	deliver(0x40);
}

static void test_tsc_deadline(void **state)
{
	(void)state;
	set_deadline_msr(5000); /* not in this mode */
	assert_int_equal(effect.kind, LAPIC_NOTHING);
	assert_int_equal(deadline_msr(), 0);
	start_timer(0x40, DIVIDE_BY_1, 500);
	put(LAPIC_LVT_TIMER, 0x40 | TSC_DEADLINE);
	assert_int_equal(effect.kind, LAPIC_TIMER);
	assert_int_equal(effect.deadline, 0);
	put(LAPIC_TMICT, 700);
	assert_int_equal(get(LAPIC_TMICT), 500);
	assert_int_equal(effect.kind, LAPIC_NOTHING);
	set_deadline_msr(5000);
	assert_int_equal(effect.kind, LAPIC_TIMER);
	assert_int_equal(effect.deadline, 5000);
	assert_int_equal(deadline_msr(), 5000);
	assert_int_equal(get(LAPIC_TMCCT), 0);
	now = 5000;
	assert_int_equal(deadline_msr(), 0);
	assert_int_equal(lapic_timer_expired(&apic, now), 0);
	deliver(0x40);
	end(-1);
	set_deadline_msr(4999); /* in the past: now */
	assert_int_equal(effect.kind, LAPIC_NOTHING);
	deliver(0x40);
	end(-1);
	set_deadline_msr(UINT64_MAX);
	set_deadline_msr(0);
	assert_int_equal(effect.deadline, 0);
	assert_int_equal(lapic_highest(&apic), -1);
	set_deadline_msr(6000);
	put(LAPIC_LVT_TIMER, 0x40 | TSC_DEADLINE | MASKED);
	assert_int_equal(lapic_deadline(&apic), 6000);
	put(LAPIC_LVT_TIMER, 0x40 | PERIODIC);
	assert_int_equal(lapic_deadline(&apic), 0);
	put(LAPIC_LVT_TIMER, 0x40 | PERIODIC | TSC_DEADLINE); /* reserved */
	put(LAPIC_TMICT, 9);
	set_deadline_msr(7000);
	assert_int_equal(lapic_deadline(&apic), 0);
}

static void test_tsc_frequency(void **state)
{
	(void)state;
	assert_false(lapic_set_tsc_khz(&apic, 0));
	assert_false(lapic_set_tsc_khz(&apic, LAPIC_TSC_KHZ_MAX + 1));
	assert_true(lapic_set_tsc_khz(&apic, 2500000));
	start_timer(0x40, DIVIDE_BY_1, 1000); /* 1 us */
	assert_int_equal(effect.deadline, now + 2500);
	now += 1250;
	assert_int_equal(get(LAPIC_TMCCT), 500);
	assert_true(lapic_set_tsc_khz(&apic, 1)); /* slower than the bus */
	start_timer(0x40, DIVIDE_BY_1, 1);
	assert_int_equal(effect.deadline, now + 1);
	assert_int_equal(get(LAPIC_TMCCT), 1);
}

static void test_shortest_period(void **state)
{
	(void)state;
	start_timer(0x40 | PERIODIC, DIVIDE_BY_1, 1);
	assert_int_equal(effect.deadline, now + 1);
	assert_int_equal(lapic_timer_expired(&apic, now + 1), now + 1 + LAPIC_PERIOD_MIN);
	now += 2;
	assert_int_equal(get(LAPIC_TMCCT), 1);
	assert_int_equal(lapic_timer_expired(&apic, now + 3 * LAPIC_PERIOD_MIN), now - 1 + 4 * LAPIC_PERIOD_MIN);
}

static void test_extremes(void **state)
{
	(void)state;
	assert_true(lapic_set_tsc_khz(&apic, LAPIC_TSC_KHZ_MAX));
	start_timer(0x40 | PERIODIC, 0xa, 0xffffffff); /* the longest: 128 * (2^32 - 1) ns */
	assert_int_equal(effect.deadline, now + 9223371484952ull);
	assert_int_equal(get(LAPIC_TMCCT), 0xffffffff);
	now = lapic_deadline(&apic) - 1;
	assert_int_equal(get(LAPIC_TMCCT), 1);
	now = 1; /* the TSC went back */
	assert_int_equal(get(LAPIC_TMCCT), 0xffffffff);
	now = UINT64_MAX - 5; /* and far ahead: no wrap */
	assert_int_equal(lapic_timer_expired(&apic, now), UINT64_MAX);
	put(LAPIC_TMICT, 100);
	assert_int_equal(lapic_deadline(&apic), UINT64_MAX);
}

static void test_tsc_steps(void **state)
{
	(void)state;
	start_timer(0x40, DIVIDE_BY_1, 500);
	now = 1200;
	lapic_tsc_stepped(&apic, now, 10);
	assert_int_equal(lapic_deadline(&apic), 310);
	now = 10;
	assert_int_equal(get(LAPIC_TMCCT), 300);
	lapic_tsc_stepped(&apic, 400, 0); /* it was due, and nobody had looked */
	assert_int_equal(lapic_deadline(&apic), 0);
	assert_int_equal(lapic_highest(&apic), 0x40);
	put(LAPIC_LVT_TIMER, 0x40 | TSC_DEADLINE);
	set_deadline_msr(5000);
	lapic_tsc_stepped(&apic, now, 4000);
	assert_int_equal(lapic_deadline(&apic), 5000);
}

/* --- pins --- */

static void test_lint(void **state)
{
	static const struct {
		u32 entry;
		enum lapic_pin result;
		int posted;
	} rows[] = {
	    {0x10700, LAPIC_PIN_NOTHING, -1},	{0x00700, LAPIC_PIN_EXTINT, -1},
	    {0x00400, LAPIC_PIN_NMI, -1},	{0x10400, LAPIC_PIN_NOTHING, -1},
	    {0x00200, LAPIC_PIN_SMI, -1},	{0x00500, LAPIC_PIN_INIT, -1},
	    {0x00045, LAPIC_PIN_NOTHING, 0x45}, {0x10045, LAPIC_PIN_NOTHING, -1},
	    {0x08045, LAPIC_PIN_NOTHING, 0x45}, {0x00145, LAPIC_PIN_NOTHING, -1},
	    {0x00645, LAPIC_PIN_NOTHING, -1},
	};

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		for (u32 pin = 0; pin < 2; pin++) {
			setup(state);
			put(LAPIC_LVT_LINT0 + 16 * pin, rows[i].entry);
			assert_int_equal(lapic_lint(&apic, !pin), LAPIC_PIN_NOTHING);
			if (lapic_lint(&apic, pin) != rows[i].result ||
			    lapic_highest(&apic) != rows[i].posted)
				fail_msg("row %u", i);
			assert_int_equal(get(LAPIC_TMR + 0x20),
					 rows[i].entry == 0x8045 ? 0x20 : 0);
			assert_int_equal(lapic_takes_extint(&apic),
					 pin == 0 && rows[i].result == LAPIC_PIN_EXTINT);
		}
	set_base(0xfee00000);
	assert_true(lapic_takes_extint(&apic));
	assert_int_equal(lapic_lint(&apic, 0), LAPIC_PIN_EXTINT);
	assert_int_equal(lapic_lint(&apic, 1), LAPIC_PIN_NMI);
}

/* --- destinations --- */

#define FLAT	0xffffffffu
#define CLUSTER 0x0fffffffu

static void test_destinations(void **state)
{
	static const struct {
		u32 id;
		u64 base;
		u32 ldr, dfr; /* xAPIC */
		bool logical, from_x2apic;
		u32 destination;
		bool reached;
	} rows[] = {
	    {3, BOOT_BASE, 0, FLAT, false, false, 3, true},
	    {3, BOOT_BASE, 0, FLAT, false, false, 2, false},
	    {3, BOOT_BASE, 0, FLAT, false, false, 0xff, true},
	    {3, BOOT_BASE, 0, FLAT, false, false, 0xffffffff, true},
	    {3, BOOT_BASE, 0, FLAT, false, false, 0x103, false},
	    {3, BOOT_BASE, 0x04000000, FLAT, true, false, 0x0c, true},
	    {3, BOOT_BASE, 0x04000000, FLAT, true, false, 0x0b, false},
	    {3, BOOT_BASE, 0x04000000, FLAT, true, false, 0xff, true},
	    {3, BOOT_BASE, 0x04000000, FLAT, true, false, 0x104, false},
	    {3, BOOT_BASE, 0x24000000, CLUSTER, true, false, 0x26, true},
	    {3, BOOT_BASE, 0x24000000, CLUSTER, true, false, 0x36, false},
	    {3, BOOT_BASE, 0x24000000, CLUSTER, true, false, 0xff, true},
	    {0x13, X2APIC_BASE, 0, FLAT, false, true, 0x13, true},
	    {0x13, X2APIC_BASE, 0, FLAT, false, true, 0xff, false},
	    {0x13, X2APIC_BASE, 0, FLAT, false, false, 0xff, true},
	    {0x13, X2APIC_BASE, 0, FLAT, false, true, 0xffffffff, true},
	    {0x13, X2APIC_BASE, 0, FLAT, true, true, 0x00010008, true},
	    {0x13, X2APIC_BASE, 0, FLAT, true, true, 0x00010010, false},
	    {0x13, X2APIC_BASE, 0, FLAT, true, true, 0x00000008, false},
	    {0x03, X2APIC_BASE, 0, FLAT, true, false, 0x00000008, true},
	    {0x13, X2APIC_BASE, 0, FLAT, true, true, 0xffffffff, true},
	    {3, 0xfee00000, 0xff000000, FLAT, false, false, 0xff, false},
	};

	(void)state;
	for (u32 pass = 0; pass < 2 * ARRAY_SIZE(rows); pass++) {
		u32 i = pass / 2;
		struct icr icr = {
		    .vector = 0x40,
		    .logical = rows[i].logical,
		    .destination = rows[i].destination,
		    .x2apic = rows[i].from_x2apic,
		};

		lapic_reset(&apic, rows[i].id, false);
		put(LAPIC_SVR, ENABLED);
		if (pass & 1) /* either may come last */
			put(LAPIC_LDR, rows[i].ldr);
		put(LAPIC_DFR, rows[i].dfr);
		if (!(pass & 1))
			put(LAPIC_LDR, rows[i].ldr);
		if (rows[i].base != BOOT_BASE)
			lapic_set_base(&apic, rows[i].base);
		if (lapic_reached(&apic, &icr, 99) != rows[i].reached)
			fail_msg("row %u", i);
	}
}

static void test_shorthands_and_disabled(void **state)
{
	struct icr icr = {.vector = 0x40, .shorthand = ICR_ALL, .destination = 77};

	(void)state;
	assert_true(lapic_reached(&apic, &icr, 3) && lapic_reached(&apic, &icr, 4));
	icr.shorthand = ICR_ALL_BUT_SELF;
	assert_false(lapic_reached(&apic, &icr, 3));
	assert_true(lapic_reached(&apic, &icr, 4));
	icr.shorthand = ICR_SELF;
	assert_true(lapic_reached(&apic, &icr, 3));
	assert_false(lapic_reached(&apic, &icr, 4));
	icr.shorthand = ICR_ALL;
	put(LAPIC_SVR, 0xff);
	for (u32 delivery = 0; delivery < 7; delivery++) {
		icr.delivery = (u8)delivery;
		assert_int_equal(lapic_reached(&apic, &icr, 4), delivery > ICR_LOWEST);
	}
}

static void test_arbitration(void **state)
{
	static struct lapic apics[4];
	struct lapic *const all[5] = {&apics[0], &apics[1], NULL, &apics[2], &apics[3]};
	struct icr icr = {.vector = 0x40, .delivery = ICR_LOWEST, .logical = true};
	static const int winner[] = {0, 1, 4, 4, 4, 0, 1};

	(void)state;
	for (u32 i = 0; i < 4; i++) {
		lapic_reset(&apics[i], i, false);
		lapic_mmio_write(&apics[i], LAPIC_LDR, 0x01000000u << i, 0, &effect);
		if (i != 2) /* index 3 is addressed, but disabled */
			lapic_mmio_write(&apics[i], LAPIC_SVR, ENABLED, 0, &effect);
	}
	icr.destination = 0xff;
	for (u32 turn = 0; turn < ARRAY_SIZE(winner); turn++)
		assert_int_equal(lapic_arbitrate(all, 5, &icr, 0, turn), winner[turn]);
	icr.destination = 0x08;
	assert_int_equal(lapic_arbitrate(all, 5, &icr, 0, UINT32_MAX), 4);
	icr.destination = 0x04;
	assert_int_equal(lapic_arbitrate(all, 5, &icr, 0, 1), -1);
	assert_int_equal(lapic_arbitrate(all, 0, &icr, 0, 1), -1);
}

/* --- saving --- */

static u8 page[LAPIC_SIZE], again[LAPIC_SIZE];

static void page_put(u32 offset, u32 value)
{
	memcpy(page + offset, &value, 4);
}

static u32 page_get(u32 offset)
{
	u32 value;

	memcpy(&value, page + offset, 4);
	return value;
}

static void test_save_and_restore(void **state)
{
	(void)state;
	put(LAPIC_TPR, 0x15);
	put(LAPIC_LDR, 0x02000000);
	put(LAPIC_DFR, 0);
	put(LAPIC_ICR_HIGH, 0x09000000);
	put(LAPIC_ICR, 0x4030);
	put(LAPIC_LVT_LINT1, 0x400);
	start_timer(0x40 | PERIODIC, 0xa, 100);
	now += 10 * 128;
	lapic_post(&apic, 0x61, true);
	deliver(0x61);
	lapic_post(&apic, 0x81, false);
	put(0x0c0, 0);
	put(LAPIC_ESR, 0);
	lapic_post(&apic, 0x91, true);
	lapic_save(&apic, now, page);
	assert_int_equal(page_get(LAPIC_ID), 3u << 24);
	assert_int_equal(page_get(LAPIC_IRR + 0x40), 0x20002);
	assert_int_equal(page_get(LAPIC_ISR + 0x30), 2);
	assert_int_equal(page_get(LAPIC_TMR + 0x30), 2);
	assert_int_equal(page_get(LAPIC_TMCCT), 90);
	assert_int_equal(page_get(LAPIC_ESR), 0x80);
	assert_int_equal(page_get(LAPIC_PPR), 0x60);

	lapic_reset(&apic, 3, true);
	lapic_restore(&apic, 5000, page);
	lapic_save(&apic, 5000, again);
	assert_memory_equal(page, again, LAPIC_SIZE);
	assert_int_equal(lapic_deadline(&apic), 5000 + 90 * 128);
	deliver(0x91);
	end(0x91);
	deliver(0x81);
	end(-1);
	end(0x61);
	assert_true(lapic_reached(&apic, &(struct icr){.logical = true, .destination = 2}, 0));
}

static void test_save_x2apic(void **state)
{
	(void)state;
	set_msr(LAPIC_ICR, 0x1234567800004831ull);
	lapic_save(&apic, now, page);
	assert_int_equal(page_get(LAPIC_ICR), 0x4831);
	assert_int_equal(page_get(LAPIC_ICR_HIGH), 0x12345678);
	assert_int_equal(page_get(LAPIC_ID), 3);
	assert_int_equal(page_get(LAPIC_LDR), 8);
	lapic_reset(&apic, 3, true);
	lapic_set_base(&apic, X2APIC_BASE);
	lapic_restore(&apic, now, page);
	assert_int_equal(msr(LAPIC_ICR), 0x1234567800004831ull);
	lapic_save(&apic, now, again);
	assert_memory_equal(page, again, LAPIC_SIZE);
}

static void test_hostile_restore(void **state)
{
	static const struct {
		u32 offset, value;
	} rows[] = {
	    {LAPIC_ID, 3u << 24},
	    {LAPIC_VERSION, 0x50014},
	    {LAPIC_TPR, 0xff},
	    {LAPIC_PPR, 0xff},
	    {LAPIC_LDR, 0xff000000},
	    {LAPIC_SVR, 0x3ff},
	    {LAPIC_ISR, 0xffff0000},
	    {LAPIC_TMR, 0xffff0000},
	    {LAPIC_IRR, 0xffff0000},
	    {LAPIC_ISR + 0x70, 0xffffffff},
	    {LAPIC_ESR, 0xff},
	    {LAPIC_ICR, 0xccfff},
	    {LAPIC_ICR_HIGH, 0xff000000},
	    {LAPIC_LVT_TIMER, 0x700ff},
	    {LAPIC_LVT_THERMAL, 0x107ff},
	    {LAPIC_LVT_LINT0, 0x1a7ff},
	    {LAPIC_LVT_ERROR, 0x100ff},
	    {LAPIC_TDCR, 0xb},
	};

	(void)state;
	memset(page, 0xff, sizeof(page));
	lapic_restore(&apic, now, page);
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		if (get(rows[i].offset) != rows[i].value)
			fail_msg("register %x: %x", rows[i].offset, get(rows[i].offset));
	assert_int_equal(lapic_deadline(&apic), 0);
	for (u32 i = 0; i < 240; i++)
		put(LAPIC_EOI, 0);
	put(LAPIC_TPR, 0);
	assert_int_equal(get(LAPIC_PPR), 0);
}

static void test_restored_timers(void **state)
{
	static const struct {
		u32 lvt, initial, current;
		u64 deadline; /* from now on; 0: stopped */
	} rows[] = {
	    {0x40, 100, 30, 30},
	    {0x40, 0, 30, 0},
	    {0x40, 100, 101, 100},
	    {0x40 | PERIODIC, 100, 30, 30},
	    {0x40 | PERIODIC, 100, 0, 100},
	    {0x40 | PERIODIC, 0, 7, 0},
	    {0x40 | TSC_DEADLINE, 100, 30, 0},
	};

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		setup(state);
		start_timer(0x50, DIVIDE_BY_1, 5);
		lapic_post(&apic, 0x99, false);
		memset(page, 0, sizeof(page));
		page_put(LAPIC_SVR, ENABLED);
		page_put(LAPIC_TDCR, DIVIDE_BY_1);
		page_put(LAPIC_LVT_TIMER, rows[i].lvt);
		page_put(LAPIC_TMICT, rows[i].initial);
		page_put(LAPIC_TMCCT, rows[i].current);
		lapic_restore(&apic, now, page);
		if (lapic_deadline(&apic) != (rows[i].deadline ? now + rows[i].deadline : 0))
			fail_msg("row %u: %llu", i, (unsigned long long)lapic_deadline(&apic));
		assert_int_equal(lapic_requested(&apic), -1);
		assert_int_equal(get(LAPIC_DFR), 0x0fffffff);
	}
	/* Started once, and nobody says what is left: due, as QEMU's restored timers must be. */
	page_put(LAPIC_LVT_TIMER, 0x40);
	page_put(LAPIC_TMCCT, 0);
	lapic_restore(&apic, now, page);
	assert_int_equal(lapic_timer_expired(&apic, now), 0);
	assert_int_equal(lapic_requested(&apic), 0x40);
	page_put(LAPIC_LVT_TIMER, 0x40 | TSC_DEADLINE);
	lapic_restore(&apic, now, page);
	set_deadline_msr(7777);
	lapic_restore(&apic, now, page);
	assert_int_equal(lapic_deadline(&apic), 7777);
	page_put(LAPIC_SVR, 0xff); /* as QEMU resets it: LINT0 for the BIOS */
	page_put(LAPIC_LVT_LINT0, 0x700);
	lapic_restore(&apic, now, page);
	assert_int_equal(lapic_lint(&apic, 0), LAPIC_PIN_EXTINT);
}

/* --- against a naive model --- */

static u64 random_state;

static u32 random32(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (u32)(random_state >> 16);
}

static struct {
	bool edge[256], level[256]; /* posted */
	bool irr[256], isr[256], tmr[256];
	u32 tpr, errors, error_lvt;
	bool enabled;
} model;

static void model_request(u32 vector, bool level)
{
	if (!model.enabled)
		return;
	model.irr[vector] = true;
	model.tmr[vector] = level;
}

static void model_error(u32 error)
{
	model.errors |= error;
	if (model.error_lvt >= MASKED)
		return;
	if (model.error_lvt < 16)
		model.errors |= 0x40;
	else
		model_request(model.error_lvt, false);
}

static void model_collect(void)
{
	for (u32 i = 0; i < 256; i++) {
		if (!model.enabled || !(model.edge[i] || model.level[i]))
			continue;
		if (i < 16)
			model_error(0x40);
		else
			model_request(i, model.level[i]);
	}
	memset(model.edge, 0, sizeof(model.edge));
	memset(model.level, 0, sizeof(model.level));
}

static int model_top(const bool *vectors)
{
	for (int i = 255; i >= 0; i--)
		if (vectors[i])
			return i;
	return -1;
}

static u32 model_ppr(void)
{
	int top = model_top(model.isr);
	u32 class = top < 0 ? 0 : (u32)top & 0xf0;

	return class > (model.tpr & 0xf0) ? class : model.tpr;
}

static void step_deliver(void)
{
	int top, found = lapic_highest(&apic);

	model_collect();
	top = model_top(model.irr);
	if (top >= 0 && ((u32)top & 0xf0) <= (model_ppr() & 0xf0))
		top = -1;
	assert_int_equal(found, top);
	if (top < 0)
		return;
	lapic_accept(&apic, (u8)top);
	model.irr[top] = false;
	model.isr[top] = true;
}

static void step_eoi(void)
{
	int top = model_top(model.isr);
	bool broadcast = top >= 0 && model.tmr[top];

	put(LAPIC_EOI, random32());
	if (top >= 0)
		model.isr[top] = false;
	assert_int_equal(effect.kind, broadcast ? LAPIC_BROADCAST_EOI : LAPIC_NOTHING);
	if (broadcast)
		assert_int_equal(effect.vector, top);
}

static void step_compare(const bool *vectors, u32 base)
{
	u32 word = random32() % 8, expected = 0, found = get(base + word * 16);

	if (base != LAPIC_ISR)
		model_collect();
	for (u32 i = 0; i < 32; i++)
		expected |= (u32)vectors[word * 32 + i] << i;
	assert_int_equal(found, expected);
}

static void step_self_ipi(u32 vector)
{
	put(LAPIC_ICR, 0x40000 | vector);
	if (vector < 16)
		model_error(0x20);
	else
		model_request(vector, false);
}

static void step_errors(void)
{
	model_collect();
	assert_int_equal(errors(), model.errors);
	model.errors = 0;
}

static void step_enable(bool enable)
{
	model_collect();
	put(LAPIC_SVR, enable ? ENABLED : 0xff);
	model.enabled = enable;
	if (!enable)
		model.error_lvt |= MASKED;
}

static void step_post(u32 vector, bool level)
{
	bool *posted = level ? model.level : model.edge;

	assert_int_equal(lapic_post(&apic, (u8)vector, level), !posted[vector]);
	posted[vector] = true;
}

static void step(void)
{
	u32 kind = random32() % 64, vector = random32() % 256;

	if (kind < 16)
		step_post(vector, kind & 1);
	else if (kind < 30)
		step_deliver();
	else if (kind < 42)
		step_eoi();
	else if (kind < 46)
		put(LAPIC_TPR, model.tpr = vector);
	else if (kind < 48)
		lapic_set_tpr(&apic, model.tpr = vector & 0x7f);
	else if (kind < 52)
		step_self_ipi(vector);
	else if (kind < 55)
		step_compare(model.irr, LAPIC_IRR);
	else if (kind < 57)
		step_compare(model.isr, LAPIC_ISR);
	else if (kind < 60)
		step_compare(model.tmr, LAPIC_TMR);
	else if (kind < 61)
		step_enable(random32() % 4);
	else if (kind < 62)
		step_errors();
	else
		put(LAPIC_LVT_ERROR, model.error_lvt = model.enabled ? vector : MASKED);
	assert_int_equal(get(LAPIC_PPR), model_ppr());
	if (model.tpr > 0x80 && random32() % 4 == 0)
		put(LAPIC_TPR, model.tpr = 0);
}

static void test_against_a_model(void **state)
{
	for (u32 seed = 1; seed <= 20; seed++) {
		setup(state);
		random_state = 0x9e3779b97f4a7c15ull * seed;
		memset(&model, 0, sizeof(model));
		model.enabled = true;
		model.error_lvt = MASKED;
		for (u32 i = 0; i < 2000; i++)
			step();
	}
}

/* --- anything at all --- */

static void check_invariants(void)
{
	u64 deadline = lapic_timer_expired(&apic, now);
	u32 count;

	if (deadline && deadline <= now && deadline != UINT64_MAX)
		fail_msg("deadline %llx", (unsigned long long)deadline);
	assert_true(lapic_requested(&apic) == -1 || lapic_requested(&apic) >= 16);
	lapic_save(&apic, now, page);
	assert_int_equal((page_get(LAPIC_IRR) | page_get(LAPIC_ISR)) & 0xffff, 0);
	count = page_get(LAPIC_TMCCT);
	assert_true(count <= page_get(LAPIC_TMICT));
	assert_int_equal(!count, !deadline || page_get(LAPIC_LVT_TIMER) & TSC_DEADLINE);
}

static void anything(void)
{
	u32 offset = random32() % 0x44 * 16, kind = random32() % 16, value;
	u64 value64 =
	    random32() % 4 ? random32() >> random32() % 32 : (u64)random32() << 32 | random32();

	now += random32() % 8 ? random32() % 1000 : (u64)random32() << random32() % 33;
	if (kind < 6)
		lapic_mmio_write(&apic, offset, (u32)value64, now, &effect);
	else if (kind < 10)
		lapic_msr_write(&apic, MSR_LAPIC_X2APIC + offset / 16, value64, now, &effect);
	else if (kind < 11)
		lapic_msr_write(&apic, MSR_LAPIC_DEADLINE, value64, now, &effect);
	else if (kind < 12)
		lapic_set_base(&apic, 0xfee00000 | (random32() & 0xc00));
	else if (kind < 13)
		lapic_set_tsc_khz(&apic, random32() >> random32() % 32);
	else if (kind < 14)
		lapic_tsc_stepped(&apic, now, value64), now = value64;
	else if (kind < 15)
		lapic_mmio_read(&apic, offset, now, &value);
	else
		lapic_post(&apic, (u8)random32(), random32() & 1);
}

static void test_anything(void **state)
{
	(void)state;
	random_state = 42;
	for (u32 i = 0; i < 20000; i++) {
		anything();
		if (i % 8 == 0)
			check_invariants();
		if (i % 64)
			continue;
		for (u32 at = 0; at < LAPIC_SIZE; at++)
			page[at] = (u8)random32();
		lapic_restore(&apic, now, page);
		check_invariants();
		lapic_restore(&apic, now, page);
		lapic_save(&apic, now, again);
		assert_memory_equal(page, again, LAPIC_SIZE);
	}
}

/* --- two CPUs --- */

#define ROUNDS 20000u

static u32 sent[256]; /* how often the vector was posted and found no older post of its own */

static void *sender(void *unused)
{
	for (u32 i = 0; i < ROUNDS; i++) {
		u8 vector = (u8)(16 + i % 240);

		sent[vector] += lapic_post(&apic, vector, i & 1);
	}
	return unused;
}

static void receive(u32 *received)
{
	for (int vector; (vector = lapic_highest(&apic)) >= 0;) {
		lapic_accept(&apic, (u8)vector);
		received[vector]++;
		put(LAPIC_EOI, 0);
	}
}

/* Every post is seen; one that came while its vector was in the IRR may share an interrupt. */
static void test_two_threads(void **state)
{
	u32 received[256] = {0};
	pthread_t thread;

	(void)state;
	memset(sent, 0, sizeof(sent));
	assert_int_equal(pthread_create(&thread, NULL, sender, NULL), 0);
	for (u32 i = 0; i < 5000; i++)
		receive(received);
	assert_int_equal(pthread_join(thread, NULL), 0);
	receive(received);
	for (u32 i = 16; i < 256; i++)
		if (!received[i] || received[i] > sent[i])
			fail_msg("vector %u: %u of %u", i, received[i], sent[i]);
	assert_int_equal(lapic_requested(&apic), -1);
	assert_nothing_waits();
}

/* Two posts just behind each other: the owner may see them one by one, but it sees both. */
#define PAIRS 10000u

static u32 posted, seen; /* atomic: pairs */

static void *pair_sender(void *unused)
{
	for (u32 i = 0; i < PAIRS; i++) {
		while (__atomic_load_n(&seen, __ATOMIC_ACQUIRE) != i)
			sched_yield();
		lapic_post(&apic, 0xf0, false);
		lapic_post(&apic, 0x20, false);
		__atomic_store_n(&posted, i + 1, __ATOMIC_RELEASE);
	}
	return unused;
}

static void test_no_post_stays_behind(void **state)
{
	u32 received[256] = {0}, lost = 0;
	pthread_t thread;

	(void)state;
	posted = seen = 0;
	assert_int_equal(pthread_create(&thread, NULL, pair_sender, NULL), 0);
	for (u32 i = 0; i < PAIRS; i++) {
		for (u32 poll = 1; __atomic_load_n(&posted, __ATOMIC_ACQUIRE) == i; poll++) {
			receive(received);
			if (poll % 64 == 0)
				sched_yield();
		}
		receive(received);
		lost += received[0xf0] != i + 1 || received[0x20] != i + 1;
		__atomic_store_n(&seen, i + 1, __ATOMIC_RELEASE);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(lost, 0);
}

#define TEST(name)  cmocka_unit_test_setup(name, setup)
#define TEST2(name) cmocka_unit_test_setup(name, setup_x2apic)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_reset),
	    TEST(test_mmio_map),
	    TEST(test_msr_map),
	    TEST(test_modes),
	    TEST(test_mode_decides_the_way_in),
	    TEST(test_x2apic_ldr),
	    TEST(test_priorities),
	    TEST(test_tpr),
	    TEST(test_nesting),
	    TEST(test_told_edges),
	    TEST(test_trigger_modes),
	    TEST(test_post_says_what_is_new),
	    TEST(test_software_disable),
	    TEST(test_errors),
	    TEST(test_icr),
	    TEST2(test_x2apic_icr),
	    TEST(test_one_shot),
	    TEST(test_late_interrupt_is_not_lost),
	    TEST(test_divide),
	    TEST(test_periodic),
	    TEST(test_shortest_period),
	    TEST(test_clients_deadline),
	    TEST(test_tsc_deadline),
	    TEST(test_tsc_frequency),
	    TEST(test_extremes),
	    TEST(test_tsc_steps),
	    TEST(test_lint),
	    TEST(test_destinations),
	    TEST(test_shorthands_and_disabled),
	    TEST(test_arbitration),
	    TEST(test_save_and_restore),
	    TEST2(test_save_x2apic),
	    TEST(test_hostile_restore),
	    TEST(test_restored_timers),
	    TEST(test_against_a_model),
	    TEST(test_anything),
	    TEST(test_two_threads),
	    TEST(test_no_post_stays_behind),
	};

	return cmocka_run_group_tests_name("lapic", tests, NULL, NULL);
}
