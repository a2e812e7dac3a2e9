/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guests execute: each payload once for 16, 32 and 64-bit code. They are copied to
 * CODE (tests/guest/machine.h), so they only use relative addresses. Their registers come from the
 * client: EDI points to memory-mapped I/O (with ES as base), ESI to the data page.
 */
	.section .rodata

.macro begin name, bits
	.balign 16
	.global payload_\name\()_\bits
payload_\name\()_\bits:
.endm

.macro end name, bits
	.global payload_\name\()_\bits\()_end
payload_\name\()_\bits\()_end:
.endm

.macro payloads bits

begin io \bits
	movb	$0x41, %al
	outb	%al, $0x10
	movw	$0x1234, %dx
	movl	$0x89abcdef, %eax
	outl	%eax, %dx
	outw	%ax, %dx
	inb	$0x11, %al
	outl	%eax, %dx
	inw	%dx, %ax
	outl	%eax, %dx
	inl	%dx, %eax
	outl	%eax, %dx
	hlt
end io \bits

/* Two bytes each, three with REP. */
begin string \bits
	rep outsb
	outsb
	rep insb
	insb
	hlt
end string \bits

begin mmio \bits
	movl	%eax, %es:(%edi)
	movl	%es:(%edi), %eax
	outl	%eax, $0x10
	hlt
end mmio \bits

begin cpuid \bits
	cpuid
	outl	%eax, $0x10
	movl	%ebx, %eax
	outl	%eax, $0x10
	movl	%ecx, %eax
	outl	%eax, $0x10
	movl	%edx, %eax
	outl	%eax, $0x10
	hlt
end cpuid \bits

begin rdtscp \bits
1:	rdtscp
	movb	$0x42, %al
	outb	%al, $0x10
	jmp	1b
end rdtscp \bits

begin int3 \bits
	int3
	hlt
end int3 \bits

begin breakpoint \bits
.if \bits == 64
	movq	%rsi, %dr0
	movq	%rax, %dr7
.else
	movl	%esi, %dr0
	movl	%eax, %dr7
.endif
	nop
	nop
.if \bits == 64
	xorl	%eax, %eax
	movq	%rax, %dr7
.else
	xorl	%eax, %eax
	movl	%eax, %dr7
.endif
	hlt
end breakpoint \bits

begin debug_registers \bits
	outb	%al, $0x10
	.irp n, 0, 1, 2, 3
.if \bits == 64
	movq	%dr\n, %rax
	movq	%rsi, %dr\n
.else
	movl	%dr\n, %eax
	movl	%esi, %dr\n
.endif
	outl	%eax, $0x10
	.endr
	hlt
end debug_registers \bits

begin exceptions \bits
	ud2
	xorl	%ecx, %ecx
	divl	%ecx
	hlt
end exceptions \bits

begin fault \bits
	movl	(%esi), %eax
	hlt
end fault \bits

begin msr \bits
	rdmsr
	outl	%eax, $0x10
	movl	%edx, %eax
	outl	%eax, $0x10
	wrmsr
	wrmsr
	hlt
end msr \bits

begin vmmcall \bits
	vmmcall
	hlt
end vmmcall \bits

begin vmcall \bits
	vmcall
	hlt
end vmcall \bits

begin triple \bits
	ud2
end triple \bits

begin window \bits
	outb	%al, $0x10
	sti
	nop
9:	pause
	jmp	9b
end window \bits

begin handler \bits
	movb	$0x69, %al
	outb	%al, $0x12
.if \bits == 64
	iretq
.else
	iret
.endif
end handler \bits

begin step \bits
	nop
	nop
	nop
	nop
	hlt
end step \bits

/* Writes to its memory for ever. */
begin writer \bits
9:	incl	%eax
	movl	%eax, (%esi)
	jmp	9b
end writer \bits

/* EBX, from the client, is where. */
begin counter \bits
9:	incl	(%ebx)
	movl	(%ebx), %eax
	outl	%eax, $0x10
	jmp	9b
end counter \bits

begin spin \bits
9:	jmp	9b
end spin \bits

/* ECX steps of a generator in EAX: tests/guest/restart.c computes the same. */
begin work \bits
9:	imull	$69069, %eax, %eax
	incl	%eax
	decl	%ecx
	jnz	9b
	hlt
end work \bits

begin add \bits
9:	lock incl (%esi)
	decl	%ecx
	jnz	9b
	hlt
end add \bits

/* ECX pages from ESI on. */
begin dirty \bits
9:	movb	$1, (%esi)
	addl	$4096, %esi
	decl	%ecx
	jnz	9b
	hlt
end dirty \bits

/* Fills the data page with what it reads back from the SSE registers. */
begin sse \bits
	movups	(%esi), %xmm0
	outb	%al, $0x10
	movups	%xmm0, 16(%esi)
	hlt
end sse \bits

.endm

	.code16
	payloads 16
	.code32
	payloads 32
	.code64
	payloads 64

	.section .note.GNU-stack, "", @progbits
