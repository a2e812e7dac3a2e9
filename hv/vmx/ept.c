/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmx/ept.h"

#include "mem/mtrr.h"

/* SDM 3C tables 29-1 to 29-6. */
#define EPT_R		BIT(0)
#define EPT_W		BIT(1)
#define EPT_X		BIT(2)
#define EPT_RWX		(EPT_R | EPT_W | EPT_X)
#define EPT_TYPE(entry) ((u8)((entry) >> 3 & 7))
#define EPT_IGNORE_PAT	BIT(6)
#define EPT_LEAF	BIT(7)
#define EPT_A		BIT(8)
#define EPT_D		BIT(9)
#define EPT_ADDRESS	0x000ffffffffff000ull

#define POINTER_WALK_4 (3u << 3)
#define POINTER_DIRTY  BIT(6)

static u64 ept_table(hpa_t child)
{
	return child.addr | EPT_RWX | EPT_A;
}

/* A and D are set from the start, so that the hardware writes to an entry only when asked to. Readable
 * always: there is no write-only memory, and execute-only is not asked for. */
static u64 ept_leaf(hpa_t page, unsigned level, u32 access, u8 memory_type)
{
	u64 entry = page.addr | EPT_R | EPT_A | (u64)memory_type << 3;

	if (!(access & NESTED_CLEAN))
		entry |= EPT_D;
	if (level > 1)
		entry |= EPT_LEAF;
	if (access & NESTED_WRITE)
		entry |= EPT_W;
	if (access & NESTED_EXEC)
		entry |= EPT_X;
	return entry;
}

static u64 ept_guest_leaf(hpa_t page, unsigned level, u32 access, u8 memory_type)
{
	return ept_leaf(page, level, access, memory_type) | EPT_IGNORE_PAT;
}

static bool ept_present(u64 entry)
{
	return entry & EPT_RWX;
}

static bool ept_is_leaf(u64 entry, unsigned level)
{
	return level == 1 || (level < NESTED_LEVELS && (entry & EPT_LEAF));
}

static hpa_t ept_address(u64 entry, unsigned level)
{
	u64 address = entry & EPT_ADDRESS;

	return hpa(ept_is_leaf(entry, level) ? align_down(address, nested_level_size(level)) : address);
}

static u32 ept_access(u64 entry)
{
	return (u32)(NESTED_READ | (entry & EPT_W ? NESTED_WRITE : 0) | (entry & EPT_X ? NESTED_EXEC : 0));
}

static u8 ept_memory_type(u64 entry)
{
	return EPT_TYPE(entry);
}

#define FORMAT(format_name, leaf_function)                                                         \
	{                                                                                          \
		.name = (format_name), .largest_leaf = 2, .table = ept_table,                      \
		.leaf = (leaf_function), .present = ept_present, .is_leaf = ept_is_leaf,           \
		.address = ept_address, .access = ept_access, .memory_type = ept_memory_type,      \
		.typed = true,                                                                     \
	}

struct nested_format ept_dom0_format = FORMAT("EPT", ept_leaf);
struct nested_format ept_guest_format = FORMAT("EPT for guests", ept_guest_leaf);

void ept_init(bool gib_pages, bool dirty_bits, bool small_exec)
{
	ept_dom0_format.largest_leaf = ept_guest_format.largest_leaf = gib_pages ? 3 : 2;
	ept_dom0_format.dirty = ept_guest_format.dirty = dirty_bits ? EPT_D : 0;
	ept_guest_format.small_exec = small_exec;
}

u64 ept_pointer(hpa_t root, bool dirty_bits)
{
	return root.addr | CACHE_WB | POINTER_WALK_4 | (dirty_bits ? POINTER_DIRTY : 0);
}
