/* SPDX-License-Identifier: BSD-2-Clause */
/* AMD-V: what guests need beyond dom0: their intercepts and TLB tags. */
#ifndef SVM_GUEST_H
#define SVM_GUEST_H

#include "vm/vcpu.h"

/* Fills what all guests share; once, before the first. */
void svm_guest_init(void);

/* virt_ops.vcpu_create_guest. */
bool svm_guest_create(struct vcpu *vcpu);

/* Writes the intercepts that follow struct guest: exceptions, windows. */
void svm_guest_intercepts(struct vcpu *vcpu);

/* Just before VMRUN: an address space tag that is valid on this CPU. */
void svm_guest_prepare(struct vcpu *vcpu);

/* Just after #VMEXIT. */
void svm_guest_exited(struct vcpu *vcpu);

#endif
