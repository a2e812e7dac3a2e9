/* SPDX-License-Identifier: BSD-2-Clause */
/* AMD-V: what guests need beyond dom0: their intercepts and TLB tags. */
#ifndef SVM_GUEST_H
#define SVM_GUEST_H

#include "svm/vmcb.h"
#include "vm/vcpu.h"

/* Fills what all guests share; once, before the first. */
void svm_guest_init(void);

/* virt_ops.vcpu_create_guest. */
bool svm_guest_create(struct vcpu *vcpu);

/* Writes the intercepts that follow struct guest: exceptions, windows. */
void svm_guest_intercepts(struct vcpu *vcpu);

/* Empties the buffers that transient scheduler attacks (TSA) leak from, where the microcode can: before every VMRUN. */
extern bool svm_clears_buffers; /* immutable after svm_guest_init */

static inline void svm_clear_buffers(void)
{
	if (svm_clears_buffers)
		__asm__ volatile("verw %0" : : "m"((const u16){0}) : "cc");
}

/* The last steps before VMRUN; svm_run_guest (entry.S), which ends as dom0's does. */
void svm_guest_enter(struct vcpu *vcpu, struct vmcb *vmcb);
void svm_run_guest(struct vcpu *vcpu, u64 vmcb);

/* The last after #VMEXIT. */
void svm_guest_exited(struct vcpu *vcpu, struct vmcb *vmcb);

#endif
