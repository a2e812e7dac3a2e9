/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual machines: who owns them, their memory slots and vCPUs, and their end.
 *
 * Locks: the table's lock guards handles, lifetimes and who has which vCPU; each VM's lock its slots, the creation of
 * vCPUs and nested tables. The table's comes first. A call holds a VM by a reference (vm_get, vm_put); whoever has a vCPU
 * has one too, so a VM in RUN cannot be destroyed.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include "cpu/spinlock.h"
#include "luvalley/vcpu.h"
#include "mem/nested.h"
#include "vm/guest.h"
#include "vm/vcpu.h"

struct vm_slot {
	u64 gpa, size; /* size 0: no slot */
	u64 address;   /* in the owner's address space */
	u64 flags;
	u64 stale; /* bytes from gpa on whose mappings a change has yet to remove */
};

struct vm {
	struct spinlock lock;
	u32 handle;	     /* immutable */
	u64 address_space;   /* immutable: the owner's CR3 frame */
	u32 place;	     /* immutable: in the table */
	bool changing;	     /* lock: a slot has stale mappings */
	u64 owner_address;   /* immutable: of a word in the owner's page, in its address space */
	u64 *owner_word;     /* immutable: the same word, in ours */
	u64 nonce;	     /* immutable: what we wrote there */
	u64 flags;	     /* immutable: LUV_VM_ */
	u32 tsc_khz;	     /* immutable */
	u32 references;	     /* the table's lock */
	u32 wrong_handles;   /* the table's lock: tries that named this VM's place wrongly */
	bool dying;	     /* the table's lock: it is being freed, in steps */
	u32 running;	     /* the table's lock: vCPUs in RUN; not 0 only where changes is 0, and the other way about */
	u32 changes;	     /* the table's lock: calls that change slots, or what they map */
	u64 flushes;	     /* lock: counts changes that need a TLB flush before the next entry */
	u64 last_slot;	     /* a hint, unlocked */
	u32 lowest_turn;     /* atomic: whose turn a lowest-priority message is */
	struct nested nested;		     /* lock */
	struct vm_slot *slots;		     /* lock; one page */
	u32 slots_end;			     /* lock: no slot from here on was ever set */
	struct vcpu *vcpu[LUV_VCPUS_MAX];    /* lock; set once each */
};
_Static_assert(sizeof(struct vm) <= PAGE_SIZE, "a struct vm is one page");
_Static_assert(sizeof(struct vm_slot) * LUV_SLOTS_MAX <= PAGE_SIZE, "the slots are one page");

/* CR3 without PCID and cache bits (APM 2 5.3.2): the name of an address space. */
#define CR3_FRAME ((BIT(52) - 1) & ~(PAGE_SIZE - 1))

/*
 * Creates a VM for the address space; owner_page is create->owner_page in our view. Returns a
 * handle, or LUV_ERR_NOMEM. When the table or the pool is exhausted, the VMs of dead owners are
 * looked for first: is_dead tells.
 */
s64 vm_create(const struct virt_ops *ops, u64 address_space, const struct luv_vm_create *create,
	      u64 *owner_page, bool (*is_dead)(const struct vm *vm));

/* The VM behind a handle of this address space, referenced; NULL otherwise. `dying`, for vm_destroy alone: also one that is
 * being freed. */
struct vm *vm_get(u64 address_space, u64 handle, bool dying);
void vm_put(struct vm *vm);

/*
 * Ends the caller's VM and drops its reference. LUV_ERR_BUSY while anybody else holds one; LUV_ERR_AGAIN
 * when there is more to free.
 */
s64 vm_destroy(struct vm *vm);

/* Adds, changes or removes a slot. LUV_ERR_INVAL, EXIST, NOENT, BUSY, AGAIN. */
s64 vm_slot_set(struct vm *vm, const struct luv_slot *slot);

/* The slot that backs an address: copied out; false without one. */
bool vm_slot_find(struct vm *vm, gpa_t at, struct vm_slot *slot);

/* Reads and clears dirty bits of a slot's pages. LUV_ERR_ as calls.h says. */
s64 vm_dirty_read(struct vm *vm, const struct luv_dirty_read *read, u64 *bitmap);

/*
 * Maps the page at an address to `page` for a guest, and as much around it as a leaf of at most `size`
 * bytes covers; what is mapped already stays (*there). False: the pool is exhausted.
 */
bool vm_map(struct vm *vm, gpa_t at, hpa_t page, u64 size, u32 access, bool *there);

/* Maps what is absent around a page (nested_map_near). */
void vm_map_near(struct vm *vm, gpa_t at, u64 size, const u64 *frames, u32 count, u32 index, u32 access);

/* Makes the 4 KiB page at an address that is mapped executable. False: the pool is exhausted. */
bool vm_make_executable(struct vm *vm, gpa_t at);

/* Creates vCPU `index`; its pages in our view. LUV_ERR_EXIST, NOMEM. */
s64 vm_vcpu_create(struct vm *vm, const struct virt_ops *ops, const struct exit_policy *policy,
		   u32 index, struct luv_vcpu_page *page, void *fpu, const u8 *stop);

/* The vCPU, whoever runs it: for its counters. NULL: there is none. */
const struct vcpu *vm_vcpu_peek(struct vm *vm, u64 index);

/*
 * Takes a vCPU of this address space's for this CPU, and holds its VM. LUV_ERR_PERM, NOENT, BUSY (it is in RUN), or AGAIN:
 * another call is about to be done with it, or with the slots. From HELD_BY_RUN to the release slots do not change.
 */
s64 vm_vcpu_take(u64 address_space, u64 handle, u64 index, enum guest_holder holder, struct vcpu **taken);
void vm_vcpu_release(struct vcpu *vcpu);

/* --- between vm.c and hold.c ---------------------------------------------------------------- */

extern struct spinlock vm_table_lock;
extern struct vm *vm_table[LUV_VMS_MAX]; /* vm_table_lock */

/* Around a change of the slots, or of what they map, under the VM's lock: no vCPU runs meanwhile. False: one does. */
bool vm_change_begin(struct vm *vm);
void vm_change_end(struct vm *vm);

#endif
