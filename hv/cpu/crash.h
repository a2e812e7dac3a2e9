/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of the hypervisor: one complete report, on every console and in memory that survives a
 * warm reset, then reboot or halt. Only our own bugs lead here, never anything that a guest, a client
 * or a firmware table can send.
 */
#ifndef CPU_CRASH_H
#define CPU_CRASH_H

#include "lib/types.h"

/* What fault.S pushes; exceptions in root mode. Lowest address first. */
struct fault_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error_code; /* error_code 0 where the CPU pushes none */
	u64 rip, cs, rflags, rsp, ss;
};

noreturn void crash(const char *format, ...) PRINTF(1, 2);
noreturn void crash_on_fault(const struct fault_frame *frame);

/* What only a bug of ours can break. */
#define ASSERT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			crash("assertion failed: %s (%s:%d)", #condition, __FILE__, __LINE__);     \
	} while (0)

#define CRASH_TEXT_MAX (20 * KIB)
#define CRASH_LOG_MAX  (8 * KIB) /* of it: the log's first lines; behind them the report has its place */

/* At a fixed place in our memory (boot/main.c), so that the next boot finds it. */
struct crash_record {
	u64 magic;
	u64 length;   /* of text, at most CRASH_TEXT_MAX */
	u64 checksum; /* of text: FNV-1a, 64 bits */
	char text[CRASH_TEXT_MAX];
};

/*
 * Names the surviving record: an intact one of the boot before is copied aside for
 * crash_previous(), and the record begins anew with this boot's log.
 */
void crash_use_record(struct crash_record *record);

/* A line for the record, at most LOG_LINE_MAX; the log's lock is held. */
void crash_keep_log(const char *text, size_t length);

/* The previous boot's log and report (not terminated) or NULL. */
const char *crash_previous(size_t *length);

/*
 * Called at the end of a report to add what upper layers know (the last exits of this CPU): it
 * prints lines through `print`. And what to do afterwards; must not return.
 */
struct crash_hooks {
	void (*describe)(void (*print)(const char *format, ...));
	u32 (*cpu_index)(void);
	void (*finish)(void);
};
void crash_set_hooks(const struct crash_hooks *hooks);

extern u64 crashed_cpu; /* atomic: names the first CPU that crashed; 0: none */

/* True once a CPU has crashed: the others stop at their next exit (exit/run.c). */
static inline bool crash_happened(void)
{
	return __atomic_load_n(&crashed_cpu, __ATOMIC_ACQUIRE) != 0;
}

#endif
