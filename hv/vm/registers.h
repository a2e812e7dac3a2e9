/* SPDX-License-Identifier: BSD-2-Clause */
/* For assembly around an entry: the registers that neither vendor's CPU switches. RSP is not among them. */
#ifndef VM_REGISTERS_H
#define VM_REGISTERS_H

#ifdef __ASSEMBLER__
	/* What C expects to find again. */
	.macro push_ours
	.irp r, rbx, rbp, r12, r13, r14, r15
	pushq %\r
	.endr
	.endm

	.macro pop_ours
	.irp r, r15, r14, r13, r12, rbp, rbx
	popq %\r
	.endr
	.endm

	/* All but RAX, from and to struct vcpu (gpr is its first field, in the instruction encoding's order) at RDI. */
	.macro load_registers
	movq 0x08(%rdi), %rcx
	movq 0x10(%rdi), %rdx
	movq 0x18(%rdi), %rbx
	movq 0x28(%rdi), %rbp
	movq 0x30(%rdi), %rsi
	.irp n, 8, 9, 10, 11, 12, 13, 14, 15
	movq \n*8(%rdi), %r\n
	.endr
	movq 0x38(%rdi), %rdi
	.endm

	/* RDI's value is on top of the stack, and comes off. */
	.macro save_registers
	movq %rcx, 0x08(%rdi)
	movq %rdx, 0x10(%rdi)
	movq %rbx, 0x18(%rdi)
	movq %rbp, 0x28(%rdi)
	movq %rsi, 0x30(%rdi)
	.irp n, 8, 9, 10, 11, 12, 13, 14, 15
	movq %r\n, \n*8(%rdi)
	.endr
	popq 0x38(%rdi)
	.endm
#endif

#endif
