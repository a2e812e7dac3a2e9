/* SPDX-License-Identifier: BSD-2-Clause */
#include "mem/host.h"

#include "cpu/percpu.h"
#include "cpu/x86.h"
#include "lib/layout.h"
#include "mem/mtrr.h"
#include "mem/page.h"

/* Long mode entries (APM 2 5.3, 5.4). */
#define PTE_P	BIT(0)
#define PTE_W	BIT(1)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_A	BIT(5)
#define PTE_D	BIT(6)
#define PTE_PS	BIT(7)
#define PTE_NX	BIT(63)
#define PTE_ADDRESS (BIT(52) - PAGE_SIZE)

extern const u8 image_start[], image_end[], text_start[], rodata_start[], data_start[];

static u64 host_table(hpa_t child)
{
	return child.addr | PTE_P | PTE_W | PTE_A;
}

static u64 host_leaf(hpa_t page, unsigned level, u32 access, u8 memory_type)
{
	u64 entry = page.addr | PTE_P | PTE_A | PTE_D;

	if (access & NESTED_WRITE)
		entry |= PTE_W;
	if (!(access & NESTED_EXEC))
		entry |= PTE_NX;
	if (memory_type == CACHE_UC)
		entry |= PTE_PCD | PTE_PWT;
	if (level > 1)
		entry |= PTE_PS;
	return entry;
}

static bool host_present(u64 entry)
{
	return entry & PTE_P;
}

static bool host_is_leaf(u64 entry, unsigned level)
{
	return level == 1 || entry & PTE_PS;
}

static hpa_t host_address(u64 entry, unsigned level)
{
	return hpa(entry & PTE_ADDRESS);
}

static u32 host_access(u64 entry)
{
	return (u32)(NESTED_READ | (entry & PTE_W ? NESTED_WRITE : 0) |
		     (entry & PTE_NX ? 0 : NESTED_EXEC));
}

static u8 host_memory_type(u64 entry)
{
	return entry & PTE_PCD ? CACHE_UC : CACHE_WB;
}

static struct nested_format host_format = {
	.name = "host",
	.largest_leaf = 2,
	.table = host_table,
	.leaf = host_leaf,
	.present = host_present,
	.is_leaf = host_is_leaf,
	.address = host_address,
	.access = host_access,
	.memory_type = host_memory_type,
	.typed = true,
};
static struct nested tables;
static hpa_t image_hpa;

_Static_assert(DIRECT_BASE + DIRECT_SIZE == IMAGE_BASE, "the direct map ends at the image");

static bool map(u64 at, hpa_t to, u64 size, u32 access, u8 memory_type)
{
	return nested_map(&tables, gpa(at & (BIT(48) - 1)), to, size, access, memory_type);
}

/*
 * RAM lies in whole pages (boot/multiboot.c). ACPI's ranges are rounded inwards: device memory beside
 * them must not become reachable through a cacheable alias.
 */
static bool map_ram(const struct mem_map *ram)
{
	for (u32 i = 0; i < ram->count; i++) {
		const struct mem_range *r = &ram->range[i];
		u64 base = align_up(r->base, PAGE_SIZE);
		u64 end = align_down(min_u64(r->base + r->size, DIRECT_SIZE), PAGE_SIZE);

		if (r->type != MEM_RAM && r->type != MEM_ACPI && r->type != MEM_NVS)
			continue;
		if (end > base && !map(DIRECT_BASE + base, hpa(base), end - base,
				       NESTED_READ | NESTED_WRITE, CACHE_WB))
			return false;
	}
	/* The first MiB whole: BIOS data, ROMs, VGA text; its fixed MTRRs set the types. */
	return map(DIRECT_BASE, hpa(0), MIB, NESTED_READ | NESTED_WRITE, CACHE_WB);
}

static bool map_image_part(hpa_t image, const u8 *from, const u8 *to, u32 access)
{
	return map((u64)from, hpa(image.addr + (u64)(from - image_start)), (u64)(to - from), access,
		   CACHE_WB);
}

bool host_build(const struct mem_map *ram, hpa_t image, hpa_t apic)
{
	image_hpa = image;
	/* APM 3 E.4.2: EDX bit 26, 1 GiB pages. */
	if (cpuid(0x80000001, 0).edx & BIT(26))
		host_format.largest_leaf = 3;
	return nested_init(&tables, &host_format, &page_pool) && map_ram(ram) &&
	       map_image_part(image, text_start, rodata_start, NESTED_READ | NESTED_EXEC) &&
	       map_image_part(image, rodata_start, data_start, NESTED_READ) &&
	       map_image_part(image, data_start, image_end, NESTED_READ | NESTED_WRITE) &&
	       map(MMIO_BASE, apic, PAGE_SIZE, NESTED_READ | NESTED_WRITE, CACHE_UC);
}

hpa_t host_cr3(void)
{
	return virt_to_hpa(tables.root);
}

hpa_t image_to_hpa(const void *at)
{
	return hpa(image_hpa.addr + (u64)((const u8 *)at - image_start));
}

bool host_map_cpu_slot(u32 index)
{
	u64 at = CPU_SLOTS + (u64)index * CPU_SLOT_SIZE;
	u64 stack = at + CPU_SLOT_SIZE - CPU_STACK_SIZE;

	for (u64 page = at; page < at + CPU_SLOT_SIZE; page += PAGE_SIZE) {
		void *fresh;

		if (page != at && page < stack)
			continue;
		fresh = page_alloc();
		if (!fresh || !map(page, virt_to_hpa(fresh), PAGE_SIZE, NESTED_READ | NESTED_WRITE,
				   CACHE_WB))
			return false;
	}
	return true;
}

void *host_map_screen(hpa_t base, u64 size)
{
	u64 first = align_down(base.addr, PAGE_SIZE);
	u64 length = align_up(base.addr + size, PAGE_SIZE) - first;

	if (!range_within(SCREEN_BASE, length, SCREEN_BASE, CPU_SLOTS - SCREEN_BASE) ||
	    !map(SCREEN_BASE, hpa(first), length, NESTED_READ | NESTED_WRITE, CACHE_UC))
		return NULL;
	return (void *)(SCREEN_BASE + base.addr - first);
}

bool host_map_ram(u64 base, u64 size)
{
	return map(DIRECT_BASE + base, hpa(base), size, NESTED_READ | NESTED_WRITE, CACHE_WB);
}

bool host_map_identity(hpa_t page)
{
	return map(page.addr, page, PAGE_SIZE, NESTED_READ | NESTED_EXEC, CACHE_WB);
}

bool host_map_firmware(hpa_t base, u64 size)
{
	u64 end = align_up(base.addr + size, PAGE_SIZE);

	for (u64 page = align_down(base.addr, PAGE_SIZE); page < end; page += PAGE_SIZE) {
		struct nested_leaf leaf;

		nested_lookup(&tables, gpa((DIRECT_BASE + page) & (BIT(48) - 1)), &leaf);
		if (!leaf.access &&
		    !map(DIRECT_BASE + page, hpa(page), PAGE_SIZE, NESTED_READ | NESTED_WRITE, CACHE_WB))
			return false;
	}
	return true;
}
