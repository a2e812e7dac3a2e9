/* SPDX-License-Identifier: BSD-2-Clause */
/* For assembly behind a guest's exit. */
#ifndef VM_FORGET_GUEST_H
#define VM_FORGET_GUEST_H

#ifdef __ASSEMBLER__
	/*
	 * Behind a guest the return stack holds what the guest put there, and the registers its
	 * values: neither may steer our speculation. 32 entries are the deepest of the return stacks
	 * (Software Techniques for Managing Speculation on AMD Processors, "RSB"; Intel's are no deeper).
	 */
	.macro forget_guest
	.rept 32
	call 1f
	int3
1:
	.endr
	addq $(32 * 8), %rsp
	xorl %eax, %eax
	xorl %ecx, %ecx
	xorl %edx, %edx
	xorl %esi, %esi
	xorl %r8d, %r8d
	xorl %r9d, %r9d
	xorl %r10d, %r10d
	xorl %r11d, %r11d
	.endm
#endif

#endif
