/* SPDX-License-Identifier: BSD-2-Clause */
/* What the vCPUs of tests/guest/lapic.c execute: x2APIC in 64-bit mode, an AP in real mode, and xAPIC in protected mode. */
	.section .rodata

.macro write_msr msr, low, high=0
	movl	$\msr, %ecx
	movl	$\low, %eax
	movl	$\high, %edx
	wrmsr
.endm

.macro say value
	movb	$\value, %al
	outb	%al, $0x10
.endm

#define TSC_DEADLINE	0x6e0
#define X2APIC_TPR	0x808
#define X2APIC_EOI	0x80b
#define X2APIC_SVR	0x80f
#define X2APIC_ICR	0x830
#define X2APIC_TIMER	0x832
#define X2APIC_COUNT	0x838
#define X2APIC_DIVIDE	0x83e
#define X2APIC_SELF_IPI 0x83f

	.global payload_lapic, payload_lapic_end
payload_lapic:
	movl	$0x1b, %ecx
	rdmsr
	orl	$0xc00, %eax
	wrmsr
	write_msr X2APIC_SVR, 0x1ff
	sti
	/* All of TPR, which CR8 is a part of. */
	write_msr X2APIC_TPR, 0x25
	rdmsr
	outb	%al, $0x10
	movl	$3, %eax
	movq	%rax, %cr8
	rdmsr
	outb	%al, $0x10
	write_msr X2APIC_TPR, 0
	/* An interrupt to itself. */
	write_msr X2APIC_SELF_IPI, 0x40
	nop
	write_msr X2APIC_EOI, 0
	say 1
	/* One that TPR holds back until CR8 falls, which does not exit. */
	write_msr X2APIC_TPR, 0x50
	write_msr X2APIC_SELF_IPI, 0x40
	say 2
	xorl	%eax, %eax
	movq	%rax, %cr8
	nop
	say 3
	write_msr X2APIC_EOI, 0
	/* The timer, once. */
	write_msr X2APIC_DIVIDE, 0xb
	write_msr X2APIC_TIMER, 0x41
	write_msr X2APIC_COUNT, 0x20000000
	hlt
	write_msr X2APIC_EOI, 0
	say 4
	/* INIT and STARTUP at 5000h to APIC ID 1. */
	write_msr X2APIC_ICR, 0x4500, 1
	write_msr X2APIC_ICR, 0x4605, 1
	say 5
	/* A message of the client's ends this; then an interrupt to the other. */
	hlt
	write_msr X2APIC_EOI, 0
	write_msr X2APIC_ICR, 0x4042, 1
	say 6
	/* A reserved register is refused. */
	write_msr 0x8ff, 0
payload_lapic_end:

.macro spin ticks
	rdtsc
	movl	%eax, %ebx
1:
	rdtsc
	subl	%ebx, %eax
	cmpl	$\ticks, %eax
	jb	1b
.endm

	/* Deadlines that are near and masked, and one that is more than 2^32 ticks away. */
	.global payload_far, payload_far_end
payload_far:
	movl	$0x1b, %ecx
	rdmsr
	orl	$0xc00, %eax
	wrmsr
	write_msr X2APIC_SVR, 0x1ff
	write_msr X2APIC_TIMER, 0x50041
	sti
	movl	$8, %ebp
2:
	rdtsc
	addl	$200000, %eax
	adcl	$0, %edx
	movl	$TSC_DEADLINE, %ecx
	wrmsr
	spin 400000
	decl	%ebp
	jnz	2b
	say 0
	write_msr X2APIC_TIMER, 0x40041
	rdtsc
	addl	$3000, %eax
	adcl	$1, %edx
	movl	$TSC_DEADLINE, %ecx
	wrmsr
	spin 500000
	say 1
	hlt
	say 2
	write_msr X2APIC_EOI, 0
	/* Again, and its time changes. */
	rdtsc
	incl	%edx
	movl	$TSC_DEADLINE, %ecx
	wrmsr
	rdtsc
	movl	$0x10, %ecx
	wrmsr
	hlt
	/* TPR's reserved bits are refused. */
	write_msr X2APIC_TPR, 0x100
payload_far_end:

	.code16
	.global payload_ap, payload_ap_end
payload_ap:
	movb	$0x77, %al
	outb	%al, $0x10
	hlt
payload_ap_end:

	.code32
	.global payload_xapic, payload_xapic_end
payload_xapic:
	movl	$0xfee00000, %esi
	movl	$0x1ff, 0xf0(%esi)
	movl	$0x40, %ecx
	movl	%ecx, 0x80(%esi)
	say 1
	/* What the hypervisor leaves to the client: instructions of 3 and 7 bytes. */
	xchgl	%edx, 0x10(%esi)
	movb	$0x50, 0x80(%esi)
	say 2
payload_xapic_end:

	.section .note.GNU-stack, "", @progbits
