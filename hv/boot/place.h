/* SPDX-License-Identifier: BSD-2-Clause */
/* Where in memory we live: decided once, the same on every boot of the same machine. */
#ifndef BOOT_PLACE_H
#define BOOT_PLACE_H

#include "boot/bootinfo.h"
#include "dom0/low.h"

#define HIDDEN_ALIGN (2 * MIB)
#define MIN_DOM0_RAM (64 * MIB) /* what must be left to dom0 */

struct placement {
	u64 base, size;	  /* hidden from dom0; 2 MiB aligned both */
	u64 pool;	  /* the page pool, in the hidden range behind the image */
	u64 pool_size;
	u64 crash_record; /* the last pages of the hidden range */
	u64 acpi_page;	  /* below the hidden range; dom0 sees it */
	struct low_memory low;
};

/* Pure, in hidden.c. How large the hidden range must be; pool: bytes, or 0 for ram / 256, from 16 to 512 MiB. */
u64 hidden_size(u64 ram, u32 cpus, u64 pool, u64 image_size);
/* Pool and crash record in the hidden range that base and size name. */
void hidden_divide(struct placement *place, u64 image_size);

/*
 * The hidden range is the highest that fits below 4 GiB and keeps off the modules. pool: as above.
 * Refuses when there is no room.
 */
void place_choose(const struct boot_info *boot, u32 cpus, u64 pool, u64 image_size,
		  struct placement *place);

#endif
