/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls on a virtual CPU; RUN above all. */
#include "cpu/x86.h"
#include "exit/access.h"
#include "exit/guest.h"
#include "exit/run.h"
#include "hypercall/argument.h"
#include "hypercall/call.h"
#include "hypercall/session.h"
#include "hypercall/target.h"
#include "mem/page.h"
#include "vm/guest.h"
#include "vm/state.h"
#include "vm/valid.h"
#include "vm/vm.h"
#include "vm/world.h"

const struct exit_policy *call_guest_policy(void)
{
	return &guest_policy;
}

/* --- RUN ------------------------------------------------------------------------------------ */

static bool told_to_stop(const struct guest *guest)
{
	return __atomic_load_n(guest->stop, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&guest->page->signal, __ATOMIC_RELAXED);
}

/* Taken only once, whoever else looks; most often there is nothing, which needs no locked instruction. */
static u64 take_word(u64 *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED) ? __atomic_exchange_n(word, 0, __ATOMIC_ACQUIRE) : 0;
}

/* What the client set or asks to be delivered; most often nothing, which two loads see. */
static NOINLINE s64 take_changes(struct vcpu *vcpu)
{
	struct luv_vcpu_page *page = vcpu->guest->page;
	u64 dirty = take_word(&page->dirty), word = take_word(&page->inject.event), event;

	if (dirty)
		state_take(vcpu, dirty);
	if (!word)
		return 0;
	event = event_decode(word, __atomic_load_n(&page->inject.error, __ATOMIC_RELAXED));
	if (!event)
		return LUV_ERR_INVAL;
	guest_queue_event(vcpu, event);
	return 0;
}

static NOINLINE s64 check_state(struct vcpu *vcpu)
{
	vcpu_need(vcpu, VCPU_CONTROL | VCPU_SEGMENTS | VCPU_MSRS);
	if (!state_is_valid(vcpu, world_limits()))
		return LUV_ERR_INVAL;
	vcpu->guest->unchecked = false;
	return 0;
}

/* What the client wrote since the last time. */
static inline s64 take_requests(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;
	struct luv_vcpu_page *page = guest->page;
	u32 exceptions = (u32)__atomic_load_n(&page->debug_exceptions, __ATOMIC_RELAXED);
	s64 result = 0;

	guest->request = __atomic_load_n(&page->request, __ATOMIC_RELAXED);
	guest->debug_flags = __atomic_load_n(&page->debug_flags, __ATOMIC_RELAXED);
	if (exceptions != guest->debug_exceptions) {
		guest->debug_exceptions = exceptions;
		vcpu->dirty |= VCPU_INTERCEPTS;
	}
	if (__atomic_load_n(&page->dirty, __ATOMIC_RELAXED) | __atomic_load_n(&page->inject.event, __ATOMIC_RELAXED))
		result = take_changes(vcpu);
	if (!result && guest->unchecked)
		result = check_state(vcpu);
	return result;
}

static inline void give(struct vcpu *vcpu)
{
	struct luv_vcpu_page *page = vcpu->guest->page;
	u64 wanted = __atomic_load_n(&page->wanted, __ATOMIC_RELAXED);

	/* A hint of what to copy, no more: what is read here of our own the client may have overwritten. */
	page->ready = guest_ready(vcpu) | (vcpu->control.tpr & 0xf0) | vcpu->guest->lapic.base;
	page->tsc_offset = vcpu->guest->tsc_offset;
	if (page->exit.reason == LUV_RUN_MMIO || page->exit.reason == LUV_RUN_WALK)
		wanted |= wanted >> 32;
	wanted &= LUV_GROUPS_ALL;
	page->valid = wanted;
	if (wanted)
		state_give(vcpu, wanted);
}

static s64 enter(struct vcpu *caller, struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;

	if (!world_enter(caller, vcpu)) {
		guest->page->exit.reason = LUV_RUN_NOTHING;
		return LUV_ERR_INVAL;
	}
	run_guest(vcpu);
	if (guest->stepping)
		guest_step_end(vcpu);
	world_leave(caller, vcpu);
	if (guest->leave != LEAVE_TO_DOM0)
		return 0;
	guest->restarting = true;
	return CALL_RESTART;
}

/* What is left of the last exit: the instruction that the client answered, a step to report. */
static NOINLINE void finish(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;

	if (guest->finish != FINISH_NOTHING) {
		guest_step_begin(vcpu);
		guest_finish(vcpu);
		guest_step_end(vcpu);
	}
	if (guest->step_owed && guest->leave == LEAVE_NOT) {
		guest->step_owed = false;
		if (guest->debug_flags & LUV_DEBUG_SINGLE_STEP)
			guest_step_done(vcpu);
	}
}

/*
 * What the client set is taken over first, then the instruction that it answered is finished, even
 * when it is told to stop: as KVM does with immediate_exit.
 */
static inline s64 run(struct vcpu *caller, struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;
	s64 result;

	if (guest->restarting)
		guest->restarts++;
	else
		guest->runs++;
	guest->restarting = false;
	guest->leave = LEAVE_NOT;
	result = take_requests(vcpu);
	if (result) {
		guest->page->exit.reason = LUV_RUN_NOTHING;
		return result;
	}
	if (guest->finish | guest->step_owed)
		finish(vcpu);
	if (guest->leave == LEAVE_NOT) {
		if (told_to_stop(guest)) {
			guest->page->exit.reason = LUV_RUN_NOTHING;
			result = LUV_ERR_INTR;
		} else {
			result = enter(caller, vcpu);
		}
	}
	if (result != CALL_RESTART)
		give(vcpu);
	return result;
}

/* Without interrupts dom0 could never end it. */
s64 call_vcpu_run(struct vcpu *caller, const u64 argument[3])
{
	struct vcpu *vcpu;
	s64 result;

	if (!(caller->rflags & RFLAGS_IF))
		return LUV_ERR_INVAL;
	result = target_take(caller, argument[0], argument[1], HELD_BY_RUN, &vcpu);
	if (result)
		return result;
	result = run(caller, vcpu);
	vm_vcpu_release(vcpu);
	return result;
}

/* --- the others ----------------------------------------------------------------------------- */

s64 call_vcpu_sync(struct vcpu *caller, const u64 argument[3])
{
	struct vcpu *target;
	s64 result = target_take(caller, argument[0], argument[1], HELD_BY_CALL, &target);

	if (result)
		return result;
	result = take_requests(target);
	give(target);
	vm_vcpu_release(target);
	return result;
}

s64 call_vcpu_cpuid(struct vcpu *caller, const u64 argument[3])
{
	struct vcpu *target;
	s64 result = target_take(caller, argument[0], argument[1], HELD_BY_CALL, &target);
	struct guest *guest;

	if (result)
		return result;
	guest = target->guest;
	if (!guest->cpuid)
		guest->cpuid = page_alloc();
	if (!guest->cpuid)
		result = LUV_ERR_NOMEM;
	else if (argument[2] % PAGE_SIZE)
		result = LUV_ERR_INVAL;
	else if (!user_read(caller, gva(argument[2]), guest->cpuid, PAGE_SIZE))
		result = LUV_ERR_FAULT;
	if (guest->cpuid)
		guest_cpuid_changed(target);
	vm_vcpu_release(target);
	return result;
}

/* Read while it may run: counters that lag behind by an exit. */
static void read_statistics(const struct vcpu *vcpu, struct luv_vcpu_statistics *statistics)
{
	statistics->runs = __atomic_load_n(&vcpu->guest->runs, __ATOMIC_RELAXED);
	statistics->restarts = __atomic_load_n(&vcpu->guest->restarts, __ATOMIC_RELAXED);
	for (u32 i = 0; i < LUV_EXIT_COUNT; i++)
		statistics->exits[i] = __atomic_load_n(&vcpu->exits[i], __ATOMIC_RELAXED);
}

s64 call_vcpu_statistics(struct vcpu *caller, const u64 argument[3])
{
	struct vm *vm = vm_get(session_address_space(caller), argument[0], false);
	struct luv_vcpu_statistics statistics;
	const struct vcpu *vcpu;
	s64 result;

	if (!vm)
		return LUV_ERR_PERM;
	result = argument_read(caller, argument[1], &statistics, sizeof(statistics));
	if (!result) {
		vcpu = vm_vcpu_peek(vm, statistics.index);
		if (vcpu)
			read_statistics(vcpu, &statistics);
		result = vcpu ? argument_write(caller, argument[1], &statistics,
					       sizeof(statistics))
			      : LUV_ERR_NOENT;
	}
	vm_put(vm);
	return result;
}
