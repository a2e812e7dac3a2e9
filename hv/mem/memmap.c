/* SPDX-License-Identifier: BSD-2-Clause */
#include "mem/memmap.h"

#include "lib/string.h"

/* Where a range that wraps is cut: no end may be 2^64, which is 0 in 64 bits. */
#define TOP_END (0 - PAGE_SIZE)

static u64 range_end(const struct mem_range *range)
{
	return range->base + range->size;
}

/* The end of [base, base+size), cut where it wraps; base when nothing is left. */
static u64 cut_end(u64 base, u64 size)
{
	return base + size >= base ? base + size : max_u64(base, TOP_END);
}

bool mem_map_add(struct mem_map *map, u64 base, u64 size, u32 type)
{
	size = cut_end(base, size) - base;
	if (size == 0)
		return true;
	if (map->count >= MEM_MAP_MAX)
		return false;
	if (type == MEM_NONE)
		type = MEM_RESERVED;
	map->range[map->count++] = (struct mem_range){base, size, type};
	return true;
}

static u32 strictness(u32 type)
{
	switch (type) {
	case MEM_NONE:
		return 0;
	case MEM_RAM:
		return 1;
	case MEM_ACPI:
		return 3;
	case MEM_NVS:
		return 4;
	case MEM_UNUSABLE:
		return 5;
	default: /* reserved, or a type from after our time */
		return 2;
	}
}

static bool stricter(u32 a, u32 b)
{
	return strictness(a) != strictness(b) ? strictness(a) > strictness(b) : a > b;
}

static u32 strictest_at(const struct mem_map *map, u64 addr)
{
	u32 type = MEM_NONE;

	for (u32 i = 0; i < map->count; i++) {
		const struct mem_range *range = &map->range[i];

		if (range_within(addr, 1, range->base, range->size) &&
		    stricter(range->type, type))
			type = range->type;
	}
	return type;
}

/* The lowest start or end of a range above addr; 0 when there is none. */
static u64 next_edge(const struct mem_map *map, u64 addr)
{
	u64 edge = 0;

	for (u32 i = 0; i < map->count; i++) {
		u64 ends[] = {map->range[i].base, range_end(&map->range[i])};

		for (u32 k = 0; k < ARRAY_SIZE(ends); k++) {
			if (ends[k] > addr && (!edge || ends[k] < edge))
				edge = ends[k];
		}
	}
	return edge;
}

bool mem_map_normalise(struct mem_map *map)
{
	static struct mem_range result[MEM_MAP_MAX]; /* too big for a CPU's stack */
	u32 count = 0;

	for (u64 at = 0, edge; (edge = next_edge(map, at)) != 0; at = edge) {
		u32 type = strictest_at(map, at);
		struct mem_range *last = count ? &result[count - 1] : NULL;

		if (type == MEM_NONE)
			continue;
		if (last && last->type == type && range_end(last) == at) {
			last->size += edge - at;
			continue;
		}
		if (count == MEM_MAP_MAX)
			return false;
		result[count++] = (struct mem_range){at, edge - at, type};
	}
	memcpy(map->range, result, count * sizeof(result[0]));
	map->count = count;
	return true;
}

/* Puts `count` pieces in the place of the ranges first to end-1. */
static bool replace(struct mem_map *map, u32 first, u32 end, const struct mem_range *piece,
		    u32 count)
{
	u32 tail = map->count - end;

	if (first + count + tail > MEM_MAP_MAX)
		return false;
	memmove(&map->range[first + count], &map->range[end], tail * sizeof(*piece));
	memcpy(&map->range[first], piece, count * sizeof(*piece));
	map->count = first + count + tail;
	return true;
}

bool mem_map_set(struct mem_map *map, u64 base, u64 size, u32 type)
{
	struct mem_range middle = {base, cut_end(base, size) - base, type};
	struct mem_range piece[3];
	u32 first = 0, end, count = 0;
	u64 middle_end = range_end(&middle), last_end;
	u32 last_type;

	if (middle.size == 0)
		return true;
	/* [first, end): the ranges that overlap or touch. */
	while (first < map->count && range_end(&map->range[first]) < base)
		first++;
	for (end = first; end < map->count && map->range[end].base <= middle_end; end++)
		;
	if (first == end)
		return type == MEM_NONE || replace(map, first, end, &middle, 1);

	last_end = range_end(&map->range[end - 1]);
	last_type = map->range[end - 1].type;
	if (map->range[first].base < base) {
		if (map->range[first].type == type)
			middle.base = map->range[first].base;
		else
			piece[count++] = (struct mem_range){map->range[first].base,
							    base - map->range[first].base,
							    map->range[first].type};
	}
	if (last_end > middle_end && last_type == type)
		middle_end = last_end;
	middle.size = middle_end - middle.base;
	if (type != MEM_NONE)
		piece[count++] = middle;
	if (last_end > middle_end)
		piece[count++] =
		    (struct mem_range){middle_end, last_end - middle_end, last_type};
	return replace(map, first, end, piece, count);
}

/* A range of RAM that does not begin or end on a page boundary; NULL without one. */
static const struct mem_range *ragged_ram(const struct mem_map *map)
{
	for (u32 i = 0; i < map->count; i++) {
		const struct mem_range *range = &map->range[i];

		if (range->type == MEM_RAM && (range->base | range->size) % PAGE_SIZE)
			return range;
	}
	return NULL;
}

bool mem_map_round_ram(struct mem_map *map)
{
	const struct mem_range *range;

	while ((range = ragged_ram(map))) {
		u64 base = range->base, end = range_end(range);
		u64 inner_base = min_u64(align_up(base, PAGE_SIZE), end);
		u64 inner_end = max_u64(align_down(end, PAGE_SIZE), inner_base);

		if (!mem_map_set(map, base, inner_base - base, MEM_RESERVED) ||
		    !mem_map_set(map, inner_end, end - inner_end, MEM_RESERVED))
			return false;
	}
	return true;
}

static const struct mem_range *range_of(const struct mem_map *map, u64 addr)
{
	for (u32 i = 0; i < map->count; i++) {
		if (range_within(addr, 1, map->range[i].base, map->range[i].size))
			return &map->range[i];
	}
	return NULL;
}

u32 mem_map_type(const struct mem_map *map, u64 addr)
{
	const struct mem_range *range = range_of(map, addr);

	return range ? range->type : MEM_NONE;
}

bool mem_map_all(const struct mem_map *map, u64 base, u64 size, u32 type)
{
	const struct mem_range *range = range_of(map, base);

	return range && range->type == type &&
	       range_within(base, size, range->base, range->size);
}

/* The avoided range that [base, base+size) hits, or NULL. */
static const struct mem_range *obstacle(u64 base, u64 size, const struct mem_range *avoid,
					u32 count)
{
	for (u32 i = 0; i < count; i++) {
		u64 avoid_size = cut_end(avoid[i].base, avoid[i].size) - avoid[i].base;

		if (range_overlaps(base, size, avoid[i].base, avoid_size))
			return &avoid[i];
	}
	return NULL;
}

static bool find_top_in(const struct mem_range *range, u64 size, u64 align, u64 limit,
			const struct mem_range *avoid, u32 avoid_count, u64 *base)
{
	u64 top = min_u64(range_end(range), limit);

	while (top >= size && align_down(top - size, align) >= range->base) {
		u64 candidate = align_down(top - size, align);
		const struct mem_range *hit = obstacle(candidate, size, avoid, avoid_count);

		if (!hit) {
			*base = candidate;
			return true;
		}
		top = hit->base;
	}
	return false;
}

bool mem_map_find_top(const struct mem_map *map, u64 size, u64 align, u64 limit,
		      const struct mem_range *avoid, u32 avoid_count, u64 *base)
{
	for (u32 i = map->count; size > 0 && i > 0; i--) {
		const struct mem_range *range = &map->range[i - 1];

		if (range->type == MEM_RAM &&
		    find_top_in(range, size, align, limit, avoid, avoid_count, base))
			return true;
	}
	return false;
}

u64 mem_map_ram_bytes(const struct mem_map *map)
{
	u64 bytes = 0;

	for (u32 i = 0; i < map->count; i++) {
		if (map->range[i].type == MEM_RAM)
			bytes += map->range[i].size;
	}
	return bytes;
}

u64 mem_map_ram_end(const struct mem_map *map)
{
	u64 end = 0;

	for (u32 i = 0; i < map->count; i++) {
		if (map->range[i].type == MEM_RAM)
			end = range_end(&map->range[i]);
	}
	return end;
}
