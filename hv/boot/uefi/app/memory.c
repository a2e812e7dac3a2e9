/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/uefi/app/app.h"

#include "boot/place.h"
#include "lib/layout.h"
#include "lib/string.h"
#include "mem/memmap.h"

#define BASE_MEMORY_END 0xa0000ull
#define LOW_END		(512 * GIB) /* of the tables made here */

/* Long mode entries (APM 2 5.3): present, writable; page size. */
#define ENTRY	    3ull
#define ENTRY_LARGE 0x83ull
#define ENTRIES	    512u

struct efi_map {
	void *bytes;
	u64 size, descriptor_size;
};

static u64 allocate_pages(u32 type, u64 size, u64 below)
{
	u64 address = below - 1;

	if (efi_boot->allocate_pages(EFI_ALLOCATE_MAX_ADDRESS, type, align_up(size, PAGE_SIZE) / PAGE_SIZE,
				     &address) & EFI_ERROR)
		return 0;
	return address;
}

void *allocate(u64 size)
{
	void *at = (void *)allocate_pages(EFI_LOADER_DATA, size, 4 * GIB);

	if (at)
		memset(at, 0, align_up(size, PAGE_SIZE));
	return at;
}

static struct efi_memory_descriptor *descriptor(const struct efi_map *map, u64 index)
{
	return (struct efi_memory_descriptor *)((u8 *)map->bytes + index * map->descriptor_size);
}

static bool read_map(struct efi_map *map)
{
	u64 key, size = 0;
	u32 version;

	map->size = 0;
	efi_boot->get_memory_map(&map->size, NULL, &key, &map->descriptor_size, &version);
	/* The buffer itself may add descriptors. */
	size = map->size + 16 * map->descriptor_size;
	if (efi_boot->allocate_pool(EFI_LOADER_DATA, size, &map->bytes) & EFI_ERROR)
		return false;
	map->size = size;
	if (!(efi_boot->get_memory_map(&map->size, map->bytes, &key, &map->descriptor_size, &version) &
	      EFI_ERROR))
		return true;
	efi_boot->free_pool(map->bytes);
	return false;
}

/* What the hypervisor calls it. Runtime memory is not the system's, but its code is executed. */
static u32 kind(u32 type)
{
	switch (type) {
	case EFI_LOADER_CODE:
	case EFI_LOADER_DATA:
	case EFI_BOOT_CODE:
	case EFI_BOOT_DATA:
	case EFI_CONVENTIONAL:
		return MEM_RAM;
	case EFI_ACPI_RECLAIM:
		return MEM_ACPI;
	case EFI_ACPI_NVS:
	case EFI_RUNTIME_CODE:
	case EFI_RUNTIME_DATA:
		return MEM_NVS;
	case EFI_UNUSABLE:
		return MEM_UNUSABLE;
	case EFI_MMIO:
	case EFI_MMIO_PORT:
		return MEM_NONE;
	default:
		return MEM_RESERVED;
	}
}

static void sort(const struct efi_map *map)
{
	u64 count = map->size / map->descriptor_size;

	for (u64 i = 1; i < count; i++) {
		for (u64 j = i; j > 0; j--) {
			struct efi_memory_descriptor *a = descriptor(map, j - 1), *b = descriptor(map, j), c;

			if (a->physical <= b->physical)
				break;
			c = *a;
			*a = *b;
			*b = c;
		}
	}
}

/* Neighbours of one kind become one range: firmware's maps have hundreds of descriptors. */
static bool merge(const struct efi_map *map, struct mem_map *to)
{
	struct mem_range run = {0, 0, MEM_NONE};

	to->count = 0;
	for (u64 at = 0; at < map->size; at += map->descriptor_size) {
		const struct efi_memory_descriptor *d = descriptor(map, at / map->descriptor_size);
		u64 size = d->pages * PAGE_SIZE;
		u32 type = kind(d->type);

		if (type == run.type && d->physical == run.base + run.size) {
			run.size += size;
			continue;
		}
		if (run.type != MEM_NONE && !mem_map_add(to, run.base, run.size, run.type))
			return false;
		run = (struct mem_range){d->physical, size, type};
	}
	if (run.type != MEM_NONE && !mem_map_add(to, run.base, run.size, run.type))
		return false;
	return mem_map_normalise(to);
}

static bool convert_map(struct mem_map *to)
{
	struct efi_map map;
	bool done;

	if (!read_map(&map))
		return false;
	sort(&map);
	done = merge(&map, to);
	efi_boot->free_pool(map.bytes);
	return done;
}

/* The highest place below 4 GiB, 2 MiB aligned: more is taken, and what sticks out is given back. */
static u64 take_hidden(u64 size)
{
	u64 all = size + HIDDEN_ALIGN, at = allocate_pages(EFI_RESERVED, all, 4 * GIB);
	u64 base = align_down(at + HIDDEN_ALIGN, HIDDEN_ALIGN);

	if (!at)
		return 0;
	efi_boot->free_pages(at, (base - at) / PAGE_SIZE);
	if (base + size < at + all)
		efi_boot->free_pages(base + size, (at + all - base - size) / PAGE_SIZE);
	return base;
}

static void place_image(u64 base)
{
	u64 stored = (u64)(payload_end - payload);

	memcpy((void *)base, payload, stored);
	memset((void *)(base + stored), 0, payload_size - stored);
}

/* The image's 4 KiB pages, at the address it is linked at. */
static void map_image(u64 *directory, u64 base)
{
	u64 first = payload_start & (GIB - 1);

	for (u64 at = 0; at < payload_size; at += PAGE_SIZE) {
		u64 index = (first + at) / (2 * MIB);
		u64 *table = (u64 *)(directory[index] & ~0xfffull);

		if (!table) {
			table = (u64 *)((u64)directory + PAGE_SIZE * (1 + index));
			directory[index] = (u64)table | ENTRY;
		}
		table[(first + at) / PAGE_SIZE % ENTRIES] = (base + at) | ENTRY;
	}
}

/* Pages: root, low directory pointers, the image's directory pointers, directory and two tables; a directory a GiB. */
#define FIXED_PAGES 6u

static u64 make_tables(u64 ram_end, u64 image)
{
	/* What is used by them is this code, its stack, and what was allocated below 4 GiB. */
	u64 gibs = min_u64(align_up(max_u64(ram_end, 4 * GIB), GIB), LOW_END) / GIB;
	bool reached = (u64)&make_tables < LOW_END && (u64)__builtin_frame_address(0) < LOW_END;
	u64 *root = reached ? allocate((FIXED_PAGES + gibs) * PAGE_SIZE) : NULL;
	u64 *low, *high, *directory;

	if (!root)
		return 0;
	low = root + ENTRIES;
	high = low + ENTRIES;
	root[0] = root[DIRECT_BASE >> 39 & (ENTRIES - 1)] = (u64)low | ENTRY;
	root[IMAGE_BASE >> 39 & (ENTRIES - 1)] = (u64)high | ENTRY;
	high[IMAGE_BASE >> 30 & (ENTRIES - 1)] = (u64)(high + ENTRIES) | ENTRY;
	map_image(high + ENTRIES, image);
	directory = root + FIXED_PAGES * ENTRIES;
	for (u64 i = 0; i < gibs * ENTRIES; i++)
		directory[i] = i * 2 * MIB | ENTRY_LARGE;
	for (u64 i = 0; i < gibs; i++)
		low[i] = (u64)(directory + i * ENTRIES) | ENTRY;
	return (u64)root;
}

const char *take_memory(struct handoff *handoff, const struct options *options, u32 cpus)
{
	struct mem_map *map = &handoff->map;
	u64 ram;

	if (!convert_map(map))
		return "the firmware's memory map cannot be read, or has too many ranges";
	ram = mem_map_ram_bytes(map);
	if (options->cpus)
		cpus = (u32)min_u64(cpus, options->cpus);
	handoff->hidden_size = hidden_size(ram, cpus, options->pool, payload_size);
	if (ram >= handoff->hidden_size + MIN_DOM0_RAM)
		handoff->hidden_base = take_hidden(handoff->hidden_size);
	if (!handoff->hidden_base)
		return "too little memory below 4 GiB in one piece: a smaller pool=SIZE may help";
	handoff->trampoline = allocate_pages(EFI_RESERVED, PAGE_SIZE, BASE_MEMORY_END);
	place_image(handoff->hidden_base);
	handoff->cr3_between = make_tables(mem_map_ram_end(map), handoff->hidden_base);
	if (!handoff->trampoline || !handoff->cr3_between || !convert_map(map) ||
	    !mem_map_set(map, handoff->hidden_base, handoff->hidden_size, MEM_RAM) ||
	    !mem_map_set(map, handoff->trampoline, PAGE_SIZE, MEM_RAM)) {
		return_memory(handoff);
		return "the firmware has too little memory left";
	}
	return NULL;
}

void return_memory(const struct handoff *handoff)
{
	efi_boot->free_pages(handoff->hidden_base, handoff->hidden_size / PAGE_SIZE);
	if (handoff->trampoline)
		efi_boot->free_pages(handoff->trampoline, 1);
}
