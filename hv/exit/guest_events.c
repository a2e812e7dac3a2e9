/* SPDX-License-Identifier: BSD-2-Clause */
/* What is delivered to a guest, and when (APM 2 15.20, 15.21). */
#include "cpu/x86.h"
#include "exit/guest.h"
#include "vm/guest.h"
#include "vm/virt_ops.h"

bool guest_interruptible(struct vcpu *vcpu)
{
	return vcpu->rflags & RFLAGS_IF && !vcpu->shadow;
}

/* The IRET that was seen has been executed once RIP is elsewhere. */
static NOINLINE bool nmi_unblocked(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;

	if (!guest->nmi_return || vcpu->rip == guest->nmi_return)
		return false;
	guest->nmi_blocked = false;
	guest->nmi_return = 0;
	vcpu->dirty |= VCPU_INTERCEPTS;
	return true;
}

static inline bool nmi_ready(struct vcpu *vcpu)
{
	return (!vcpu->guest->nmi_blocked || nmi_unblocked(vcpu)) && !vcpu->shadow;
}

void guest_open_window(struct vcpu *vcpu)
{
	if (vcpu->guest->window_open)
		return;
	vcpu->guest->window_open = true;
	vcpu->dirty |= VCPU_INTERCEPTS;
}

/* An exception goes before an interrupt whose delivery it may have ended; that waits again. */
static void raise_first(struct vcpu *vcpu, u64 event)
{
	if (vcpu->event && EVENT_TYPE_OF(vcpu->event) == EVENT_INTERRUPT) {
		vcpu->guest->queued = vcpu->event;
	} else if (EVENT_TYPE_OF(vcpu->event) == EVENT_NMI) {
		vcpu->guest->nmi_pending = true;
		vcpu->guest->nmi_blocked = false;
		vcpu->dirty |= VCPU_INTERCEPTS;
	}
	vcpu->event = event;
}

void guest_queue_event(struct vcpu *vcpu, u64 event)
{
	switch (EVENT_TYPE_OF(event)) {
	case EVENT_NMI:
		vcpu->guest->nmi_pending = true;
		break;
	case EVENT_EXCEPTION:
		raise_first(vcpu, event);
		break;
	default:
		vcpu->guest->queued = event;
		break;
	}
}

static bool deliver_nmi(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;

	if (!guest->nmi_pending || !nmi_ready(vcpu))
		return false;
	guest->nmi_pending = false;
	guest->nmi_blocked = true;
	vcpu->dirty |= VCPU_INTERCEPTS;
	vcpu->event = EVENT_VALID | EVENT_NMI | VECTOR_NMI;
	return true;
}

static bool deliver_queued(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;

	if (!guest->queued)
		return false;
	if (EVENT_TYPE_OF(guest->queued) == EVENT_INTERRUPT && !guest_interruptible(vcpu)) {
		guest_open_window(vcpu);
		return false;
	}
	vcpu->event = guest->queued;
	guest->queued = 0;
	return true;
}

/* A step is one instruction: with an event to deliver first, the handler's first. */
void guest_step_begin(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;

	if (guest->debug_flags & LUV_DEBUG_SINGLE_STEP && !(vcpu->rflags & RFLAGS_TF)) {
		vcpu->rflags |= RFLAGS_TF;
		guest->stepping = true;
	}
}

/* The trap flag of a single step is ours: the guest's own state is without it. */
void guest_step_end(struct vcpu *vcpu)
{
	if (!vcpu->guest->stepping)
		return;
	vcpu->rflags &= ~RFLAGS_TF;
	vcpu->guest->stepping = false;
}

static bool client_window(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;

	if (guest->request & LUV_REQUEST_INTERRUPT_WINDOW) {
		if (guest_interruptible(vcpu)) {
			guest_exit(vcpu, LUV_RUN_INTERRUPT_WINDOW);
			return true;
		}
		guest_open_window(vcpu);
	}
	if (guest->request & LUV_REQUEST_NMI_WINDOW && nmi_ready(vcpu)) {
		guest_exit(vcpu, LUV_RUN_NMI_WINDOW);
		return true;
	}
	return false;
}

void guest_deliver_events(struct vcpu *vcpu)
{
	bool lapic = vcpu->guest->vm->flags & LUV_VM_LAPIC;

	if (lapic && !guest_apic_wake(vcpu))
		return;
	/* One event an entry; an interrupted or raised one goes first. */
	if (!vcpu->event && !deliver_nmi(vcpu) && !deliver_queued(vcpu) && client_window(vcpu))
		return;
	if (lapic)
		guest_apic_deliver(vcpu);
	else
		guest_trap_cr8(vcpu, vcpu->guest->request & LUV_REQUEST_CR8);
	if (vcpu->guest->queued && EVENT_TYPE_OF(vcpu->guest->queued) == EVENT_INTERRUPT)
		guest_open_window(vcpu);
	if (vcpu->guest->request & LUV_REQUEST_INTERRUPT_WINDOW)
		guest_open_window(vcpu);
	guest_step_begin(vcpu);
}

/* With a local APIC, or NMIs blocked. */
static NOINLINE u64 ready_more(struct vcpu *vcpu, u64 ready, bool free)
{
	struct guest *guest = vcpu->guest;

	if (guest->vm->flags & LUV_VM_LAPIC && lapic_takes_extint(&guest->lapic))
		ready |= LUV_READY_EXTINT;
	if (free && guest->nmi_blocked && nmi_unblocked(vcpu) && !guest->nmi_pending)
		ready |= LUV_READY_NMI;
	return ready;
}

u64 guest_ready(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;
	bool free = !guest->queued && !vcpu->event && !vcpu->shadow;
	u64 ready = vcpu->rflags & RFLAGS_IF ? LUV_READY_IF : 0;

	if (free && ready)
		ready |= LUV_READY_INTERRUPT;
	if (free && !guest->nmi_blocked && !guest->nmi_pending)
		ready |= LUV_READY_NMI;
	if (guest->vm->flags & LUV_VM_LAPIC || guest->nmi_blocked)
		return ready_more(vcpu, ready, free);
	return ready;
}
