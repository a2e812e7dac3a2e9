/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding and reading the firmware's ACPI tables (ACPI 6.4, chapter 5). Pure. */
#ifndef CPU_ACPI_H
#define CPU_ACPI_H

#include "lib/phys_view.h"

struct acpi_header { /* ACPI 6.4, table 5-4 */
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum;
	char oem_id[6];
	char oem_table_id[8];
	u32 oem_revision;
	char creator_id[4];
	u32 creator_revision;
} PACKED;
ASSERT_SIZE(struct acpi_header, 36);

struct acpi_rsdp { /* ACPI 6.4, table 5-3 */
	char signature[8];
	u8 checksum; /* of the first 20 bytes */
	char oem_id[6];
	u8 revision; /* 0: only the fields above and rsdt count */
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 extended_checksum; /* of all `length` bytes */
	u8 reserved[3];
} PACKED;
ASSERT_SIZE(struct acpi_rsdp, 36);

#define ACPI_TABLES_MAX 128 /* entries of the root table that are looked at */

/* The root of the firmware's tables. */
struct acpi_root {
	u64 rsdp; /* physical address of the RSDP */
	u64 rsdt; /* 0 when there is none */
	u64 xsdt; /* 0 when there is none; preferred */
};

/* Byte sum modulo 256; 0 for an intact table. */
u8 acpi_sum(const void *bytes, u64 size);

/* Copies the RSDP; of revisions below 2 only 20 bytes, the rest is zero. False if damaged. */
bool acpi_read_rsdp(const struct phys_view *view, u64 address, struct acpi_rsdp *rsdp);

/* The length of the intact table of this signature at the address, or 0. */
u64 acpi_table_length(const struct phys_view *view, u64 address, const char signature[4]);

/* The root that the RSDP at the address names. False without an intact RSDP whose RSDT or XSDT is intact. */
bool acpi_root_at(const struct phys_view *view, u64 address, struct acpi_root *root);

/*
 * Searches the first KiB of the EBDA (segment at 40:0E) and 0xE0000-0xFFFFF on 16-byte
 * boundaries (ACPI 6.4, 5.2.5.1). False without an intact RSDP whose RSDT or XSDT is intact.
 */
bool acpi_find_root(const struct phys_view *view, struct acpi_root *root);

/*
 * The physical address of the first intact table with the signature and at least min_size bytes
 * (header included), or 0.
 */
u64 acpi_find_table(const struct phys_view *view, const struct acpi_root *root,
		    const char signature[4], u32 min_size);

#define ACPI_CPUS_MAX 4096

/*
 * The APIC IDs of the processors that the MADT lists as enabled (types 0 and 9,
 * ACPI 6.4, 5.2.12.2 and 5.2.12.12), in its order. At most `max` are stored; the return value
 * is how many there are, at most ACPI_CPUS_MAX (0: no MADT). One that equals a stored one is
 * not counted again.
 */
u32 acpi_madt_cpus(const struct phys_view *view, const struct acpi_root *root, u32 *apic_id,
		   u32 max);

/* The ranges where the SRAT lets memory be added (ACPI 6.4, 5.2.16.2), whatever they are: unchecked. */
void acpi_srat_hotplug(const struct phys_view *view, const struct acpi_root *root,
		       void (*visit)(u64 base, u64 size));

#endif
