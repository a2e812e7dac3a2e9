/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The emulator against the CPU that the test runs on: the same instructions, with random
 * operands, registers and flags, in 64-bit mode and in 32-bit compatibility mode. What the CPU
 * does with a page of memory the emulator does with a device.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cpuid.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cmocka.h>

#include "emulate_guest.h"
#include "kvm/emulate_state.h"

#define SEED  0x1f2e3d4c5b6a7988ull
#define CASES 150u /* of each row, in each mode */

/* All below 2 GiB, so that both modes and the assembly reach it by plain numbers. */
#define BLOCK	   0x10000000
#define CODE	   0x10001000
#define STUB_32	   0x10002000
#define AREA	   0x10003000 /* XSAVE */
#define LOW_STACK  0x10005000 /* its top */
#define DATA	   0x10010000
#define DATA_SIZE  0x2000
#define MAPPED	   0x20000

#define TEXT_(x)   #x
#define TEXT(x)	   TEXT_(x)
#define AT(offset) TEXT(BLOCK + offset)

/* At BLOCK; the assembly knows the offsets. */
struct block {
	uint64_t general[16];
	uint64_t rflags;		  /* 128 */
	uint64_t host_rsp;		  /* 136 */
	uint64_t entry;			  /* 144 */
	uint64_t leave;			  /* 152 */
	uint64_t leave_64;		  /* 160 */
	uint64_t vector, error, cr2, rip; /* filled in by the handler */
};
_Static_assert(offsetof(struct block, leave_64) == 160, "struct block");

static struct block *const block = (struct block *)BLOCK;

/* Registers and flags from the block, the instruction, and back. Called as a function. */
void native_enter_64(void);
void native_leave_64(void);
void native_enter_32(void);
void native_leave_32_end(void);
extern const uint8_t native_stub_32[], native_stub_32_end[], native_stub_32_leave[];

/* clang-format off */
__asm__(".text\n"
	".globl native_enter_64, native_leave_64, native_enter_32\n"
	".globl native_stub_32, native_stub_32_end, native_stub_32_leave\n"
	".macro enter\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, " AT(136) "\n"
	"	mov $7, %eax; xor %edx, %edx; xrstor64 " TEXT(AREA) "\n"
	".endm\n"
	"native_enter_64:\n"
	"	enter\n"
	"	pushq " AT(128) "; popfq\n"
	"	mov " AT(0) ", %rax; mov " AT(8) ", %rcx; mov " AT(16) ", %rdx\n"
	"	mov " AT(24) ", %rbx; mov " AT(32) ", %rsp; mov " AT(40) ", %rbp\n"
	"	mov " AT(48) ", %rsi; mov " AT(56) ", %rdi; mov " AT(64) ", %r8\n"
	"	mov " AT(72) ", %r9; mov " AT(80) ", %r10; mov " AT(88) ", %r11\n"
	"	mov " AT(96) ", %r12; mov " AT(104) ", %r13; mov " AT(112) ", %r14\n"
	"	mov " AT(120) ", %r15\n"
	"	jmp *" AT(144) "\n"
	"native_leave_64:\n"
	"	mov %rax, " AT(0) "; mov %rcx, " AT(8) "; mov %rdx, " AT(16) "\n"
	"	mov %rbx, " AT(24) "; mov %rsp, " AT(32) "; mov %rbp, " AT(40) "\n"
	"	mov %rsi, " AT(48) "; mov %rdi, " AT(56) "; mov %r8, " AT(64) "\n"
	"	mov %r9, " AT(72) "; mov %r10, " AT(80) "; mov %r11, " AT(88) "\n"
	"	mov %r12, " AT(96) "; mov %r13, " AT(104) "; mov %r14, " AT(112) "\n"
	"	mov %r15, " AT(120) "\n"
	"	mov " AT(136) ", %rsp\n"
	"	pushfq; popq " AT(128) "\n"
	"leave:	pushq $2; popfq\n"
	"	mov $7, %eax; xor %edx, %edx; xsave64 " TEXT(AREA) "\n"
	"	emms; vzeroupper\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	"back:	mov " AT(136) ", %rsp\n"
	"	jmp leave\n"
	"native_enter_32:\n"
	"	enter\n"
	"	lea back(%rip), %rax; mov %rax, " AT(160) "\n"
	"	mov $" TEXT(LOW_STACK) ", %esp\n"
	"	pushq $0x23; pushq $" TEXT(STUB_32) "; lretq\n"
	".code32\n"
	"native_stub_32:\n"
	"	mov $0x2b, %eax; mov %eax, %ds; mov %eax, %es\n"
	"	pushl " AT(128) "; popfl\n"
	"	mov " AT(0) ", %eax; mov " AT(8) ", %ecx; mov " AT(16) ", %edx\n"
	"	mov " AT(24) ", %ebx; mov " AT(32) ", %esp; mov " AT(40) ", %ebp\n"
	"	mov " AT(48) ", %esi; mov " AT(56) ", %edi\n"
	"	jmp *" AT(144) "\n"
	"native_stub_32_leave:\n"
	"	mov %eax, " AT(0) "; mov %ecx, " AT(8) "; mov %edx, " AT(16) "\n"
	"	mov %ebx, " AT(24) "; mov %esp, " AT(32) "; mov %ebp, " AT(40) "\n"
	"	mov %esi, " AT(48) "; mov %edi, " AT(56) "\n"
	"	mov $" TEXT(LOW_STACK) ", %esp\n"
	"	pushfl; popl " AT(128) "; pushl $2; popfl\n"
	"	ljmp $0x33, $" TEXT(STUB_32) " + 1f - native_stub_32\n"
	".code64\n"
	"1:	jmp *" AT(160) "\n"
	"native_stub_32_end:\n");
/* clang-format on */

/* --- running an instruction on the CPU --- */

static bool is_amd, is_able;

/* AVX (with the system's support), MOVBE, POPCNT, BMI1, LZCNT: all CPUs since 2013. */
static void look_at_cpu(void)
{
	unsigned a, b, c, d, leaf_1 = 0, leaf_7 = 0, extended = 0;

	if (__get_cpuid(0, &a, &b, &c, &d))
		is_amd = b == signature_AMD_ebx;
	if (__get_cpuid(1, &a, &b, &c, &d))
		leaf_1 = c;
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
		leaf_7 = b;
	if (__get_cpuid(0x80000001, &a, &b, &c, &d))
		extended = c;
	is_able = __builtin_cpu_supports("avx") && (leaf_1 & bit_MOVBE) &&
		  (leaf_1 & bit_POPCNT) && (leaf_7 & bit_BMI) && (extended & bit_LZCNT);
}

static uint64_t random_state;

static uint64_t random_64(void)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static unsigned below(unsigned limit)
{
	return (unsigned)(random_64() >> 32) % limit;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	__asm__ volatile("pushq $2; popfq" : : : "memory", "cc"); /* AC is still as it was */
	(void)number;
	(void)info;
	if ((uint64_t)regs[REG_RIP] - CODE >= 4096)
		abort();
	block->vector = (uint64_t)regs[REG_TRAPNO];
	block->error = (uint64_t)regs[REG_ERR];
	block->cr2 = (uint64_t)regs[REG_CR2];
	block->rip = (uint64_t)regs[REG_RIP];
	regs[REG_RIP] = (greg_t)block->leave;
}

#define NO_VECTOR 99u

/* In each test: cmocka has handlers of its own. */
static void catch_signals(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
	static uint8_t stack[65536];
	stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_sigaction = on_signal,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK};

	assert_int_equal(sigaltstack(&alternate, NULL), 0);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		assert_int_equal(sigaction(signals[i], &action, NULL), 0);
}

static void native_set_up(void)
{
	void *low = mmap((void *)BLOCK, MAPPED, PROT_READ | PROT_WRITE | PROT_EXEC,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	assert_ptr_equal(low, (void *)BLOCK);
	memcpy((void *)STUB_32, native_stub_32, (size_t)(native_stub_32_end - native_stub_32));
}

static void native_run(bool wide, const uint8_t *bytes, unsigned length)
{
	uint8_t *code = (uint8_t *)CODE;
	uint32_t leave = BLOCK + offsetof(struct block, leave);

	memcpy(code, bytes, length);
	code[length++] = 0xff; /* JMP to what `leave` holds */
	code[length++] = wide ? 0x24 : 0x25;
	if (wide)
		code[length++] = 0x25;
	memcpy(code + length, &leave, 4);
	block->entry = CODE;
	block->vector = NO_VECTOR;
	block->leave = wide ? (uint64_t)(uintptr_t)native_leave_64
			    : STUB_32 + (uint64_t)(native_stub_32_leave - native_stub_32);
	if (wide)
		native_enter_64();
	else
		native_enter_32();
}

/* --- the instructions --- */

#define SIZED	 (1u << 0) /* 16, 32 and 64 bits */
#define NARROW	 (1u << 1) /* not 16 bits */
#define LOCKED	 (1u << 2) /* takes LOCK */
#define P66	 (1u << 3) /* a prefix that belongs to it */
#define PF3	 (1u << 4)
#define PF2	 (1u << 5)
#define STRING	 (1u << 6) /* RSI and RDI; no ModRM */
#define VEX_W0	 (1u << 7)
#define VEX_256	 (1u << 8)  /* also with 256 bits */
#define VVVV	 (1u << 9)  /* VEX with a second source */
#define W	 (1u << 10) /* REX.W belongs to it; 64-bit mode only */
#define STACK	 (1u << 11)
#define BITS	 (1u << 12) /* a bit offset in the register */
#define COUNT	 (1u << 13) /* an imm8 or CL that counts bits of SHLD */
#define WIDE	 (1u << 14) /* 64-bit mode only */
#define ALIGNED	 (1u << 15) /* to 16 bytes, mostly */
#define IMM_8	 (1u << 16)
#define IMM_Z	 (1u << 17) /* 16 or 32 bits */
#define OLD	 (1u << 18) /* 32-bit mode only */
#define DIVIDES	 (1u << 19)
#define NO_MODRM (1u << 20)
#define FRAME	 (1u << 21) /* the operands of ENTER */
#define DIFFERS	 (1u << 22) /* between CPUs */

#define F_SHIFT	 (RFLAGS_AF | RFLAGS_OF)
#define F_MUL	 (RFLAGS_SF | RFLAGS_ZF | RFLAGS_AF | RFLAGS_PF)
#define F_BIT	 (RFLAGS_OF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF)

struct row {
	const char *name;
	const char *opcode; /* hexadecimal */
	int reg;	    /* of ModRM; -1: any */
	uint32_t flags;
	uint64_t undefined; /* RFLAGS */
};

#define ALU(name, op)                                                                     \
	{name " r/m8, r8", op "0", -1, LOCKED, 0}, {name, op "1", -1, SIZED | LOCKED, 0}, \
	    {name " r8, r/m8", op "2", -1, 0, 0},                                         \
	{                                                                                 \
		name " r, r/m", op "3", -1, SIZED, 0                                      \
	}
#define ALU_HIGH(name, low, op)                                                           \
	{name " r/m8, r8", op "8", -1, LOCKED, 0}, {name, op "9", -1, SIZED | LOCKED, 0}, \
	    {name " r8, r/m8", op "a", -1, 0, 0},                                         \
	{                                                                                 \
		name " r, r/m", op "b", -1, SIZED, 0                                      \
	}
#define SHIFTS(name, reg)                                                                      \
	{name " m8, 1", "d0", reg, 0, RFLAGS_AF}, {name " m, 1", "d1", reg, SIZED, RFLAGS_AF}, \
	    {name " m8, i", "c0", reg, IMM_8, F_SHIFT},                                        \
	    {name " m, i", "c1", reg, IMM_8 | SIZED, F_SHIFT},                                 \
	    {name " m8, cl", "d2", reg, 0, F_SHIFT},                                           \
	{                                                                                      \
		name " m, cl", "d3", reg, SIZED, F_SHIFT                                       \
	}
#define SHIFTS_CF(name, reg)                                                                   \
	{name " m8, 1", "d0", reg, 0, RFLAGS_AF}, {name " m, 1", "d1", reg, SIZED, RFLAGS_AF}, \
	    {name " m8, i", "c0", reg, IMM_8, F_SHIFT | RFLAGS_CF},                            \
	    {name " m, i", "c1", reg, IMM_8 | SIZED, F_SHIFT | RFLAGS_CF},                     \
	    {name " m8, cl", "d2", reg, 0, F_SHIFT | RFLAGS_CF},                               \
	{                                                                                      \
		name " m, cl", "d3", reg, SIZED, F_SHIFT | RFLAGS_CF                           \
	}

static const struct row rows[] = {
    {"mov m8, r8", "88", -1, 0, 0},
    {"mov m, r", "89", -1, SIZED, 0},
    {"mov r8, m8", "8a", -1, 0, 0},
    {"mov r, m", "8b", -1, SIZED, 0},
    {"mov m8, i", "c6", 0, IMM_8, 0},
    {"mov m, i", "c7", 0, IMM_Z | SIZED, 0},
    {"mov m, es", "8c", 0, SIZED, 0},
    {"movnti", "0fc3", -1, SIZED | NARROW, 0},
    {"movzx r, m8", "0fb6", -1, SIZED, 0},
    {"movzx r, m16", "0fb7", -1, SIZED, 0},
    {"movsx r, m8", "0fbe", -1, SIZED, 0},
    {"movsx r, m16", "0fbf", -1, SIZED, 0},
    {"movsxd", "63", -1, W, 0},
    {"movbe r, m", "0f38f0", -1, SIZED, 0},
    {"movbe m, r", "0f38f1", -1, SIZED, 0},
    ALU("add", "0"),
    ALU("adc", "1"),
    ALU("and", "2"),
    ALU("xor", "3"),
    ALU_HIGH("or", "0", "0"),
    ALU_HIGH("sbb", "1", "1"),
    ALU_HIGH("sub", "2", "2"),
    ALU_HIGH("cmp", "3", "3"),
    {"add m8, i", "80", 0, IMM_8 | LOCKED, 0},
    {"adc m, i8", "83", 2, IMM_8 | SIZED | LOCKED, 0},
    {"sub m, i", "81", 5, IMM_Z | SIZED | LOCKED, 0},
    {"cmp m, i8", "83", 7, IMM_8 | SIZED, 0},
    {"test m8, r8", "84", -1, 0, RFLAGS_AF},
    {"test m, r", "85", -1, SIZED, RFLAGS_AF},
    {"test m, i", "f7", 0, SIZED | IMM_Z, RFLAGS_AF},
    {"inc m8", "fe", 0, LOCKED, 0},
    {"inc m", "ff", 0, LOCKED | SIZED, 0},
    {"dec m", "ff", 1, LOCKED | SIZED, 0},
    {"not m8", "f6", 2, LOCKED, 0},
    {"not m", "f7", 2, LOCKED | SIZED, 0},
    {"neg m8", "f6", 3, LOCKED, 0},
    {"neg m", "f7", 3, LOCKED | SIZED, 0},
    SHIFTS("rol", 0),
    SHIFTS("ror", 1),
    SHIFTS("rcl", 2),
    SHIFTS("rcr", 3),
    SHIFTS_CF("shl", 4),
    SHIFTS_CF("shr", 5),
    SHIFTS("sar", 7),
    {"shld i", "0fa4", -1, SIZED | IMM_8 | COUNT, F_SHIFT},
    {"shld cl", "0fa5", -1, SIZED | COUNT, F_SHIFT},
    {"shrd i", "0fac", -1, SIZED | IMM_8 | COUNT, F_SHIFT},
    {"shrd cl", "0fad", -1, SIZED | COUNT, F_SHIFT},
    {"mul m8", "f6", 4, 0, F_MUL},
    {"mul m", "f7", 4, SIZED, F_MUL},
    {"imul m8", "f6", 5, 0, F_MUL},
    {"imul m", "f7", 5, SIZED, F_MUL},
    {"imul r, m", "0faf", -1, SIZED, F_MUL},
    {"imul r, m, i8", "6b", -1, SIZED | IMM_8, F_MUL},
    {"imul r, m, i", "69", -1, SIZED | IMM_Z, F_MUL},
    {"div m8", "f6", 6, DIVIDES, RFLAGS_STATUS},
    {"div m", "f7", 6, DIVIDES | SIZED, RFLAGS_STATUS},
    {"idiv m8", "f6", 7, DIVIDES, RFLAGS_STATUS},
    {"idiv m", "f7", 7, DIVIDES | SIZED, RFLAGS_STATUS},
    {"bsf", "0fbc", -1, SIZED, F_BIT | RFLAGS_CF},
    {"bsr", "0fbd", -1, SIZED, F_BIT | RFLAGS_CF},
    {"tzcnt", "0fbc", -1, SIZED | PF3, F_BIT},
    {"lzcnt", "0fbd", -1, SIZED | PF3, F_BIT},
    {"popcnt", "0fb8", -1, SIZED | PF3, 0},
    {"bt r", "0fa3", -1, SIZED | BITS, F_BIT},
    {"bts r", "0fab", -1, SIZED | BITS | LOCKED, F_BIT},
    {"btr r", "0fb3", -1, SIZED | BITS | LOCKED, F_BIT},
    {"btc r", "0fbb", -1, SIZED | BITS | LOCKED, F_BIT},
    {"bt i", "0fba", 4, SIZED | IMM_8, F_BIT},
    {"bts i", "0fba", 5, SIZED | IMM_8 | LOCKED, F_BIT},
    {"btr i", "0fba", 6, SIZED | IMM_8 | LOCKED, F_BIT},
    {"btc i", "0fba", 7, SIZED | IMM_8 | LOCKED, F_BIT},
    {"xchg m8", "86", -1, LOCKED, 0},
    {"xchg m", "87", -1, SIZED | LOCKED, 0},
    {"xadd m8", "0fc0", -1, LOCKED, 0},
    {"xadd m", "0fc1", -1, SIZED | LOCKED, 0},
    {"cmpxchg m8", "0fb0", -1, LOCKED, 0},
    {"cmpxchg m", "0fb1", -1, SIZED | LOCKED, 0},
    {"cmpxchg8b", "0fc7", 1, LOCKED, 0},
    {"cmpxchg16b", "0fc7", 1, LOCKED | W | ALIGNED, 0},
    {"seto", "0f90", 0, 0, 0},
    {"setb", "0f92", 0, 0, 0},
    {"setne", "0f95", 0, 0, 0},
    {"setbe", "0f96", 0, 0, 0},
    {"setns", "0f99", 0, 0, 0},
    {"setp", "0f9a", 0, 0, 0},
    {"setl", "0f9c", 0, 0, 0},
    {"setg", "0f9f", 0, 0, 0},
    {"cmovno", "0f41", -1, SIZED, 0},
    {"cmovae", "0f43", -1, SIZED, 0},
    {"cmove", "0f44", -1, SIZED, 0},
    {"cmova", "0f47", -1, SIZED, 0},
    {"cmovs", "0f48", -1, SIZED, 0},
    {"cmovnp", "0f4b", -1, SIZED, 0},
    {"cmovge", "0f4d", -1, SIZED, 0},
    {"cmovle", "0f4e", -1, SIZED, 0},
    {"nop m", "0f1f", 0, SIZED, 0},
    {"push m", "ff", 6, STACK, 0},
    {"push m16", "ff", 6, STACK | P66, 0},
    {"pop m", "8f", 0, STACK, 0},
    {"pop m16", "8f", 0, STACK | P66, 0},
    {"push rax", "50", 0, STACK | NO_MODRM, 0},
    {"push sp", "54", 0, STACK | NO_MODRM | P66, 0},
    {"pop rbx", "5b", 0, STACK | NO_MODRM, 0},
    {"pop rsp", "5c", 0, STACK | NO_MODRM, 0},
    {"push i8", "6a", 0, STACK | NO_MODRM | IMM_8, 0},
    {"push fs", "0fa0", 0, STACK | NO_MODRM | DIFFERS, 0},
    {"pusha", "60", 0, STACK | NO_MODRM | OLD, 0},
    {"popa", "61", 0, STACK | NO_MODRM | OLD, 0},
    {"pusha 16", "60", 0, STACK | NO_MODRM | OLD | P66, 0},
    {"popa 16", "61", 0, STACK | NO_MODRM | OLD | P66, 0},
    {"pushf", "9c", 0, STACK | NO_MODRM, 0},
    {"enter", "c8", 0, STACK | NO_MODRM | FRAME, 0},
    {"leave", "c9", 0, STACK | NO_MODRM, 0},
    {"movsb", "a4", 0, STRING, 0},
    {"movs", "a5", 0, STRING | SIZED, 0},
    {"stosb", "aa", 0, STRING, 0},
    {"stos", "ab", 0, STRING | SIZED, 0},
    {"lodsb", "ac", 0, STRING, 0},
    {"lods", "ad", 0, STRING | SIZED, 0},
    {"rep movsb", "a4", 0, STRING | PF3, 0},
    {"rep movs", "a5", 0, STRING | SIZED | PF3, 0},
    {"rep stosb", "aa", 0, STRING | PF3, 0},
    {"rep stos", "ab", 0, STRING | SIZED | PF3, 0},
    {"repne stos", "ab", 0, STRING | SIZED | PF2, 0},
    {"rep lods", "ad", 0, STRING | SIZED | PF3, 0},
    {"cmpsb", "a6", 0, STRING, 0},
    {"repe cmpsb", "a6", 0, STRING | PF3, 0},
    {"repne cmpsb", "a6", 0, STRING | PF2, 0},
    {"repe cmps", "a7", 0, STRING | PF3 | SIZED, 0},
    {"repe scasb", "ae", 0, STRING | PF3, 0},
    {"repne scas", "af", 0, STRING | PF2 | SIZED, 0},
    {"movaps x, m", "0f28", -1, ALIGNED, 0},
    {"movaps m, x", "0f29", -1, ALIGNED, 0},
    {"movapd x, m", "0f28", -1, P66 | ALIGNED, 0},
    {"movapd m, x", "0f29", -1, P66 | ALIGNED, 0},
    {"movdqa x, m", "0f6f", -1, P66 | ALIGNED, 0},
    {"movdqa m, x", "0f7f", -1, P66 | ALIGNED, 0},
    {"movntps", "0f2b", -1, ALIGNED, 0},
    {"movntdq", "0fe7", -1, P66 | ALIGNED, 0},
    {"movntdqa", "0f382a", -1, P66 | ALIGNED, 0},
    {"movups x, m", "0f10", -1, 0, 0},
    {"movups m, x", "0f11", -1, 0, 0},
    {"movupd x, m", "0f10", -1, P66, 0},
    {"movupd m, x", "0f11", -1, P66, 0},
    {"movdqu x, m", "0f6f", -1, PF3, 0},
    {"movdqu m, x", "0f7f", -1, PF3, 0},
    {"lddqu", "0ff0", -1, PF2, 0},
    {"movss x, m", "0f10", -1, PF3, 0},
    {"movss m, x", "0f11", -1, PF3, 0},
    {"movsd x, m", "0f10", -1, PF2, 0},
    {"movsd m, x", "0f11", -1, PF2, 0},
    {"movlps x, m", "0f12", -1, 0, 0},
    {"movlps m, x", "0f13", -1, 0, 0},
    {"movhps x, m", "0f16", -1, 0, 0},
    {"movhpd m, x", "0f17", -1, P66, 0},
    {"movlpd x, m", "0f12", -1, P66, 0},
    {"movhpd x, m", "0f16", -1, P66, 0},
    {"movd x, m", "0f6e", -1, P66, 0},
    {"movd m, x", "0f7e", -1, P66, 0},
    {"movq x, m (W)", "0f6e", -1, P66 | W, 0},
    {"movq m, x (W)", "0f7e", -1, P66 | W, 0},
    {"movq x, m", "0f7e", -1, PF3, 0},
    {"movq m, x", "0fd6", -1, P66, 0},
    {"movd mm, m", "0f6e", -1, 0, 0},
    {"movd m, mm", "0f7e", -1, 0, 0},
    {"movq mm, m", "0f6f", -1, 0, 0},
    {"movq m, mm", "0f7f", -1, 0, 0},
    {"movntq", "0fe7", -1, 0, 0},
    {"vmovaps x, m", "0f28", -1, VEX_W0 | VEX_256 | ALIGNED, 0},
    {"vmovaps m, x", "0f29", -1, VEX_W0 | VEX_256 | ALIGNED, 0},
    {"vmovdqu x, m", "0f6f", -1, VEX_W0 | VEX_256 | PF3, 0},
    {"vmovdqu m, x", "0f7f", -1, VEX_W0 | VEX_256 | PF3, 0},
    {"vmovups x, m", "0f10", -1, VEX_W0 | VEX_256, 0},
    {"vmovntdq", "0fe7", -1, VEX_W0 | VEX_256 | P66 | ALIGNED, 0},
    {"vlddqu", "0ff0", -1, VEX_W0 | VEX_256 | PF2, 0},
    {"vmovss x, m", "0f10", -1, VEX_W0 | PF3, 0},
    {"vmovsd m, x", "0f11", -1, VEX_W0 | PF2, 0},
    {"vmovd x, m", "0f6e", -1, VEX_W0 | P66, 0},
    {"vmovq x, m", "0f7e", -1, VEX_W0 | PF3, 0},
    {"vmovlps x, x, m", "0f12", -1, VEX_W0 | VVVV, 0},
    {"vmovhpd x, x, m", "0f16", -1, VEX_W0 | VVVV | P66, 0},
    {"vmovhps m, x", "0f17", -1, VEX_W0, 0},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* --- making a case --- */

struct form {
	const struct row *row;
	bool wide; /* 64-bit mode */
	uint8_t bytes[16];
	unsigned length;
	unsigned size; /* of integer operands, bytes */
	bool vex, vex_256;
	unsigned reg, base, index, scale; /* 16: none */
	uint32_t target;		  /* of the memory operand */
	int32_t displacement;
};

static void emit(struct form *form, uint64_t value, unsigned size)
{
	memcpy(form->bytes + form->length, &value, size);
	form->length += size;
}

static unsigned opcode_of(const struct row *row, uint8_t opcode[4])
{
	unsigned length = (unsigned)strlen(row->opcode) / 2;

	for (unsigned i = 0; i < length; i++) {
		char digits[3] = {row->opcode[2 * i], row->opcode[2 * i + 1], 0};

		opcode[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return length;
}

/* Most operands are aligned; some cross a page. */
static void choose_target(struct form *form)
{
	uint32_t at = 0x200 + below(DATA_SIZE - 0x400);

	if (form->row->flags & ALIGNED ? below(8) : below(2))
		at &= ~31u;
	if (below(6) == 0)
		at = 0x1000 - below(33);
	form->target = DATA + at;
}

/* Behind 16 SHLD's result is undefined, and BT shall stay within the data: no address there. */
static bool is_kept(const struct form *form, unsigned reg)
{
	return ((form->row->flags & COUNT) && reg == LUV_RCX) ||
	       ((form->row->flags & BITS) && reg == form->reg);
}

static void choose_operands(struct form *form)
{
	unsigned registers = form->wide ? 16 : 8;

	form->reg = form->row->reg >= 0 ? (unsigned)form->row->reg : below(registers);
	form->base = below(5) ? below(registers) : 16;
	if (form->base < 16 && is_kept(form, form->base))
		form->base = 16;
	form->index = 16;
	form->scale = 0;
	if (form->base < 16 && below(3) == 0) {
		form->index = below(registers);
		form->scale = below(4);
		if (form->index == LUV_RSP || form->index == form->base)
			form->index = 16;
	}
	if (form->index < 16 && is_kept(form, form->index))
		form->index = 16;
	form->displacement = below(2) ? (int8_t)random_64() : (int32_t)random_64() / 4;
	if ((form->row->flags & STACK) &&
	    form->base == LUV_RSP) { /* it stays within the data */
		form->index = 16;
		form->displacement = (int8_t)form->displacement;
	}
	choose_target(form);
}

static void emit_prefixes(struct form *form)
{
	uint32_t flags = form->row->flags;

	if ((flags & LOCKED) && below(3) == 0)
		emit(form, 0xf0, 1);
	if ((flags & P66) || ((flags & SIZED) && form->size == 2))
		emit(form, 0x66, 1);
	if (flags & PF3)
		emit(form, 0xf3, 1);
	if (flags & PF2)
		emit(form, 0xf2, 1);
}

static void emit_rex(struct form *form)
{
	unsigned rex = 0;

	if (!form->wide)
		return;
	rex |=
	    (form->row->flags & W) || ((form->row->flags & SIZED) && form->size == 8) ? 8 : 0;
	rex |= form->reg & 8 && form->row->reg < 0 ? 4 : 0;
	rex |= form->index < 16 && form->index & 8 ? 2 : 0;
	rex |= form->base < 16 && form->base & 8 ? 1 : 0;
	if (rex || below(4) == 0)
		emit(form, 0x40 | rex, 1);
}

static void emit_vex(struct form *form, const uint8_t *opcode)
{
	uint32_t flags = form->row->flags;
	unsigned vvvv = flags & VVVV ? below(form->wide ? 16 : 8) : 0;
	unsigned prefix = flags & P66 ? 1 : flags & PF3 ? 2 : flags & PF2 ? 3 : 0;
	unsigned second = 0xe1; /* R, X, B inverted; map 0F */

	second &= form->reg & 8 ? ~0x80u : ~0u;
	second &= form->index < 16 && form->index & 8 ? ~0x40u : ~0u;
	second &= form->base < 16 && form->base & 8 ? ~0x20u : ~0u;
	emit(form, 0xc4, 1);
	emit(form, second, 1);
	emit(form, (~vvvv & 15) << 3 | (form->vex_256 ? 4 : 0) | prefix, 1);
	emit(form, opcode[1], 1);
}

/* ModRM, SIB and displacement. Where there is no base: RIP-relative or absolute. */
static void emit_operand(struct form *form, unsigned immediate)
{
	unsigned reg = (form->reg & 7) << 3;
	bool sib = form->index < 16 || (form->base & 7) == 4;
	bool small = form->displacement == (int8_t)form->displacement;

	if (form->base == 16) {
		emit(form, reg | 5, 1);
		emit(form,
		     form->target - (form->wide ? CODE + form->length + 4 + immediate : 0), 4);
		return;
	}
	emit(form, (small ? 0x40 : 0x80) | reg | (sib ? 4 : (form->base & 7)), 1);
	if (sib)
		emit(form,
		     form->scale << 6 | (form->index < 16 ? form->index & 7 : 4) << 3 |
			 (form->base & 7),
		     1);
	emit(form, (uint32_t)form->displacement, small ? 1 : 4);
}

static unsigned immediate_bytes(const struct form *form)
{
	if (form->row->flags & IMM_Z)
		return form->size == 2 ? 2 : 4;
	return form->row->flags & IMM_8 ? 1 : 0;
}

static void make_form(struct form *form, const struct row *row, bool wide)
{
	static const unsigned sizes[] = {4, 2, 8};
	uint8_t opcode[4];
	unsigned length = opcode_of(row, opcode);

	memset(form, 0, sizeof(*form));
	form->row = row;
	form->wide = wide;
	form->size = row->flags & SIZED ? sizes[below(wide ? 3 : 2)] : 1;
	if ((row->flags & NARROW) && form->size == 2)
		form->size = 4;
	form->vex = row->flags & VEX_W0;
	form->vex_256 = (row->flags & VEX_256) && below(2);
	choose_operands(form);
	if (form->vex) {
		emit_vex(form, opcode);
	} else {
		if ((row->flags & STRING) && below(6) == 0 && wide)
			emit(form, 0x67, 1);
		emit_prefixes(form);
		if (row->flags & (STRING | NO_MODRM))
			form->base = form->index = 16;
		emit_rex(form);
		for (unsigned i = 0; i < length; i++)
			emit(form, opcode[i], 1);
	}
	if (!(row->flags & (STRING | NO_MODRM)))
		emit_operand(form, immediate_bytes(form));
	if (row->flags & FRAME) {
		emit(form, below(100), 2);
		emit(form, below(5), 1);
	}
	if (row->flags & COUNT && immediate_bytes(form))
		emit(form, below(form->size == 2 ? 16 : 64), 1);
	else
		emit(form, random_64(), immediate_bytes(form));
}

/* --- state --- */

struct machine {
	uint64_t general[16];
	uint64_t rflags, rip;
	uint64_t vector, error;
	uint8_t data[DATA_SIZE];
	uint8_t area[1024];
};

static uint64_t random_value(void)
{
	switch (below(4)) {
	case 0:
		return random_64();
	case 1:
		return (uint64_t)(int8_t)random_64();
	case 2:
		return random_64() & 0x8000000080008080;
	default:
		return (uint64_t)(int32_t)random_64();
	}
}

static void random_registers(const struct form *form, struct machine *state)
{
	const struct row *row = form->row;
	uint64_t index;

	for (unsigned i = 0; i < 16; i++)
		state->general[i] = random_value();
	if (row->flags & DIVIDES) /* quotients that fit, sometimes */
		state->general[LUV_RDX] =
		    below(3) ? (uint64_t) - (int64_t)below(2) : below(100);
	if (row->flags & BITS)
		state->general[form->reg] = (uint64_t)(int64_t)(int)(below(4000) - 2000);
	if ((row->flags & COUNT) && form->size == 2)
		state->general[LUV_RCX] = below(16);
	if (row->flags & (STRING | STACK)) {
		unsigned room = 0x300;

		state->general[LUV_RSI] = DATA + room + below(DATA_SIZE - 2 * room);
		state->general[LUV_RDI] = DATA + room + below(DATA_SIZE - 2 * room);
		state->general[LUV_RSP] = DATA + room + below(DATA_SIZE - 2 * room);
		state->general[LUV_RCX] = below(24);
	}
	if ((row->flags & STACK) && row->flags & NO_MODRM)
		state->general[LUV_RBP] = DATA + 0x300 + below(0x800);
	if (row->flags & FRAME) /* the outer frame is above */
		state->general[LUV_RBP] = state->general[LUV_RSP] + 64 + below(0x100);
	if (form->base == 16)
		return;
	index = 0;
	if (form->index < 16) {
		state->general[form->index] = below(64);
		index = state->general[form->index] << form->scale;
	}
	state->general[form->base] =
	    form->target - (uint64_t)(int64_t)form->displacement - index;
	if (!form->wide)
		state->general[form->base] &= 0xffffffff;
}

static bool is_vector(const struct form *form)
{
	return (form->row->flags & (ALIGNED | VEX_W0 | FRAME)) ||
	       !strncmp(form->row->name, "mov", 3);
}

static void random_machine(const struct form *form, struct machine *state)
{
	uint64_t flags = RFLAGS_STATUS | RFLAGS_DF;

	random_registers(form, state);
	/* What alignment means for vectors and ENTER is each CPU's own. */
	if (below(8) == 0 && (is_amd || !is_vector(form)))
		flags |= RFLAGS_AC;
	state->rflags = (random_64() & flags) | RFLAGS_IF | 2;
	state->rip = CODE;
	state->vector = NO_VECTOR;
	state->error = 0;
	for (unsigned i = 0; i < DATA_SIZE; i += 8) {
		uint64_t word = below(3) ? random_value() : 0;

		memcpy(state->data + i, &word, 8);
	}
	memset(state->area, 0, sizeof(state->area));
	state->area[0] = 0x7f; /* FCW, MXCSR: all masked */
	state->area[1] = 0x03;
	state->area[3] = (uint8_t)(below(8) << 3); /* TOP */
	state->area[4] = (uint8_t)random_64();
	state->area[24] = 0x80;
	state->area[25] = 0x1f;
	for (unsigned i = 32; i < 416; i++)
		if (i >= 160 || i % 16 < 10)
			state->area[i] = (uint8_t)random_64();
	for (unsigned i = 576; i < 832; i++)
		state->area[i] = (uint8_t)random_64();
	state->area[512] = 7;
}

static void run_native(const struct form *form, struct machine *state)
{
	memcpy((void *)DATA, state->data, DATA_SIZE);
	memcpy((void *)AREA, state->area, sizeof(state->area));
	memcpy(block->general, state->general, sizeof(block->general));
	block->rflags = state->rflags;
	native_run(form->wide, form->bytes, form->length);
	memcpy(state->general, block->general, sizeof(block->general));
	memcpy(state->data, (void *)DATA, DATA_SIZE);
	memcpy(state->area, (void *)AREA, sizeof(state->area));
	state->rflags = block->rflags;
	state->vector = block->vector;
	state->error = block->vector == NO_VECTOR ? 0 : block->error;
	state->rip = block->vector == NO_VECTOR ? CODE + form->length : block->rip;
}

static struct guest guest;
static uint8_t data[DATA_SIZE] __attribute__((aligned(4096)));

static void guest_set_up(const struct form *form, const struct machine *state)
{
	guest_init(&guest, form->wide ? GUEST_CODE64 : GUEST_CODE32);
	for (unsigned i = 0; i <= LUV_GS; i++)
		guest.page.segment[i].attributes |= GUEST_RING3;
	guest.page.segment[LUV_ES].selector = form->wide ? 0 : 0x2b;
	guest.page.segment[LUV_FS].selector = 0;
	guest.page.efer = 0x500;
	guest.page.cr0 |= CR0_AM;
	guest.page.rip = CODE;
	guest.page.rflags = state->rflags;
	memcpy(guest.page.general, state->general, sizeof(state->general));
	memcpy(data, state->data, DATA_SIZE);
	memcpy(guest.xsave, state->area, sizeof(state->area));
	/* Some cases have RAM on one side. */
	guest.region[0] = (struct guest_region){DATA, 0x1000, data, .device = below(8)};
	guest.region[1] =
	    (struct guest_region){DATA + 0x1000, 0x1000, data + 0x1000, .device = below(4)};
	guest.ask = below(2);
}

static enum emulate_result run_emulated(const struct form *form, struct machine *state)
{
	bool told = below(2); /* the exit's address is that of the operand */
	enum emulate_result result;

	guest_set_up(form, state);
	do {
		guest_exit(&guest, told ? form->target : form->target ^ 0x800, told,
			   form->bytes, form->length);
		result = guest_finish(&guest, emulate_mmio(&guest.emulate));
	} while (result == EMULATE_DONE && guest.page.rip == CODE);
	memcpy(state->general, guest.page.general, sizeof(state->general));
	memcpy(state->data, data, DATA_SIZE);
	memcpy(state->area, guest.xsave, sizeof(state->area));
	state->rflags = guest.page.rflags;
	state->rip = guest.page.rip;
	if (result == EMULATE_FAULT) {
		state->vector = guest.emulate.fault.vector;
		state->error = guest.emulate.fault.error;
	}
	return result;
}

/* --- comparing --- */

static void describe(const struct form *form, const struct machine *before, const char *what,
		     uint64_t native, uint64_t emulated)
{
	char bytes[64] = "";

	for (unsigned i = 0; i < form->length; i++)
		snprintf(bytes + strlen(bytes), 4, "%02x ", form->bytes[i]);
	fail_msg("%s (%u bits): %s: %s: CPU %#llx, emulator %#llx; operand at %#x, flags were "
		 "%#llx, "
		 "rcx %#llx",
		 form->row->name, form->wide ? 64 : 32, bytes, what, (unsigned long long)native,
		 (unsigned long long)emulated, form->target, (unsigned long long)before->rflags,
		 (unsigned long long)before->general[LUV_RCX]);
}

static void compare_bytes(const struct form *form, const struct machine *before,
			  const char *what, const uint8_t *native, const uint8_t *emulated,
			  unsigned from, unsigned to)
{
	char name[64];

	for (unsigned i = from; i < to; i++)
		if (native[i] != emulated[i]) {
			snprintf(name, sizeof(name), "%s, byte %#x", what, i);
			describe(form, before, name, native[i], emulated[i]);
		}
}

static void compare_machines(const struct form *form, const struct machine *before,
			     const struct machine *native, const struct machine *emulated)
{
	uint64_t ignored = RFLAGS_RF | (native->vector == NO_VECTOR ? form->row->undefined : 0);
	uint64_t mask = form->wide ? ~0ull : 0xffffffff;
	char name[16];

	if (native->vector != emulated->vector)
		describe(form, before, "vector", native->vector, emulated->vector);
	if (native->error != emulated->error)
		describe(form, before, "error code", native->error, emulated->error);
	if (native->rip != emulated->rip)
		describe(form, before, "rip", native->rip, emulated->rip);
	for (unsigned i = 0; i < (form->wide ? 16 : 8); i++)
		if ((native->general[i] ^ emulated->general[i]) & mask) {
			snprintf(name, sizeof(name), "register %u", i);
			describe(form, before, name, native->general[i], emulated->general[i]);
		}
	if ((native->rflags ^ emulated->rflags) & ~ignored)
		describe(form, before, "flags", native->rflags, emulated->rflags);
	/* An ENTER that faults has pushed already, below the stack. */
	if (native->vector == NO_VECTOR || !(form->row->flags & FRAME))
		compare_bytes(form, before, "memory", native->data, emulated->data, 0,
			      DATA_SIZE);
	compare_bytes(form, before, "x87", native->area, emulated->area, 2, 5);
	compare_bytes(form, before, "xmm", native->area, emulated->area, 32,
		      form->wide ? 416 : 288);
	compare_bytes(form, before, "ymm", native->area, emulated->area, 576,
		      form->wide ? 832 : 704);
}

static void run_case(const struct row *row, bool wide)
{
	static struct machine before, native, emulated;
	enum emulate_result result;
	struct form form;

	make_form(&form, row, wide);
	random_machine(&form, &before);
	native = before;
	emulated = before;
	run_native(&form, &native);
	result = run_emulated(&form, &emulated);
	if (result != EMULATE_DONE && result != EMULATE_FAULT)
		describe(&form, &before, "result", 0, result);
	compare_machines(&form, &before, &native, &emulated);
}

static void run_rows(bool wide)
{
	if (!is_able) {
		print_message("# not compared: this CPU lacks AVX, MOVBE, BMI1 or LZCNT\n");
		return;
	}
	catch_signals();
	for (unsigned i = 0; i < ROWS; i++) {
		if (rows[i].flags & (wide ? OLD : W | WIDE))
			continue;
		if ((rows[i].flags & DIFFERS) && !is_amd)
			continue;
		random_state = SEED + i;
		for (unsigned j = 0; j < CASES; j++)
			run_case(&rows[i], wide);
	}
}

static void test_64(void **state)
{
	(void)state;
	run_rows(true);
}

static void test_32(void **state)
{
	(void)state;
	run_rows(false);
}

static int set_up(void **state)
{
	(void)state;
	look_at_cpu();
	native_set_up();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_64),
	    cmocka_unit_test(test_32),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
