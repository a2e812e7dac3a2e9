/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guests that are measured: 64-bit loops around one instruction, copied to GUEST_CODE. RSI: how often, RDI: an
 * address. R9 becomes the ticks of the whole loop; OUT to GUEST_PORT_END ends it. Vector GUEST_VECTOR counts in R15.
 */
#include "bench/guest.h"

	.macro timestamp to
	rdtsc
	shlq $32, %rdx
	orq %rdx, %rax
	movq %rax, \to
	.endm

	.macro begin name
	.globl guest_\name
guest_\name:
	timestamp %r8
1:
	.endm

	.macro finish name
	decq %rsi
	jnz 1b
	timestamp %r9
	subq %r8, %r9
	movl $GUEST_PORT_END, %edx
2:
	outb %al, %dx
	jmp 2b
	.globl guest_\name\()_end
guest_\name\()_end:
	.endm

	.macro write_msr index, low
	movl $\index, %ecx
	movl \low, %eax
	xorl %edx, %edx
	wrmsr
	.endm

	.section .rodata
	begin empty
	nop
	finish empty

	begin cpuid
	xorl %eax, %eax
	cpuid
	finish cpuid

	begin out
	movl $GUEST_PORT, %edx
	outb %al, %dx
	finish out

	begin in
	movl $GUEST_PORT, %edx
	inb %dx, %al
	finish in

	begin out_event
	movl $GUEST_PORT_EVENT, %edx
	outb %al, %dx
	finish out_event

	begin store
	movl %eax, (%rdi)
	finish store

	begin fetch
	movl (%rdi), %eax
	finish fetch

	begin touch
	movl %eax, (%rdi)
	addq %r14, %rdi
	finish touch

	begin halt
	hlt
	finish halt

	begin rdmsr_efer
	movl $0xc0000080, %ecx
	rdmsr
	finish rdmsr_efer

	begin eoi
	write_msr 0x80b, $0
	finish eoi

	begin tpr
	write_msr 0x808, $0x10
	finish tpr

	/* Comes at once: interrupts are on. */
	begin self_ipi
	xorl %r15d, %r15d
	write_msr 0x83f, $GUEST_VECTOR
3:
	testl %r15d, %r15d
	jz 3b
	finish self_ipi

	/* Far away, so that it never comes. */
	begin arm_timer
	rdtsc
	incl %edx
	movl $0x6e0, %ecx
	wrmsr
	finish arm_timer

	/* How late: the ticks from the deadline to the handler's end. */
	begin timer
	xorl %r15d, %r15d
	timestamp %rbx
	leaq GUEST_TIMER_TICKS(%rbx), %rax
	movq %rax, %rdx
	shrq $32, %rdx
	movl $0x6e0, %ecx
	wrmsr
3:
	testl %r15d, %r15d
	jz 3b
	finish timer

	/* The client answers the OUT with an interrupt. */
	begin client_irq
	xorl %r15d, %r15d
	movl $GUEST_PORT_IRQ, %edx
	outb %al, %dx
3:
	testl %r15d, %r15d
	jz 3b
	finish client_irq

	/* To vCPU 1, which answers; both halt until they are woken. */
	begin ping
	xorl %r15d, %r15d
	movl $0x830, %ecx
	movl $GUEST_VECTOR, %eax
	movl $1, %edx
	wrmsr
	cli
3:
	testl %r15d, %r15d
	jnz 4f
	sti
	hlt
	cli
	jmp 3b
4:
	sti
	finish ping

	/* The same, spinning for the answer: vCPU 1 is halted and is woken. */
	begin ping_spin
	xorl %r15d, %r15d
	movl $0x830, %ecx
	movl $GUEST_VECTOR, %eax
	movl $1, %edx
	wrmsr
3:
	pause
	testl %r15d, %r15d
	jz 3b
	finish ping_spin

	/* xAPIC mode: RDI is the APIC's page. */
	begin mmio_eoi
	movl $0, 0xb0(%rdi)
	finish mmio_eoi

	begin mmio_tpr
	movl $0x10, 0x80(%rdi)
	finish mmio_tpr

	begin mmio_self_ipi
	xorl %r15d, %r15d
	movl $(0x40000 | GUEST_VECTOR), 0x300(%rdi)
3:
	testl %r15d, %r15d
	jz 3b
	finish mmio_self_ipi

	/* vCPU 1: answers each interrupt with one to vCPU 0. */
	.globl guest_pong
guest_pong:
	sti
1:
	hlt
	jmp 1b
	.globl guest_pong_end
guest_pong_end:

	/* The interrupt handlers. */
	.globl guest_handler
guest_handler:
	pushq %rax
	pushq %rcx
	pushq %rdx
	write_msr 0x80b, $0
	incl %r15d
	popq %rdx
	popq %rcx
	popq %rax
	iretq
	.globl guest_handler_end
guest_handler_end:

	.globl guest_mmio_handler
guest_mmio_handler:
	movl $0, 0xb0(%rdi)
	incl %r15d
	iretq
	.globl guest_mmio_handler_end
guest_mmio_handler_end:

	.globl guest_pong_handler
guest_pong_handler:
	write_msr 0x80b, $0
	movl $0x830, %ecx
	movl $GUEST_VECTOR, %eax
	xorl %edx, %edx
	wrmsr
	iretq
	.globl guest_pong_handler_end
guest_pong_handler_end:

	.section .note.GNU-stack, "", @progbits
