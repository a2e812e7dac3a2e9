/* SPDX-License-Identifier: BSD-2-Clause */
/* The ACPI tables that dom0 sees: the firmware's, and ours, LUVY. Pure. */
#ifndef DOM0_ACPI_LUVY_H
#define DOM0_ACPI_LUVY_H

#include "cpu/acpi.h"
#include "luvalley/acpi.h"

/*
 * Builds, in buffer (zeroed by the caller; dom0 will see it at physical address `address`,
 * 16-byte aligned, wholly below 4 GiB, in memory that E820 reserves), the table LUVY and, for
 * each of RSDT and XSDT that the firmware has intact, a new one: the firmware's entries with
 * LUVY's appended. Of *luvy the caller fills what it wants to say; signature, length, revision,
 * OEM ID and checksum are set here. *rsdp becomes a copy of the firmware's RSDP that points to
 * the new tables, both checksums right; a revision 0 RSDP stays one, of 20 bytes. Returns the
 * bytes used, or 0 when a table is damaged or the buffer too small.
 */
u64 acpi_luvy_build(const struct phys_view *view, const struct acpi_root *root,
		    const struct luv_acpi_table *luvy, void *buffer, u64 size, u64 address,
		    struct acpi_rsdp *rsdp);

#endif
