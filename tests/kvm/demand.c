/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory on demand: it is taken when it is touched, and follows what the client does with
 * its mappings. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kvm/test.h"

#define MIB		  0x100000u
#define HUGE		  (2u * MIB)
#define PLACE		  0x10000000u	     /* of the slot */
#define LARGE		  ((size_t)12 << 30) /* more than the machine has */
#define SIZE		  (16u * HUGE)
#define KILLS		  5u
#define UNDER_WAY_SECONDS 4

/* From RBX on, RCX times RDX apart: counts each word up, and reports the last. */
GUEST(sweep, 64,
      "1: mov %rbx, %rsi; mov %rcx, %rdi\n"
      "2: incl (%rsi); mov (%rsi), %eax; add %rdx, %rsi; dec %rdi; jnz 2b; out %eax, $0x10; "
      "jmp 1b");
GUEST(sweep_for_ever, 64,
      "1: mov %rbx, %rsi; mov %rcx, %rdi\n"
      "2: lock incl (%rsi); add %rdx, %rsi; dec %rdi; jnz 2b; jmp 1b");

static struct vm vm;
static uint8_t *memory;

static void sweep_with(unsigned cpu, const struct guest *guest, uint64_t first, uint64_t count,
		       uint64_t step)
{
	struct kvm_regs regs;

	vm_load(&vm, cpu, guest, LONG);
	regs = vm_regs(&vm, cpu);
	regs.rbx = PLACE + first;
	regs.rcx = count;
	regs.rdx = step;
	vm_set_regs(&vm, cpu, &regs);
}

/* The guest counts words up; the last is returned. */
static uint32_t sweep_once(uint64_t first, uint64_t count, uint64_t step)
{
	sweep_with(0, &sweep, first, count, step);
	return vm_out(&vm, 0, PORT);
}

static uint32_t *word(uint64_t offset)
{
	return (uint32_t *)(void *)(memory + offset);
}

/* A slot of memory that nobody has touched, its beginning at a huge page's. */
static void create_with(size_t size)
{
	uint8_t *mapping = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(mapping != MAP_FAILED, "no address space");
	memory = mapping + HUGE - (uintptr_t)mapping % HUGE;
	vm_create(&vm);
	EXPECT(vm_slot(&vm, 1, 0, PLACE, size, memory), 0);
}

/* What the process has taken of the machine's memory, in KiB. */
static unsigned long taken(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	CHECK(file && fscanf(file, "%*u %lu", &pages) == 1, "no statm");
	fclose(file);
	return pages * (PAGE / 1024);
}

static void test_taken(int argument)
{
	unsigned long before, after;

	(void)argument;
	before = taken();
	create_with(LARGE);
	EXPECT(sweep_once(HUGE, 4, 100 * MIB), 1);
	after = taken();
	CHECK(after - before < 32 * 1024, "%lu KiB more are taken", after - before);
	EXPECT(*word(HUGE + 100 * MIB), 1);
	EXPECT(*word(HUGE + 200 * MIB), 1);
	CHECK(taken() - after < 1024, "the client touched other memory than the guest");
}

static void test_client_first(int argument)
{
	(void)argument;
	create_with(SIZE);
	*word(PAGE) = 7;
	*word(HUGE + 5 * PAGE) = 8;
	EXPECT(sweep_once(PAGE, 1, 0), 8);
	EXPECT(sweep_once(HUGE + 5 * PAGE, 1, 0), 9);
	EXPECT(*word(PAGE), 8);
	*word(3 * HUGE) = 5;
	EXPECT(sweep_once(0, SIZE / HUGE, HUGE), 1);
	EXPECT(*word(3 * HUGE), 6);
	for (unsigned i = 0; i < SIZE / HUGE; i++)
		EXPECT(*word(i * HUGE), i == 3 ? 6 : 1);
}

/* All but a page was there before there was a slot. */
static void test_before_slot(int argument)
{
	(void)argument;
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED, "no memory");
	madvise(memory, SIZE, MADV_NOHUGEPAGE);
	memset(memory, 0, 5 * HUGE);
	memset(memory + 5 * HUGE + PAGE, 0, SIZE - 5 * HUGE - PAGE);
	vm_create(&vm);
	*word(3 * HUGE) = 4;
	EXPECT(vm_slot(&vm, 1, 0, PLACE, SIZE, memory), 0);
	*word(3 * HUGE) += 1;
	EXPECT(sweep_once(0, SIZE / HUGE, HUGE), 1);
	for (unsigned i = 0; i < SIZE / HUGE; i++)
		EXPECT(*word(i * HUGE), i == 3 ? 6 : 1);
	EXPECT(madvise(memory + 4 * HUGE, 3 * HUGE, MADV_DONTNEED), 0);
	EXPECT(sweep_once(0, SIZE / HUGE, HUGE), 2);
	for (unsigned i = 0; i < SIZE / HUGE; i++)
		EXPECT(*word(i * HUGE), i == 3 ? 7 : i >= 4 && i < 7 ? 1 : 2);
}

static void expect_coherent(uint64_t offset)
{
	*word(offset) = 40;
	EXPECT(sweep_once(offset, 1, 0), 41);
	EXPECT(*word(offset), 41);
}

/* Before the guest has touched it, after it has, and both in one piece. */
static void test_discard(int argument)
{
	(void)argument;
	create_with(SIZE);
	memset(memory, 0x55, SIZE);
	EXPECT(madvise(memory + 8 * HUGE, HUGE, MADV_DONTNEED), 0);
	EXPECT(sweep_once(8 * HUGE, 1, 0), 1);
	expect_coherent(8 * HUGE);
	EXPECT(madvise(memory + 8 * HUGE, PAGE, MADV_DONTNEED), 0);
	EXPECT(*word(8 * HUGE), 0);
	EXPECT(sweep_once(8 * HUGE, 1, 0), 1);
	EXPECT(madvise(memory + 6 * HUGE, 6 * HUGE, MADV_DONTNEED), 0);
	EXPECT(sweep_once(6 * HUGE, 6, HUGE), 1);
	for (unsigned i = 6; i < 12; i++)
		expect_coherent(i * HUGE);
}

static void test_unmap(int argument)
{
	(void)argument;
	create_with(SIZE);
	EXPECT(sweep_once(2 * HUGE, 2, HUGE), 1);
	EXPECT(munmap(memory + 3 * HUGE, 2 * HUGE), 0);
	EXPECT(sweep_once(2 * HUGE, 1, 0), 2);
	sweep_with(0, &sweep, 3 * HUGE, 1, 0);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_RUN, 0)), EFAULT);
	sweep_with(0, &sweep, 4 * HUGE + PAGE, 1, 0);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_RUN, 0)), EFAULT);
	EXPECT(sweep_once(5 * HUGE, 1, 0), 1);
	CHECK(mmap(memory + 3 * HUGE, 2 * HUGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED,
	      "no mapping");
	EXPECT(sweep_once(3 * HUGE, 2, HUGE + PAGE), 1);
	expect_coherent(3 * HUGE);
	expect_coherent(2 * HUGE);
}

/* Memory whose slot is gone goes in two parts, and makes room for what the library maps itself.
 */
static void test_elsewhere(int argument)
{
	const size_t half = 128 * MIB;
	uint8_t *other, *first;

	(void)argument;
	create_with(2 * half);
	first = memory;
	EXPECT(sweep_once(0, 2, half), 1);
	EXPECT(vm_slot(&vm, 1, 0, 0, 0, NULL), 0);
	other = mmap(NULL, half, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(other != MAP_FAILED, "no memory");
	EXPECT(munmap(first, half), 0);
	EXPECT(munmap(first + half, half), 0);
	memory = other;
	EXPECT(vm_slot(&vm, 1, 0, PLACE, half, memory), 0);
	EXPECT(sweep_once(0, 2, 7 * HUGE), 1);
	expect_coherent(HUGE);
}

/* A hole in what is untouched, and in what the guest has. */
static void test_file(int argument)
{
	int file = MUST(memfd_create("guest", MFD_CLOEXEC));
	uint32_t *other;

	(void)argument;
	MUST(ftruncate(file, SIZE));
	other = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK(memory != MAP_FAILED && other != MAP_FAILED, "no mapping");
	vm_create(&vm);
	EXPECT(vm_slot(&vm, 1, 0, PLACE, SIZE, memory), 0);
	for (unsigned i = 0; i < 8; i++)
		other[i * HUGE / sizeof(*other)] = 10;
	EXPECT(sweep_once(4 * HUGE, 2, HUGE), 11);
	for (unsigned i = 3; i < 6; i++)
		EXPECT(
		    fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, i * HUGE, PAGE),
		    0);
	EXPECT(sweep_once(3 * HUGE, 3, HUGE), 1);
	EXPECT(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * HUGE, 4 * HUGE),
	       0);
	EXPECT(sweep_once(2 * HUGE, 4, HUGE), 1);
	for (unsigned i = 2; i < 6; i++)
		EXPECT(other[i * HUGE / sizeof(*other)], 1);
	EXPECT(sweep_once(0, 1, 0), 11);
}

/* A ring keeps pins as long as anybody has it open. */
static unsigned open_rings(void)
{
	char name[64], target[64];
	unsigned count = 0;

	for (unsigned i = 0; i < 2048; i++) {
		ssize_t length;

		snprintf(name, sizeof(name), "/proc/self/fd/%u", i);
		length = readlink(name, target, sizeof(target) - 1);
		target[length > 0 ? length : 0] = 0;
		count += strstr(target, "io_uring") != NULL;
	}
	return count;
}

/* A child lives; what it has is its own, whether the guest had touched it before or touches it
 * now. */
static void test_fork(int argument)
{
	int pipes[2], status = -1;
	pid_t child;
	char byte;

	(void)argument;
	create_with(SIZE);
	memset(memory, 0, SIZE);
	EXPECT(sweep_once(HUGE, 1, 0), 1);
	*word(3 * HUGE) = 5;
	*word(4 * HUGE) = 6;
	MUST(pipe(pipes));
	child = fork();
	if (child == 0) {
		close(pipes[1]);
		EXPECT(open_rings(), 0);
		EXPECT(read(pipes[0], &byte, 1), 0);
		_exit(0);
	}
	close(pipes[0]);
	EXPECT(sweep_once(HUGE, 1, 0), 2);
	EXPECT(sweep_once(3 * HUGE, 1, 0), 6);
	*word(4 * HUGE) = 8;
	EXPECT(sweep_once(4 * HUGE, 1, 0), 9);
	for (unsigned i = 0; i < SIZE / HUGE; i++)
		expect_coherent(i * HUGE + PAGE);
	close(pipes[1]);
	EXPECT(waitpid(child, &status, 0), child);
	EXPECT(status, 0);
	for (unsigned i = 0; i < SIZE / HUGE; i++)
		expect_coherent(i * HUGE + 2 * PAGE);
}

static void run_other(struct vm *which)
{
	struct kvm_run *run = which->vcpu[1].run;

	MUST(ioctl(which->vcpu[1].fd, KVM_RUN, 0));
	EXPECT(run->exit_reason, KVM_EXIT_IO);
}

/* Both touch the same huge pages first at the same time, each a page of its own. */
static void test_two(int argument)
{
	(void)argument;
	create_with(SIZE);
	vm_add_vcpu(&vm, 1);
	sweep_with(0, &sweep, 0, SIZE / HUGE, HUGE);
	sweep_with(1, &sweep, PAGE, SIZE / HUGE, HUGE);
	thread_start(&vm, run_other);
	EXPECT(vm_out(&vm, 0, PORT), 1);
	thread_join_all();
	for (unsigned i = 0; i < SIZE / HUGE; i++) {
		EXPECT(*word(i * HUGE), 1);
		EXPECT(*word(i * HUGE + PAGE), 1);
		EXPECT(*word(i * HUGE + 2 * PAGE), 0);
	}
}

/* The slot goes and comes in two pieces, of which one begins within a huge page, and comes as a
 * whole. */
static void test_again(int argument)
{
	const size_t half = SIZE / 2 + 3 * PAGE;

	(void)argument;
	create_with(SIZE);
	EXPECT(sweep_once(0, SIZE / HUGE / 2, 2 * HUGE), 1);
	EXPECT(vm_slot(&vm, 1, 0, 0, 0, NULL), 0);
	EXPECT(vm_slot(&vm, 1, 0, PLACE, half, memory), 0);
	EXPECT(vm_slot(&vm, 2, 0, PLACE + half, SIZE - half, memory + half), 0);
	EXPECT(sweep_once(0, SIZE / HUGE, HUGE), 1);
	EXPECT(vm_slot(&vm, 2, 0, 0, 0, NULL), 0);
	EXPECT(vm_slot(&vm, 1, 0, 0, 0, NULL), 0);
	EXPECT(vm_slot(&vm, 1, 0, PLACE, SIZE, memory), 0);
	EXPECT(sweep_once(0, SIZE / HUGE, HUGE), 2);
	for (unsigned i = 0; i < SIZE / HUGE; i++)
		EXPECT(*word(i * HUGE), i % 2 ? 2 : 3);
}

/* One page of memory is two of the guest's, whichever it touches first. */
static void test_alias(int argument)
{
	(void)argument;
	create_with(SIZE);
	EXPECT(vm_slot(&vm, 2, KVM_MEM_LOG_DIRTY_PAGES, PLACE + SIZE, SIZE, memory), 0);
	EXPECT(sweep_once(0, 4, HUGE), 1);
	EXPECT(sweep_once(SIZE, 8, HUGE), 1);
	EXPECT(sweep_once(0, 8, HUGE), 2);
	for (unsigned i = 0; i < 8; i++)
		EXPECT(*word(i * HUGE), i < 4 ? 3 : 2);
}

static atomic_bool stop;

static void run_until_stopped(struct vm *which)
{
	while (!stop)
		vm_out(which, 0, PORT);
}

/* Memory is discarded under a guest that touches it: afterwards both still see the same. */
static void test_discard_under_way(int argument)
{
	const time_t end =
	    time(NULL) + UNDER_WAY_SECONDS; /* fewer times where the machine is slow */

	(void)argument;
	create_with(SIZE);
	sweep_with(0, &sweep, 0, SIZE / (HUGE / 4), HUGE / 4);
	thread_start(&vm, run_until_stopped);
	for (unsigned i = 0; i < 300 && time(NULL) <= end; i++) {
		unsigned from = i * 7 % 15;

		EXPECT(madvise(memory + from * HUGE, i % 3 ? HUGE : PAGE, MADV_DONTNEED), 0);
		if (i % 10 == 0)
			sleep_ms(2);
	}
	stop = true;
	thread_join_all();
	for (unsigned i = 0; i < SIZE / HUGE; i++)
		expect_coherent(i * HUGE);
}

/* Counts in memory of its own, and at last in a page that its parent has. */
static _Noreturn void count_for_ever(uint32_t *shared)
{
	create_with(SIZE);
	EXPECT(vm_slot(&vm, 2, 0, PLACE + SIZE, PAGE, shared), 0);
	sweep_with(0, &sweep_for_ever, 0, SIZE / PAGE + 1, PAGE);
	for (;;)
		(void)ioctl(vm.vcpu[0].fd, KVM_RUN, 0);
}

static void kill_counting(unsigned delay)
{
	uint32_t *shared =
	    mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	pid_t child;

	CHECK(shared != MAP_FAILED, "no memory");
	child = fork();
	if (child == 0)
		count_for_ever(shared);
	while (!__atomic_load_n(shared, __ATOMIC_RELAXED) &&
	       waitpid(child, &status, WNOHANG) == 0)
		sleep_ms(1);
	CHECK(*shared, "the guest does not count: status %#x", (unsigned)status);
	sleep_ms(delay);
	EXPECT(kill(child, SIGKILL), 0);
	EXPECT(waitpid(child, &status, 0), child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x",
	      (unsigned)status);
	EXPECT(munmap(shared, PAGE), 0);
}

/* The frames of a dead client are others' at once: nobody writes to them any more. */
static void test_kill(int argument)
{
	const size_t size = 64 * MIB;
	const uint64_t pattern = 0xa5a5a5a5a5a5a5a5;
	uint64_t *fresh;

	(void)argument;
	for (unsigned i = 0; i < KILLS; i++)
		kill_counting(30 * i);
	fresh = (uint64_t *)pages(size);
	memset(fresh, (uint8_t)pattern, size);
	sleep_ms(100);
	for (size_t i = 0; i < size / sizeof(*fresh); i++)
		CHECK(fresh[i] == pattern, "word %zu of fresh memory changed to %#" PRIx64, i,
		      fresh[i]);
	create_with(SIZE);
	EXPECT(sweep_once(0, SIZE / HUGE, HUGE), 1);
}

const struct test demand_tests[] = {
    TEST("demand: what nobody touches is not taken", test_taken),
    TEST("demand: touched by the client first", test_client_first),
    TEST("demand: there before the slot", test_before_slot),
    TEST("demand: discarded memory", test_discard),
    TEST("demand: unmapped memory", test_unmap),
    TEST("demand: other memory in its place", test_elsewhere),
    TEST("demand: holes in a file", test_file),
    TEST("demand: a child", test_fork),
    TEST("demand: two vCPUs touch the same", test_two),
    TEST("demand: a slot goes and comes back", test_again),
    TEST("demand: the same memory twice", test_alias),
    {.name = "demand: discarded while the guest runs",
     .run = test_discard_under_way,
     .seconds = 60},
    {.name = "demand: SIGKILL", .run = test_kill, .seconds = 90},
    TESTS_END,
};
