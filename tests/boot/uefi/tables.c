/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For firmware that has no ACPI tables, as OVMF in Bochs: installs those in \tables (tools/bochs.py makes them for
 * the machine), switches x2APIC mode on where there is a file \x2apic, and starts \next.efi.
 */
#include "boot/uefi/program.h"

#include "cpu/acpi.h"
#include "cpu/msr.h"
#include "cpu/x86.h"

#define TABLES_MAX 0x10000

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

efi_status run(efi_handle self, const struct efi_loaded_image *image)
{
	struct efi_file *volume = open_volume(image);
	void *tables = allocate(TABLES_MAX);

	if (!volume || !tables)
		return EFI_ABORTED;
	install_tables(tables, read_tables(volume, tables, TABLES_MAX));
	if (file_exists(volume, "\\x2apic"))
		use_x2apic();
	return start_next(self, image, "\\next.efi");
}
