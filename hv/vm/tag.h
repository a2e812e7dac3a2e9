/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLB tags of guests: AMD's address space identifiers, Intel's VPIDs. Each physical CPU has its own. A tag is never
 * given twice between two flushes of them all, so a new tag is as good as a flush: that is how a vCPU's own flushes are made.
 */
#ifndef VM_TAG_H
#define VM_TAG_H

#include "vm/vm.h"

#define TAG_HOST 0u /* root mode's */
#define TAG_DOM0 1u

/* False where a guest that is about to run on this CPU was elsewhere, or its VM's memory has changed. */
static inline bool tag_is_valid(const struct vcpu *vcpu)
{
	return vcpu->guest->tag_generation == vcpu->cpu->tag_generation &&
	       vcpu->guest->flush_seen == vcpu->guest->vm->flushes;
}

/* Gives it a new one of this CPU's `count` tags. True: all of them are to be flushed before its use. */
bool tag_renew(struct vcpu *vcpu, u32 count, u32 *tag);

#endif
