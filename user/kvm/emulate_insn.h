/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A decoded instruction, as the emulator keeps it: what Zydis says, in 128 bytes, found again
 * by the instruction's bytes.
 */
#ifndef KVM_EMULATE_INSN_H
#define KVM_EMULATE_INSN_H

#include <stdbool.h>
#include <stdint.h>

#define EMULATE_INSN_MAX   15u /* bytes: SDM 2A 2.3.11 */
#define EMULATE_CACHE_SIZE 64u /* a power of two */
#define EMULATE_OPERANDS   4u

struct emulate;

enum emulate_operand_kind {
	EMULATE_NONE,
	EMULATE_GENERAL,   /* reg: enum luv_general */
	EMULATE_HIGH_BYTE, /* AH, CH, DH, BH: reg 0-3 */
	EMULATE_MEMORY,
	EMULATE_IMMEDIATE,
	EMULATE_SEGMENT, /* reg: enum luv_segment_name */
	EMULATE_VECTOR,	 /* XMM, YMM */
	EMULATE_MMX,
};

struct emulate_operand {
	uint8_t kind;
	uint8_t reg;
	uint8_t size;	 /* bytes */
	uint8_t written; /* 1: the instruction may write it */
};

#define EMULATE_LOCKED	(1u << 0) /* LOCK, or XCHG with memory */
#define EMULATE_REP	(1u << 1) /* REP, REPE */
#define EMULATE_REPNE	(1u << 2)
#define EMULATE_VEX	(1u << 3)
#define EMULATE_ONE_MEM (1u << 4) /* the memory operand is the only memory that it touches */

#define EMULATE_PLAIN	(1u << 5) /* emulate_plain */

#define EMULATE_NO_REG	0xffu
#define EMULATE_RIP	16u /* as base */

struct emulate_insn {
	/* Found by: the bytes (those outside mask do not belong to it) and the mode. */
	uint64_t bytes[2], mask[2];
	uint8_t mode;	/* bits of the code segment: 16, 32, 64; 0: the entry is empty */
	uint8_t length; /* bytes */

	uint8_t flags;	      /* EMULATE_ above */
	uint8_t operation;    /* of execute's family */
	uint8_t operand_size; /* bytes */
	uint8_t address_size; /* bytes */
	uint8_t stack_size;   /* bytes: what PUSH moves */
	uint8_t segment;      /* of the memory operand; enum luv_segment_name */
	uint8_t base, index;  /* enum luv_general, EMULATE_NO_REG, EMULATE_RIP */
	uint8_t scale;	      /* 1, 2, 4, 8 */
	struct emulate_operand operand[EMULATE_OPERANDS];
	uint64_t displacement;
	uint8_t immediate_2; /* ENTER's nesting level */
	uint64_t immediate;  /* sign-extended where the instruction does so */

	/* False: emulate.result says why; nothing has changed. */
	bool (*execute)(struct emulate *emulate);
};

#endif
