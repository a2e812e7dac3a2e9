/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/uefi/app/app.h"

#include "cpu/acpi.h"
#include "lib/layout.h"
#include "lib/string.h"

#define SECOND 1000000ull /* microseconds */

static const void *any_memory(const struct phys_view *view, u64 address, u64 size)
{
	(void)view;
	(void)size;
	return (const void *)address;
}

u64 find_rsdp(void)
{
	static const struct efi_guid acpi_2 = {
		0x8868e871, 0xe4f1, 0x11d3, {0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81}};

	for (u64 i = 0; i < efi->table_count; i++) {
		if (memcmp(&efi->tables[i].guid, &acpi_2, sizeof(acpi_2)) == 0)
			return (u64)efi->tables[i].table;
	}
	return 0;
}

/* As many as the hypervisor will count: memory is set aside for so many. */
u32 count_cpus(u64 rsdp)
{
	static const struct phys_view view = {any_memory};
	static u32 ids[CPU_MAX];
	struct acpi_root root;
	u32 cpus;

	if (!rsdp || !acpi_root_at(&view, rsdp, &root))
		return 1;
	cpus = acpi_madt_cpus(&view, &root, ids, CPU_MAX);
	return (u32)max_u64(1, min_u64(cpus, CPU_MAX));
}

void find_screen(struct handoff_screen *screen)
{
	static const struct efi_guid graphics_output = {
		0x9042a9de, 0x23dc, 0x4a38, {0x96, 0xfb, 0x7a, 0xde, 0xd0, 0x80, 0x51, 0x6a}};
	struct efi_graphics_output *output;
	const struct efi_graphics_info *info;

	if (efi_boot->locate_protocol(&graphics_output, NULL, (void **)&output) & EFI_ERROR)
		return;
	info = output->mode->info;
	if (info->format != EFI_PIXEL_RGB && info->format != EFI_PIXEL_BGR)
		return;
	*screen = (struct handoff_screen){
		.base = output->mode->framebuffer,
		.size = output->mode->framebuffer_size,
		.width = info->width,
		.height = info->height,
		.pitch = info->pixels_per_line,
	};
}

/* The firmware copies the table, and sums it up. */
void install_luvy(struct luv_acpi_table *table)
{
	static const struct efi_guid acpi_table = {
		0xffe06bdd, 0x6107, 0x46a6, {0x7b, 0xb2, 0x5a, 0x9c, 0x7e, 0xc5, 0x27, 0x5c}};
	struct efi_acpi_table *protocol;
	u64 key;

	table->checksum = -acpi_sum(table, sizeof(*table));
	if (efi_boot->locate_protocol(&acpi_table, NULL, (void **)&protocol) & EFI_ERROR ||
	    protocol->install(protocol, table, sizeof(*table), &key) & EFI_ERROR)
		say("luvalley: the firmware takes no ACPI tables: the system's root will have no key");
}

static u32 visited;

/* On each of the other CPUs: the STARTUP that brought it here also brought it into guest mode. */
static void EFIAPI visit(void *argument)
{
	(void)argument;
	if (in_guest_mode())
		__atomic_add_fetch(&visited, 1, __ATOMIC_RELAXED);
}

/* NULL, or how many CPUs it has enabled. */
static struct efi_mp_services *find_mp_services(u64 *enabled)
{
	static const struct efi_guid mp_services = {
		0x3fdda605, 0xa76e, 0x4f46, {0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08}};
	struct efi_mp_services *mp;
	u64 processors;

	*enabled = 0;
	if (efi_boot->locate_protocol(&mp_services, NULL, (void **)&mp) & EFI_ERROR ||
	    mp->get_number(mp, &processors, enabled) & EFI_ERROR)
		return NULL;
	return mp;
}

u32 firmware_cpus(void)
{
	u64 enabled;

	return find_mp_services(&enabled) ? (u32)enabled : 0;
}

u32 visit_other_cpus(u32 *others)
{
	u64 enabled;
	struct efi_mp_services *mp = find_mp_services(&enabled);

	*others = 0;
	if (!mp || enabled < 2)
		return 0;
	*others = (u32)enabled - 1;
	mp->start_all(mp, visit, 0, NULL, SECOND, NULL, NULL);
	return __atomic_load_n(&visited, __ATOMIC_RELAXED);
}
