/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What dom0 runs first in a chain boot, and what answers its INT 15h. 16-bit code in a page of its
 * own, at CS:0000; chain.c fills in the data. It runs in guest mode and is dom0's: damage to it
 * hurts nobody else.
 *
 * The INT 15h functions: AX=E820h, AX=E801h, AH=88h report dom0's memory map (ACPI 6.4, 15.1; RBIL
 * INT 15). AX=E881h is refused; everything else goes to the firmware.
 */
#define OFFSET(label) (label - chain_start)

#define SMAP	    0x534d4150
#define UNSUPPORTED 0x86

	.section .rodata
	.globl chain_start, chain_end, chain_data, chain_int15
	.balign 16
	.code16
chain_start:
	cli
	cld
	xorw %ax, %ax
	movw %ax, %ss
	movw $0x7c00, %sp
	movw %ax, %es
	movw %cs, %ax
	movw %ax, %ds
	sti
	movw $3, %si /* floppies and some controllers fail at first */
1:	movb OFFSET(data_drive), %dl
	movw $0x0201, %ax /* read one sector */
	movw $0x0001, %cx
	movb $0, %dh
	movw $0x7c00, %bx
	int $0x13
	jnc 2f
	xorw %ax, %ax /* reset the drive */
	movb OFFSET(data_drive), %dl
	int $0x13
	decw %si
	jnz 1b
	movw $OFFSET(text_no_disk), %si
	jmp fail
2:	movw $OFFSET(text_not_bootable), %si
	cmpw $0xaa55, %es:0x7dfe
	jne fail
	movzbw OFFSET(data_partition), %bp
	testw %bp, %bp
	jz 4f
	movw $0x7c00, %si /* out of the way, to where an MBR's own code would move it */
	movw $0x0600, %di
	movw $256, %cx
	rep movsw %es:(%si), %es:(%di)
	shlw $4, %bp
	addw $0x07be - 16, %bp /* SS:BP: the partition's entry */
	movl 8(%bp), %eax
	movl %eax, OFFSET(packet_lba)
	movb OFFSET(data_drive), %dl
	movb $0x42, %ah /* extended read */
	movw $OFFSET(packet), %si
	int $0x13
	movw $OFFSET(text_no_disk), %si
	jc fail
	movw $OFFSET(text_not_bootable), %si
	cmpb $0, 4(%bp) /* its type: there is none */
	je fail
	cmpw $0xaa55, %es:0x7dfe
	jne fail
4:	movb OFFSET(data_drive), %dl
	movw %bp, %si /* what a partition's boot sector gets: DS:SI */
	xorw %ax, %ax
	movw %ax, %ds
	ljmp $0, $0x7c00

fail:	lodsb
	testb %al, %al
	jz 5f
	movb $0x0e, %ah
	movw $0x0007, %bx
	int $0x10
	movw OFFSET(data_serial), %dx
	testw %dx, %dx
	jz fail
	movb %al, %bl
	addw $5, %dx
	movw $0xffff, %cx
3:	inb %dx, %al
	testb $0x20, %al
	loopz 3b
	subw $5, %dx
	movb %bl, %al
	outb %al, %dx
	jmp fail
5:	xorw %ax, %ax /* a key restarts the machine */
	int $0x16
	movb $0xfe, %al
	outb %al, $0x64
6:	hlt
	jmp 6b

text_no_disk:
	.asciz "luvalley: cannot read the boot disk: connect one, or name it with boot=hdN on Luvalley's command line. Press a key to restart.\r\n"
text_not_bootable:
	.asciz "luvalley: no boot disk: the first sector is not bootable. Choose another with boot=hdN on Luvalley's command line. Press a key to restart.\r\n"

	.balign 4
chain_int15:
	cmpw $0xe820, %ax
	je e820
	cmpw $0xe801, %ax
	je e801
	cmpw $0xe881, %ax
	je refuse
	cmpb $0x88, %ah
	je ext88
	ljmp *%cs:OFFSET(data_old)

e820:	cmpl $SMAP, %edx
	jne refuse
	cmpl $20, %ecx
	jb refuse
	movzwl %cs:OFFSET(data_count), %eax
	cmpl %eax, %ebx
	jae refuse
	pushw %si
	pushw %di
	imulw $20, %bx, %si
	addw $OFFSET(data_ranges), %si
	movw $10, %cx
	cld
	rep movsw %cs:(%si), %es:(%di)
	popw %di
	popw %si
	incl %ebx
	cmpl %eax, %ebx
	jb 1f
	xorl %ebx, %ebx
1:	movl $SMAP, %eax
	movl $20, %ecx
	jmp success

e801:	movw %cs:OFFSET(data_below_16m), %ax
	movw %ax, %cx
	movw %cs:OFFSET(data_above_16m), %bx
	movw %bx, %dx
	jmp success

ext88:	movw %cs:OFFSET(data_extended), %ax
	jmp success

	/* The caller's carry flag lies in the frame that INT pushed: IP, CS, FLAGS. */
success:
	pushw %bp
	movw %sp, %bp
	andw $~1, 6(%bp)
	popw %bp
	iretw

refuse:	movb $UNSUPPORTED, %ah
	pushw %bp
	movw %sp, %bp
	orw $1, 6(%bp)
	popw %bp
	iretw

	.balign 4
packet: /* of INT 13h, AH=42h */
	.byte 16, 0
	.word 1 /* sectors */
	.word 0x7c00, 0
packet_lba:
	.quad 0

chain_data: /* struct chain_data */
data_old:	.long 0
data_serial:	.word 0
data_drive:	.byte 0
data_partition:	.byte 0
data_below_16m:	.word 0
data_above_16m:	.word 0
data_extended:	.word 0
data_count:	.word 0
data_ranges:
chain_end:

	.section .note.GNU-stack, "", @progbits
