/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/tag.h"

bool tag_renew(struct vcpu *vcpu, u32 count, u32 *tag)
{
	struct guest *guest = vcpu->guest;
	struct cpu *cpu = vcpu->cpu;
	bool wrapped = !cpu->tag_generation || cpu->next_tag >= count;

	if (wrapped) {
		cpu->next_tag = TAG_DOM0 + 1;
		cpu->tag_generation += cpu->tag_generation ? CPU_MAX : cpu->index + 1;
	}
	*tag = cpu->next_tag++;
	guest->tag_cpu = cpu->index;
	guest->tag_generation = cpu->tag_generation;
	guest->flush_seen = guest->vm->flushes;
	return wrapped;
}
