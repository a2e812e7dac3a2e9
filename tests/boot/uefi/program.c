/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/uefi/program.h"

#include "cpu/x86.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "luvalley/calls.h"

#define LINE 256

efi_status EFIAPI efi_main(efi_handle self, struct efi_system_table *table);

struct efi_system_table *efi;
struct efi_boot_services *efi_boot;

void say(const char *format, ...)
{
	char line[LINE];
	efi_char wide[LINE + 2];
	size_t length = 0;
	va_list args;

	va_start(args, format);
	hv_vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (; line[length]; length++)
		wide[length] = (u8)line[length];
	wide[length++] = '\r';
	wide[length++] = '\n';
	wide[length] = 0;
	efi->console_out->output_string(efi->console_out, wide);
}

void *allocate(u64 size)
{
	void *at;

	if (efi_boot->allocate_pool(EFI_LOADER_DATA, size, &at) & EFI_ERROR)
		return NULL;
	return memset(at, 0, size);
}

bool in_guest_mode(void)
{
	struct cpuid id = cpuid(LUV_CPUID_BASE, 0);

	/* "LuvalleyLuva" */
	return id.ebx == 0x6176754c && id.ecx == 0x79656c6c && id.edx == 0x6176754c;
}

efi_status EFIAPI efi_main(efi_handle self, struct efi_system_table *table)
{
	static const struct efi_guid loaded_image = {
		0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
	struct efi_loaded_image *image;

	efi = table;
	efi_boot = table->boot_services;
	if (efi_boot->handle_protocol(self, &loaded_image, (void **)&image) & EFI_ERROR)
		return EFI_ABORTED;
	return run(self, image);
}
