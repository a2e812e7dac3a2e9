/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has which VM, and which vCPU: what every call on one begins and ends with. */
#include "cpu/crash.h"
#include "cpu/x86.h"
#include "vm/guest.h"
#include "vm/vm.h"

#define WRONG_HANDLES_MAX 64

struct spinlock vm_table_lock;
struct vm *vm_table[LUV_VMS_MAX];

/* The table's lock is held. */
static inline struct vm *find(u64 address_space, u64 handle, bool dying)
{
	struct vm *vm = vm_table[handle % LUV_VMS_MAX];

	if (!vm || vm->address_space != address_space)
		return NULL;
	/* Address spaces are reused: whoever has a dead owner's may not try handles for long. */
	if (vm->handle != handle) {
		vm->wrong_handles++;
		return NULL;
	}
	if (vm->wrong_handles >= WRONG_HANDLES_MAX)
		return NULL;
	if (vm->dying)
		return dying ? vm : NULL;
	/* The owner's page is no longer its own: this is somebody else. */
	return __atomic_load_n(vm->owner_word, __ATOMIC_RELAXED) == vm->nonce ? vm : NULL;
}

struct vm *vm_get(u64 address_space, u64 handle, bool dying)
{
	struct vm *vm;

	spin_lock(&vm_table_lock);
	vm = find(address_space, handle, dying);
	if (vm)
		vm->references++;
	spin_unlock(&vm_table_lock);
	return vm;
}

void vm_put(struct vm *vm)
{
	spin_lock(&vm_table_lock);
	ASSERT(vm->references);
	vm->references--;
	spin_unlock(&vm_table_lock);
}

COLD bool vm_change_begin(struct vm *vm)
{
	bool can;

	spin_lock(&vm_table_lock);
	can = !vm->running;
	vm->changes += can;
	spin_unlock(&vm_table_lock);
	if (can)
		spin_lock(&vm->lock);
	return can;
}

COLD void vm_change_end(struct vm *vm)
{
	spin_unlock(&vm->lock);
	spin_lock(&vm_table_lock);
	vm->changes--;
	spin_unlock(&vm_table_lock);
}

/* What was unmapped of a change is mapped again by a vCPU that runs meanwhile. */
static COLD void restart_changes(struct vm *vm)
{
	spin_lock(&vm->lock);
	for (u32 i = 0; i < LUV_SLOTS_MAX; i++) {
		if (vm->slots[i].stale)
			vm->slots[i].stale = vm->slots[i].size;
	}
	vm->changing = false;
	spin_unlock(&vm->lock);
}

static struct vcpu *vcpu_at(struct vm *vm, u64 index)
{
	if (index >= LUV_VCPUS_MAX)
		return NULL;
	return __atomic_load_n(&vm->vcpu[index_nospec(index, LUV_VCPUS_MAX)], __ATOMIC_ACQUIRE);
}

const struct vcpu *vm_vcpu_peek(struct vm *vm, u64 index)
{
	return vcpu_at(vm, index);
}

/* The table's lock is held. */
static s64 hold(struct vm *vm, struct vcpu *vcpu, enum guest_holder holder)
{
	struct guest *guest = vcpu->guest;

	if (guest->holder != HELD_NOT)
		return guest->holder == HELD_BY_RUN ? LUV_ERR_BUSY : LUV_ERR_AGAIN;
	if (holder == HELD_BY_RUN) {
		if (vm->changes)
			return LUV_ERR_AGAIN;
		if (vm->changing)
			restart_changes(vm);
		vm->running++;
	}
	vm->references++;
	guest->holder = holder;
	return 0;
}

s64 vm_vcpu_take(u64 address_space, u64 handle, u64 index, enum guest_holder holder, struct vcpu **taken)
{
	s64 result = LUV_ERR_PERM;
	struct vm *vm;

	spin_lock(&vm_table_lock);
	vm = find(address_space, handle, false);
	if (vm) {
		*taken = vcpu_at(vm, index);
		result = *taken ? hold(vm, *taken, holder) : LUV_ERR_NOENT;
	}
	spin_unlock(&vm_table_lock);
	return result;
}

void vm_vcpu_release(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;
	struct vm *vm = guest->vm;

	spin_lock(&vm_table_lock);
	vm->running -= guest->holder == HELD_BY_RUN;
	guest->holder = HELD_NOT;
	vm->references--;
	spin_unlock(&vm_table_lock);
}
