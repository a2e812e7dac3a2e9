/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks a guest's own page tables: virtual to guest physical. 4- and 5-level, PAE and 32-bit
 * paging (SDM 3A chapter 4, APM 2 chapter 5), and no paging at all. Pure: it reads entries
 * through a callback and never writes (accessed and dirty bits are the guest's).
 *
 * The tables may be garbage and may change while they are read: each entry is read exactly
 * once.
 */
#ifndef MEM_WALK_H
#define MEM_WALK_H

#include "lib/types.h"

struct walk_cpu {
	u64 cr0, cr3, cr4, efer;
	u64 pdptr[4]; /* PAE: the registers, when pdptr_valid (they may differ from memory) */
	bool pdptr_valid;
	u8 physical_bits; /* MAXPHYADDR: entries with address bits above it are reserved */
};

#define WALK_WRITE BIT(0) /* W=1 at every level and D=1 in the leaf */
#define WALK_USER  BIT(1) /* U=1 at every level */
#define WALK_EXEC  BIT(2) /* NX=0 at every level */
#define WALK_COLD  BIT(3) /* A=0 will do: the CPU has not used the entries lately */

enum walk_status {
	WALK_OK,
	WALK_FAULT,	    /* not present, or rights are missing (A or D included) */
	WALK_NOT_CANONICAL, /* not canonical, or above 4 GiB outside long mode */
	WALK_RESERVED,	    /* a reserved bit is set */
	WALK_NOT_RAM,	    /* a table lies where read_entry may not read */
};

struct walk_result {
	gpa_t address;
	u64 page_size; /* of the leaf; 4 GiB's worth without paging */
	u64 entry;     /* WALK_FAULT only: the entry that refused */
};

struct walk_memory {
	/*
	 * One aligned entry of 4 or 8 bytes (zero-extended), read once; false where the address
	 * is not ordinary RAM that belongs to the guest.
	 */
	bool (*read_entry)(const struct walk_memory *memory, gpa_t address, unsigned size,
			   u64 *entry);
};

/*
 * With paging on, every used entry must also have A=1: the CPU would have set it. With no
 * paging, only the 32-bit limit counts. The first entry from the root that refuses decides the
 * status; within one entry: not present, then reserved bits, then rights. *result counts with
 * WALK_OK only.
 *
 * Kinder than hardware, because the tables belong to whoever made them: protection keys are not
 * consulted, and bit 8 of the two upper levels (reserved on AMD only) is not checked.
 */
enum walk_status walk_gva(const struct walk_memory *memory, const struct walk_cpu *cpu,
			  gva_t at, u32 need, struct walk_result *result);

#endif
