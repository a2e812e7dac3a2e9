/* SPDX-License-Identifier: BSD-2-Clause */
#include "mem/nested.h"

#define TABLE_ENTRIES 512
#define HOST_LIMIT    BIT(52) /* APM 2 5.1: the most that an entry can hold */

/* The same in NPT and EPT (APM 2 5.3.3, SDM 3C 28.3.2); an absent entry is 0, and no other is. */
#define ENTRY_LARGE BIT(7)
#define ENTRY_TABLE (HOST_LIMIT - PAGE_SIZE)

static u64 load(const u64 *entry)
{
	return __atomic_load_n(entry, __ATOMIC_RELAXED);
}

/* Release: what a new table holds is visible before the entry that leads to it. */
static void store(u64 *entry, u64 value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

static bool aligned(u64 address, u64 size)
{
	return (address & (size - 1)) == 0;
}

static bool range_valid(u64 from, u64 size, u64 limit)
{
	return aligned(from | size, PAGE_SIZE) && range_within(from, size, 0, limit);
}

static u64 *child_table(const struct nested *nested, u64 entry, unsigned level)
{
	return nested->pages->to_page(nested->pages, nested->format->address(entry, level));
}

/* The leaf or absent entry that decides about the address, and its level. */
static u64 *find_entry(const struct nested *nested, u64 at, unsigned *level)
{
	u64 *table = nested->root;

	for (*level = NESTED_LEVELS;; --*level) {
		u64 *entry = &table[(at >> nested_level_shift(*level)) % TABLE_ENTRIES];
		u64 value = load(entry);

		/* Without the format's functions: a walk is on the path of many exits. */
		if (!value || *level == 1 || value & ENTRY_LARGE)
			return entry;
		table = nested->pages->to_page(nested->pages, hpa(value & ENTRY_TABLE));
	}
}

static u64 *alloc_table(struct nested *nested)
{
	u64 *table = nested->pages->alloc(nested->pages);

	if (table)
		nested->table_pages++;
	return table;
}

/* Replaces a leaf or absent entry above level 1 by a table that translates the same way. */
static bool split(struct nested *nested, u64 *entry, unsigned level)
{
	const struct nested_format *format = nested->format;
	u64 old = load(entry);
	u64 *table = alloc_table(nested);

	if (!table)
		return false;
	if (format->present(old)) {
		u64 page = format->address(old, level).addr;
		u64 step = nested_level_size(level - 1);

		for (unsigned i = 0; i < TABLE_ENTRIES; i++)
			table[i] = format->leaf(hpa(page + i * step), level - 1,
						format->access(old), format->memory_type(old));
	}
	store(entry, format->table(nested->pages->to_hpa(nested->pages, table)));
	return true;
}

/* Makes sure that no leaf reaches across the address. */
static bool split_at(struct nested *nested, u64 at)
{
	while (at < NESTED_LIMIT) {
		unsigned level;
		u64 *entry = find_entry(nested, at, &level);

		if (!nested->format->present(load(entry)) ||
		    aligned(at, nested_level_size(level)))
			break;
		if (!split(nested, entry, level))
			return false;
	}
	return true;
}

static unsigned largest_level(const struct nested_format *format, u64 from, u64 to, u64 size)
{
	unsigned level = format->largest_leaf;

	while (level > 1 && (!aligned(from | to, nested_level_size(level)) ||
			     size < nested_level_size(level)))
		level--;
	return level;
}

bool nested_init(struct nested *nested, const struct nested_format *format,
		 struct page_source *pages)
{
	*nested = (struct nested){.format = format, .pages = pages};
	nested->root = alloc_table(nested);
	return nested->root;
}

/* Frees a table and what hangs below it while the budget lasts. Recursion: as deep as the tables. */
static bool free_table(struct nested *nested, u64 *table, unsigned level, u32 *budget)
{
	const struct nested_format *format = nested->format;

	for (unsigned i = 0; i < TABLE_ENTRIES && level > 1; i++) {
		if (!format->present(table[i]) || format->is_leaf(table[i], level))
			continue;
		if (!free_table(nested, child_table(nested, table[i], level), level - 1, budget))
			return false;
		table[i] = 0;
	}
	if (!*budget)
		return false;
	--*budget;
	nested->pages->free(nested->pages, table);
	nested->table_pages--;
	return true;
}

bool nested_destroy_some(struct nested *nested, u32 pages)
{
	if (nested->root && !free_table(nested, nested->root, NESTED_LEVELS, &pages))
		return false;
	nested->root = NULL;
	return true;
}

void nested_destroy(struct nested *nested)
{
	while (!nested_destroy_some(nested, UINT32_MAX))
		;
}

bool nested_map(struct nested *nested, gpa_t from, hpa_t to, u64 size, u32 access,
		u8 memory_type)
{
	const struct nested_format *format = nested->format;
	u64 done = 0;

	if (!range_valid(from.addr, size, NESTED_LIMIT) ||
	    !range_valid(to.addr, size, HOST_LIMIT) || !access)
		return false;
	while (done < size) {
		u64 at = from.addr + done;
		u64 page = to.addr + done;
		unsigned level;
		u64 *entry = find_entry(nested, at, &level);

		if (level > largest_level(format, at, page, size - done)) {
			if (!split(nested, entry, level))
				return false;
			continue;
		}
		store(entry, format->leaf(hpa(page), level, access, memory_type));
		done += nested_level_size(level);
	}
	return true;
}

bool nested_map_hole(struct nested *nested, gpa_t at, hpa_t page, u64 size, u32 access, u8 memory_type, bool *there)
{
	unsigned level;
	u64 *entry = find_entry(nested, at.addr, &level);

	*there = load(entry);
	if (*there)
		return true;
	size = min_u64(size, nested_level_size(level));
	page = hpa(align_down(page.addr, size));
	if (at.addr >= NESTED_LIMIT || size != nested_level_size(level) || level > nested->format->largest_leaf)
		return nested_map(nested, gpa(align_down(at.addr, size)), page, size, access, memory_type);
	store(entry, nested->format->leaf(page, level, access, memory_type));
	return true;
}

void nested_map_near(struct nested *nested, gpa_t at, u64 size, const u64 *frames, u32 count, u32 index, u32 access,
		     u8 memory_type)
{
	u64 place = at.addr / size % TABLE_ENTRIES, *table;
	unsigned level;

	table = find_entry(nested, at.addr, &level) - place;
	for (u32 i = 0; i < count && nested_level_size(level) == size; i++) {
		u64 *entry = &table[(place - index + i) % TABLE_ENTRIES];

		if (frames[i] && place - index + i < TABLE_ENTRIES && !load(entry))
			store(entry, nested->format->leaf(hpa(frames[i]), level, access, memory_type));
	}
}

/* Gives what is mapped in the range another access; none makes it a hole. */
static bool change(struct nested *nested, u64 from, u64 size, u32 access)
{
	const struct nested_format *format = nested->format;
	u64 at = from;
	u64 end = from + size;

	/* Every allocation comes first: behind it nothing fails. */
	if (!range_valid(from, size, NESTED_LIMIT) || !split_at(nested, from) ||
	    !split_at(nested, end))
		return false;
	while (at < end) {
		unsigned level;
		u64 *entry = find_entry(nested, at, &level);
		u64 old = load(entry);

		if (format->present(old))
			store(entry, access ? format->leaf(format->address(old, level), level,
							   access, format->memory_type(old))
					    : 0);
		at = align_down(at, nested_level_size(level)) + nested_level_size(level);
	}
	return true;
}

bool nested_unmap(struct nested *nested, gpa_t from, u64 size)
{
	return change(nested, from.addr, size, 0);
}

bool nested_protect(struct nested *nested, gpa_t from, u64 size, u32 access)
{
	return access && change(nested, from.addr, size, access);
}

void nested_take_dirty(struct nested *nested, gpa_t from, u32 pages, u64 *bitmap)
{
	const u64 dirty = nested->format->dirty;

	for (u32 i = 0; i < pages; i++) {
		unsigned level;
		u64 *entry = find_entry(nested, from.addr + i * PAGE_SIZE, &level);
		u64 value = load(entry);

		if (i % 64 == 0)
			bitmap[i / 64] = 0;
		if (!nested->format->present(value) || !(value & dirty))
			continue;
		bitmap[i / 64] |= BIT(i % 64);
		if (level == 1)
			__atomic_fetch_and(entry, ~dirty, __ATOMIC_RELAXED);
	}
}

void nested_lookup(const struct nested *nested, gpa_t at, struct nested_leaf *leaf)
{
	const struct nested_format *format = nested->format;
	unsigned level;
	u64 entry;

	*leaf = (struct nested_leaf){
	    .base = gpa(align_down(at.addr, NESTED_LIMIT)),
	    .size = NESTED_LIMIT,
	};
	if (at.addr >= NESTED_LIMIT)
		return;
	entry = load(find_entry(nested, at.addr, &level));
	leaf->size = nested_level_size(level);
	leaf->base = gpa(align_down(at.addr, leaf->size));
	if (!entry)
		return;
	leaf->page = format->address(entry, level);
	leaf->access = format->access(entry);
	leaf->memory_type = format->memory_type(entry);
}
