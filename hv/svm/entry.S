/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * void svm_run(struct vcpu *vcpu, u64 vmcb), svm_run_guest: one trip into dom0, into a guest. RDI points at the guest's
 * general registers in encoding order; RAX and RSP travel in the VMCB (APM 2 15.5.1). GIF is 0
 * before and after. VMRUN saves and #VMEXIT restores our RSP, RIP, RFLAGS, RAX, CRs, descriptor tables
 * and code segments; everything else is the guest's on exit. Both go on in svm_exited(vcpu).
 */
#include "vm/forget_guest.h"

	.macro run name guest
	.globl \name
\name:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	pushq %rdi
	movq %rsi, %rax
	movq 0x08(%rdi), %rcx
	movq 0x10(%rdi), %rdx
	movq 0x18(%rdi), %rbx
	movq 0x28(%rdi), %rbp
	movq 0x30(%rdi), %rsi
	movq 0x40(%rdi), %r8
	movq 0x48(%rdi), %r9
	movq 0x50(%rdi), %r10
	movq 0x58(%rdi), %r11
	movq 0x60(%rdi), %r12
	movq 0x68(%rdi), %r13
	movq 0x70(%rdi), %r14
	movq 0x78(%rdi), %r15
	movq 0x38(%rdi), %rdi
	vmrun %rax
	/* Not XCHG, which locks the bus. */
	pushq %rdi
	movq 8(%rsp), %rdi
	movq %rcx, 0x08(%rdi)
	movq %rdx, 0x10(%rdi)
	movq %rbx, 0x18(%rdi)
	movq %rbp, 0x28(%rdi)
	movq %rsi, 0x30(%rdi)
	movq %r8, 0x40(%rdi)
	movq %r9, 0x48(%rdi)
	movq %r10, 0x50(%rdi)
	movq %r11, 0x58(%rdi)
	movq %r12, 0x60(%rdi)
	movq %r13, 0x68(%rdi)
	movq %r14, 0x70(%rdi)
	movq %r15, 0x78(%rdi)
	popq 0x38(%rdi)
	addq $8, %rsp
	.if \guest
	forget_guest
	.endif
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	jmp svm_exited
	.endm

	.text
	run svm_run 0
	run svm_run_guest 1

	.section .note.GNU-stack, "", @progbits
