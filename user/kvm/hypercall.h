/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest asks of its KVM by VMMCALL or VMCALL (Linux: virt/kvm/x86/hypercalls.rst). */
#ifndef KVM_HYPERCALL_H
#define KVM_HYPERCALL_H

struct vcpu;

/* After LUV_RUN_CALL: answers in RAX and steps over the instruction. Only the vCPU's thread. */
void hypercall(struct vcpu *vcpu);

#endif
