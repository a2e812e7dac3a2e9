/* SPDX-License-Identifier: BSD-2-Clause */
/* Who answers a vCPU's exits: one constant table for dom0, one for guests. */
#ifndef VM_EXIT_POLICY_H
#define VM_EXIT_POLICY_H

#include "vm/vcpu.h"

#define PORT_MAP_SIZE (3 * PAGE_SIZE)

struct exit_policy {
	void (*on[LUV_EXIT_COUNT])(struct vcpu *vcpu); /* no entry is NULL */
	/* dom0's: a bit for each I/O port, set where accesses exit (APM 2 15.10.1; SDM 3C 25.6.4 uses two pages of it). */
	const u8 *ports;
	/* Calls intercept for each MSR whose reads or writes exit on that vendor's CPUs (enum luv_vendor). */
	void (*for_each_msr)(u32 vendor, void (*intercept)(u32 msr, bool read, bool write));
};

#endif
