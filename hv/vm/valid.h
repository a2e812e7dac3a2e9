/* SPDX-License-Identifier: BSD-2-Clause */
/* What a client may ask for: events to inject, and states to enter a guest in. Pure. */
#ifndef VM_VALID_H
#define VM_VALID_H

#include "luvalley/vcpu.h"
#include "vm/vcpu.h"

/*
 * The event in struct luv_inject's words; 0 for none and for one that the hardware refuses (APM 2
 * 15.20, SDM 3C 27.2.1.3): exceptions above 31 or vector 2, other types. NMI's vector is 2 whatever
 * was given.
 */
u64 event_decode(u64 word, u64 error);

/* Whether XSETBV accepts the value, given the bits that the CPU has and we switch. */
bool xcr0_is_valid(u64 xcr0, u64 available);

#endif
