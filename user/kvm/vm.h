/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual machine of the KVM face: what a KVM VM descriptor stands for.
 *
 * The hypervisor's VM behind it is made with the first vCPU, because only then it is known
 * whether it keeps the local APICs (KVM_CREATE_IRQCHIP, KVM_CAP_SPLIT_IRQCHIP). Slots that were
 * set before are handed over then.
 *
 * Locks, outermost first: a vCPU's (fds_enter: its ioctls, RUN included), vm->lock, then what
 * the device models have. Nobody waits for a vCPU's while holding vm->lock.
 */
#ifndef KVM_VM_H
#define KVM_VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/luvalley.h"

struct irqchip;
struct vcpu;
struct memory;
struct coalesced;
struct eventfds;
struct clock;

/* Who has which interrupt controller. The pins and buses of a chip are irqchip.h's. */
enum irqchip_mode {
	IRQCHIP_NONE,  /* all in the client */
	IRQCHIP_SPLIT, /* local APICs in the hypervisor; PIC, I/O APIC, PIT in the client */
	IRQCHIP_FULL,  /* local APICs in the hypervisor; PIC, I/O APIC, PIT in this library */
};

/* The last write of the client's to a TSC: vCPUs that are set to one time keep one offset. */
struct vm_tsc {
	uint64_t written, at; /* the value; dom0's TSC then */
	uint64_t offset;
	bool known;
};

struct vm {
	/* How each field is guarded: i: set before others see the VM; l: lock; a: atomic; f:
	 * fixed once the first vCPU exists. */
	pthread_mutex_t lock;
	int handle;		/* a: the hypervisor's; -1 before the first vCPU */
	enum irqchip_mode mode; /* f, under l */
	uint32_t stopped; /* a, futex: how many callers of vm_stop hold the vCPUs out of RUN */
	uint64_t stops;	  /* a: how often vm_stop was called, from 1 */
	struct irqchip *irqchip;	  /* f, under l: NULL with IRQCHIP_NONE */
	struct memory *memory;		  /* i: memory.h */
	struct coalesced *coalesced;	  /* i: coalesced.h */
	uint32_t zones;			  /* a: those of `coalesced`; 0: nobody need look */
	uint32_t events;		  /* a: ioeventfds of `eventfds`; likewise */
	struct eventfds *eventfds;	  /* i: eventfd.h */
	struct clock *clock;		  /* i: clock.h */
	uint32_t tsc_khz;		  /* i: the guest's TSC frequency */
	uint64_t identity_map;		  /* l: KVM_SET_IDENTITY_MAP_ADDR */
	uint64_t tss_address;		  /* l: KVM_SET_TSS_ADDR */
	unsigned vcpu_limit;		  /* l: highest index + 1 that may be created */
	bool exception_payload;		  /* a: KVM_CAP_EXCEPTION_PAYLOAD */
	bool triple_fault_event;	  /* a: KVM_CAP_X86_TRIPLE_FAULT_EVENT */
	struct vcpu *vcpu[LUV_VCPUS_MAX]; /* a: by index, which is the APIC ID; stays until the
					     VM ends */
	uint32_t references;		  /* a: descriptors of the VM and of its vCPUs */
	int ring_descriptor; /* i: the page of coalesced MMIO, for every vCPU's mapping */
	struct kvm_coalesced_mmio_ring *ring; /* i: that page */
	struct vm_tsc tsc;		      /* l */
};

/* A new VM: 0 or a negative errno value. Its descriptor has the one reference. */
int vm_create(struct vm **made);
void vm_put(struct vm *vm);

/* With vm->lock: makes the hypervisor's VM, unless it is there. 0 or a negative errno value. */
int vm_realize(struct vm *vm);

/* Looks a vCPU up; NULL: there is none. */
struct vcpu *vm_vcpu(struct vm *vm, unsigned index);

/*
 * Keeps every vCPU out of the hypervisor's RUN until vm_resume: SLOT_SET and DIRTY_READ need
 * that. Nests, from any thread, a vCPU's own included. Not for signal handlers. vm->lock may be
 * held.
 */
void vm_stop(struct vm *vm);
void vm_resume(struct vm *vm);

/*
 * A message to the local APICs (luv_interrupt), and the vCPUs that got something to do are made
 * to look. 0 or more: how many were reached; or a negative LUV_ERR_ code. Any thread, any lock.
 */
int vm_send(struct vm *vm, struct luv_interrupt *message);

/* The vCPUs whose bits are set look at their local APICs again: out of HLT, or within RUN. */
void vm_nudge(struct vm *vm, uint64_t vcpus);

/*
 * The guest's memory by guest-physical address, for devices in this library: false if a byte of
 * it is in no slot, or (write) in a read-only one; nothing is copied then. Writes enter the
 * dirty log. Takes no lock of vm's; the memory's own is innermost.
 */
bool vm_read(struct vm *vm, uint64_t gpa, void *to, size_t size);
bool vm_write(struct vm *vm, uint64_t gpa, const void *from, size_t size);

#endif
