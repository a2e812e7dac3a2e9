/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Of the UEFI specification (2.10) what luvalley.efi uses. Members that it does not use are void pointers, so that
 * the others are where they belong. Names as there, without EFI_.
 */
#ifndef BOOT_UEFI_APP_EFI_H
#define BOOT_UEFI_APP_EFI_H

#include "lib/types.h"

#define EFIAPI __attribute__((ms_abi))

typedef u64 efi_status;
typedef void *efi_handle;
typedef u16 efi_char;

#define EFI_ERROR	     BIT(63)
#define EFI_BUFFER_TOO_SMALL (EFI_ERROR | 5)
#define EFI_NOT_FOUND	     (EFI_ERROR | 14)
#define EFI_ABORTED	     (EFI_ERROR | 21)

struct efi_guid {
	u32 a;
	u16 b, c;
	u8 d[8];
};

struct efi_table_header { /* 4.2 */
	u64 signature;
	u32 revision, size, crc, reserved;
};

/* 7.2 */
enum efi_allocate_type {
	EFI_ALLOCATE_ANY,
	EFI_ALLOCATE_MAX_ADDRESS,
};

enum efi_memory_type {
	EFI_RESERVED,
	EFI_LOADER_CODE,
	EFI_LOADER_DATA,
	EFI_BOOT_CODE,
	EFI_BOOT_DATA,
	EFI_RUNTIME_CODE,
	EFI_RUNTIME_DATA,
	EFI_CONVENTIONAL,
	EFI_UNUSABLE,
	EFI_ACPI_RECLAIM,
	EFI_ACPI_NVS,
	EFI_MMIO,
	EFI_MMIO_PORT,
};

struct efi_memory_descriptor {
	u32 type;
	u32 unused;
	u64 physical;
	u64 virtual;
	u64 pages;
	u64 attributes;
};

struct efi_device_path { /* 10.2 */
	u8 type, subtype;
	u8 length[2]; /* little endian, header included */
};
#define EFI_PATH_MEDIA	   4
#define EFI_PATH_MEDIA_FILE 4
#define EFI_PATH_END	   0x7f

struct efi_boot_services { /* 4.4 */
	struct efi_table_header header;
	void *raise_tpl, *restore_tpl;
	efi_status(EFIAPI *allocate_pages)(u32 type, u32 memory_type, u64 pages, u64 *address);
	efi_status(EFIAPI *free_pages)(u64 address, u64 pages);
	efi_status(EFIAPI *get_memory_map)(u64 *size, void *map, u64 *key, u64 *descriptor_size,
					   u32 *version);
	efi_status(EFIAPI *allocate_pool)(u32 memory_type, u64 size, void **buffer);
	efi_status(EFIAPI *free_pool)(void *buffer);
	void *create_event, *set_timer, *wait_for_event, *signal_event, *close_event, *check_event;
	void *install_protocol_interface, *reinstall_protocol_interface, *uninstall_protocol_interface;
	efi_status(EFIAPI *handle_protocol)(efi_handle handle, const struct efi_guid *protocol,
					    void **interface);
	void *reserved, *register_protocol_notify, *locate_handle, *locate_device_path;
	void *install_configuration_table;
	efi_status(EFIAPI *load_image)(u8 boot_policy, efi_handle parent,
				       const struct efi_device_path *path, void *source, u64 source_size,
				       efi_handle *image);
	efi_status(EFIAPI *start_image)(efi_handle image, u64 *exit_data_size, efi_char **exit_data);
	void *exit;
	efi_status(EFIAPI *unload_image)(efi_handle image);
	void *exit_boot_services, *get_next_monotonic_count;
	efi_status(EFIAPI *stall)(u64 microseconds);
	efi_status(EFIAPI *set_watchdog_timer)(u64 seconds, u64 code, u64 data_size,
					       const efi_char *data);
	void *connect_controller, *disconnect_controller, *open_protocol, *close_protocol;
	void *open_protocol_information, *protocols_per_handle, *locate_handle_buffer;
	efi_status(EFIAPI *locate_protocol)(const struct efi_guid *protocol, void *registration,
					    void **interface);
};
ASSERT_OFFSET(struct efi_boot_services, allocate_pages, 40);
ASSERT_OFFSET(struct efi_boot_services, handle_protocol, 152);
ASSERT_OFFSET(struct efi_boot_services, load_image, 200);
ASSERT_OFFSET(struct efi_boot_services, stall, 248);
ASSERT_OFFSET(struct efi_boot_services, locate_protocol, 320);

struct efi_text_output { /* 12.4 */
	void *reset;
	efi_status(EFIAPI *output_string)(struct efi_text_output *this, const efi_char *string);
};

struct efi_configuration_table { /* 4.6 */
	struct efi_guid guid;
	void *table;
};

struct efi_system_table { /* 4.3 */
	struct efi_table_header header;
	efi_char *firmware_vendor;
	u32 firmware_revision;
	efi_handle console_in_handle;
	void *console_in;
	efi_handle console_out_handle;
	struct efi_text_output *console_out;
	efi_handle standard_error_handle;
	void *standard_error;
	void *runtime_services;
	struct efi_boot_services *boot_services;
	u64 table_count;
	struct efi_configuration_table *tables;
};
ASSERT_OFFSET(struct efi_system_table, console_out, 64);
ASSERT_OFFSET(struct efi_system_table, boot_services, 96);

struct efi_loaded_image { /* 9.1 */
	u32 revision;
	efi_handle parent;
	struct efi_system_table *system_table;
	efi_handle device;
	struct efi_device_path *file_path;
	void *reserved;
	u32 load_options_size; /* bytes */
	void *load_options;
	void *image_base;
	u64 image_size;
};

struct efi_file { /* 13.5 */
	u64 revision;
	efi_status(EFIAPI *open)(struct efi_file *this, struct efi_file **file, const efi_char *name,
				 u64 mode, u64 attributes);
	efi_status(EFIAPI *close)(struct efi_file *this);
	void *delete;
	efi_status(EFIAPI *read)(struct efi_file *this, u64 *size, void *buffer);
};
#define EFI_FILE_READ 1ull

struct efi_file_info { /* 13.5, what a directory's read returns */
	u64 size, file_size, physical_size;
	u64 times[6];
	u64 attributes;
	efi_char name[];
};
#define EFI_FILE_DIRECTORY 0x10ull
ASSERT_OFFSET(struct efi_file_info, name, 80);

struct efi_file_system { /* 13.4 */
	u64 revision;
	efi_status(EFIAPI *open_volume)(struct efi_file_system *this, struct efi_file **root);
};

struct efi_graphics_mode { /* 12.9 */
	u32 max_mode, mode;
	struct efi_graphics_info {
		u32 version, width, height;
		u32 format; /* EFI_PIXEL_ */
		u32 masks[4];
		u32 pixels_per_line;
	} *info;
	u64 info_size;
	u64 framebuffer, framebuffer_size;
};
#define EFI_PIXEL_RGB 0u
#define EFI_PIXEL_BGR 1u

struct efi_graphics_output {
	void *query_mode, *set_mode, *blt;
	struct efi_graphics_mode *mode;
};

struct efi_mp_services { /* PI 1.8, volume 2, 13.4 */
	efi_status(EFIAPI *get_number)(struct efi_mp_services *this, u64 *processors, u64 *enabled);
	void *get_info;
	efi_status(EFIAPI *start_all)(struct efi_mp_services *this, void(EFIAPI *procedure)(void *),
				      u8 single_thread, void *event, u64 microseconds, void *argument,
				      u64 **failed);
};

struct efi_acpi_table { /* 20.2 */
	efi_status(EFIAPI *install)(struct efi_acpi_table *this, const void *table, u64 size, u64 *key);
};

#endif
