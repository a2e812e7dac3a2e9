/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads of segment registers and far branches: SDM 3A 5.4 to 5.8, APM 2 4.7 to 4.11. Call
 * gates, task gates and task switches are not executed.
 */
#include "kvm/emulate_families.h"
#include "kvm/emulate_memory.h"

#define TYPE_ACCESSED	1u
#define TYPE_BUSY	2u
#define TYPE_CONFORMING 4u /* of code */
#define TYPE_LDT	2u
#define TYPE_TSS_16	1u
#define TYPE_TSS	9u
#define RPL		3u
#define SELECTOR_LOCAL	4u

struct descriptor {
	struct luv_segment segment;
	uint64_t linear; /* where its 8 bytes lie */
	uint64_t words[2];
};

static bool long_mode(const struct emulate *e)
{
	return e->setup.page->efer & EFER_LMA;
}

static unsigned type_of(const struct descriptor *descriptor)
{
	return descriptor->segment.attributes & 15;
}

static unsigned level_of(const struct descriptor *descriptor)
{
	return descriptor->segment.attributes >> 5 & 3;
}

/* #GP, #SS, #NP with the selector. */
static bool fault(struct emulate *e, unsigned vector, uint64_t selector)
{
	return fail_fault_error(e, vector, (uint32_t)selector & 0xfffc);
}

static bool is_null(uint64_t selector)
{
	return !(selector & 0xfffc);
}

static void parse(struct descriptor *descriptor, uint64_t selector)
{
	uint64_t low = descriptor->words[0];
	struct luv_segment *segment = &descriptor->segment;

	segment->selector = selector;
	segment->base = (low >> 16 & 0xffffff) | (low >> 56) << 24;
	segment->limit = (low & 0xffff) | (low >> 48 & 15) << 16;
	segment->attributes = (low >> 40 & 0xff) | (low >> 52 & 15) << 8;
	if (segment->attributes & 0x800) /* G */
		segment->limit = segment->limit << 12 | 0xfff;
}

/* size: 8, or 16 for a system descriptor of long mode. */
static bool fetch(struct emulate *e, uint64_t selector, unsigned size,
		  struct descriptor *descriptor)
{
	const struct luv_vcpu_page *page = e->setup.page;
	const struct luv_segment *local = &page->segment[LUV_LDTR];
	uint64_t offset = selector & 0xfff8, base = page->gdt_base, limit = page->gdt_limit;

	if (selector & SELECTOR_LOCAL) {
		base = local->base;
		limit = local->limit;
		if (!(local->attributes & SEGMENT_P))
			return fault(e, VECTOR_GP, selector);
	}
	if (offset + size - 1 > limit)
		return fault(e, VECTOR_GP, selector);
	descriptor->linear = base + offset;
	descriptor->words[1] = 0;
	if (!memory_read_system(e, descriptor->linear, descriptor->words, size))
		return false;
	parse(descriptor, selector);
	return true;
}

/* Sets accessed or busy, here and in the table. */
static bool mark(struct emulate *e, struct descriptor *descriptor, unsigned type)
{
	if ((descriptor->segment.attributes & type) == type)
		return true;
	descriptor->segment.attributes |= type;
	descriptor->words[0] |= (uint64_t)type << 40;
	return memory_write_system(e, descriptor->linear, descriptor->words, 8);
}

static bool set(struct emulate *e, unsigned name, const struct luv_segment *segment)
{
	e->setup.page->segment[name] = *segment;
	e->setup.page->dirty |= LUV_GROUP_SEGMENTS;
	e->shadow = name == LUV_SS && e->insn->execute != execute_load_far;
	return true;
}

/* --- data segments --- */

/* In 64-bit mode below privilege 3 the stack segment may be null; its DPL stays the CPL. */
static bool load_null(struct emulate *e, unsigned name, uint64_t selector)
{
	const struct luv_vcpu_page *page = e->setup.page;
	unsigned privilege = current_privilege(page);
	struct luv_segment segment = {.selector = selector};

	if (name == LUV_SS) {
		if (code_bits(page) != 64 || privilege == 3 || (selector & RPL) != privilege)
			return fail_fault_error(e, VECTOR_GP, 0);
		segment.attributes = privilege << 5;
	}
	return set(e, name, &segment);
}

static bool stack_allowed(struct emulate *e, const struct descriptor *descriptor)
{
	unsigned privilege = current_privilege(e->setup.page);
	uint64_t attributes = descriptor->segment.attributes;
	uint64_t selector = descriptor->segment.selector;

	if ((selector & RPL) != privilege || level_of(descriptor) != privilege ||
	    !(attributes & SEGMENT_S) || (attributes & SEGMENT_TYPE_CODE) ||
	    !(attributes & SEGMENT_TYPE_WRITE))
		return fault(e, VECTOR_GP, selector);
	return attributes & SEGMENT_P || fault(e, VECTOR_SS, selector);
}

static bool data_allowed(struct emulate *e, const struct descriptor *descriptor)
{
	unsigned privilege = current_privilege(e->setup.page);
	uint64_t attributes = descriptor->segment.attributes;
	uint64_t selector = descriptor->segment.selector;
	bool code = attributes & SEGMENT_TYPE_CODE;

	if ((selector & RPL) > privilege)
		privilege = selector & RPL;
	if (!(attributes & SEGMENT_S) || (code && !(attributes & SEGMENT_TYPE_WRITE)))
		return fault(e, VECTOR_GP, selector);
	if (!(code && (attributes & TYPE_CONFORMING)) && level_of(descriptor) < privilege)
		return fault(e, VECTOR_GP, selector);
	return attributes & SEGMENT_P || fault(e, VECTOR_NP, selector);
}

/* ES, SS, DS, FS, GS. */
static bool load(struct emulate *e, unsigned name, uint64_t selector)
{
	struct luv_segment segment = e->setup.page->segment[name];
	struct descriptor descriptor;

	if (!has_descriptors(e->setup.page)) {
		segment.selector = selector;
		segment.base = selector << 4;
		return set(e, name, &segment);
	}
	if (is_null(selector))
		return load_null(e, name, selector);
	if (!fetch(e, selector, 8, &descriptor))
		return false;
	if (name == LUV_SS ? !stack_allowed(e, &descriptor) : !data_allowed(e, &descriptor))
		return false;
	return mark(e, &descriptor, TYPE_ACCESSED) && set(e, name, &descriptor.segment);
}

bool execute_load_segment(struct emulate *e, uint64_t selector)
{
	unsigned name = e->insn->operand[0].reg;

	return name == LUV_CS ? fail_fault(e, VECTOR_UD) : load(e, name, selector & 0xffff);
}

/* --- far pointers in memory --- */

static bool far_pointer(struct emulate *e, unsigned operand, uint64_t *offset,
			uint64_t *selector)
{
	unsigned size = e->insn->operand[operand].size - 2u;
	uint8_t data[10];

	if (e->insn->operand[operand].kind != EMULATE_MEMORY || size > 8)
		return fail_unknown(e);
	if (!memory_read(e, e->insn->segment, operand_offset(e), data, size + 2, 0))
		return false;
	*offset = *selector = 0;
	__builtin_memcpy(offset, data, size);
	__builtin_memcpy(selector, data + size, 2);
	return true;
}

/* LES, LDS, LSS, LFS, LGS; operation: enum luv_segment_name */
bool execute_load_far(struct emulate *e)
{
	uint64_t offset, selector;

	if (!far_pointer(e, 1, &offset, &selector) || !load(e, e->insn->operation, selector))
		return false;
	return operand_write(e, 0, offset);
}

/* A code segment of our privilege; SDM 3A 5.8.1.1. */
static bool code_allowed(struct emulate *e, const struct descriptor *descriptor)
{
	unsigned privilege = current_privilege(e->setup.page);
	uint64_t attributes = descriptor->segment.attributes;
	uint64_t selector = descriptor->segment.selector;

	if (!(attributes & SEGMENT_S))
		return fail_unknown(e);
	if (!(attributes & SEGMENT_TYPE_CODE) ||
	    (long_mode(e) && (attributes & SEGMENT_L) && (attributes & SEGMENT_BIG)))
		return fault(e, VECTOR_GP, selector);
	if (attributes & TYPE_CONFORMING
		? level_of(descriptor) > privilege
		: (selector & RPL) > privilege || level_of(descriptor) != privilege)
		return fault(e, VECTOR_GP, selector);
	return attributes & SEGMENT_P || fault(e, VECTOR_NP, selector);
}

static bool code_segment(struct emulate *e, uint64_t selector, struct luv_segment *segment)
{
	struct descriptor descriptor;

	*segment = e->setup.page->segment[LUV_CS];
	if (!has_descriptors(e->setup.page)) {
		segment->selector = selector;
		segment->base = selector << 4;
		return true;
	}
	if (is_null(selector))
		return fail_fault_error(e, VECTOR_GP, 0);
	if (!fetch(e, selector, 8, &descriptor) || !code_allowed(e, &descriptor) ||
	    !mark(e, &descriptor, TYPE_ACCESSED))
		return false;
	*segment = descriptor.segment;
	segment->selector = (selector & ~(uint64_t)RPL) | current_privilege(e->setup.page);
	return true;
}

/* The offset in the segment that is to be CS. */
static bool offset_allowed(struct emulate *e, const struct luv_segment *segment,
			   uint64_t offset)
{
	bool wide =
	    has_descriptors(e->setup.page) && long_mode(e) && (segment->attributes & SEGMENT_L);

	if (wide ? !is_canonical(e->setup.page, offset) : offset > segment->limit)
		return fail_fault_error(e, VECTOR_GP, 0);
	return true;
}

bool execute_far(struct emulate *e)
{
	struct luv_vcpu_page *page = e->setup.page;
	struct luv_segment segment;
	uint64_t offset, selector;

	if (!far_pointer(e, 0, &offset, &selector) || !code_segment(e, selector, &segment) ||
	    !offset_allowed(e, &segment, offset))
		return false;
	if (e->insn->operation && !stack_push_far(e))
		return false;
	page->segment[LUV_CS] = segment;
	page->dirty |= LUV_GROUP_SEGMENTS;
	e->branch = true;
	e->target = offset;
	return true;
}

/* --- system segments --- */

static bool system_allowed(struct emulate *e, const struct descriptor *descriptor, bool task)
{
	unsigned type = type_of(descriptor);
	uint64_t selector = descriptor->segment.selector;
	bool right = task ? type == TYPE_TSS || (type == TYPE_TSS_16 && !long_mode(e))
			  : type == TYPE_LDT;

	/* In long mode the upper half has a type, too: 0. */
	if (!right || (descriptor->segment.attributes & SEGMENT_S) ||
	    (descriptor->words[1] >> 40 & 31))
		return fault(e, VECTOR_GP, selector);
	return descriptor->segment.attributes & SEGMENT_P || fault(e, VECTOR_NP, selector);
}

/* LTR (operation 1) and LLDT. */
bool execute_load_system(struct emulate *e)
{
	struct luv_vcpu_page *page = e->setup.page;
	bool task = e->insn->operation;
	struct descriptor descriptor;
	uint64_t selector;

	if (!has_descriptors(page))
		return fail_fault(e, VECTOR_UD);
	if (current_privilege(page))
		return fail_fault_error(e, VECTOR_GP, 0);
	if (!operand_read(e, 0, &selector))
		return false;
	if (is_null(selector)) {
		struct luv_segment nothing = {.selector = selector};

		return task ? fail_fault_error(e, VECTOR_GP, 0) : set(e, LUV_LDTR, &nothing);
	}
	if (selector & SELECTOR_LOCAL)
		return fault(e, VECTOR_GP, selector);
	if (!fetch(e, selector, long_mode(e) ? 16 : 8, &descriptor) ||
	    !system_allowed(e, &descriptor, task))
		return false;
	descriptor.segment.base |= descriptor.words[1] << 32;
	if (!is_canonical(page, descriptor.segment.base) && long_mode(e))
		return fault(e, VECTOR_GP, selector);
	if (task && !mark(e, &descriptor, TYPE_BUSY))
		return false;
	return set(e, task ? LUV_TR : LUV_LDTR, &descriptor.segment);
}

/* SLDT, STR; operation: enum luv_segment_name */
bool execute_store_system(struct emulate *e)
{
	const struct luv_vcpu_page *page = e->setup.page;

	if (!has_descriptors(page))
		return fail_fault(e, VECTOR_UD);
	if ((page->cr4 & CR4_UMIP) && current_privilege(page))
		return fail_fault_error(e, VECTOR_GP, 0);
	return operand_write(e, 0, page->segment[e->insn->operation].selector);
}
