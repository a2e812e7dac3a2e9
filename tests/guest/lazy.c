/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LUV_SLOT_LAZY: the hypervisor maps only what the client has said is pinned, and believes it only until a slot changes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/machine.h"
#include "lib/pin.h"

#define PAGE	   4096u
#define SIZE	   (2u << 20)
#define NEAR_SLOT  100u /* pages */
#define NEAR_LARGE 18u	/* pages of SIZE */

PAYLOAD(counter);

static struct machine machine;

/* Slot 1, of memory that nobody has touched, and guests that count in a word of it. */
static uint8_t *lazy_machine(uint64_t address, uint64_t flags)
{
	uint8_t *memory = mmap(NULL, 3 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED, "no memory");
	memory += SIZE - (uintptr_t)memory % SIZE;
	machine_create(&machine, 0);
	machine_add_vcpu(&machine, 1);
	machine_map_more(&machine, memory, SIZE, LUV_SLOT_LAZY | flags);
	machine_load(&machine, &counter, LONG);
	for (unsigned i = 0; i < 2; i++) {
		machine_start(&machine, i, LONG);
		machine.vcpu[i].page->general[LUV_RBX] = address;
	}
	return memory;
}

static void pin(void *memory, size_t size)
{
	const char *why = "no reason";
	int result = luv_pin(memory, size, &why);

	CHECK(result == 0, "%s", why);
}

static void expect_asked(unsigned vcpu, const uint8_t *address)
{
	const struct luv_exit_record *exit = machine_run(&machine, vcpu, LUV_RUN_PIN);

	EXPECT(exit->pin.address, (uintptr_t)address);
	EXPECT(exit->pin.begin, 0);
	EXPECT(exit->pin.end, 0);
}

static void answer(unsigned vcpu, const uint8_t *begin, size_t size)
{
	struct luv_exit_record *exit = &machine.vcpu[vcpu].page->exit;

	exit->pin.begin = (uintptr_t)begin;
	exit->pin.end = (uintptr_t)begin + size;
}

/* The guest counts, and reports. */
static void expect_turn(unsigned vcpu, uint32_t value)
{
	const struct luv_exit_record *exit = machine_run(&machine, vcpu, LUV_RUN_IO);

	EXPECT(exit->io.data, value);
}

static void move_to(unsigned vcpu, uint64_t address)
{
	machine.vcpu[vcpu].page->general[LUV_RBX] = address;
	machine.vcpu[vcpu].page->dirty |= LUV_GROUP_GENERAL;
}

static void test_asked(int argument)
{
	uint8_t *memory = lazy_machine(MORE + 5 * PAGE, 0), *page = memory + 5 * PAGE;

	(void)argument;
	/* The neighbours are there, and would do. */
	madvise(memory, SIZE, MADV_NOHUGEPAGE);
	memset(memory, 0, SIZE);
	expect_asked(0, page);
	pin(page, PAGE);
	memset(page, 1, 4);
	answer(0, page, PAGE);
	expect_turn(0, 0x01010102);
	expect_turn(0, 0x01010103);
	EXPECT(page[0], 3);
	move_to(0, MORE + 6 * PAGE);
	expect_asked(0, memory + 6 * PAGE);
	machine_destroy(&machine);
}

/* All of it pinned: nothing is asked again, and a large page serves as any other. */
static void test_whole(int argument)
{
	uint8_t *memory = lazy_machine(MORE + 5 * PAGE, (uint64_t)argument);

	madvise(memory, SIZE, MADV_HUGEPAGE);
	expect_asked(0, memory + 5 * PAGE);
	pin(memory, SIZE);
	answer(0, memory, SIZE);
	for (unsigned i = 0; i < SIZE / PAGE; i += 7) {
		move_to(0, MORE + i * PAGE);
		memory[i * PAGE] = (uint8_t)(i / 7);
		expect_turn(0, i / 7 + 1);
		EXPECT(memory[i * PAGE], i / 7 + 1);
	}
	machine_destroy(&machine);
}

/* A large page of which the client answers for a part is not mapped as one. */
static void test_part(int argument)
{
	uint8_t *memory = lazy_machine(MORE + 5 * PAGE, 0);

	(void)argument;
	madvise(memory, SIZE, MADV_HUGEPAGE);
	pin(memory, SIZE);
	expect_asked(0, memory + 5 * PAGE);
	answer(0, memory + 4 * PAGE, 2 * PAGE);
	expect_turn(0, 1);
	move_to(0, MORE + 4 * PAGE);
	expect_turn(0, 1);
	move_to(0, MORE + 6 * PAGE);
	expect_asked(0, memory + 6 * PAGE);
	answer(0, memory, 0);
	move_to(0, MORE + 3 * PAGE);
	expect_asked(0, memory + 3 * PAGE);
	machine_destroy(&machine);
}

static void test_not_answered(int argument)
{
	uint8_t *memory = lazy_machine(MORE, 0);

	(void)argument;
	expect_asked(0, memory);
	expect_asked(0, memory); /* begin and end are 0 */
	answer(0, memory + SIZE, PAGE);
	expect_asked(0, memory);
	answer(0, memory + PAGE, SIZE);
	expect_asked(0, memory);
	answer(0, memory, PAGE - 1);
	expect_asked(0, memory);
	answer(0, memory + PAGE, (size_t)0 - 2 * PAGE); /* ends before it begins */
	expect_asked(0, memory);
	answer(0, memory, PAGE);
	pin(memory, PAGE);
	expect_turn(0, 1);
	machine_destroy(&machine);
}

/* The client says that everything is pinned; it counts for the slot that was asked about, not for its neighbour. */
static void test_other_slot(int above)
{
	uint8_t *memory = lazy_machine(MORE, 0), *other = above ? memory + SIZE : memory - PAGE;
	const struct luv_slot slot = {2, LUV_SLOT_LAZY, MMIO, PAGE, (uintptr_t)other};

	EXPECT(luv_slot_set(machine.vm, &slot), 0);
	expect_asked(0, memory);
	pin(memory, SIZE);
	machine.vcpu[0].page->exit.pin.end = ~0ull;
	expect_turn(0, 1);
	move_to(0, MMIO);
	expect_asked(0, other);
	machine_destroy(&machine);
}

/* Between question and answer the slot was removed and came back, and its memory may have been unpinned. */
static void test_late_answer(int argument)
{
	uint8_t *memory = lazy_machine(MORE, 0);
	const struct luv_slot nothing = {.slot = 1};

	(void)argument;
	expect_asked(0, memory);
	EXPECT(luv_slot_set(machine.vm, &nothing), 0);
	machine_map_more(&machine, memory, SIZE, LUV_SLOT_LAZY);
	answer(0, memory, SIZE);
	expect_asked(0, memory);
	pin(memory, SIZE);
	answer(0, memory, SIZE);
	expect_turn(0, 1);
	machine_destroy(&machine);
}

/* What was said of a slot's memory is void when the slot has gone, also for another page. */
static void test_slot_again(int argument)
{
	uint8_t *memory = lazy_machine(MORE, 0);
	const struct luv_slot nothing = {.slot = 1};

	(void)argument;
	expect_asked(0, memory);
	pin(memory, SIZE);
	answer(0, memory, SIZE);
	expect_turn(0, 1);
	EXPECT(luv_slot_set(machine.vm, &nothing), 0);
	EXPECT(luv_unpin(memory, SIZE), 0);
	machine_map_more(&machine, memory, SIZE, LUV_SLOT_LAZY);
	expect_asked(0, memory);
	move_to(0, MORE + PAGE);
	expect_asked(0, memory + PAGE);
	machine_destroy(&machine);
}

/* Each is asked; what one has mapped serves the other, too. */
static void test_two_vcpus(int argument)
{
	uint8_t *memory = lazy_machine(MORE, 0);

	(void)argument;
	expect_asked(0, memory);
	expect_asked(1, memory);
	pin(memory, SIZE);
	answer(0, memory, SIZE);
	expect_turn(0, 1);
	answer(1, memory, SIZE);
	expect_turn(1, 2);
	machine_destroy(&machine);
}

static void test_two_vcpus_one_answer(int argument)
{
	uint8_t *memory = lazy_machine(MORE, 0);

	(void)argument;
	expect_asked(0, memory);
	expect_asked(1, memory);
	pin(memory, SIZE);
	answer(0, memory, SIZE);
	expect_turn(0, 1);
	expect_turn(1, 2);
	machine_destroy(&machine);
}

/* Memory that has been written to, moved by the system, and then pinned: guest and client see the same page. */
static void test_moved_before(int argument)
{
	uint8_t *memory = lazy_machine(MORE, 0);
	int file = open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC);

	(void)argument;
	madvise(memory, SIZE, MADV_NOHUGEPAGE);
	for (unsigned i = 0; i < SIZE / PAGE; i++)
		memory[i * PAGE] = 7;
	expect_asked(0, memory);
	CHECK(file < 0 || write(file, "1", 1) == 1, "compact_memory");
	close(file);
	madvise(memory, SIZE, MADV_HUGEPAGE);
	pin(memory, SIZE);
	answer(0, memory, SIZE);
	expect_turn(0, 8);
	EXPECT(memory[0], 8);
	memory[0] = 100;
	expect_turn(0, 101);
	machine_destroy(&machine);
}

/* The guest finds each page of the slot where it is, `step` apart, and nothing before and behind. */
static void expect_slot(uint64_t gpa, unsigned pages, uint64_t size, unsigned step, unsigned shift)
{
	for (unsigned i = 0; i < pages; i++) {
		unsigned page = i * step % pages;

		move_to(0, gpa + page * size);
		expect_turn(0, page + shift + 1);
	}
	move_to(0, gpa - PAGE);
	machine_run(&machine, 0, LUV_RUN_MMIO);
	move_to(0, gpa + pages * size);
	machine_run(&machine, 0, LUV_RUN_MMIO);
}

/*
 * Small pages are mapped some at a time, with what is near. Wherever slot, memory and page tables begin: each leads to its own, none
 * outside of the slot is there.
 */
static void test_near(int shift)
{
	uint8_t *memory = plain_pages(3 * NEAR_SLOT * PAGE);
	const uint64_t gpa = MORE - NEAR_SLOT / 3 * PAGE;
	const struct luv_slot slot = {1, 0, gpa, NEAR_SLOT * PAGE, (uintptr_t)memory + (unsigned)shift * PAGE};

	madvise(memory, 3 * NEAR_SLOT * PAGE, MADV_NOHUGEPAGE);
	pin(memory, 3 * NEAR_SLOT * PAGE);
	for (unsigned i = 0; i < 3 * NEAR_SLOT; i++)
		memcpy(memory + i * PAGE, &i, sizeof(i));
	machine_create(&machine, 0);
	EXPECT(luv_slot_set(machine.vm, &slot), 0);
	machine_load(&machine, &counter, LONG);
	expect_slot(gpa, NEAR_SLOT, PAGE, 37, (unsigned)shift);
	machine_destroy(&machine);
}

/* The same of large pages, over the end of a table of theirs. */
static void test_near_large(int shift)
{
	const uint64_t gpa = (1u << 30) - NEAR_LARGE / 3 * SIZE;
	const unsigned pages = NEAR_LARGE + 8;
	uint8_t *memory = plain_pages((pages + 1) * SIZE);
	struct luv_slot slot = {1, 0, gpa, NEAR_LARGE * SIZE, 0};

	memory += SIZE - (uintptr_t)memory % SIZE;
	slot.address = (uintptr_t)memory + (unsigned)shift * SIZE;
	madvise(memory, pages * SIZE, MADV_HUGEPAGE);
	for (unsigned i = 0; i < pages; i++)
		memcpy(memory + i * SIZE, &i, sizeof(i));
	pin(memory, pages * SIZE);
	machine_create(&machine, 0);
	EXPECT(luv_slot_set(machine.vm, &slot), 0);
	machine_load(&machine, &counter, PROTECTED); /* without paging */
	expect_slot(gpa, NEAR_LARGE, SIZE, 7, (unsigned)shift);
	machine_destroy(&machine);
}

const struct test lazy_tests[] = {
	{.name = "lazy: what the guest touches is asked for", .run = test_asked},
	{.name = "lazy: all pinned at once", .run = test_whole},
	{.name = "lazy: all pinned at once, with a dirty log", .run = test_whole, .argument = LUV_SLOT_LOG_DIRTY},
	{.name = "lazy: a part of a large page", .run = test_part},
	{.name = "lazy: answers that say nothing", .run = test_not_answered},
	{.name = "lazy: an answer for the slot below", .run = test_other_slot},
	{.name = "lazy: an answer for the slot above", .run = test_other_slot, .argument = 1},
	{.name = "lazy: an answer that comes too late", .run = test_late_answer},
	{.name = "lazy: a slot comes back", .run = test_slot_again},
	{.name = "lazy: two vCPUs ask", .run = test_two_vcpus},
	{.name = "lazy: two vCPUs ask, one is answered", .run = test_two_vcpus_one_answer},
	{.name = "lazy: memory that moves before it is pinned", .run = test_moved_before},
	{.name = "near: pages lead to their own", .run = test_near},
	{.name = "near: pages lead to their own, 5 pages further", .run = test_near, .argument = 5},
	{.name = "near: pages lead to their own, 16 pages further", .run = test_near, .argument = 16},
	{.name = "near: large pages lead to their own", .run = test_near_large},
	{.name = "near: large pages lead to their own, 5 pages further", .run = test_near_large, .argument = 5},
	{0},
};
