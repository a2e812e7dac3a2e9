/* SPDX-License-Identifier: BSD-2-Clause */
/* Built for 32 and for 64 bits: R(ax) is EAX or RAX. */
#include "bare.h"

#ifdef __x86_64__
#define R(name) %r##name
#define W	8
#define PUSHF	pushfq
#define POPF	popfq
#define IRET	iretq
#define USER_CODE USER_CODE_64
#define KERNEL_CODE KERNEL_CODE_64
#else
#define R(name) %e##name
#define W	4
#define PUSHF	pushfl
#define POPF	popfl
#define IRET	iretl
#define USER_CODE USER_CODE_32
#define KERNEL_CODE KERNEL_CODE_32
#endif

.macro clear_bss
	movl	$bss_start, %edi
	movl	$bss_end, %ecx
	subl	%edi, %ecx
	xorl	%eax, %eax
	cld
	rep stosb
.endm

.macro push_kept
#ifdef __x86_64__
	.irp	r, r12, r13, r14, r15
	push	%\r
	.endr
#endif
	push	R(bp)
	push	R(bx)
	push	R(si)
	push	R(di)
.endm

.macro pop_kept
	pop	R(di)
	pop	R(si)
	pop	R(bx)
	pop	R(bp)
#ifdef __x86_64__
	.irp	r, r15, r14, r13, r12
	pop	%\r
	.endr
#endif
.endm

	.section .start, "ax"
#ifdef __x86_64__
/* Called by main.c's 32-bit code through KERNEL_CODE_64, at the beginning of this program. */
	.globl	start_64
start_64:
	jmp	1f
	.balign	8
	.long	trap_stubs /* for main.c */
1:	push_kept
	clear_bss
	call	run_checks
	pop_kept
	lretl
#else
	.globl	start_32
start_32:
	movl	$USER_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	$KERNEL_DATA, %eax
	movl	%eax, %ss
	movl	$kernel_stack_end, %esp
	clear_bss
	call	main
1:	hlt
	jmp	1b

	.text
	.globl	call_64 /* runs start_64; only in compatibility mode */
call_64:
	lcall	$KERNEL_CODE_64, $program64
	ret

	.bss
	.balign	16
	.skip	STACK_SIZE
kernel_stack_end:
#endif

	.text
/* void enter_user(void (*function)(void)): calls it at CPL 3. */
	.globl	enter_user
enter_user:
#ifdef __x86_64__
	movq	%rdi, %rax
#else
	movl	4(%esp), %eax
#endif
	push_kept
	subl	$8, %esp /* what VECTOR_LEAVE returns to: a kernel of either size */
	movl	$KERNEL_CODE, 4(R(sp))
	movl	$2f, (R(sp))
	movl	%esp, shared
	push	$USER_DATA
	push	$user_stack_end
	push	$0x3002 /* IOPL 3 */
	push	$USER_CODE
	push	$1f
	IRET
1:	call	*R(ax)
	int	$VECTOR_LEAVE
2:	movl	$KERNEL_DATA, %eax /* a trap into 64-bit code leaves SS empty */
	movl	%eax, %ss
	pop_kept
	ret

leave_user:
	movl	shared, %esp
#ifdef __x86_64__
	popq	%rax
	movl	%eax, %ecx
	shrq	$32, %rax
	pushq	%rax
	pushq	%rcx
	lretq /* under QEMU LRETL uses 16 bits of RSP while SS is empty */
#else
	lretl
#endif

/* --- traps ---------------------------------------------------------------------------------- */

	.balign	16
	.globl	trap_stubs
trap_stubs:
.set vector, 0
.rept VECTORS
	.balign	16
.if vector == VECTOR_LEAVE
	jmp	leave_user
.else
.if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21
	push	$0 /* no error code */
.endif
	push	$vector
	jmp	trap_common
.endif
.set vector, vector + 1
.endr

trap_common:
#ifdef __x86_64__
	.irp	r, rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	push	%\r
	.endr
	cld
	movq	%rsp, %rdi
	call	trap
	.irp	r, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rbx, rdx, rcx, rax
	pop	%\r /* the first RBX is RSP's place */
	.endr
#else
	pushal
	cld
	pushl	%esp
	call	trap
	addl	$4, %esp
	popal
#endif
	add	$2 * W, R(sp)
	IRET

/* --- the call instruction ------------------------------------------------------------------- */

/* struct registers: ax bx cx dx si di bp flags r8-r15. VMMCALL becomes VMCALL on Intel (checks.c). */
.macro caller name, before
	.globl	\name, \name\()_at, \name\()_behind
\name:
#ifndef __x86_64__
	movl	4(%esp), %eax
#else
	movq	%rdi, %rax
#endif
	push_kept
	PUSHF
	push	R(ax)
	push	7*W(R(ax))
#ifdef __x86_64__
	.irp	n, 8, 9, 10, 11, 12, 13, 14, 15
	movq	\n * 8(%rax), %r\n
	.endr
#endif
	mov	1*W(R(ax)), R(bx)
	mov	2*W(R(ax)), R(cx)
	mov	3*W(R(ax)), R(dx)
	mov	4*W(R(ax)), R(si)
	mov	5*W(R(ax)), R(di)
	mov	6*W(R(ax)), R(bp)
	mov	(R(ax)), R(ax)
	POPF
	\before
\name\()_at:
	vmmcall
\name\()_behind:
	PUSHF
	xchg	R(ax), W(R(sp))
	mov	R(bx), 1*W(R(ax))
	mov	R(cx), 2*W(R(ax))
	mov	R(dx), 3*W(R(ax))
	mov	R(si), 4*W(R(ax))
	mov	R(di), 5*W(R(ax))
	mov	R(bp), 6*W(R(ax))
	pop	7*W(R(ax))
	pop	(R(ax))
#ifdef __x86_64__
	.irp	n, 8, 9, 10, 11, 12, 13, 14, 15
	movq	%r\n, \n * 8(%rax)
	.endr
#endif
	POPF
	pop_kept
	ret
.endm

	.balign	16
	caller	call_plain
	caller	call_after_sti, sti

	.bss
	.balign	16
	.skip	STACK_SIZE
user_stack_end:

	.section .note.GNU-stack, "", @progbits
