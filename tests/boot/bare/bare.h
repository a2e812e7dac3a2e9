/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A dom0 of a few kilobytes that calls Luvalley under every kind of page tables. Its C is built
 * twice, as 32- and as 64-bit code; both share what is below, so it holds u64 fields only.
 *
 *   boot.S    sector 0: loads the rest, protected mode
 *   main.c    32 bits: page tables, modes, firmware tables, the end
 *   trap.c    exceptions and the timer                              } built twice
 *   entry.S   traps, user mode, the call instruction                }
 *   checks.c  what is checked in each mode, at CPL 3 and at CPL 0   }
 *   guest.c   a guest of a client in each mode                      }
 *
 * User mode may do nearly everything: all memory is its own, the page tables too, and IOPL
 * is 3.
 */
#ifndef BARE_H
#define BARE_H

/* Physical memory; bare.lds places code, data and stacks below 30000h. */
#define TABLES	   0x100000 /* page tables */
#define WINDOW	   0x200000 /* small pages of the client, enum window_page */
#define BIG	   0x400000 /* a page of 2 or 4 MiB */
#define BIG_SIZE   0x200000
#define NO_RAM	   0xd0000000u
#define LOCAL_APIC 0xfee00000u
#define LINEAR	   0x40000000 /* linear address of the window under paging, */
#define LINEAR_BIG 0x40400000 /* and of the big page */

/* Selectors. */
#define KERNEL_CODE_32 0x08
#define KERNEL_DATA    0x10
#define USER_CODE_32   0x1b
#define USER_DATA      0x23
#define KERNEL_CODE_64 0x28
#define USER_CODE_64   0x33
#define TASK	       0x38

#define VECTOR_TIMER   0x20
#define VECTOR_LEAVE   0x30 /* ends enter_user */
#define VECTOR_FLUSH   0x31 /* reloads CR3; notes RAX as the trap found it */
#define VECTORS	       0x32

#define FLAG_CF	       0x001
#define FLAG_TF	       0x100
#define FLAG_IF	       0x200

#define STACK_SIZE     8192

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stdint.h>

typedef uint32_t u32;
typedef uint64_t u64;
typedef uintptr_t word;

#define LEVELS_MAX 5

#define PAGE_P	   0x01
#define PAGE_W	   0x02
#define PAGE_U	   0x04
#define PAGE_A	   0x20
#define PAGE_D	   0x40
#define PAGE_S	   0x80

enum window_page {
	PAGE_VCPU,
	PAGE_FPU,
	PAGE_OWNER,
	PAGE_ROM,
	PAGE_CPUID,
	PAGE_ARGUMENTS,
	PAGE_TEST, /* its entry is changed by checks */
	WINDOW_PAGES
};

struct shared {
	u64 kernel_stack; /* first: entry.S; where enter_user goes on */
	u64 mode;	  /* its name */
	u64 cpl, is_amd, tests;
	/* The last exception, and where to go on after it (0: it is not expected). */
	u64 vector, ip, dr6, exceptions, fixup;
	u64 trapped_ax; /* VECTOR_FLUSH */
	/* The timer. */
	u64 ticks, first_ip, tick_ip, tick_ax, tick_di;
	u64 stop_byte; /* a vCPU's; set by this tick (0: none), or a later one, once the word is
			  not 0 */
	u64 stop_after, watched;
	/* Memory; linear addresses. */
	u64 window, big, high; /* `high` is added in 64-bit code */
	u64 levels, entry_size, root, next_table;
	u64 test_entry;			  /* PAGE_TEST's */
	u64 table_entry[LEVELS_MAX + 1];  /* an unused one at each level from 2 on, */
	u64 table_linear[LEVELS_MAX + 1]; /* and an address that it translates */
	u64 has_luvy, key[3];		  /* of ACPI's LUVY */
	u64 pm1a_control;		  /* I/O port; 0: unknown */
};

extern struct shared shared; /* bare.lds */

struct registers { /* entry.S */
	word ax, bx, cx, dx, si, di, bp, flags;
#ifdef __x86_64__
	word r[8];
#endif
};

struct frame { /* what entry.S pushes, lowest address first */
#ifdef __x86_64__
	word r[8];
#endif
	word di, si, bp, sp, bx, dx, cx, ax;
	word vector, error, ip, cs, flags;
};

/* entry.S. Executes the call instruction with these registers and flags, and stores them
 * afterwards. */
void call_plain(struct registers *registers);
void call_after_sti(struct registers *registers); /* STI directly before it */
extern uint8_t call_plain_at[], call_plain_behind[], call_after_sti_at[],
    call_after_sti_behind[];
void enter_user(void (*function)(void));
extern const uint8_t trap_stubs[]; /* 16 bytes each */

/* trap.c */
void trap(struct frame *frame);
void print_start(void);
void print(const char *text);
void power_off(void);

/* checks.c */
void run_checks(void);
bool expect(const char *name, int64_t got, int64_t wanted);
int issue(void (*how)(struct registers *), const uint8_t *behind, struct registers *registers);
int call(u32 number, word a, word b, word c);
word page(enum window_page number);
word big(void);
void *frame_of(enum window_page number); /* the same memory at its physical address */
void timer_start(void);
void timer_stop(void);
void timer_pending(void);
#define NO_ANSWER (-1000) /* the call instruction raised an exception */

/* guest.c */
void check_guest(int session);

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "d"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "d"(port));
	return value;
}

static inline void cpuid(u32 leaf, u32 r[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			 : "a"(leaf), "c"(0));
}

#endif
#endif
