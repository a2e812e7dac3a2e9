/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux's bzImage and boot protocol (Documentation/arch/x86/boot.rst), 2.10 and later (Linux
 * 2.6.31): older ones do not say how much memory the kernel needs. Pure.
 */
#ifndef DOM0_BZIMAGE_H
#define DOM0_BZIMAGE_H

#include "mem/memmap.h"

#define BZIMAGE_BOOT_PARAMS_SIZE 4096u
#define BZIMAGE_AVOID_MAX	 16u

/* Where the parts go; all physical, below 4 GiB. */
struct bzimage_plan {
	u64 payload_offset; /* of the protected-mode code in the image */
	u64 payload_size;
	u64 load_address; /* of the protected-mode code; its first byte is the 32-bit entry */
	u64 run_size; /* RAM the kernel needs from load_address before it reads the E820 map */
	u64 initrd_address; /* page aligned; 0 without an initrd */
	u64 initrd_size;
	u64 cmdline_max; /* without the terminator */
};

/*
 * Checks the image and decides where kernel and initrd go, given dom0's normalised memory map:
 * the kernel at its preferred address or, when relocatable, at the lowest fitting aligned one
 * of at least 1 MiB; the initrd as high as the kernel allows, and overlapping neither the
 * kernel's run area nor any range of `avoid` (at most BZIMAGE_AVOID_MAX: the modules where they
 * lie now, so that moving the initrd first destroys nothing). The run area may overlap the
 * image: the caller makes the boot_params before it moves the kernel. Returns NULL, or a
 * sentence that says what is wrong ("module 1 is no Linux kernel: ...").
 */
const char *bzimage_plan(const void *image, u64 image_size, u64 initrd_size,
			 const struct mem_map *map, const struct mem_range *avoid,
			 u32 avoid_count, struct bzimage_plan *plan);

/*
 * Fills the "zero page" (4096 bytes): the image's setup header, loader type 0xff, command line,
 * initrd, the E820 table from map, acpi_rsdp_addr (0: none), and VGA text mode (80x25) as the
 * screen. cmdline_address lies below 4 GiB. Returns NULL or a sentence.
 */
const char *bzimage_boot_params(const void *image, u64 image_size,
				const struct bzimage_plan *plan, const struct mem_map *map,
				u64 cmdline_address, u64 rsdp, void *boot_params);

/*
 * The kernel's command line inside a module's: QEMU and GRUB legacy put the file's name first,
 * GRUB 2 does not. Drops the first word when it holds a '/' and no '='.
 */
const char *bzimage_cmdline(const char *module_cmdline);

#endif
