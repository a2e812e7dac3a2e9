/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the loader to C. In: protected mode without paging, flat segments, interrupts off,
 * EAX = Multiboot magic, EBX = physical address of the boot information. Out: 64-bit mode,
 * running at the linked address on boot_stack, hv_main(magic, information).
 *
 * The tables made here map the first 4 GiB three times: identically, at DIRECT_BASE, and (the first
 * GiB of it) at IMAGE_BASE. mem/host.c replaces them once memory is known.
 */
#include "lib/layout.h"

#define PHYS(symbol) ((symbol) - IMAGE_BASE)

#define MULTIBOOT1_MAGIC 0x1badb002
#define MULTIBOOT1_FLAGS 0x00000003 /* modules page aligned; memory map wanted */
#define MULTIBOOT2_MAGIC 0xe85250d6

	.section .multiboot, "a"
	.balign 8
multiboot2_header:
	.long MULTIBOOT2_MAGIC
	.long 0 /* i386, protected mode */
	.long multiboot2_end - multiboot2_header
	.long -(MULTIBOOT2_MAGIC + 0 + (multiboot2_end - multiboot2_header))
	/* Information request, optional: command line, modules, boot device, memory map. */
	.balign 8
	.short 1, 1
	.long 8 + 4 * 4
	.long 1, 3, 5, 6
	/* Modules on page boundaries. */
	.balign 8
	.short 6, 0
	.long 8
	.balign 8
	.short 0, 0
	.long 8
multiboot2_end:
	.balign 4
	.long MULTIBOOT1_MAGIC
	.long MULTIBOOT1_FLAGS
	.long -(MULTIBOOT1_MAGIC + MULTIBOOT1_FLAGS)

	.section .boot, "ax"
	.code32
	.globl boot_entry
boot_entry:
	cli
	cld
	movl $PHYS(boot_stack_top), %esp
	movl %eax, %esi
	movl %ebx, %edi

	/* Long mode and no-execute pages (APM 3 E.4.2: leaf 80000001h, EDX bits 29 and 20). */
	movl $0x80000000, %eax
	cpuid
	cmpl $0x80000001, %eax
	jb no_long_mode
	movl $0x80000001, %eax
	cpuid
	andl $(1 << 29 | 1 << 20), %edx
	cmpl $(1 << 29 | 1 << 20), %edx
	jne no_long_mode

	/* Four page directories, 2 MiB pages: present, writable, page size. */
	movl $PHYS(boot_directory), %ebx
	movl $0x83, %eax
	movl $(4 * 512), %ecx
1:	movl %eax, (%ebx)
	addl $0x200000, %eax
	addl $8, %ebx
	loop 1b

	movl $(PHYS(boot_directory) + 3), %eax
	movl $PHYS(boot_pdpt), %ebx
	movl $4, %ecx
2:	movl %eax, (%ebx)
	addl $0x1000, %eax
	addl $8, %ebx
	loop 2b
	movl $(PHYS(boot_directory) + 3), PHYS(boot_pdpt_image) + 8 * 510

	movl $(PHYS(boot_pdpt) + 3), PHYS(boot_pml4)
	movl $(PHYS(boot_pdpt) + 3), PHYS(boot_pml4) + 8 * 256
	movl $(PHYS(boot_pdpt_image) + 3), PHYS(boot_pml4) + 8 * 511

	movl $PHYS(boot_pml4), %eax
	movl %eax, %cr3
	movl $0x60, %eax /* MCE PAE */
	movl %eax, %cr4
	movl $0xc0000080, %ecx /* EFER: LME, NXE */
	rdmsr
	orl $(1 << 8 | 1 << 11), %eax
	wrmsr
	movl $0x80010033, %eax /* PG WP NE ET MP PE; CD and NW off */
	movl %eax, %cr0
	lgdt boot_gdt_pointer
	ljmp $8, $boot_long_mode

	/* This CPU cannot run us: say so on the screen and on COM1, and stay. */
no_long_mode:
	movl $no_long_mode_text, %esi
	movl $0xb8000, %edi
	movb $0x4f, %ah
3:	lodsb
	testb %al, %al
	jz 5f
	stosw
	movb %al, %bl
	movl $0x10000, %ecx
4:	movw $0x3fd, %dx
	inb %dx, %al
	testb $0x20, %al
	loopz 4b
	movw $0x3f8, %dx
	movb %bl, %al
	outb %al, %dx
	jmp 3b
5:	hlt
	jmp 5b
no_long_mode_text:
	.asciz "luvalley: this CPU has no 64-bit mode; start your system without Luvalley. "

	.code64
boot_long_mode:
	xorl %eax, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %eax, %fs
	movl %eax, %gs
	movq $boot_stack_top, %rsp
	xorl %ebp, %ebp
	/* ESI = magic, EDI = information; the upper halves are undefined after the mode switch. */
	movl %edi, %eax
	movl %esi, %edi
	movl %eax, %esi
	movq $hv_main, %rax
	callq *%rax
	ud2

	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00af9a000000ffff /* 64-bit code */
boot_gdt_pointer:
	.word . - boot_gdt - 1
	.long boot_gdt

	.text
	/*
	 * void image_move(void *to, const void *from, u64 size, u64 cr3): copies the running image and
	 * goes on in the copy: the new tables map the same addresses to it. Nothing may be written to
	 * the image between the copy and the switch, the stack included.
	 */
	.globl image_move
image_move:
	movq %rcx, %rax
	movq %rdx, %rcx
	rep movsb
	movq %rax, %cr3
	retq

	.bss
	.balign 4096
boot_pml4:
	.skip 4096
boot_pdpt:
	.skip 4096
boot_pdpt_image:
	.skip 4096
boot_directory:
	.skip 4 * 4096
	.globl boot_stack, boot_stack_top
boot_stack:
	.skip CPU_STACK_SIZE
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
