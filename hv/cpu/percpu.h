/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What belongs to one physical CPU. Each has a slot of 32 KiB at CPU_SLOTS:
 *   0000h  struct cpu
 *   1000h  unmapped, so that a stack overflow cannot go unnoticed
 *   4000h  stack, 16 KiB
 * The stack pointer finds the slot. (Neither GS nor TR can: while dom0 is the CPU's guest they hold
 * dom0's values even in root mode, because VMSAVE and VMLOAD on each exit would be wasted.)
 */
#ifndef CPU_PERCPU_H
#define CPU_PERCPU_H

#include "lib/layout.h"
#include "lib/types.h"

struct vcpu;

enum cpu_state {
	CPU_ABSENT,  /* in the MADT, has not come up */
	CPU_ARRIVED, /* in our code, not yet ready */
	CPU_FIRMWARE, /* UEFI: as the firmware left it, until the first STARTUP */
	CPU_WAITING, /* in root mode, halted until dom0 starts it */
	CPU_IN_DOM0, /* runs dom0 in guest mode */
};

struct exit_record {
	u64 rip;
	u64 info;
	u64 code;   /* the vendor's */
	u32 reason; /* enum luv_exit */
};

#define EXIT_RECORDS 16

/* dom0's values while a guest runs. */
struct dom0_msrs {
	u64 debugctl, counters, xss, tsc_aux, spec_ctrl;
	u64 test_ctrl; /* 0: not changed */
};

/* Written by its own CPU unless the field says otherwise. */
struct cpu {
	u32 index;
	u32 apic_id;
	u32 state;  /* enum cpu_state; atomic: others read it */
	u32 sipi;   /* atomic: the last STARTUP vector that dom0 sent here (dom0/apic.c), CPU_NO_SIPI */
	bool by_firmware; /* atomic: its last STARTUP was the firmware's own, not the system's */
	u32 pending; /* atomic: CPU_PENDING_, what root mode took that is dom0's; its own CPU's, fault handlers included */
	bool init;  /* atomic: dom0 sent INIT to a CPU that must not really get one */
	bool init_sent; /* atomic: a real one went out, and it does not wait for STARTUP yet */
	u64 starts; /* how often dom0 started it */
	struct vcpu *vcpu; /* dom0's vCPU here; immutable once set */
	hpa_t host_save;   /* the vendor's page: VM_HSAVE_PA, VMXON region; immutable */
	struct vcpu *guest; /* the guest's vCPU that runs here now, or NULL */
	void *fpu;	    /* a page: dom0's FPU while a guest runs */
	u64 tag_generation; /* vm/tag.c; 0: no tag was given yet; no two CPUs ever have the same */
	u32 next_tag;
	u64 dom0_xcr0;
	u64 dom0_dr[4];
	struct dom0_msrs dom0_msrs;
	u32 records;	   /* counts up; the ring's next place modulo EXIT_RECORDS */
	struct exit_record record[EXIT_RECORDS];
};
_Static_assert(sizeof(struct cpu) <= PAGE_SIZE, "struct cpu outgrows its page");

#define CPU_PENDING_NMI BIT(0)
#define CPU_PENDING_MC	BIT(1)

#define CPU_NO_SIPI 0x100u

extern u32 cpu_count;

static inline struct cpu *cpu_slot(u32 index)
{
	return (struct cpu *)(CPU_SLOTS + (u64)index * CPU_SLOT_SIZE);
}

static inline u64 cpu_stack_top(u32 index)
{
	return CPU_SLOTS + ((u64)index + 1) * CPU_SLOT_SIZE;
}

/* Not before the CPU runs on its own stack. */
static inline struct cpu *this_cpu(void)
{
	u64 rsp;

	__asm__("mov %%rsp, %0" : "=r"(rsp));
	return (struct cpu *)(rsp & ~(u64)(CPU_SLOT_SIZE - 1));
}

#endif
