/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For firmware that has no ACPI tables, as OVMF in Bochs: installs those in \tables (tools/bochs.py makes them for
 * the machine), switches x2APIC mode on where there is a file \x2apic, and starts \next.efi.
 */
#include "boot/uefi/app/app.h"

#include "cpu/acpi.h"
#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/printf.h"
#include "lib/string.h"

#define TABLES_MAX 0x10000

efi_status EFIAPI efi_main(efi_handle self, struct efi_system_table *table);

struct efi_system_table *efi;
struct efi_boot_services *efi_boot;

/* What luvalley.efi's parts want of its others. */
void say(const char *format, ...)
{
	char line[256];
	efi_char wide[256 + 2];
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

static u64 read_tables(struct efi_file *volume, void *buffer, u64 size)
{
	struct efi_file *file = open_file(volume, "\\tables");

	return file && !(file->read(file, &size, buffer) & EFI_ERROR) ? size : 0;
}

static void install_tables(const u8 *at, u64 size)
{
	static const struct efi_guid acpi_table = {
		0xffe06bdd, 0x6107, 0x46a6, {0x7b, 0xb2, 0x5a, 0x9c, 0x7e, 0xc5, 0x27, 0x5c}};
	struct efi_acpi_table *protocol;
	u32 installed = 0;
	u64 key;

	if (efi_boot->locate_protocol(&acpi_table, NULL, (void **)&protocol) & EFI_ERROR)
		size = 0;
	for (u64 length; size >= sizeof(struct acpi_header); at += length, size -= length) {
		length = ((const struct acpi_header *)at)->length;
		if (length < sizeof(struct acpi_header) || length > size ||
		    protocol->install(protocol, at, length, &key) & EFI_ERROR)
			break;
		installed++;
	}
	say("tables: %u ACPI tables installed", installed);
}

/* Many an Intel PC's firmware is in this mode (SDM 3A 11.12). */
static void use_x2apic(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	say("tables: x2APIC mode");
}

efi_status EFIAPI efi_main(efi_handle self, struct efi_system_table *table)
{
	static const struct efi_guid loaded_image = {
		0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
	struct efi_loaded_image *image;
	struct efi_file *volume;
	void *tables;

	efi = table;
	efi_boot = table->boot_services;
	tables = allocate(TABLES_MAX);
	if (!tables || efi_boot->handle_protocol(self, &loaded_image, (void **)&image) & EFI_ERROR)
		return EFI_ABORTED;
	volume = open_volume(image);
	if (!volume)
		return EFI_ABORTED;
	install_tables(tables, read_tables(volume, tables, TABLES_MAX));
	if (file_exists(volume, "\\x2apic"))
		use_x2apic();
	return start_next(self, image, "\\next.efi");
}
