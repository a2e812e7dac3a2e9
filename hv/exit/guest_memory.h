/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dom0's memory by dom0's linear addresses, walked through its current CR3: what copy_from_user and
 * copy_to_user are to a kernel. Safe against dom0 changing its tables meanwhile: interrupts are off on this
 * CPU, so no TLB shootdown that includes it can complete.
 */
#ifndef EXIT_GUEST_MEMORY_H
#define EXIT_GUEST_MEMORY_H

#include "vm/vcpu.h"

/*
 * Copies between dom0's user memory and ours. The range must not cross a page. False unless every
 * table and the page are dom0's RAM, present, user (and for writing: writable and dirty already);
 * nothing was copied then, and touching the memory from the program mends it, if anything does.
 */
bool guest_read_user(struct vcpu *vcpu, gva_t from, void *to, u64 size);
bool guest_write_user(struct vcpu *vcpu, gva_t to, const void *from, u64 size);

/* The bytes at the current instruction, at most max; fewer at the end of readable memory. */
unsigned guest_fetch(struct vcpu *vcpu, u8 *bytes, unsigned max);

#endif
