/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/luvalley.h"

#include <cpuid.h>
#include <string.h>

#define PAGE_SIZE \
	4096u /* also where the system's pages are larger: touching more often is harmless */

#define TRIES_MAX 500

enum call_instruction { NOT_ASKED, NO_CALLS, CALL_VMMCALL, CALL_VMCALL };

static enum call_instruction find_instruction(void)
{
	uint32_t highest, ebx, ecx, edx;
	char name[12];

	__cpuid(LUV_CPUID_BASE, highest, ebx, ecx, edx);
	memcpy(name, &ebx, 4);
	memcpy(name + 4, &ecx, 4);
	memcpy(name + 8, &edx, 4);
	if (memcmp(name, LUV_CPUID_SIGNATURE, sizeof(name)) != 0)
		return NO_CALLS;

	__cpuid(0, highest, ebx, ecx, edx);
	memcpy(name, &ebx, 4);
	memcpy(name + 4, &edx, 4);
	memcpy(name + 8, &ecx, 4);
	if (memcmp(name, "AuthenticAMD", sizeof(name)) == 0 ||
	    memcmp(name, "HygonGenuine", sizeof(name)) == 0)
		return CALL_VMMCALL;
	return CALL_VMCALL;
}

/* CPUID is an exit, so it is asked once; threads that ask at the same time get the same answer.
 */
static enum call_instruction instruction(void)
{
	static int known = NOT_ASKED;
	int answer = __atomic_load_n(&known, __ATOMIC_RELAXED);

	if (answer == NOT_ASKED) {
		answer = find_instruction();
		__atomic_store_n(&known, answer, __ATOMIC_RELAXED);
	}
	return answer;
}

bool luv_present(void)
{
	return instruction() != NO_CALLS;
}

static int call_once(enum luv_call number, uintptr_t a, uintptr_t b, uintptr_t c)
{
	uintptr_t rax = number;

	switch (instruction()) {
	case CALL_VMMCALL:
		__asm__ volatile("vmmcall" : "+a"(rax) : "D"(a), "S"(b), "d"(c) : "memory");
		return (int)rax;
	case CALL_VMCALL:
		__asm__ volatile("vmcall" : "+a"(rax) : "D"(a), "S"(b), "d"(c) : "memory");
		return (int)rax;
	default:
		return LUV_ERR_NOSYS;
	}
}

/* Writes to every page, so that the system makes each present and writable. */
static void touch(void *memory, size_t size)
{
	volatile char *bytes = memory;

	if (size == 0)
		return;
	for (size_t i = 0; i < size; i += PAGE_SIZE)
		bytes[i] = bytes[i];
	bytes[size - 1] = bytes[size - 1];
}

struct span {
	void *memory;
	size_t size;
};

/* For calls with a structure, and perhaps a buffer that it names. */
static int call_with(enum luv_call number, int session, struct span structure,
		     struct span buffer)
{
	int result = LUV_ERR_AGAIN;

	for (int i = 0; i < TRIES_MAX; i++) {
		result = call_once(number, (uintptr_t)session, (uintptr_t)structure.memory, 0);
		if (result == LUV_ERR_FAULT) {
			touch(structure.memory, structure.size);
			touch(buffer.memory, buffer.size);
		} else if (result != LUV_ERR_AGAIN) {
			break;
		}
	}
	return result;
}

static int call_plain(enum luv_call number, uintptr_t a, uintptr_t b, uintptr_t c)
{
	int result = LUV_ERR_AGAIN;

	for (int i = 0; i < TRIES_MAX && result == LUV_ERR_AGAIN; i++)
		result = call_once(number, a, b, c);
	return result;
}

int luv_query(enum luv_query item)
{
	return call_plain(LUV_CALL_QUERY, item, 0, 0);
}

int luv_session_open(const uint32_t key[3])
{
	return call_plain(LUV_CALL_SESSION_OPEN, key[0], key[1], key[2]);
}

int luv_session_close(int session)
{
	return call_plain(LUV_CALL_SESSION_CLOSE, (uintptr_t)session, 0, 0);
}

int luv_log_read(int session, unsigned which, uint64_t *position, void *buffer, size_t size,
		 uint64_t *lost)
{
	/* Aligned to a power of two not below its size, a structure lies in one page. */
	_Alignas(64) struct luv_log_read read = {
	    .which = which,
	    .position = *position,
	    .buffer = (uintptr_t)buffer,
	    .size = size < LUV_LOG_READ_MAX ? size : LUV_LOG_READ_MAX,
	};
	_Static_assert(sizeof(read) <= 64, "struct luv_log_read");
	int result = call_with(LUV_CALL_LOG_READ, session, (struct span){&read, sizeof(read)},
			       (struct span){buffer, (size_t)read.size});

	if (result < 0)
		return result;
	if (read.got > read.size)
		return LUV_ERR_INVAL;
	*position = read.position;
	*lost = read.lost;
	return (int)read.got;
}

int luv_cpu_statistics_get(int session, unsigned cpu, struct luv_cpu_statistics *statistics)
{
	_Alignas(256) struct luv_cpu_statistics copy = {.cpu = cpu};
	_Static_assert(sizeof(copy) <= 256, "struct luv_cpu_statistics");
	int result = call_with(LUV_CALL_CPU_STATISTICS, session,
			       (struct span){&copy, sizeof(copy)}, (struct span){NULL, 0});

	if (result >= 0)
		*statistics = copy;
	return result;
}

int luv_debug_crash(int session)
{
	return call_plain(LUV_CALL_DEBUG_CRASH, (uintptr_t)session, 0, 0);
}

const char *luv_strerror(int error)
{
	switch (error) {
	case LUV_ERR_PERM:
		return "not permitted";
	case LUV_ERR_NOENT:
		return "no such thing";
	case LUV_ERR_AGAIN:
		return "busy, try again";
	case LUV_ERR_NOMEM:
		return "the hypervisor's memory is exhausted";
	case LUV_ERR_FAULT:
		return "memory that the hypervisor cannot reach";
	case LUV_ERR_INVAL:
		return "invalid argument";
	case LUV_ERR_NOSYS:
		return "no such call";
	default:
		return error < 0 ? "unknown error" : "success";
	}
}
