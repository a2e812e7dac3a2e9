/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that a good program does not make, each with the answer that it must get, for
 * tests/boot/checks.py. Prints "ok WHAT" or "wrong WHAT: ANSWER".
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <luvalley/acpi.h>

#include "lib/luvalley.h"

#define PAGE	       4096u
#define NON_CANONICAL  0x8000000000000000ull
#define KERNEL_ADDRESS 0xffffffff81000000ull

static bool all_right = true;

static void expect(const char *what, long got, long wanted)
{
	if (got == wanted) {
		printf("ok %s\n", what);
		return;
	}
	printf("wrong %s: %ld, not %ld\n", what, got, wanted);
	all_right = false;
}

/* Past the library, which retries and knows no bad arguments. */
static long call(unsigned long number, unsigned long a, unsigned long b, unsigned long c)
{
	long result = (long)number;

	if (luv_query(LUV_QUERY_VENDOR) == LUV_VENDOR_SVM)
		__asm__ volatile("vmmcall" : "+a"(result) : "D"(a), "S"(b), "d"(c) : "memory");
	else
		__asm__ volatile("vmcall" : "+a"(result) : "D"(a), "S"(b), "d"(c) : "memory");
	return result;
}

static bool read_key(uint32_t key[3])
{
	struct luv_acpi_table table;
	FILE *file = fopen("/sys/firmware/acpi/tables/" LUV_ACPI_SIGNATURE, "rb");
	bool whole = file && fread(&table, sizeof(table), 1, file) == 1;

	if (file)
		fclose(file);
	if (whole)
		memcpy(key, table.key, sizeof(table.key));
	return whole;
}

static void without_key(const uint32_t key[3])
{
	expect("an unknown call", call(LUV_CALL_COUNT, 0, 0, 0), LUV_ERR_NOSYS);
	expect("a call number with high bits", call(1ul << 32, 0, 0, 0), LUV_ERR_NOSYS);
	expect("the greatest call number", call(~0ul, 0, 0, 0), LUV_ERR_NOSYS);
	expect("an unknown query", call(LUV_CALL_QUERY, 1000, 0, 0), LUV_ERR_NOENT);
	expect("session 0", call(LUV_CALL_LOG_READ, 0, 0, 0), LUV_ERR_PERM);
	expect("a guessed session", call(LUV_CALL_CPU_STATISTICS, 1, 0, 0), LUV_ERR_PERM);
	expect("closing a guessed session", call(LUV_CALL_SESSION_CLOSE, 1, 0, 0),
	       LUV_ERR_PERM);
	expect("a crash without a session", call(LUV_CALL_DEBUG_CRASH, 0, 0, 0), LUV_ERR_PERM);
	for (unsigned i = 0; i < 3; i++) {
		uint32_t wrong[3] = {key[0], key[1], key[2]};

		wrong[i] ^= 1;
		expect("a key that is wrong in one bit", luv_session_open(wrong), LUV_ERR_PERM);
	}
	expect("a key with high bits",
	       call(LUV_CALL_SESSION_OPEN, key[0] | 1ul << 32, key[1], key[2]), LUV_ERR_PERM);
}

static void bad_structures(unsigned long session)
{
	static _Alignas(PAGE) char memory[2 * PAGE];
	const unsigned long log = LUV_CALL_LOG_READ;

	memory[0] = memory[PAGE] = 1; /* present */
	expect("no structure", call(log, session, 0, 0), LUV_ERR_FAULT);
	expect("a structure in the kernel", call(log, session, KERNEL_ADDRESS, 0),
	       LUV_ERR_FAULT);
	expect("a non-canonical structure", call(log, session, NON_CANONICAL, 0),
	       LUV_ERR_FAULT);
	expect("a structure at the end of everything", call(log, session, ~0ul - 7, 0),
	       LUV_ERR_INVAL);
	expect("an odd structure", call(log, session, (unsigned long)memory + 4, 0),
	       LUV_ERR_INVAL);
	expect("a structure over two pages",
	       call(log, session, (unsigned long)memory + PAGE - 8, 0), LUV_ERR_INVAL);
}

static void bad_fields(unsigned long session)
{
	static char buffer[64];
	const struct luv_log_read good = {.buffer = (uintptr_t)buffer, .size = sizeof(buffer)};
	_Alignas(64) struct luv_log_read read = good;
	_Alignas(256) struct luv_cpu_statistics statistics = {.cpu = 1u << 20};

	buffer[0] = 1;
	expect("a good structure", call(LUV_CALL_LOG_READ, session, (uintptr_t)&read, 0), 0);
	read = good;
	read.which = 2;
	expect("a log that is none", call(LUV_CALL_LOG_READ, session, (uintptr_t)&read, 0),
	       LUV_ERR_INVAL);
	read = good;
	read.size = LUV_LOG_READ_MAX + 1;
	expect("a size too large", call(LUV_CALL_LOG_READ, session, (uintptr_t)&read, 0),
	       LUV_ERR_INVAL);
	read = good;
	read.size = 0;
	expect("a size of nothing", call(LUV_CALL_LOG_READ, session, (uintptr_t)&read, 0),
	       LUV_ERR_INVAL);
	read = good;
	read.buffer = KERNEL_ADDRESS;
	expect("a buffer in the kernel", call(LUV_CALL_LOG_READ, session, (uintptr_t)&read, 0),
	       LUV_ERR_FAULT);
	expect("a CPU that is none",
	       call(LUV_CALL_CPU_STATISTICS, session, (uintptr_t)&statistics, 0),
	       LUV_ERR_NOENT);
}

/* Read-only memory may be read, never written through the hypervisor. */
static void read_only(unsigned long session)
{
	struct luv_cpu_statistics *page =
	    mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED) {
		expect("mmap", -1, 0);
		return;
	}
	page->apic_id = 12345;
	mprotect(page, PAGE, PROT_READ);
	expect("a structure in read-only memory",
	       call(LUV_CALL_CPU_STATISTICS, session, (uintptr_t)page, 0), LUV_ERR_FAULT);
	expect("what read-only memory still holds", (long)page->apic_id, 12345);
	munmap(page, PAGE);
	expect("a structure in memory that is gone",
	       call(LUV_CALL_CPU_STATISTICS, session, (uintptr_t)page, 0), LUV_ERR_FAULT);
}

/* A session belongs to the address space that opened it. */
static void forked(unsigned long session)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0)
		_exit(call(LUV_CALL_SESSION_CLOSE, session, 0, 0) == LUV_ERR_PERM ? 0 : 1);
	expect("a forked child's use of the session",
	       child > 0 && waitpid(child, &status, 0) == child ? status : -1, 0);
}

int main(void)
{
	uint32_t key[3];
	int session;

	if (!luv_present() || !read_key(key)) {
		puts("wrong: no Luvalley, or no key");
		return 1;
	}
	without_key(key);
	session = luv_session_open(key);
	if (session <= 0) {
		printf("wrong opening a session: %d\n", session);
		return 1;
	}
	bad_structures((unsigned long)session);
	bad_fields((unsigned long)session);
	read_only((unsigned long)session);
	forked((unsigned long)session);
	expect("a crash that was not allowed at boot",
	       call(LUV_CALL_DEBUG_CRASH, (unsigned long)session, 0, 0), LUV_ERR_PERM);
	expect("closing", luv_session_close(session), 0);
	expect("closing again", luv_session_close(session), LUV_ERR_PERM);
	return all_right ? 0 : 1;
}
