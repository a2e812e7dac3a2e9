/* SPDX-License-Identifier: BSD-2-Clause */
/* luvalley.efi, a UEFI application around the hypervisor's image. Its parts. */
#ifndef BOOT_UEFI_APP_APP_H
#define BOOT_UEFI_APP_APP_H

#include "boot/options.h"
#include "boot/uefi/app/efi.h"
#include "boot/uefi/handoff.h"

extern struct efi_system_table *efi;
extern struct efi_boot_services *efi_boot;

/* A line on the firmware's console. */
void say(const char *format, ...) PRINTF(1, 2);

/* cmdline.c. The words of luvalley.conf beside the image, then those of the load options. */
void read_cmdline(const struct efi_loaded_image *image, char *line, size_t size);

/* file.c. The root of the volume that the image came from; NULL: it has none. The caller closes it. */
struct efi_file *open_volume(const struct efi_loaded_image *image);
/* For reading, the path in ASCII; NULL: not there. */
struct efi_file *open_file(struct efi_file *volume, const char *path);
bool file_exists(struct efi_file *volume, const char *path);
/* The path of the image itself in ASCII, or an empty one. */
void own_path(const struct efi_loaded_image *image, char *path, size_t size);

/* memory.c. Sets memory aside and fills map, hidden_*, trampoline, cr3_between; NULL or what is wrong. */
const char *take_memory(struct handoff *handoff, const struct options *options, u32 cpus);
/* Gives back what take_memory took. */
void return_memory(const struct handoff *handoff);
/* Memory that the system may have back once it runs; NULL: none is left. */
void *allocate(u64 size);

/* firmware.c. What the firmware has: its RSDP, how many CPUs, its screen. */
u64 find_rsdp(void);
u32 count_cpus(u64 rsdp);
void find_screen(struct handoff_screen *screen);
void install_luvy(struct luv_acpi_table *table);
/* That the firmware has enabled; 0: it does not say. */
u32 firmware_cpus(void);
/* Has every other CPU do something in guest mode; how many of them do, *others of how many. */
u32 visit_other_cpus(u32 *others);

/* cpu.c. NULL, or what of this CPU's state nothing of ours can run with. */
const char *unfit_state(void);
/* Copies this CPU's state and enters the hypervisor. True: we are in guest mode now. */
bool enter_hypervisor(struct handoff *handoff);
bool in_guest_mode(void);

/* next.c. Starts what boots on; comes back when that gives up, or with EFI_NOT_FOUND. */
efi_status start_next(efi_handle self, const struct efi_loaded_image *image, const char *wanted);

/* image.S. The hypervisor's image up to its zeroed data, and where it is linked. */
extern const u8 payload[], payload_end[];
extern const u64 payload_start, payload_size, payload_entry;

#endif
