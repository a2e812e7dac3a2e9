/* SPDX-License-Identifier: BSD-2-Clause */
/* From the firmware into the hypervisor, and the two ways out of it. */
#include "boot/uefi/handoff.h"

	.text
	/*
	 * u64 switch_to_hypervisor(struct handoff *handoff): 1 in guest mode, 0 where the hypervisor cannot run. The
	 * stack and this code are mapped 1:1 by the firmware's tables and those at cr3_between.
	 */
	.globl switch_to_hypervisor
switch_to_hypervisor:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	pushfq
	cli
	movq %rsp, HANDOFF_RSP(%rdi)
	leaq resume(%rip), %rax
	movq %rax, HANDOFF_RESUME(%rdi)
	leaq native(%rip), %rax
	movq %rax, HANDOFF_NATIVE(%rdi)
	movq HANDOFF_CR3(%rdi), %rax
	movq %rax, %cr3
	jmpq *HANDOFF_ENTRY(%rdi)

	/* Guest mode, everything as the firmware had it but the general registers. */
resume:
	movl $1, %eax
	jmp 1f

	/* RDI = handoff; the hypervisor's descriptor tables and control registers. */
native:
	movq HANDOFF_CR4(%rdi), %rax
	movq %rax, %cr4
	movq HANDOFF_CR0(%rdi), %rax
	movq %rax, %cr0
	lgdt HANDOFF_GDTR(%rdi)
	lidt HANDOFF_IDTR(%rdi)
	movq HANDOFF_CR3_OF_FIRMWARE(%rdi), %rax
	movq %rax, %cr3
	movl $0xc0000080, %ecx /* EFER */
	movl HANDOFF_EFER(%rdi), %eax
	movl HANDOFF_EFER + 4(%rdi), %edx
	wrmsr
	movw HANDOFF_DS(%rdi), %ax
	movl %eax, %ds
	movw HANDOFF_ES(%rdi), %ax
	movl %eax, %es
	movw HANDOFF_SS(%rdi), %ax
	movl %eax, %ss
	movq HANDOFF_RSP(%rdi), %rsp
	movzwl HANDOFF_CS(%rdi), %eax
	pushq %rax
	leaq 2f(%rip), %rax
	pushq %rax
	lretq
2:	xorl %eax, %eax
1:	popfq
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	retq

	.section .note.GNU-stack, "", @progbits
