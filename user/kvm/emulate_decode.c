/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/emulate_decode.h"

#include <string.h>

#include "kvm/emulate_families.h"
#include "kvm/emulate_memory.h"

/* As the cache's key: code that may not use descriptors decodes some opcodes differently. */
#define MODE_REAL 8u

struct decoded {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
};

/* --- Zydis's words to ours --- */

static bool in_class(ZydisRegister reg, ZydisRegister first, ZydisRegister last)
{
	return reg >= first && reg <= last;
}

/* enum luv_general, or EMULATE_NO_REG. */
static uint8_t general_number(ZydisRegister reg)
{
	if (in_class(reg, ZYDIS_REGISTER_RAX, ZYDIS_REGISTER_R15))
		return (uint8_t)(reg - ZYDIS_REGISTER_RAX);
	if (in_class(reg, ZYDIS_REGISTER_EAX, ZYDIS_REGISTER_R15D))
		return (uint8_t)(reg - ZYDIS_REGISTER_EAX);
	if (in_class(reg, ZYDIS_REGISTER_AX, ZYDIS_REGISTER_R15W))
		return (uint8_t)(reg - ZYDIS_REGISTER_AX);
	if (in_class(reg, ZYDIS_REGISTER_AL, ZYDIS_REGISTER_BL))
		return (uint8_t)(reg - ZYDIS_REGISTER_AL);
	/* SPL, BPL, SIL, DIL, R8B to R15B */
	if (in_class(reg, ZYDIS_REGISTER_SPL, ZYDIS_REGISTER_R15B))
		return (uint8_t)(LUV_RSP + reg - ZYDIS_REGISTER_SPL);
	return EMULATE_NO_REG;
}

static uint8_t segment_number(ZydisRegister reg)
{
	/* Zydis has the encoding's order, as luvalley/vcpu.h. */
	if (in_class(reg, ZYDIS_REGISTER_ES, ZYDIS_REGISTER_GS))
		return (uint8_t)(reg - ZYDIS_REGISTER_ES);
	return LUV_DS;
}

static struct emulate_operand register_operand(ZydisRegister reg)
{
	uint8_t number = general_number(reg);

	if (number != EMULATE_NO_REG)
		return (struct emulate_operand){.kind = EMULATE_GENERAL, .reg = number};
	if (in_class(reg, ZYDIS_REGISTER_AH, ZYDIS_REGISTER_BH))
		return (struct emulate_operand){.kind = EMULATE_HIGH_BYTE,
						.reg = (uint8_t)(reg - ZYDIS_REGISTER_AH)};
	if (in_class(reg, ZYDIS_REGISTER_ES, ZYDIS_REGISTER_GS))
		return (struct emulate_operand){.kind = EMULATE_SEGMENT,
						.reg = segment_number(reg)};
	if (in_class(reg, ZYDIS_REGISTER_XMM0, ZYDIS_REGISTER_XMM15))
		return (struct emulate_operand){.kind = EMULATE_VECTOR,
						.reg = (uint8_t)(reg - ZYDIS_REGISTER_XMM0)};
	if (in_class(reg, ZYDIS_REGISTER_YMM0, ZYDIS_REGISTER_YMM15))
		return (struct emulate_operand){.kind = EMULATE_VECTOR,
						.reg = (uint8_t)(reg - ZYDIS_REGISTER_YMM0)};
	if (in_class(reg, ZYDIS_REGISTER_MM0, ZYDIS_REGISTER_MM7))
		return (struct emulate_operand){.kind = EMULATE_MMX,
						.reg = (uint8_t)(reg - ZYDIS_REGISTER_MM0)};
	return (struct emulate_operand){.kind = EMULATE_NONE};
}

static void take_memory(struct emulate_insn *to, const ZydisDecodedOperand *from)
{
	to->segment = segment_number(from->mem.segment);
	to->base = general_number(from->mem.base);
	if (from->mem.base == ZYDIS_REGISTER_RIP || from->mem.base == ZYDIS_REGISTER_EIP)
		to->base = EMULATE_RIP;
	to->index = general_number(from->mem.index);
	to->scale = from->mem.scale;
	if (from->mem.disp.has_displacement)
		to->displacement = (uint64_t)from->mem.disp.value;
	/* 64-bit mode ignores other overrides (SDM 1 3.3.7.1). */
	if (to->mode == 64 && to->segment != LUV_FS && to->segment != LUV_GS)
		to->segment = to->base == LUV_RSP || to->base == LUV_RBP ? LUV_SS : LUV_DS;
}

static bool take_operand(struct emulate_insn *to, unsigned number,
			 const ZydisDecodedOperand *from)
{
	struct emulate_operand *operand = &to->operand[number];

	switch (from->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		*operand = register_operand(from->reg.value);
		break;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		operand->kind = EMULATE_IMMEDIATE;
		if (number && to->operand[number - 1].kind == EMULATE_IMMEDIATE)
			to->immediate_2 = (uint8_t)from->imm.value.u;
		else
			to->immediate = from->imm.value.u;
		break;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		if (from->mem.type != ZYDIS_MEMOP_TYPE_MEM)
			return false;
		operand->kind = EMULATE_MEMORY;
		take_memory(to, from);
		break;
	default:
		return false;
	}
	operand->size = (uint8_t)(from->size / 8);
	operand->written = !!(from->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE);
	return operand->kind != EMULATE_NONE;
}

/* The last one counts; string instructions take F2 for REP where it means nothing else. */
static uint8_t repeat_flag(const ZydisDecodedInstruction *insn)
{
	for (unsigned i = insn->raw.prefix_count; i-- > 0;) {
		if (insn->raw.prefixes[i].value == 0xf3)
			return EMULATE_REP;
		if (insn->raw.prefixes[i].value == 0xf2)
			return EMULATE_REPNE;
	}
	return 0;
}

/* String instructions have no visible operands: their source can have a segment override. */
static uint8_t string_segment(const ZydisDecodedInstruction *insn, unsigned mode)
{
	static const struct {
		uint64_t attribute;
		uint8_t segment;
	} overrides[] = {
	    {ZYDIS_ATTRIB_HAS_SEGMENT_FS, LUV_FS}, {ZYDIS_ATTRIB_HAS_SEGMENT_GS, LUV_GS},
	    {ZYDIS_ATTRIB_HAS_SEGMENT_ES, LUV_ES}, {ZYDIS_ATTRIB_HAS_SEGMENT_CS, LUV_CS},
	    {ZYDIS_ATTRIB_HAS_SEGMENT_SS, LUV_SS},
	};

	for (unsigned i = 0; i < (mode == 64 ? 2 : sizeof(overrides) / sizeof(overrides[0]));
	     i++)
		if (insn->attributes & overrides[i].attribute)
			return overrides[i].segment;
	return LUV_DS;
}

/* A register, or an immediate, to memory; or memory to a register. */
static bool is_plain(const struct emulate_insn *insn)
{
	const struct emulate_operand *to = &insn->operand[0], *from = &insn->operand[1];

	if (insn->mode != 64 || insn->flags & EMULATE_LOCKED || insn->segment == LUV_FS ||
	    insn->segment == LUV_GS)
		return false;
	if (insn->execute == execute_mov && to->kind == EMULATE_MEMORY)
		return from->kind == EMULATE_GENERAL || from->kind == EMULATE_IMMEDIATE;
	return (insn->execute == execute_mov || insn->execute == execute_movzx) &&
	       to->kind == EMULATE_GENERAL && from->kind == EMULATE_MEMORY;
}

/* False: nothing of ours. */
static bool convert(struct emulate_insn *to, const struct decoded *from)
{
	const ZydisDecodedInstruction *insn = &from->insn;
	bool string = insn->meta.category == ZYDIS_CATEGORY_STRINGOP ||
		      insn->meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
	bool is_far = insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
	const struct emulate_row *row =
	    is_far ? emulate_far_row(insn->mnemonic) : emulate_row(insn->mnemonic, string);

	if (!row->execute || insn->operand_count_visible > EMULATE_OPERANDS ||
	    (insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	     insn->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX))
		return false;
	to->length = insn->length;
	to->execute = row->execute;
	to->operation = row->operation;
	to->operand_size = insn->operand_width / 8;
	to->address_size = insn->address_width / 8;
	to->base = to->index = EMULATE_NO_REG;
	to->segment = string_segment(insn, to->mode);
	to->flags = row->flags & ROW_MORE ? 0 : EMULATE_ONE_MEM;
	if (string) {
		to->flags |= repeat_flag(insn);
		return true;
	}
	if (insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
		to->flags |= EMULATE_VEX;
	if (insn->attributes & ZYDIS_ATTRIB_HAS_LOCK)
		to->flags |= EMULATE_LOCKED;
	for (unsigned i = 0; i < insn->operand_count_visible; i++)
		if (!take_operand(to, i, &from->operand[i]))
			return false;
	if (insn->mnemonic == ZYDIS_MNEMONIC_XCHG && to->operand[0].kind == EMULATE_MEMORY)
		to->flags |= EMULATE_LOCKED;
	if (is_plain(to))
		to->flags |= EMULATE_PLAIN;
	return true;
}

/* --- decoding --- */

static void decoder_for(ZydisDecoder *decoder, unsigned mode)
{
	switch (mode) {
	case 64:
		ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
		break;
	case 32:
		ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
		break;
	case 16:
		ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
		break;
	default:
		ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16);
	}
}

static bool refuse(struct emulate *e, ZyanStatus status)
{
	switch (status) {
	case ZYDIS_STATUS_INSTRUCTION_TOO_LONG:
		return fail_fault_error(e, VECTOR_GP, 0);
	case ZYDIS_STATUS_ILLEGAL_LOCK:
	case ZYDIS_STATUS_BAD_REGISTER:
	case ZYDIS_STATUS_ILLEGAL_LEGACY_PFX:
	case ZYDIS_STATUS_ILLEGAL_REX:
		return fail_fault(e, VECTOR_UD);
	default:
		return fail_unknown(e);
	}
}

/* *count grows as more bytes are needed. */
static bool decode_bytes(struct emulate *e, unsigned mode, uint8_t *bytes, unsigned *count,
			 struct decoded *decoded)
{
	ZydisDecoderContext context;
	ZydisDecoder decoder;
	ZyanStatus status;

	decoder_for(&decoder, mode);
	for (;;) {
		unsigned more;

		status = ZydisDecoderDecodeInstruction(&decoder, &context, bytes, *count,
						       &decoded->insn);
		if (status != ZYDIS_STATUS_NO_MORE_DATA)
			break;
		if (*count == EMULATE_INSN_MAX)
			return refuse(e, ZYDIS_STATUS_INSTRUCTION_TOO_LONG);
		if (!memory_fetch(e, e->setup.page->rip + *count, bytes + *count,
				  EMULATE_INSN_MAX - *count, &more))
			return false;
		*count += more;
	}
	if (ZYAN_SUCCESS(status))
		status = ZydisDecoderDecodeOperands(&decoder, &context, &decoded->insn,
						    decoded->operand,
						    decoded->insn.operand_count_visible);
	return ZYAN_SUCCESS(status) || refuse(e, status);
}

static void make_key(struct emulate_insn *insn, const uint8_t *bytes)
{
	uint8_t mask[16] = {0}, key[16] = {0};

	memset(mask, 0xff, insn->length);
	memcpy(key, bytes, insn->length);
	memcpy(insn->mask, mask, sizeof(mask));
	memcpy(insn->bytes, key, sizeof(key));
}

static bool matches(const struct emulate_insn *insn, unsigned mode, const uint64_t words[2],
		    unsigned count)
{
	return insn->mode == mode && insn->length <= count &&
	       (words[0] & insn->mask[0]) == insn->bytes[0] &&
	       (words[1] & insn->mask[1]) == insn->bytes[1];
}

static bool decode_new(struct emulate *e, struct emulate_insn *entry, unsigned mode,
		       uint8_t *bytes, unsigned count)
{
	struct decoded decoded;

	if (!decode_bytes(e, mode, bytes, &count, &decoded))
		return false;
	memset(entry, 0, sizeof(*entry));
	entry->mode = (uint8_t)mode;
	if (!convert(entry, &decoded)) {
		entry->mode = 0;
		return fail_unknown(e);
	}
	make_key(entry, bytes);
	return true;
}

static unsigned cache_index(const struct emulate *e)
{
	uint64_t rip = e->setup.page->rip;

	return (rip ^ rip >> 6) % EMULATE_CACHE_SIZE;
}

const struct emulate_insn *emulate_known(const struct emulate *e, const uint8_t *bytes,
					 unsigned count)
{
	const struct emulate_insn *entry = &e->cache[cache_index(e)];
	uint64_t words[2];

	memcpy(words, bytes, sizeof(words));
	return matches(entry, 64, words, count) ? entry : NULL;
}

bool emulate_decode(struct emulate *e, const uint8_t *from, unsigned count)
{
	const struct luv_vcpu_page *page = e->setup.page;
	unsigned mode = has_descriptors(page) ? code_bits(page) : MODE_REAL;
	struct emulate_insn *entry = &e->cache[cache_index(e)];
	uint8_t bytes[16] = {0};
	uint64_t words[2];

	count = count < EMULATE_INSN_MAX ? count : EMULATE_INSN_MAX;
	memcpy(words, from, sizeof(words));
	if (!matches(entry, mode, words, count)) {
		memcpy(bytes, from, count);
		if (!decode_new(e, entry, mode, bytes, count))
			return false;
	}
	e->insn = entry;
	return true;
}
