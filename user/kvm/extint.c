/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts from a PIC, in this library or in the client: the vCPU asks for the vector. */
#include <errno.h>

#include "kvm/irqchip.h"
#include "kvm/run.h"
#include "kvm/state.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

/* SDM 3A 10.5.1: LINT0 brings the PIC's interrupts in, or the APIC is off and out of the way.
 * The guest may have changed that since page->ready was written. */
static bool accepts_pic(struct vcpu *vcpu)
{
	uint64_t held = vcpu->page->valid;

	vcpu->page->wanted = 0;
	if (luv_vcpu_sync(vcpu->vm->handle, vcpu->index) < 0)
		return false;
	vcpu->page->valid = held;
	return vcpu->page->ready & LUV_READY_EXTINT;
}

/* The PIC is asked for its vector only when that is delivered at once. */
static void from_pic(struct vcpu *vcpu)
{
	int vector;

	if (!irqchip_extint_pending(vcpu->vm) || !accepts_pic(vcpu)) {
		vcpu->page->request &= ~LUV_REQUEST_INTERRUPT_WINDOW;
		return;
	}
	if (!vcpu_has_room(vcpu)) {
		vcpu->page->request |= LUV_REQUEST_INTERRUPT_WINDOW;
		return;
	}
	vcpu->page->request &= ~LUV_REQUEST_INTERRUPT_WINDOW;
	vector = irqchip_extint_take(vcpu->vm);
	if (vector >= 0)
		state_inject(vcpu, LUV_INJECT_VALID | LUV_INJECT_INTERRUPT | (uint64_t)vector,
			     0);
}

/* The client's PIC: it wants to know when the vCPU would take its interrupt. */
static bool client_waits(struct vcpu *vcpu)
{
	return vcpu->run->request_interrupt_window &&
	       (vcpu->vm->mode == IRQCHIP_NONE || accepts_pic(vcpu));
}

void extint_before_run(struct vcpu *vcpu)
{
	if (vcpu->vm->mode == IRQCHIP_FULL)
		from_pic(vcpu);
	else if (!vcpu->page->inject.event && client_waits(vcpu))
		vcpu->page->request |= LUV_REQUEST_INTERRUPT_WINDOW;
	else
		vcpu->page->request &= ~LUV_REQUEST_INTERRUPT_WINDOW;
}

bool extint_window_open(struct vcpu *vcpu)
{
	return vcpu->vm->mode != IRQCHIP_FULL && vcpu_has_room(vcpu) && client_waits(vcpu);
}

int extint_queue(struct vcpu *vcpu, uint32_t vector)
{
	uint64_t event = LUV_INJECT_VALID | LUV_INJECT_INTERRUPT | vector;

	if (vector > 255)
		return -EINVAL;
	if (vcpu->vm->mode == IRQCHIP_FULL)
		return -ENXIO;
	if (vcpu->vm->mode == IRQCHIP_SPLIT) {
		state_need(vcpu, LUV_GROUP_EVENTS);
		if (vcpu->page->inject.event || vcpu->page->events.pending & LUV_INJECT_VALID)
			return -EEXIST;
	}
	state_inject(vcpu, event, 0);
	return 0;
}
