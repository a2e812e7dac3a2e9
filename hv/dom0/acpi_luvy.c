/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/acpi_luvy.h"

#include "lib/string.h"

#define TABLE_ALIGN 16

/* The memory that the tables are built in. */
struct area {
	u8 *bytes;
	u64 size;
	u64 address; /* where dom0 sees it */
	u64 used;
};

/* NULL when the area is full. */
static void *reserve(struct area *area, u64 size, u64 *address)
{
	u64 at = align_up(area->used, TABLE_ALIGN);

	if (!range_within(at, size, 0, area->size))
		return NULL;
	area->used = at + size;
	*address = area->address + at;
	return area->bytes + at;
}

static void fix_checksum(void *bytes, u64 size, u8 *checksum)
{
	*checksum = 0;
	*checksum = -acpi_sum(bytes, size);
}

/* The address of LUVY in the area, or 0. */
static u64 add_luvy(struct area *area, const struct luv_acpi_table *contents)
{
	u64 address;
	struct luv_acpi_table *luvy = reserve(area, sizeof(*luvy), &address);

	if (!luvy)
		return 0;
	*luvy = *contents;
	memcpy(luvy->signature, LUV_ACPI_SIGNATURE, sizeof(luvy->signature));
	memcpy(luvy->oem_id, "LUVALY", sizeof(luvy->oem_id));
	luvy->length = sizeof(*luvy);
	luvy->revision = LUV_ACPI_REVISION;
	fix_checksum(luvy, sizeof(*luvy), &luvy->checksum);
	return address;
}

/* Copies the firmware's RSDT or XSDT, with `entry` appended; its address in the area, or 0. */
static u64 add_root_table(const struct phys_view *view, u64 original, const char signature[4],
			  u64 entry_size, u64 entry, struct area *area)
{
	u64 length = acpi_table_length(view, original, signature);
	const void *from = length ? phys_at(view, original, length) : NULL;
	struct acpi_header *table;
	u64 address;

	if (!from)
		return 0;
	/* Bytes behind the last whole entry would shift ours. */
	length -= (length - sizeof(*table)) % entry_size;
	table = reserve(area, length + entry_size, &address);
	if (!table)
		return 0;
	memcpy(table, from, length);
	memcpy((u8 *)table + length, &entry, entry_size);
	/* The copied length may have changed after the check. */
	table->length = length + entry_size;
	fix_checksum(table, table->length, &table->checksum);
	return address;
}

static void point_rsdp(struct acpi_rsdp *rsdp, u64 rsdt, u64 xsdt)
{
	const u64 size_1 = offsetof(struct acpi_rsdp, length);

	rsdp->rsdt = rsdt;
	if (rsdp->revision >= 2) {
		rsdp->length = sizeof(*rsdp);
		rsdp->xsdt = xsdt;
	}
	fix_checksum(rsdp, size_1, &rsdp->checksum);
	if (rsdp->revision >= 2)
		fix_checksum(rsdp, sizeof(*rsdp), &rsdp->extended_checksum);
}

u64 acpi_luvy_build(const struct phys_view *view, const struct acpi_root *root,
		    const struct luv_acpi_table *luvy, void *buffer, u64 size, u64 address,
		    struct acpi_rsdp *rsdp)
{
	struct area area = {.bytes = buffer, .size = size, .address = address};
	u64 own, rsdt = 0, xsdt = 0;

	if (!range_within(address, size, 0, 4 * GIB) || !acpi_read_rsdp(view, root->rsdp, rsdp))
		return 0;
	own = add_luvy(&area, luvy);
	if (!own)
		return 0;
	if (root->rsdt)
		rsdt = add_root_table(view, root->rsdt, "RSDT", sizeof(u32), own, &area);
	if (root->xsdt)
		xsdt = add_root_table(view, root->xsdt, "XSDT", sizeof(u64), own, &area);
	if ((root->rsdt && !rsdt) || (root->xsdt && !xsdt))
		return 0;
	point_rsdp(rsdp, rsdt, xsdt);
	return area.used;
}
