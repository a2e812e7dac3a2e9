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

/* What the emulator needs; all other registers are fetched when somebody asks (state_need). */
#define WANTED                                                                       \
	LUV_WANTED_MMIO(LUV_GROUP_GENERAL | LUV_GROUP_CONTROL | LUV_GROUP_SEGMENTS | \
			LUV_GROUP_EVENTS)

/* A bit that is not seen here stays, and ends RUN. */
static void signals_clear(struct vcpu *vcpu, uint64_t bits)
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

/* False: vm_stop holds the vCPU out. */
static bool enter_gate(struct vcpu *vcpu)
{
	uint32_t stopped;

	__atomic_store_n(&vcpu->in_run, 1, __ATOMIC_SEQ_CST);
	stopped = __atomic_load_n(&vcpu->vm->stopped, __ATOMIC_SEQ_CST);
	if (!stopped)
		return true;
	__atomic_store_n(&vcpu->in_run, 0, __ATOMIC_SEQ_CST);
	futex_wake(&vcpu->in_run);
	if (!interrupted(vcpu))
		futex_wait(&vcpu->vm->stopped, stopped);
	return false;
}

static void leave_gate(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->in_run, 0, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&vcpu->vm->stopped, __ATOMIC_SEQ_CST))
		futex_wake(&vcpu->in_run);
}

/* With the local APIC in the client, CR8 is its TPR: it goes both ways through kvm_run. */
static void take_cr8(struct vcpu *vcpu)
{
	struct luv_vcpu_page *page = vcpu->page;

	if (vcpu->vm->mode != IRQCHIP_NONE)
		return;
	page->request |= LUV_REQUEST_CR8;
	vcpu->cr8 = vcpu->run->cr8 & 15;
	if (vcpu_cr8(vcpu) == vcpu->cr8)
		return;
	state_need(vcpu, LUV_GROUP_CONTROL);
	page->cr8 = vcpu->cr8;
	state_changed(vcpu, LUV_GROUP_CONTROL);
}

static void before_run(struct vcpu *vcpu)
{
	if (vcpu->vm->mode == IRQCHIP_FULL || vcpu->run->request_interrupt_window ||
	    vcpu->page->request & LUV_REQUEST_INTERRUPT_WINDOW)
		extint_before_run(vcpu);
	if (vcpu->clock.msr)
		clock_update(vcpu);
	vcpu->page->wanted = vcpu->plain ? LUV_WANTED_MMIO(LUV_GROUP_GENERAL) : WANTED;
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
	result = luv_vcpu_run(vcpu->vm->handle, vcpu->index, vcpu->page);
	leave_gate(vcpu);
	if (result < 0)
		return refused(vcpu, result);
	result = exit_handle(vcpu);
	return result == RUN_HALTED ? halt_exit(vcpu, seen) : result;
}

/* --- KVM_RUN ----------------------------------------------------------------------------- */

static void fill_run(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->if_flag = (uint8_t)vcpu_rflags_if(vcpu);
	run->flags = 0;
	run->cr8 = vcpu_cr8(vcpu);
	run->apic_base = vcpu_apic_base(vcpu);
	run->ready_for_interrupt_injection =
	    vcpu->vm->mode == IRQCHIP_FULL || extint_ready(vcpu);
}

static int loop(struct vcpu *vcpu)
{
	int result = RUN_AGAIN;

	if (vcpu->pending != PENDING_NONE)
		result = exit_complete(vcpu);
	if (result == RUN_AGAIN && vcpu->triple_fault) {
		vcpu->triple_fault = false;
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		result = 0;
	}
	/* With the stop byte set RUN finishes the instruction that the client answered, no
	 * more. */
	while (result == RUN_AGAIN)
		result = run_once(vcpu);
	return result;
}

int run_vcpu(struct vcpu *vcpu)
{
	int result;

	if (vcpu->run->kvm_valid_regs || vcpu->run->kvm_dirty_regs)
		return -EINVAL;
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
