/* SPDX-License-Identifier: BSD-2-Clause */
/* Sector 0: reads the rest behind itself and enters it in protected mode. Also the GDT. */
#include "bare.h"

	.section .boot, "ax"
	.code16
	.globl boot
boot:	ljmp	$0, $1f
1:	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$boot, %sp
	movw	$packet, %si
	movb	$0x42, %ah /* extended read: DL is the drive */
	int	$0x13
	jc	fail
	inb	$0x92, %al /* A20 */
	orb	$2, %al
	andb	$0xfe, %al
	outb	%al, $0x92
	cli
	lgdt	gdt_pointer
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$KERNEL_CODE_32, $start_32

fail:	movw	$text_fail, %si
2:	lodsb
	movb	$0x0e, %ah
	int	$0x10
	testb	%al, %al
	jnz	2b
3:	hlt
	jmp	3b

text_fail: .asciz "the disk cannot be read"

	.balign	4
packet:	.byte	16, 0
	.word	image_sectors
	.word	0, 0x7e0 /* 7E00h */
	.quad	1

	.balign	8
	.globl	gdt
gdt:	.quad	0
	.quad	0x00cf9b000000ffff /* kernel code, 32 bits */
	.quad	0x00cf93000000ffff
	.quad	0x00cffb000000ffff /* user code, 32 bits */
	.quad	0x00cff3000000ffff
	.quad	0x00af9b000000ffff /* kernel code, 64 bits */
	.quad	0x00affb000000ffff
	.quad	0, 0 /* TSS: main.c */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt

	.org	510
	.word	0xaa55

/* The 64-bit half of the payload, linked on its own. */
	.section .program64, "ax"
	.incbin	PROGRAM64

	.section .note.GNU-stack, "", @progbits
