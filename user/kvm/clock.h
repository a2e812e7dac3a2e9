/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvmclock: the guest's paravirtual clock, its MSRs, and KVM_GET_CLOCK and KVM_SET_CLOCK.
 *
 * Every function may be called by any thread at any time, but for the vCPU's own.
 */
#ifndef KVM_CLOCK_H
#define KVM_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

struct vm;
struct vcpu;

/* What KVM_CAP_ADJUST_CLOCK answers. */
#define CLOCK_CAP_ADJUST (KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)

/* The VM's, into vm->clock, which begins at 0: 0 or -ENOMEM. Before the first vCPU. */
int clock_create(struct vm *vm);
void clock_destroy(struct vm *vm);

/* Lies in struct vcpu. The vCPU's thread; all zero: the guest has no clock there. */
struct vcpu_clock {
	uint64_t msr;	     /* MSR_KVM_SYSTEM_TIME_NEW */
	uint64_t tsc_offset; /* what is in guest memory was computed with */
	uint32_t generation; /* of the VM's clock that is in guest memory; 0: none */
	bool paused;	     /* tell the guest that it was stopped */
};

/* KVM_GET_CLOCK: never fails. KVM_SET_CLOCK: EINVAL: unknown flags. */
int clock_get(struct vm *vm, struct kvm_clock_data *data);
int clock_set(struct vm *vm, const struct kvm_clock_data *data);

/* KVM_KVMCLOCK_CTRL, by the vCPU's thread: EINVAL when the guest has no clock there. */
int clock_paused(struct vcpu *vcpu);

/* The vCPU's thread: is it an MSR of ours? *ok false: #GP. KVM_GET_MSRS, KVM_SET_MSRS and the
 * guest's own RDMSR and WRMSR alike. */
bool clock_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value, bool *ok);
bool clock_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value, bool *ok);

/* The vCPU's thread, before it enters the guest: writes what has changed into guest memory. */
void clock_update(struct vcpu *vcpu);

#endif
