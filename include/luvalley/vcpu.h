/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual machines: the structures that a client and the hypervisor share. docs/calls.md is the
 * reference; this header is what it describes.
 *
 * A vCPU has two pages in its client's memory: struct luv_vcpu_page, and the FPU's XSAVE area. Both stay
 * pinned for the vCPU's life: the hypervisor writes to them by physical address. Only during a call on
 * that vCPU does it touch them, but for `signal` and the stop byte, which it reads during RUN.
 */
#ifndef LUVALLEY_VCPU_H
#define LUVALLEY_VCPU_H

#include <stdint.h>

#include "luvalley/calls.h"

#define LUV_PAGE_SIZE	   4096u
#define LUV_VMS_MAX	   256u
#define LUV_VCPUS_MAX	   64u /* of one VM */
#define LUV_SLOTS_MAX	   100u
#define LUV_CPUID_MAX	   128u
#define LUV_GPA_BITS	   48u
#define LUV_XSAVE_SIZE_MAX 4096u

/* Groups of registers: bits of wanted, valid and dirty. */
#define LUV_GROUP_GENERAL  (1ull << 0) /* general, rip, rflags */
#define LUV_GROUP_CONTROL  (1ull << 1) /* cr0-cr8, efer, xcr0 */
#define LUV_GROUP_SEGMENTS (1ull << 2) /* segments, gdtr, idtr */
#define LUV_GROUP_DEBUG	   (1ull << 3) /* dr0-dr7 */
#define LUV_GROUP_MSRS	   (1ull << 4) /* msr */
#define LUV_GROUP_EVENTS   (1ull << 5) /* events */
#define LUV_GROUP_FPU	   (1ull << 6) /* the second page */
#define LUV_GROUP_DEADLINE (1ull << 7) /* tsc_deadline (LUV_VM_LAPIC) */
#define LUV_GROUPS_ALL	   0xffull
#define LUV_GROUP_RIP	   (1ull << 8) /* dirty only: rip and rflags; the interrupt shadow ends */

enum luv_general { /* the instruction encoding's order */
	LUV_RAX,
	LUV_RCX,
	LUV_RDX,
	LUV_RBX,
	LUV_RSP,
	LUV_RBP,
	LUV_RSI,
	LUV_RDI,
	LUV_R8,
	LUV_R9,
	LUV_R10,
	LUV_R11,
	LUV_R12,
	LUV_R13,
	LUV_R14,
	LUV_R15,
	LUV_GENERAL_COUNT
};

enum luv_segment_name { LUV_ES, LUV_CS, LUV_SS, LUV_DS, LUV_FS, LUV_GS, LUV_LDTR, LUV_TR, LUV_SEGMENT_COUNT };

struct luv_segment {
	uint64_t base;
	uint64_t limit; /* in bytes */
	uint64_t selector;
	uint64_t attributes; /* type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11 */
};

enum luv_msr_name { /* the MSRs that the hardware switches; the others by LUV_RUN_MSR */
	LUV_MSR_STAR,
	LUV_MSR_LSTAR,
	LUV_MSR_CSTAR,
	LUV_MSR_SFMASK,
	LUV_MSR_KERNEL_GS_BASE,
	LUV_MSR_SYSENTER_CS,
	LUV_MSR_SYSENTER_ESP,
	LUV_MSR_SYSENTER_EIP,
	LUV_MSR_PAT,
	LUV_MSR_TSC_AUX,
	LUV_MSR_TSC_OFFSET, /* guest's TSC = TSC + this */
	LUV_MSR_APIC_BASE,
	LUV_MSR_COUNT
};

/* What the CPU owes the guest or holds back. */
struct luv_events {
	uint64_t shadow;      /* 1: interrupts are held back for one instruction (STI, MOV SS) */
	uint64_t nmi_blocked; /* 1: until IRET */
	uint64_t nmi_pending; /* 1: to be delivered when not blocked */
	uint64_t pending;     /* an event whose delivery was interrupted: struct luv_inject's first word */
	uint64_t pending_error;
	uint64_t mp_state; /* LUV_MP_ */
};

#define LUV_MP_RUNNABLE	 0u
#define LUV_MP_WAIT_SIPI 1u /* after INIT; needs LUV_VM_LAPIC */
#define LUV_MP_HALTED	 2u /* after HLT with LUV_VM_LAPIC */

/* inject.event: 0: nothing; else LUV_INJECT_VALID | type << 8 | vector. Consumed by RUN. */
#define LUV_INJECT_VALID     (1ull << 31)
#define LUV_INJECT_ERROR     (1ull << 11) /* with inject.error as error code */
#define LUV_INJECT_INTERRUPT (0ull << 8)
#define LUV_INJECT_NMI	     (2ull << 8)
#define LUV_INJECT_EXCEPTION (3ull << 8)

struct luv_inject {
	uint64_t event;
	uint64_t error;
};

/* Why RUN ended, in exit.reason. */
enum luv_run {
	LUV_RUN_NOTHING = 0,	   /* no record: RUN returned an error */
	LUV_RUN_IO = 1,		   /* io */
	LUV_RUN_MMIO = 2,	   /* mmio: an address in no slot, or a write to a read-only one */
	LUV_RUN_HLT = 3,	   /* HLT; with LUV_VM_LAPIC: nothing to do until kicked (events.mp_state) */
	LUV_RUN_SHUTDOWN = 4,	   /* triple fault */
	LUV_RUN_INTERRUPT_WINDOW = 5, /* the guest can take an interrupt now */
	LUV_RUN_NMI_WINDOW = 6,
	LUV_RUN_EXCEPTION = 7,	   /* exception: one of debug.exceptions, or a debug event */
	LUV_RUN_RDMSR = 8,	   /* msr: an MSR the hypervisor does not know */
	LUV_RUN_WRMSR = 9,
	LUV_RUN_CALL = 10,	   /* the guest executed VMMCALL or VMCALL */
	LUV_RUN_FAULT_IN = 11,	   /* fault_in: touch this address of yours, pin it, and run again */
	LUV_RUN_WALK = 12,	   /* mmio: a page walk of the guest hit such an address: stopped */
	LUV_RUN_APIC = 13,	   /* apic: something for the client to do (LUV_VM_LAPIC) */
	LUV_RUN_ENTRY_FAILED = 14, /* unknown.code: the CPU refuses this state */
	LUV_RUN_UNKNOWN = 15,	   /* unknown: an exit that nobody expected */
	LUV_RUN_NO_MEMORY = 16,	   /* the hypervisor's pool is exhausted: end a VM, then run again */
	LUV_RUN_CR8 = 17,	   /* the guest wrote CR8 (LUV_REQUEST_CR8); RIP is behind it */
	LUV_RUN_PIN = 18,	   /* pin: the guest needs memory of a LUV_SLOT_LAZY slot: pin it, say so, run again */
	LUV_RUN_COUNT
};

struct luv_exit_record {
	uint64_t reason;	     /* enum luv_run */
	uint64_t instruction_length; /* 0: unknown; RIP is still on the instruction unless said else */
	union {
		uint64_t word[14];
		struct {
			uint64_t port;
			uint64_t size;	/* 1, 2, 4 */
			uint64_t flags; /* LUV_IO_ */
			/*
			 * OUT: what was written; RIP is behind it. IN: the client puts the value
			 * here, and the next RUN finishes the instruction. String forms: neither;
			 * the client moves the data and steps RIP, RCX, RSI, RDI.
			 */
			uint64_t data;
			uint64_t segment; /* string forms: enum luv_segment_name of the memory side */
			uint64_t address_bits; /* string forms: 16, 32, 64 */
		} io;
		struct {
			uint64_t gpa;
			uint64_t write;	      /* 1: a write */
			uint64_t byte_count;  /* of bytes */
			uint8_t bytes[16];    /* the instruction, as far as it could be read */
			uint64_t flags;	      /* LUV_MMIO_ */
		} mmio;
		struct {
			uint64_t vector;
			uint64_t error;
			uint64_t has_error;
			uint64_t dr6; /* vector 1 */
			uint64_t address; /* vector 14: CR2 */
		} exception;
		struct {
			uint64_t index;
			/*
			 * WRMSR: the value. RDMSR: the client puts it here. Either way it sets `refuse`
			 * to 1 for #GP; the next RUN finishes the instruction.
			 */
			uint64_t value;
			uint64_t refuse;
		} msr;
		struct {
			uint64_t address;
			uint64_t write;
		} fault_in;
		struct {
			uint64_t kind;	/* LUV_APIC_ */
			uint64_t value; /* EOI: the vector. TIMER: the TSC deadline (guest's), 0: stop. KICK: bits of the vCPUs */
			uint64_t halted; /* TIMER, 1: the next RUN will say HLT, and while the guest runs the CPU times it */
		} apic;
		struct {
			uint64_t address; /* of the client's, page aligned */
			/*
			 * The client puts here what is pinned around it: from `begin` to below `end`. It holds
			 * for this vCPU, as far as the slot goes, until a slot of the VM is changed or removed.
			 */
			uint64_t begin, end;
		} pin;
		struct {
			uint64_t code, info_1, info_2;
		} unknown;
	};
};
_Static_assert(sizeof(struct luv_exit_record) == 128, "struct luv_exit_record");

#define LUV_IO_IN     (1ull << 0)
#define LUV_IO_STRING (1ull << 1)
#define LUV_IO_REP    (1ull << 2)

#define LUV_MMIO_CODE64	    (1ull << 0) /* the instruction is of 64-bit code */
#define LUV_MMIO_DELIVERING (1ull << 1) /* the CPU was delivering an event: it is no access of the instruction's */

#define LUV_APIC_EOI   0u /* of a vector that luv_lapic marks for broadcast */
#define LUV_APIC_TIMER 1u
#define LUV_APIC_KICK  2u /* these vCPUs have something to do: make them leave RUN or start it */

struct luv_vcpu_page {
	/* Client to hypervisor. */
	uint64_t signal;  /* RUN ends with LUV_ERR_INTR while it is not 0 */
	uint64_t wanted;  /* groups to copy out when RUN returns; bits 63:32: those that MMIO and WALK need besides */
	uint64_t dirty;	  /* groups to take over when RUN begins; the hypervisor clears them */
	uint64_t request; /* LUV_REQUEST_ */
	struct luv_inject inject;
	/* Hypervisor to client. */
	uint64_t valid; /* groups that hold what the vCPU holds */
	uint64_t ready; /* after RUN: LUV_READY_ in bits 3:0, CR8 in 7:4, APIC_BASE's bits 63:8 */
	uint64_t tsc_offset; /* after RUN: LUV_MSR_TSC_OFFSET, wanted or not */
	uint64_t reserved_48[7];
	struct luv_exit_record exit; /* offset 128 */
	/* Both ways. */
	uint64_t general[LUV_GENERAL_COUNT]; /* offset 256 */
	uint64_t rip, rflags;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, xcr0;
	struct luv_segment segment[LUV_SEGMENT_COUNT];
	uint64_t gdt_base, gdt_limit, idt_base, idt_limit;
	uint64_t dr[8]; /* 4 and 5 are not used */
	uint64_t msr[LUV_MSR_COUNT];
	struct luv_events events;
	/* Guest debugging. */
	uint64_t debug_flags;	   /* LUV_DEBUG_ */
	uint64_t debug_exceptions; /* bit n: exception n ends RUN instead of reaching the guest */
	uint64_t tsc_deadline; /* of the local APIC's timer; 0: none, or it has passed */
};
_Static_assert(sizeof(struct luv_vcpu_page) <= LUV_PAGE_SIZE, "struct luv_vcpu_page");
_Static_assert(__builtin_offsetof(struct luv_vcpu_page, exit) == 128, "luv_vcpu_page.exit");
_Static_assert(__builtin_offsetof(struct luv_vcpu_page, general) == 256, "luv_vcpu_page.general");

#define LUV_REQUEST_INTERRUPT_WINDOW (1ull << 0)
#define LUV_REQUEST_NMI_WINDOW	     (1ull << 1)
#define LUV_REQUEST_CR8		     (1ull << 2) /* without LUV_VM_LAPIC: writes of CR8 end RUN */

#define LUV_READY_INTERRUPT (1ull << 0) /* an interrupt injected now is delivered at once */
#define LUV_READY_NMI	    (1ull << 1)
#define LUV_READY_IF	    (1ull << 2) /* RFLAGS.IF */
#define LUV_READY_EXTINT    (1ull << 3) /* LUV_VM_LAPIC: LINT0 takes the interrupts of a PIC */

#define LUV_READY_CR8(ready)	   ((ready) >> 4 & 15)
#define LUV_READY_APIC_BASE(ready) ((ready) & ~0xffull)

#define LUV_WANTED_MMIO(groups) ((groups) << 32)

#define LUV_DEBUG_SINGLE_STEP (1ull << 0) /* RUN ends (vector 1) after one instruction */

/* --- arguments of the calls; all in the caller's memory, 8-byte aligned, within a page ---------- */

/* LUV_CALL_VM_CREATE. */
struct luv_vm_create {
	uint64_t flags;	     /* LUV_VM_ */
	uint64_t owner_page; /* a pinned page of the client, page aligned: how the hypervisor knows that it lives; VMs may share it */
	uint64_t tsc_khz; /* the guest's TSC frequency, for the local APICs' timers (1 GHz bus clock); 0: 1000000 */
};
#define LUV_VM_LAPIC 1u /* the hypervisor keeps the local APICs */

/* LUV_CALL_SLOT_SET: size 0 removes the slot. */
struct luv_slot {
	uint64_t slot; /* 0 to LUV_SLOTS_MAX - 1 */
	uint64_t flags;
	uint64_t gpa, size; /* page aligned; below 2^LUV_GPA_BITS */
	uint64_t address;   /* in the client's address space, page aligned; pinned by it */
};
#define LUV_SLOT_READ_ONLY (1ull << 0)
#define LUV_SLOT_LOG_DIRTY (1ull << 1)
#define LUV_SLOT_LAZY	   (1ull << 2) /* not pinned yet: RUN asks for what the guest touches (LUV_RUN_PIN) */

/* LUV_CALL_DIRTY_READ: the dirty bits of some pages of a slot, cleared as they are read. */
struct luv_dirty_read {
	uint64_t slot;
	uint64_t first; /* page in the slot; a multiple of 64 */
	uint64_t count; /* pages, 1 to LUV_DIRTY_PAGES_MAX */
	uint64_t bitmap; /* (count + 63) / 64 words, 8-byte aligned, within one page: bits are written, not or-ed */
};
#define LUV_DIRTY_PAGES_MAX 2048u

/* LUV_CALL_VCPU_CREATE. */
struct luv_vcpu_create {
	uint64_t index;	   /* 0 to LUV_VCPUS_MAX - 1; its APIC ID with LUV_VM_LAPIC, where the others wait for SIPI */
	uint64_t page;	   /* struct luv_vcpu_page, page aligned, pinned */
	uint64_t fpu_page; /* the XSAVE area, standard format, page aligned, pinned; set to the power-on state */
	uint64_t stop;	   /* address of the stop byte (any pinned memory): not 0 ends RUN with LUV_ERR_INTR */
};

/* LUV_CALL_VCPU_CPUID: one page. */
struct luv_cpuid_entry {
	uint32_t leaf, subleaf;
	uint32_t flags; /* LUV_CPUID_SUBLEAF */
	uint32_t eax, ebx, ecx, edx;
	uint32_t reserved;
};
#define LUV_CPUID_SUBLEAF 1u /* the entry is for this subleaf only */
_Static_assert(sizeof(struct luv_cpuid_entry) * LUV_CPUID_MAX == LUV_PAGE_SIZE, "one page of CPUID");

/* LUV_CALL_VCPU_STATISTICS. */
struct luv_vcpu_statistics {
	uint64_t index;	  /* in */
	uint64_t runs;	  /* RUN calls, restarts not counted */
	uint64_t restarts; /* RUN began anew after dom0 had an interrupt */
	uint64_t exits[LUV_EXIT_COUNT]; /* by enum luv_exit, whoever answered */
};

/*
 * LUV_CALL_LAPIC_ACCESS: one register of the xAPIC page, for the client that has decoded the guest's
 * MMIO instruction. What the access asks of the client comes back as in exit.apic; KICK may name the
 * vCPU itself.
 */
struct luv_lapic_access {
	uint64_t index;
	uint64_t offset; /* in the page */
	uint64_t write;	 /* 1: a write */
	uint64_t value;	 /* 32 bits; in or out */
	uint64_t kind;	 /* out: LUV_APIC_, or LUV_APIC_NOTHING */
	uint64_t effect; /* out: as exit.apic.value */
};
#define LUV_APIC_NOTHING 3u

/* LUV_CALL_INTERRUPT, a message to the local APICs, as on the bus (LUV_VM_LAPIC): vector in bits 7:0, ICR delivery mode in 10:8. */
#define LUV_MESSAGE_LOGICAL (1ull << 11) /* logical destination */
#define LUV_MESSAGE_TRIGGER (1ull << 12) /* times LUV_TRIGGER_ */
#define LUV_TRIGGER_EDGE  0u
#define LUV_TRIGGER_LEVEL 1u /* its EOI is reported */
#define LUV_TRIGGER_TELL  2u /* edge triggered; EOIs of its vector are reported all the same */

#endif
