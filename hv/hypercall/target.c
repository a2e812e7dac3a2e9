/* SPDX-License-Identifier: BSD-2-Clause */
#include "hypercall/target.h"

#include "hypercall/call.h"
#include "hypercall/session.h"

s64 target_take(struct vcpu *caller, u64 handle, u64 index, enum guest_holder holder,
		struct target *target)
{
	s64 error;

	target->vm = vm_get(session_address_space(caller), handle);
	if (!target->vm)
		return LUV_ERR_PERM;
	target->vcpu = vm_vcpu_take(target->vm, index, holder, &error);
	if (target->vcpu)
		return 0;
	vm_put(target->vm);
	/* Waiting for the other call is done in dom0, with interrupts on. */
	return error == LUV_ERR_AGAIN ? CALL_RESTART : error;
}

void target_done(const struct target *target)
{
	vm_vcpu_release(target->vcpu);
	vm_put(target->vm);
}
