/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest's vCPU has beyond struct vcpu. It belongs to whoever set `holder`: the CPU in RUN,
 * or a call that looks at or changes its state. Nothing else touches it, but for what the last fields say.
 */
#ifndef VM_GUEST_H
#define VM_GUEST_H

#include "luvalley/vcpu.h"
#include "vm/lapic.h"
#include "vm/vcpu.h"

struct vm;

/* What the next RUN does with the client's answer before it enters the guest. */
enum guest_finish {
	FINISH_NOTHING,
	FINISH_IN,
	FINISH_RDMSR,
	FINISH_WRMSR,
	FINISH_PIN,
};

/* Why the inner loop ends. */
enum guest_leave {
	LEAVE_NOT,
	LEAVE_TO_CLIENT, /* with the record in page->exit */
	LEAVE_TO_DOM0,	 /* something physical is pending: RUN begins anew afterwards */
};

/* Who has the vCPU. */
enum guest_holder {
	HELD_NOT,
	HELD_BY_CALL, /* for a bounded time */
	HELD_BY_RUN,  /* for as long as the guest runs */
};

struct guest {
	struct vm *vm;	/* immutable */
	u32 index;	/* immutable */
	enum guest_holder holder; /* vm_table_lock (vm/hold.c) */
	struct luv_vcpu_page *page; /* immutable: the client's memory, hostile */
	void *fpu;		    /* immutable: likewise */
	const u8 *stop;		    /* immutable: likewise */

	/* State that neither struct vcpu nor the vendor's structure holds. */
	u64 xcr0;
	u64 tsc_aux, tsc_offset;
	u64 spec_ctrl;
	u64 apic_base;
	struct luv_cpuid_entry *cpuid; /* one page, or NULL: all zeros */
	/* Its entries whose leaves have the same hash: the first's place, and the next one's, and one; 0: no more. */
	u8 cpuid_first[32], cpuid_next[LUV_CPUID_MAX];
	u64 cr4; /* bits that the guest may set */
	bool rdtscp, invpcid; /* it has these instructions, or RDPID for the first; else #UD */

	/* Events. */
	u64 queued; /* an interrupt or exception of the client's that waits to be injected */
	bool nmi_pending, nmi_blocked;
	bool nmi_step;	/* TF is ours, to see the end of an IRET (svm/guest.c) */
	u64 nmi_return; /* RIP of the IRET that will unblock NMIs; 0: none seen */
	bool window_open; /* ask for an exit when interrupts can be taken */
	bool trap_cr8;	  /* ask for an exit when CR8 is written */
	u64 request;	/* page->request of this RUN */
	u64 debug_flags;
	u32 debug_exceptions;
	bool stepping;	/* TF is ours, not the guest's */
	bool step_owed; /* a step ended with another record: its own is next */

	/* Of the client's memory, by its own word: LUV_RUN_PIN. Void when vm->flushes has changed. */
	struct {
		u64 begin, end, flushes;
	} pinned;

	enum guest_finish finish;
	u8 finish_size, finish_length;
	enum guest_leave leave;
	bool unchecked; /* the client set registers since the last check (vm/state.c) */
	bool restarting;

	/* Its TLB tag (vm/tag.h). */
	u32 tag_cpu;
	u64 tag_generation; /* UINT64_MAX: it has none */
	u64 flush_seen;

	u64 runs, restarts;

	/* With LUV_VM_LAPIC. Others post into `arrived` and into the APIC's incoming bits. */
	u8 mp_state; /* LUV_MP_ */
	u32 arrived; /* atomic: GUEST_ */
	bool timed; /* immutable: the CPU ends the guest's run at the APIC's deadline */
	u64 told_deadline; /* of the APIC's timer: what the client knows */
	struct lapic lapic;
};

/* What other CPUs sent beside interrupts: bits of `arrived`; a STARTUP's vector in bits 7:0. */
#define GUEST_ARRIVED_NMI  BIT(8)
#define GUEST_ARRIVED_INIT BIT(9)
#define GUEST_ARRIVED_SIPI BIT(10)

_Static_assert(sizeof(struct guest) <= PAGE_SIZE, "a struct guest is one page");

#endif
