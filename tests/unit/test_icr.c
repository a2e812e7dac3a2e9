/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/icr.h"

#define FLAT	0xffffffff
#define CLUSTER 0x0fffffff
#define UNKNOWN 0x7fffffff

static void test_decode_xapic(void **state)
{
	struct icr icr;

	(void)state;
	icr_decode_xapic(0x03ffffff, 0x4699, &icr); /* the SIPI that Linux sends */
	assert_int_equal(icr.vector, 0x99);
	assert_int_equal(icr.delivery, ICR_STARTUP);
	assert_int_equal(icr.shorthand, ICR_DESTINATION);
	assert_int_equal(icr.destination, 3);
	assert_true(icr.assert);
	assert_false(icr.logical || icr.level_triggered || icr.x2apic);

	icr_decode_xapic(0, 0xfffff7ff & ~0xc0000u, &icr);
	assert_false(icr.logical);
	icr_decode_xapic(0xab000000, 0x000c0800, &icr);
	assert_true(icr.logical);
	assert_int_equal(icr.shorthand, ICR_ALL_BUT_SELF);
	assert_int_equal(icr.delivery, ICR_FIXED);
	assert_int_equal(icr.destination, 0xab);
	icr_decode_xapic(0, 0x00040500, &icr);
	assert_int_equal(icr.shorthand, ICR_SELF);
	assert_int_equal(icr.delivery, ICR_INIT);
	icr_decode_xapic(0, 0x00080200, &icr);
	assert_int_equal(icr.shorthand, ICR_ALL);
	assert_int_equal(icr.delivery, ICR_SMI);
}

static void test_decode_x2apic(void **state)
{
	struct icr icr;

	(void)state;
	icr_decode_x2apic(0x1234567800084c9aull, &icr);
	assert_int_equal(icr.vector, 0x9a);
	assert_int_equal(icr.delivery, ICR_NMI);
	assert_int_equal(icr.shorthand, ICR_ALL);
	assert_int_equal(icr.destination, 0x12345678);
	assert_true(icr.assert &&icr.logical &&icr.x2apic);
	assert_false(icr.level_triggered);
}

static void test_init_deassert(void **state)
{
	static const struct {
		u32 low;
		bool deassert;
	} rows[] = {
	    {0x8500, true},  {0x88500, true}, {0xc500, false},
	    {0x4500, false}, {0x0500, false}, {0x8600, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct icr icr;

		icr_decode_xapic(0, rows[i].low, &icr);
		assert_int_equal(icr_is_init_deassert(&icr), rows[i].deassert);
	}
}

static void test_shorthands(void **state)
{
	/* Logical IDs that match nothing must not matter. */
	static const struct apic_identity self = {5, 0, UNKNOWN}, other = {6, 0, UNKNOWN};
	static const struct {
		u8 shorthand;
		bool self, other;
	} rows[] = {
	    {ICR_DESTINATION, false, true},
	    {ICR_SELF, true, false},
	    {ICR_ALL, true, true},
	    {ICR_ALL_BUT_SELF, false, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (unsigned x2apic = 0; x2apic < 2; x2apic++) {
			struct icr icr = {
			    .shorthand = rows[i].shorthand,
			    .destination = 6,
			    .x2apic = x2apic,
			};

			assert_int_equal(icr_reaches(&icr, &self, &self), rows[i].self);
			assert_int_equal(icr_reaches(&icr, &self, &other), rows[i].other);
		}
}

static void test_destinations(void **state)
{
	static const struct {
		bool x2apic, logical;
		u32 destination;
		struct apic_identity cpu;
		bool reached;
	} rows[] = {
	    /* xAPIC, physical */
	    {false, false, 3, {3, 0, FLAT}, true},
	    {false, false, 3, {2, 3u << 24, FLAT}, false},
	    {false, false, 0xff, {2, 0, FLAT}, true},
	    {false, false, 3, {0x103, 0, FLAT}, false},
	    /* xAPIC, flat */
	    {false, true, 0x06, {9, 0x02000000, FLAT}, true},
	    {false, true, 0x06, {6, 0x08000000, FLAT}, false},
	    {false, true, 0xff, {9, 0x80000000, FLAT}, true},
	    {false, true, 0xff, {9, 0x00ffffff, FLAT}, false},
	    {false, true, 0x00, {0, 0xff000000, FLAT}, false},
	    /* xAPIC, cluster */
	    {false, true, 0x23, {9, 0x22000000, CLUSTER}, true},
	    {false, true, 0x23, {9, 0x24000000, CLUSTER}, false},
	    {false, true, 0x23, {9, 0x32000000, CLUSTER}, false},
	    {false, true, 0x20, {9, 0x2f000000, CLUSTER}, false},
	    {false, true, 0xff, {9, 0x34000000, CLUSTER}, true},
	    {false, true, 0xf3, {9, 0x34000000, CLUSTER}, false},
	    /* xAPIC, no such model */
	    {false, true, 0xff, {9, 0xff000000, UNKNOWN}, false},
	    {false, true, 0xff, {9, 0xff000000, 0xe0000000}, false},
	    /* x2APIC, physical */
	    {true, false, 0x103, {0x103, 0, 0}, true},
	    {true, false, 0x103, {3, 0, 0}, false},
	    {true, false, 0xff, {3, 0, 0}, false},
	    {true, false, 0xffffffff, {3, 0, 0}, true},
	    /* x2APIC, logical: ID 35h is bit 5 of cluster 3 */
	    {true, true, 0x00030020, {0x35, 0, 0}, true},
	    {true, true, 0x0003ffff, {0x35, 0, UNKNOWN}, true},
	    {true, true, 0x00030010, {0x35, 0, 0}, false},
	    {true, true, 0x0002ffff, {0x35, 0, 0}, false},
	    {true, true, 0x00030000, {0x35, 0, 0}, false},
	    {true, true, 0x00008000, {0x0f, 0, 0}, true},
	    {true, true, 0xffff0001, {0x35, 0, 0}, false},
	    {true, true, 0xffffffff, {0x35, 0, 0}, true},
	};
	static const struct apic_identity self = {0, 0x01000000, FLAT};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct icr icr = {
		    .x2apic = rows[i].x2apic,
		    .logical = rows[i].logical,
		    .destination = rows[i].destination,
		};

		if (icr_reaches(&icr, &self, &rows[i].cpu) != rows[i].reached)
			fail_msg("row %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_decode_xapic),  cmocka_unit_test(test_decode_x2apic),
	    cmocka_unit_test(test_init_deassert), cmocka_unit_test(test_shorthands),
	    cmocka_unit_test(test_destinations),
	};

	return cmocka_run_group_tests_name("icr", tests, NULL, NULL);
}
