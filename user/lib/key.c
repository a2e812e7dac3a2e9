/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/luvalley.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>

#include <luvalley/acpi.h>

/* A copy of the table that an administrator may hand on; else the table itself. */
#define KEY_PATH   "/run/luvalley/key"
#define TABLE_PATH "/sys/firmware/acpi/tables/" LUV_ACPI_SIGNATURE

static const char *open_failure(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return "only root may read the hypervisor's key: run this as root";
	case ENOENT:
		return "there is no ACPI table " LUV_ACPI_SIGNATURE
		       " with the hypervisor's key (" TABLE_PATH
		       "): was the system booted with acpi=off, or is sysfs not mounted?";
	default:
		return strerror(error);
	}
}

/* NULL when it is a table of ours that holds a key. */
static const char *table_fault(const struct luv_acpi_table *table, size_t size)
{
	const unsigned char *bytes = (const unsigned char *)table;
	unsigned sum = 0;

	if (size < sizeof(*table))
		return "the ACPI table " LUV_ACPI_SIGNATURE " is too short";
	if (memcmp(table->signature, LUV_ACPI_SIGNATURE, sizeof(table->signature)) != 0)
		return "the ACPI table " LUV_ACPI_SIGNATURE " has another signature";
	if (table->length != sizeof(*table) || table->revision != LUV_ACPI_REVISION ||
	    table->abi_version != LUV_ABI_VERSION)
		return "the ACPI table " LUV_ACPI_SIGNATURE
		       " is of another version: use the program that was built with this "
		       "hypervisor";
	for (size_t i = 0; i < sizeof(*table); i++)
		sum += bytes[i];
	if (sum % 256 != 0)
		return "the ACPI table " LUV_ACPI_SIGNATURE
		       " is damaged: its checksum is wrong";
	if (!(table->flags & (LUV_ACPI_HAS_KEY | LUV_ACPI_KEY_AT_PORT)))
		return "the hypervisor was booted with key=none and gives its key to nobody";
	return NULL;
}

/* key=port: the system's permission to use these ports, which is root's, is what guards the key. */
static const char *read_ports(uint32_t key[3])
{
	if (ioperm(LUV_KEY_PORT, LUV_KEY_PORTS, 1) != 0)
		return "only root may read the hypervisor's key from its I/O ports: run this as root, in a system "
		       "that is not locked down";
	for (unsigned i = 0; i < 3; i++)
		__asm__ volatile("inl %w1, %0" : "=a"(key[i]) : "Nd"(LUV_KEY_PORT + 4 * i));
	ioperm(LUV_KEY_PORT, LUV_KEY_PORTS, 0);
	return NULL;
}

const char *luv_key_read(uint32_t key[3])
{
	struct luv_acpi_table table;
	FILE *file = fopen(KEY_PATH, "rbe");
	const char *fault;
	size_t size;

	if (!file)
		file = fopen(TABLE_PATH, "rbe");
	if (!file)
		return open_failure(errno);
	size = fread(&table, 1, sizeof(table), file);
	fault = ferror(file) ? open_failure(errno) : table_fault(&table, size);
	fclose(file);
	if (!fault && table.flags & LUV_ACPI_KEY_AT_PORT)
		return read_ports(key);
	if (!fault)
		memcpy(key, table.key, sizeof(table.key));
	return fault;
}
