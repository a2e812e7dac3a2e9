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
static void *junk;	/* what dom0 sees in place of our memory; immutable */
static u64 table_limit; /* of tables.table_pages, for what dom0 touches; immutable */

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

		if (r->type == MEM_RAM && !map_visible(r->base, r->base + r->size))
			return false;
	}
	/* dom0 can touch all over its address space: the pool is not for its tables alone. */
	table_limit = tables.table_pages + page_pool_size() / PAGE_SIZE / 4;
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
static void map_junk(const struct vcpu *vcpu, u64 at)
{
	if (nested_map(&tables, gpa(align_down(at, PAGE_SIZE)), virt_to_hpa(junk), PAGE_SIZE,
		       NESTED_RWX, CACHE_WB))
		ram_count_touch(align_down(at, PAGE_SIZE), vcpu->exit.memory.write, vcpu->rip);
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

static bool resolve(const struct vcpu *vcpu, u64 at)
{
	struct nested_leaf leaf;

	if (at >= NESTED_LIMIT)
		return false;
	nested_lookup(&tables, gpa(at), &leaf);
	/* Present: another CPU resolved it first, or this one holds an old TLB entry. */
	if (leaf.access)
		return true;
	if (ram_is_hidden(at, 1))
		map_junk(vcpu, at);
	else if (tables.table_pages < table_limit)
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
	resolved = resolve(vcpu, at);
	spin_unlock(&tables_lock);
	if (resolved) {
		vcpu->dirty |= VCPU_FLUSH;
		return;
	}
	hv_log_first("dom0 touched physical address 0x%llx, which cannot be mapped; it gets #GP",
		     (unsigned long long)at);
	vcpu_raise(vcpu, VECTOR_GP, true, 0);
}

/* What a leaf says of the memory type, where it says anything, must be the MTRRs' type. */
static bool follows_mtrrs(const struct nested_leaf *leaf)
{
	u64 end;
	u8 type = mtrr_type(mtrr_current(), leaf->base.addr, &end);

	return end >= leaf->base.addr + leaf->size &&
	       (!tables.format->typed || type == leaf->memory_type);
}

static void split_by_type(void)
{
	struct nested_leaf leaf;

	for (u64 at = 0; at < NESTED_LIMIT; at = leaf.base.addr + leaf.size) {
		nested_lookup(&tables, gpa(at), &leaf);
		/* Junk, the shadowed page and the APIC's are single pages. */
		if (!leaf.access || leaf.page.addr != leaf.base.addr ||
		    !(leaf.access & NESTED_WRITE) || follows_mtrrs(&leaf))
			continue;
		if (!map_by_type(leaf.base.addr, leaf.size)) {
			hv_log_first("the pool is too small to split dom0's large pages by memory "
				     "type: give pool=SIZE a larger value");
			return;
		}
	}
}

void dom0_memory_follow_mtrrs(struct vcpu *vcpu)
{
	spin_lock(&tables_lock);
	if (mtrr_update())
		split_by_type();
	spin_unlock(&tables_lock);
	vcpu->dirty |= VCPU_FLUSH;
}
