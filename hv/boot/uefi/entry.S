/* SPDX-License-Identifier: BSD-2-Clause */
/* From luvalley.efi into the hypervisor, and back where it cannot run. */
#include "boot/uefi/handoff.h"
#include "lib/layout.h"

	.text
	/*
	 * In: 64-bit mode, interrupts off, the tables at cr3_between, RDI = struct handoff (physical), the
	 * firmware's descriptor tables and stack. Out: uefi_main(handoff in the direct map) on boot_stack, with the
	 * control registers as entry.S leaves them. FS, GS, LDTR and TR keep the firmware's values, for the way back.
	 */
	.globl uefi_entry
uefi_entry:
	movl $0xc0000080, %ecx /* EFER: NXE */
	rdmsr
	orl $(1 << 11), %eax
	wrmsr
	movl $0x80010033, %eax /* PG WP NE ET MP PE; CD and NW off */
	movq %rax, %cr0
	movl $0x60, %eax /* MCE PAE */
	movq %rax, %cr4
	xorl %eax, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movq $boot_stack_top, %rsp
	xorl %ebp, %ebp
	movabsq $DIRECT_BASE, %rax
	addq %rax, %rdi
	callq uefi_main
	ud2

	/* noreturn void uefi_leave(struct handoff *handoff): before root mode is on. */
	.globl uefi_leave
uefi_leave:
	movq HANDOFF_CR3(%rdi), %rax
	movq %rax, %cr3
	movabsq $DIRECT_BASE, %rax
	subq %rax, %rdi
	movq HANDOFF_NATIVE(%rdi), %rax
	jmpq *%rax

	.section .note.GNU-stack, "", @progbits
