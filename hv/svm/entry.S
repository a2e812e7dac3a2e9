/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * void svm_run(struct vcpu *vcpu, u64 vmcb), svm_run_guest: one trip into dom0, into a guest. RDI points at the guest's
 * general registers in encoding order; RAX and RSP travel in the VMCB (APM 2 15.5.1). GIF is 0
 * before and after. VMRUN saves and #VMEXIT restores our RSP, RIP, RFLAGS, RAX, CRs, descriptor tables
 * and code segments; everything else is the guest's on exit. Both go on in svm_exited(vcpu).
 */
#include "vm/forget_guest.h"
#include "vm/registers.h"

	.macro run name guest
	.globl \name
\name:
	push_ours
	pushq %rdi
	movq %rsi, %rax
	load_registers
	vmrun %rax
	/* Not XCHG, which locks the bus. */
	pushq %rdi
	movq 8(%rsp), %rdi
	save_registers
	addq $8, %rsp
	.if \guest
	forget_guest
	.endif
	pop_ours
	jmp svm_exited
	.endm

	.text
	run svm_run 0
	run svm_run_guest 1

	.section .note.GNU-stack, "", @progbits
