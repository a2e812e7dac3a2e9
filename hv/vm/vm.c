/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/vm.h"

#include "cpu/crash.h"
#include "cpu/random.h"
#include "mem/mtrr.h"
#include "mem/page.h"
#include "vm/guest.h"
#include "vm/virt_ops.h"
#include "vm/world.h"

#define FREE_STEP	  32	     /* table pages that one call frees */
#define UNMAP_STEP	  (16 * MIB) /* of guest memory that one call unmaps, in small pages */

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
 * Frees a VM that nobody can reach any more; false when there is more to free: a call's work is
 * bounded. No CPU can have a translation of it in use: its vCPUs do not run, and their TLB tags are not
 * given to others before a flush.
 */
static bool free_vm_some(struct vm *vm)
{
	for (u32 i = 0; i < LUV_VCPUS_MAX; i++) {
		if (vm->vcpu[i])
			free_vcpu(vm->vcpu[i]);
		vm->vcpu[i] = NULL;
	}
	if (!nested_destroy_some(&vm->nested, FREE_STEP))
		return false;
	free_if(vm->slots);
	page_free(vm);
	return true;
}

/*
 * The table's lock is held. Frees a step of one dead VM: 1: something was freed, 0: nothing is dead, and
 * LUV_ERR_AGAIN: call again, there is more.
 */
static s64 reap(bool (*is_dead)(const struct vm *vm))
{
	for (u32 i = 0; i < LUV_VMS_MAX; i++) {
		struct vm *vm = vm_table[i];

		if (!vm || vm->references || !(vm->dying || is_dead(vm)))
			continue;
		vm->dying = true;
		if (!free_vm_some(vm))
			return LUV_ERR_AGAIN;
		vm_table[i] = NULL;
		return 1;
	}
	return 0;
}

static struct vm *allocate(const struct virt_ops *ops)
{
	struct vm *vm = page_alloc();

	if (!vm)
		return NULL;
	vm->slots = page_alloc();
	if (vm->slots && nested_init(&vm->nested, ops->nested_format(true), &page_pool))
		return vm;
	free_if(vm->slots);
	page_free(vm);
	return NULL;
}

/* The table's lock is held. A handle's low byte is the place in the table, the rest is unguessable. */
static bool insert(struct vm *vm)
{
	_Static_assert(LUV_VMS_MAX == 256, "a handle's low byte");
	for (u32 i = 0; i < LUV_VMS_MAX; i++) {
		if (vm_table[i])
			continue;
		vm->handle = (u32)random_u64() & INT32_MAX & ~(LUV_VMS_MAX - 1);
		vm->handle |= BIT(30) | i;
		vm->place = i;
		vm_table[i] = vm;
		return true;
	}
	return false;
}

/* The table's lock is held. */
static s64 create(const struct virt_ops *ops, u64 address_space, const struct luv_vm_create *create,
		  u64 *owner_page)
{
	struct vm *vm = allocate(ops);

	if (!vm)
		return LUV_ERR_NOMEM;
	vm->address_space = address_space;
	vm->flags = create->flags;
	vm->tsc_khz = (u32)create->tsc_khz;
	vm->nonce = random_u64();
	if (!insert(vm)) {
		free_vm_some(vm);
		return LUV_ERR_NOMEM;
	}
	/* Each VM has a word of its own: a client may use one page for all. */
	vm->owner_address = create->owner_page + vm->place * sizeof(u64);
	vm->owner_word = owner_page + vm->place;
	__atomic_store_n(vm->owner_word, vm->nonce, __ATOMIC_RELAXED);
	return vm->handle;
}

s64 vm_create(const struct virt_ops *ops, u64 address_space, const struct luv_vm_create *wanted,
	      u64 *owner_page, bool (*is_dead)(const struct vm *vm))
{
	s64 result, reaped;

	spin_lock(&vm_table_lock);
	result = create(ops, address_space, wanted, owner_page);
	if (result == LUV_ERR_NOMEM) {
		reaped = reap(is_dead);
		if (reaped)
			result = LUV_ERR_AGAIN;
	}
	spin_unlock(&vm_table_lock);
	return result;
}

s64 vm_destroy(struct vm *vm)
{
	s64 result = LUV_ERR_BUSY;
	u32 place;

	spin_lock(&vm_table_lock);
	vm->references--;
	if (!vm->references) {
		vm->dying = true;
		place = vm->place;
		result = LUV_ERR_AGAIN;
		if (free_vm_some(vm)) {
			vm_table[place] = NULL;
			result = 0;
		}
	}
	spin_unlock(&vm_table_lock);
	return result;
}

/* --- memory --------------------------------------------------------------------------------- */

static bool slot_valid(const struct luv_slot *slot)
{
	const u64 gpa_end = BIT(LUV_GPA_BITS);

	return slot->slot < LUV_SLOTS_MAX && !(slot->flags & ~(LUV_SLOT_READ_ONLY | LUV_SLOT_LOG_DIRTY | LUV_SLOT_LAZY)) &&
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

/*
 * Removes a step of the mappings that a change made stale, or skips a hole. A step ends where
 * leaves end (only one that it begins in can be larger), so none is split and no page is needed.
 */
static bool unmap_stale(struct vm *vm, struct vm_slot *slot)
{
	u64 from = slot->gpa + (slot->size - slot->stale), end, step;
	struct nested_leaf leaf;

	nested_lookup(&vm->nested, gpa(from), &leaf);
	end = max_u64(leaf.base.addr + leaf.size, align_down(from, UNMAP_STEP) + UNMAP_STEP);
	step = min_u64(slot->stale, end - from);
	ASSERT(nested_unmap(&vm->nested, gpa(from), step));
	slot->stale -= step;
	vm->flushes++;
	return !slot->stale;
}

static bool slot_same_place(const struct vm_slot *slot, const struct luv_slot *wanted)
{
	return slot->gpa == wanted->gpa && slot->size == wanted->size &&
	       slot->address == wanted->address;
}

/* The lock is held, and no vCPU runs. A changed slot is mapped anew on demand. */
static s64 slot_replace(struct vm *vm, const struct luv_slot *wanted)
{
	struct vm_slot *slot = &vm->slots[index_nospec(wanted->slot, LUV_SLOTS_MAX)];

	if (!wanted->size && !slot->size)
		return LUV_ERR_NOENT;
	if (wanted->size && slot_overlaps(vm, wanted))
		return LUV_ERR_EXIST;
	/* A change begins: everything is stale. It goes on where the last call with it stopped. */
	if (slot->size && !slot->stale && !(slot_same_place(slot, wanted) && slot->flags == wanted->flags))
		slot->stale = slot->size;
	if (slot->stale && !unmap_stale(vm, slot)) {
		vm->changing = true;
		return LUV_ERR_AGAIN;
	}
	*slot = (struct vm_slot){wanted->gpa, wanted->size, wanted->address, wanted->flags, 0};
	vm->slots_end = (u32)max_u64(vm->slots_end, wanted->slot + 1);
	return 0;
}

s64 vm_slot_set(struct vm *vm, const struct luv_slot *slot)
{
	s64 result;

	if (!slot_valid(slot) ||
	    (slot->flags & LUV_SLOT_LOG_DIRTY && !vm->nested.format->dirty))
		return LUV_ERR_INVAL;
	if (!vm_change_begin(vm))
		return LUV_ERR_BUSY;
	result = slot_replace(vm, slot);
	vm_change_end(vm);
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
	for (u32 i = 0; i < vm->slots_end; i++) {
		if (!slot_holds(&vm->slots[i], at.addr))
			continue;
		__atomic_store_n(&vm->last_slot, i, __ATOMIC_RELAXED);
		*slot = vm->slots[i];
		return true;
	}
	return false;
}

bool vm_map(struct vm *vm, gpa_t at, hpa_t page, u64 size, u32 access, bool *there)
{
	bool done;

	spin_lock(&vm->lock);
	/* Another vCPU may have been faster; its leaf may be dirty already. */
	done = nested_map_hole(&vm->nested, at, page, size, access, CACHE_WB, there);
	spin_unlock(&vm->lock);
	return done;
}

void vm_map_near(struct vm *vm, gpa_t at, u64 size, const u64 *frames, u32 count, u32 index, u32 access)
{
	spin_lock(&vm->lock);
	nested_map_near(&vm->nested, at, size, frames, count, index, access, CACHE_WB);
	spin_unlock(&vm->lock);
}

bool vm_make_executable(struct vm *vm, gpa_t at)
{
	u64 page = align_down(at.addr, PAGE_SIZE);
	struct nested_leaf leaf;
	bool done = true;

	spin_lock(&vm->lock);
	nested_lookup(&vm->nested, at, &leaf);
	/* Another vCPU may have been faster. */
	if (leaf.access && !(leaf.access & NESTED_EXEC))
		done = nested_map(&vm->nested, gpa(page), hpa(leaf.page.addr + (page - leaf.base.addr)),
				  PAGE_SIZE, leaf.access | (u32)NESTED_EXEC, leaf.memory_type);
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
	if (!vm_change_begin(vm))
		return LUV_ERR_BUSY;
	slot = &vm->slots[index_nospec(read->slot, LUV_SLOTS_MAX)];
	if (!slot->size || !(slot->flags & LUV_SLOT_LOG_DIRTY)) {
		result = LUV_ERR_NOENT;
	} else if (!range_within(read->first, read->count, 0, slot->size / PAGE_SIZE)) {
		result = LUV_ERR_INVAL;
	} else {
		nested_take_dirty(&vm->nested, gpa(slot->gpa + read->first * PAGE_SIZE),
				  (u32)read->count, bitmap);
		vm->flushes++;
	}
	vm_change_end(vm);
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
	guest->cr4 = world_limits()->cr4;
	guest->rdtscp = guest->invpcid = true;
	guest->unchecked = true;
	guest->tag_generation = UINT64_MAX;
	lapic_reset(&guest->lapic, index, index == 0);
	if (vm->tsc_khz)
		lapic_set_tsc_khz(&guest->lapic, vm->tsc_khz);
	guest->mp_state = index && vm->flags & LUV_VM_LAPIC ? LUV_MP_WAIT_SIPI : LUV_MP_RUNNABLE;
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
