/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/tag.h"

#include "vm/guest.h"
#include "vm/vm.h"

static struct {
	u64 generation; /* 0: nothing was given yet */
	u32 next;
} tags[CPU_MAX];

bool tag_renew(struct vcpu *vcpu, u32 count, bool wanted, u32 *tag, bool *wrapped)
{
	struct guest *guest = vcpu->guest;
	u32 cpu = vcpu->cpu->index;
	u64 flushes = guest->vm->flushes;

	if (!wanted && guest->tag_cpu == cpu && guest->tag_generation == tags[cpu].generation &&
	    guest->flush_seen == flushes)
		return false;
	*wrapped = !tags[cpu].generation || tags[cpu].next >= count;
	if (*wrapped) {
		tags[cpu].next = TAG_DOM0 + 1;
		tags[cpu].generation++;
	}
	*tag = tags[cpu].next++;
	guest->tag_cpu = cpu;
	guest->tag_generation = tags[cpu].generation;
	guest->flush_seen = flushes;
	return true;
}
