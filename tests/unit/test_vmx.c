/* SPDX-License-Identifier: BSD-2-Clause */
/* VT-x's pure parts: EPT entries, MSR bitmaps, the checks on guest state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "mem/mtrr.h"
#include "vmx/check.h"
#include "vmx/ept.h"
#include "vmx/msr_bitmap.h"

/* SDM 3C tables 29-4 to 29-6: R W X 2:0, type 5:3, ignore PAT 6, large 7, A 8, D 9. */
static void test_ept_entries(void **state)
{
	const struct nested_format *f = &ept_dom0_format, *guest = &ept_guest_format;
	u64 entry;

	(void)state;
	ept_init(true, true, false);
	assert_int_equal(f->largest_leaf, 3);
	assert_int_equal(f->leaf(hpa(0x1000), 1, NESTED_RWX, CACHE_WB), 0x1000 | 7 | 6 << 3 | 3 << 8);
	assert_int_equal(f->leaf(hpa(0x200000), 2, NESTED_READ | NESTED_WRITE, CACHE_UC), 0x200000 | 3 | 1 << 7 | 3 << 8);
	entry = guest->leaf(hpa(0x1000), 1, NESTED_RWX | NESTED_CLEAN, CACHE_WB);
	assert_int_equal(entry, 0x1000 | 7 | 6 << 3 | 1 << 6 | 1 << 8);
	assert_false(entry & guest->dirty);
	assert_false(f->present(0));
	assert_int_equal(f->access(f->leaf(hpa(0), 1, NESTED_READ | NESTED_EXEC, 0)), NESTED_READ | NESTED_EXEC);
	assert_int_equal(f->memory_type(f->leaf(hpa(0), 1, NESTED_READ, CACHE_WT)), CACHE_WT);
	assert_false(f->is_leaf(f->table(hpa(0x5000)), 2));
	assert_int_equal(f->address(f->table(hpa(0x5000)), 2).addr, 0x5000);
	assert_int_equal(ept_pointer(hpa(0x7000), true), 0x7000 | 1 << 6 | 3 << 3 | 6);
}

static void test_ept_without_flags(void **state)
{
	(void)state;
	ept_init(false, false, true);
	assert_int_equal(ept_dom0_format.largest_leaf, 2);
	assert_int_equal(ept_guest_format.dirty, 0);
	assert_true(ept_guest_format.small_exec);
	assert_false(ept_dom0_format.small_exec);
	assert_int_equal(ept_pointer(hpa(0x7000), false), 0x7000 | 3 << 3 | 6);
}

/* SDM 3C 25.6.9. */
static void test_msr_bitmap(void **state)
{
	static u8 map[PAGE_SIZE], zero[PAGE_SIZE];

	(void)state;
	msr_bitmap_set(map, 0x10, true, false, true);
	assert_int_equal(map[2], 1);
	msr_bitmap_set(map, 0x1fff, false, true, true);
	assert_int_equal(map[2048 + 1023], 0x80);
	msr_bitmap_set(map, 0xc0000080, true, true, true);
	assert_int_equal(map[1024 + 16], 1);
	assert_int_equal(map[3072 + 16], 1);
	msr_bitmap_set(map, 0xc0000080, true, true, false);
	msr_bitmap_set(map, 0x10, true, true, false);
	msr_bitmap_set(map, 0x1fff, true, true, false);
	assert_memory_equal(map, zero, PAGE_SIZE);
	/* Outside: they exit anyway. */
	msr_bitmap_set(map, 0x2000, true, true, true);
	msr_bitmap_set(map, 0xc0002000, true, true, true);
	msr_bitmap_set(map, 0xffffffff, true, true, true);
	assert_memory_equal(map, zero, PAGE_SIZE);
}

static struct vcpu vcpu;

static void long_mode(void)
{
	struct segment *seg = vcpu.segments.seg;

	memset(&vcpu, 0, sizeof(vcpu));
	vcpu.control.cr0 = CR0_PE | CR0_PG;
	vcpu.control.cr4 = CR4_PAE;
	vcpu.control.efer = EFER_LME | EFER_LMA;
	vcpu.rflags = RFLAGS_FIXED;
	for (u32 i = 0; i < SEG_LDTR; i++)
		seg[i] = (struct segment){.limit = 0xffffffff, .attributes = SEGMENT_DATA | 0xc00};
	seg[SEG_CS].attributes = SEGMENT_CODE | 0xa00;
	seg[SEG_TR] = (struct segment){.limit = 0x67, .attributes = SEGMENT_TSS};
}

static void real_mode(void)
{
	struct segment *seg = vcpu.segments.seg;

	memset(&vcpu, 0, sizeof(vcpu));
	vcpu.rflags = RFLAGS_FIXED;
	for (u32 i = 0; i < SEG_LDTR; i++)
		seg[i] = (struct segment){.limit = 0xffff, .attributes = SEGMENT_DATA};
	seg[SEG_CS].attributes = SEGMENT_CODE;
	seg[SEG_TR] = (struct segment){.limit = 0xffff, .attributes = SEGMENT_TSS};
}

static void assert_refused(const char *why)
{
	const char *found = vmx_check_guest(&vcpu, false);

	assert_non_null(found);
	assert_string_equal(found, why);
}

static void test_good_states(void **state)
{
	struct segment *seg = vcpu.segments.seg;

	(void)state;
	long_mode();
	assert_null(vmx_check_guest(&vcpu, false));
	vcpu.rip = 0xffff800000000000;
	assert_null(vmx_check_guest(&vcpu, false));
	real_mode();
	assert_null(vmx_check_guest(&vcpu, false));
	/* Unusable segments are not looked at. */
	seg[SEG_DS] = (struct segment){.limit = 0xfff, .attributes = 0xc10};
	assert_null(vmx_check_guest(&vcpu, false));
	/* Code in a data segment: what real mode leaves behind. */
	seg[SEG_CS].attributes = SEGMENT_DATA;
	assert_null(vmx_check_guest(&vcpu, false));
}

static void test_bad_states(void **state)
{
	struct segment *seg = vcpu.segments.seg;

	(void)state;
	long_mode();
	vcpu.rip = 0x800000000000;
	assert_refused("RIP");
	real_mode();
	vcpu.rip = 0x100000000;
	assert_refused("RIP");
	long_mode();
	vcpu.rflags |= RFLAGS_VM;
	assert_refused("RFLAGS.VM");
	long_mode();
	assert_string_equal(vmx_check_guest(&vcpu, true), "RFLAGS.IF with an interrupt to deliver");
	vcpu.rflags |= RFLAGS_IF;
	assert_null(vmx_check_guest(&vcpu, true));
	long_mode();
	seg[SEG_CS].attributes = SEGMENT_LDT;
	assert_refused("CS");
	long_mode();
	seg[SEG_CS].attributes |= 3 << 5;
	assert_refused("CS's DPL");
	real_mode();
	seg[SEG_SS].attributes |= 3 << 5;
	seg[SEG_CS].attributes |= 3 << 5;
	assert_refused("SS's DPL");
	real_mode();
	seg[SEG_SS].attributes = SEGMENT_CODE;
	assert_refused("SS's type");
	real_mode();
	seg[SEG_ES].limit = 0x100000;
	assert_refused("a data segment");
	real_mode();
	seg[SEG_ES].base = BIT(32);
	assert_refused("a data segment's base");
	long_mode();
	seg[SEG_TR].attributes = 0x83; /* a 16-bit TSS */
	assert_refused("TR");
	long_mode();
	seg[SEG_TR].attributes = 0;
	assert_refused("TR");
	long_mode();
	seg[SEG_LDTR] = (struct segment){.attributes = SEGMENT_TSS};
	assert_refused("LDTR");
}

static void test_virtual_8086(void **state)
{
	struct segment *seg = vcpu.segments.seg;

	(void)state;
	real_mode();
	vcpu.control.cr0 = CR0_PE;
	vcpu.rflags |= RFLAGS_VM;
	for (u32 i = 0; i < SEG_LDTR; i++)
		seg[i] = (struct segment){0x1234, 0xf3, 0xffff, 0x12340};
	assert_null(vmx_check_guest(&vcpu, false));
	seg[SEG_GS].base = 0;
	assert_refused("segments in virtual-8086 mode");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ept_entries),  cmocka_unit_test(test_ept_without_flags),
		cmocka_unit_test(test_msr_bitmap),   cmocka_unit_test(test_good_states),
		cmocka_unit_test(test_bad_states),   cmocka_unit_test(test_virtual_8086),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
