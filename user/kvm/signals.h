/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals of a thread that is in KVM_RUN. The hypervisor's RUN begins anew after a signal
 * handler, so each handler of the client's is called through a wrapper that tells the vCPU:
 * none can slip in between a look and the entry.
 */
#ifndef KVM_SIGNALS_H
#define KVM_SIGNALS_H

struct vcpu;

/*
 * From now on, handled signals of this thread set SIGNAL_HANDLER in that vCPU's page. NULL: no
 * more. Also sets and restores the mask of KVM_SET_SIGNAL_MASK.
 */
void signals_enter(struct vcpu *vcpu);
void signals_leave(struct vcpu *vcpu);

#endif
