/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_TRANSLATE: a walk of the guest's page tables, as a supervisor whom nothing forbids to read. */
#include <errno.h>
#include <stdlib.h>

#include "kvm/emulate.h"
#include "kvm/emulate_memory.h"
#include "kvm/memory.h"
#include "kvm/run.h"
#include "kvm/state.h"
#include "kvm/vcpu.h"

#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)
#define CR4_PKE	 (1ull << 22)
#define DPL	 (3ull << 5)

struct walker {
	struct luv_vcpu_page page;
	struct emulate emulate;
};

int translate(struct vcpu *vcpu, struct kvm_translation *translation)
{
	struct walker *walker = calloc(1, sizeof(*walker));
	struct emulate_setup setup;
	uint64_t gpa = 0;

	if (!walker)
		return -ENOMEM;
	exit_prepare(vcpu);
	state_need(vcpu, LUV_GROUP_GENERAL | LUV_GROUP_CONTROL | LUV_GROUP_SEGMENTS);
	walker->page = *vcpu->page;
	walker->page.cr4 &= ~(CR4_SMEP | CR4_SMAP | CR4_PKE);
	walker->page.segment[LUV_SS].attributes &= ~DPL;
	setup = vcpu->emulate->setup;
	setup.page = &walker->page;
	emulate_init(&walker->emulate, &setup);

	memory_lock(vcpu->vm);
	translation->valid =
	    walk_translate(&walker->emulate, translation->linear_address, 0, &gpa);
	memory_unlock(vcpu->vm);
	translation->physical_address = translation->valid ? gpa : ~0ull;
	translation->writeable = 1; /* as KVM, which does not look */
	translation->usermode = 0;
	free(walker);
	return 0;
}
