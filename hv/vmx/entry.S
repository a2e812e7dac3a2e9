/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * u32 vmx_run(struct vcpu *vcpu, u32 flags, const u32 *pending, u32 known, u64 *host_rsp), vmx_run_guest: one trip into
 * dom0, into a guest. *host_rsp is what the VMCS has as HOST_RSP.
 * Flags: bit 0, the VMCS is launched; bit 1, VERW.
 * The vCPU's VMCS is current, and its HOST_RIP is vmx_exit or vmx_exit_guest. RDI points at the guest's general
 * registers in encoding order; RSP travels in the VMCS. Returns RUN_ (vmx.c):
 *   0  it ran and has exited
 *   1  VMfailInvalid, 2  VMfailValid: it did not run (SDM 3C 31.2)
 *   3  it did not run, because *pending is not `known`
 * An NMI that comes between the look at *pending and the entry finds this CPU in the window below, and goes
 * on at its end (cpu/desc.c): it is never left waiting for the next exit.
 */
#include "vm/forget_guest.h"
#include "vm/registers.h"

#define VMCS_HOST_RSP 0x6c14

	.macro run name exit guest
	.globl \name, \exit
\name:
	push_ours
	pushq %rdi
	cmpq (%r8), %rsp
	je 1f
	movq %rsp, (%r8)
	movl $VMCS_HOST_RSP, %eax
	vmwrite %rsp, %rax
	jbe 4f
1:	cmpl %ecx, (%rdx)
	jne 5f
	/* Empties the buffers that MDS and its kin leak from, where the microcode can: of dom0's processes, too, each may call. */
	testl $2, %esi
	jz 8f
	verw no_selector(%rip)
8:
	testl $1, %esi
	movq 0x00(%rdi), %rax
	load_registers
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
	jmp 6f
\exit:
	pushq %rdi
	movq 8(%rsp), %rdi
	movq %rax, 0x00(%rdi)
	save_registers
	.if \guest
	forget_guest
	.endif
	xorl %eax, %eax
6:	popq %rdi
	pop_ours
	retq
	.endm

	.text
	run vmx_run vmx_exit 0
	run vmx_run_guest vmx_exit_guest 1

	.section .rodata
no_selector:
	.word 0

	.section .note.GNU-stack, "", @progbits
