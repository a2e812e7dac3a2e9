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

/* Guarded by the lock of the vCPU's descriptors (fds_enter: one ioctl at a time, KVM_RUN
 * included) unless marked a (atomic) or i (set before others see the vCPU). What every KVM_RUN
 * needs comes first. */
struct vcpu {
	struct vm *vm;	/* i */
	int handle;	/* i: vm->handle */
	unsigned index; /* i: the vCPU's id and APIC ID */
	/* i: shared with the hypervisor. page->signal is a; page->valid: the groups that are in
	 * the page as the guest has them, whether they were read or written (state.h). */
	struct luv_vcpu_page *page;
	struct kvm_run *run; /* i: shared with the client; immediate_exit is the stop byte */
	uint64_t wanted;     /* what the next RUN is to give: page->wanted */
	uint32_t wake;	     /* a: futex; counts what may end HLT's wait */
	uint32_t sleeping;   /* a: the thread waits on `wake` */
	uint32_t in_run;     /* a: futex; 1 while the thread is, or is about to be, in the
				hypervisor's RUN */
	union {
		struct {
			uint8_t pending;   /* enum vcpu_pending */
			bool triple_fault; /* KVM_SET_VCPU_EVENTS: KVM_RUN ends with
					      KVM_EXIT_SHUTDOWN */
		};
		uint16_t first; /* not 0: KVM_RUN has one of these to do before it enters */
	};
	bool has_sigmask;
	bool plain;		 /* the last MMIO was for emulate_plain */
	struct vcpu_clock clock; /* clock.h */

	void *fpu;		      /* i: the XSAVE area, standard format */
	int run_descriptor;	      /* i: the memory behind `run` */
	uint64_t deadline;	      /* a: the APIC timer's, in the guest's TSC; 0: none */
	struct apic_timer apic_timer; /* timer.h */

	struct emulate *emulate;	 /* i */
	bool emulate_ready;		 /* emulate_init was called */
	uint64_t no_slot, no_slot_stops; /* this page lies in no slot, as of vm->stops */
	int apic_exit; /* what an access to the xAPIC page asks for, until the instruction is
			  done */
	struct msr_state *msrs; /* i: msr.h: MSRs that this library keeps */
	struct kvm_cpuid_entry2 *cpuid;
	unsigned cpuid_count;
	uint64_t sigmask; /* KVM_SET_SIGNAL_MASK */
	struct kvm_guest_debug debug;
	uint64_t
	    guest_dr[8]; /* the guest's debug registers while `debug` has its own in the CPU */
	uint64_t cr8;	 /* with IRQCHIP_NONE: as KVM_RUN saw it last */
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

/* Would an interrupt that is injected now be delivered at once? After RUN. */
static inline bool vcpu_has_room(const struct vcpu *vcpu)
{
	return vcpu->page->ready & LUV_READY_INTERRUPT && !vcpu->page->inject.event;
}

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
