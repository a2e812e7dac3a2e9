/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls on the local APICs of a VM (LUV_VM_LAPIC). */
#include "cpu/x86.h"
#include "exit/access.h"
#include "exit/guest.h"
#include "hypercall/argument.h"
#include "hypercall/call.h"
#include "hypercall/session.h"
#include "hypercall/target.h"

static u64 now(const struct vcpu *vcpu)
{
	return rdtsc() + vcpu->guest->tsc_offset;
}

static s64 send(struct vm *vm, u64 destination, u64 message)
{
	u64 trigger = message / LUV_MESSAGE_TRIGGER;
	struct icr icr = {
		.vector = (u8)message,
		.delivery = message >> 8 & 7,
		.logical = message & LUV_MESSAGE_LOGICAL,
		.assert = true,
		.level_triggered = trigger == LUV_TRIGGER_LEVEL,
		.tell_eoi = trigger == LUV_TRIGGER_TELL,
		.destination = (u32)destination,
	};
	u64 reached;
	s64 result;

	if (icr.delivery > ICR_STARTUP || icr.delivery == 3 || destination > UINT32_MAX ||
	    trigger > LUV_TRIGGER_TELL || !(vm->flags & LUV_VM_LAPIC))
		return LUV_ERR_INVAL;
	reached = guest_apic_send(vm, &icr, LUV_VCPUS_MAX);
	result = reached ? __builtin_ctzll(reached) << 8 : 0;
	for (; reached; reached &= reached - 1)
		result++;
	return result;
}

s64 call_interrupt(struct vcpu *caller, const u64 argument[3])
{
	struct vm *vm = vm_get(session_address_space(caller), argument[0], false);
	s64 result;

	if (!vm)
		return LUV_ERR_PERM;
	result = send(vm, argument[1], argument[2]);
	vm_put(vm);
	return result;
}

static s64 take(struct vcpu *caller, const u64 argument[3], u64 index, struct vcpu **target)
{
	s64 result = target_take(caller, argument[0], index, HELD_BY_CALL, target);

	if (result || (*target)->guest->vm->flags & LUV_VM_LAPIC)
		return result;
	vm_vcpu_release(*target);
	return LUV_ERR_INVAL;
}

s64 call_lapic_read(struct vcpu *caller, const u64 argument[3])
{
	struct vcpu *target;
	u8 page[LAPIC_SIZE];
	s64 result = take(caller, argument, argument[1], &target);

	if (result)
		return result;
	lapic_set_tpr(&target->guest->lapic, target->control.tpr);
	lapic_save(&target->guest->lapic, now(target), page);
	vm_vcpu_release(target);
	return argument_write(caller, argument[2], page, sizeof(page));
}

s64 call_lapic_write(struct vcpu *caller, const u64 argument[3])
{
	struct vcpu *target;
	u8 page[LAPIC_SIZE];
	s64 result = argument_read(caller, argument[2], page, sizeof(page));

	if (result)
		return result;
	result = take(caller, argument, argument[1], &target);
	if (result)
		return result;
	lapic_restore(&target->guest->lapic, now(target), page);
	vcpu_need(target, VCPU_CONTROL);
	target->control.tpr = target->guest->lapic.tpr;
	target->dirty |= VCPU_CONTROL;
	vm_vcpu_release(target);
	return 0;
}

static s64 access_register(struct vcpu *vcpu, struct luv_lapic_access *access)
{
	struct lapic *lapic = &vcpu->guest->lapic;
	struct lapic_effect effect = {LAPIC_NOTHING, {0}};
	u32 value = 0;

	if (access->offset >= PAGE_SIZE || access->value > UINT32_MAX)
		return LUV_ERR_INVAL;
	vcpu_need(vcpu, VCPU_CONTROL);
	lapic_set_tpr(lapic, vcpu->control.tpr);
	if (access->write) {
		if (!lapic_mmio_write(lapic, (u32)access->offset, (u32)access->value, now(vcpu),
				      &effect))
			return LUV_ERR_INVAL;
	} else {
		if (!lapic_mmio_read(lapic, (u32)access->offset, now(vcpu), &value))
			return LUV_ERR_INVAL;
		access->value = value;
	}
	vcpu->control.tpr = lapic->tpr;
	vcpu->dirty |= VCPU_CONTROL;
	guest_apic_effect(vcpu, &effect, &access->kind, &access->effect);
	return 0;
}

s64 call_lapic_access(struct vcpu *caller, const u64 argument[3])
{
	struct vcpu *target;
	struct luv_lapic_access access;
	s64 result = argument_read(caller, argument[1], &access, sizeof(access));

	/* The answer must have a place before the register changes. */
	if (!result)
		result = argument_write(caller, argument[1], &access, sizeof(access));
	if (!result)
		result = take(caller, argument, access.index, &target);
	if (result)
		return result;
	result = access_register(target, &access);
	vm_vcpu_release(target);
	return result ? result : argument_write(caller, argument[1], &access, sizeof(access));
}
