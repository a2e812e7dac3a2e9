/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What devices see most: MOV of a register to or from their registers, in 64-bit code, decoded
 * before. The CPU has translated the address and checked every right before it told of the
 * access, so that nothing is needed but general registers.
 */
#include <string.h>

#include "kvm/emulate_decode.h"
#include "kvm/emulate_memory.h"

/* Is the operand what was accessed, and in one page? It may have begun in a page of RAM. */
static bool is_operand(const struct emulate *e, unsigned size)
{
	uint64_t gpa = e->setup.page->exit.mmio.gpa;

	return (operand_offset(e) ^ gpa) % LUV_PAGE_SIZE == 0 &&
	       gpa % LUV_PAGE_SIZE + size <= LUV_PAGE_SIZE;
}

static uint64_t source(const struct emulate *e)
{
	const struct emulate_operand *from = &e->insn->operand[1];

	return from->kind == EMULATE_IMMEDIATE ? e->insn->immediate
					       : general_read(e, from->reg, from->size);
}

bool emulate_plain(struct emulate *e)
{
	const struct luv_vcpu_page *page = e->setup.page;
	const struct emulate_insn *insn =
	    emulate_known(e, page->exit.mmio.bytes, (unsigned)page->exit.mmio.byte_count);
	bool write;
	uint64_t value;

	if (!insn || !(insn->flags & EMULATE_PLAIN) || page->rflags & RFLAGS_TF)
		return false;
	e->insn = insn;
	write = insn->operand[0].kind == EMULATE_MEMORY;
	e->access.size = insn->operand[write ? 0 : 1].size;
	if (write != page->exit.mmio.write || !is_operand(e, e->access.size))
		return false;
	e->access.gpa = page->exit.mmio.gpa;
	e->access.write = write;
	e->rip = page->rip;
	if (write) {
		value = source(e);
		memcpy(e->access.data, &value, sizeof(value));
	}
	return true;
}

void emulate_plain_done(struct emulate *e)
{
	struct luv_vcpu_page *page = e->setup.page;
	const struct emulate_operand *to = &e->insn->operand[0];
	uint64_t value;

	if (page->rip != e->rip)
		return;
	page->rip += e->insn->length;
	page->rflags &= ~RFLAGS_RF;
	page->dirty |= LUV_GROUP_RIP;
	if (e->access.write)
		return;
	memcpy(&value, e->access.data, sizeof(value));
	general_write(e, to->reg, to->size, value & size_mask(e->access.size));
	page->dirty |= LUV_GROUP_GENERAL;
}
