/* SPDX-License-Identifier: BSD-2-Clause */
#include "mem/ram.h"

#include "cpu/crash.h"
#include "cpu/log.h"
#include "lib/layout.h"
#include "mem/host.h"
#include "mem/page.h"

#define VGA_WINDOW	0xa0000ull
#define VGA_WINDOW_SIZE 0x20000ull

static const struct mem_map *machine;
static struct mem_range hidden[HIDDEN_RANGES_MAX];
static u32 hidden_count;
/* The machine's RAM without ours, ascending; immutable once dom0 runs. */
static struct mem_range dom0_ram[HOTPLUG_MAX + MEM_MAP_MAX + HIDDEN_RANGES_MAX];
static u32 dom0_ram_count;
static struct mem_range hotplug[HOTPLUG_MAX]; /* where RAM may come; immutable once dom0 runs */
static u32 hotplug_count;
static u64 touches; /* atomic */

static void add_dom0_ram(u64 base, u64 end)
{
	if (base < end)
		dom0_ram[dom0_ram_count++] = (struct mem_range){base, end - base, MEM_RAM};
}

static void find_dom0_ram(void)
{
	dom0_ram_count = 0;
	/* First, since they are asked for last. */
	for (u32 i = 0; i < hotplug_count; i++)
		add_dom0_ram(hotplug[i].base, hotplug[i].base + hotplug[i].size);
	for (u32 i = 0; i < machine->count; i++) {
		const struct mem_range *ram = &machine->range[i];
		u64 base = ram->base, end = ram->base + ram->size;

		if (ram->type != MEM_RAM)
			continue;
		for (u32 h = 0; h < hidden_count; h++) {
			if (!range_overlaps(base, end - base, hidden[h].base, hidden[h].size))
				continue;
			add_dom0_ram(base, hidden[h].base);
			base = min_u64(end, hidden[h].base + hidden[h].size);
		}
		add_dom0_ram(base, end);
	}
}

void ram_init(const struct mem_map *map)
{
	machine = map;
	find_dom0_ram();
}

static void add_hole(u64 base, u64 end)
{
	if (base < end && hotplug_count < HOTPLUG_MAX && host_map_ram(base, end - base))
		hotplug[hotplug_count++] = (struct mem_range){base, end - base, MEM_RAM};
}

void ram_add_hotplug(u64 base, u64 size)
{
	u64 end = align_down(min_u64(base + min_u64(size, DIRECT_SIZE), DIRECT_SIZE), PAGE_SIZE);

	if (base >= DIRECT_SIZE)
		return;
	/* Below lie devices, whatever the firmware says. */
	base = max_u64(align_up(base, PAGE_SIZE), 4 * GIB);
	for (u32 i = 0; i < machine->count && base < end; i++) {
		const struct mem_range *known = &machine->range[i];

		add_hole(base, min_u64(end, align_down(known->base, PAGE_SIZE)));
		base = max_u64(base, align_up(known->base + known->size, PAGE_SIZE));
	}
	add_hole(base, end);
	find_dom0_ram();
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
	find_dom0_ram();
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
	/* On the path of every page walk: the large ranges are the last. */
	for (u32 i = dom0_ram_count; i-- > 0;) {
		u64 offset = base - dom0_ram[i].base;

		if (offset < dom0_ram[i].size)
			return size <= dom0_ram[i].size - offset;
	}
	return false;
}

void *ram_dom0(gpa_t address, u64 size)
{
	return ram_is_dom0(address.addr, size) ? hpa_to_virt(hpa(address.addr)) : NULL;
}

const void *ram_dom0_code(gpa_t address, u64 size)
{
	u64 page = align_down(address.addr, PAGE_SIZE);
	u32 type;

	if (ram_is_dom0(address.addr, size))
		return hpa_to_virt(hpa(address.addr));
	if (range_within(address.addr, size, 0, MIB)) {
		if (range_overlaps(address.addr, size, VGA_WINDOW, VGA_WINDOW_SIZE) ||
		    ram_is_hidden(address.addr, size))
			return NULL;
		return hpa_to_virt(hpa(address.addr));
	}
	type = mem_map_type(machine, address.addr);
	if (type != MEM_ACPI && type != MEM_NVS)
		return NULL;
	/* Of these only whole pages are mapped (mem/host.c). */
	if (!range_within(address.addr, size, page, PAGE_SIZE) ||
	    !mem_map_all(machine, page, PAGE_SIZE, type) || ram_is_hidden(page, PAGE_SIZE))
		return NULL;
	return hpa_to_virt(hpa(address.addr));
}
