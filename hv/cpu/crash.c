/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu/crash.h"

#include "cpu/console.h"
#include "cpu/log.h"
#include "cpu/symbols.h"
#include "cpu/x86.h"
#include "lib/layout.h"
#include "lib/printf.h"
#include "lib/string.h"

#define RECORD_MAGIC 0x314853524356554cull /* LUVCRSH1 */

/* FNV-1a, 64 bits. */
#define FNV_BASIS     0xcbf29ce484222325ull
#define FNV_PRIME     0x100000001b3ull

#define TRACE_MAX     32
#define RIP_BYTES     16
#define LEAF_TOPOLOGY 0xbu

extern const char hv_version[];			/* boot/version.c */
extern const u8 boot_stack[], boot_stack_top[]; /* boot/entry.S */
extern const u8 text_end[];			/* luvalley.lds */

static struct crash_record *record;
static struct crash_hooks hooks;
static char previous[CRASH_TEXT_MAX];
static size_t previous_length;

u64 crashed_cpu; /* cpu_key() */
static u32 depth;	/* how often that CPU has crashed; only it looks */
static char line[LOG_LINE_MAX];

static const char *const vector_names[] = {
    [0] = "#DE divide error",
    [1] = "#DB debug",
    [2] = "NMI",
    [3] = "#BP breakpoint",
    [4] = "#OF overflow",
    [5] = "#BR bound range",
    [6] = "#UD invalid opcode",
    [7] = "#NM device not available",
    [8] = "#DF double fault",
    [10] = "#TS invalid TSS",
    [11] = "#NP segment not present",
    [12] = "#SS stack",
    [13] = "#GP general protection",
    [14] = "#PF page fault",
    [16] = "#MF x87 floating point",
    [17] = "#AC alignment check",
    [18] = "#MC machine check",
    [19] = "#XF SIMD floating point",
    [21] = "#CP control protection",
    [28] = "#HV hypervisor injection",
    [29] = "#VC VMM communication",
    [30] = "#SX security",
};

static u64 fnv1a(u64 hash, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (u8)text[i]) * FNV_PRIME;
	return hash;
}

static bool record_is_intact(const struct crash_record *r)
{
	return r->magic == RECORD_MAGIC && r->length <= CRASH_TEXT_MAX &&
	       r->checksum == fnv1a(FNV_BASIS, r->text, r->length);
}

/* A reset drops the caches without writing them back (APM 2 14.1.3). */
static void record_flush(u64 from)
{
	u64 end = (u64)record->text + record->length;

	for (u64 at = align_down((u64)record->text + from, 64); at < end; at += 64)
		clflush((const void *)at);
	clflush(record);
}

/* The record is whole again after every line, so an interrupted report survives as well. */
static void record_append(const char *text, size_t length)
{
	/* The bound once more: whatever crashed us may have written over the record. */
	if (!record || record->length > CRASH_TEXT_MAX)
		return;
	length = min_u64(length, CRASH_TEXT_MAX - record->length);
	memcpy(record->text + record->length, text, length);
	record->checksum = fnv1a(record->checksum, text, length);
	record->length += length;
	record_flush(record->length - length);
}

void crash_keep_log(const char *text, size_t length)
{
	if (record && record->length <= CRASH_LOG_MAX - length)
		record_append(text, length);
}

static void record_clear(void)
{
	record->magic = RECORD_MAGIC;
	record->length = 0;
	record->checksum = FNV_BASIS;
}

void crash_use_record(struct crash_record *where)
{
	u64 lost;

	if (record_is_intact(where)) {
		previous_length = where->length;
		memcpy(previous, where->text, previous_length);
	}
	record = where;
	record_clear();
	/* What was logged before there was a record. */
	crash_keep_log(line, log_read(0, line, sizeof(line), &lost));
}

const char *crash_previous(size_t *length)
{
	*length = previous_length;
	return previous_length ? previous : NULL;
}

void crash_set_hooks(const struct crash_hooks *new_hooks)
{
	hooks = *new_hooks;
}

static void print_args(const char *format, va_list args)
{
	int wanted = hv_vsnprintf(line, sizeof(line) - 1, format, args);
	size_t length = wanted < 0 ? 0 : min_u64((u64)wanted, sizeof(line) - 2);

	line[length++] = '\n';
	record_append(line, length);
	console_write(line, length);
}

static void PRINTF(1, 2) print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_args(format, args);
	va_end(args);
}

noreturn static void stop(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" : : : "memory");
}

noreturn static void finish(void)
{
	if (hooks.finish)
		hooks.finish();
	stop();
}

/* Which CPU this is, without our per-CPU data, which may be what broke. Never 0. */
static u64 cpu_key(void)
{
	u64 key = BIT(63) | cpuid(1, 0).ebx >> 24;

	/* The local APIC ID has 8 bits in leaf 1, 32 in the topology leaf (APM 3, E.3). */
	if (cpuid(0, 0).eax >= LEAF_TOPOLOGY)
		key |= (u64)cpuid(LEAF_TOPOLOGY, 0).edx << 8;
	return key;
}

/*
 * Comes back on the first CPU that crashes, 1 the first time. Another CPU stops here; a crash
 * in the report itself comes back with 2, and one on the way out stops.
 */
static u32 claim_report(void)
{
	u64 key = cpu_key(), expected = 0;

	if (!__atomic_compare_exchange_n(&crashed_cpu, &expected, key, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE) &&
	    expected != key)
		stop();
	if (++depth > 2)
		stop();
	return depth;
}

static void begin_report(void)
{
	if (record && !record_is_intact(record))
		record_clear();
	console_reclaim();
	if (hooks.cpu_index)
		print("luvalley: CRASH of version %s on CPU %u", hv_version, hooks.cpu_index());
	else
		print("luvalley: CRASH of version %s while starting", hv_version);
}

noreturn static void end_report(void)
{
	if (hooks.describe)
		hooks.describe(print);
	print("luvalley: end of crash report");
	finish();
}

static void print_address(const char *what, u64 address)
{
	char name[SYMBOL_NAME_SIZE];
	u64 offset;

	if (symbol_find(address, name, &offset))
		print("%s%016lx %s+0x%lx", what, address, name, offset);
	else
		print("%s%016lx", what, address);
}

static bool stack_of(u64 rsp, u64 *low, u64 *high)
{
	if (rsp >= (u64)boot_stack && rsp <= (u64)boot_stack_top) {
		*low = (u64)boot_stack;
		*high = (u64)boot_stack_top;
		return true;
	}
	if (!range_within(rsp, 1, CPU_SLOTS, (u64)CPU_MAX * CPU_SLOT_SIZE))
		return false;
	*high = align_down(rsp, CPU_SLOT_SIZE) + CPU_SLOT_SIZE;
	*low = *high - CPU_STACK_SIZE;
	return true;
}

/* A frame is the caller's RBP and the return address. Nothing on the stack is believed. */
static void print_trace(u64 rsp, u64 frame)
{
	char name[SYMBOL_NAME_SIZE];
	u64 low, high, offset;

	if (!stack_of(rsp, &low, &high)) {
		print("call trace: none, RSP is in no stack of ours");
		return;
	}
	print("call trace:");
	for (u32 i = 0; i < TRACE_MAX; i++) {
		const u64 *at = (const u64 *)frame;

		if (frame % 8 || !range_within(frame, 16, low, high - low))
			return;
		/* The call itself: one that does not return may end its function. */
		if (!symbol_find(at[1] - 1, name, &offset))
			return;
		print("  %016lx %s+0x%lx", at[1], name, offset + 1);
		low = frame + 16;
		frame = at[0];
	}
}

static void print_control_registers(void)
{
	print("cr0 %08lx cr2 %016lx cr3 %016lx cr4 %08lx", read_cr0(), read_cr2(), read_cr3(),
	      read_cr4());
}

void crash(const char *format, ...)
{
	u64 frame = (u64)__builtin_frame_address(0);
	u64 from = (u64)__builtin_return_address(0);
	va_list args;

	if (claim_report() > 1) {
		print("luvalley: crash in the crash report, from %016lx", from);
		finish();
	}
	begin_report();
	va_start(args, format);
	print_args(format, args);
	va_end(args);
	print("rsp %016lx rbp %016lx", frame + 16, *(const u64 *)frame);
	print_control_registers();
	print_trace(frame, frame);
	end_report();
}

static void print_page_fault(u64 error_code)
{
	print("%s of %016lx, %s",
	      error_code & BIT(4)   ? "execution"
	      : error_code & BIT(1) ? "write"
				    : "read",
	      read_cr2(), error_code & BIT(0) ? "not permitted" : "page not present");
}

static void print_registers(const struct fault_frame *f)
{
	print("rax %016lx rbx %016lx rcx %016lx", f->rax, f->rbx, f->rcx);
	print("rdx %016lx rsi %016lx rdi %016lx", f->rdx, f->rsi, f->rdi);
	print("rbp %016lx rsp %016lx r8  %016lx", f->rbp, f->rsp, f->r8);
	print("r9  %016lx r10 %016lx r11 %016lx", f->r9, f->r10, f->r11);
	print("r12 %016lx r13 %016lx r14 %016lx", f->r12, f->r13, f->r14);
	print("r15 %016lx rip %016lx rflags %08lx", f->r15, f->rip, f->rflags);
	print("cs %04lx ss %04lx", f->cs, f->ss);
}

static void print_code(u64 rip)
{
	char text[RIP_BYTES * 3 + 1] = "";
	u64 count = min_u64(RIP_BYTES, (u64)text_end - rip);

	for (u64 i = 0; i < count; i++)
		hv_snprintf(text + i * 3, 4, " %02x", ((const u8 *)rip)[i]);
	print("code at rip:%s", text);
}

void crash_on_fault(const struct fault_frame *frame)
{
	const char *name = NULL;

	if (frame->vector < ARRAY_SIZE(vector_names))
		name = vector_names[frame->vector];
	if (!name)
		name = "unexpected interrupt";
	if (claim_report() > 1) {
		print("luvalley: crash in the crash report: %s at %016lx", name, frame->rip);
		finish();
	}
	begin_report();
	print("%s (vector %lu, error code %lx)", name, frame->vector, frame->error_code);
	if (frame->vector == VECTOR_PF)
		print_page_fault(frame->error_code);
	print_address("at ", frame->rip);
	print_registers(frame);
	print_control_registers();
	if (symbol_is_code(frame->rip))
		print_code(frame->rip);
	print_trace(frame->rsp, frame->rbp);
	end_report();
}
