/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions in root mode. In: the CPU's frame on the running stack. Each entry completes a struct
 * fault_frame (cpu/crash.h) and calls fault_dispatch(frame), which returns only when the
 * interrupted code can go on, perhaps elsewhere.
 */
	.text
fault_common:
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rbx
	pushq %rbp
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	cld
	movq %rsp, %rdi
	movq %rsp, %rbx
	andq $-16, %rsp
	call fault_dispatch
	movq %rbx, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rbp
	popq %rbx
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq

	/* APM 2 table 8-1: vectors 8, 10-14, 17, 21, 28, 29 and 30 push an error code. */
	.altmacro
	.macro entry vector
fault_\vector:
	.if (\vector == 8) || ((\vector >= 10) && (\vector <= 14)) || (\vector == 17) || (\vector == 21) || ((\vector >= 28) && (\vector <= 30))
	.else
	pushq $0
	.endif
	pushq $\vector
	jmp fault_common
	.endm
	.macro address vector
	.quad fault_\vector
	.endm

	.set i, 0
	.rept 32
	entry %i
	.set i, i + 1
	.endr

	.section .rodata
	.balign 8
	.globl fault_entries
fault_entries:
	.set i, 0
	.rept 32
	address %i
	.set i, i + 1
	.endr

	.section .note.GNU-stack, "", @progbits
