/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/firmware_view.h"

#include "cpu/crash.h"
#include "mem/host.h"
#include "mem/page.h"

static bool relocated;

static const void *early_at(const struct phys_view *view, u64 address, u64 size)
{
	(void)view;
	ASSERT(!relocated);
	return range_within(address, size, 0, 4 * GIB) ? hpa_to_virt(hpa(address)) : NULL;
}

static const void *host_at(const struct phys_view *view, u64 address, u64 size)
{
	(void)view;
	if (!range_within(address, size, 0, 4 * GIB) || !host_map_firmware(hpa(address), size))
		return NULL;
	return hpa_to_virt(hpa(address));
}

const struct phys_view *early_view(void)
{
	static const struct phys_view early = {early_at};

	return &early;
}

const struct phys_view *firmware_view(void)
{
	static const struct phys_view host = {host_at};

	return &host;
}

void firmware_view_use_host_tables(void)
{
	relocated = true;
}
