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

/* What every return of the hypervisor's RUN brings along: kvm_run shows parts of it. */
#define WANTED                                                                       \
	(LUV_GROUP_GENERAL | LUV_GROUP_CONTROL | LUV_GROUP_MSRS | LUV_GROUP_EVENTS | \
	 LUV_GROUP_FPU)

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
	if (page->cr8 == vcpu->cr8)
		return;
	page->cr8 = vcpu->cr8;
	state_changed(vcpu, LUV_GROUP_CONTROL);
}

static void before_run(struct vcpu *vcpu)
{
	extint_before_run(vcpu);
	clock_update(vcpu);
	/* Who has a device's memory mapped comes back for more: one call less for the emulator.
	 */
	vcpu->page->wanted = WANTED;
	if (vcpu->page->exit.reason == LUV_RUN_MMIO)
		vcpu->page->wanted |= LUV_GROUP_SEGMENTS;
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

static bool is_halt(const struct vcpu *vcpu)
{
	return vcpu->page->exit.reason == LUV_RUN_HLT && vcpu->vm->mode != IRQCHIP_NONE;
}

/*
 * `seen` is read before anything else is looked at: what comes later counts `wake` up, and sets
 * a bit of page->signal that was cleared before.
 */
static int run_once(struct vcpu *vcpu)
{
	uint32_t seen = __atomic_load_n(&vcpu->wake, __ATOMIC_SEQ_CST);
	int result;

	__atomic_fetch_and(&vcpu->page->signal, ~(SIGNAL_STOP | SIGNAL_KICK), __ATOMIC_SEQ_CST);
	before_run(vcpu);
	if (!enter_gate(vcpu))
		return interrupted(vcpu) ? -EINTR : RUN_AGAIN;
	result = luv_vcpu_run(vcpu->vm->handle, vcpu->index, vcpu->page);
	leave_gate(vcpu);
	if (result < 0)
		return refused(vcpu, result);
	return is_halt(vcpu) ? halt_exit(vcpu, seen) : exit_handle(vcpu);
}

/* --- KVM_RUN ----------------------------------------------------------------------------- */

static void fill_run(struct vcpu *vcpu)
{
	const struct luv_vcpu_page *page = vcpu->page;
	struct kvm_run *run = vcpu->run;

	state_need(vcpu, LUV_GROUP_GENERAL | LUV_GROUP_CONTROL | LUV_GROUP_MSRS);
	run->if_flag = page->rflags >> 9 & 1;
	run->flags = 0;
	run->cr8 = page->cr8;
	run->apic_base = page->msr[LUV_MSR_APIC_BASE];
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
	state_need(vcpu, WANTED);
	take_cr8(vcpu);
	__atomic_fetch_and(&vcpu->page->signal, ~SIGNAL_HANDLER, __ATOMIC_SEQ_CST);
	signals_enter(vcpu);
	vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
	result = loop(vcpu);
	signals_leave(vcpu);
	if (result == -EINTR)
		vcpu->run->exit_reason = KVM_EXIT_INTR;
	fill_run(vcpu);
	return result;
}
