/* SPDX-License-Identifier: BSD-2-Clause */
/* What dom0 finds where the firmware's tables are: the same, and the table LUVY. */
#ifndef DOM0_FIRMWARE_H
#define DOM0_FIRMWARE_H

#include "cpu/acpi.h"
#include "lib/types.h"
#include "luvalley/acpi.h"

/*
 * Builds dom0's tables in acpi_page (RAM that dom0 sees and its map reserves) and shadows the page of
 * the firmware's RSDP, so that a search finds ours in its place. The RSDP's own address in acpi_page is
 * returned for a boot loader to hand on; 0: the firmware's tables are unusable, dom0 sees them as
 * they are.
 */
u64 firmware_show_luvy(const struct phys_view *view, const struct acpi_root *root, hpa_t acpi_page);

/* The table LUVY, without its checksum; session_init comes first. */
void firmware_describe_luvy(struct luv_acpi_table *luvy);

#endif
