/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The emulator with a guest that means ill: random bytes, modes, registers, segments and page
 * tables, and memory that changes while it is looked at. Nothing is read or written outside the
 * guest's memory (ASan), nothing is undefined (UBSan), every call ends, and what fails has
 * changed nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "emulate_guest.h"
#include "kvm/emulate_state.h"

#define SEED	 0x2545f4914f6cdd1dull
#define CASES	 300000u
#define RAM_SIZE 0x8000u
/* One instruction asks for no more; REP with a client in between ends after EMULATE_REP_MAX. */
#define ASKED_MAX (EMULATE_REP_MAX * 8)

static struct guest guest;
static uint8_t *ram;
static uint8_t device[4096] __attribute__((aligned(4096)));
static uint64_t random_state = SEED;

static uint64_t random_64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1dull;
}

static unsigned below(unsigned limit)
{
	return (unsigned)(random_64() >> 32) % limit;
}

/* Somewhere near what matters. */
static uint64_t random_address(void)
{
	static const uint64_t near[] = {0,
					0x7ff0,
					0xfff0,
					0xfffffff0,
					0xfffffffffff0,
					0x7ffffffffff0,
					0xffff800000000000,
					0xd0000ff0};
	uint64_t at = near[below(8)] + below(0x40);

	switch (below(4)) {
	case 0:
		return random_64();
	case 1:
		return at;
	case 2:
		return below(RAM_SIZE);
	default:
		return 0xd0000000 + below(0x1000);
	}
}

static void random_bytes(uint8_t bytes[16])
{
	static const uint8_t prefixes[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3,
					   0x64, 0x2e, 0x48, 0x41};
	static const uint8_t often[] = {0x0f, 0xff, 0xa5, 0xaa, 0xa6, 0xae, 0x8f, 0x60, 0x61,
					0x9d, 0xc5, 0xc4, 0xf7, 0xc7, 0x8b, 0x89, 0x87, 0xc3};
	unsigned at = 0;

	for (unsigned i = 0; i < 16; i++)
		bytes[i] = (uint8_t)random_64();
	while (below(2) && at < 4)
		bytes[at++] = prefixes[below(sizeof(prefixes))];
	if (below(2))
		bytes[at] = often[below(sizeof(often))];
}

/* Entries that lead on, mostly: to a table in RAM, to the device, or anywhere. */
static void random_tables(void)
{
	for (unsigned i = 0; i < RAM_SIZE; i += 8) {
		uint64_t entry = below(8) ? (uint64_t)below(RAM_SIZE / 4096) << 12 : 0xd0000000;

		entry |= below(16) ? 7 : random_64() & 0xfff;
		if (below(32) == 0)
			entry = random_64();
		if (below(8) == 0)
			entry |= 0x80;
		memcpy(ram + i, &entry, 8);
	}
}

static void random_control(void)
{
	struct luv_vcpu_page *page = &guest.page;
	static const uint64_t cr4_bits = CR4_PSE | CR4_PAE | CR4_OSFXSR | CR4_UMIP | CR4_LA57 |
					 CR4_OSXSAVE | CR4_SMEP | CR4_SMAP | CR4_PKE;

	page->cr0 = (below(8) ? CR0_PE : 0) | (below(4) ? CR0_PG : 0) |
		    (random_64() & (CR0_WP | CR0_AM));
	if (below(16) == 0)
		page->cr0 = random_64();
	page->cr3 = below(8) ? (uint64_t)below(RAM_SIZE) & ~31u : random_64();
	page->cr4 = random_64() & cr4_bits;
	page->efer = random_64() & (EFER_LMA | EFER_NXE);
	page->xcr0 = below(4) ? 7 : random_64();
	page->rflags = random_64() & 0x3f7fd7;
	if (below(8))
		page->rflags &= ~(RFLAGS_VM | RFLAGS_TF);
	for (unsigned i = 0; i < LUV_SEGMENT_COUNT; i++)
		page->segment[i] = (struct luv_segment){
		    below(2) ? 0 : random_address(), below(2) ? 0xffffffff : random_64(),
		    random_64(), below(4) ? 0xc93 | (random_64() & 0x260) : random_64()};
	if (below(2))
		page->segment[LUV_CS].attributes = GUEST_CODE64;
	page->gdt_base = random_address();
	page->gdt_limit = below(2) ? 0xffff : random_64();
}

static void random_guest(void)
{
	uint8_t bytes[16];

	guest_init(&guest, GUEST_CODE64);
	guest.emulate.setup.physical_bits = (uint8_t)(32 + below(21));
	guest.ask = below(2);
	guest.port_ask = below(2);
	random_control();
	for (unsigned i = 0; i < 16; i++)
		guest.page.general[i] = random_address();
	guest.page.general[LUV_RCX] = below(3) ? below(70) : random_64();
	guest.page.rip = random_address();
	for (unsigned i = 0; i < 1024; i++)
		guest.xsave[i] = (uint8_t)random_64();
	random_bytes(bytes);
	guest.region[0] = (struct guest_region){0, RAM_SIZE, ram, false, false};
	guest.region[1] = (struct guest_region){0xd0000000, 4096, device, true, false};
	guest_exit(&guest, random_address(), below(2), bytes, below(17) % 16);
}

/* As another CPU of the guest would. */
static void *changing_memory(void *context, uint64_t gpa, bool write)
{
	if (below(64) == 0)
		ram[below(RAM_SIZE)] ^= (uint8_t)(1u << below(8));
	return guest_memory(context, gpa, write);
}

/* More than one call of a port may be wanted: the fixture's buffers are used from the start
 * again. */
static bool rewinding_port(void *context, struct emulate_io *io)
{
	guest.port_read = guest.port_written = 0;
	return guest_port(context, io);
}

static enum emulate_result finish(enum emulate_result result)
{
	unsigned asked = 0;

	while (result == EMULATE_MMIO || result == EMULATE_IO) {
		assert_true(emulate_waits(&guest.emulate));
		assert_true(asked++ < ASKED_MAX);
		if (result == EMULATE_MMIO) {
			assert_in_range(guest.emulate.access.size, 1, 8);
			guest_device(&guest, &guest.emulate.access);
		} else {
			assert_in_range(guest.emulate.io.count * guest.emulate.io.size, 1,
					EMULATE_IO_SIZE);
			guest.port_read = guest.port_written = 0;
			guest_port_move(&guest, &guest.emulate.io);
		}
		if (below(32) == 0)
			guest.page.rip = random_address(); /* the client resets it */
		result = emulate_resume(&guest.emulate);
	}
	return result;
}

static unsigned seen[EMULATE_UNKNOWN + 1];

static void run_case(const struct emulate_ops *ops)
{
	static struct luv_vcpu_page before;
	enum emulate_result result;
	bool string = below(8) == 0;

	random_guest();
	guest.emulate.setup.ops = ops;
	if (string) {
		guest.page.exit.instruction_length = below(3);
		guest.page.exit.io.port = random_64() & 0xffff;
		guest.page.exit.io.size = 1u << below(3);
		guest.page.exit.io.flags = below(4) | LUV_IO_STRING | below(2) * LUV_IO_REP;
		guest.page.exit.io.segment = below(6);
		guest.page.exit.io.address_bits = 16u << below(3);
	}
	before = guest.page;
	result = string ? emulate_string_io(&guest.emulate) : emulate_mmio(&guest.emulate);
	if (result == EMULATE_UNKNOWN &&
	    guest.page.general[LUV_RCX] == before.general[LUV_RCX]) {
		assert_int_equal(guest.page.rip, before.rip);
		assert_memory_equal(guest.page.general, before.general, sizeof(before.general));
	}
	result = finish(result);
	assert_in_range(result, EMULATE_DONE, EMULATE_UNKNOWN);
	assert_false(emulate_waits(&guest.emulate));
	seen[result]++;
}

static void test_hostile(void **state)
{
	struct emulate_ops ops = guest_ops;

	(void)state;
	ops.memory = changing_memory;
	ops.port = rewinding_port;
	for (unsigned i = 0; i < CASES; i++) {
		if (i % 256 == 0)
			random_tables();
		run_case(&ops);
	}
	/* The cases are worth something: all ends are met often. */
	assert_true(seen[EMULATE_DONE] > CASES / 20);
	assert_true(seen[EMULATE_FAULT] > CASES / 20);
	assert_true(seen[EMULATE_UNKNOWN] > CASES / 20);
}

static int set_up(void **state)
{
	(void)state;
	ram = test_malloc(RAM_SIZE + 4096);
	*state = ram; /* freed as it was got */
	ram += 4096 - (uintptr_t)ram % 4096;
	return 0;
}

static int tear_down(void **state)
{
	test_free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_hostile, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
