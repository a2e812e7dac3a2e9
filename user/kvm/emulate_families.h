/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The families of instructions: each has a function that executes e->insn and, where several
 * instructions share it, an operation that tells them apart. Internal to user/kvm/emulate*.c.
 *
 * They return false with nothing changed (emulate_state.h), or true: done, but for RIP and what
 * follows every instruction. emulate_table.c says which mnemonic is whose.
 */
#ifndef KVM_EMULATE_FAMILIES_H
#define KVM_EMULATE_FAMILIES_H

#include "kvm/emulate_alu.h"
#include "kvm/emulate_state.h"

/* emulate_general.c */
enum general_bit { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

bool execute_mov(struct emulate *e);
bool execute_movzx(struct emulate *e);
bool execute_movsx(struct emulate *e);
bool execute_movbe(struct emulate *e);
bool execute_cmov(struct emulate *e);	      /* operation: condition */
bool execute_set(struct emulate *e);	      /* operation: condition */
bool execute_binary(struct emulate *e);	      /* enum alu_binary */
bool execute_unary(struct emulate *e);	      /* enum alu_unary */
bool execute_shift(struct emulate *e);	      /* enum alu_shift */
bool execute_shift_double(struct emulate *e); /* 1: left */
bool execute_scan(struct emulate *e);	      /* enum alu_scan */
bool execute_bit(struct emulate *e);	      /* enum general_bit */
bool execute_multiply(struct emulate *e);     /* 1: signed */
bool execute_divide(struct emulate *e);	      /* 1: signed */
bool execute_xchg(struct emulate *e);
bool execute_xadd(struct emulate *e);
bool execute_cmpxchg(struct emulate *e);
bool execute_cmpxchg_pair(struct emulate *e); /* CMPXCHG8B, CMPXCHG16B */
bool execute_smsw(struct emulate *e);
bool execute_nothing(struct emulate *e); /* hints that touch no memory that could answer */

/* emulate_stack.c */
bool execute_push(struct emulate *e);
bool execute_pop(struct emulate *e);
bool execute_push_all(struct emulate *e);
bool execute_pop_all(struct emulate *e);
bool execute_push_flags(struct emulate *e);
bool execute_pop_flags(struct emulate *e);
bool execute_enter(struct emulate *e);
bool execute_leave(struct emulate *e);
bool execute_jump(struct emulate *e);
bool execute_call(struct emulate *e);
bool execute_return(struct emulate *e);

/* CS and RIP, for a far CALL. */
bool stack_push_far(struct emulate *e);

/* emulate_segment.c */
bool execute_load_segment(struct emulate *e, uint64_t selector); /* MOV and POP to operand 0 */
bool execute_load_far(struct emulate *e);			 /* enum luv_segment_name */
bool execute_far(struct emulate *e);				 /* JMP; 1: CALL */
bool execute_load_system(struct emulate *e);			 /* LLDT; 1: LTR */
bool execute_store_system(struct emulate *e);			 /* enum luv_segment_name */

/* emulate_string.c */
enum string_operation { STRING_MOVS, STRING_STOS, STRING_LODS, STRING_CMPS, STRING_SCAS };

bool execute_string(struct emulate *e);
bool execute_xlat(struct emulate *e);
bool execute_in_string(struct emulate *e);  /* emulate_string_io only */
bool execute_out_string(struct emulate *e); /* emulate_string_io only */
/* INS and OUTS whose exit was another: their ports are for the CPU to check. */
bool execute_by_cpu(struct emulate *e);

/* emulate_vector.c */
enum vector_operation {
	VECTOR_WHOLE,	  /* all bytes of the operand */
	VECTOR_ALIGNED,	  /* so, and #GP unless aligned */
	VECTOR_LOW,	  /* the operand's bytes; a load clears the rest of the register */
	VECTOR_LOW_HALF,  /* bytes 7:0; a load keeps the rest */
	VECTOR_HIGH_HALF, /* bytes 15:8 */
};

bool execute_vector(struct emulate *e);

#endif
