/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <luvalley/acpi.h>

#include "cmd/command.h"

#define TABLE_PATH "/sys/firmware/acpi/tables/" LUV_ACPI_SIGNATURE

int fail(const char *what, int error)
{
	fprintf(stderr, "luvalley: %s: %s\n", what, luv_strerror(error));
	return EXIT_FAILED;
}

int luvalley_check(void)
{
	int version;

	if (!luv_present()) {
		fputs("luvalley: this system does not run under Luvalley: boot luvalley.elf "
		      "from the "
		      "boot loader, and let it start this system\n",
		      stderr);
		return EXIT_NO_LUVALLEY;
	}
	version = luv_query(LUV_QUERY_ABI_VERSION);
	if (version < 0)
		return fail("the hypervisor does not tell its interface version", version);
	if (version != LUV_ABI_VERSION) {
		fprintf(stderr,
			"luvalley: the hypervisor has interface version %d, this program needs "
			"%d: use "
			"the program that was built with it\n",
			version, LUV_ABI_VERSION);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

/* Why the table's file cannot be read, as a sentence. */
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
	if (!(table->flags & LUV_ACPI_HAS_KEY))
		return "the hypervisor was booted with key=none and gives its key to nobody";
	return NULL;
}

static const char *key_read(uint32_t key[3])
{
	struct luv_acpi_table table;
	FILE *file = fopen(TABLE_PATH, "rb");
	const char *fault;
	size_t size;

	if (!file)
		return open_failure(errno);
	size = fread(&table, 1, sizeof(table), file);
	fault = ferror(file) ? open_failure(errno) : table_fault(&table, size);
	fclose(file);
	if (!fault)
		memcpy(key, table.key, sizeof(table.key));
	return fault;
}

int session_open(int *session)
{
	uint32_t key[3];
	const char *fault;
	int status = luvalley_check();

	if (status != EXIT_DONE)
		return status;
	fault = key_read(key);
	if (fault) {
		fprintf(stderr, "luvalley: %s\n", fault);
		return EXIT_FAILED;
	}
	*session = luv_session_open(key);
	return *session < 0 ? fail("cannot open a session", *session) : EXIT_DONE;
}
