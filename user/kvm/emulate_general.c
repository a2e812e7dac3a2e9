/* SPDX-License-Identifier: BSD-2-Clause */
/* Moves, arithmetic, bits, and the compare-and-exchange instructions. */
#include "kvm/emulate_alu.h"
#include "kvm/emulate_families.h"
#include "kvm/emulate_memory.h"

static unsigned operand_bytes(const struct emulate *e, unsigned number)
{
	return e->insn->operand[number].size;
}

static uint64_t *flags_of(struct emulate *e)
{
	return &e->setup.page->rflags;
}

/* --- moves --- */

bool execute_mov(struct emulate *e)
{
	uint64_t value;

	if (!operand_read(e, 1, &value))
		return false;
	if (e->insn->operand[0].kind == EMULATE_SEGMENT)
		return execute_load_segment(e, value);
	return operand_write(e, 0, value);
}

bool execute_movzx(struct emulate *e)
{
	return execute_mov(e);
}

bool execute_movsx(struct emulate *e)
{
	uint64_t value;

	return operand_read(e, 1, &value) &&
	       operand_write(e, 0, sign_extend(value, operand_bytes(e, 1)));
}

bool execute_movbe(struct emulate *e)
{
	unsigned size = operand_bytes(e, 0);
	uint64_t value;

	return operand_read(e, 1, &value) &&
	       operand_write(e, 0, __builtin_bswap64(value) >> (64 - 8 * size));
}

/* Memory is read and a 32-bit register's upper half cleared whatever the condition says. */
bool execute_cmov(struct emulate *e)
{
	uint64_t value, old;

	if (!operand_read(e, 1, &value) || !operand_read(e, 0, &old))
		return false;
	return operand_write(e, 0,
			     alu_condition(e->insn->operation, *flags_of(e)) ? value : old);
}

bool execute_set(struct emulate *e)
{
	return operand_write(e, 0, alu_condition(e->insn->operation, *flags_of(e)));
}

bool execute_smsw(struct emulate *e)
{
	const struct luv_vcpu_page *page = e->setup.page;

	if ((page->cr4 & CR4_UMIP) && current_privilege(page) > 0)
		return fail_fault_error(e, VECTOR_GP, 0);
	return operand_write(e, 0, page->cr0);
}

bool execute_nothing(struct emulate *e)
{
	(void)e;
	return true;
}

/* --- arithmetic --- */

bool execute_binary(struct emulate *e)
{
	unsigned operation = e->insn->operation;
	uint64_t flags = *flags_of(e), a, b, result;

	if (!operand_read(e, 1, &b) || !operand_read(e, 0, &a))
		return false;
	result = alu_binary(operation, operand_bytes(e, 0), a, b, &flags);
	if (operation != ALU_CMP && operation != ALU_TEST && !operand_write(e, 0, result))
		return false;
	*flags_of(e) = flags;
	return true;
}

bool execute_unary(struct emulate *e)
{
	uint64_t flags = *flags_of(e), a;

	if (!operand_read(e, 0, &a) ||
	    !operand_write(e, 0, alu_unary(e->insn->operation, operand_bytes(e, 0), a, &flags)))
		return false;
	*flags_of(e) = flags;
	return true;
}

bool execute_shift(struct emulate *e)
{
	uint64_t flags = *flags_of(e), a, count, result;

	if (!operand_read(e, 1, &count) || !operand_read(e, 0, &a))
		return false;
	result = alu_shift(e->insn->operation, operand_bytes(e, 0), a, count & 0xff, &flags);
	if (!operand_write(e, 0, result))
		return false;
	*flags_of(e) = flags;
	return true;
}

bool execute_shift_double(struct emulate *e)
{
	uint64_t flags = *flags_of(e), a, b, count, result;

	if (!operand_read(e, 2, &count) || !operand_read(e, 1, &b) || !operand_read(e, 0, &a))
		return false;
	result = alu_shift_double(e->insn->operation, operand_bytes(e, 0), a, b, count & 0xff,
				  &flags);
	if (!operand_write(e, 0, result))
		return false;
	*flags_of(e) = flags;
	return true;
}

bool execute_scan(struct emulate *e)
{
	uint64_t flags = *flags_of(e), a, old, result;

	if (!operand_read(e, 1, &a) || !operand_read(e, 0, &old))
		return false;
	result = alu_scan(e->insn->operation, operand_bytes(e, 0), a, old, &flags);
	/* BSF and BSR of 0 write nothing. */
	if (a || e->insn->operation > ALU_BSR)
		operand_write(e, 0, result);
	*flags_of(e) = flags;
	return true;
}

static uint64_t change_bit(enum general_bit operation, uint64_t value, uint64_t bit)
{
	switch (operation) {
	case BIT_SET:
		return value | bit;
	case BIT_RESET:
		return value & ~bit;
	case BIT_COMPLEMENT:
		return value ^ bit;
	case BIT_TEST:
		break;
	}
	return value;
}

/* A bit offset in a register reaches outside a memory operand, to both sides (SDM 2A 3.1.1.9).
 */
bool execute_bit(struct emulate *e)
{
	const struct emulate_insn *insn = e->insn;
	unsigned size = operand_bytes(e, 0), access = insn->operation != BIT_TEST;
	bool memory = insn->operand[0].kind == EMULATE_MEMORY;
	uint64_t value, number, bit, offset = operand_offset(e);

	if (!operand_read(e, 1, &number))
		return false;
	if (memory && insn->operand[1].kind == EMULATE_GENERAL)
		offset += (uint64_t)((int64_t)sign_extend(number, size) >> 3) & ~(size - 1ull);
	offset &= size_mask(insn->address_size);
	bit = 1ull << number % (8 * size);
	if (memory ? !memory_read_number(e, insn->segment, offset, &value, size,
					 access ? ACCESS_WRITE : 0)
		   : !operand_read(e, 0, &value))
		return false;
	number = change_bit(insn->operation, value, bit);
	if (access && (memory ? !memory_write_number(e, insn->segment, offset, number, size)
			      : !operand_write(e, 0, number)))
		return false;
	*flags_of(e) = (*flags_of(e) & ~RFLAGS_CF) | (value & bit ? RFLAGS_CF : 0);
	return true;
}

/* The pair of registers that MUL and DIV use: AX, or DX:AX and so on. */
static void write_pair(struct emulate *e, unsigned size, uint64_t low, uint64_t high)
{
	if (size == 1) {
		general_write(e, LUV_RAX, 2, low | high << 8);
		return;
	}
	general_write(e, LUV_RAX, size, low);
	general_write(e, LUV_RDX, size, high);
}

bool execute_multiply(struct emulate *e)
{
	const struct emulate_insn *insn = e->insn;
	bool is_signed = insn->operation;
	unsigned size = operand_bytes(e, 0);
	uint64_t a, b, low, high;

	if (insn->operand[1].kind == EMULATE_NONE) {
		if (!operand_read(e, 0, &b))
			return false;
		alu_multiply(is_signed, size, general_read(e, LUV_RAX, size), b, &low, &high,
			     flags_of(e));
		write_pair(e, size, low, high);
		return true;
	}
	if (!operand_read(e, 1, &a) ||
	    !operand_read(e, insn->operand[2].kind == EMULATE_NONE ? 0 : 2, &b))
		return false;
	alu_multiply(true, size, a, b, &low, &high, flags_of(e));
	return operand_write(e, 0, low);
}

bool execute_divide(struct emulate *e)
{
	unsigned size = operand_bytes(e, 0);
	uint64_t low = general_read(e, LUV_RAX, size);
	uint64_t high =
	    size == 1 ? general_read(e, LUV_RAX, 2) >> 8 : general_read(e, LUV_RDX, size);
	uint64_t divisor, quotient, remainder;

	if (!operand_read(e, 0, &divisor))
		return false;
	if (!alu_divide(e->insn->operation, size, high, low, divisor, &quotient, &remainder))
		return fail_fault(e, VECTOR_DE);
	write_pair(e, size, quotient, remainder);
	return true;
}

/* --- exchanges --- */

bool execute_xchg(struct emulate *e)
{
	uint64_t a, b;

	if (!operand_read(e, 0, &a) || !operand_read(e, 1, &b) || !operand_write(e, 0, b))
		return false;
	return operand_write(e, 1, a);
}

bool execute_xadd(struct emulate *e)
{
	uint64_t flags = *flags_of(e), a, b, sum;
	bool memory = e->insn->operand[0].kind == EMULATE_MEMORY;

	if (!operand_read(e, 0, &a) || !operand_read(e, 1, &b))
		return false;
	sum = alu_binary(ALU_ADD, operand_bytes(e, 0), a, b, &flags);
	if (memory && !operand_write(e, 0, sum))
		return false;
	operand_write(e, 1, a);
	*flags_of(e) = flags;
	/* With two registers the sum is written last: they may be the same. */
	return memory || operand_write(e, 0, sum);
}

/* The destination is written in any case, with its own value where the comparison fails. */
bool execute_cmpxchg(struct emulate *e)
{
	unsigned size = operand_bytes(e, 0);
	uint64_t flags = *flags_of(e), a, b;

	if (!operand_read(e, 0, &a) || !operand_read(e, 1, &b))
		return false;
	alu_binary(ALU_CMP, size, general_read(e, LUV_RAX, size), a, &flags);
	if (!operand_write(e, 0, flags & RFLAGS_ZF ? b : a))
		return false;
	if (!(flags & RFLAGS_ZF))
		general_write(e, LUV_RAX, size, a);
	*flags_of(e) = flags;
	return true;
}

bool execute_cmpxchg_pair(struct emulate *e)
{
	const struct emulate_insn *insn = e->insn;
	unsigned half = operand_bytes(e, 0) / 2;
	uint64_t offset = operand_offset(e);
	uint8_t data[16], with[16];
	uint64_t low = 0, high = 0;
	uint64_t new_low = general_read(e, LUV_RBX, half),
		 new_high = general_read(e, LUV_RCX, half);
	bool equal;

	if (half == 8 && !memory_is_aligned(e, insn->segment, offset, 16))
		return fail_fault_error(e, VECTOR_GP, 0);
	if (!memory_read(e, insn->segment, offset, data, 2 * half, ACCESS_WRITE))
		return false;
	__builtin_memcpy(&low, data, half);
	__builtin_memcpy(&high, data + half, half);
	equal = low == general_read(e, LUV_RAX, half) && high == general_read(e, LUV_RDX, half);
	__builtin_memcpy(with, &new_low, half);
	__builtin_memcpy(with + half, &new_high, half);
	if (!memory_write(e, insn->segment, offset, equal ? with : data, 2 * half))
		return false;
	if (!equal) {
		general_write(e, LUV_RAX, half, low);
		general_write(e, LUV_RDX, half, high);
	}
	*flags_of(e) = (*flags_of(e) & ~RFLAGS_ZF) | (equal ? RFLAGS_ZF : 0);
	return true;
}
