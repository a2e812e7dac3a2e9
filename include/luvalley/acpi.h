/* SPDX-License-Identifier: BSD-2-Clause */
/* The ACPI table LUVY: how dom0's root learns the key. */
#ifndef LUVALLEY_ACPI_H
#define LUVALLEY_ACPI_H

#include <stdint.h>

#define LUV_ACPI_SIGNATURE "LUVY"
#define LUV_ACPI_REVISION  1

/* Little endian, packed. Offsets 0 to 35 are the ACPI header (ACPI 6.4, table 5-4). */
struct luv_acpi_table {
	char signature[4]; /* "LUVY" */
	uint32_t length;   /* 56 */
	uint8_t revision;  /* LUV_ACPI_REVISION */
	uint8_t checksum;  /* all bytes sum to 0 modulo 256 */
	char oem_id[6];	   /* "LUVALY" */
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
	uint32_t abi_version; /* LUV_ABI_VERSION */
	uint32_t flags;	      /* LUV_ACPI_HAS_KEY, LUV_ACPI_KEY_AT_PORT */
	uint32_t key[3];      /* what session open takes; zero without LUV_ACPI_HAS_KEY */
} __attribute__((packed));
_Static_assert(sizeof(struct luv_acpi_table) == 56, "struct luv_acpi_table");

#define LUV_ACPI_HAS_KEY     1u
#define LUV_ACPI_KEY_AT_PORT 2u /* its 12 bytes are what IN reads from LUV_KEY_PORT on */

/* 12 ports among those where a PC has no device, and PCI places none. */
#define LUV_KEY_PORT  0x1a0u
#define LUV_KEY_PORTS 12u

#endif
