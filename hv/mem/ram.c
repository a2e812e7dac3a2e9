/* SPDX-License-Identifier: BSD-2-Clause */
#include "mem/ram.h"

#include "cpu/crash.h"
#include "cpu/log.h"
#include "mem/page.h"

#define VGA_WINDOW	0xa0000ull
#define VGA_WINDOW_SIZE 0x20000ull

static const struct mem_map *machine;
static struct mem_range hidden[HIDDEN_RANGES_MAX];
static u32 hidden_count;
static u64 touches; /* atomic */

void ram_init(const struct mem_map *map)
{
	machine = map;
}

/* Kept sorted, so that the lowest overlap is found first. */
void ram_hide(hpa_t base, u64 size)
{
	u32 at = hidden_count;

	ASSERT(hidden_count < HIDDEN_RANGES_MAX && base.addr % PAGE_SIZE == 0 &&
	       size % PAGE_SIZE == 0);
	for (; at > 0 && hidden[at - 1].base > base.addr; at--)
		hidden[at] = hidden[at - 1];
	hidden[at] = (struct mem_range){base.addr, size, MEM_RESERVED};
	hidden_count++;
}

const struct mem_range *ram_next_hidden(u64 base, u64 size)
{
	for (u32 i = 0; i < hidden_count; i++) {
		if (range_overlaps(base, size, hidden[i].base, hidden[i].size))
			return &hidden[i];
	}
	return NULL;
}

bool ram_is_hidden(u64 base, u64 size)
{
	return ram_next_hidden(base, size) != NULL;
}

u64 ram_hidden_bytes(void)
{
	u64 bytes = 0;

	for (u32 i = 0; i < hidden_count; i++)
		bytes += hidden[i].size;
	return bytes;
}

void ram_count_touch(u64 page, bool write, u64 rip)
{
	hv_log_counted(&touches,
		       "dom0 touched hidden memory at 0x%llx (a %s at 0x%llx); it finds a page of junk "
		       "there",
		       (unsigned long long)page, write ? "write" : "read", (unsigned long long)rip);
}

u64 ram_touches(void)
{
	return __atomic_load_n(&touches, __ATOMIC_RELAXED);
}

bool ram_is_dom0(u64 base, u64 size)
{
	return mem_map_all(machine, base, size, MEM_RAM) && !ram_is_hidden(base, size);
}

void *ram_dom0(gpa_t address, u64 size)
{
	return ram_is_dom0(address.addr, size) ? hpa_to_virt(hpa(address.addr)) : NULL;
}

const void *ram_dom0_code(gpa_t address, u64 size)
{
	u32 type = mem_map_type(machine, address.addr);
	u64 page = align_down(address.addr, PAGE_SIZE);

	if (range_within(address.addr, size, 0, MIB)) {
		if (range_overlaps(address.addr, size, VGA_WINDOW, VGA_WINDOW_SIZE) ||
		    ram_is_hidden(address.addr, size))
			return NULL;
		return hpa_to_virt(hpa(address.addr));
	}
	if (type != MEM_ACPI && type != MEM_NVS)
		return ram_dom0(address, size);
	/* Of these only whole pages are mapped (mem/host.c). */
	if (!range_within(address.addr, size, page, PAGE_SIZE) ||
	    !mem_map_all(machine, page, PAGE_SIZE, type) || ram_is_hidden(page, PAGE_SIZE))
		return NULL;
	return hpa_to_virt(hpa(address.addr));
}
