/* SPDX-License-Identifier: BSD-2-Clause */
/* The vCPU that a call is about. */
#ifndef HYPERCALL_TARGET_H
#define HYPERCALL_TARGET_H

#include "hypercall/call.h"
#include "hypercall/session.h"
#include "vm/vm.h"

/* Takes the caller's vCPU until vm_vcpu_release: 0, or LUV_ERR_PERM, NOENT, BUSY, CALL_RESTART. */
static inline s64 target_take(struct vcpu *caller, u64 handle, u64 index, enum guest_holder holder,
			      struct vcpu **target)
{
	s64 result = vm_vcpu_take(session_address_space(caller), handle, index, holder, target);

	/* Waiting for the other call is done in dom0, with interrupts on. */
	return result == LUV_ERR_AGAIN ? CALL_RESTART : result;
}

#endif
