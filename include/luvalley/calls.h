/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The call interface: what a program in dom0 asks of the hypervisor.
 *
 * A call is one instruction, VMMCALL on AMD and VMCALL on Intel, from any privilege level:
 *   RAX  in: the call's number; out: the result, >= 0, or a negative LUV_ERR_ code
 *   RDI, RSI, RDX  in: arguments; kept
 * Every other register is kept. Outside 64-bit mode the registers are truncated to 32 bits, so
 * handles, keys and results fit 31 or 32 bits. Structures hold u64 fields only and lie in the caller's memory,
 * 8-byte aligned and within one page; a pointer is a linear address (segment base 0).
 *
 * The instruction raises #UD where there is no hypervisor: look for the signature in CPUID leaf
 * LUV_CPUID_BASE first.
 *
 * The interface may change in every 0.x version: LUV_ABI_VERSION counts the changes.
 */
#ifndef LUVALLEY_CALLS_H
#define LUVALLEY_CALLS_H

#include <stdint.h>

#define LUV_ABI_VERSION 5

/* CPUID: EAX = highest leaf of ours, EBX ECX EDX = the signature's 12 bytes. */
#define LUV_CPUID_BASE	    0x40000000u
#define LUV_CPUID_SIGNATURE "LuvalleyLuva"
/* CPUID: EAX = LUV_ABI_VERSION, EBX = LUV_VERSION. */
#define LUV_CPUID_VERSION 0x40000001u

/* Results below zero. The names say which errno value the KVM face turns them into. */
enum luv_error {
	LUV_ERR_PERM = -1,   /* no key, a wrong key, or a handle that is not the caller's */
	LUV_ERR_NOENT = -2,  /* no such thing (index, CPU, previous log) */
	LUV_ERR_INTR = -4,   /* RUN was told to stop: stop byte or signal word */
	LUV_ERR_AGAIN = -11, /* more is to do: call again with the same arguments */
	LUV_ERR_NOMEM = -12, /* the pool or a table is exhausted */
	LUV_ERR_FAULT = -14, /* touch the structure and its buffer (write to them), then call again */
	LUV_ERR_BUSY = -16,  /* a vCPU (of this VM) is in RUN: stop it first */
	LUV_ERR_EXIST = -17, /* there is one already, or it overlaps one */
	LUV_ERR_INVAL = -22, /* an argument or a field has no meaning */
	LUV_ERR_NOSYS = -38, /* no such call */
};

enum luv_call {
	/* (item): a number about the hypervisor; needs no key. LUV_ERR_NOENT: unknown item. */
	LUV_CALL_QUERY = 0,
	/* (key[0], key[1], key[2]): a session handle for this address space. LUV_ERR_PERM. */
	LUV_CALL_SESSION_OPEN = 1,
	/* (session): closes it. */
	LUV_CALL_SESSION_CLOSE = 2,
	/* (session, struct luv_log_read *): copies a piece of the log. */
	LUV_CALL_LOG_READ = 3,
	/* (session, struct luv_cpu_statistics *): dom0's exits on one CPU. */
	LUV_CALL_CPU_STATISTICS = 4,
	/* (session): crashes the hypervisor; LUV_ERR_PERM unless booted with debug=crash. */
	LUV_CALL_DEBUG_CRASH = 5,

	/* Virtual machines: luvalley/vcpu.h. A VM belongs to the address space that created it: every call on
	 * one answers PERM to others. */

	/* (session, struct luv_vm_create *): a VM handle. NOMEM, FAULT, INVAL, AGAIN. */
	LUV_CALL_VM_CREATE = 6,
	/* (vm): ends it and gives its pages back. BUSY, AGAIN. */
	LUV_CALL_VM_DESTROY = 7,
	/* (vm, struct luv_slot *): adds, changes or removes guest memory. BUSY, EXIST, INVAL, NOENT, AGAIN. */
	LUV_CALL_SLOT_SET = 8,
	/* (vm, struct luv_dirty_read *). BUSY, NOENT, INVAL, FAULT. */
	LUV_CALL_DIRTY_READ = 9,
	/* (vm, struct luv_vcpu_create *). EXIST, NOMEM, INVAL, FAULT. */
	LUV_CALL_VCPU_CREATE = 10,
	/* (vm, index): runs the guest until something ends it: 0 and page->exit, or INTR, BUSY,
	 * NOENT, INVAL (a dirty group holds nonsense; nothing ran). The caller must have IF set. */
	LUV_CALL_VCPU_RUN = 11,
	/* (vm, index): takes over page->dirty, then copies page->wanted. BUSY, NOENT, INVAL. */
	LUV_CALL_VCPU_SYNC = 12,
	/* (vm, index, page of struct luv_cpuid_entry): what CPUID answers; entries end at the first
	 * of all zeros, or at LUV_CPUID_MAX. BUSY, NOENT, INVAL, FAULT, NOMEM. */
	LUV_CALL_VCPU_CPUID = 13,
	/* (vm, struct luv_vcpu_statistics *). NOENT, FAULT. */
	LUV_CALL_VCPU_STATISTICS = 14,
	/* (vm, destination, message of LUV_MESSAGE_): how many vCPUs it reached, | the first of them << 8. INVAL. */
	LUV_CALL_INTERRUPT = 15,
	/* (vm, index, one KiB): the local APIC's registers, as KVM_GET_LAPIC and KVM_SET_LAPIC. BUSY,
	 * NOENT, INVAL, FAULT. */
	LUV_CALL_LAPIC_READ = 16,
	LUV_CALL_LAPIC_WRITE = 17,
	/* (vm, struct luv_lapic_access *). BUSY, NOENT, INVAL, FAULT. */
	LUV_CALL_LAPIC_ACCESS = 18,
	/* (session, mode: 0 direct, 1 trap): how dom0 reaches its local APICs; to be made on each CPU in turn, and
	 * meanwhile no CPU goes or comes. INVAL; BUSY: direct is too little here, since dom0 could start CPUs that are
	 * not ours; NOENT: this CPU needs no trap. */
	LUV_CALL_APIC_MODE = 19,
	LUV_CALL_COUNT
};

enum luv_query {
	LUV_QUERY_ABI_VERSION = 0,
	LUV_QUERY_VERSION = 1,	     /* LUV_VERSION_OF(major, minor, patch) */
	LUV_QUERY_VENDOR = 2,	     /* enum luv_vendor */
	LUV_QUERY_CPUS = 3,	     /* CPUs that the hypervisor holds */
	LUV_QUERY_CPUS_IN_DOM0 = 4,  /* of these, running dom0 in guest mode */
	LUV_QUERY_MEMORY_HELD = 5,   /* KiB hidden from dom0, the pool included */
	LUV_QUERY_POOL_SIZE = 6,     /* KiB */
	LUV_QUERY_POOL_FREE = 7,     /* KiB */
	LUV_QUERY_APIC_MODE = 8,     /* 0 direct, 1 trap */
	LUV_QUERY_HIDDEN_TOUCHES = 9, /* pages of hidden memory that dom0 has touched */
	LUV_QUERY_HIDDEN_BASE = 10,   /* the hidden range's first page number (address / 4096) */
	LUV_QUERY_MITIGATIONS = 11,   /* LUV_MITIGATION_: what is done around every guest */
};

#define LUV_MITIGATION_IBPB	   1u /* branch predictors, behind a guest */
#define LUV_MITIGATION_L1D	   2u /* the L1 data cache, before RUN */
#define LUV_MITIGATION_VERW	   4u /* the CPU's buffers, before each entry */
#define LUV_MITIGATION_SMALL_PAGES 8u /* what a guest executes is mapped by 4 KiB pages */

enum luv_vendor {
	LUV_VENDOR_SVM = 0,
	LUV_VENDOR_VMX = 1,
};

#define LUV_VERSION_OF(major, minor, patch) ((major) << 16 | (minor) << 8 | (patch))
#define LUV_VERSION_MAJOR		    0
#define LUV_VERSION_MINOR		    1
#define LUV_VERSION_PATCH		    0
#define LUV_VERSION			    LUV_VERSION_OF(LUV_VERSION_MAJOR, LUV_VERSION_MINOR, LUV_VERSION_PATCH)

/* LUV_CALL_LOG_READ. */
#define LUV_LOG_CURRENT	 0u
#define LUV_LOG_PREVIOUS 1u /* the boot before: its first lines, its crash report; LUV_ERR_NOENT: nothing survived */

#define LUV_LOG_READ_MAX 4096u

struct luv_log_read {
	uint64_t which;	   /* in: LUV_LOG_ */
	uint64_t position; /* in: first byte wanted, counted from the log's beginning; out: the next */
	uint64_t buffer;   /* in: linear address */
	uint64_t size;	   /* in: of the buffer, 1 to LUV_LOG_READ_MAX */
	uint64_t got;	   /* out: bytes copied; 0 at the end */
	uint64_t lost;	   /* out: bytes at `position` that the ring had already overwritten */
};
_Static_assert(sizeof(struct luv_log_read) == 48, "struct luv_log_read");

/* Why a vCPU came back to the hypervisor, in our words. */
enum luv_exit {
	LUV_EXIT_CPUID = 0,
	LUV_EXIT_MSR = 1,
	LUV_EXIT_IO = 2,
	LUV_EXIT_MEMORY = 3,	/* nested page fault */
	LUV_EXIT_CALL = 4,	/* VMMCALL, VMCALL */
	LUV_EXIT_ILLEGAL = 5,	/* a virtualization instruction that dom0 may not use */
	LUV_EXIT_INVD = 6,
	LUV_EXIT_XSETBV = 7,
	LUV_EXIT_CR = 8,
	LUV_EXIT_INTERRUPT = 9,
	LUV_EXIT_NMI = 10,
	LUV_EXIT_INIT = 11,
	LUV_EXIT_STARTUP = 12,
	LUV_EXIT_SHUTDOWN = 13, /* triple fault */
	LUV_EXIT_EXCEPTION = 14,
	LUV_EXIT_HLT = 15,
	LUV_EXIT_WINDOW = 16,	    /* an interrupt or NMI window opened, or a guest's APIC timer is due */
	LUV_EXIT_TASK_SWITCH = 17,
	LUV_EXIT_ENTRY_FAILED = 18, /* the CPU refused the guest's state */
	LUV_EXIT_OTHER = 19,
	LUV_EXIT_DR = 20, /* a guest's first access to a debug register (MOV DR) */
	LUV_EXIT_COUNT = 21
};

struct luv_cpu_statistics {
	uint64_t cpu;	  /* in: 0 to LUV_QUERY_CPUS - 1 */
	uint64_t apic_id; /* out */
	uint64_t in_dom0; /* out: 1 when it runs dom0 in guest mode, 0 while it waits */
	uint64_t starts;  /* out: how often dom0 started it (the boot CPU: 1 after boot) */
	uint64_t exits[LUV_EXIT_COUNT]; /* out: by enum luv_exit, since power-on */
};
_Static_assert(sizeof(struct luv_cpu_statistics) == 200, "struct luv_cpu_statistics");

#endif
