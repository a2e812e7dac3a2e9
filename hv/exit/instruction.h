/* SPDX-License-Identifier: BSD-2-Clause */
/* Finishing an intercepted instruction as the CPU would have. */
#ifndef EXIT_INSTRUCTION_H
#define EXIT_INSTRUCTION_H

#include "exit/mov.h"
#include "vm/vcpu.h"

/* Bytes as they lie in memory, the first the lowest; their number, 1 to 3, in bits 31:24. */
#define OPCODE_HLT     0x010000f4u
#define OPCODE_INVD    0x0200080fu
#define OPCODE_WBINVD  0x0200090fu
#define OPCODE_WRMSR   0x0200300fu
#define OPCODE_RDMSR   0x0200320fu
#define OPCODE_CPUID   0x0200a20fu
#define OPCODE_XSETBV  0x03d1010fu
#define OPCODE_VMMCALL 0x03d9010fu

/* For instruction_known, where the CPU does not say; `mask` has the opcode's bytes set. */
bool instruction_measure(struct vcpu *vcpu, u32 opcode, u32 mask);

/*
 * Makes vcpu->exit.length the length of the instruction that exited: from the CPU where it says, else by
 * finding the opcode in the guest's code. False when the code cannot be read or has changed
 * meanwhile: the handler then does nothing, and the guest executes whatever is there now.
 */
static inline bool instruction_known(struct vcpu *vcpu, u32 opcode)
{
	return vcpu->exit.length || instruction_measure(vcpu, opcode, UINT32_MAX >> (32 - 8 * (opcode >> 24)));
}

/* In which mode the instruction was decoded. */
enum code_size instruction_code_size(struct vcpu *vcpu);

/* Steps over the instruction: RIP, RF and interrupt shadow cleared, #DB if TF is set. */
void instruction_retire(struct vcpu *vcpu);

#endif
