/* SPDX-License-Identifier: BSD-2-Clause */
/* Where parsers read the loader's and the firmware's data from (lib/phys_view.h). */
#ifndef BOOT_FIRMWARE_VIEW_H
#define BOOT_FIRMWARE_VIEW_H

#include "lib/phys_view.h"
#include "mem/memmap.h"

/* All below 4 GiB, under the tables of entry.S: for the loader's information. */
const struct phys_view *early_view(void);

/*
 * For ACPI tables: the first MiB and what the map (kept by reference) calls RAM, ACPI's or reserved, but
 * no memory of ours. Anything else could be a device, where reading has effects.
 */
const struct phys_view *firmware_view(const struct mem_map *map);

/* The tables of entry.S are gone: early_view must not be used any more. */
void firmware_view_use_host_tables(void);

#endif
