/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's own page tables: SDM 3A chapter 4, APM 2 chapter 5. As the CPU's walker it sets
 * accessed and dirty bits.
 *
 * hv/mem/walk.c has the same tables with another job: it never writes, and refuses what the CPU
 * would still have to set.
 */
#include "kvm/emulate_memory.h"

#define ENTRY_P	 (1ull << 0)
#define ENTRY_RW (1ull << 1)
#define ENTRY_US (1ull << 2)
#define ENTRY_A	 (1ull << 5)
#define ENTRY_D	 (1ull << 6)
#define ENTRY_PS (1ull << 7)
#define ENTRY_NX (1ull << 63)

/* SDM 3A table 4-8, but for bit 5: QEMU's TCG sets it as if it were an accessed bit. */
#define PDPTE_RESERVED 0x1c6ull

#define PAGE_SIZE      LUV_PAGE_SIZE

/* Error codes of #PF: SDM 3A 4.7. */
#define ERROR_P	 (1u << 0)
#define ERROR_W	 (1u << 1)
#define ERROR_U	 (1u << 2)
#define ERROR_R	 (1u << 3)
#define ERROR_I	 (1u << 4)
#define ERROR_PK (1u << 5)

#define LEVELS	 5
#define TRIES	 16 /* when entries change under us */

struct walk {
	struct emulate *e;
	uint64_t linear;
	unsigned access; /* ACCESS_ */
	bool user;
	bool long_mode;
	unsigned levels;
	unsigned entry_size;
	/* What was found, by level from 1. */
	uint64_t at[LEVELS + 1];
	uint64_t entry[LEVELS + 1];
	unsigned leaf;
	uint64_t rights; /* RW, US: all levels grant it; NX: one forbids it */
};

static uint64_t physical_mask(const struct emulate *e)
{
	return (1ull << e->setup.physical_bits) - 1;
}

static unsigned index_bits(const struct walk *walk)
{
	return walk->entry_size == 8 ? 9 : 10;
}

static uint64_t level_size(const struct walk *walk, unsigned level)
{
	return (uint64_t)PAGE_SIZE << (index_bits(walk) * (level - 1));
}

static void walk_begin(struct walk *walk)
{
	const struct luv_vcpu_page *page = walk->e->setup.page;

	walk->long_mode = page->efer & EFER_LMA;
	walk->entry_size = walk->long_mode || (page->cr4 & CR4_PAE) ? 8 : 4;
	if (walk->long_mode)
		walk->levels = page->cr4 & CR4_LA57 ? 5 : 4;
	else
		walk->levels = walk->entry_size == 8 ? 3 : 2;
	walk->rights = ENTRY_RW | ENTRY_US;
}

static bool walk_fault(struct walk *walk, uint32_t error)
{
	const struct luv_vcpu_page *page = walk->e->setup.page;
	bool no_execute = (page->efer & EFER_NXE) && walk->entry_size == 8;

	if (walk->access & ACCESS_WRITE)
		error |= ERROR_W;
	if (walk->user)
		error |= ERROR_U;
	if ((walk->access & ACCESS_FETCH) && (no_execute || (page->cr4 & CR4_SMEP)))
		error |= ERROR_I;
	fail_fault_error(walk->e, VECTOR_PF, error);
	walk->e->fault.cr2 = walk->linear;
	return false;
}

static bool is_pdpte(const struct walk *walk, unsigned level)
{
	return level == 3 && !walk->long_mode;
}

static bool is_leaf(const struct walk *walk, unsigned level, uint64_t entry)
{
	if (level == 1)
		return true;
	if (!(entry & ENTRY_PS))
		return false;
	if (level == 2)
		return walk->entry_size == 8 || (walk->e->setup.page->cr4 & CR4_PSE);
	return level == 3 && walk->long_mode;
}

/* The bits that must be zero. */
static uint64_t reserved_bits(const struct walk *walk, unsigned level, bool leaf)
{
	uint64_t above = ~physical_mask(walk->e);
	uint64_t reserved;

	/* SDM 3A table 4-4: of a 4 MiB leaf bit 21, and address bits 39:32 that the CPU lacks.
	 */
	if (walk->entry_size == 4)
		return leaf && level == 2 ? 1ull << 21 | (above >> 32 & 0xff) << 13 : 0;
	/* Bits 62:52 are ignored in long mode, reserved with PAE (SDM 3A 4.4.2). */
	reserved = above & (walk->long_mode ? (1ull << 52) - 1 : ~ENTRY_NX);
	if (is_pdpte(walk, level))
		return reserved | ENTRY_NX | PDPTE_RESERVED;
	if (!(walk->e->setup.page->efer & EFER_NXE))
		reserved |= ENTRY_NX;
	if (level >= 4)
		reserved |= ENTRY_PS;
	if (leaf && level > 1) /* bit 12 is the PAT bit */
		reserved |= (level_size(walk, level) - 1) & ~0x1fffull;
	return reserved;
}

/* Page tables that are not in RAM stop the vCPU (LUV_RUN_WALK). */
static bool read_entry(struct walk *walk, unsigned level, uint64_t address)
{
	const struct emulate_setup *setup = &walk->e->setup;
	uint8_t *page =
	    setup->ops->memory(setup->context, address & ~(PAGE_SIZE - 1ull), false);

	if (!page)
		return fail_unknown(walk->e);
	walk->at[level] = address;
	page += address % PAGE_SIZE;
	if (walk->entry_size == 8)
		walk->entry[level] = __atomic_load_n((uint64_t *)page, __ATOMIC_RELAXED);
	else
		walk->entry[level] = __atomic_load_n((uint32_t *)page, __ATOMIC_RELAXED);
	return true;
}

static uint64_t table_mask(const struct walk *walk)
{
	if (walk->entry_size == 4)
		return 0xfffff000;
	return physical_mask(walk->e) & ~(PAGE_SIZE - 1ull) & ((1ull << 52) - 1);
}

static uint64_t leaf_address(const struct walk *walk)
{
	uint64_t entry = walk->entry[walk->leaf];
	uint64_t offset = level_size(walk, walk->leaf) - 1;
	uint64_t address = entry & table_mask(walk);

	if (walk->entry_size == 4 && walk->leaf == 2)
		address |= (entry >> 13 & 0xff) << 32;
	return (address & ~offset) | (walk->linear & offset);
}

/* From the root to the leaf, each entry read once. */
static bool walk_down(struct walk *walk)
{
	const struct luv_vcpu_page *page = walk->e->setup.page;
	uint64_t table = page->cr3 & table_mask(walk);

	if (is_pdpte(walk, walk->levels))
		table = page->cr3 & 0xffffffe0;
	for (unsigned level = walk->levels;; level--) {
		uint64_t index =
		    walk->linear / level_size(walk, level) % (1u << index_bits(walk));
		uint64_t entry;
		bool leaf;

		if (is_pdpte(walk, level))
			index &= 3;
		if (!read_entry(walk, level, table + index * walk->entry_size))
			return false;
		entry = walk->entry[level];
		if (!(entry & ENTRY_P))
			return walk_fault(walk, 0);
		leaf = is_leaf(walk, level, entry);
		if (entry & reserved_bits(walk, level, leaf))
			return walk_fault(walk, ERROR_P | ERROR_R);
		if (!is_pdpte(walk, level)) {
			walk->rights &= entry | ~(ENTRY_RW | ENTRY_US);
			walk->rights |= walk->entry_size == 8 ? entry & ENTRY_NX : 0;
		}
		walk->leaf = level;
		if (leaf)
			return true;
		table = entry & table_mask(walk);
	}
}

/* SDM 3A 4.6.2: access-disable and write-disable of the page's key. */
static bool key_forbids(struct walk *walk, bool *forbids)
{
	struct emulate *e = walk->e;
	const struct luv_vcpu_page *page = e->setup.page;
	uint64_t in_use;
	uint32_t pkru;
	unsigned key = walk->entry[walk->leaf] >> 59 & 15;

	*forbids = false;
	if (!(page->cr4 & CR4_PKE) || !walk->long_mode || !(walk->rights & ENTRY_US) ||
	    (walk->access & ACCESS_FETCH) || !e->setup.pkru_offset)
		return true;
	if (!(page->valid & LUV_GROUP_FPU) &&
	    !e->setup.ops->groups(e->setup.context, LUV_GROUP_FPU))
		return fail_unknown(e);
	__builtin_memcpy(&in_use, e->setup.xsave + 512, sizeof(in_use));
	__builtin_memcpy(&pkru, e->setup.xsave + e->setup.pkru_offset, sizeof(pkru));
	if (!(in_use & 1u << 9))
		pkru = 0;
	*forbids = pkru >> (2 * key) & 1;
	if ((walk->access & ACCESS_WRITE) && (walk->user || (page->cr0 & CR0_WP)))
		*forbids |= pkru >> (2 * key + 1) & 1;
	return true;
}

/* SDM 3A 4.6.1. */
static bool rights_suffice(const struct walk *walk)
{
	const struct luv_vcpu_page *page = walk->e->setup.page;
	bool user_page = walk->rights & ENTRY_US;

	if (walk->access & ACCESS_FETCH) {
		if (walk->rights & ENTRY_NX)
			return false;
		return walk->user ? user_page : !(user_page && (page->cr4 & CR4_SMEP));
	}
	if (walk->user && !user_page)
		return false;
	/* RFLAGS.AC lifts SMAP for the program's accesses, not for the CPU's. */
	if (!walk->user && user_page && (page->cr4 & CR4_SMAP) &&
	    (!(page->rflags & RFLAGS_AC) || (walk->access & ACCESS_SYSTEM)))
		return false;
	if (!(walk->access & ACCESS_WRITE) || (walk->rights & ENTRY_RW))
		return true;
	return !walk->user && !(page->cr0 & CR0_WP);
}

/* Sets bits in an entry if it is still what was read. */
static bool set_bits(struct walk *walk, unsigned level, uint64_t bits, bool *changed)
{
	const struct emulate_setup *setup = &walk->e->setup;
	uint64_t old = walk->entry[level];
	uint32_t old_32 = (uint32_t)old;
	uint8_t *page;

	if ((old & bits) == bits)
		return true;
	/* Where it is read-only the CPU's walk would have stopped the vCPU. */
	page = setup->ops->memory(setup->context, walk->at[level] & ~(PAGE_SIZE - 1ull), true);
	if (!page)
		return fail_unknown(walk->e);
	page += walk->at[level] % PAGE_SIZE;
	if (walk->entry_size == 8)
		*changed |=
		    !__atomic_compare_exchange_n((uint64_t *)page, &old, old | bits, false,
						 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	else
		*changed |= !__atomic_compare_exchange_n((uint32_t *)page, &old_32,
							 old_32 | (uint32_t)bits, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	return true;
}

/* SDM 3A 4.8: accessed in every entry but PDPTEs, dirty in the leaf. */
static bool set_accessed(struct walk *walk, bool *changed)
{
	for (unsigned level = walk->levels; level >= walk->leaf; level--) {
		uint64_t bits = ENTRY_A;

		if (is_pdpte(walk, level))
			continue;
		if (level == walk->leaf && (walk->access & ACCESS_WRITE))
			bits |= ENTRY_D;
		if (!set_bits(walk, level, bits, changed))
			return false;
	}
	return true;
}

static bool walk_once(struct walk *walk, uint64_t *gpa, bool *changed)
{
	bool key;

	walk_begin(walk);
	if (!walk_down(walk) || !key_forbids(walk, &key))
		return false;
	if (key || !rights_suffice(walk))
		return walk_fault(walk, ERROR_P | (key ? ERROR_PK : 0));
	*gpa = leaf_address(walk);
	return set_accessed(walk, changed);
}

bool walk_translate(struct emulate *e, uint64_t linear, unsigned access, uint64_t *gpa)
{
	struct walk walk = {.e = e, .linear = linear, .access = access};

	if (!(e->setup.page->cr0 & CR0_PG)) {
		*gpa = linear;
		return true;
	}
	walk.user = !(access & ACCESS_SYSTEM) && current_privilege(e->setup.page) == 3;
	/* Another CPU changes the tables all the time: the guest shall try again. */
	for (unsigned i = 0; i < TRIES; i++) {
		bool changed = false;

		if (!walk_once(&walk, gpa, &changed))
			return false;
		if (!changed)
			return true;
	}
	return fail_again(e);
}
