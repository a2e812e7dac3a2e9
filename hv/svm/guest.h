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

/* The last steps before VMRUN; svm_run_guest (entry.S), which ends as dom0's does. */
void svm_guest_enter(struct vcpu *vcpu, struct vmcb *vmcb);
void svm_run_guest(struct vcpu *vcpu, u64 vmcb);

/* The last after #VMEXIT. */
void svm_guest_exited(struct vcpu *vcpu, struct vmcb *vmcb);

#endif
