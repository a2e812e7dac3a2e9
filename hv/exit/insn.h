/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The length of an intercepted instruction, for CPUs that do not report the next RIP (APM
 * 2 15.7.1; QEMU's TCG). Pure.
 */
#ifndef EXIT_INSN_H
#define EXIT_INSN_H

#include "lib/types.h"

#define INSN_MAX 15 /* APM 3 1.1: no instruction is longer */

/*
 * The length of the instruction in bytes[0..count) when, behind any legacy prefixes and (in
 * 64-bit mode) at most one REX prefix directly before the opcode, it is `opcode` (opcode_size >
 * 0 bytes, the first no prefix); 0 when it is not, or is cut off by count or the 15-byte limit.
 */
unsigned insn_length(const u8 *bytes, unsigned count, bool long_mode, const u8 *opcode,
		     unsigned opcode_size);

/*
 * The length of MOV to a control register (0F 22; CR8 also as CR0 with LOCK: APM 3 MOV CRn), in *cr its number and
 * in *gpr that of the register that it moves; 0 when the bytes are something else.
 */
unsigned insn_mov_to_cr(const u8 *bytes, unsigned count, bool long_mode, u8 *cr, u8 *gpr);

struct insn_prefixes {
	u8 segment;	     /* ES CS SS DS FS GS as 0-5; INSN_NO_SEGMENT without an override */
	bool address_size; /* 67h: the other address size */
};

#define INSN_NO_SEGMENT 0xffu

/* The prefixes that say what memory an instruction's operand means; the last of each kind counts. */
void insn_prefixes(const u8 *bytes, unsigned count, struct insn_prefixes *prefixes);

#endif
