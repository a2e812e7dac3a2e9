/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory: slots, read-only memory, dirty logs, coalesced MMIO. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/test.h"

#define HIGH	  0xc0000000u
#define SLOTS	  30u
#define TOGGLES	  60u
#define MORE_SIZE (130u * PAGE)

/* RBX, from the client, is where; RCX what is written. */
GUEST(load, 64, "1: mov (%rbx), %eax; out %eax, $0x10; jmp 1b");
GUEST(store, 64, "1: mov %ecx, (%rbx); out %al, $0x10; jmp 1b");
GUEST(stores, 64,
      "1: mov (%rsi), %rbx; test %rbx, %rbx; jz 2f; mov %ecx, (%rbx); add $8, %rsi; jmp 1b\n"
      "2: out %al, $0x10; mov $0xc000, %esi; jmp 1b");
GUEST(call, 64, "1: call *%rbx; out %eax, $0x10; jmp 1b");
GUEST(returns, 64, "mov $0x600d, %eax; ret");
GUEST(all_slots, 64, "1: mov (%rbx), %eax; out %eax, $0x10; add $0x2000, %rbx; jmp 1b");
GUEST(read_to_memory, 64, "xchg %rsi, %rdi; mov %rbx, %rdi; movsl; out %al, $0x10; hlt");
GUEST(string_in, 64,
      "mov %rbx, %rdi; mov $4, %ecx; mov $0x11, %dx; cld; rep insb; out %al, $0x10; hlt");

static struct vm vm;

static void start_at(const struct guest *guest, uint64_t rbx, uint64_t rcx)
{
	struct kvm_regs regs;

	vm_load(&vm, 0, guest, LONG);
	regs = vm_regs(&vm, 0);
	regs.rbx = rbx;
	regs.rcx = rcx;
	vm_set_regs(&vm, 0, &regs);
}

static void *filled(size_t size, uint32_t value)
{
	uint32_t *memory = pages(size);

	for (size_t i = 0; i < size / sizeof(value); i++)
		memory[i] = value;
	return memory;
}

static void test_errors(int argument)
{
	uint8_t *memory = pages(4 * PAGE);
	int slots;

	(void)argument;
	vm_create(&vm);
	slots = MUST(ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS));
	EXPECT(vm_slot(&vm, 1, 0, MORE, PAGE + 1, memory), EINVAL);
	EXPECT(vm_slot(&vm, 1, 0, MORE + 8, PAGE, memory), EINVAL);
	EXPECT(vm_slot(&vm, 1, 0, MORE, PAGE, memory + 1), EINVAL);
	EXPECT(vm_slot(&vm, 1, 0, -(uint64_t)PAGE, 2 * PAGE, memory), EINVAL);
	EXPECT(vm_slot(&vm, 1, 0, MORE, PAGE, (void *)0xffff800000000000), EINVAL);
	EXPECT(vm_slot(&vm, 1, 0x80, MORE, PAGE, memory), EINVAL);
	EXPECT(vm_slot(&vm, (uint32_t)slots, 0, MORE, PAGE, memory), EINVAL);
	EXPECT(vm_slot(&vm, 1, 0, MORE, 0, memory), EINVAL); /* deletes what is not there */
	EXPECT(vm_slot(&vm, (uint32_t)slots - 1, 0, MORE, PAGE, memory), 0);
	EXPECT(vm_slot(&vm, (uint32_t)slots - 1, 0, 0, 0, NULL), 0);
}

static void test_overlap(int argument)
{
	uint8_t *memory = pages(4 * PAGE);

	(void)argument;
	vm_create(&vm);
	EXPECT(vm_slot(&vm, 1, 0, MEMORY - PAGE, 2 * PAGE, memory), EEXIST);
	EXPECT(vm_slot(&vm, 1, 0, 0, PAGE, memory), EEXIST);
	EXPECT(vm_slot(&vm, 1, 0, MORE, 4 * PAGE, memory), 0);
	EXPECT(vm_slot(&vm, 2, 0, MORE - PAGE, 2 * PAGE, memory), EEXIST);
	EXPECT(vm_slot(&vm, 2, 0, MORE + 4 * PAGE, 2 * PAGE, memory), 0);
	/* A slot may move, but not onto another one. */
	EXPECT(vm_slot(&vm, 2, 0, MORE + 3 * PAGE, 2 * PAGE, memory), EEXIST);
	EXPECT(vm_slot(&vm, 2, 0, MORE + 5 * PAGE, 2 * PAGE, memory), 0);
}

/* What a slot is made of stays, but for its address and its log flag. */
static void test_changes(int argument)
{
	uint8_t *memory = pages(4 * PAGE);

	(void)argument;
	vm_create(&vm);
	EXPECT(vm_slot(&vm, 1, 0, MORE, 2 * PAGE, memory), 0);
	EXPECT(vm_slot(&vm, 1, 0, MORE, 2 * PAGE, memory), 0);
	EXPECT(vm_slot(&vm, 1, 0, MORE, PAGE, memory), EINVAL);
	EXPECT(vm_slot(&vm, 1, 0, MORE, 2 * PAGE, memory + PAGE), EINVAL);
	EXPECT(vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, MORE, 2 * PAGE, memory), 0);
	EXPECT(vm_slot(&vm, 1, 0, MORE, 2 * PAGE, memory), 0);
	if (ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM))
		EXPECT(vm_slot(&vm, 1, KVM_MEM_READONLY, MORE, 2 * PAGE, memory), EINVAL);
}

static void test_delete(int argument)
{
	uint8_t *first = filled(PAGE, 0x11111111), *second = filled(2 * PAGE, 0x22222222);

	(void)argument;
	vm_create(&vm);
	start_at(&load, MORE, 0);
	for (int i = 0; i < 3; i++) {
		EXPECT(vm_slot(&vm, 1, 0, MORE, PAGE, first), 0);
		EXPECT(vm_out(&vm, 0, PORT), 0x11111111);
		EXPECT(vm_slot(&vm, 1, 0, 0, 0, NULL), 0);
		memset(vm_mmio(&vm, 0, MORE, 4, false), 0x33, 4);
		EXPECT(vm_out(&vm, 0, PORT), 0x33333333);
		EXPECT(vm_slot(&vm, 1, 0, MORE - PAGE, 2 * PAGE, second), 0);
		EXPECT(vm_out(&vm, 0, PORT), 0x22222222);
		EXPECT(vm_slot(&vm, 1, 0, 0, 0, NULL), 0);
	}
}

/* As firmware shadowing makes QEMU do: all memory goes, and comes back in pieces. */
static void test_split(int argument)
{
	(void)argument;
	vm_create(&vm);
	start_at(&load, 0x180000, 0);
	memcpy(vm.memory + 0x180000, "1234", 4);
	for (int i = 0; i < 3; i++) {
		memcpy(vm.memory + 0x180000, &i, 4);
		EXPECT(vm_slot(&vm, 0, 0, 0, 0, NULL), 0);
		EXPECT(vm_slot(&vm, 0, 0, 0, 0xa0000, vm.memory), 0);
		EXPECT(vm_slot(&vm, 1, 0, 0xa0000, MEMORY - 0xa0000, vm.memory + 0xa0000), 0);
		EXPECT(vm_out(&vm, 0, PORT), i);
		EXPECT(vm_slot(&vm, 0, 0, 0, 0, NULL), 0);
		EXPECT(vm_slot(&vm, 1, 0, 0, 0, NULL), 0);
		EXPECT(vm_slot(&vm, 0, 0, 0, MEMORY, vm.memory), 0);
		EXPECT(vm_out(&vm, 0, PORT), i);
	}
}

static void test_move(int argument)
{
	uint8_t *memory = filled(PAGE, 0x11111111);

	(void)argument;
	vm_create(&vm);
	start_at(&load, MORE, 0);
	EXPECT(vm_slot(&vm, 1, 0, MORE, PAGE, memory), 0);
	EXPECT(vm_out(&vm, 0, PORT), 0x11111111);
	EXPECT(vm_slot(&vm, 1, 0, MORE + PAGE, PAGE, memory), 0);
	memset(vm_mmio(&vm, 0, MORE, 4, false), 0, 4);
	EXPECT(vm_out(&vm, 0, PORT), 0);
	start_at(&load, MORE + PAGE, 0);
	EXPECT(vm_out(&vm, 0, PORT), 0x11111111);
}

static void test_alias(int argument)
{
	uint8_t *memory = filled(PAGE, 0);

	(void)argument;
	vm_create(&vm);
	EXPECT(vm_slot(&vm, 1, 0, MORE, PAGE, memory), 0);
	EXPECT(vm_slot(&vm, 2, 0, HIGH, PAGE, memory), 0);
	start_at(&store, MORE, 0x1234567);
	vm_out(&vm, 0, PORT);
	start_at(&load, HIGH, 0);
	EXPECT(vm_out(&vm, 0, PORT), 0x1234567);
}

static void test_many_slots(int argument)
{
	(void)argument;
	vm_create(&vm);
	for (uint32_t i = 0; i < SLOTS; i++)
		EXPECT(vm_slot(&vm, 1 + i, 0, MORE + 2 * PAGE * i, PAGE, filled(PAGE, i)), 0);
	start_at(&all_slots, MORE, 0);
	for (uint32_t i = 0; i < SLOTS; i++)
		EXPECT(vm_out(&vm, 0, PORT), i);
	vm_mmio(&vm, 0, MORE + 2 * PAGE * SLOTS, 4, false);
}

static void test_shared(int argument)
{
	int fd = MUST(memfd_create("guest", MFD_CLOEXEC));
	uint32_t *ours, *guests;

	(void)argument;
	MUST(ftruncate(fd, PAGE));
	ours = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	guests = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	vm_create(&vm);
	EXPECT(vm_slot(&vm, 1, 0, MORE, PAGE, guests), 0);
	*ours = 5;
	start_at(&load, MORE, 0);
	EXPECT(vm_out(&vm, 0, PORT), 5);
	start_at(&store, MORE, 6);
	vm_out(&vm, 0, PORT);
	EXPECT(*ours, 6);
}

static void test_readonly(int argument)
{
	uint8_t *memory = filled(PAGE, 0x11111111);

	(void)argument;
	vm_create(&vm);
	REQUIRE(&vm, KVM_CAP_READONLY_MEM);
	EXPECT(vm_slot(&vm, 1, KVM_MEM_READONLY, MORE, PAGE, memory), 0);
	start_at(&load, MORE, 0);
	EXPECT(vm_out(&vm, 0, PORT), 0x11111111);
	start_at(&store, MORE, 0x22222222);
	EXPECT(memcmp(vm_mmio(&vm, 0, MORE, 4, true), "\x22\x22\x22\x22", 4), 0);
	vm_out(&vm, 0, PORT);
	EXPECT(memcmp(memory, "\x11\x11\x11\x11", 4), 0);
	memcpy(memory, returns.begin, (size_t)(returns.end - returns.begin));
	start_at(&call, MORE, 0);
	EXPECT(vm_out(&vm, 0, PORT), 0x600d);
	/* The client may write. */
	memory[1] = 0x77;
	EXPECT(vm_out(&vm, 0, PORT), 0x6077);
	EXPECT(vm_slot(&vm, 1, 0, MORE, PAGE, memory), EINVAL);
}

/* --- dirty logs ------------------------------------------------------------------------------
 */

static uint64_t bitmap[(MORE_SIZE / PAGE + 63) / 64];

static int get_log(uint32_t slot)
{
	struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bitmap};

	memset(bitmap, 0xff, sizeof(bitmap));
	return failure(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log));
}

static void expect_log(uint64_t first, uint64_t second, uint64_t third)
{
	EXPECT(get_log(1), 0);
	EXPECT(bitmap[0], first);
	EXPECT(bitmap[1], second);
	EXPECT(bitmap[2], third);
}

/* Has the guest write to these pages of MORE; a 0 ends them. */
static void write_pages(const uint64_t *numbers)
{
	uint64_t list[8] = {0};

	for (unsigned i = 0; numbers[i]; i++)
		list[i] = MORE + PAGE * numbers[i];
	memcpy(vm.memory + DATA, list, sizeof(list));
	vm_out(&vm, 0, PORT);
}

static void start_log(uint32_t flags)
{
	vm_create(&vm);
	EXPECT(vm_slot(&vm, 1, flags, MORE, MORE_SIZE, pages(MORE_SIZE)), 0);
	start_at(&stores, 0, 1);
}

static void test_log(int argument)
{
	(void)argument;
	start_log(KVM_MEM_LOG_DIRTY_PAGES);
	expect_log(0, 0, 0);
	write_pages((uint64_t[]){1, 3, 63, 64, 129, 0});
	expect_log(1ull << 63 | 1 << 3 | 1 << 1, 1, 2);
	expect_log(0, 0, 0);
	write_pages((uint64_t[]){3, 3, 70, 0});
	expect_log(1 << 3, 1 << 6, 0);
	write_pages((uint64_t[]){0});
	expect_log(0, 0, 0);
}

static void test_log_switched(int argument)
{
	uint8_t *memory = pages(MORE_SIZE);
	struct kvm_dirty_log absent = {.slot = 9, .dirty_bitmap = bitmap};
	struct kvm_dirty_log nowhere = {.slot = 1, .dirty_bitmap = (void *)8};

	(void)argument;
	vm_create(&vm);
	EXPECT(vm_slot(&vm, 1, 0, MORE, MORE_SIZE, memory), 0);
	start_at(&stores, 0, 1);
	EXPECT(failure(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &absent)), ENOENT);
	EXPECT(get_log(1), ENOENT);
	write_pages((uint64_t[]){1, 0});
	EXPECT(vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, MORE, MORE_SIZE, memory), 0);
	expect_log(0, 0, 0);
	EXPECT(failure(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &nowhere)), EFAULT);
	write_pages((uint64_t[]){1, 2, 0});
	expect_log(1 << 2 | 1 << 1, 0, 0);
	EXPECT(vm_slot(&vm, 1, 0, MORE, MORE_SIZE, memory), 0);
	EXPECT(get_log(1), ENOENT);
	write_pages((uint64_t[]){4, 0});
	EXPECT(vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, MORE, MORE_SIZE, memory), 0);
	write_pages((uint64_t[]){5, 0});
	expect_log(1 << 5, 0, 0);
}

/* A first read may count as a write (it does in Linux, which maps the page writable); later
 * ones do not. */
static void test_log_reads(int argument)
{
	uint8_t *memory = filled(MORE_SIZE, 5);

	(void)argument;
	vm_create(&vm);
	EXPECT(vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, MORE, MORE_SIZE, memory), 0);
	start_at(&load, MORE + PAGE, 0);
	EXPECT(vm_out(&vm, 0, PORT), 5);
	EXPECT(get_log(1), 0);
	EXPECT(vm_out(&vm, 0, PORT), 5);
	expect_log(0, 0, 0);
	memset(memory, 6, MORE_SIZE); /* nor does the client */
	EXPECT(vm_out(&vm, 0, PORT), 0x06060606);
	expect_log(0, 0, 0);
}

/* What is written for the guest is written by the guest. */
static void test_log_emulated(int argument)
{
	(void)argument;
	start_log(KVM_MEM_LOG_DIRTY_PAGES);
	start_at(&read_to_memory, MORE + 7 * PAGE, 0);
	memset(vm_mmio(&vm, 0, MMIO, 4, false), 0x55, 4);
	vm_out(&vm, 0, PORT);
	expect_log(1 << 7, 0, 0);
	start_at(&string_in, MORE + 9 * PAGE, 0);
	for (unsigned total = 0; total < 4;) {
		struct kvm_run *run = vm_run(&vm, 0, KVM_EXIT_IO);

		EXPECT(run->io.direction, KVM_EXIT_IO_IN);
		memset(io_data(run), 0x66, run->io.count);
		total += run->io.count;
	}
	vm_out(&vm, 0, PORT);
	expect_log(1 << 9, 0, 0);
}

static int clear_log(uint64_t first, uint32_t count, uint64_t mask)
{
	uint64_t masks[3] = {mask, mask, mask};
	const struct kvm_clear_dirty_log clear = {
	    .slot = 1,
	    .first_page = first,
	    .num_pages = count,
	    .dirty_bitmap = masks,
	};

	return failure(ioctl(vm.fd, KVM_CLEAR_DIRTY_LOG, &clear));
}

static void enable_manual(uint64_t how)
{
	const struct kvm_enable_cap enable = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
					      .args = {how}};
	int offered;

	vm_create(&vm);
	offered = REQUIRE(&vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
	if (how & ~(uint64_t)(unsigned)offered)
		skip("KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 lacks the flag");
	EXPECT(ioctl(vm.fd, KVM_ENABLE_CAP, &enable), 0);
	EXPECT(vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, MORE, MORE_SIZE, pages(MORE_SIZE)), 0);
	start_at(&stores, 0, 1);
}

static void test_log_cleared(int argument)
{
	(void)argument;
	enable_manual(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	write_pages((uint64_t[]){1, 2, 64, 128, 0});
	expect_log(6, 1, 1);
	expect_log(6, 1, 1); /* reading does not clear */
	EXPECT(clear_log(1, 64, ~0ull), EINVAL);
	EXPECT(clear_log(0, 63, ~0ull), EINVAL);
	EXPECT(clear_log(192, 64, ~0ull), EINVAL);
	EXPECT(clear_log(0, 64, 2), 0);
	expect_log(4, 1, 1);
	EXPECT(clear_log(128, 2, ~0ull), 0); /* up to the end of the slot */
	expect_log(4, 1, 0);
	write_pages((uint64_t[]){1, 129, 0});
	expect_log(6, 1, 2);
	EXPECT(clear_log(0, 130, ~0ull), 0);
	expect_log(0, 0, 0);
	write_pages((uint64_t[]){2, 0});
	expect_log(4, 0, 0);
}

static void test_log_initially_set(int argument)
{
	(void)argument;
	enable_manual(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
	expect_log(~0ull, ~0ull, 3);
	EXPECT(clear_log(0, 130, ~0ull), 0);
	expect_log(0, 0, 0);
	write_pages((uint64_t[]){65, 0});
	expect_log(0, 2, 0);
}

static void test_manual_flags(int argument)
{
	struct kvm_enable_cap enable = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2};

	(void)argument;
	vm_create(&vm);
	REQUIRE(&vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
	enable.args[0] = 4;
	EXPECT(failure(ioctl(vm.fd, KVM_ENABLE_CAP, &enable)), EINVAL);
	enable.args[0] = 1;
	enable.flags = 1;
	EXPECT(failure(ioctl(vm.fd, KVM_ENABLE_CAP, &enable)), EINVAL);
}

/* --- others' threads, coalesced MMIO
 * ---------------------------------------------------------- */

static atomic_bool stop;

/* Memory says 11111111h; where it is gone, the client says 22222222h. */
static void read_until_stopped(struct vm *which)
{
	while (!stop) {
		struct kvm_run *run = which->vcpu[0].run;

		MUST(ioctl(which->vcpu[0].fd, KVM_RUN, 0));
		if (run->exit_reason == KVM_EXIT_MMIO) {
			EXPECT(run->mmio.phys_addr, MORE);
			memset(run->mmio.data, 0x22, 4);
			continue;
		}
		EXPECT(run->exit_reason, KVM_EXIT_IO);
		uint32_t value = *(uint32_t *)(void *)io_data(run);
		CHECK(value == 0x11111111 || value == 0x22222222, "the guest read %#x", value);
	}
}

static void test_changed_under_way(int argument)
{
	uint8_t *memory = filled(PAGE, 0x11111111);

	(void)argument;
	vm_create(&vm);
	start_at(&load, MORE, 0);
	thread_start(&vm, read_until_stopped);
	for (unsigned i = 0; i < TOGGLES; i++) {
		EXPECT(vm_slot(&vm, 1, i & 2 ? KVM_MEM_LOG_DIRTY_PAGES : 0, MORE, PAGE, memory),
		       0);
		if (i % 8 == 0)
			sleep_ms(5);
		EXPECT(vm_slot(&vm, 1, 0, 0, 0, NULL), 0);
	}
	stop = true;
	thread_join_all();
}

static void test_coalesced(int argument)
{
	struct kvm_coalesced_mmio_zone zone = {.addr = MMIO, .size = PAGE};
	struct kvm_coalesced_mmio_ring *ring;
	int page;

	(void)argument;
	vm_create(&vm);
	page = REQUIRE(&vm, KVM_CAP_COALESCED_MMIO);
	ring = (void *)((uint8_t *)vm.vcpu[0].run + PAGE * (unsigned)page);
	EXPECT(ioctl(vm.fd, KVM_REGISTER_COALESCED_MMIO, &zone), 0);
	start_at(&store, MMIO + 8, 0x1234567);
	vm_out(&vm, 0, PORT);
	vm_out(&vm, 0, PORT);
	EXPECT(ring->last - ring->first, 2);
	EXPECT(ring->coalesced_mmio[ring->first].phys_addr, MMIO + 8);
	EXPECT(ring->coalesced_mmio[ring->first].len, 4);
	EXPECT(memcmp(ring->coalesced_mmio[ring->first].data, "\x67\x45\x23\x01", 4), 0);
	ring->first = ring->last;
	EXPECT(ioctl(vm.fd, KVM_UNREGISTER_COALESCED_MMIO, &zone), 0);
	vm_mmio(&vm, 0, MMIO + 8, 4, true);
	EXPECT(ring->first, ring->last);
}

const struct test memory_tests[] = {
    TEST("memory: slots that cannot be", test_errors),
    TEST("memory: slots do not overlap", test_overlap),
    TEST("memory: what may change of a slot", test_changes),
    TEST("memory: a slot goes and comes back", test_delete),
    TEST("memory: all memory goes and comes back in pieces", test_split),
    TEST("memory: a slot moves", test_move),
    TEST("memory: the same memory twice", test_alias),
    TEST("memory: many slots", test_many_slots),
    TEST("memory: shared memory", test_shared),
    TEST("memory: read-only slots", test_readonly),
    TEST("memory: slots change while the guest runs", test_changed_under_way),
    TEST("memory: dirty log", test_log),
    TEST("memory: dirty log switched on and off", test_log_switched),
    TEST("memory: reads are not in the dirty log", test_log_reads),
    TEST("memory: emulated writes are in the dirty log", test_log_emulated),
    TEST("memory: dirty log cleared by hand", test_log_cleared),
    TEST("memory: dirty log initially set", test_log_initially_set),
    TEST("memory: how the log is cleared, bad flags", test_manual_flags),
    TEST("memory: coalesced MMIO", test_coalesced),
    TESTS_END,
};
