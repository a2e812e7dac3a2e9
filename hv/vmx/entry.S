/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * u32 vmx_run(struct vcpu *vcpu, u32 flags, const u32 *pending, u32 known), vmx_run_guest: one trip into dom0, into a guest.
 * Flags: bit 0, the VMCS is launched; bit 1, VERW before a guest.
 * The vCPU's VMCS is current, and its HOST_RIP is vmx_exit or vmx_exit_guest. RDI points at the guest's general
 * registers in encoding order; RSP travels in the VMCS. Returns RUN_ (vmx.c):
 *   0  it ran and has exited
 *   1  VMfailInvalid, 2  VMfailValid: it did not run (SDM 3C 31.2)
 *   3  it did not run, because *pending is not `known`
 * An NMI that comes between the look at *pending and the entry finds this CPU in the window below, and goes
 * on at its end (cpu/desc.c): it is never left waiting for the next exit.
 */
#include "vm/forget_guest.h"

#define VMCS_HOST_RSP 0x6c14

	.macro run name exit guest
	.globl \name, \exit
\name:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	pushq %rdi
	movl $VMCS_HOST_RSP, %eax
	vmwrite %rsp, %rax
	jbe 4f
1:	cmpl %ecx, (%rdx)
	jne 5f
	.if \guest
	/* Empties the buffers that MDS and its kin leak from, where the microcode can. */
	testl $2, %esi
	jz 8f
	verw no_selector(%rip)
8:
	.endif
	testl $1, %esi
	movq 0x00(%rdi), %rax
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
	jz 2f
	vmresume
	jmp 4f
2:	vmlaunch
	.pushsection .window, "a"
	.quad 1b, 4f, 5f
	.popsection
4:	movl $1, %eax
	jc 6f
	movl $2, %eax
	jmp 6f
5:	movl $3, %eax
6:	popq %rdi
	jmp 7f
\exit:
	xchgq %rdi, (%rsp)
	movq %rax, 0x00(%rdi)
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
	popq %rcx
	movq %rcx, 0x38(%rdi)
	.if \guest
	forget_guest
	.endif
	xorl %eax, %eax
7:	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	cld
	retq
	.endm

	.text
	run vmx_run vmx_exit 0
	run vmx_run_guest vmx_exit_guest 1

	.section .rodata
no_selector:
	.word 0

	.section .note.GNU-stack, "", @progbits
