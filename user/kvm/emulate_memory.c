/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/emulate_memory.h"

#include <string.h>

#define PAGE_SIZE LUV_PAGE_SIZE
#define NO_PAGE	  1ull /* is no page's address */

/* Where an access lies: in one page or two. */
struct span {
	uint64_t gpa[2];
	unsigned first, second; /* bytes in each */
};

void memory_forget(struct emulate *e)
{
	e->translated[0].linear = NO_PAGE;
	e->translated[1].linear = NO_PAGE;
}

/* --- segments --- */

static bool segment_fault(struct emulate *e, unsigned segment)
{
	return fail_fault_error(e, segment == LUV_SS ? VECTOR_SS : VECTOR_GP, 0);
}

/* SDM 3A 5.3, 5.5; APM 2 4.12. The offset of the last byte is at most 2^32 + 30. */
static bool legacy_allows(const struct luv_vcpu_page *page, unsigned name, uint64_t offset,
			  unsigned size, unsigned access)
{
	const struct luv_segment *segment = &page->segment[name];
	uint64_t attributes = segment->attributes;
	uint64_t last = offset + size - 1;

	if (!has_descriptors(page))
		return last <= segment->limit;
	if (!(attributes & SEGMENT_P) || !(attributes & SEGMENT_S))
		return false;
	if (attributes & SEGMENT_TYPE_CODE) {
		if ((access & ACCESS_WRITE) ||
		    (!(access & ACCESS_FETCH) && !(attributes & SEGMENT_TYPE_WRITE)))
			return false;
		return last <= segment->limit;
	}
	if ((access & ACCESS_WRITE) && !(attributes & SEGMENT_TYPE_WRITE))
		return false;
	if (!(attributes & SEGMENT_TYPE_DOWN))
		return last <= segment->limit;
	return offset > segment->limit &&
	       last <= (attributes & SEGMENT_BIG ? 0xffffffff : 0xffff);
}

/* An offset in a segment to a linear address; all size bytes are allowed. */
static bool to_linear(struct emulate *e, unsigned segment, uint64_t offset, unsigned size,
		      unsigned access, uint64_t *linear)
{
	const struct luv_vcpu_page *page = e->setup.page;

	if (code_bits(page) == 64) {
		*linear = offset;
		if (segment == LUV_FS || segment == LUV_GS)
			*linear += page->segment[segment].base;
		if (!is_canonical(page, *linear) || !is_canonical(page, *linear + size - 1))
			return segment_fault(e, segment);
		return true;
	}
	offset &= 0xffffffff;
	if (!legacy_allows(page, segment, offset, size, access))
		return segment_fault(e, segment);
	*linear = (page->segment[segment].base + offset) & 0xffffffff;
	return true;
}

bool memory_is_aligned(const struct emulate *e, unsigned segment, uint64_t offset,
		       unsigned alignment)
{
	const struct luv_vcpu_page *page = e->setup.page;

	if (code_bits(page) != 64 || segment == LUV_FS || segment == LUV_GS)
		offset += page->segment[segment].base;
	return offset % alignment == 0;
}

/* SDM 3A 6.15, vector 17. XMM operands count as a whole; of YMM operands CPUs look at 16 bytes.
 */
static bool aligned_enough(struct emulate *e, uint64_t linear, unsigned size)
{
	const struct luv_vcpu_page *page = e->setup.page;
	unsigned alignment = size < 16 ? size : 16;

	if (!(page->rflags & RFLAGS_AC) || !(linear & (alignment - 1)))
		return true;
	if (!(page->cr0 & CR0_AM) || current_privilege(page) != 3)
		return true;
	return fail_fault_error(e, VECTOR_AC, 0);
}

/* --- pages --- */

/*
 * The exit has told us where the instruction's only operand lies, and that the guest may access
 * it so: no walk is needed.
 */
static bool exit_told(const struct emulate *e, uint64_t linear, unsigned size, unsigned access)
{
	return e->hint && (e->insn->flags & EMULATE_ONE_MEM) &&
	       (linear ^ e->hint_gpa) % PAGE_SIZE == 0 &&
	       (e->hint_write || !(access & ACCESS_WRITE)) &&
	       linear % PAGE_SIZE + size <= PAGE_SIZE;
}

static bool to_physical(struct emulate *e, uint64_t linear, unsigned access, uint64_t *gpa)
{
	uint64_t page = linear & ~(PAGE_SIZE - 1ull);
	bool write = access & ACCESS_WRITE;

	/* Rights differ: these are not kept. */
	if (access & ACCESS_SYSTEM)
		return walk_translate(e, linear, access, gpa);
	if (e->translated[write].linear != page) {
		if (!walk_translate(e, linear, access, gpa))
			return false;
		e->translated[write].linear = page;
		e->translated[write].gpa = *gpa & ~(PAGE_SIZE - 1ull);
	}
	*gpa = e->translated[write].gpa | linear % PAGE_SIZE;
	return true;
}

static bool locate_linear(struct emulate *e, uint64_t linear, unsigned size, unsigned access,
			  struct span *span)
{
	uint64_t next;

	span->first = size;
	span->second = 0;
	if (!to_physical(e, linear, access, &span->gpa[0]))
		return false;
	if (linear % PAGE_SIZE + size <= PAGE_SIZE)
		return true;
	span->first = PAGE_SIZE - (unsigned)(linear % PAGE_SIZE);
	span->second = size - span->first;
	next = linear + span->first;
	if (!(e->setup.page->efer & EFER_LMA))
		next &= 0xffffffff;
	return to_physical(e, next, access, &span->gpa[1]);
}

static bool locate(struct emulate *e, unsigned segment, uint64_t offset, unsigned size,
		   unsigned access, struct span *span)
{
	uint64_t linear;

	if (!to_linear(e, segment, offset, size, access, &linear) ||
	    !aligned_enough(e, linear, size))
		return false;
	if (!exit_told(e, linear, size, access))
		return locate_linear(e, linear, size, access, span);
	span->first = size;
	span->second = 0;
	span->gpa[0] = e->hint_gpa;
	return true;
}

/* --- RAM and devices --- */

static uint8_t *host_of(struct emulate *e, uint64_t gpa, bool write)
{
	uint8_t *page =
	    e->setup.ops->memory(e->setup.context, gpa & ~(PAGE_SIZE - 1ull), write);

	return page ? page + gpa % PAGE_SIZE : NULL;
}

/* Operands of these sizes move in one piece, as the CPU moves them. */
static void copy(void *to, const void *from, unsigned size)
{
	switch (size) {
	case 1:
		memcpy(to, from, 1);
		break;
	case 2:
		memcpy(to, from, 2);
		break;
	case 4:
		memcpy(to, from, 4);
		break;
	case 8:
		memcpy(to, from, 8);
		break;
	default:
		memcpy(to, from, size);
	}
}

static bool device_read(struct emulate *e, uint64_t gpa, void *data, unsigned size)
{
	struct emulate_access *known = &e->read[e->replayed];

	e->touched = true;
	if (e->replayed < e->reads) {
		if (known->gpa == gpa && known->size == size) {
			copy(data, known->data, size);
			e->replayed++;
			return true;
		}
		/* The guest's tables have changed: what it had been given meant another
		 * address. */
		e->reads = e->replayed;
	}
	if (e->reads == EMULATE_READS_MAX)
		return fail_unknown(e);
	e->access.gpa = gpa;
	e->access.size = (uint8_t)size;
	e->access.write = false;
	if (!e->setup.ops->mmio(e->setup.context, &e->access)) {
		e->wait = EMULATE_WAIT_READ;
		e->result = EMULATE_MMIO;
		return false;
	}
	*known = e->access;
	e->reads++;
	e->replayed++;
	copy(data, known->data, size);
	return true;
}

static bool read_part(struct emulate *e, uint64_t gpa, uint8_t *data, unsigned size)
{
	const uint8_t *host = host_of(e, gpa, false);

	if (host) {
		copy(data, host, size);
		return true;
	}
	for (unsigned done = 0; done < size; done += 8) {
		unsigned piece = size - done < 8 ? size - done : 8;

		if (!device_read(e, gpa + done, data + done, piece))
			return false;
	}
	return true;
}

/* value: little-endian, size bytes of it. */
static bool queue_piece(struct emulate *e, uint8_t *host, uint64_t gpa, uint64_t value,
			unsigned size)
{
	struct emulate_piece *piece = &e->queue[e->queued];

	if (e->queued == EMULATE_QUEUE_MAX)
		return fail_unknown(e);
	e->queued++;
	e->touched |= !host;
	piece->host = host;
	piece->access.gpa = gpa;
	piece->access.size = (uint8_t)size;
	piece->access.write = true;
	memcpy(piece->access.data, &value, sizeof(value));
	return true;
}

static bool queue_part(struct emulate *e, uint64_t gpa, const uint8_t *data, unsigned size)
{
	uint8_t *host = host_of(e, gpa, true);

	for (unsigned done = 0; done < size; done += 8) {
		unsigned piece = size - done < 8 ? size - done : 8;
		uint64_t value = 0;

		copy(&value, data + done, piece);
		if (!queue_piece(e, host ? host + done : NULL, gpa + done, value, piece))
			return false;
	}
	return true;
}

void memory_commit(struct emulate *e)
{
	for (unsigned i = 0; i < e->queued; i++) {
		struct emulate_piece *piece = &e->queue[i];

		if (piece->host)
			copy(piece->host, piece->access.data, piece->access.size);
	}
	e->drained = 0;
}

bool memory_drain(struct emulate *e)
{
	while (e->drained < e->queued) {
		const struct emulate_piece *piece = &e->queue[e->drained++];

		if (piece->host)
			continue;
		e->access = piece->access;
		if (!e->setup.ops->mmio(e->setup.context, &e->access)) {
			e->wait = EMULATE_WAIT_WRITE;
			e->result = EMULATE_MMIO;
			return false;
		}
	}
	return true;
}

/* --- locked instructions --- */

/* In RAM they are atomic: the write is an exchange that fails when what was read has changed.
 */
static bool is_atomic(const struct emulate *e, const struct span *span)
{
	return (e->insn->flags & EMULATE_LOCKED) && span->first <= 8 && !span->second &&
	       !(span->gpa[0] & (span->first - 1));
}

static bool exchange(void *host, unsigned size, uint64_t old, uint64_t new)
{
	uint32_t old_32 = (uint32_t)old;
	uint16_t old_16 = (uint16_t)old;
	uint8_t old_8 = (uint8_t)old;

	switch (size) {
	case 1:
		return __atomic_compare_exchange_n((uint8_t *)host, &old_8, (uint8_t) new,
						   false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	case 2:
		return __atomic_compare_exchange_n((uint16_t *)host, &old_16, (uint16_t) new,
						   false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	case 4:
		return __atomic_compare_exchange_n((uint32_t *)host, &old_32, (uint32_t) new,
						   false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	default:
		return __atomic_compare_exchange_n((uint64_t *)host, &old, new, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
}

/* --- the instruction's accesses --- */

static bool read_span(struct emulate *e, const struct span *span, void *data)
{
	return read_part(e, span->gpa[0], data, span->first) &&
	       (!span->second ||
		read_part(e, span->gpa[1], (uint8_t *)data + span->first, span->second));
}

static bool queue_span(struct emulate *e, const struct span *span, const void *data)
{
	return queue_part(e, span->gpa[0], data, span->first) &&
	       (!span->second ||
		queue_part(e, span->gpa[1], (const uint8_t *)data + span->first, span->second));
}

bool memory_read(struct emulate *e, unsigned segment, uint64_t offset, void *data,
		 unsigned size, unsigned access)
{
	struct span span;

	if (!locate(e, segment, offset, size, access, &span) || !read_span(e, &span, data))
		return false;
	if (is_atomic(e, &span)) {
		e->locked = 0;
		copy(&e->locked, data, size);
	}
	return true;
}

/* The last step of a locked instruction: at once, if it is to RAM. */
static bool write_locked(struct emulate *e, const struct span *span, const void *data)
{
	uint8_t *host = is_atomic(e, span) ? host_of(e, span->gpa[0], true) : NULL;
	uint64_t new = 0;

	if (!host)
		return queue_span(e, span, data);
	copy(&new, data, span->first);
	e->retry = !exchange(host, span->first, e->locked, new);
	return !e->retry || fail_again(e);
}

bool memory_write(struct emulate *e, unsigned segment, uint64_t offset, const void *data,
		  unsigned size)
{
	struct span span;

	if (!locate(e, segment, offset, size, ACCESS_WRITE, &span))
		return false;
	if (e->insn->flags & EMULATE_LOCKED)
		return write_locked(e, &span, data);
	return queue_span(e, &span, data);
}

/* Where the CPU's tables lie; outside long mode all addresses have 32 bits. */
static bool locate_system(struct emulate *e, uint64_t linear, unsigned size, unsigned access,
			  struct span *span)
{
	if (!(e->setup.page->efer & EFER_LMA))
		linear &= 0xffffffff;
	else if (!is_canonical(e->setup.page, linear) ||
		 !is_canonical(e->setup.page, linear + size - 1))
		return fail_fault_error(e, VECTOR_GP, 0);
	return locate_linear(e, linear, size, access | ACCESS_SYSTEM, span);
}

bool memory_read_system(struct emulate *e, uint64_t linear, void *data, unsigned size)
{
	struct span span;

	return locate_system(e, linear, size, 0, &span) && read_span(e, &span, data);
}

bool memory_write_system(struct emulate *e, uint64_t linear, const void *data, unsigned size)
{
	struct span span;

	return locate_system(e, linear, size, ACCESS_WRITE, &span) &&
	       queue_span(e, &span, data);
}

bool memory_direct(struct emulate *e, unsigned segment, uint64_t offset, unsigned size,
		   unsigned access, uint8_t **host)
{
	struct span span;

	if (!locate(e, segment, offset, size, access, &span))
		return false;
	*host = span.second ? NULL : host_of(e, span.gpa[0], access & ACCESS_WRITE);
	return true;
}

bool memory_read_number(struct emulate *e, unsigned segment, uint64_t offset, uint64_t *value,
			unsigned size, unsigned access)
{
	*value = 0;
	return memory_read(e, segment, offset, value, size, access);
}

bool memory_write_number(struct emulate *e, unsigned segment, uint64_t offset, uint64_t value,
			 unsigned size)
{
	struct span span;

	if (!locate(e, segment, offset, size, ACCESS_WRITE, &span))
		return false;
	if (e->insn->flags & EMULATE_LOCKED)
		return write_locked(e, &span, &value);
	if (span.second)
		return queue_span(e, &span, &value);
	return queue_piece(e, host_of(e, span.gpa[0], true), span.gpa[0], value, size);
}

bool memory_fetch(struct emulate *e, uint64_t offset, uint8_t *bytes, unsigned size,
		  unsigned *count)
{
	const uint8_t *host;
	uint64_t linear, gpa;
	unsigned in_page;

	/* Bytes behind the limit are missed only by an instruction that has them. */
	if (!to_linear(e, LUV_CS, offset, 1, ACCESS_FETCH, &linear) ||
	    !walk_translate(e, linear, ACCESS_FETCH, &gpa))
		return false;
	host = host_of(e, gpa, false);
	if (!host)
		return fail_unknown(e);
	in_page = PAGE_SIZE - (unsigned)(gpa % PAGE_SIZE);
	*count = size < in_page ? size : in_page;
	if (code_bits(e->setup.page) != 64) {
		uint64_t left =
		    e->setup.page->segment[LUV_CS].limit - (offset & 0xffffffff) + 1;

		*count = *count < left ? *count : (unsigned)left;
	}
	memcpy(bytes, host, *count);
	return true;
}

/* --- operands --- */

uint64_t operand_offset(const struct emulate *e)
{
	const struct emulate_insn *insn = e->insn;
	const struct luv_vcpu_page *page = e->setup.page;
	uint64_t offset = insn->displacement;

	if (insn->base == EMULATE_RIP)
		offset += page->rip + insn->length;
	else if (insn->base != EMULATE_NO_REG)
		offset += page->general[insn->base & 15];
	if (insn->index != EMULATE_NO_REG)
		offset += page->general[insn->index & 15] * insn->scale;
	return offset & size_mask(insn->address_size);
}

bool operand_read(struct emulate *e, unsigned number, uint64_t *value)
{
	const struct emulate_insn *insn = e->insn;
	const struct emulate_operand *operand = &insn->operand[number];

	switch (operand->kind) {
	case EMULATE_GENERAL:
		*value = general_read(e, operand->reg, operand->size);
		return true;
	case EMULATE_HIGH_BYTE:
		*value = e->setup.page->general[operand->reg & 3] >> 8 & 0xff;
		return true;
	case EMULATE_IMMEDIATE:
		*value = insn->immediate;
		return true;
	case EMULATE_MEMORY:
		return memory_read_number(e, insn->segment, operand_offset(e), value,
					  operand->size, operand->written ? ACCESS_WRITE : 0);
	case EMULATE_SEGMENT:
		*value = e->setup.page->segment[operand->reg].selector;
		return true;
	default:
		return fail_unknown(e);
	}
}

bool operand_write(struct emulate *e, unsigned number, uint64_t value)
{
	const struct emulate_insn *insn = e->insn;
	const struct emulate_operand *operand = &insn->operand[number];
	uint64_t *general = &e->setup.page->general[operand->reg & 15];

	switch (operand->kind) {
	case EMULATE_GENERAL:
		general_write(e, operand->reg, operand->size, value);
		return true;
	case EMULATE_HIGH_BYTE:
		general = &e->setup.page->general[operand->reg & 3];
		*general = (*general & ~0xff00ull) | (value & 0xff) << 8;
		return true;
	case EMULATE_MEMORY:
		return memory_write_number(e, insn->segment, operand_offset(e), value,
					   operand->size);
	default:
		return fail_unknown(e);
	}
}
