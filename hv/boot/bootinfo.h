/* SPDX-License-Identifier: BSD-2-Clause */
/* What the loader told us, in our own memory: nothing in it points into the loader's. */
#ifndef BOOT_BOOTINFO_H
#define BOOT_BOOTINFO_H

#include "mem/memmap.h"

#define BOOT_CMDLINE_MAX 1024
#define BOOT_MODULES_MAX 4

struct boot_module {
	u64 base; /* physical */
	u64 size;
	char cmdline[BOOT_CMDLINE_MAX];
};

struct boot_info {
	struct mem_map map; /* normalised */
	char cmdline[BOOT_CMDLINE_MAX]; /* without the image's own name */
	u32 module_count;
	struct boot_module module[BOOT_MODULES_MAX];
	u64 rsdp; /* UEFI: where the RSDP is; 0: it is searched for */
	bool has_boot_drive;
	u8 boot_drive; /* BIOS number, 0x80 = first disk */
};

#endif
