/* SPDX-License-Identifier: BSD-2-Clause */
/* Multiboot 1 (0.6.96) and Multiboot 2 (2.0) boot information. Pure. */
#ifndef BOOT_MULTIBOOT_H
#define BOOT_MULTIBOOT_H

#include "boot/bootinfo.h"
#include "lib/phys_view.h"

#define MULTIBOOT1_BOOT_MAGIC 0x2badb002u
#define MULTIBOOT2_BOOT_MAGIC 0x36d76289u

/*
 * Reads the loader's information at physical address `info` (EAX held `magic`, EBX `info`) into
 * *boot, which needs no initialisation. Everything is bounded and checked; the map comes back
 * normalised and holds RAM, in whole pages, and each module is not empty and lies in RAM. Returns NULL, or a
 * sentence that tells the user what is wrong; *boot is not to be used then.
 *
 * The first word of a Multiboot 1 command line is the image's name where the loader passes one
 * (GRUB 2 does not, QEMU -kernel and GRUB legacy do): dropped when it holds a '/' or ends in
 * ".elf"; likewise for Multiboot 2. Modules' command lines are kept whole: QEMU and GRUB differ
 * in whether they begin with the file's name, and direct boot (dom0/bzimage) treats them alike.
 */
const char *multiboot_parse(u32 magic, u64 info, const struct phys_view *view,
			    struct boot_info *boot);

#endif
