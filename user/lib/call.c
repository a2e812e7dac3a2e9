/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/call.h"

#include <cpuid.h>
#include <string.h>

#include "lib/luvalley.h"

/* Also where the system's pages are larger: touching more often is harmless. */
#define PAGE_SIZE 4096u

uint32_t luv_call_known;

static enum luv_call_instruction find_instruction(void)
{
	uint32_t highest, ebx, ecx, edx;
	char name[12];

	__cpuid(LUV_CPUID_BASE, highest, ebx, ecx, edx);
	memcpy(name, &ebx, 4);
	memcpy(name + 4, &ecx, 4);
	memcpy(name + 8, &edx, 4);
	if (memcmp(name, LUV_CPUID_SIGNATURE, sizeof(name)) != 0)
		return LUV_CALL_NONE;

	__cpuid(0, highest, ebx, ecx, edx);
	memcpy(name, &ebx, 4);
	memcpy(name + 4, &edx, 4);
	memcpy(name + 8, &ecx, 4);
	if (memcmp(name, "AuthenticAMD", sizeof(name)) == 0 ||
	    memcmp(name, "HygonGenuine", sizeof(name)) == 0)
		return LUV_CALL_BY_VMMCALL;
	return LUV_CALL_BY_VMCALL;
}

static uint32_t instruction(void)
{
	uint32_t known = __atomic_load_n(&luv_call_known, __ATOMIC_RELAXED);

	if (known == LUV_CALL_NOT_ASKED) {
		known = find_instruction();
		__atomic_store_n(&luv_call_known, known, __ATOMIC_RELAXED);
	}
	return known;
}

bool luv_present(void)
{
	return instruction() != LUV_CALL_NONE;
}

static int call_once(enum luv_call number, uintptr_t a, uintptr_t b, uintptr_t c)
{
	return instruction() == LUV_CALL_NONE ? LUV_ERR_NOSYS : luv_call_quick(number, a, b, c);
}

/*
 * A write must change nothing, even while a guest or another thread writes to the same byte: it
 * is one locked instruction. (Compilers turn an atomic addition of 0 into a read.)
 */
void luv_touch(uintptr_t address, int write)
{
	volatile uint8_t *byte = (volatile uint8_t *)address;

	if (write)
		__asm__ volatile("lock addb $0, %0" : "+m"(*byte) : : "memory", "cc");
	else
		(void)*byte;
}

static void touch_span(struct luv_span span)
{
	uintptr_t at = (uintptr_t)span.memory;

	if (span.size == 0)
		return;
	for (size_t i = 0; i < span.size; i += PAGE_SIZE)
		luv_touch(at + i, 1);
	luv_touch(at + span.size - 1, 1);
}

int luv_call_with(enum luv_call number, const uintptr_t argument[3], struct luv_span structure,
		  struct luv_span buffer)
{
	unsigned touches = 0;

	for (;;) {
		int result = call_once(number, argument[0], argument[1], argument[2]);

		if (result == LUV_ERR_AGAIN)
			continue; /* it got further: the number of times is bounded by the work
				   */
		if (result != LUV_ERR_FAULT || touches == LUV_TOUCHES_MAX)
			return result;
		touches++;
		touch_span(structure);
		touch_span(buffer);
	}
}

int luv_call_plain(enum luv_call number, uintptr_t a, uintptr_t b, uintptr_t c)
{
	int result = luv_call_quick(number, a, b, c);

	while (result == LUV_ERR_AGAIN)
		result = call_once(number, a, b, c);
	return result;
}

const char *luv_strerror(int error)
{
	switch (error) {
	case LUV_ERR_PERM:
		return "not permitted";
	case LUV_ERR_NOENT:
		return "no such thing";
	case LUV_ERR_INTR:
		return "told to stop";
	case LUV_ERR_AGAIN:
		return "more is to do, call again";
	case LUV_ERR_NOMEM:
		return "the hypervisor's memory is exhausted";
	case LUV_ERR_FAULT:
		return "memory that the hypervisor cannot reach";
	case LUV_ERR_BUSY:
		return "a virtual CPU is running";
	case LUV_ERR_EXIST:
		return "there is one already";
	case LUV_ERR_INVAL:
		return "invalid argument";
	case LUV_ERR_NOSYS:
		return "no such call";
	default:
		return error < 0 ? "unknown error" : "success";
	}
}
