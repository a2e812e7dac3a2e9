/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/uefi/app/app.h"

#include "lib/string.h"

#define PATH_MAX 256

struct efi_file *open_volume(const struct efi_loaded_image *image)
{
	static const struct efi_guid file_system = {
		0x964e5b22, 0x6459, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
	struct efi_file_system *volume;
	struct efi_file *root;

	if (!image->device ||
	    efi_boot->handle_protocol(image->device, &file_system, (void **)&volume) & EFI_ERROR ||
	    volume->open_volume(volume, &root) & EFI_ERROR)
		return NULL;
	return root;
}

struct efi_file *open_file(struct efi_file *volume, const char *path)
{
	efi_char wide[PATH_MAX];
	struct efi_file *file;
	size_t length = 0;

	for (; path[length]; length++) {
		if (length == PATH_MAX - 1)
			return NULL;
		wide[length] = (u8)path[length];
	}
	wide[length] = 0;
	return volume->open(volume, &file, wide, EFI_FILE_READ, 0) & EFI_ERROR ? NULL : file;
}

bool file_exists(struct efi_file *volume, const char *path)
{
	struct efi_file *file = open_file(volume, path);

	if (file)
		file->close(file);
	return file;
}

void own_path(const struct efi_loaded_image *image, char *path, size_t size)
{
	const struct efi_device_path *node = image->file_path;
	size_t used = 0;

	path[0] = '\0';
	while (node && node->type == EFI_PATH_MEDIA && node->subtype == EFI_PATH_MEDIA_FILE) {
		const u8 *bytes = (const u8 *)node;
		size_t length = node->length[0] | (size_t)node->length[1] << 8;

		/* GRUB's are one node for the folder, one for the file (UEFI 10.3.5.4). */
		if (used && used < size - 1 && path[used - 1] != '\\' && bytes[sizeof(*node)] != '\\')
			path[used++] = '\\';
		for (size_t i = sizeof(*node); i + 1 < length && used < size - 1; i += 2) {
			if (bytes[i] || bytes[i + 1])
				path[used++] = (char)(bytes[i + 1] ? '?' : bytes[i]);
		}
		node = (const struct efi_device_path *)(bytes + length);
	}
	path[used] = '\0';
}
