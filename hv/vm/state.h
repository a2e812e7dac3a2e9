/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's registers between its client's page and its vCPU. The page is hostile and may change at any time:
 * each field is read once, and what came of it is checked before the guest is entered.
 */
#ifndef VM_STATE_H
#define VM_STATE_H

#include "vm/vcpu.h"

/* A guest's TSC is another from now on. Its APIC's timer counts on as it was, but for a TSC deadline. */
void state_set_tsc_offset(struct guest *guest, u64 offset);

/* Takes over the groups (LUV_GROUP_) from the page. */
void state_take(struct vcpu *vcpu, u64 groups);

/* Copies the groups to the page and marks them valid there. */
void state_give(struct vcpu *vcpu, u64 groups);

struct state_limits {
	u8 physical_bits; /* MAXPHYADDR */
	u64 cr4;	  /* bits that this CPU has and guests may set */
	u64 efer;
	u64 xcr0;
};

/*
 * Whether a CPU can be in this state (APM 2 15.5.1, SDM 3C 27.3.1): what a client sets may be nonsense,
 * and a failed entry may leak what was there before. Pure; all groups must be readable.
 */
bool state_is_valid(const struct vcpu *vcpu, const struct state_limits *limits);

#endif
