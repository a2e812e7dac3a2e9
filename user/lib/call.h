/* SPDX-License-Identifier: BSD-2-Clause */
/* The call instruction, and the two answers that the library deals with itself: for its own
 * files. */
#ifndef LIB_CALL_H
#define LIB_CALL_H

#include <stddef.h>
#include <stdint.h>

#include <luvalley/calls.h>

struct luv_span {
	void *memory;
	size_t size;
};

/*
 * Makes the call, repeats it while the hypervisor says that there is more to do, and touches
 * the two spans (structure and buffer; empty where there is none) when it asks for that.
 */
int luv_call_with(enum luv_call number, const uintptr_t argument[3], struct luv_span structure,
		  struct luv_span buffer);

/* The same for calls without memory. */
int luv_call_plain(enum luv_call number, uintptr_t a, uintptr_t b, uintptr_t c);

/* CPUID is an exit, so it is asked once; threads that ask at the same time get the same answer.
 */
enum luv_call_instruction {
	LUV_CALL_NOT_ASKED,
	LUV_CALL_NONE,
	LUV_CALL_BY_VMMCALL,
	LUV_CALL_BY_VMCALL
};

extern uint32_t luv_call_known; /* a */

/* The instruction where it is needed, because RUN is called often. LUV_ERR_AGAIN, too, where
 * nobody has asked which. */
static inline int luv_call_quick(enum luv_call number, uintptr_t a, uintptr_t b, uintptr_t c)
{
	uint32_t known = __atomic_load_n(&luv_call_known, __ATOMIC_RELAXED);
	uintptr_t rax = number;

	if (known == LUV_CALL_BY_VMMCALL)
		__asm__ volatile("vmmcall" : "+a"(rax) : "D"(a), "S"(b), "d"(c) : "memory");
	else if (known == LUV_CALL_BY_VMCALL)
		__asm__ volatile("vmcall" : "+a"(rax) : "D"(a), "S"(b), "d"(c) : "memory");
	else
		return LUV_ERR_AGAIN;
	return (int)rax;
}

/* How often memory is touched for the hypervisor before its LUV_ERR_FAULT is believed. */
#define LUV_TOUCHES_MAX 500u

/* Makes the system give the page a frame, for writing or for reading. SIGSEGV where it cannot.
 */
void luv_touch(uintptr_t address, int write);

#endif
