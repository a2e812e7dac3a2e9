/* SPDX-License-Identifier: BSD-2-Clause */
#include "mem/walk.h"

#include "cpu/msr.h"
#include "cpu/x86.h"

/* SDM 3A 4.3 to 4.5, APM 2 5.2 to 5.4. */
#define ENTRY_P	       BIT(0)
#define ENTRY_RW       BIT(1)
#define ENTRY_US       BIT(2)
#define ENTRY_A	       BIT(5)
#define ENTRY_D	       BIT(6)
#define ENTRY_PS       BIT(7)
#define ENTRY_NX       BIT(63)

/* SDM 3A table 4-8, but for bit 5: QEMU's TCG sets it as if it were an accessed bit. */
#define PDPTE_RESERVED (BIT(1) | BIT(2) | BIT(6) | BIT(7) | BIT(8))
#define PDE_4M_BIT_21  BIT(21)

/* Bits low to high, both included. */
#define BITS(low, high) ((BIT(high) - BIT(low)) | BIT(high))

struct rights {
	u64 all, leaf; /* bits that every entry must have, that the leaf must have */
	u64 none;      /* bits that no entry may have */
};

/* Paging outside long mode. */
struct paging {
	unsigned levels;
	unsigned entry_size;
	unsigned index_bits;
	u64 cr3_table;	   /* the bits of CR3 that hold the table's address */
	u64 physical_mask; /* address bits that the CPU has */
	u64 reserved;	   /* in every entry of 8 bytes */
	struct rights rights;
	const struct walk_cpu *cpu;
};

static const struct paging paging_32 = {
    .levels = 2,
    .entry_size = 4,
    .index_bits = 10,
    .cr3_table = BITS(12, 31),
};

static const struct paging paging_pae = {
    .levels = 3,
    .entry_size = 8,
    .index_bits = 9,
    .cr3_table = BITS(5, 31),
};

/* What `need` asks of entries other than PDPTEs, which have neither rights nor an accessed bit (SDM 3A 4.4.1). */
static struct rights rights_of(u32 need)
{
	struct rights rights = {
		.all = need & WALK_COLD ? ENTRY_P : ENTRY_P | ENTRY_A,
		.none = need & WALK_EXEC ? ENTRY_NX : 0,
	};

	rights.all |= need & WALK_WRITE ? ENTRY_RW : 0;
	rights.all |= need & WALK_USER ? ENTRY_US : 0;
	/* The leaf holds the dirty bit. */
	rights.leaf = need & WALK_WRITE ? rights.all | ENTRY_D : rights.all;
	return rights;
}

static bool grants(const struct rights *rights, u64 entry, bool leaf)
{
	u64 must = leaf ? rights->leaf : rights->all;

	return (entry & must) == must && !(entry & rights->none);
}

static u64 physical_mask(const struct walk_cpu *cpu)
{
	return BIT(cpu->physical_bits < 32 ? 32 : min_u64(cpu->physical_bits, 52)) - 1;
}

/* Sign-extended from its highest bit, shift + 8. */
static bool is_canonical(u64 at, unsigned shift)
{
	u64 upper = at >> (shift + 8);

	return upper == 0 || upper == UINT64_MAX >> (shift + 8);
}

/* 4 and 5 levels: every table has 512 entries of 8 bytes, and the CPU ignores bits 62:52 of them. */
static enum walk_status walk_long(const struct walk_memory *memory, const struct walk_cpu *cpu,
				  u64 at, u32 need, struct walk_result *result)
{
	const u64 mask = physical_mask(cpu) & ~(PAGE_SIZE - 1);
	const u64 reserved = (BITS(12, 51) & ~mask) | (cpu->efer & EFER_NXE ? 0 : ENTRY_NX);
	const struct rights rights = rights_of(need);
	unsigned shift = cpu->cr4 & CR4_LA57 ? 48 : 39;
	u64 table = cpu->cr3 & mask, entry;

	if (!is_canonical(at, shift))
		return WALK_NOT_CANONICAL;
	for (;; shift -= 9) {
		u64 offset = BIT(shift) - 1, bad = reserved;
		bool leaf = shift == PAGE_SHIFT;

		if (!memory->read_entry(memory, gpa(table + (at >> shift) % 512 * 8), 8, &entry))
			return WALK_NOT_RAM;
		if (!leaf && entry & ENTRY_PS) {
			leaf = true;
			/* Bit 12 is the PAT bit; large pages are of 2 MiB and 1 GiB. */
			bad |= shift > 30 ? ENTRY_PS : offset & ~BITS(0, 12);
		}
		if (entry & ENTRY_P && entry & bad) {
			result->entry = entry;
			return WALK_RESERVED;
		}
		if (!grants(&rights, entry, leaf)) {
			result->entry = entry;
			return WALK_FAULT;
		}
		table = entry & mask;
		if (leaf) {
			*result = (struct walk_result){gpa((table & ~offset) + (at & offset)), offset + 1, 0};
			return WALK_OK;
		}
	}
}

static struct paging paging_of(const struct walk_cpu *cpu, u32 need)
{
	struct paging paging = cpu->cr4 & CR4_PAE ? paging_pae : paging_32;

	paging.physical_mask = physical_mask(cpu);
	/* Bits 62:52 too (SDM 3A 4.4.2). */
	paging.reserved = BITS(0, 62) & ~paging.physical_mask;
	if (!(cpu->efer & EFER_NXE))
		paging.reserved |= ENTRY_NX;
	paging.rights = rights_of(need);
	paging.cpu = cpu;
	return paging;
}

/* PAE's highest level. */
static bool is_pdpte(unsigned level)
{
	return level == 3;
}

static unsigned leaf_shift(const struct paging *paging, unsigned level)
{
	return PAGE_SHIFT + paging->index_bits * (level - 1);
}

static u64 leaf_size(const struct paging *paging, unsigned level)
{
	return BIT(leaf_shift(paging, level));
}

static bool is_leaf(const struct paging *paging, unsigned level, u64 entry)
{
	if (level == 1)
		return true;
	if (!(entry & ENTRY_PS))
		return false;
	if (level == 2)
		return paging->entry_size == 8 || (paging->cpu->cr4 & CR4_PSE);
	return false;
}

/*
 * SDM 3A 4.3, 32-bit paging: bits 20:13 of a 4 MiB leaf are bits 39:32 of its address, as far
 * as the CPU has those, else reserved; nothing is in other entries.
 */
static u64 reserved_32(const struct paging *paging, bool leaf, unsigned level)
{
	if (!leaf || level == 1)
		return 0;
	return PDE_4M_BIT_21 | (~paging->physical_mask >> 32 & 0xff) << 13;
}

/* The bits that must be zero in an entry. */
static u64 reserved_bits(const struct paging *paging, unsigned level, bool leaf)
{
	u64 reserved;

	if (paging->entry_size == 4)
		return reserved_32(paging, leaf, level);
	reserved = paging->reserved;
	if (is_pdpte(level))
		return reserved | ENTRY_NX | PDPTE_RESERVED;
	if (leaf && level > 1) /* bit 12 is the PAT bit */
		reserved |= (leaf_size(paging, level) - 1) & ~BITS(0, 12);
	return reserved;
}

static enum walk_status check_entry(const struct paging *paging, unsigned level, bool leaf,
				    u64 entry)
{
	if (!(entry & ENTRY_P))
		return WALK_FAULT;
	if (entry & reserved_bits(paging, level, leaf))
		return WALK_RESERVED;
	if (!is_pdpte(level) && !grants(&paging->rights, entry, leaf))
		return WALK_FAULT;
	return WALK_OK;
}

static bool read_entry(const struct paging *paging, const struct walk_memory *memory,
		       unsigned level, u64 address, u64 *entry)
{
	if (is_pdpte(level) && paging->cpu->pdptr_valid) {
		*entry = paging->cpu->pdptr[address / paging->entry_size % 4];
		return true;
	}
	return memory->read_entry(memory, gpa(address), paging->entry_size, entry);
}

static u64 entry_address(const struct paging *paging, unsigned level, bool leaf, u64 entry)
{
	u64 size = leaf_size(paging, level);
	u64 address = entry & paging->physical_mask;

	if (paging->entry_size == 4)
		address = entry & BITS(12, 31);
	if (!leaf || level == 1)
		return align_down(address, PAGE_SIZE);
	if (paging->entry_size == 4)
		address |= (entry >> 13 & 0xff) << 32;
	return align_down(address, size);
}

enum walk_status walk_gva(const struct walk_memory *memory, const struct walk_cpu *cpu,
			  gva_t at, u32 need, struct walk_result *result)
{
	struct paging paging;
	u64 table;

	if (cpu->cr0 & CR0_PG && cpu->efer & EFER_LMA)
		return walk_long(memory, cpu, at.addr, need, result);
	if (at.addr >> 32)
		return WALK_NOT_CANONICAL;
	if (!(cpu->cr0 & CR0_PG)) {
		*result = (struct walk_result){gpa(at.addr), 4 * GIB, 0};
		return WALK_OK;
	}
	paging = paging_of(cpu, need);
	table = cpu->cr3 & paging.cr3_table & paging.physical_mask;
	for (unsigned level = paging.levels;; level--) {
		u64 size = leaf_size(&paging, level);
		u64 index = (at.addr >> leaf_shift(&paging, level)) & (BIT(paging.index_bits) - 1);
		enum walk_status status;
		u64 entry;
		bool leaf;

		if (!read_entry(&paging, memory, level, table + index * paging.entry_size,
				&entry))
			return WALK_NOT_RAM;
		leaf = is_leaf(&paging, level, entry);
		status = check_entry(&paging, level, leaf, entry);
		if (status != WALK_OK) {
			result->entry = entry;
			return status;
		}
		table = entry_address(&paging, level, leaf, entry);
		if (leaf) {
			*result = (struct walk_result){gpa(table + (at.addr & (size - 1))), size, 0};
			return WALK_OK;
		}
	}
}
