/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLB tags of guests: AMD's address space identifiers, Intel's VPIDs. Each physical CPU has its own. A tag is never
 * given twice between two flushes of them all, so a new tag is as good as a flush: that is how a vCPU's own flushes are made.
 */
#ifndef VM_TAG_H
#define VM_TAG_H

#include "vm/vcpu.h"

#define TAG_HOST 0u /* root mode's */
#define TAG_DOM0 1u

/*
 * A guest is about to run on this CPU, which has `count` tags. False: the tag that it has is good, and `tag` is left
 * alone. True: it gets a new one, because it asks for one (`wanted`), was elsewhere, or its VM's memory has
 * changed; *wrapped: flush all tags before its use.
 */
bool tag_renew(struct vcpu *vcpu, u32 count, bool wanted, u32 *tag, bool *wrapped);

#endif
