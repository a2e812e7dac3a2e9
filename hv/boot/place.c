/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/place.h"

#include "boot/refuse.h"
#include "lib/string.h"
#include "mem/page.h"

#define BASE_MEMORY_END 0xa0000ull

/* Loaders pass the firmware's E820; where EBDA and other reservations begin only 40:13 says. */
static u64 base_memory_end(const struct boot_info *boot)
{
	u16 kib;
	u64 end;

	memcpy(&kib, hpa_to_virt(hpa(BDA_BASE_MEMORY)), sizeof(kib));
	end = min_u64(kib * KIB, BASE_MEMORY_END);
	while (end > 64 * KIB && !mem_map_all(&boot->map, end - KIB, KIB, MEM_RAM))
		end -= KIB;
	return end;
}

static void choose_low(const struct boot_info *boot, struct low_memory *low)
{
	u64 size = LOW_PAGES * PAGE_SIZE;
	u64 end = base_memory_end(boot);

	low->base = (u32)align_down(end - size, PAGE_SIZE);
	if (end <= 64 * KIB || !mem_map_all(&boot->map, low->base, size, MEM_RAM))
		refuse("no room for Luvalley below 640 KiB: the firmware leaves only %llu KiB of base "
		       "memory",
		       (unsigned long long)(end / KIB));
}

void place_choose(const struct boot_info *boot, u32 cpus, u64 pool, u64 image_size,
		  struct placement *place)
{
	struct mem_range avoid[BOOT_MODULES_MAX + 1];
	u64 ram = mem_map_ram_bytes(&boot->map);

	place->size = hidden_size(ram, cpus, pool, image_size);
	for (u32 i = 0; i < boot->module_count; i++)
		avoid[i] = (struct mem_range){boot->module[i].base, boot->module[i].size, 0};
	/* The image still runs where the loader put it. */
	avoid[boot->module_count] = (struct mem_range){MIB, align_up(image_size, PAGE_SIZE) + MIB, 0};

	if (ram < place->size + MIN_DOM0_RAM ||
	    !mem_map_find_top(&boot->map, place->size + HIDDEN_ALIGN, HIDDEN_ALIGN, 4 * GIB, avoid,
			      boot->module_count + 1, &place->base))
		refuse("too little memory: Luvalley needs %llu MiB below 4 GiB in one piece and leaves "
		       "dom0 at least %llu MiB; this machine has %llu MiB of RAM. A smaller "
		       "pool=SIZE may help",
		       (unsigned long long)(place->size / MIB),
		       (unsigned long long)(MIN_DOM0_RAM / MIB), (unsigned long long)(ram / MIB));
	place->base += HIDDEN_ALIGN;
	place->acpi_page = place->base - PAGE_SIZE;
	hidden_divide(place, image_size);
	choose_low(boot, &place->low);
}
