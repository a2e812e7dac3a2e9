/* SPDX-License-Identifier: BSD-2-Clause */
#include "svm/npt.h"

/* APM 2 5.3.3 and 5.3.4. */
#define NPT_P	       BIT(0)
#define NPT_RW	       BIT(1)
#define NPT_US	       BIT(2)
#define NPT_A	       BIT(5)
#define NPT_D	       BIT(6)
#define NPT_PS	       BIT(7)
#define NPT_NX	       BIT(63)
#define NPT_ADDRESS    0x000ffffffffff000ull

#define MEMORY_TYPE_WB 6

/*
 * U/S is set everywhere, because nested walks are user accesses (APM 2 15.25.5). A and D are
 * set from the start, so that the hardware does not write to an entry unless it is asked to
 * (NESTED_CLEAN).
 */
static u64 npt_table(hpa_t child)
{
	return child.addr | NPT_P | NPT_RW | NPT_US | NPT_A;
}

static u64 npt_leaf(hpa_t page, unsigned level, u32 access, u8 memory_type)
{
	u64 entry = page.addr | NPT_P | NPT_US | NPT_A;

	(void)memory_type;
	if (!(access & NESTED_CLEAN))
		entry |= NPT_D;
	if (level > 1)
		entry |= NPT_PS;
	if (access & NESTED_WRITE)
		entry |= NPT_RW;
	if (!(access & NESTED_EXEC))
		entry |= NPT_NX;
	return entry;
}

static bool npt_present(u64 entry)
{
	return entry & NPT_P;
}

static bool npt_is_leaf(u64 entry, unsigned level)
{
	return level == 1 || (level < NESTED_LEVELS && (entry & NPT_PS));
}

static hpa_t npt_address(u64 entry, unsigned level)
{
	u64 address = entry & NPT_ADDRESS;

	/* Bit 12 of a large leaf is its PAT bit (APM 2 5.3.4). */
	return hpa(npt_is_leaf(entry, level) ? align_down(address, nested_level_size(level))
					     : address);
}

static u32 npt_access(u64 entry)
{
	u32 access = NESTED_READ;

	if (entry & NPT_RW)
		access |= NESTED_WRITE;
	if (!(entry & NPT_NX))
		access |= NESTED_EXEC;
	return access;
}

static u8 npt_memory_type(u64 entry)
{
	(void)entry;
	return MEMORY_TYPE_WB;
}

#define FORMAT(format_name, largest)                                                               \
	{                                                                                          \
		.name = (format_name), .largest_leaf = (largest), .table = npt_table,              \
		.leaf = npt_leaf, .present = npt_present, .is_leaf = npt_is_leaf,                  \
		.address = npt_address, .access = npt_access, .memory_type = npt_memory_type,      \
		.dirty = NPT_D,                                                                    \
	}

const struct nested_format npt_format = FORMAT("NPT", 3);
const struct nested_format npt_format_2m = FORMAT("NPT without 1 GiB pages", 2);
