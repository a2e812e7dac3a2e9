/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/emulate_alu.h"

#include "kvm/emulate_state.h"

__extension__ typedef unsigned __int128 wide;

static void set_flags(uint64_t *rflags, uint64_t mask, uint64_t flags)
{
	*rflags = (*rflags & ~mask) | (flags & mask);
}

static uint64_t flag_if(uint64_t flag, bool condition)
{
	return condition ? flag : 0;
}

/* SF, ZF, PF. */
static uint64_t result_flags(unsigned size, uint64_t result)
{
	return flag_if(RFLAGS_SF, result & sign_bit(size)) |
	       flag_if(RFLAGS_ZF, (result & size_mask(size)) == 0) |
	       flag_if(RFLAGS_PF, !__builtin_parity(result & 0xff));
}

static uint64_t add(unsigned size, uint64_t a, uint64_t b, uint64_t carry, uint64_t *rflags)
{
	uint64_t result = a + b + carry;
	uint64_t carries = (a & b) | ((a | b) & ~result);
	uint64_t overflows = (a ^ result) & (b ^ result);

	set_flags(rflags, RFLAGS_STATUS,
		  result_flags(size, result) | flag_if(RFLAGS_CF, carries & sign_bit(size)) |
		      flag_if(RFLAGS_OF, overflows & sign_bit(size)) |
		      ((a ^ b ^ result) & RFLAGS_AF));
	return result & size_mask(size);
}

static uint64_t subtract(unsigned size, uint64_t a, uint64_t b, uint64_t borrow,
			 uint64_t *rflags)
{
	uint64_t result = a - b - borrow;
	uint64_t borrows = (~a & b) | ((~a | b) & result);
	uint64_t overflows = (a ^ b) & (a ^ result);

	set_flags(rflags, RFLAGS_STATUS,
		  result_flags(size, result) | flag_if(RFLAGS_CF, borrows & sign_bit(size)) |
		      flag_if(RFLAGS_OF, overflows & sign_bit(size)) |
		      ((a ^ b ^ result) & RFLAGS_AF));
	return result & size_mask(size);
}

static uint64_t logic(unsigned size, uint64_t result, uint64_t *rflags)
{
	result &= size_mask(size);
	set_flags(rflags, RFLAGS_STATUS, result_flags(size, result));
	return result;
}

uint64_t alu_binary(enum alu_binary operation, unsigned size, uint64_t a, uint64_t b,
		    uint64_t *rflags)
{
	uint64_t carry = *rflags & RFLAGS_CF;

	a &= size_mask(size);
	b &= size_mask(size);
	switch (operation) {
	case ALU_ADD:
		return add(size, a, b, 0, rflags);
	case ALU_ADC:
		return add(size, a, b, carry, rflags);
	case ALU_SUB:
	case ALU_CMP:
		return subtract(size, a, b, 0, rflags);
	case ALU_SBB:
		return subtract(size, a, b, carry, rflags);
	case ALU_OR:
		return logic(size, a | b, rflags);
	case ALU_XOR:
		return logic(size, a ^ b, rflags);
	case ALU_AND:
	case ALU_TEST:
		break;
	}
	return logic(size, a & b, rflags);
}

uint64_t alu_unary(enum alu_unary operation, unsigned size, uint64_t a, uint64_t *rflags)
{
	uint64_t carry = *rflags & RFLAGS_CF;
	uint64_t result;

	a &= size_mask(size);
	switch (operation) {
	case ALU_INC:
		result = add(size, a, 1, 0, rflags);
		set_flags(rflags, RFLAGS_CF, carry);
		return result;
	case ALU_DEC:
		result = subtract(size, a, 1, 0, rflags);
		set_flags(rflags, RFLAGS_CF, carry);
		return result;
	case ALU_NEG:
		return subtract(size, 0, a, 0, rflags);
	case ALU_NOT:
		break;
	}
	return ~a & size_mask(size);
}

/* --- shifts --- */

/* ROL, ROR: only CF and OF, and those also when the count is a multiple of the width. */
static uint64_t rotate(bool left, unsigned size, uint64_t a, unsigned count, uint64_t *rflags)
{
	unsigned bits = 8 * size, by = count % bits;
	uint64_t result = a;
	bool carry, top, below;

	if (by)
		result = left ? a << by | a >> (bits - by) : a >> by | a << (bits - by);
	result &= size_mask(size);
	top = result & sign_bit(size);
	below = result & sign_bit(size) >> 1;
	carry = left ? result & 1 : top;
	set_flags(rflags, RFLAGS_CF | RFLAGS_OF,
		  flag_if(RFLAGS_CF, carry) |
		      flag_if(RFLAGS_OF, left ? top != carry : top != below));
	return result;
}

/* RCL, RCR: through CF, a bit wider than the operand. */
static uint64_t rotate_carry(bool left, unsigned size, uint64_t a, unsigned count,
			     uint64_t *rflags)
{
	unsigned bits = 8 * size;
	bool carry = *rflags & RFLAGS_CF, out, top;

	for (count %= bits + 1; count; count--) {
		if (left) {
			out = a & sign_bit(size);
			a = (a << 1 | carry) & size_mask(size);
		} else {
			out = a & 1;
			a = a >> 1 | flag_if(sign_bit(size), carry);
		}
		carry = out;
	}
	top = a & sign_bit(size);
	set_flags(
	    rflags, RFLAGS_CF | RFLAGS_OF,
	    flag_if(RFLAGS_CF, carry) |
		flag_if(RFLAGS_OF, left ? top != carry : top != !!(a & sign_bit(size) >> 1)));
	return a;
}

/* SHL, SHR, SAR by 1 to 63; more than the width shifts everything out. */
static uint64_t shift(enum alu_shift operation, unsigned size, uint64_t a, unsigned count,
		      uint64_t *rflags)
{
	uint64_t result, last; /* last: before the last step */
	bool carry, overflow;

	if (operation == ALU_SHL) {
		last = a << (count - 1);
		result = last << 1;
		carry = last & sign_bit(size);
		overflow = !!(result & sign_bit(size)) != carry;
	} else {
		if (operation == ALU_SAR)
			a = sign_extend(a, size);
		last = operation == ALU_SAR ? (uint64_t)((int64_t)a >> (count - 1))
					    : a >> (count - 1);
		result = operation == ALU_SAR ? (uint64_t)((int64_t)last >> 1) : last >> 1;
		carry = last & 1;
		overflow = operation == ALU_SHR && (a & sign_bit(size));
	}
	set_flags(rflags, RFLAGS_STATUS,
		  result_flags(size, result) | flag_if(RFLAGS_CF, carry) |
		      flag_if(RFLAGS_OF, overflow));
	return result & size_mask(size);
}

uint64_t alu_shift(enum alu_shift operation, unsigned size, uint64_t a, unsigned count,
		   uint64_t *rflags)
{
	a &= size_mask(size);
	count &= size == 8 ? 63 : 31;
	if (!count)
		return a;
	switch (operation) {
	case ALU_ROL:
	case ALU_ROR:
		return rotate(operation == ALU_ROL, size, a, count, rflags);
	case ALU_RCL:
	case ALU_RCR:
		return rotate_carry(operation == ALU_RCL, size, a, count, rflags);
	default:
		return shift(operation, size, a, count, rflags);
	}
}

uint64_t alu_shift_double(bool left, unsigned size, uint64_t a, uint64_t b, unsigned count,
			  uint64_t *rflags)
{
	unsigned bits = 8 * size;
	uint64_t result;
	bool carry;

	a &= size_mask(size);
	b &= size_mask(size);
	count &= size == 8 ? 63 : 31;
	if (!count)
		return a;
	if (count > bits) /* 16 bits only; the result is undefined */
		count -= bits;
	if (left) {
		result = count == bits ? b : a << count | b >> (bits - count);
		carry = a >> (bits - count) & 1;
	} else {
		result = count == bits ? b : a >> count | b << (bits - count);
		carry = a >> (count - 1) & 1;
	}
	result &= size_mask(size);
	set_flags(rflags, RFLAGS_STATUS,
		  result_flags(size, result) | flag_if(RFLAGS_CF, carry) |
		      flag_if(RFLAGS_OF, (result ^ a) & sign_bit(size)));
	return result;
}

/* --- bits --- */

uint64_t alu_scan(enum alu_scan operation, unsigned size, uint64_t a, uint64_t old,
		  uint64_t *rflags)
{
	unsigned bits = 8 * size;
	uint64_t result = bits;

	a &= size_mask(size);
	if (operation == ALU_POPCNT) {
		set_flags(rflags, RFLAGS_STATUS, flag_if(RFLAGS_ZF, !a));
		return (uint64_t)__builtin_popcountll(a);
	}
	if (operation == ALU_BSF || operation == ALU_BSR) {
		set_flags(rflags, RFLAGS_ZF, flag_if(RFLAGS_ZF, !a));
		if (!a)
			return old;
		return (uint64_t)(operation == ALU_BSF ? __builtin_ctzll(a)
						       : 63 - __builtin_clzll(a));
	}
	if (a && operation == ALU_TZCNT)
		result = (uint64_t)__builtin_ctzll(a);
	if (a && operation == ALU_LZCNT)
		result = (uint64_t)__builtin_clzll(a) - (64 - bits);
	set_flags(rflags, RFLAGS_ZF | RFLAGS_CF,
		  flag_if(RFLAGS_CF, !a) | flag_if(RFLAGS_ZF, !result));
	return result;
}

/* --- products and quotients --- */

void alu_multiply(bool is_signed, unsigned size, uint64_t a, uint64_t b, uint64_t *low,
		  uint64_t *high, uint64_t *rflags)
{
	wide product;
	bool fits;

	if (is_signed) {
		a = sign_extend(a, size);
		b = sign_extend(b, size);
		product = (wide)a * b;
		/* The upper half of a signed product from the unsigned one. */
		product -= (wide)(a >> 63 ? b : 0) << 64;
		product -= (wide)(b >> 63 ? a : 0) << 64;
	} else {
		product = (wide)(a & size_mask(size)) * (b & size_mask(size));
	}
	*low = (uint64_t)product & size_mask(size);
	*high = (uint64_t)(product >> (8 * size)) & size_mask(size);
	if (is_signed)
		fits = *high == (*low & sign_bit(size) ? size_mask(size) : 0);
	else
		fits = *high == 0;
	set_flags(rflags, RFLAGS_CF | RFLAGS_OF, fits ? 0 : RFLAGS_CF | RFLAGS_OF);
}

bool alu_divide(bool is_signed, unsigned size, uint64_t high, uint64_t low, uint64_t divisor,
		uint64_t *quotient, uint64_t *remainder)
{
	wide dividend = (wide)(high & size_mask(size)) << (8 * size) | (low & size_mask(size));
	wide result, limit = size_mask(size);
	bool negative = is_signed && (high & sign_bit(size));
	bool negative_divisor = is_signed && (divisor & sign_bit(size));

	divisor &= size_mask(size);
	if (!divisor)
		return false;
	if (negative)
		dividend = -dividend & ((wide)size_mask(size) << (8 * size) | size_mask(size));
	if (negative_divisor)
		divisor = -divisor & size_mask(size);
	result = dividend / divisor;
	if (is_signed)
		limit = sign_bit(size) - (negative == negative_divisor);
	if (result > limit)
		return false;
	*remainder = (uint64_t)(dividend % divisor);
	*quotient = (uint64_t)result;
	if (negative)
		*remainder = -*remainder;
	if (negative != negative_divisor)
		*quotient = -*quotient;
	*quotient &= size_mask(size);
	*remainder &= size_mask(size);
	return true;
}

bool alu_condition(unsigned condition, uint64_t rflags)
{
	bool sign = rflags & RFLAGS_SF, overflow = rflags & RFLAGS_OF, result;

	switch (condition >> 1 & 7) {
	case 0:
		result = overflow;
		break;
	case 1:
		result = rflags & RFLAGS_CF;
		break;
	case 2:
		result = rflags & RFLAGS_ZF;
		break;
	case 3:
		result = rflags & (RFLAGS_CF | RFLAGS_ZF);
		break;
	case 4:
		result = sign;
		break;
	case 5:
		result = rflags & RFLAGS_PF;
		break;
	case 6:
		result = sign != overflow;
		break;
	default:
		result = sign != overflow || (rflags & RFLAGS_ZF);
	}
	return result != (condition & 1);
}
