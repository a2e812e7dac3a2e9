/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls on virtual machines: create, memory, dirty log, end. */
#include "exit/access.h"
#include "hypercall/argument.h"
#include "hypercall/call.h"
#include "hypercall/session.h"
#include "lib/string.h"
#include "mem/page.h"
#include "mem/ram.h"
#include "vm/lapic.h"
#include "vm/vm.h"

/* Memory of the caller's (within a page) that stays pinned: where we find it, or NULL where it must
 * be touched. */
static void *pinned(struct vcpu *vcpu, u64 address, u64 bytes)
{
	gpa_t at;
	u64 size;

	if (!user_page(vcpu, gva(address), true, &at, &size, NULL))
		return NULL;
	return ram_dom0(at, bytes);
}

/*
 * The owner's page no longer reads back through the owner's tables: it has exited. A dead CR3 leads
 * through garbage; the walker's rules hold there too.
 */
static bool owner_is_dead(const struct vm *vm)
{
	return !address_space_reads(vm->address_space, gva(vm->owner_address), vm->owner_word,
				    vm->nonce);
}

s64 call_vm_create(struct vcpu *vcpu, const u64 argument[3])
{
	struct luv_vm_create create;
	s64 result = argument_read(vcpu, argument[1], &create, sizeof(create));
	u64 *page;

	if (result)
		return result;
	if (create.flags & ~(u64)LUV_VM_LAPIC || create.owner_page % PAGE_SIZE ||
	    create.tsc_khz > LAPIC_TSC_KHZ_MAX)
		return LUV_ERR_INVAL;
	page = pinned(vcpu, create.owner_page, PAGE_SIZE);
	if (!page)
		return LUV_ERR_FAULT;
	return vm_create(vcpu->ops, session_address_space(vcpu), &create, page, owner_is_dead);
}

s64 call_vm_destroy(struct vcpu *vcpu, const u64 argument[3])
{
	struct vm *vm = vm_get(session_address_space(vcpu), argument[0], true);

	return vm ? vm_destroy(vm) : LUV_ERR_PERM;
}

s64 call_slot_set(struct vcpu *vcpu, const u64 argument[3])
{
	struct vm *vm = vm_get(session_address_space(vcpu), argument[0], false);
	struct luv_slot slot;
	s64 result;

	if (!vm)
		return LUV_ERR_PERM;
	result = argument_read(vcpu, argument[1], &slot, sizeof(slot));
	if (!result)
		result = vm_slot_set(vm, &slot);
	vm_put(vm);
	return result;
}

/* The bitmap's page is checked before bits are taken: they exist once. */
static s64 dirty_read(struct vcpu *vcpu, struct vm *vm, const struct luv_dirty_read *read)
{
	u64 bitmap[LUV_DIRTY_PAGES_MAX / 64];
	u64 bytes = (read->count + 63) / 64 * 8;
	s64 result;

	if (read->count > LUV_DIRTY_PAGES_MAX || read->bitmap % 8 ||
	    bytes > PAGE_SIZE - read->bitmap % PAGE_SIZE)
		return LUV_ERR_INVAL;
	if (!pinned(vcpu, read->bitmap, bytes))
		return LUV_ERR_FAULT;
	result = vm_dirty_read(vm, read, bitmap);
	if (!result && !user_write(vcpu, gva(read->bitmap), bitmap, bytes))
		result = LUV_ERR_FAULT;
	return result;
}

s64 call_dirty_read(struct vcpu *vcpu, const u64 argument[3])
{
	struct vm *vm = vm_get(session_address_space(vcpu), argument[0], false);
	struct luv_dirty_read read;
	s64 result;

	if (!vm)
		return LUV_ERR_PERM;
	result = argument_read(vcpu, argument[1], &read, sizeof(read));
	if (!result)
		result = dirty_read(vcpu, vm, &read);
	vm_put(vm);
	return result;
}

/* The FPU as power-on leaves it (SDM 3A table 9-1), but for MXCSR and FCW all zeros. */
static void fpu_power_on(u8 *area)
{
	const u16 fcw = 0x40;
	const u32 mxcsr = 0x1f80;

	memset(area, 0, PAGE_SIZE);
	memcpy(area, &fcw, sizeof(fcw));
	memcpy(area + 24, &mxcsr, sizeof(mxcsr));
}

static s64 vcpu_create(struct vcpu *vcpu, struct vm *vm, const struct luv_vcpu_create *create)
{
	void *page, *fpu;
	u8 *stop;
	s64 result;

	if (create->index >= LUV_VCPUS_MAX || (create->page | create->fpu_page) % PAGE_SIZE)
		return LUV_ERR_INVAL;
	page = pinned(vcpu, create->page, PAGE_SIZE);
	fpu = pinned(vcpu, create->fpu_page, PAGE_SIZE);
	stop = pinned(vcpu, create->stop, 1);
	if (!page || !fpu || !stop)
		return LUV_ERR_FAULT;
	result = vm_vcpu_create(vm, vcpu->ops, call_guest_policy(), (u32)create->index, page, fpu,
				stop);
	if (!result)
		fpu_power_on(fpu);
	return result;
}

s64 call_vcpu_create(struct vcpu *vcpu, const u64 argument[3])
{
	struct vm *vm = vm_get(session_address_space(vcpu), argument[0], false);
	struct luv_vcpu_create create;
	s64 result;

	if (!vm)
		return LUV_ERR_PERM;
	result = argument_read(vcpu, argument[1], &create, sizeof(create));
	if (!result)
		result = vcpu_create(vcpu, vm, &create);
	vm_put(vm);
	return result;
}
