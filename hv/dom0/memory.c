/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/memory.h"

#include "cpu/crash.h"
#include "cpu/log.h"
#include "cpu/spinlock.h"
#include "cpu/x86.h"
#include "dom0/apic.h"
#include "dom0/mtrr.h"
#include "mem/page.h"
#include "mem/ram.h"

static struct nested tables; /* tables_lock once dom0 runs */
static struct spinlock tables_lock;
static void *junk; /* what dom0 sees in place of our memory; immutable */

struct nested *dom0_memory(void)
{
	return &tables;
}

/* Maps the range 1:1, cut where the memory type changes. */
static bool map_by_type(u64 base, u64 size)
{
	u64 end = base + size;

	while (base < end) {
		u64 type_end;
		u8 type = mtrr_type(mtrr_current(), base, &type_end);
		u64 part_end = min_u64(end, align_down(type_end, PAGE_SIZE));

		if (part_end <= base)
			part_end = base + PAGE_SIZE;
		if (!nested_map(&tables, gpa(base), hpa(base), part_end - base, NESTED_RWX, type))
			return false;
		base = part_end;
	}
	return true;
}

/* The range without what is hidden. */
static bool map_visible(u64 base, u64 end)
{
	while (base < end) {
		const struct mem_range *hidden = ram_next_hidden(base, end - base);

		if (!hidden)
			return map_by_type(base, end - base);
		if (hidden->base > base && !map_by_type(base, hidden->base - base))
			return false;
		base = hidden->base + hidden->size;
	}
	return true;
}

bool dom0_memory_init(const struct nested_format *format, const struct mem_map *map)
{
	junk = page_alloc();
	if (!junk || !nested_init(&tables, format, &page_pool))
		return false;
	for (u32 i = 0; i < map->count; i++) {
		const struct mem_range *r = &map->range[i];
		u64 base = align_down(r->base, PAGE_SIZE);
		u64 end = align_up(r->base + r->size, PAGE_SIZE);

		if (r->type == MEM_RAM && end <= NESTED_LIMIT && !map_visible(base, end))
			return false;
	}
	return true;
}

bool dom0_memory_shadow(gpa_t at, hpa_t page)
{
	return nested_map(&tables, at, page, PAGE_SIZE, NESTED_RWX, CACHE_WB);
}

void dom0_memory_writable(gpa_t page, bool writable)
{
	u32 access = (u32)(writable ? NESTED_RWX : NESTED_READ | NESTED_EXEC);
	bool done;

	spin_lock(&tables_lock);
	done = nested_map(&tables, page, hpa(page.addr), PAGE_SIZE, access, CACHE_UC);
	spin_unlock(&tables_lock);
	ASSERT(done);
}

/* dom0 touched our memory: it may, as firmware's reserved memory may be touched; it finds junk. */
static void map_junk(u64 page)
{
	if (nested_map(&tables, gpa(page), virt_to_hpa(junk), PAGE_SIZE, NESTED_RWX, CACHE_WB))
		ram_count_touch(page);
}

/* A first touch of device memory: the largest aligned page around it that is all hole, free of
 * ours, and of one memory type. */
static void map_on_touch(const struct nested_leaf *hole, u64 at)
{
	u64 size = min_u64(hole->size, GIB);

	for (; size > PAGE_SIZE; size /= 512) {
		u64 base = align_down(at, size), end;

		mtrr_type(mtrr_current(), base, &end);
		if (!ram_is_hidden(base, size) && end >= base + size)
			break;
	}
	map_by_type(align_down(at, size), size);
}

static bool resolve(u64 at)
{
	struct nested_leaf leaf;
	u64 page = align_down(at, PAGE_SIZE);

	if (at >= NESTED_LIMIT)
		return false;
	nested_lookup(&tables, gpa(at), &leaf);
	/* Present: another CPU resolved it first, or this one holds an old TLB entry. */
	if (leaf.access)
		return true;
	if (ram_is_hidden(page, PAGE_SIZE))
		map_junk(page);
	else
		map_on_touch(&leaf, at);
	nested_lookup(&tables, gpa(at), &leaf);
	return leaf.access;
}

void dom0_memory_exit(struct vcpu *vcpu)
{
	u64 at = vcpu->exit.memory.at.addr;
	bool resolved;

	if (vcpu->exit.memory.write && dom0_apic_traps(gpa(at))) {
		dom0_apic_write(vcpu);
		return;
	}
	spin_lock(&tables_lock);
	resolved = resolve(at);
	spin_unlock(&tables_lock);
	if (resolved) {
		vcpu->dirty |= VCPU_FLUSH;
		return;
	}
	hv_log("dom0 touched physical address 0x%llx, which cannot be mapped; it gets #GP",
	       (unsigned long long)at);
	vcpu_raise(vcpu, VECTOR_GP, true, 0);
}

void dom0_memory_split_by_type(struct vcpu *vcpu)
{
	struct nested_leaf leaf;

	spin_lock(&tables_lock);
	for (u64 at = 0; at < NESTED_LIMIT; at = leaf.base.addr + leaf.size) {
		u64 end;
		u8 type;

		nested_lookup(&tables, gpa(at), &leaf);
		if (!leaf.access || leaf.page.addr != leaf.base.addr ||
		    !(leaf.access & NESTED_WRITE))
			continue;
		type = mtrr_type(mtrr_current(), leaf.base.addr, &end);
		if ((end < leaf.base.addr + leaf.size || type != leaf.memory_type) &&
		    !map_by_type(leaf.base.addr, leaf.size))
			break;
	}
	spin_unlock(&tables_lock);
	vcpu->dirty |= VCPU_FLUSH;
}
