/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dom0's nested tables: everything 1:1 with the largest pages, but our own memory, which reads as one
 * shared page of junk, and two pages that dom0 must see differently.
 */
#ifndef DOM0_MEMORY_H
#define DOM0_MEMORY_H

#include "mem/memmap.h"
#include "vm/vcpu.h"

/* Maps the RAM of the map except what ram_hide() named. Device memory follows on first touch.
 * False: out of pages. */
bool dom0_memory_init(const struct nested_format *format, const struct mem_map *map);

struct nested *dom0_memory(void);

/* Shows dom0 `page` (ours, given away for good) at an address. At boot only. */
bool dom0_memory_shadow(gpa_t at, hpa_t page);

/*
 * Takes away or gives back the right to write to a page. Giving is safe at any time: a CPU with a
 * stale entry comes here once more. Taking is for boot only.
 */
void dom0_memory_writable(gpa_t page, bool writable);

/* The exit handler. */
void dom0_memory_exit(struct vcpu *vcpu);

/* This CPU's MTRRs were written: no large page may span two memory types (APM 2 7.7.5, SDM 3A 11.11.9). */
void dom0_memory_follow_mtrrs(struct vcpu *vcpu);

#endif
