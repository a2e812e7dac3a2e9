/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/hypercall.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "kvm/state.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define KVM_ENOSYS	1000 /* Linux's uapi/linux/kvm_para.h, as the numbers */
#define KVM_HC_POLL_IRQ 1
#define KVM_HC_SEND_IPI 10

#define APIC_IDS	255u		      /* FFh is everybody */
#define ICR_LEVEL	(1u << 15)	      /* SDM 3A 10.6.1 */
#define ICR_NOT_ALLOWED (3u << 18 | 1u << 11) /* shorthand, logical destination */

struct call {
	uint64_t number, argument[4];
	bool wide; /* 64-bit code, else all registers have 32 bits */
};

static int64_t send_to(struct vcpu *vcpu, uint64_t id, uint64_t icr)
{
	struct luv_interrupt message = {
	    .destination = id,
	    .delivery = icr >> 8 & 7,
	    .vector = icr & 0xff,
	    .level = icr & ICR_LEVEL ? LUV_TRIGGER_LEVEL : 0,
	};
	int reached = id < APIC_IDS ? vm_send(vcpu->vm, &message) : 0;

	return reached > 0 ? reached : 0;
}

/* Bit n of two registers side by side: APIC ID `first` + n. The answer: how many it reached. */
static int64_t send_ipi(struct vcpu *vcpu, const struct call *call)
{
	unsigned bits = call->wide ? 64 : 32;
	uint64_t first = (uint32_t)call->argument[2], icr = call->argument[3];
	int64_t reached = 0;

	if (icr & ICR_NOT_ALLOWED)
		return -EINVAL;
	if (vcpu->vm->mode == IRQCHIP_NONE)
		return -EOPNOTSUPP;
	for (unsigned n = 0; n < 2 * bits; n++)
		if (call->argument[n / bits] >> n % bits & 1)
			reached += send_to(vcpu, first + n, icr);
	return reached;
}

/*
 * As KVM, whose guests may call what their CPUID leaf 40000001h does not offer. It does not
 * offer SEND_IPI: the hypervisor takes ICR writes without leaving for this process.
 */
static int64_t answer(struct vcpu *vcpu, const struct call *call)
{
	if (vcpu->page->segment[LUV_SS].attributes >> 5 & 3)
		return -EPERM;
	switch (call->number) {
	case KVM_HC_POLL_IRQ:
		return 0;
	case KVM_HC_SEND_IPI:
		return send_ipi(vcpu, call);
	default:
		return -KVM_ENOSYS;
	}
}

void hypercall(struct vcpu *vcpu)
{
	static const uint8_t arguments[4] = {LUV_RBX, LUV_RCX, LUV_RDX, LUV_RSI};
	struct luv_vcpu_page *page = vcpu->page;
	struct call call;
	uint64_t mask;

	state_need(vcpu, LUV_GROUP_GENERAL | LUV_GROUP_CONTROL | LUV_GROUP_SEGMENTS);
	call.wide = page->efer & 1u << 10 && page->segment[LUV_CS].attributes & 1u << 9;
	mask = call.wide ? ~0ull : 0xffffffff;
	call.number = page->general[LUV_RAX] & mask;
	for (unsigned i = 0; i < 4; i++)
		call.argument[i] = page->general[arguments[i]] & mask;
	page->general[LUV_RAX] = (uint64_t)answer(vcpu, &call) & mask;
	page->rip = (page->rip + page->exit.instruction_length) & mask;
	state_changed(vcpu, LUV_GROUP_GENERAL);
}
