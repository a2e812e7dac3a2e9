/* SPDX-License-Identifier: BSD-2-Clause */
/* The vCPU that a call is about. */
#ifndef HYPERCALL_TARGET_H
#define HYPERCALL_TARGET_H

#include "vm/vm.h"

struct target {
	struct vm *vm;
	struct vcpu *vcpu;
};

/*
 * Takes the caller's vCPU `index` of the VM: 0, or LUV_ERR_PERM, NOENT, BUSY, CALL_RESTART, and nothing is
 * held.
 */
s64 target_take(struct vcpu *caller, u64 handle, u64 index, enum guest_holder holder,
		struct target *target);
void target_done(const struct target *target);

#endif
