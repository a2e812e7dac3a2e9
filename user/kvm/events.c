/* SPDX-License-Identifier: BSD-2-Clause */
/* Events on their way into a vCPU, and what it waits for. */
#include <errno.h>

#include "kvm/irqchip.h"
#include "kvm/state.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define TYPE(pending)	  ((pending) & (7ull << 8))
#define VALID_ON_GET	  (KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW)
#define VECTOR_EXCEPTIONS 32

static void get_pending(const struct luv_events *from, struct kvm_vcpu_events *to)
{
	uint64_t pending = from->pending;

	if (!(pending & LUV_INJECT_VALID))
		return;
	switch (TYPE(pending)) {
	case LUV_INJECT_EXCEPTION:
		to->exception.injected = 1;
		to->exception.nr = (uint8_t)pending;
		to->exception.has_error_code = !!(pending & LUV_INJECT_ERROR);
		to->exception.error_code = (uint32_t)from->pending_error;
		break;
	case LUV_INJECT_NMI:
		to->nmi.injected = 1;
		break;
	default:
		to->interrupt.injected = 1;
		to->interrupt.nr = (uint8_t)pending;
		break;
	}
}

int state_get_events(struct vcpu *vcpu, struct kvm_vcpu_events *events)
{
	const struct luv_events *from = &vcpu->page->events;

	*events = (struct kvm_vcpu_events){.flags = VALID_ON_GET};
	state_need(vcpu, LUV_GROUP_EVENTS);
	get_pending(from, events);
	events->interrupt.shadow = from->shadow ? KVM_X86_SHADOW_INT_STI : 0;
	events->nmi.pending = !!from->nmi_pending;
	events->nmi.masked = !!from->nmi_blocked;
	if (vcpu->vm->exception_payload)
		events->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (vcpu->vm->triple_fault_event) {
		events->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
		events->triple_fault.pending = vcpu->triple_fault;
	}
	return 0;
}

static int check_events(const struct vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	uint32_t known = VALID_ON_GET | KVM_VCPUEVENT_VALID_SIPI_VECTOR;

	known |= vcpu->vm->exception_payload ? KVM_VCPUEVENT_VALID_PAYLOAD : 0;
	known |= vcpu->vm->triple_fault_event ? KVM_VCPUEVENT_VALID_TRIPLE_FAULT : 0;
	/* There is no system management mode to be in. */
	if (events->flags & KVM_VCPUEVENT_VALID_SMM && !events->smi.smm && !events->smi.pending)
		known |= KVM_VCPUEVENT_VALID_SMM;
	if (events->flags & ~known)
		return -EINVAL;
	if ((events->exception.injected || events->exception.pending) &&
	    (events->exception.nr >= VECTOR_EXCEPTIONS || events->exception.nr == 2))
		return -EINVAL;
	return events->exception.injected && events->exception.pending &&
		       events->flags & KVM_VCPUEVENT_VALID_PAYLOAD
		   ? -EINVAL
		   : 0;
}

/* One event can wait; KVM's order of delivery says which. */
static void set_pending(struct luv_events *to, const struct kvm_vcpu_events *from)
{
	to->pending = to->pending_error = 0;
	if (from->exception.injected || from->exception.pending) {
		to->pending = LUV_INJECT_VALID | LUV_INJECT_EXCEPTION | from->exception.nr;
		if (from->exception.has_error_code)
			to->pending |= LUV_INJECT_ERROR;
		to->pending_error = from->exception.error_code;
	} else if (from->nmi.injected) {
		to->pending = LUV_INJECT_VALID | LUV_INJECT_NMI | 2;
	} else if (from->interrupt.injected) {
		to->pending = LUV_INJECT_VALID | LUV_INJECT_INTERRUPT | from->interrupt.nr;
	}
}

/*
 * A payload of an exception that is not injected yet is what its delivery puts into CR2 or DR6:
 * it is put there now, as nobody looks in between.
 */
static void set_payload(struct vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	struct luv_vcpu_page *page = vcpu->page;

	if (!(events->flags & KVM_VCPUEVENT_VALID_PAYLOAD) || !events->exception.pending ||
	    !events->exception_has_payload)
		return;
	if (events->exception.nr == 14) {
		state_need(vcpu, LUV_GROUP_CONTROL);
		page->cr2 = events->exception_payload;
		state_changed(vcpu, LUV_GROUP_CONTROL);
	} else if (events->exception.nr == 1) {
		state_need(vcpu, LUV_GROUP_DEBUG);
		page->dr[6] = (page->dr[6] & ~15ull) | events->exception_payload;
		state_changed(vcpu, LUV_GROUP_DEBUG);
	}
}

int state_set_events(struct vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	struct luv_events *to = &vcpu->page->events;
	int result = check_events(vcpu, events);

	if (result < 0)
		return result;
	state_need(vcpu, LUV_GROUP_EVENTS);
	set_payload(vcpu, events);
	set_pending(to, events);
	if (events->flags & KVM_VCPUEVENT_VALID_SHADOW)
		to->shadow = !!events->interrupt.shadow;
	if (events->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		to->nmi_pending = !!events->nmi.pending;
	to->nmi_blocked = !!events->nmi.masked;
	if (events->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT)
		vcpu->triple_fault = events->triple_fault.pending;
	state_changed(vcpu, LUV_GROUP_EVENTS);
	return 0;
}

/* --- KVM_GET_MP_STATE, KVM_SET_MP_STATE -------------------------------------------------- */

int state_get_mp(struct vcpu *vcpu, struct kvm_mp_state *state)
{
	state_need(vcpu, LUV_GROUP_EVENTS);
	switch (vcpu->page->events.mp_state) {
	case LUV_MP_WAIT_SIPI:
		state->mp_state = KVM_MP_STATE_UNINITIALIZED;
		break;
	case LUV_MP_HALTED:
		state->mp_state = KVM_MP_STATE_HALTED;
		break;
	default:
		state->mp_state = KVM_MP_STATE_RUNNABLE;
		break;
	}
	return 0;
}

int state_set_mp(struct vcpu *vcpu, const struct kvm_mp_state *state)
{
	uint64_t to;

	switch (state->mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		to = LUV_MP_RUNNABLE;
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
		to = LUV_MP_WAIT_SIPI;
		break;
	case KVM_MP_STATE_HALTED:
		to = LUV_MP_HALTED;
		break;
	default:
		return -EINVAL;
	}
	/* Without local APICs there is nothing that could wake it. */
	if (to != LUV_MP_RUNNABLE && vcpu->vm->mode == IRQCHIP_NONE)
		return -EINVAL;
	state_need(vcpu, LUV_GROUP_EVENTS);
	vcpu->page->events.mp_state = to;
	state_changed(vcpu, LUV_GROUP_EVENTS);
	return 0;
}
