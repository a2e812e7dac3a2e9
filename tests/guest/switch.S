/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that fill every register and look at them again and again: two as guests in 64-bit mode, with their
 * block at DATA, and two as functions of a dom0 program.
 */
#include "guest/switch.h"

#define DATA 0xc000 /* tests/guest/machine.h */

.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
.set value_\n, \n * 0x01010101
.endr

/* Immediates of 64-bit moves and compares are sign-extended 32 bits: the values stay below 2^31. */
.macro for_general instruction, seed, fail
	for_one \instruction, rax, 0, \seed, \fail
	for_one \instruction, rcx, 1, \seed, \fail
	for_one \instruction, rdx, 2, \seed, \fail
	for_one \instruction, rbx, 3, \seed, \fail
	for_one \instruction, rbp, 5, \seed, \fail
	for_one \instruction, rsi, 6, \seed, \fail
	for_one \instruction, rdi, 7, \seed, \fail
	for_one \instruction, r8, 8, \seed, \fail
	for_one \instruction, r9, 9, \seed, \fail
	for_one \instruction, r10, 10, \seed, \fail
	for_one \instruction, r11, 11, \seed, \fail
	for_one \instruction, r12, 12, \seed, \fail
	for_one \instruction, r13, 13, \seed, \fail
	for_one \instruction, r14, 14, \seed, \fail
	for_one \instruction, r15, 15, \seed, \fail
.endm

.macro for_one instruction, register, number, seed, fail
	\instruction	$(\seed + value_\number), %\register
.ifnb \fail
	jne	\fail
.endif
.endm

/* The block is at \block\rip. Loads the image, fills the general registers, watches them. */
.macro watch_general seed, block, rip, fail
	movl	\block + BLOCK_MASK\rip, %eax
	xorl	%edx, %edx
	xrstor64 \block + BLOCK_IMAGE\rip
	movl	$INNER_ROUNDS, \block + BLOCK_COUNTER\rip
	for_general movq, \seed
1:	for_general cmpq, \seed, \fail
	decl	\block + BLOCK_COUNTER\rip
	jnz	1b
.endm

.macro compare offset, words, block, rip, fail
	leaq	\block + BLOCK_IMAGE + \offset\rip, %rsi
	leaq	\block + BLOCK_SAVED + \offset\rip, %rdi
	movl	$\words, %ecx
	repe cmpsq
	jne	\fail
.endm

.macro check_vectors block, rip, fail
	movl	\block + BLOCK_MASK\rip, %eax
	xorl	%edx, %edx
	xsave64	\block + BLOCK_SAVED\rip
	compare XSAVE_MXCSR, LEGACY_WORDS, \block, \rip, \fail
	testl	$4, \block + BLOCK_MASK\rip
	jz	2f
	compare XSAVE_YMM, YMM_WORDS, \block, \rip, \fail
2:	incq	\block + BLOCK_ROUNDS\rip
.endm

.macro guest name, seed
	.global payload_\name\()_64, payload_\name\()_64_end
payload_\name\()_64:
	movq	$(\seed + value_4), %rsp
3:	watch_general \seed, DATA, , 9f
	for_one cmpq, rsp, 4, \seed, 9f
	check_vectors DATA, , 9f
	movq	%fs:0, %rax
	cmpq	DATA + BLOCK_SEGMENTS, %rax
	jne	9f
	movq	%gs:0, %rax
	cmpq	DATA + BLOCK_SEGMENTS + 8, %rax
	jne	9f
	swapgs
	movq	%gs:0, %rax
	swapgs
	cmpq	DATA + BLOCK_SEGMENTS + 16, %rax
	jne	9f
	.irp n, 0, 1, 2, 3
	movq	%dr\n, %rax
	cmpq	DATA + BLOCK_DR + 8 * \n, %rax
	jne	9f
	.endr
	outb	%al, $PORT_ROUND
	jmp	3b
9:	outb	%al, $PORT_FAILED
	hlt
payload_\name\()_64_end:
.endm

/* int NAME(void): 0, or 1 when a register has changed. The block is NAME_block. */
.macro function name, seed
	.global \name, \name\()_block
\name:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	watch_general \seed, \name\()_block, (%rip), 9f
	check_vectors \name\()_block, (%rip), 9f
	xorl	%ebx, %ebx
	jmp	8f
9:	movl	$1, %ebx
8:	movl	\name\()_block + BLOCK_MASK(%rip), %eax
	xorl	%edx, %edx
	xrstor64 \name\()_block + BLOCK_INITIAL(%rip)
	movl	%ebx, %eax
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret
.endm

	.section .rodata
	guest switch_a, SEED_GUEST_A
	guest switch_b, SEED_GUEST_B

	.text
	function check_dom0_a, SEED_DOM0_A
	function check_dom0_b, SEED_DOM0_B

	.bss
	.balign 4096
check_dom0_a_block:
	.skip	4096
check_dom0_b_block:
	.skip	4096

	.section .note.GNU-stack, "", @progbits
