/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals of a thread that is in KVM_RUN. The hypervisor's RUN begins anew after a signal
 * handler, so each handler of the client's is called through a wrapper that tells the vCPU:
 * none can slip in between a look and the entry.
 */
#ifndef KVM_SIGNALS_H
#define KVM_SIGNALS_H

#include <stddef.h>

#include "kvm/vcpu.h"

/* The thread's vCPU in KVM_RUN. The wrapper reads it, so it must never have to be made first.
 */
extern __thread struct vcpu *signals_running __attribute__((tls_model("initial-exec")));

/* Of KVM_SET_SIGNAL_MASK: to the vCPU's mask, and back. */
void signals_unmask(struct vcpu *vcpu);
void signals_mask(void);

/*
 * From now on, handled signals of this thread set SIGNAL_HANDLER in that vCPU's page. Also sets
 * and restores the mask of KVM_SET_SIGNAL_MASK.
 */
static inline void signals_enter(struct vcpu *vcpu)
{
	if (vcpu->has_sigmask)
		signals_unmask(vcpu);
	else
		signals_running = vcpu;
}

static inline void signals_leave(struct vcpu *vcpu)
{
	signals_running = NULL;
	if (vcpu->has_sigmask)
		signals_mask();
}

#endif
