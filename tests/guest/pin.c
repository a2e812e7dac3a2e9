/* SPDX-License-Identifier: BSD-2-Clause */
/* Pinned pages keep their frames, whatever the system and the program do (docs/pinning.md). */
#define _GNU_SOURCE
#include "lib/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/machine.h"

#define PAGE  4096u
#define PAGES 1024u
#define SIZE  (PAGES * PAGE)
#define HUGE  0x200000u

/* pagemap: the frame number in bits 0 to 54, bit 63: present (the kernel's pagemap.rst). */
#define FRAME_MASK ((1ull << 55) - 1)
#define PRESENT	   (1ull << 63)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static void read_frames(const void *memory, uint64_t frames[PAGES])
{
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	off_t at = (off_t)((uintptr_t)memory / PAGE * sizeof(*frames));

	CHECK(file >= 0, "no pagemap");
	CHECK(pread(file, frames, PAGES * sizeof(*frames), at) == PAGES * sizeof(*frames),
	      "pagemap is short");
	close(file);
	if (frames[0] & PRESENT && !(frames[0] & FRAME_MASK))
		skip("pagemap hides the frames: root is needed");
}

static unsigned moved(const void *memory, const uint64_t frames[PAGES])
{
	uint64_t current[PAGES];
	unsigned count = 0;

	read_frames(memory, current);
	for (unsigned i = 0; i < PAGES; i++)
		if ((current[i] ^ frames[i]) & (PRESENT | FRAME_MASK))
			count++;
	return count;
}

static void pin(void *memory, size_t size)
{
	const char *why = "no reason";
	int result = luv_pin(memory, size, &why);

	CHECK(result == 0, "%s", why);
}

static void compact(void)
{
	int file = open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC);

	if (file >= 0)
		CHECK(write(file, "1", 1) == 1, "compact_memory");
	close(file);
}

/* A child lives while the parent writes: the parent's frames stay the parent's. */
static void write_beside_child(char *memory)
{
	int pipes[2];
	char byte;
	pid_t child;

	CHECK(pipe(pipes) == 0, "no pipe");
	child = fork();
	if (child == 0) {
		close(pipes[1]);
		_exit(read(pipes[0], &byte, 1) ? 1 : 0);
	}
	for (unsigned i = 0; i < PAGES; i++)
		memory[i * PAGE] = (char)i;
	close(pipes[1]);
	waitpid(child, NULL, 0);
	close(pipes[0]);
}

static void expect_still(char *memory)
{
	uint64_t frames[PAGES];

	read_frames(memory, frames);
	for (unsigned i = 0; i < PAGES; i++)
		CHECK(frames[i] & PRESENT, "page %u is not present", i);
	compact();
	EXPECT(moved(memory, frames), 0);
	madvise(memory, SIZE, MADV_COLLAPSE);
	EXPECT(moved(memory, frames), 0);
	madvise(memory, SIZE, MADV_PAGEOUT);
	memory[0] = 1;
	EXPECT(moved(memory, frames), 0);
	write_beside_child(memory);
	EXPECT(moved(memory, frames), 0);
	EXPECT(madvise(memory, SIZE, MADV_DONTNEED), -1);
	EXPECT(errno, EINVAL);
	EXPECT(moved(memory, frames), 0);
}

static void test_anonymous(int argument)
{
	char *memory = plain_pages(SIZE);

	(void)argument;
	pin(memory, SIZE);
	expect_still(memory);
	EXPECT(luv_unpin(memory, SIZE), 0);
	EXPECT(luv_unpin(memory, SIZE), LUV_ERR_NOENT);
	EXPECT(madvise(memory, SIZE, MADV_DONTNEED), 0);
}

/* The program may close what it did not open; the pins stay. */
static void test_closed(int argument)
{
	char *memory = plain_pages(SIZE);

	(void)argument;
	pin(memory, SIZE);
	syscall(SYS_close_range, 3, ~0u, 0);
	expect_still(memory);
}

static void test_memfd(int argument)
{
	uint64_t frames[PAGES];
	int file = memfd_create("guest", MFD_CLOEXEC);
	char *memory;

	(void)argument;
	CHECK(file >= 0 && ftruncate(file, SIZE) == 0, "no memfd");
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK(memory != MAP_FAILED, "no mapping");
	for (volatile char *byte = memory; byte < memory + SIZE; byte += PAGE)
		(void)*byte; /* mapped, but clean */
	pin(memory, SIZE);
	read_frames(memory, frames);
	compact();
	EXPECT(moved(memory, frames), 0);
	EXPECT(luv_unpin(memory, SIZE), 0);
}

static bool locked(char *page)
{
	return madvise(page, PAGE, MADV_DONTNEED) < 0 && errno == EINVAL;
}

/* A page stays pinned until the last pin that holds it is gone. */
static void test_overlap(int argument)
{
	char *memory = plain_pages(8 * PAGE);

	(void)argument;
	pin(memory + 2 * PAGE, 2 * PAGE);
	pin(memory, 8 * PAGE);
	pin(memory, 8 * PAGE);
	pin(memory + 3 * PAGE + 17, 1);
	EXPECT(luv_unpin(memory, 8 * PAGE), 0);
	CHECK(locked(memory), "gone with one of two pins");
	EXPECT(luv_unpin(memory, 8 * PAGE), 0);
	CHECK(!locked(memory) && !locked(memory + 7 * PAGE), "pinned without a pin");
	CHECK(locked(memory + 2 * PAGE) && locked(memory + 3 * PAGE), "not pinned any more");
	EXPECT(luv_unpin(memory + 2 * PAGE, 2 * PAGE), 0);
	CHECK(locked(memory + 3 * PAGE), "not pinned any more");
	EXPECT(luv_unpin(memory + 3 * PAGE, PAGE), 0);
	CHECK(!locked(memory + 2 * PAGE) && !locked(memory + 3 * PAGE), "pinned without a pin");
	EXPECT(luv_unpin(memory, PAGE), LUV_ERR_NOENT);
}

static void expect_refused(void *memory, size_t size, const char *part)
{
	const char *why = "";
	int result = luv_pin(memory, size, &why);

	CHECK(result < 0, "pinned, without \"%s\"", part);
	CHECK(strstr(why, part), "\"%s\" instead of \"%s\"", why, part);
}

static void test_refusals(int argument)
{
	char *memory = plain_pages(4 * PAGE), path[] = "/var/tmp/guest-tests-XXXXXX";
	int file = mkstemp(path);
	void *mapping;

	(void)argument;
	expect_refused(memory, 0, "no range");
	expect_refused(memory, ~(size_t)0, "no range");
	CHECK(file >= 0 && unlink(path) == 0 && ftruncate(file, PAGE) == 0, "no file");
	mapping = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK(mapping != MAP_FAILED, "no mapping");
	expect_refused(mapping, PAGE, "file on a disk");
	mprotect(memory, PAGE, PROT_READ);
	expect_refused(memory, 4 * PAGE, "not writable");
	munmap(memory + 2 * PAGE, PAGE);
	expect_refused(memory + PAGE, 3 * PAGE, "not mapped");
	CHECK(!locked(memory + PAGE), "a refused pin left something pinned");
	pin(memory + PAGE, PAGE);
}

/* Not root any more, and with little to lock. */
static void test_limit(int argument)
{
	const struct rlimit limit = {8u << 20, 8u << 20};
	char *memory = plain_pages(16u << 20);

	(void)argument;
	setrlimit(RLIMIT_MEMLOCK, &limit);
	if (setresuid(65534, 65534, 65534) < 0)
		skip("root is needed");
	expect_refused(memory, 16u << 20, "RLIMIT_MEMLOCK");
	pin(memory, 1u << 20);
}

/* As sandboxes do it. */
static void test_forbidden(int argument)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
	char *memory = plain_pages(PAGE);

	(void)argument;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		skip("no seccomp");
	expect_refused(memory, PAGE, "io_uring is forbidden");
	CHECK(!locked(memory), "a refused pin left something pinned");
}

static void reserve_huge_pages(const char *number)
{
	int file = open("/proc/sys/vm/nr_hugepages", O_WRONLY | O_CLOEXEC);

	if (file < 0 || write(file, number, strlen(number)) < 0)
		skip("no huge pages can be reserved: root is needed, and CONFIG_HUGETLBFS");
	close(file);
}

/* A part of a huge page, of which the kernel would leave none out. */
static void test_huge_fork(int argument)
{
	unsigned char there;
	int status = -1;
	pid_t child;
	char *memory;

	(void)argument;
	reserve_huge_pages("4");
	memory = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (memory == MAP_FAILED)
		skip("no huge pages are free");
	pin(memory + HUGE - PAGE, 2 * PAGE);
	child = fork();
	if (child == 0)
		_exit(mincore(memory + HUGE, PAGE, &there) < 0 ? 0 : 1);
	EXPECT(waitpid(child, &status, 0), child);
	CHECK(status == 0, "the child has the memory");
	EXPECT(luv_unpin(memory + HUGE - PAGE, 2 * PAGE), 0);
	EXPECT(munmap(memory, 2 * HUGE), 0);
	reserve_huge_pages("0");
}

/* A child has neither the memory nor the pins, and its own pins are its own. */
static void test_fork(int argument)
{
	char *memory = plain_pages(2 * PAGE), *other = plain_pages(PAGE);
	int status = -1;
	pid_t child;

	(void)argument;
	pin(memory, PAGE);
	child = fork();
	if (child == 0) {
		EXPECT(luv_unpin(memory, PAGE), LUV_ERR_NOENT);
		EXPECT(madvise(memory, PAGE, MADV_NORMAL), -1);
		EXPECT(errno, ENOMEM);
		pin(other, PAGE);
		EXPECT(luv_unpin(other, PAGE), 0);
		_exit(0);
	}
	EXPECT(waitpid(child, &status, 0), child);
	EXPECT(status, 0);
	CHECK(locked(memory), "the child unpinned it");
	EXPECT(luv_unpin(memory, PAGE), 0);
}

/* More than one slot can hold. */
static void test_large(int argument)
{
	const size_t size = (size_t)1200 << 20;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)argument;
	CHECK(memory != MAP_FAILED, "no address space");
	if (sysconf(_SC_AVPHYS_PAGES) < (long)(size / PAGE + 65536))
		skip("1.5 GiB of free memory are needed");
	pin(memory, size);
	CHECK(locked(memory) && locked(memory + size - PAGE), "not pinned");
	EXPECT(luv_unpin(memory, size), 0);
}

const struct test pin_tests[] = {
	{.name = "pin: anonymous memory", .run = test_anonymous, .without = true},
	{.name = "pin: after all descriptors were closed", .run = test_closed, .without = true},
	{.name = "pin: memfd", .run = test_memfd, .without = true},
	{.name = "pin: overlapping pins", .run = test_overlap, .without = true},
	{.name = "pin: what cannot be pinned", .run = test_refusals, .without = true},
	{.name = "pin: more than RLIMIT_MEMLOCK", .run = test_limit, .without = true},
	{.name = "pin: io_uring forbidden", .run = test_forbidden, .without = true},
	{.name = "pin: a forked child", .run = test_fork, .without = true},
	{.name = "pin: huge pages and a forked child", .run = test_huge_fork, .without = true},
	{.name = "pin: more than 1 GiB", .run = test_large, .without = true, .seconds = 60},
	{0},
};
