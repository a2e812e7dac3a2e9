/* SPDX-License-Identifier: BSD-2-Clause */
/* Finishing an intercepted instruction as the CPU would have. */
#ifndef EXIT_INSTRUCTION_H
#define EXIT_INSTRUCTION_H

#include "vm/vcpu.h"

/*
 * Makes vcpu->exit.length the length of the instruction that exited: from the CPU where it says, else by
 * finding `opcode` in the guest's code. False when the code cannot be read or has changed
 * meanwhile: the handler then does nothing, and the guest executes whatever is there now.
 */
bool instruction_measure(struct vcpu *vcpu, const u8 *opcode, unsigned opcode_size);

/* Steps over the instruction: RIP, RF and interrupt shadow cleared, #DB if TF is set. */
void instruction_retire(struct vcpu *vcpu);

#endif
