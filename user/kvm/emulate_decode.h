/* SPDX-License-Identifier: BSD-2-Clause */
/* From the bytes of an instruction to struct emulate_insn. Internal to user/kvm/emulate*.c. */
#ifndef KVM_EMULATE_DECODE_H
#define KVM_EMULATE_DECODE_H

#include <Zydis/Zydis.h>

#include "kvm/emulate_state.h"

/* Who executes a mnemonic; execute is NULL where nobody does. */
struct emulate_row {
	bool (*execute)(struct emulate *e);
	uint8_t operation;
	uint8_t flags; /* ROW_ */
};

#define ROW_MORE (1u << 0) /* touches memory besides its memory operand */

/* string: MOVSD and CMPSD are also SSE's names. */
const struct emulate_row *emulate_row(ZydisMnemonic mnemonic, bool string);

/* Far branches have the near ones' mnemonics. */
const struct emulate_row *emulate_far_row(ZydisMnemonic mnemonic);

/*
 * The instruction at RIP into e->insn. count of its bytes are known; more are read from the
 * guest's memory where they are needed.
 */
bool emulate_decode(struct emulate *e, const uint8_t *bytes, unsigned count);

/* The same of 64-bit code, if it was decoded before; else NULL. Needs no register but RIP. */
const struct emulate_insn *emulate_known(const struct emulate *e, const uint8_t *bytes,
					 unsigned count);

#endif
