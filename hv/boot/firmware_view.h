/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading what loader and firmware left in memory, before and after we have tables of our own. */
#ifndef BOOT_FIRMWARE_VIEW_H
#define BOOT_FIRMWARE_VIEW_H

#include "lib/phys_view.h"

/* Anything below 4 GiB, through the tables of entry.S. */
const struct phys_view *early_view(void);

/* The same, through the host tables, which are extended where they do not map an address. */
const struct phys_view *firmware_view(void);

/* The tables of entry.S are gone: early_view must not be used any more. */
void firmware_view_use_host_tables(void);

#endif
