/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/firmware_view.h"

#include "cpu/crash.h"
#include "lib/layout.h"
#include "mem/host.h"
#include "mem/page.h"
#include "mem/ram.h"

static const struct mem_map *machine;
static bool relocated;

static const void *early_at(const struct phys_view *view, u64 address, u64 size)
{
	ASSERT(!relocated);
	return range_within(address, size, 0, 4 * GIB) ? hpa_to_virt(hpa(address)) : NULL;
}

static bool may_hold_tables(u64 address, u64 size)
{
	u32 type = mem_map_type(machine, address);

	if (range_within(address, size, 0, MIB))
		return true;
	return (type == MEM_RAM || type == MEM_ACPI || type == MEM_NVS || type == MEM_RESERVED) &&
	       mem_map_all(machine, address, size, type);
}

static const void *firmware_at(const struct phys_view *view, u64 address, u64 size)
{
	if (!range_within(address, size, 0, DIRECT_SIZE) || !may_hold_tables(address, size) ||
	    ram_is_hidden(address, size))
		return NULL;
	if (!relocated)
		return early_at(view, address, size);
	return host_map_firmware(hpa(address), size) ? hpa_to_virt(hpa(address)) : NULL;
}

const struct phys_view *early_view(void)
{
	static const struct phys_view early = {early_at};

	return &early;
}

const struct phys_view *firmware_view(const struct mem_map *map)
{
	static const struct phys_view firmware = {firmware_at};

	machine = map;
	return &firmware;
}

void firmware_view_use_host_tables(void)
{
	relocated = true;
}
