/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM_RUN: enters the hypervisor's RUN until there is something for the client, and answers in
 * between what this library answers itself.
 */
#include "kvm/run.h"

#include <errno.h>
#include <sched.h>

#include "kvm/clock.h"
#include "kvm/futex.h"
#include "kvm/signals.h"
#include "kvm/state.h"
#include "kvm/system.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

/* A bit that is not seen here stays, and ends RUN. */
static inline void signals_clear(struct vcpu *vcpu, uint64_t bits)
{
	if (__atomic_load_n(&vcpu->page->signal, __ATOMIC_SEQ_CST) & bits)
		__atomic_fetch_and(&vcpu->page->signal, ~bits, __ATOMIC_SEQ_CST);
}

static bool interrupted(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->page->signal, __ATOMIC_SEQ_CST) & SIGNAL_HANDLER ||
	       __atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_SEQ_CST);
}

/* --- entering ---------------------------------------------------------------------------- */

static void hold_out(struct vcpu *vcpu, uint32_t stopped)
{
	__atomic_store_n(&vcpu->in_run, 0, __ATOMIC_SEQ_CST);
	futex_wake(&vcpu->in_run);
	if (!interrupted(vcpu))
		futex_wait(&vcpu->vm->stopped, stopped);
}

/*
 * False: vm_stop holds the vCPU out. Between the store and the load the CPU needs a full
 * barrier, which vm_stop makes for all (barrier_everywhere): it comes seldom, this often. Who
 * kicks looks at in_run, too; what he has left for the vCPU before is looked at by the
 * hypervisor behind a locked instruction of its own.
 */
static inline bool enter_gate(struct vcpu *vcpu)
{
	uint32_t stopped;

	__atomic_store_n(&vcpu->in_run, 1, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	stopped = __atomic_load_n(&vcpu->vm->stopped, __ATOMIC_ACQUIRE);
	if (!stopped)
		return true;
	hold_out(vcpu, stopped);
	return false;
}

/* Likewise. */
static inline void leave_gate(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->in_run, 0, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&vcpu->vm->stopped, __ATOMIC_RELAXED))
		futex_wake(&vcpu->in_run);
}

/* With the local APIC in the client, CR8 is its TPR: it goes both ways through kvm_run. */
static void set_cr8(struct vcpu *vcpu)
{
	state_need(vcpu, LUV_GROUP_CONTROL);
	vcpu->page->cr8 = vcpu->cr8;
	state_changed(vcpu, LUV_GROUP_CONTROL);
}

static inline void take_cr8(struct vcpu *vcpu)
{
	if (vcpu->vm->mode != IRQCHIP_NONE)
		return;
	vcpu->cr8 = vcpu->run->cr8 & 15;
	if (vcpu_cr8(vcpu) != vcpu->cr8)
		set_cr8(vcpu);
}

static inline void before_run(struct vcpu *vcpu)
{
	struct luv_vcpu_page *page = vcpu->page;

	if (vcpu->vm->mode == IRQCHIP_FULL || vcpu->run->request_interrupt_window ||
	    page->request & LUV_REQUEST_INTERRUPT_WINDOW)
		extint_before_run(vcpu);
	if (vcpu->clock.msr)
		clock_update(vcpu);
	page->wanted = vcpu->wanted;
}

static int refused(struct vcpu *vcpu, int result)
{
	switch (result) {
	case LUV_ERR_INTR:
		return interrupted(vcpu) ? -EINTR : RUN_AGAIN;
	case LUV_ERR_BUSY:
		sched_yield(); /* a statistics call, or the like */
		return RUN_AGAIN;
	case LUV_ERR_INVAL:
		vcpu->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
		vcpu->run->fail_entry.hardware_entry_failure_reason = ~0ull;
		vcpu->run->fail_entry.cpu = 0;
		return 0;
	default:
		return system_errno(result);
	}
}

/* HLT with a local APIC: nothing to do until something counts `wake` up, or its timer is due.
 */
static int halted(struct vcpu *vcpu, uint32_t seen)
{
	uint64_t until;

	if (!timer_waits(vcpu, &until))
		return RUN_AGAIN;
	__atomic_store_n(&vcpu->sleeping, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&vcpu->page->signal, __ATOMIC_SEQ_CST) && !interrupted(vcpu))
		futex_wait_until(&vcpu->wake, seen, until);
	__atomic_store_n(&vcpu->sleeping, 0, __ATOMIC_SEQ_CST);
	return interrupted(vcpu) ? -EINTR : RUN_AGAIN;
}

/* An interrupt of the PIC's ends it. */
static int halt_exit(struct vcpu *vcpu, uint32_t seen)
{
	extint_before_run(vcpu);
	if (vcpu->page->inject.event)
		return RUN_AGAIN;
	if (extint_window_open(vcpu)) {
		vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
		return 0;
	}
	return halted(vcpu, seen);
}

/*
 * `seen` is read before anything else is looked at: what comes later counts `wake` up, and sets
 * a bit of page->signal that was cleared before.
 */
static int run_once(struct vcpu *vcpu)
{
	uint32_t seen = __atomic_load_n(&vcpu->wake, __ATOMIC_SEQ_CST);
	int result;

	signals_clear(vcpu, SIGNAL_STOP | SIGNAL_KICK);
	before_run(vcpu);
	if (!enter_gate(vcpu))
		return interrupted(vcpu) ? -EINTR : RUN_AGAIN;
	do
		result = luv_vcpu_run(vcpu->handle, vcpu->index, vcpu->page);
	while (result >= 0 && vcpu->vm->events && exit_is_event(vcpu));
	leave_gate(vcpu);
	if (result < 0)
		return refused(vcpu, result);
	result = exit_handle(vcpu);
	return result == RUN_HALTED ? halt_exit(vcpu, seen) : result;
}

/* --- KVM_RUN ----------------------------------------------------------------------------- */

/* As of the last RUN; what was changed since is in the page. */
static void fill_changed(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->if_flag = (uint8_t)vcpu_rflags_if(vcpu);
	run->cr8 = vcpu_cr8(vcpu);
	run->apic_base = vcpu_apic_base(vcpu);
}

/* Would KVM_INTERRUPT be delivered at once? */
static bool takes_interrupt(const struct vcpu *vcpu, uint64_t ready)
{
	return vcpu->vm->mode == IRQCHIP_FULL ||
	       (vcpu_has_room(vcpu) &&
		(vcpu->vm->mode == IRQCHIP_NONE || ready & LUV_READY_EXTINT));
}

static void fill_run(struct vcpu *vcpu)
{
	const struct luv_vcpu_page *page = vcpu->page;
	struct kvm_run *run = vcpu->run;
	uint64_t ready = page->ready;

	run->flags = 0;
	run->if_flag = !!(ready & LUV_READY_IF);
	run->cr8 = LUV_READY_CR8(ready);
	run->apic_base = LUV_READY_APIC_BASE(ready);
	run->ready_for_interrupt_injection = takes_interrupt(vcpu, ready);
	if (page->dirty &
	    (LUV_GROUP_GENERAL | LUV_GROUP_CONTROL | LUV_GROUP_MSRS | LUV_GROUP_RIP))
		fill_changed(vcpu);
}

/* What is to be done before the guest is entered: mostly nothing. */
static int run_first(struct vcpu *vcpu)
{
	int result = RUN_AGAIN;

	if (vcpu->pending != PENDING_NONE)
		result = exit_complete(vcpu);
	if (result == RUN_AGAIN && vcpu->triple_fault) {
		vcpu->triple_fault = false;
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		result = 0;
	}
	return result;
}

static int loop(struct vcpu *vcpu)
{
	int result = vcpu->first ? run_first(vcpu) : RUN_AGAIN;

	/* With the stop byte set RUN finishes the instruction that the client answered, no
	 * more. */
	while (result == RUN_AGAIN)
		result = run_once(vcpu);
	return result;
}

int run_vcpu(struct vcpu *vcpu)
{
	int result;

	if (vcpu->run->kvm_valid_regs | vcpu->run->kvm_dirty_regs)
		return -EINVAL;
	if (!vcpu->emulate_ready)
		exit_prepare(vcpu);
	take_cr8(vcpu);
	signals_clear(vcpu, SIGNAL_HANDLER);
	signals_enter(vcpu);
	vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
	result = loop(vcpu);
	signals_leave(vcpu);
	if (result == -EINTR)
		vcpu->run->exit_reason = KVM_EXIT_INTR;
	fill_run(vcpu);
	return result;
}
