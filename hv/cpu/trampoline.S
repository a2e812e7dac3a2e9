/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An AP's way from a STARTUP IPI to C. In: real mode, CS:IP = page:0000, everything else undefined.
 * Out: 64-bit mode, our tables, its own stack, smp_entry(cpu). Position-independent: it is copied to
 * a page below 1 MiB, and smp_trampoline_install fills in the addresses.
 */
#include "lib/layout.h"

#define OFFSET(label) (label - trampoline_start)

	.section .rodata
	.globl trampoline_start, trampoline_end, trampoline_data, trampoline_gdt, trampoline_long
	.balign 16
	.code16
trampoline_start:
	cli
	cld
	movw %cs, %ax
	movw %ax, %ds
	lgdtl OFFSET(trampoline_gdt_pointer)
	movl $0x60, %eax /* MCE PAE */
	movl %eax, %cr4
	movl OFFSET(trampoline_data), %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx /* EFER: LME, NXE */
	rdmsr
	orl $(1 << 8 | 1 << 11), %eax
	wrmsr
	movl $0x80010033, %eax /* PG WP NE ET MP PE; CD and NW off */
	movl %eax, %cr0
	ljmpl *OFFSET(trampoline_far)

	.code64
trampoline_long:
	movabsq $ap_entry, %rax
	jmpq *%rax

	.balign 8
trampoline_gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* 64-bit code */
trampoline_data: /* struct trampoline_data */
	.long 0
trampoline_gdt_pointer:
	.word 0
	.long 0
trampoline_far:
	.long 0
	.word 0
trampoline_end:

	.text
ap_entry:
	xorl %eax, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %eax, %fs
	movl %eax, %gs
	xorl %ebp, %ebp

	/* The APIC's own ID, as the MADT has it: CPUID has the one at power-up, which firmware may have changed (APM 3 E.3.2). */
	movl $0x1b, %ecx /* APIC_BASE: EXTD */
	rdmsr
	btl $10, %eax
	jc 1f
	movq $MMIO_BASE, %rax
	movl 0x20(%rax), %edx /* ID */
	shrl $24, %edx
	jmp 2f
1:	movl $0x802, %ecx
	rdmsr
	movl %eax, %edx
2:	xorl %eax, %eax
3:	cmpl cpu_count(%rip), %eax
	jae 4f
	cmpl smp_apic_ids(, %rax, 4), %edx
	je 5f
	incl %eax
	jmp 3b
4:	hlt /* a CPU that no MADT entry named: it stays out */
	jmp 4b

5:	imulq $CPU_SLOT_SIZE, %rax, %rdi
	movabsq $CPU_SLOTS, %rcx
	addq %rcx, %rdi
	leaq CPU_SLOT_SIZE(%rdi), %rsp
	callq *smp_entry(%rip)
	ud2

	.section .note.GNU-stack, "", @progbits
