/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * String instructions: one element for each call, or for INS and OUTS as many as lie in one
 * page. e->again says that the instruction is to go on.
 */
#include <string.h>

#include "kvm/emulate_alu.h"
#include "kvm/emulate_families.h"
#include "kvm/emulate_memory.h"

static bool repeats(const struct emulate *e)
{
	return e->insn->flags & (EMULATE_REP | EMULATE_REPNE);
}

static uint64_t index_of(const struct emulate *e, unsigned reg)
{
	return general_read(e, reg, e->insn->address_size);
}

/* How many elements are left. */
static uint64_t count_left(const struct emulate *e)
{
	return repeats(e) ? index_of(e, LUV_RCX) : 1;
}

static void step(struct emulate *e, unsigned reg, uint64_t bytes)
{
	bool down = e->setup.page->rflags & RFLAGS_DF;

	general_add(e, reg, e->insn->address_size, down ? -bytes : bytes);
}

static void count_down(struct emulate *e, uint64_t elements)
{
	if (!repeats(e))
		return;
	general_add(e, LUV_RCX, e->insn->address_size, -elements);
	e->again = index_of(e, LUV_RCX) != 0;
}

static bool source_read(struct emulate *e, uint64_t *value)
{
	return memory_read_number(e, e->insn->segment, index_of(e, LUV_RSI), value,
				  e->insn->operand_size, 0);
}

static bool target_read(struct emulate *e, uint64_t *value)
{
	return memory_read_number(e, LUV_ES, index_of(e, LUV_RDI), value, e->insn->operand_size,
				  0);
}

static bool target_write(struct emulate *e, uint64_t value)
{
	return memory_write_number(e, LUV_ES, index_of(e, LUV_RDI), value,
				   e->insn->operand_size);
}

/* REPE goes on while equal, REPNE while not. */
static void compare(struct emulate *e, uint64_t a, uint64_t b)
{
	uint64_t *flags = &e->setup.page->rflags;
	bool equal;

	alu_binary(ALU_CMP, e->insn->operand_size, a, b, flags);
	equal = *flags & RFLAGS_ZF;
	count_down(e, 1);
	e->again = e->again && equal == !!(e->insn->flags & EMULATE_REP);
}

/* The element of that page is found to be accessible before the other is touched. */
static bool target_checked(struct emulate *e)
{
	uint8_t *host;

	return memory_direct(e, LUV_ES, index_of(e, LUV_RDI), e->insn->operand_size,
			     ACCESS_WRITE, &host);
}

bool execute_string(struct emulate *e)
{
	unsigned size = e->insn->operand_size;
	uint64_t a = general_read(e, LUV_RAX, size), b;

	if (!count_left(e))
		return true;
	switch (e->insn->operation) {
	case STRING_MOVS:
		if (!target_checked(e) || !source_read(e, &a) || !target_write(e, a))
			return false;
		step(e, LUV_RSI, size);
		step(e, LUV_RDI, size);
		break;
	case STRING_STOS:
		if (!target_write(e, a))
			return false;
		step(e, LUV_RDI, size);
		break;
	case STRING_LODS:
		if (!source_read(e, &a))
			return false;
		general_write(e, LUV_RAX, size, a);
		step(e, LUV_RSI, size);
		break;
	case STRING_CMPS:
		if (!source_read(e, &a) || !target_read(e, &b))
			return false;
		step(e, LUV_RSI, size);
		step(e, LUV_RDI, size);
		compare(e, a, b);
		return true;
	default:
		if (!target_read(e, &b))
			return false;
		step(e, LUV_RDI, size);
		compare(e, a, b);
		return true;
	}
	count_down(e, 1);
	return true;
}

bool execute_xlat(struct emulate *e)
{
	const struct emulate_insn *insn = e->insn;
	uint64_t offset = e->setup.page->general[LUV_RBX] + general_read(e, LUV_RAX, 1), value;

	if (!memory_read_number(e, insn->segment, offset & size_mask(insn->address_size),
				&value, 1, 0))
		return false;
	general_write(e, LUV_RAX, 1, value);
	return true;
}

bool execute_by_cpu(struct emulate *e)
{
	return fail_again(e);
}

/* --- ports --- */

/*
 * How many elements, and where they lie in RAM; *host = NULL: one, which is elsewhere or
 * crosses a page. Only upwards, and one at a time where each could fault or trap by itself.
 */
static bool batch(struct emulate *e, unsigned segment, unsigned reg, unsigned access,
		  uint32_t *count, uint8_t **host)
{
	const struct luv_vcpu_page *page = e->setup.page;
	uint64_t left = count_left(e), offset = index_of(e, reg), base = 0, room;
	unsigned size = e->insn->operand_size;

	if (e->insn->address_size != 8 || segment == LUV_FS || segment == LUV_GS)
		base = page->segment[segment].base;
	room = (LUV_PAGE_SIZE - (base + offset) % LUV_PAGE_SIZE) / size;
	*count = EMULATE_IO_SIZE / size;
	*count = left < *count ? (uint32_t)left : *count;
	*count = room < *count ? (uint32_t)room : *count;
	/* A 16-bit or 32-bit index wraps behind the last element. */
	if ((size_mask(e->insn->address_size) - offset) / size < *count)
		*count = 1;
	if (page->rflags & (RFLAGS_DF | RFLAGS_TF | RFLAGS_AC))
		*count = 1;
	if (*count > 1) {
		if (memory_direct(e, segment, offset, *count * size, access, host) && *host)
			return true;
	}
	*count = 1;
	return memory_direct(e, segment, offset, size, access, host);
}

bool execute_in_string(struct emulate *e)
{
	struct emulate_io *io = &e->io;
	uint32_t count;
	uint8_t *host;

	e->touched = true;
	if (!count_left(e))
		return true;
	if (!batch(e, LUV_ES, LUV_RDI, ACCESS_WRITE, &count, &host))
		return false;
	if (!e->in_ready) {
		io->in = true;
		io->count = count;
		if (!e->setup.ops->port(e->setup.context, io)) {
			e->wait = EMULATE_WAIT_IN;
			e->result = EMULATE_IO;
			return false;
		}
	}
	/* If the guest's tables have changed meanwhile, the rest of what came is lost. */
	count = io->count < count ? io->count : count;
	if (host)
		memcpy(host, io->data, count * io->size);
	else if (!memory_write(e, LUV_ES, index_of(e, LUV_RDI), io->data, io->size))
		return false;
	step(e, LUV_RDI, (uint64_t)count * io->size);
	count_down(e, count);
	return true;
}

bool execute_out_string(struct emulate *e)
{
	struct emulate_io *io = &e->io;
	unsigned segment = e->insn->segment;
	uint32_t count;
	uint8_t *host;

	e->touched = true;
	if (!count_left(e))
		return true;
	if (!batch(e, segment, LUV_RSI, 0, &count, &host))
		return false;
	if (host)
		memcpy(io->data, host, count * io->size);
	else if (!memory_read(e, segment, index_of(e, LUV_RSI), io->data, io->size, 0))
		return false;
	io->in = false;
	io->count = count;
	e->out_ready = true;
	step(e, LUV_RSI, (uint64_t)count * io->size);
	count_down(e, count);
	return true;
}
