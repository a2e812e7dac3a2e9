/* SPDX-License-Identifier: BSD-2-Clause */
#include "bare.h"

#include <luvalley/calls.h>

#define DR6_BS	     0x4000u
#define VECTOR_UD    6u
#define VECTOR_GP    13u
#define RESERVED_BIT ((u64)1 << 51)
#define TICK_MS	     4

/* --- reporting ------------------------------------------------------------------------ */

static void print_hex(u64 value)
{
	char text[] = "0000000000000000";

	for (int i = 15; i >= 0; i--, value >>= 4)
		text[i] = "0123456789abcdef"[value & 15];
	print(text);
}

bool expect(const char *name, int64_t got, int64_t wanted)
{
	char number[] = " 000 - ";
	u32 n = (u32)++shared.tests;

	for (u32 i = 0; i < 3; i++, n /= 10)
		number[3 - i] = (char)('0' + n % 10);
	print(got == wanted ? "ok" : "not ok");
	print(number);
	print((const char *)(word)shared.mode);
	print(shared.cpl ? ", CPL 3: " : ", CPL 0: ");
	print(name);
	if (got != wanted) {
		print("\n# got ");
		print_hex((u64)got);
		print(", not ");
		print_hex((u64)wanted);
	}
	print("\n");
	return got == wanted;
}

/* --- what the checks use -------------------------------------------------------------- */

int issue(void (*how)(struct registers *), const uint8_t *behind, struct registers *registers)
{
	u64 before = shared.exceptions;

	shared.fixup = (word)behind;
	how(registers);
	shared.fixup = 0;
	return before != shared.exceptions && shared.vector == VECTOR_UD ? NO_ANSWER
									 : (int)registers->ax;
}

int call(u32 number, word a, word b, word c)
{
	int result = LUV_ERR_AGAIN;

	while (result == LUV_ERR_AGAIN) {
		struct registers r = {
		    .ax = number, .di = a, .si = b, .dx = c, .flags = FLAG_IF};

		result = issue(call_plain, call_plain_behind, &r);
	}
	return result;
}

/* 0 in 32-bit code. */
static word high(void)
{
	return sizeof(word) == 8 ? (word)shared.high : 0;
}

word page(enum window_page number)
{
	return (word)shared.window + high() + number * 0x1000u;
}

word big(void)
{
	return (word)shared.big + high();
}

void *frame_of(enum window_page number)
{
	return (void *)(word)(WINDOW + number * 0x1000u);
}

static void flush(void)
{
	__asm__ volatile("int %0" : : "i"(VECTOR_FLUSH) : "memory");
}

/* Channel 0 of the 8254, alone unmasked; mode 0: once, 2: again and again. */
static void timer(uint8_t mode, u32 count)
{
	out8(0x43, (uint8_t)(0x30 | mode << 1));
	out8(0x40, (uint8_t)count);
	out8(0x40, (uint8_t)(count >> 8));
	out8(0x21, 0xfe);
}

void timer_start(void)
{
	timer(2, 1193 * TICK_MS);
}

void timer_stop(void)
{
	out8(0x21, 0xff);
	__asm__ volatile("sti" : : : "memory");
}

/* Returns with interrupts off and an interrupt waiting: the timer's, or one that it left when
 * it was masked. */
void timer_pending(void)
{
	__asm__ volatile("cli" : : : "memory");
	timer(0, 100);
	out8(0x20, 0x0a); /* reads of 20h are IRR */
	while (!(in8(0x20) & 1))
		;
}

/* --- the instruction -------------------------------------------------------------------- */

static u32 word_of(const char *s)
{
	return (u32)s[0] | (u32)s[1] << 8 | (u32)s[2] << 16 | (u32)s[3] << 24;
}

static void check_cpuid(void)
{
	u32 r[4];

	cpuid(LUV_CPUID_BASE, r);
	expect("CPUID shows the signature",
	       r[1] == word_of(LUV_CPUID_SIGNATURE) &&
		   r[2] == word_of(&LUV_CPUID_SIGNATURE[4]) &&
		   r[3] == word_of(&LUV_CPUID_SIGNATURE[8]),
	       1);
	cpuid(1, r);
	expect("the hypervisor bit is clear", r[2] >> 31, 0);
}

static bool same_but_ax(const struct registers *a, const struct registers *b)
{
	const word *x = (const word *)a, *y = (const word *)b;

	for (unsigned i = 1; i < sizeof(*a) / sizeof(word); i++) {
		if (&x[i] != &a->flags && x[i] != y[i])
			return false;
	}
	return true;
}

static void check_registers(void)
{
	struct registers r = {.flags = FLAG_IF | FLAG_CF}, before;
	word *at = (word *)&r;

	for (unsigned i = 1; i < sizeof(r) / sizeof(word); i++) {
		if (&at[i] != &r.flags)
			at[i] = (word)0x89abcdef01234567 * (2 * i + 1);
	}
	r.ax = LUV_CALL_QUERY;
	r.di = LUV_QUERY_ABI_VERSION;
	before = r;
	expect("a query is answered", issue(call_plain, call_plain_behind, &r),
	       LUV_ABI_VERSION);
	expect("all other registers are kept",
	       r.ax == LUV_ABI_VERSION && same_but_ax(&r, &before) && r.flags & FLAG_CF, 1);
	if (sizeof(word) == 4)
		return;
	r.ax = (word)((u64)1 << 32);
	expect("64 bits of the number count", issue(call_plain, call_plain_behind, &r),
	       LUV_ERR_NOSYS);
}

/* All of RAX, as a trap into the kernel finds it: from compatibility mode, too, where the upper
 * half is the hypervisor's to clear. */
static void check_width(void)
{
	word ax = LUV_CALL_QUERY;

	shared.trapped_ax = 0;
	if (shared.has_luvy)
		__asm__ volatile(
		    "test %1, %1\n\tjz 1f\n\tvmmcall\n\tjmp 2f\n1:\tvmcall\n2:\tint %2"
		    : "+a"(ax)
		    : "r"((u32)shared.is_amd), "i"(VECTOR_FLUSH), "D"((word)1000)
		    : "memory");
	expect("an error has the caller's width", (int64_t)shared.trapped_ax,
	       (int64_t)(word)LUV_ERR_NOENT);
}

static void check_step(void)
{
	struct registers r = {.ax = LUV_CALL_QUERY, .flags = FLAG_IF | FLAG_TF};
	u64 before = shared.exceptions;
	int result = issue(call_plain, call_plain_behind, &r);

	expect("a single step ends behind the call",
	       result == LUV_ABI_VERSION && shared.exceptions == before + 1 &&
		   shared.vector == 1 && shared.dr6 & DR6_BS &&
		   shared.ip == (word)call_plain_behind,
	       1);
}

static void check_shadow(void)
{
	struct registers r = {.ax = LUV_CALL_QUERY};
	int result;

	shared.ticks = 0;
	timer_pending();
	result = issue(call_after_sti, call_after_sti_behind, &r);
	timer_stop();
	expect("STI holds interrupts back until behind the call",
	       result == LUV_ABI_VERSION && shared.ticks &&
		   shared.first_ip == (word)call_after_sti_behind,
	       1);
}

/*
 * Also those of the CPU's other vendor, which are no instructions to it. At CPL 3 the privilege
 * may be checked first. Their operand is RAX, or memory there.
 */
static void check_illegal(void)
{
	static const uint8_t codes[][5] = {
	    {0x0f, 0x01, 0xd8, 0xc3},	    /* VMRUN */
	    {0x0f, 0x01, 0xda, 0xc3},	    /* VMLOAD */
	    {0x0f, 0x01, 0xdb, 0xc3},	    /* VMSAVE */
	    {0x0f, 0x01, 0xdc, 0xc3},	    /* STGI */
	    {0x0f, 0x01, 0xdd, 0xc3},	    /* CLGI */
	    {0x0f, 0x01, 0xde, 0xc3},	    /* SKINIT */
	    {0x0f, 0x01, 0xdf, 0xc3},	    /* INVLPGA */
	    {0x0f, 0x01, 0xc2, 0xc3},	    /* VMLAUNCH */
	    {0x0f, 0x01, 0xc3, 0xc3},	    /* VMRESUME */
	    {0x0f, 0x01, 0xc4, 0xc3},	    /* VMXOFF */
	    {0x0f, 0xc7, 0x30, 0xc3},	    /* VMPTRLD */
	    {0x0f, 0xc7, 0x38, 0xc3},	    /* VMPTRST */
	    {0xf3, 0x0f, 0xc7, 0x30, 0xc3}, /* VMXON */
	    {0x66, 0x0f, 0xc7, 0x30, 0xc3}, /* VMCLEAR */
	};
	u32 raised = 0;

	for (u32 i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		u32 length = codes[i][3] == 0xc3 ? 3 : 4;

		shared.vector = 0;
		shared.fixup = (word)&codes[i][length]; /* RET */
		__asm__ volatile("call *%1"
				 :
				 : "a"(frame_of(PAGE_TEST)), "r"(codes[i])
				 : "memory");
		shared.fixup = 0;
		if (shared.vector == VECTOR_UD || (shared.cpl && shared.vector == VECTOR_GP))
			raised |= 1u << i;
	}
	expect("virtualization instructions raise #UD", raised, (1u << 14) - 1);
}

/* --- memory --------------------------------------------------------------------------- */

static int log_read(int session, word structure, word buffer, void *at)
{
	struct luv_log_read *read = at;

	*read = (struct luv_log_read){.buffer = buffer, .size = 64};
	return call(LUV_CALL_LOG_READ, (word)session, structure, 0);
}

/* The log's first bytes, to the big page, by a structure in the big page. */
static void check_log(int session)
{
	word at = big() + BIG_SIZE - 0x1000;
	volatile char *text = (volatile char *)(BIG + BIG_SIZE - 0xf00);
	struct luv_log_read *arguments = (struct luv_log_read *)page(PAGE_ARGUMENTS);

	*text = 0;
	expect("a structure in a small page",
	       log_read(session, (word)arguments, (word)(arguments + 1), arguments), 0);
	expect("a structure and a buffer in a large page",
	       log_read(session, at, at + 0x100, (void *)at) == 0 && *text, 1);
	at = page(PAGE_ARGUMENTS);
	expect("a structure over two pages",
	       log_read(session, at + 0xff8, at, (void *)(at + 0xff8)), LUV_ERR_INVAL);
	expect("an odd structure", log_read(session, at + 4, at + 0x100, (void *)(at + 4)),
	       LUV_ERR_INVAL);
}

static void entry_write(u64 entry, u64 value)
{
	if (shared.entry_size == 4)
		*(volatile u32 *)(word)entry = (u32)value;
	else
		*(volatile u64 *)(word)entry = value;
	flush();
}

/* FAULT for a structure and for a buffer there, and PAGE_TEST's frame is as it was. */
static void refused(const char *name, int session, word at)
{
	struct luv_log_read *arguments = (struct luv_log_read *)page(PAGE_ARGUMENTS);
	struct luv_log_read *frame = frame_of(PAGE_TEST);
	int structure, buffer;

	structure = log_read(session, at, (word)(arguments + 1), frame);
	buffer = log_read(session, (word)arguments, at, arguments);
	expect(name,
	       structure == LUV_ERR_FAULT && buffer == LUV_ERR_FAULT && frame->size == 64 &&
		   !frame->got && !frame->position,
	       1);
}

static void touch(word at)
{
	__asm__ volatile("lock addb $0, %0" : "+m"(*(volatile uint8_t *)at));
}

static void check_rights(int session)
{
	static const struct {
		const char *name;
		u64 entry;
		bool touchable;
	} kinds[] = {
	    {"not present", PAGE_W | PAGE_U | PAGE_A | PAGE_D, false},
	    {"supervisor's", PAGE_P | PAGE_W | PAGE_A | PAGE_D, false},
	    {"read-only", PAGE_P | PAGE_U | PAGE_A | PAGE_D, false},
	    {"not dirty yet", PAGE_P | PAGE_W | PAGE_U | PAGE_A, true},
	    {"not accessed yet", PAGE_P | PAGE_W | PAGE_U | PAGE_D, true},
	    {"a reserved bit", PAGE_P | PAGE_W | PAGE_U | PAGE_A | PAGE_D | RESERVED_BIT,
	     false},
	};
	word at = page(PAGE_TEST);

	for (u32 i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].entry & RESERVED_BIT && shared.entry_size == 4)
			continue;
		entry_write(shared.test_entry, (word)frame_of(PAGE_TEST) | kinds[i].entry);
		refused(kinds[i].name, session, at);
		if (kinds[i].touchable) {
			touch(at);
			expect("and it is reached after a touch",
			       log_read(session, at, at + 0x100, frame_of(PAGE_TEST)), 0);
		}
	}
}

/* Pages and page tables where there is no RAM of this system's. */
static void check_places(int session)
{
	const struct {
		const char *page, *table;
		u64 at;
	} places[] = {
	    {"a page: the local APIC's", "a page table: the local APIC's", LOCAL_APIC},
	    {"a page: hidden memory", "a page table: hidden memory",
	     (u64)(u32)call(LUV_CALL_QUERY, LUV_QUERY_HIDDEN_BASE, 0, 0) << 12},
	    {"a page: no RAM", "a page table: no RAM", NO_RAM},
	};
	const u64 rights = PAGE_W | PAGE_U | PAGE_A;

	for (u32 i = 0; i < 3; i++) {
		if (shared.levels)
			entry_write(shared.test_entry, places[i].at | PAGE_P | PAGE_D | rights);
		refused(places[i].page, session,
			shared.levels ? page(PAGE_TEST) : (word)places[i].at);
		for (u32 level = 2; level <= shared.levels; level++) {
			bool pdpte = shared.levels == 3 && level == 3;

			if (shared.table_linear[level] != (word)shared.table_linear[level])
				continue;
			entry_write(shared.table_entry[level],
				    places[i].at | PAGE_P | (pdpte ? 0 : rights));
			refused(places[i].table, session, (word)shared.table_linear[level]);
			entry_write(shared.table_entry[level], 0);
		}
	}
}

static void check_memory(int session)
{
	check_log(session);
	if (shared.levels)
		check_rights(session);
	check_places(session);
	if (shared.levels)
		entry_write(shared.test_entry,
			    (word)frame_of(PAGE_TEST) | PAGE_P | PAGE_W | PAGE_U);
	expect("hidden memory was not touched",
	       call(LUV_CALL_QUERY, LUV_QUERY_HIDDEN_TOUCHES, 0, 0), 0);
}

/* --- all of it ------------------------------------------------------------------------ */

static void check_session(void)
{
	word key[3] = {(word)shared.key[0], (word)shared.key[1], (word)shared.key[2]};
	int session;

	expect("a wrong key", call(LUV_CALL_SESSION_OPEN, key[0], key[1] ^ 1, key[2]),
	       LUV_ERR_PERM);
	session = call(LUV_CALL_SESSION_OPEN, key[0], key[1], key[2]);
	if (!expect("the key of the ACPI table opens a session", shared.has_luvy && session > 0,
		    1))
		return;
	check_memory(session);
	check_guest(session);
	expect("the session is closed", call(LUV_CALL_SESSION_CLOSE, (word)session, 0, 0), 0);
}

static void checks(void)
{
	__asm__ volatile("sti" : : : "memory");
	check_cpuid();
	check_registers();
	check_width();
	check_step();
	check_shadow();
	check_illegal();
	check_session();
	__asm__ volatile("cli" : : : "memory");
}

void run_checks(void)
{
	if (!shared.is_amd) {
		call_plain_at[2] = 0xc1; /* VMCALL for VMMCALL */
		call_after_sti_at[2] = 0xc1;
	}
	shared.cpl = 3;
	enter_user(checks);
	shared.cpl = 0;
	checks();
}
