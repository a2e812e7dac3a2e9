/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bounded decoder for the store instructions that operating systems use on the xAPIC page,
 * a guest's or dom0's while it is write-protected: MOV r->m (88, 89), MOV imm->m (C6 /0, C7 /0), MOV
 * accumulator->moffs (A2, A3), XCHG (86, 87), and the read-modify-writes ADD/OR/AND/SUB/XOR m,r
 * and m,imm (00/01, 08/09, 20/21, 28/29, 30/31, 80/81/83). Everything else is refused. Pure.
 */
#ifndef EXIT_MOV_H
#define EXIT_MOV_H

#include "lib/types.h"

enum mov_kind {
	MOV_STORE,    /* memory = source */
	MOV_EXCHANGE, /* memory = source; the register gets what memory held */
	MOV_ADD,      /* memory = memory OP source; flags follow */
	MOV_OR,
	MOV_AND,
	MOV_SUB,
	MOV_XOR,
};

struct mov_insn {
	enum mov_kind kind;
	u8 length; /* of the whole instruction */
	u8 size;   /* of the memory operand: 1, 2, 4 or 8 */
	bool immediate;
	u64 value;	/* the immediate, sign-extended to size; 0 above it */
	u8 reg;		/* the register's number 0-15 (RAX RCX RDX RBX RSP RBP RSI RDI R8...) */
	bool high_byte; /* AH, CH, DH, BH: bits 15:8 of reg 0-3 */
};

enum code_size { /* bytes of an address, but for a prefix: 2 << this */
	CODE_16,
	CODE_32,
	CODE_64,
};

/*
 * False when the bytes are no such instruction (LOCK before MOV, which is #UD, and a register
 * as the target included), or are cut off by count or the 15-byte limit. What lies at the
 * address is the caller's to know: only the address's length is decoded.
 */
bool mov_decode(const u8 *bytes, unsigned count, enum code_size code, struct mov_insn *insn);

#endif
