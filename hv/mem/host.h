/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's own page tables: the layout of lib/layout.h, nothing writable and executable. */
#ifndef MEM_HOST_H
#define MEM_HOST_H

#include "mem/memmap.h"
#include "mem/nested.h"

/*
 * Builds tables (from the pool) that map all RAM of the map and the first MiB at DIRECT_BASE, the image at
 * IMAGE_BASE to `image`, and the local APIC at MMIO_BASE. CR3 is not touched. False: out of pages.
 */
bool host_build(const struct mem_map *map, hpa_t image, hpa_t apic);

hpa_t host_cr3(void);

/* Where a part of the image lies. */
hpa_t image_to_hpa(const void *at);

/* Maps a CPU's slot (page for struct cpu, stack) to fresh pages. False: out of pages. */
bool host_map_cpu_slot(u32 index);

/*
 * Puts [base, base+size) into the direct map: firmware's tables may lie in memory that is neither RAM nor
 * ACPI's, and one of them is written to (dom0/sleep.c). At boot only. False: out of pages.
 */
bool host_map_firmware(hpa_t base, u64 size);

/* Maps more RAM into the direct map; pages, below DIRECT_SIZE. At boot only. False: out of pages. */
bool host_map_ram(u64 base, u64 size);

/* Maps a framebuffer, uncached; once. NULL: too large, or out of pages. */
void *host_map_screen(hpa_t base, u64 size);

/* Maps the page at its own address, executable, for the AP trampoline. */
bool host_map_identity(hpa_t page);

#endif
