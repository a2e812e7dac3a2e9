/* SPDX-License-Identifier: BSD-2-Clause */
/* Firmware tables in a fake first MiB, for the tests of ACPI's readers. */
#ifndef TESTS_FAKE_ACPI_H
#define TESTS_FAKE_ACPI_H

#include "cpu/acpi.h"
#include "fake_memory.h"

#define FAKE_ACPI_SIZE 0x100000
#define EBDA	       0x9fc00
#define RSDP	       0xf5a40
#define RSDT	       0xe1000
#define XSDT	       0xe2004 /* ACPI promises no alignment */
#define FADT	       0xe3000
#define MADT	       0xe4000

static inline void fix_sum(struct fake_memory *memory, u64 at, u64 size, u64 sum_at)
{
	memory->bytes[sum_at] = 0;
	memory->bytes[sum_at] = -acpi_sum(memory->bytes + at, size);
}

/* A table with the body, which may lie in place already. */
static inline void put_table(struct fake_memory *memory, u64 at, const char *signature,
			     const void *body, u32 body_size)
{
	struct acpi_header header = {.length = sizeof(header) + body_size, .revision = 1};

	memcpy(header.signature, signature, 4);
	memcpy(header.oem_id, "FAKE  ", 6);
	fake_memory_put(memory, at, &header, sizeof(header));
	if (body)
		fake_memory_put(memory, at + sizeof(header), body, body_size);
	fix_sum(memory, at, header.length, at + offsetof(struct acpi_header, checksum));
}

static inline void put_rsdp(struct fake_memory *memory, u64 at, u8 revision, u32 rsdt, u64 xsdt)
{
	struct acpi_rsdp rsdp = {
	    .revision = revision, .rsdt = rsdt, .length = sizeof(rsdp), .xsdt = xsdt};
	u64 size = revision < 2 ? 20 : sizeof(rsdp);

	memcpy(rsdp.signature, "RSD PTR ", 8);
	memcpy(rsdp.oem_id, "FAKE  ", 6);
	fake_memory_put(memory, at, &rsdp, size);
	fix_sum(memory, at, 20, at + offsetof(struct acpi_rsdp, checksum));
	if (revision >= 2)
		fix_sum(memory, at, size, at + offsetof(struct acpi_rsdp, extended_checksum));
}

/* Both root tables, each with FADT and MADT; the body of the MADT lies at MADT + 36. */
static inline void put_tables(struct fake_memory *memory, u8 revision, u32 madt_body)
{
	const u32 entries32[] = {FADT, MADT};
	const u64 entries64[] = {FADT, MADT};
	const u8 fadt[100] = {1, 2, 3};

	put_table(memory, FADT, "FACP", fadt, sizeof(fadt));
	put_table(memory, MADT, "APIC", NULL, madt_body);
	put_table(memory, RSDT, "RSDT", entries32, sizeof(entries32));
	put_table(memory, XSDT, "XSDT", entries64, sizeof(entries64));
	put_rsdp(memory, RSDP, revision, RSDT, revision < 2 ? 0 : XSDT);
}

#endif
