/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSRs: those that the hypervisor switches are in the vCPU's page, the others are kept here or
 * answered here. The caller holds the vCPU's lock.
 */
#ifndef KVM_MSR_H
#define KVM_MSR_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/* Into vcpu->msrs: 0 or -ENOMEM. */
int msr_create(struct vcpu *vcpu);
void msr_destroy(struct vcpu *vcpu);

/* The values of a vCPU that was just created, when the hypervisor has it. */
void msr_reset(struct vcpu *vcpu);

/* Who asks: the client may read and write what the guest may not. */
enum msr_by { MSR_BY_GUEST, MSR_BY_CLIENT };

/* False: there is no such MSR, or (write) it does not take that value: #GP. */
bool msr_read(struct vcpu *vcpu, uint32_t index, uint64_t *value, enum msr_by by);
bool msr_write(struct vcpu *vcpu, uint32_t index, uint64_t value, enum msr_by by);

/* IA32_APIC_BASE by the client: 0 or -EINVAL. */
int msr_set_apic_base(struct vcpu *vcpu, uint64_t value);

/* KVM_X86_SETUP_MCE: 0 or -EINVAL. KVM_X86_GET_MCE_CAP_SUPPORTED's answer. */
int msr_setup_mce(struct vcpu *vcpu, uint64_t mcg_cap);
uint64_t msr_mce_capabilities(void);

#define MSR_BANKS_MAX 32u

struct kvm_x86_mce;
/* KVM_X86_SET_MCE: a machine check of the client's making. 0 or -EINVAL. */
int msr_inject_mce(struct vcpu *vcpu, const struct kvm_x86_mce *mce);

/* What KVM_GET_MSR_INDEX_LIST lists: all can be read and written. */
unsigned msr_list(const uint32_t **list);

/* Feature MSRs, of the machine: KVM_GET_MSR_FEATURE_INDEX_LIST. */
unsigned msr_feature_list(const uint32_t **list);
bool msr_feature_read(uint32_t index, uint64_t *value);

#endif
