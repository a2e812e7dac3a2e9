/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU's registers, between the hypervisor's page and KVM's structures. page->valid has the
 * groups that the page holds as the guest has them; what is changed there is marked in
 * page->dirty and taken over by the next RUN. The caller holds the vCPU's lock.
 */
#ifndef KVM_STATE_H
#define KVM_STATE_H

#include <linux/kvm.h>
#include <stdint.h>

struct vcpu;

/* Makes these LUV_GROUP_ bits valid in the page. */
void state_need(struct vcpu *vcpu, uint64_t groups);

/* The page has been changed in these (valid) groups. */
void state_changed(struct vcpu *vcpu, uint64_t groups);

/* A vCPU that was just created. */
void state_reset(struct vcpu *vcpu);

/* The ioctls of their names. 0 or a negative errno value. */
int state_get_regs(struct vcpu *vcpu, struct kvm_regs *regs);
int state_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs);
int state_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs);
int state_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs);
int state_get_sregs2(struct vcpu *vcpu, struct kvm_sregs2 *sregs);
int state_set_sregs2(struct vcpu *vcpu, const struct kvm_sregs2 *sregs);
int state_get_debugregs(struct vcpu *vcpu, struct kvm_debugregs *regs);
int state_set_debugregs(struct vcpu *vcpu, const struct kvm_debugregs *regs);
int state_get_events(struct vcpu *vcpu, struct kvm_vcpu_events *events);
int state_set_events(struct vcpu *vcpu, const struct kvm_vcpu_events *events);
int state_get_mp(struct vcpu *vcpu, struct kvm_mp_state *state);
int state_set_mp(struct vcpu *vcpu, const struct kvm_mp_state *state);
int state_get_lapic(struct vcpu *vcpu, struct kvm_lapic_state *state);
int state_set_lapic(struct vcpu *vcpu, const struct kvm_lapic_state *state);

/* fpu.c. */
int state_get_fpu(struct vcpu *vcpu, struct kvm_fpu *fpu);
int state_set_fpu(struct vcpu *vcpu, const struct kvm_fpu *fpu);
int state_get_xsave(struct vcpu *vcpu, struct kvm_xsave *xsave);
int state_set_xsave(struct vcpu *vcpu, const struct kvm_xsave *xsave);
int state_get_xcrs(struct vcpu *vcpu, struct kvm_xcrs *xcrs);
int state_set_xcrs(struct vcpu *vcpu, const struct kvm_xcrs *xcrs);

/* An event word of the hypervisor's (LUV_INJECT_) waits to be delivered; 0: none. */
void state_inject(struct vcpu *vcpu, uint64_t event, uint64_t error);

#endif
