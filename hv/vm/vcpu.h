/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual CPU: what common code sees of it. The vendor's part (VMCB, VMCS) hangs below and is touched
 * by the vendor's files alone.
 *
 * Registers are a cache over the vendor's structure. After an exit gpr, rip, rflags, shadow and event are valid, and
 * written back by the next entry; the other groups are valid after vcpu_need(), and what common code changes of
 * them it marks in `dirty`, for the next entry to write back. dom0's vCPU never leaves its physical CPU, and only that CPU touches it; a
 * guest's belongs to the CPU that runs it (vm/guest.h).
 */
#ifndef VM_VCPU_H
#define VM_VCPU_H

#include "cpu/percpu.h"
#include "luvalley/calls.h"
#include "mem/nested.h"

enum gpr { /* the instruction encoding's numbers (APM 3 table 1-9) */
	GPR_RAX,
	GPR_RCX,
	GPR_RDX,
	GPR_RBX,
	GPR_RSP,
	GPR_RBP,
	GPR_RSI,
	GPR_RDI,
	GPR_COUNT = 16
};

struct segment {
	u16 selector;
	u16 attributes; /* descriptor bits 47:40 and 55:52 as bits 11:0 (APM 2 15.5.1) */
	u32 limit;
	u64 base;
};

#define SEGMENT_LONG	BIT(9)
#define SEGMENT_BIG	BIT(10)
#define SEGMENT_PRESENT BIT(7)
#define SEGMENT_CODE	0x9bu /* present, code, readable, accessed */
#define SEGMENT_DATA	0x93u /* present, data, writable, accessed */
#define SEGMENT_LDT	0x82u
#define SEGMENT_TSS	0x8bu
#define SEGMENT_FLAT32	0xc00u /* 32-bit, 4 KiB granular */

enum segment_name {
	SEG_ES,
	SEG_CS,
	SEG_SS,
	SEG_DS,
	SEG_FS,
	SEG_GS,
	SEG_LDTR,
	SEG_TR,
	SEG_COUNT
};

struct vcpu_control {
	u64 cr0, cr2, cr3, cr4, efer;
	u64 dr6, dr7;
	u8 tpr; /* guests only: CR8 is its bits 7:4; always valid */
	u8 cpl;
};

struct vcpu_segments {
	struct segment seg[SEG_COUNT];
	u64 gdt_base, idt_base;
	u32 gdt_limit, idt_limit;
};

struct vcpu_msrs {
	u64 syscall[4]; /* STAR, LSTAR, CSTAR, SFMASK: by LUV_MSR_. VT-x: always valid, because their writes exit */
	u64 kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 pat; /* guests only */
};

/* Groups of registers. */
#define VCPU_CONTROL	BIT(0)
#define VCPU_SEGMENTS	BIT(1)
#define VCPU_MSRS	BIT(2)
#define VCPU_INTERCEPTS BIT(3) /* dirty only: guests' window and exceptions */
#define VCPU_FLUSH	BIT(4) /* dirty only: what the CPU caches of the guest is void, the TLB included */
/* Of VCPU_CONTROL cr3 and cr4, which AMD-V has at hand after each exit; dom0's cr3 is valid after each LUV_EXIT_CALL. */
#define VCPU_NEAR	BIT(5)

struct vcpu_exit {
	u32 reason; /* enum luv_exit */
	u64 code;   /* the vendor's, for diagnosis only */
	u64 info;   /* the vendor's qualification, for diagnosis only */
	u8 length;  /* of the instruction; 0: the CPU does not say */
	union {
		struct {
			u32 index;
			bool write;
		} msr;
		struct {
			gpa_t at;
			bool write, exec;
			bool present;	/* rights were missing, not the page */
			bool page_walk; /* at is one of the guest's own page tables */
			u8 fetched;	/* bytes of the instruction that the CPU reports */
			u8 bytes[15];
		} memory;
		u8 startup_vector;
		struct {
			u16 port;
			u8 size; /* 1, 2, 4 */
			bool in, string, rep;
			u8 segment;	 /* enum segment_name; string forms */
			u8 address_size; /* 2, 4, 8, or 0: the CPU does not say; string forms */
		} io;
		struct {
			u8 vector;
			bool has_error;
			u32 error;
			u64 address; /* #PF */
		} exception;
	};
};

/*
 * An event is a word as EVENTINJ (APM 2 15.20): the vector in bits 7:0, the error code in 63:32, 0: none. VT-x's is the
 * same but for the error code's place (SDM 3C 25.8.3), and struct luv_inject's as well.
 */
#define EVENT_INTERRUPT	     (0ull << 8)
#define EVENT_NMI	     (2ull << 8)
#define EVENT_EXCEPTION	     (3ull << 8)
#define EVENT_SOFTWARE	     (4ull << 8) /* and those from here on */
#define EVENT_TYPE_OF(event) ((event) & 7ull << 8)
#define EVENT_ERROR_VALID    BIT(11)
#define EVENT_VALID	     BIT(31)

#define CODE_PAGES 8

/*
 * Where a page of code lies that long mode fetched from, and what made it so: while CR3, CR4 (LA57), the entries of the
 * page tables and what is mapped are the same, a walk would end there again. That it may be executed nobody asks:
 * the CPU has just done so.
 */
struct code_page {
	u64 page; /* linear */
	u64 cr3, cr4;
	const u8 *code; /* NULL: none is known */
	struct code_entry {
		const u64 *at; /* NULL, from entry[4] on: no more */
		u64 value;
	} entry[6];
};
ASSERT_SIZE(struct code_page, 128);

struct exit_policy;
struct guest;
struct virt_ops;

struct vcpu {
	u64 gpr[GPR_COUNT]; /* offset 0: assembly knows it */
	u64 rip, rflags;
	u64 event; /* for the next entry; after an exit: the one whose delivery it interrupted */
	struct vcpu_exit exit;
	u32 valid, dirty;
	bool shadow; /* of STI or MOV SS: interrupts are held back */
	bool code64; /* after an exit: it ran in 64-bit mode (CS.L) */
	bool active; /* its FS, GS, LDTR, TR and system call MSRs are in this CPU's registers */
	bool debug_live;  /* its dr and dr6 are (world_load_debug) */
	bool debug_armed; /* a guest's, while they are not: its DR7 enables some */
	struct vcpu_control control;
	struct vcpu_segments segments;
	struct vcpu_msrs msrs;
	struct cpu *cpu;		  /* where it runs, or ran last; immutable for dom0 */
	const struct exit_policy *policy; /* immutable */
	const struct virt_ops *ops;	  /* immutable */
	struct nested *nested;		  /* immutable */
	struct guest *guest;		  /* immutable; NULL for dom0 */
	u64 exits[LUV_EXIT_COUNT];
	void *vendor;			  /* the vendor's page(s) */
	u64 dr[4], dr6; /* what neither vendor's entry and exit switch, and VT-x' DR6; while they are not live */
	struct code_page code[CODE_PAGES] ALIGNED(64); /* by the address's low bits (exit/access.c) */
};
_Static_assert(sizeof(struct vcpu) <= PAGE_SIZE, "a struct vcpu is one page");
ASSERT_OFFSET(struct vcpu, gpr, 0);

/* Makes the groups of registers readable. */
void vcpu_load(struct vcpu *vcpu, u32 groups);
static inline void vcpu_need(struct vcpu *vcpu, u32 groups)
{
	if (groups & ~vcpu->valid)
		vcpu_load(vcpu, groups & ~vcpu->valid);
}

/* Raises an exception in the guest at its next entry, on the instruction at rip. */
void vcpu_raise(struct vcpu *vcpu, u8 vector, bool has_error, u32 error);

/* A write to STAR, LSTAR, CSTAR or SFMASK that exited; false: #GP. */
bool vcpu_write_syscall_msr(struct vcpu *vcpu, u32 msr, u64 value);

/* The state of a CPU after RESET, but for the registers that INIT keeps (APM 2 table 14-1). */
void vcpu_reset(struct vcpu *vcpu);

/* The same after INIT, which keeps CR0.CD and NW, too. */
void vcpu_init(struct vcpu *vcpu);

/* After vcpu_reset: 32-bit protected mode without paging, CS 10h and the others 18h, flat. */
void vcpu_start_flat(struct vcpu *vcpu, u64 entry);

/* After vcpu_init: the state after a STARTUP IPI (APM 2 14.1.3): CS:IP = vector * 100h : 0. */
void vcpu_start_at(struct vcpu *vcpu, u8 vector);

#endif
