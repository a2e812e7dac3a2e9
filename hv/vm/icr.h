/* SPDX-License-Identifier: BSD-2-Clause */
/* The APIC's interrupt command register and whom it reaches (APM 2 16.5, 16.6; SDM 3A 10.6).
 * Pure. */
#ifndef VM_ICR_H
#define VM_ICR_H

#include "lib/types.h"

enum icr_delivery {
	ICR_FIXED = 0,
	ICR_LOWEST = 1,
	ICR_SMI = 2,
	ICR_NMI = 4,
	ICR_INIT = 5,
	ICR_STARTUP = 6,
};

enum icr_shorthand {
	ICR_DESTINATION = 0,
	ICR_SELF = 1,
	ICR_ALL = 2,
	ICR_ALL_BUT_SELF = 3,
};

struct icr {
	u8 vector;
	u8 delivery;
	bool logical;
	bool assert; /* level; an INIT with level 0 and trigger 1 is a de-assert: no effect */
	bool level_triggered;
	u8 shorthand;
	u32 destination; /* APIC ID or logical destination; 8 bits in xAPIC mode */
	bool x2apic;
	bool tell_eoi; /* a device's: its EOI is reported although it is edge-triggered */
};

/* What decides whether a CPU is addressed. In x2APIC mode ldr is derived from id. */
struct apic_identity {
	u32 id;
	u32 ldr; /* xAPIC: register D0h (logical ID in bits 31:24) */
	u32 dfr; /* xAPIC: register E0h: bits 31:28 are 1111b flat, 0000b cluster */
};

void icr_decode_xapic(u32 high, u32 low, struct icr *icr);
void icr_decode_x2apic(u64 value, struct icr *icr);

bool icr_is_init_deassert(const struct icr *icr);

/* Does an ICR written by CPU `self` reach CPU `cpu`? Self is recognised by its id. */
bool icr_reaches(const struct icr *icr, const struct apic_identity *self,
		 const struct apic_identity *cpu);

#endif
