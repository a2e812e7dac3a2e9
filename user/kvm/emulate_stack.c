/* SPDX-License-Identifier: BSD-2-Clause */
/* PUSH, POP and near branches. */
#include "kvm/emulate_families.h"
#include "kvm/emulate_memory.h"

#define CR4_VME (1ull << 0)

/* Bytes of the stack pointer that count (SDM 1 6.2.3). */
static unsigned stack_bytes(const struct emulate *e)
{
	const struct luv_vcpu_page *page = e->setup.page;

	if (code_bits(page) == 64)
		return 8;
	if (!has_descriptors(page))
		return 2;
	return page->segment[LUV_SS].attributes & SEGMENT_BIG ? 4 : 2;
}

/* Where the stack pointer points when it is moved by that. */
static uint64_t stack_at(const struct emulate *e, uint64_t moved)
{
	return (e->setup.page->general[LUV_RSP] + moved) & size_mask(stack_bytes(e));
}

static bool push(struct emulate *e, uint64_t value, unsigned size)
{
	uint64_t to = stack_at(e, -(uint64_t)size);

	if (!memory_write_number(e, LUV_SS, to, value, size))
		return false;
	general_write(e, LUV_RSP, stack_bytes(e), to);
	return true;
}

static void stack_add(struct emulate *e, uint64_t delta)
{
	general_add(e, LUV_RSP, stack_bytes(e), delta);
}

static bool top(struct emulate *e, uint64_t *value, unsigned size)
{
	return memory_read_number(e, LUV_SS, stack_at(e, 0), value, size, 0);
}

bool execute_push(struct emulate *e)
{
	uint64_t value;

	return operand_read(e, 0, &value) && push(e, value, e->insn->operand_size);
}

/* An address based on RSP is computed with what RSP is behind POP (SDM 2B POP). */
bool execute_pop(struct emulate *e)
{
	const struct emulate_insn *insn = e->insn;
	unsigned size = insn->operand_size;
	uint64_t value, offset = operand_offset(e);

	if (!top(e, &value, size))
		return false;
	if (insn->operand[0].kind == EMULATE_SEGMENT) {
		if (!execute_load_segment(e, value))
			return false;
		stack_add(e, size);
		return true;
	}
	if (insn->operand[0].kind != EMULATE_MEMORY) {
		stack_add(e, size);
		return operand_write(e, 0, value);
	}
	if (insn->base == LUV_RSP)
		offset = (offset + size) & size_mask(insn->address_size);
	if (!memory_write_number(e, insn->segment, offset, value, size))
		return false;
	stack_add(e, size);
	return true;
}

bool execute_push_all(struct emulate *e)
{
	unsigned size = e->insn->operand_size;

	for (unsigned i = 0; i < 8; i++)
		if (!memory_write_number(e, LUV_SS, stack_at(e, -(i + 1ull) * size),
					 general_read(e, i, size), size))
			return false;
	stack_add(e, -8ull * size);
	return true;
}

/* What was pushed of the stack pointer itself is skipped. */
bool execute_pop_all(struct emulate *e)
{
	unsigned size = e->insn->operand_size;
	uint64_t value[8];

	for (unsigned i = 0; i < 8; i++)
		if (!memory_read_number(e, LUV_SS, stack_at(e, (uint64_t)i * size),
					&value[7 - i], size, 0))
			return false;
	for (unsigned i = 0; i < 8; i++)
		if (i != LUV_RSP)
			general_write(e, i, size, value[i]);
	stack_add(e, 8ull * size);
	return true;
}

/* --- flags --- */

/* In virtual-8086 mode they need IOPL 3; what CR4.VME offers instead is not there. */
static bool flags_allowed(struct emulate *e)
{
	const struct luv_vcpu_page *page = e->setup.page;

	if (!(page->cr0 & CR0_PE) || !(page->rflags & RFLAGS_VM) ||
	    (page->rflags & RFLAGS_IOPL) == RFLAGS_IOPL)
		return true;
	return page->cr4 & CR4_VME ? fail_unknown(e) : fail_fault_error(e, VECTOR_GP, 0);
}

bool execute_push_flags(struct emulate *e)
{
	uint64_t flags = e->setup.page->rflags & ~(RFLAGS_VM | RFLAGS_RF);

	return flags_allowed(e) && push(e, flags, e->insn->operand_size);
}

bool execute_pop_flags(struct emulate *e)
{
	struct luv_vcpu_page *page = e->setup.page;
	unsigned privilege = current_privilege(page);
	uint64_t mask =
	    RFLAGS_STATUS | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID;
	uint64_t value;

	if (!flags_allowed(e) || !top(e, &value, e->insn->operand_size))
		return false;
	if (privilege == 0)
		mask |= RFLAGS_IOPL;
	if (privilege <= (page->rflags & RFLAGS_IOPL) >> 12)
		mask |= RFLAGS_IF;
	mask &= size_mask(e->insn->operand_size);
	stack_add(e, e->insn->operand_size);
	page->rflags = (page->rflags & ~mask) | (value & mask);
	return true;
}

/*
 * SDM 2A ENTER: old frame pointers are copied from the outer frame, then the new one is pushed.
 * An outer frame below the stack pointer is read as it was before.
 */
bool execute_enter(struct emulate *e)
{
	unsigned size = e->insn->operand_size, level = e->insn->immediate_2 & 31;
	uint64_t moved = -(uint64_t)size, frame = stack_at(e, moved), value;
	uint64_t outer = general_read(e, LUV_RBP, stack_bytes(e));
	uint8_t *host;

	if (!memory_write_number(e, LUV_SS, frame, general_read(e, LUV_RBP, size), size))
		return false;
	for (unsigned i = 1; i < level; i++) {
		uint64_t from = (outer - (uint64_t)i * size) & size_mask(stack_bytes(e));

		moved -= size;
		if (!memory_read_number(e, LUV_SS, from, &value, size, 0) ||
		    !memory_write_number(e, LUV_SS, stack_at(e, moved), value, size))
			return false;
	}
	if (level) {
		moved -= size;
		if (!memory_write_number(e, LUV_SS, stack_at(e, moved), frame, size))
			return false;
	}
	moved -= e->insn->immediate & 0xffff;
	/* It faults where a write to the new top would. */
	if (!memory_direct(e, LUV_SS, stack_at(e, moved), size, ACCESS_WRITE, &host))
		return false;
	general_write(e, LUV_RBP, size, frame);
	stack_add(e, moved);
	return true;
}

bool execute_leave(struct emulate *e)
{
	unsigned size = e->insn->operand_size;
	uint64_t from = general_read(e, LUV_RBP, stack_bytes(e)), value;

	if (!memory_read_number(e, LUV_SS, from, &value, size, 0))
		return false;
	general_write(e, LUV_RSP, stack_bytes(e), from + size);
	general_write(e, LUV_RBP, size, value);
	return true;
}

/* --- near branches --- */

static bool target_allowed(struct emulate *e, uint64_t *target)
{
	const struct luv_vcpu_page *page = e->setup.page;

	*target &= size_mask(e->insn->operand_size);
	if (code_bits(page) == 64 ? !is_canonical(page, *target)
				  : *target > page->segment[LUV_CS].limit)
		return fail_fault_error(e, VECTOR_GP, 0);
	return true;
}

static uint64_t behind(const struct emulate *e)
{
	return e->setup.page->rip + e->insn->length;
}

static bool go(struct emulate *e, uint64_t target)
{
	e->branch = true;
	e->target = target;
	return true;
}

static bool branch_target(struct emulate *e, uint64_t *target)
{
	if (!operand_read(e, 0, target))
		return false;
	if (e->insn->operand[0].kind == EMULATE_IMMEDIATE)
		*target += behind(e);
	return target_allowed(e, target);
}

bool execute_jump(struct emulate *e)
{
	uint64_t target;

	return branch_target(e, &target) && go(e, target);
}

bool execute_call(struct emulate *e)
{
	uint64_t target;

	return branch_target(e, &target) && push(e, behind(e), e->insn->operand_size) &&
	       go(e, target);
}

bool execute_return(struct emulate *e)
{
	unsigned size = e->insn->operand_size;
	uint64_t target, release = 0;

	if (!top(e, &target, size) || !target_allowed(e, &target))
		return false;
	if (e->insn->operand[0].kind == EMULATE_IMMEDIATE)
		release = e->insn->immediate & 0xffff;
	stack_add(e, size + release);
	return go(e, target);
}

bool stack_push_far(struct emulate *e)
{
	unsigned size = e->insn->operand_size;
	uint64_t selector = e->setup.page->segment[LUV_CS].selector;

	if (!memory_write_number(e, LUV_SS, stack_at(e, -(uint64_t)size), selector, size) ||
	    !memory_write_number(e, LUV_SS, stack_at(e, -2ull * size), behind(e), size))
		return false;
	stack_add(e, -2ull * size);
	return true;
}
