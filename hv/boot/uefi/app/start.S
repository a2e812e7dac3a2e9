/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The application's first instructions. The image is linked at 0, as a position-independent one; it applies the
 * linker's relocations by itself, so the PE file has none. In: RCX = image handle, RDX = system table, as
 * efi_main expects them.
 */
	.text
	.globl efi_start
efi_start:
	leaq pe_start(%rip), %r8
	leaq rela_start(%rip), %r9
	leaq rela_end(%rip), %r10
1:	cmpq %r10, %r9
	jae efi_main
	movq (%r9), %rax   /* where; all are R_X86_64_RELATIVE */
	movq 16(%r9), %r11 /* addend */
	addq %r8, %r11
	movq %r11, (%r8, %rax)
	addq $24, %r9
	jmp 1b

	.section .note.GNU-stack, "", @progbits
