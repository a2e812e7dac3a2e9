/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls of include/luvalley/calls.h, from their exit to their answer. */
#ifndef HYPERCALL_DISPATCH_H
#define HYPERCALL_DISPATCH_H

#include "vm/vcpu.h"

/* The exit handler for VMMCALL and VMCALL in dom0. */
void hypercall_exit(struct vcpu *vcpu);

#endif
