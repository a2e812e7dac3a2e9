/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtual CPU of the KVM face: what a KVM vCPU descriptor stands for. */
#ifndef KVM_VCPU_H
#define KVM_VCPU_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "kvm/clock.h"
#include "kvm/emulate.h"
#include "kvm/timer.h"
#include "lib/luvalley.h"

struct vm;
struct msr_state;

/* Bits of page->signal: why RUN is to return to this library. */
#define SIGNAL_HANDLER \
	1ull /* a signal handler ran in the vCPU's thread: KVM_RUN ends with EINTR */
#define SIGNAL_STOP 2ull /* vm_stop */
#define SIGNAL_KICK 4ull /* vcpu_kick: look at everything again */

/* What KVM_RUN left for the next KVM_RUN to finish. */
enum vcpu_pending {
	PENDING_NONE,
	PENDING_IO,	   /* KVM_EXIT_IO: the record's instruction */
	PENDING_IO_STRING, /* KVM_EXIT_IO of INS or OUTS */
	PENDING_MMIO,	   /* KVM_EXIT_MMIO: the instruction is being emulated */
	PENDING_PLAIN,	   /* KVM_EXIT_MMIO: the read of emulate_plain */
};

struct vcpu {
	/* Guarded by `lock` unless marked a (atomic) or i (set before others see the vCPU). */
	uint32_t lock;	/* lock.h: one ioctl at a time, KVM_RUN included */
	struct vm *vm;	/* i */
	unsigned index; /* i: the vCPU's id and APIC ID */
	/* i: shared with the hypervisor. page->signal is a; page->valid: the groups that are in
	 * the page as the guest has them, whether they were read or written (state.h). */
	struct luv_vcpu_page *page;
	void *fpu;	     /* i: the XSAVE area, standard format */
	struct kvm_run *run; /* i: shared with the client; immediate_exit is the stop byte */
	int run_descriptor;  /* i: the memory behind `run` */

	uint32_t wake;	   /* a: futex; counts what may end HLT's wait */
	uint32_t sleeping; /* a: the thread waits on `wake` */
	uint32_t in_run;   /* a: futex; 1 while the thread is, or is about to be, in the
			      hypervisor's RUN */
	uint64_t deadline; /* a: the APIC timer's, in the guest's TSC; 0: none */

	struct apic_timer apic_timer; /* timer.h */
	struct vcpu_clock clock;      /* clock.h */

	enum vcpu_pending pending;
	struct emulate *emulate;	 /* i */
	bool emulate_ready;		 /* emulate_init was called */
	bool plain;			 /* the last MMIO was for emulate_plain */
	uint64_t no_slot, no_slot_stops; /* this page lies in no slot, as of vm->stops */
	int apic_exit; /* what an access to the xAPIC page asks for, until the instruction is
			  done */
	struct msr_state *msrs; /* i: msr.h: MSRs that this library keeps */
	struct kvm_cpuid_entry2 *cpuid;
	unsigned cpuid_count;
	bool has_sigmask;
	uint64_t sigmask; /* KVM_SET_SIGNAL_MASK */
	struct kvm_guest_debug debug;
	uint64_t
	    guest_dr[8]; /* the guest's debug registers while `debug` has its own in the CPU */
	uint64_t cr8;	 /* with IRQCHIP_NONE: as KVM_RUN saw it last */
	bool triple_fault; /* KVM_SET_VCPU_EVENTS: KVM_RUN ends with KVM_EXIT_SHUTDOWN */
};

/* The pages of a vCPU's mapping. */
#define VCPU_RUN_PAGES 2u /* kvm_run, and the data of port I/O */
#define VCPU_MAP_PAGES 3u /* and the VM's ring of coalesced MMIO */

/* KVM_CREATE_VCPU: its descriptor, or a negative errno value. */
int vcpu_create(struct vm *vm, unsigned index);

/* The hypervisor's VM is gone: frees what is left. */
void vcpu_destroy(struct vcpu *vcpu);

/*
 * Makes the vCPU leave the hypervisor's RUN, or its wait in HLT, and look at everything again:
 * lines of the PIC, requests, events. Any thread, any lock; safe in signal handlers.
 */
void vcpu_kick(struct vcpu *vcpu);

/*
 * Only ends HLT's wait and makes a RUN begin anew, where the hypervisor looks at messages to
 * the local APIC and at its timer. Cheaper than a kick.
 */
void vcpu_nudge(struct vcpu *vcpu);

/* What the hypervisor tells after each RUN, and the client may have changed since. */
static inline uint64_t vcpu_rflags_if(const struct vcpu *vcpu)
{
	const struct luv_vcpu_page *page = vcpu->page;

	return page->valid & LUV_GROUP_GENERAL ? page->rflags >> 9 & 1
					       : !!(page->ready & LUV_READY_IF);
}

static inline uint64_t vcpu_cr8(const struct vcpu *vcpu)
{
	const struct luv_vcpu_page *page = vcpu->page;

	return page->valid & LUV_GROUP_CONTROL ? page->cr8 : LUV_READY_CR8(page->ready);
}

static inline uint64_t vcpu_apic_base(const struct vcpu *vcpu)
{
	const struct luv_vcpu_page *page = vcpu->page;

	return page->valid & LUV_GROUP_MSRS ? page->msr[LUV_MSR_APIC_BASE]
					    : LUV_READY_APIC_BASE(page->ready);
}

static inline uint64_t vcpu_tsc_offset(const struct vcpu *vcpu)
{
	const struct luv_vcpu_page *page = vcpu->page;

	return page->valid & LUV_GROUP_MSRS ? page->msr[LUV_MSR_TSC_OFFSET] : page->tsc_offset;
}

/* The guest's TSC now; what `deadline` is compared with. */
uint64_t vcpu_tsc(struct vcpu *vcpu);

#endif
