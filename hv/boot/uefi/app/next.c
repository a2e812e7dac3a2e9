/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/uefi/app/app.h"

#include "lib/printf.h"
#include "lib/string.h"

#define PATH_MAX 256
#define INFO_MAX 1024

/* Of a distribution's folder in \EFI, the best first; then another system's. */
static const char *const loaders[] = {"shimx64.efi", "grubx64.efi", "systemd-bootx64.efi",
				      "Boot\\bootmgfw.efi"};

static const struct efi_guid device_path = {
	0x09576e91, 0x6d3f, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};

static size_t path_size(const struct efi_device_path *path)
{
	const struct efi_device_path *node = path;

	while (node->type != EFI_PATH_END)
		node = (const struct efi_device_path *)((const u8 *)node +
							(node->length[0] | (u32)node->length[1] << 8));
	return (size_t)((const u8 *)node - (const u8 *)path);
}

/* The device's path, the file on it, the end. */
static struct efi_device_path *path_of(efi_handle device, const char *file)
{
	size_t node = sizeof(struct efi_device_path) + 2 * (strlen(file) + 1), prefix;
	struct efi_device_path *from;
	u8 *path, *at;

	if (efi_boot->handle_protocol(device, &device_path, (void **)&from) & EFI_ERROR)
		return NULL;
	prefix = path_size(from);
	path = allocate(prefix + node + sizeof(*from));
	if (!path)
		return NULL;
	memcpy(path, from, prefix);
	at = path + prefix;
	*(struct efi_device_path *)at = (struct efi_device_path){
		EFI_PATH_MEDIA, EFI_PATH_MEDIA_FILE, {(u8)node, (u8)(node >> 8)}};
	for (size_t i = 0; file[i]; i++)
		at[sizeof(*from) + 2 * i] = (u8)file[i];
	*(struct efi_device_path *)(at + node) =
		(struct efi_device_path){EFI_PATH_END, 0xff, {sizeof(*from), 0}};
	return (struct efi_device_path *)path;
}

/* The next folder in an open directory, by its name in ASCII. */
static bool next_folder(struct efi_file *directory, char *name, size_t size)
{
	u64 buffer[INFO_MAX / sizeof(u64)];
	const struct efi_file_info *info = (const struct efi_file_info *)buffer;

	for (;;) {
		u64 length = sizeof(buffer);
		size_t i = 0;

		if (directory->read(directory, &length, buffer) & EFI_ERROR || !length)
			return false;
		for (; info->name[i] && i < size - 1; i++)
			name[i] = (char)(info->name[i] < 0x80 ? info->name[i] : '?');
		name[i] = '\0';
		if (info->attributes & EFI_FILE_DIRECTORY && name[0] != '.' &&
		    strcmp(name, "BOOT") != 0 && strcmp(name, "Boot") != 0 &&
		    strcmp(name, "boot") != 0 && strcmp(name, "luvalley") != 0)
			return true;
	}
}

static bool find_in_folders(struct efi_file *volume, const char *loader, char *path)
{
	struct efi_file *directory = open_file(volume, "\\EFI");
	char name[128];
	bool found = false;

	if (!directory)
		return false;
	while (!found && next_folder(directory, name, sizeof(name))) {
		hv_snprintf(path, PATH_MAX, "\\EFI\\%s\\%s", name, loader);
		found = file_exists(volume, path);
	}
	directory->close(directory);
	return found;
}

static bool find_default(const struct efi_loaded_image *image, char *path)
{
	struct efi_file *volume = open_volume(image);
	char own[PATH_MAX];
	bool found = false;

	if (!volume)
		return false;
	for (u32 i = 0; i < ARRAY_SIZE(loaders) && !found; i++)
		found = find_in_folders(volume, loaders[i], path);
	/* What the firmware itself looks for comes last: a shim there may start anything. */
	if (!found)
		str_copy(path, "\\EFI\\BOOT\\BOOTX64.EFI", PATH_MAX);
	own_path(image, own, sizeof(own));
	found = strcmp(own, path) != 0 && file_exists(volume, path);
	volume->close(volume);
	return found;
}

efi_status start_next(efi_handle self, const struct efi_loaded_image *image, const char *wanted)
{
	struct efi_device_path *path;
	char file[PATH_MAX];
	efi_handle next;
	efi_status status;

	if (strcmp(wanted, "firmware") == 0)
		return EFI_NOT_FOUND;
	str_copy(file, wanted, sizeof(file));
	if (!file[0] && !find_default(image, file)) {
		say("luvalley: no boot loader was found on this partition; next=\\PATH names one");
		return EFI_NOT_FOUND;
	}
	path = path_of(image->device, file);
	status = path ? efi_boot->load_image(0, self, path, NULL, 0, &next) : EFI_NOT_FOUND;
	if (status & EFI_ERROR) {
		say("luvalley: %s cannot be started (status 0x%llx)", file,
		    (unsigned long long)(status & ~EFI_ERROR));
		return status;
	}
	return efi_boot->start_image(next, NULL, NULL);
}
