/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu/acpi.h"

#include "lib/string.h"

#define EBDA_SEGMENT_AT 0x40e /* in the BIOS data area */
#define EBDA_LOWEST	0x400
#define EBDA_END	0xa0000
#define BIOS_BASE	0xe0000
#define BIOS_END	0x100000

#define RSDP_SIZE_1	20u	   /* revision 0 */
#define RSDP_SIZE_MAX	4096u	   /* of the bytes under extended_checksum */
#define TABLE_MAX	(16 * MIB) /* no table that we look for comes near */

/* ACPI 6.4, 5.2.12. */
struct madt {
	struct acpi_header header;
	u32 local_apic;
	u32 flags;
	/* Entries follow. */
} PACKED;
ASSERT_SIZE(struct madt, 44);

struct entry { /* of the MADT and the SRAT */
	u8 type;
	u8 length; /* header included */
};

#define MADT_LOCAL_APIC	  0
#define MADT_LOCAL_X2APIC 9
#define MADT_ENABLED	  1u
#define NO_APIC_ID	  0xffffffffu

struct madt_local_apic {
	struct entry entry;
	u8 processor;
	u8 apic_id;
	u32 flags;
} PACKED;
ASSERT_SIZE(struct madt_local_apic, 8);

struct madt_local_x2apic {
	struct entry entry;
	u16 reserved;
	u32 apic_id;
	u32 flags;
	u32 processor;
} PACKED;
ASSERT_SIZE(struct madt_local_x2apic, 16);

#define SRAT_SIZE	 48u /* entries follow */
#define SRAT_MEMORY	 1
#define SRAT_HOT_PLUGGED 3u /* enabled, hot-pluggable */

struct srat_memory { /* ACPI 6.4, table 5-59 */
	struct entry entry;
	u32 domain;
	u16 reserved_1;
	u64 base, size;
	u32 reserved_2;
	u32 flags;
	u64 reserved_3;
} PACKED;
ASSERT_SIZE(struct srat_memory, 40);

u8 acpi_sum(const void *bytes, u64 size)
{
	const u8 *byte = bytes;
	u8 sum = 0;

	for (u64 i = 0; i < size; i++)
		sum += byte[i];
	return sum;
}

u64 acpi_table_length(const struct phys_view *view, u64 address, const char signature[4])
{
	struct acpi_header header;
	const void *table;

	if (!phys_read(view, address, &header, sizeof(header)) ||
	    memcmp(header.signature, signature, sizeof(header.signature)) != 0 ||
	    header.length < sizeof(header) || header.length > TABLE_MAX)
		return 0;
	table = phys_at(view, address, header.length);
	return table && acpi_sum(table, header.length) == 0 ? header.length : 0;
}

static bool rsdp_is_intact(const struct phys_view *view, u64 address,
			   const struct acpi_rsdp *rsdp)
{
	const void *whole;

	if (memcmp(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature)) != 0 ||
	    acpi_sum(rsdp, RSDP_SIZE_1) != 0)
		return false;
	if (rsdp->revision < 2)
		return true;
	if (rsdp->length < sizeof(*rsdp) || rsdp->length > RSDP_SIZE_MAX)
		return false;
	whole = phys_at(view, address, rsdp->length);
	return whole && acpi_sum(whole, rsdp->length) == 0;
}

bool acpi_read_rsdp(const struct phys_view *view, u64 address, struct acpi_rsdp *rsdp)
{
	memset(rsdp, 0, sizeof(*rsdp));
	if (!phys_read(view, address, rsdp, RSDP_SIZE_1))
		return false;
	if (rsdp->revision >= 2 && !phys_read(view, address, rsdp, sizeof(*rsdp)))
		return false;
	return rsdp_is_intact(view, address, rsdp);
}

bool acpi_root_at(const struct phys_view *view, u64 address, struct acpi_root *root)
{
	struct acpi_rsdp rsdp;

	if (!acpi_read_rsdp(view, address, &rsdp))
		return false;
	*root = (struct acpi_root){.rsdp = address, .rsdt = rsdp.rsdt, .xsdt = rsdp.xsdt};
	if (!root->rsdt || !acpi_table_length(view, root->rsdt, "RSDT"))
		root->rsdt = 0;
	if (!root->xsdt || !acpi_table_length(view, root->xsdt, "XSDT"))
		root->xsdt = 0;
	return root->rsdt || root->xsdt;
}

static bool search_root(const struct phys_view *view, u64 from, u64 end, struct acpi_root *root)
{
	for (u64 at = from; at < end; at += 16) {
		if (acpi_root_at(view, at, root))
			return true;
	}
	return false;
}

bool acpi_find_root(const struct phys_view *view, struct acpi_root *root)
{
	u16 segment = 0;
	u64 ebda;

	if (phys_read(view, EBDA_SEGMENT_AT, &segment, sizeof(segment))) {
		ebda = (u64)segment << 4;
		if (ebda >= EBDA_LOWEST &&
		    search_root(view, ebda, min_u64(ebda + KIB, EBDA_END), root))
			return true;
	}
	return search_root(view, BIOS_BASE, BIOS_END, root);
}

/* The n-th table's address in the preferred root table; 0 behind the last. */
static u64 root_entry(const struct phys_view *view, u64 table, u64 length, u64 entry_size,
		      u64 n)
{
	u64 address = 0;
	u64 at = sizeof(struct acpi_header) + n * entry_size;

	if (!range_within(at, entry_size, 0, length) ||
	    !phys_read(view, table + at, &address, entry_size))
		return 0;
	return address;
}

u64 acpi_find_table(const struct phys_view *view, const struct acpi_root *root,
		    const char signature[4], u32 min_size)
{
	u64 table = root->xsdt ? root->xsdt : root->rsdt;
	u64 entry_size = root->xsdt ? sizeof(u64) : sizeof(u32);
	u64 length = table ? acpi_table_length(view, table, root->xsdt ? "XSDT" : "RSDT") : 0;

	for (u64 i = 0; i < ACPI_TABLES_MAX; i++) {
		u64 address = root_entry(view, table, length, entry_size, i);
		u64 found = address ? acpi_table_length(view, address, signature) : 0;

		if (found && found >= min_size)
			return address;
	}
	return 0;
}

/* NO_APIC_ID when the entry describes no enabled processor. */
static u32 enabled_apic_id(const void *bytes, struct entry entry)
{
	struct madt_local_apic local;
	struct madt_local_x2apic x2;

	if (entry.type == MADT_LOCAL_APIC && entry.length >= sizeof(local)) {
		memcpy(&local, bytes, sizeof(local));
		if (local.flags & MADT_ENABLED && local.apic_id != 0xff)
			return local.apic_id;
	}
	if (entry.type == MADT_LOCAL_X2APIC && entry.length >= sizeof(x2)) {
		memcpy(&x2, bytes, sizeof(x2));
		if (x2.flags & MADT_ENABLED)
			return x2.apic_id;
	}
	return NO_APIC_ID;
}

/* The entry at *at, which becomes the next one's place; NULL behind the last, and where one is damaged. */
static const u8 *next_entry(const u8 *table, u64 length, u64 *at, struct entry *entry)
{
	const u8 *found = table + *at;

	if (*at + sizeof(*entry) > length)
		return NULL;
	memcpy(entry, found, sizeof(*entry));
	if (entry->length < sizeof(*entry) || entry->length > length - *at)
		return NULL;
	*at += entry->length;
	return found;
}

static bool contains(const u32 *list, u32 count, u32 value)
{
	for (u32 i = 0; i < count; i++) {
		if (list[i] == value)
			return true;
	}
	return false;
}

u32 acpi_madt_cpus(const struct phys_view *view, const struct acpi_root *root, u32 *apic_id,
		   u32 max)
{
	u64 address = acpi_find_table(view, root, "APIC", sizeof(struct madt));
	u64 length = address ? acpi_table_length(view, address, "APIC") : 0;
	const u8 *madt = length ? phys_at(view, address, length) : NULL, *bytes;
	u64 at = sizeof(struct madt);
	struct entry entry;
	u32 count = 0;

	while (madt && count < ACPI_CPUS_MAX && (bytes = next_entry(madt, length, &at, &entry))) {
		u32 id = enabled_apic_id(bytes, entry);

		if (id == NO_APIC_ID || contains(apic_id, min_u64(count, max), id))
			continue;
		if (count < max)
			apic_id[count] = id;
		count++;
	}
	return count;
}

void acpi_srat_hotplug(const struct phys_view *view, const struct acpi_root *root,
		       void (*visit)(u64 base, u64 size))
{
	u64 address = acpi_find_table(view, root, "SRAT", SRAT_SIZE), at = SRAT_SIZE;
	u64 length = address ? acpi_table_length(view, address, "SRAT") : 0;
	const u8 *srat = length ? phys_at(view, address, length) : NULL, *bytes;
	struct srat_memory memory;
	struct entry entry;

	while (srat && (bytes = next_entry(srat, length, &at, &entry))) {
		if (entry.type != SRAT_MEMORY || entry.length < sizeof(memory))
			continue;
		memcpy(&memory, bytes, sizeof(memory));
		if ((memory.flags & SRAT_HOT_PLUGGED) == SRAT_HOT_PLUGGED)
			visit(memory.base, memory.size);
	}
}
