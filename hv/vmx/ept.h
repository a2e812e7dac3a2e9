/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intel's extended page tables as formats for mem/nested.c (SDM 3C 29.3). Pure.
 *
 * dom0's leaves have the memory type that the MTRRs give its address, and its own PAT goes on top (SDM 3C
 * 29.3.7.2). Guests' memory is dom0's RAM: write-back whatever the guest's PAT says, so that its client sees what
 * it writes.
 *
 * Without accessed and dirty flags in EPT the CPU leaves bits 8 and 9 alone: `dirty` is 0 then, and there is no
 * dirty log.
 */
#ifndef VMX_EPT_H
#define VMX_EPT_H

#include "mem/nested.h"

/*
 * Fills in what depends on the CPU; before the formats are used. small_exec: CPUs that stop when a large page that
 * they hold for execution changes its size (CVE-2018-12207, "iTLB multihit"): a guest can do that to them, unless
 * what it executes is mapped by small pages. dom0 could stop the machine in simpler ways.
 */
void ept_init(bool gib_pages, bool dirty_bits, bool small_exec);

extern struct nested_format ept_dom0_format, ept_guest_format; /* immutable after ept_init */

/* What the VMCS wants to know of the tables (SDM 3C 25.6.11). */
u64 ept_pointer(hpa_t root, bool dirty_bits);

#endif
