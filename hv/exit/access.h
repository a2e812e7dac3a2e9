/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory by linear address, walked through a vCPU's own page tables.
 *
 * dom0's memory by dom0's linear addresses, walked through its current CR3: what copy_from_user and
 * copy_to_user are to a kernel. Safe against dom0 changing its tables meanwhile: interrupts are off on this
 * CPU, so no TLB shootdown that includes it can complete.
 */
#ifndef EXIT_ACCESS_H
#define EXIT_ACCESS_H

#include "cpu/x86.h"
#include "vm/vcpu.h"

/*
 * Copies between dom0's user memory and ours. The range must not cross a page. False unless every
 * table and the page are dom0's RAM, present, user (and for writing: writable and dirty already);
 * nothing was copied then, and touching the memory from the program mends it, if anything does.
 */
bool user_read(struct vcpu *vcpu, gva_t from, void *to, u64 size);
bool user_write(struct vcpu *vcpu, gva_t to, const void *from, u64 size);

/*
 * Where a user address of dom0's program leads: its page must be present, user, and for `write`
 * writable and dirty. False otherwise. *leaf, unless NULL: the entry that maps it, where entries have 8 bytes.
 */
bool user_page(struct vcpu *vcpu, gva_t at, bool write, gpa_t *address, u64 *page_size, struct code_entry *leaf);

/*
 * In the same exit: the frames of the pages of that size in the aligned block around an address whose leaf is that of
 * such a page, as far as their entries are like it; 0: not so.
 */
#define NEAR_PAGES 16
void user_pages_near(const struct code_entry *leaf, gva_t at, u64 size, u64 frames[NEAR_PAGES]);

/*
 * dom0's memory at a linear address of its kernel's, where `size` bytes lie together in its RAM; else NULL. dom0 can
 * change it at any time.
 */
const void *dom0_linear(struct vcpu *vcpu, gva_t at, u64 size);

/*
 * Whether an address space may still exist: its user address leads to `page` (in our view), which holds the
 * value, or is only hidden for a while (an entry that is not present but not empty: NUMA
 * hinting, migration). For address spaces of dom0's present paging mode.
 */
bool address_space_reads(u64 cr3, gva_t at, const u64 *page, u64 value);

/*
 * The bytes at the current instruction of dom0 or of a guest, at most max; fewer at the end of readable
 * memory. A guest's are found in what its nested tables map: it has just executed them.
 */
unsigned code_fetch(struct vcpu *vcpu, u8 *bytes, unsigned max);

#define CODE_PLACE(at) ((at) / PAGE_SIZE % CODE_PAGES)

static inline bool code_entry_is(const struct code_entry *entry)
{
	return __atomic_load_n(entry->at, __ATOMIC_RELAXED) == entry->value;
}

/*
 * The code at an address of long mode's that lies in a page fetched from before, `size` bytes before its end; else NULL.
 * From the root on: a table's entry that is the same leads to the same next one. Where VCPU_NEAR is valid.
 */
static inline const u8 *code_known(const struct vcpu *vcpu, u64 at, u64 size)
{
	const struct code_page *known = &vcpu->code[CODE_PLACE(at)];
	const struct code_entry *entry = known->entry;
	u64 offset = at - known->page;

	if (offset > PAGE_SIZE - size || !known->code || known->cr3 != vcpu->control.cr3 ||
	    known->cr4 != vcpu->control.cr4)
		return NULL;
	if (!code_entry_is(&entry[0]) || !code_entry_is(&entry[1]) || !code_entry_is(&entry[2]) ||
	    !code_entry_is(&entry[3]))
		return NULL;
	if (entry[4].at && (!code_entry_is(&entry[4]) || (entry[5].at && !code_entry_is(&entry[5]))))
		return NULL;
	return known->code + index_nospec(offset, PAGE_SIZE);
}

#endif
