/* SPDX-License-Identifier: BSD-2-Clause */
#include "exit/mov.h"

#include "exit/insn.h"

#define REX_W		    BIT(3)
#define REX_R		    BIT(2)

#define OPCODE_MOV_MOFFS    0xa2 /* and A3 */
#define OPCODE_GROUP_1_IMM8 0x83

struct decoder {
	const u8 *bytes;
	unsigned count;
	unsigned at;
	enum code_size code;
	bool operand_size; /* prefix 66 */
	bool address_size; /* prefix 67 */
	bool lock;
	bool repeat; /* F2 or F3 */
	u8 rex;	     /* 0 without one */
	u8 opcode;
};

/* What an opcode needs behind it. */
enum operands {
	OPERANDS_REG,	/* ModRM, a register */
	OPERANDS_IMM,	/* ModRM /0, an immediate */
	OPERANDS_GROUP, /* ModRM, whose reg field is the operation; an immediate */
	OPERANDS_MOFFS, /* an address, the accumulator */
};

static bool take(struct decoder *d, u8 *byte)
{
	if (d->at >= d->count)
		return false;
	*byte = d->bytes[d->at++];
	return true;
}

static bool skip(struct decoder *d, unsigned size)
{
	if (size > d->count - d->at)
		return false;
	d->at += size;
	return true;
}

/* APM 3 1.2: legacy prefixes in any order, then a REX prefix directly before the opcode. */
static bool take_opcode(struct decoder *d)
{
	while (take(d, &d->opcode)) {
		switch (d->opcode) {
		case 0x66:
			d->operand_size = true;
			break;
		case 0x67:
			d->address_size = true;
			break;
		case 0xf0:
			d->lock = true;
			break;
		case 0xf2:
		case 0xf3:
			d->repeat = true;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
			break; /* the address is known from the fault */
		default:
			if (d->code != CODE_64 || (d->opcode & 0xf0) != 0x40)
				return true;
			d->rex = d->opcode;
			return take(d, &d->opcode);
		}
	}
	return false;
}

/*
 * APM 3 appendix A: the operation in bits 5:3 of opcodes 00 to 3F, and of group 1's ModRM byte. ADC and SBB read
 * the carry, CMP does not write.
 */
static bool classify_operation(u8 operation, enum mov_kind *kind)
{
	static const u8 kinds[8] = {MOV_ADD, MOV_OR, 0, 0, MOV_AND, MOV_SUB, MOV_XOR, 0};

	*kind = (enum mov_kind)kinds[operation];
	return kinds[operation];
}

/* Even opcodes work on bytes; each odd one does the same on a word of the operand size. */
static bool classify(u8 opcode, enum mov_kind *kind, enum operands *operands)
{
	*kind = MOV_STORE;
	*operands = OPERANDS_REG;
	if (!(opcode & 0xc6))
		return classify_operation(opcode >> 3, kind);
	if (opcode == OPCODE_GROUP_1_IMM8) {
		*operands = OPERANDS_GROUP;
		return true;
	}
	switch (opcode & ~1u) {
	case 0x88:
		return true;
	case 0xc6:
		*operands = OPERANDS_IMM;
		return true;
	case OPCODE_MOV_MOFFS:
		*operands = OPERANDS_MOFFS;
		return true;
	case 0x80:
		*operands = OPERANDS_GROUP;
		return true;
	case 0x86:
		*kind = MOV_EXCHANGE;
		return true;
	default:
		return false;
	}
}

/*
 * LOCK before MOV is #UD. F2 and F3 are hints on stores, on XCHG and with LOCK (XACQUIRE,
 * XRELEASE, SDM 1 chapter 16), and reserved elsewhere.
 */
static bool prefixes_legal(const struct decoder *d, enum mov_kind kind, enum operands operands)
{
	if (kind == MOV_STORE)
		return !d->lock && !(d->repeat && operands == OPERANDS_MOFFS);
	return !d->repeat || d->lock || kind == MOV_EXCHANGE;
}

static unsigned operand_bytes(const struct decoder *d)
{
	if (!(d->opcode & 1))
		return 1;
	if (d->rex & REX_W)
		return 8;
	return (d->code == CODE_16) == d->operand_size ? 4 : 2;
}

static unsigned address_bytes(const struct decoder *d)
{
	if (d->code == CODE_64)
		return d->address_size ? 4 : 8;
	return (d->code == CODE_16) == d->address_size ? 4 : 2;
}

/* 16-bit addressing (APM 3 1.4): no SIB byte, a displacement by itself where rm is 6. */
static bool skip_address_16(struct decoder *d, u8 mod, u8 rm)
{
	if (mod == 1)
		return skip(d, 1);
	return skip(d, mod == 2 || rm == 6 ? 2 : 0);
}

/* SIB byte and displacement: APM 3 1.4. RIP-relative ones are as long. */
static bool skip_address(struct decoder *d, u8 mod, u8 rm)
{
	u8 base = rm;

	if (rm == 4) {
		if (!take(d, &base))
			return false;
		base &= 7;
	}
	if (mod == 1)
		return skip(d, 1);
	return skip(d, mod == 2 || base == 5 ? 4 : 0);
}

/* Takes the ModRM byte and what belongs to it; a register as the target is refused. */
static bool take_modrm(struct decoder *d, u8 *reg)
{
	u8 modrm;
	u8 mod, rm;

	if (!take(d, &modrm))
		return false;
	mod = modrm >> 6;
	rm = modrm & 7;
	*reg = modrm >> 3 & 7;
	if (mod == 3)
		return false;
	return address_bytes(d) == 2 ? skip_address_16(d, mod, rm) : skip_address(d, mod, rm);
}

static u64 truncate(u64 value, unsigned size)
{
	return size == 8 ? value : value & (BIT(8 * size) - 1);
}

static bool take_immediate(struct decoder *d, struct mov_insn *insn)
{
	unsigned size = d->opcode == OPCODE_GROUP_1_IMM8 ? 1 : insn->size;
	u64 value = 0;
	u64 sign;

	if (size == 8) /* APM 3 1.6: sign-extended from 32 bits */
		size = 4;
	for (unsigned i = 0; i < size; i++) {
		u8 byte;

		if (!take(d, &byte))
			return false;
		value |= (u64)byte << (8 * i);
	}
	sign = BIT(8 * size - 1);
	insn->immediate = true;
	insn->value = truncate((value ^ sign) - sign, insn->size);
	return true;
}

/* APM 3 1.2.7: with any REX prefix, byte registers 4-7 are SPL to DIL, else AH to BH. */
static void set_register(const struct decoder *d, u8 reg, struct mov_insn *insn)
{
	insn->high_byte = insn->size == 1 && !d->rex && reg >= 4;
	insn->reg = insn->high_byte ? reg - 4 : reg | (d->rex & REX_R ? 8 : 0);
}

static bool take_operands(struct decoder *d, enum operands operands, struct mov_insn *insn)
{
	u8 reg;

	if (operands == OPERANDS_MOFFS)
		return skip(d, address_bytes(d));
	if (!take_modrm(d, &reg))
		return false;
	if (operands == OPERANDS_REG) {
		set_register(d, reg, insn);
		return true;
	}
	if (operands == OPERANDS_GROUP ? !classify_operation(reg, &insn->kind) : reg != 0)
		return false;
	return take_immediate(d, insn);
}

bool mov_decode(const u8 *bytes, unsigned count, enum code_size code, struct mov_insn *insn)
{
	struct decoder d = {
	    .bytes = bytes,
	    .count = count < INSN_MAX ? count : INSN_MAX,
	    .code = code,
	};
	enum operands operands;

	*insn = (struct mov_insn){0};
	if (!take_opcode(&d) || !classify(d.opcode, &insn->kind, &operands))
		return false;
	insn->size = operand_bytes(&d);
	if (!take_operands(&d, operands, insn) || !prefixes_legal(&d, insn->kind, operands))
		return false;
	insn->length = d.at;
	return true;
}
