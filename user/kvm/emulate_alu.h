/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arithmetic of the integer instructions with its flags (SDM 1 3.4.3.1 and volume 2). Pure.
 *
 * size is 1, 2, 4 or 8 bytes; operands and results are masked to it. *rflags keeps the bits
 * that the instruction does not define; those that it leaves undefined are kept or cleared.
 */
#ifndef KVM_EMULATE_ALU_H
#define KVM_EMULATE_ALU_H

#include <stdbool.h>
#include <stdint.h>

enum alu_binary {
	ALU_ADD,
	ALU_OR,
	ALU_ADC,
	ALU_SBB,
	ALU_AND,
	ALU_SUB,
	ALU_XOR,
	ALU_CMP,
	ALU_TEST
};
enum alu_unary { ALU_INC, ALU_DEC, ALU_NOT, ALU_NEG };
enum alu_shift { ALU_ROL, ALU_ROR, ALU_RCL, ALU_RCR, ALU_SHL, ALU_SHR, ALU_SAR };
enum alu_scan { ALU_BSF, ALU_BSR, ALU_TZCNT, ALU_LZCNT, ALU_POPCNT };

uint64_t alu_binary(enum alu_binary operation, unsigned size, uint64_t a, uint64_t b,
		    uint64_t *rflags);
uint64_t alu_unary(enum alu_unary operation, unsigned size, uint64_t a, uint64_t *rflags);
uint64_t alu_shift(enum alu_shift operation, unsigned size, uint64_t a, unsigned count,
		   uint64_t *rflags);
/* SHLD (left) and SHRD: a takes its new bits from b. */
uint64_t alu_shift_double(bool left, unsigned size, uint64_t a, uint64_t b, unsigned count,
			  uint64_t *rflags);
/* BSF and BSR with a = 0 give `old`. */
uint64_t alu_scan(enum alu_scan operation, unsigned size, uint64_t a, uint64_t old,
		  uint64_t *rflags);

/* MUL, IMUL: the two halves of the product. */
void alu_multiply(bool is_signed, unsigned size, uint64_t a, uint64_t b, uint64_t *low,
		  uint64_t *high, uint64_t *rflags);
/* DIV, IDIV of high:low; false: #DE. */
bool alu_divide(bool is_signed, unsigned size, uint64_t high, uint64_t low, uint64_t divisor,
		uint64_t *quotient, uint64_t *remainder);

/* The condition of Jcc, SETcc, CMOVcc: the low four bits of their opcodes. */
bool alu_condition(unsigned condition, uint64_t rflags);

#endif
