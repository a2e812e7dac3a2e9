/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/vm.h"

#include "cpu/crash.h"
#include "cpu/random.h"
#include "mem/page.h"
#include "vm/guest.h"
#include "vm/virt_ops.h"

#define WRONG_HANDLES_MAX 64

static struct spinlock table_lock;
static struct vm *table[LUV_VMS_MAX]; /* table_lock */

/* --- lifetime ------------------------------------------------------------------------------- */

static void free_if(void *page)
{
	if (page)
		page_free(page);
}

static void free_vcpu(struct vcpu *vcpu)
{
	vcpu->ops->vcpu_destroy(vcpu);
	free_if(vcpu->guest->cpuid);
	page_free(vcpu->guest);
	page_free(vcpu);
}

/*
 * No CPU can have a translation of the VM in use: its vCPUs are gone, and their TLB tags are not
 * given to others before a flush.
 */
static void free_vm(struct vm *vm)
{
	for (u32 i = 0; i < LUV_VCPUS_MAX; i++) {
		if (vm->vcpu[i])
			free_vcpu(vm->vcpu[i]);
	}
	nested_destroy(&vm->nested);
	free_if(vm->slots);
	page_free(vm);
}

/* table_lock is held. */
static bool reap(bool (*is_dead)(const struct vm *vm))
{
	bool reaped = false;

	for (u32 i = 0; i < LUV_VMS_MAX; i++) {
		struct vm *vm = table[i];

		if (!vm || vm->references || !is_dead(vm))
			continue;
		table[i] = NULL;
		free_vm(vm);
		reaped = true;
	}
	return reaped;
}

static struct vm *allocate(const struct virt_ops *ops)
{
	struct vm *vm = page_alloc();

	if (!vm)
		return NULL;
	vm->slots = page_alloc();
	if (vm->slots && nested_init(&vm->nested, ops->nested_format(), &page_pool))
		return vm;
	free_if(vm->slots);
	page_free(vm);
	return NULL;
}

/* table_lock is held. A handle's low byte is the place in the table, the rest is unguessable. */
static bool insert(struct vm *vm)
{
	_Static_assert(LUV_VMS_MAX == 256, "a handle's low byte");
	for (u32 i = 0; i < LUV_VMS_MAX; i++) {
		if (table[i])
			continue;
		vm->handle = (u32)random_u64() & INT32_MAX & ~(LUV_VMS_MAX - 1);
		vm->handle |= BIT(30) | i;
		table[i] = vm;
		return true;
	}
	return false;
}

s64 vm_create(const struct virt_ops *ops, u64 address_space, u64 flags, u64 owner_address,
	      u64 *owner_page, bool (*is_dead)(const struct vm *vm))
{
	s64 result = LUV_ERR_NOMEM;
	struct vm *vm;

	spin_lock(&table_lock);
	vm = allocate(ops);
	if (!vm && reap(is_dead))
		vm = allocate(ops);
	if (vm) {
		vm->address_space = address_space;
		vm->flags = flags;
		vm->owner_address = owner_address;
		vm->owner_page = owner_page;
		vm->nonce = random_u64();
		__atomic_store_n(owner_page, vm->nonce, __ATOMIC_RELAXED);
		if (insert(vm) || (reap(is_dead) && insert(vm)))
			result = vm->handle;
		else
			free_vm(vm);
	}
	spin_unlock(&table_lock);
	return result;
}

struct vm *vm_get(u64 address_space, u64 handle)
{
	struct vm *vm;

	spin_lock(&table_lock);
	vm = table[handle % LUV_VMS_MAX];
	if (vm && vm->address_space != address_space)
		vm = NULL;
	/* Address spaces are reused: whoever has a dead owner's may not try handles for long. */
	if (vm && vm->handle != handle) {
		vm->wrong_handles++;
		vm = NULL;
	}
	if (vm && vm->wrong_handles >= WRONG_HANDLES_MAX)
		vm = NULL;
	if (vm)
		vm->references++;
	spin_unlock(&table_lock);
	return vm;
}

void vm_put(struct vm *vm)
{
	spin_lock(&table_lock);
	ASSERT(vm->references);
	vm->references--;
	spin_unlock(&table_lock);
}

s64 vm_destroy(struct vm *vm)
{
	s64 result = LUV_ERR_BUSY;

	spin_lock(&table_lock);
	vm->references--;
	if (!vm->references) {
		table[vm->handle % LUV_VMS_MAX] = NULL;
		result = 0;
	}
	spin_unlock(&table_lock);
	if (!result)
		free_vm(vm);
	return result;
}

/* --- memory --------------------------------------------------------------------------------- */

static bool slot_valid(const struct luv_slot *slot)
{
	const u64 gpa_end = BIT(LUV_GPA_BITS);

	return slot->slot < LUV_SLOTS_MAX && !(slot->flags & ~(LUV_SLOT_READ_ONLY | LUV_SLOT_LOG_DIRTY)) &&
	       (slot->gpa | slot->size | slot->address) % PAGE_SIZE == 0 &&
	       range_within(slot->gpa, slot->size, 0, gpa_end) &&
	       range_within(slot->address, slot->size, 0, BIT(63));
}

static bool slot_overlaps(const struct vm *vm, const struct luv_slot *slot)
{
	for (u32 i = 0; i < LUV_SLOTS_MAX; i++) {
		const struct vm_slot *other = &vm->slots[i];

		if (i != slot->slot &&
		    range_overlaps(slot->gpa, slot->size, other->gpa, other->size))
			return true;
	}
	return false;
}

/* The lock is held, and no vCPU runs. A changed slot is mapped anew on demand. */
static s64 slot_replace(struct vm *vm, const struct luv_slot *slot)
{
	struct vm_slot *old = &vm->slots[slot->slot];

	if (!slot->size && !old->size)
		return LUV_ERR_NOENT;
	if (slot->size && slot_overlaps(vm, slot))
		return LUV_ERR_EXIST;
	if (old->size) {
		if (!nested_unmap(&vm->nested, gpa(old->gpa), old->size))
			return LUV_ERR_NOMEM;
		vm->flushes++;
	}
	*old = (struct vm_slot){slot->gpa, slot->size, slot->address, slot->flags};
	return 0;
}

s64 vm_slot_set(struct vm *vm, const struct luv_slot *slot)
{
	s64 result;

	if (!slot_valid(slot))
		return LUV_ERR_INVAL;
	spin_lock(&vm->lock);
	if (vm->running)
		result = LUV_ERR_BUSY;
	else
		result = slot_replace(vm, slot);
	spin_unlock(&vm->lock);
	return result;
}

static bool slot_holds(const struct vm_slot *slot, u64 at)
{
	return slot->size && at >= slot->gpa && at - slot->gpa < slot->size;
}

/* Slots do not change while a vCPU runs, so a running one reads them without the lock. */
bool vm_slot_find(struct vm *vm, gpa_t at, struct vm_slot *slot)
{
	u64 last = __atomic_load_n(&vm->last_slot, __ATOMIC_RELAXED);

	if (slot_holds(&vm->slots[last], at.addr)) {
		*slot = vm->slots[last];
		return true;
	}
	for (u32 i = 0; i < LUV_SLOTS_MAX; i++) {
		if (!slot_holds(&vm->slots[i], at.addr))
			continue;
		__atomic_store_n(&vm->last_slot, i, __ATOMIC_RELAXED);
		*slot = vm->slots[i];
		return true;
	}
	return false;
}

bool vm_map(struct vm *vm, gpa_t at, hpa_t page, u64 size, u32 access)
{
	bool done;

	spin_lock(&vm->lock);
	done = nested_map(&vm->nested, at, page, size, access, 6);
	spin_unlock(&vm->lock);
	return done;
}

s64 vm_dirty_read(struct vm *vm, const struct luv_dirty_read *read, u64 *bitmap)
{
	s64 result = 0;
	const struct vm_slot *slot;

	if (read->slot >= LUV_SLOTS_MAX || read->first % 64 || !read->count ||
	    read->count > LUV_DIRTY_PAGES_MAX)
		return LUV_ERR_INVAL;
	spin_lock(&vm->lock);
	slot = &vm->slots[read->slot];
	if (vm->running) {
		result = LUV_ERR_BUSY;
	} else if (!slot->size || !(slot->flags & LUV_SLOT_LOG_DIRTY)) {
		result = LUV_ERR_NOENT;
	} else if (!range_within(read->first, read->count, 0, slot->size / PAGE_SIZE)) {
		result = LUV_ERR_INVAL;
	} else {
		nested_take_dirty(&vm->nested, gpa(slot->gpa + read->first * PAGE_SIZE),
				  (u32)read->count, bitmap);
		vm->flushes++;
	}
	spin_unlock(&vm->lock);
	return result;
}

/* --- vCPUs ---------------------------------------------------------------------------------- */

static struct vcpu *allocate_vcpu(struct vm *vm, const struct virt_ops *ops,
				  const struct exit_policy *policy)
{
	struct vcpu *vcpu = page_alloc();

	if (!vcpu)
		return NULL;
	vcpu->guest = page_alloc();
	vcpu->ops = ops;
	vcpu->policy = policy;
	vcpu->nested = &vm->nested;
	if (vcpu->guest && ops->vcpu_create_guest(vcpu))
		return vcpu;
	free_if(vcpu->guest);
	page_free(vcpu);
	return NULL;
}

/* INIT state, as a CPU has it after power-on but for what the client sets. */
static void power_on(struct vcpu *vcpu, struct vm *vm, u32 index)
{
	struct guest *guest = vcpu->guest;

	guest->vm = vm;
	guest->index = index;
	guest->xcr0 = 1;
	guest->apic_base = 0xfee00800 | (index ? 0 : BIT(8));
	guest->unchecked = true;
	vcpu_reset(vcpu);
	vcpu->msrs = (struct vcpu_msrs){.pat = 0x0007040600070406};
	vcpu->valid |= VCPU_MSRS;
	vcpu->dirty |= VCPU_MSRS | VCPU_INTERCEPTS;
}

s64 vm_vcpu_create(struct vm *vm, const struct virt_ops *ops, const struct exit_policy *policy,
		   u32 index, struct luv_vcpu_page *page, void *fpu, const u8 *stop)
{
	s64 result = LUV_ERR_EXIST;
	struct vcpu *vcpu;

	spin_lock(&vm->lock);
	if (!vm->vcpu[index]) {
		vcpu = allocate_vcpu(vm, ops, policy);
		result = vcpu ? 0 : LUV_ERR_NOMEM;
		if (vcpu) {
			power_on(vcpu, vm, index);
			vcpu->guest->page = page;
			vcpu->guest->fpu = fpu;
			vcpu->guest->stop = stop;
			__atomic_store_n(&vm->vcpu[index], vcpu, __ATOMIC_RELEASE);
		}
	}
	spin_unlock(&vm->lock);
	return result;
}

void vm_run_begin(struct vm *vm)
{
	spin_lock(&vm->lock);
	vm->running++;
	spin_unlock(&vm->lock);
}

void vm_run_end(struct vm *vm)
{
	spin_lock(&vm->lock);
	vm->running--;
	spin_unlock(&vm->lock);
}

struct vcpu *vm_vcpu_take(struct vm *vm, u64 index, s64 *error)
{
	struct vcpu *vcpu;
	bool expected = false;

	*error = LUV_ERR_NOENT;
	if (index >= LUV_VCPUS_MAX)
		return NULL;
	index = index_nospec(index, LUV_VCPUS_MAX);
	vcpu = __atomic_load_n(&vm->vcpu[index], __ATOMIC_ACQUIRE);
	if (!vcpu)
		return NULL;
	*error = LUV_ERR_BUSY;
	if (!__atomic_compare_exchange_n(&vcpu->guest->running, &expected, true, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return NULL;
	return vcpu;
}

void vm_vcpu_release(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->guest->running, false, __ATOMIC_RELEASE);
}
