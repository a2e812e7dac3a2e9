/* SPDX-License-Identifier: BSD-2-Clause */
/* The instructions that the emulator executes. */
#include "kvm/emulate_decode.h"
#include "kvm/emulate_families.h"

#define ROWS (ZYDIS_MNEMONIC_MAX_VALUE + 1)
#define CONDITIONAL(name, condition)                              \
	[ZYDIS_MNEMONIC_SET##name] = {execute_set, condition, 0}, \
	[ZYDIS_MNEMONIC_CMOV##name] = {execute_cmov, condition, 0}
#define STRING(name, operation)                                             \
	[ZYDIS_MNEMONIC_##name##B] = {execute_string, operation, ROW_MORE}, \
	[ZYDIS_MNEMONIC_##name##W] = {execute_string, operation, ROW_MORE}, \
	[ZYDIS_MNEMONIC_##name##D] = {execute_string, operation, ROW_MORE}, \
	[ZYDIS_MNEMONIC_##name##Q] = {execute_string, operation, ROW_MORE}
/* With and without VEX. */
#define VECTOR(name, operation)                                   \
	[ZYDIS_MNEMONIC_##name] = {execute_vector, operation, 0}, \
	[ZYDIS_MNEMONIC_V##name] = {execute_vector, operation, 0}

static const struct emulate_row rows[ROWS] = {
    [ZYDIS_MNEMONIC_MOV] = {execute_mov, 0, 0},
    [ZYDIS_MNEMONIC_MOVNTI] = {execute_mov, 0, 0},
    [ZYDIS_MNEMONIC_MOVDIRI] = {execute_mov, 0, 0},
    [ZYDIS_MNEMONIC_MOVZX] = {execute_movzx, 0, 0},
    [ZYDIS_MNEMONIC_MOVSX] = {execute_movsx, 0, 0},
    [ZYDIS_MNEMONIC_MOVSXD] = {execute_movsx, 0, 0},
    [ZYDIS_MNEMONIC_MOVBE] = {execute_movbe, 0, 0},
    [ZYDIS_MNEMONIC_SMSW] = {execute_smsw, 0, 0},

    [ZYDIS_MNEMONIC_ADD] = {execute_binary, ALU_ADD, 0},
    [ZYDIS_MNEMONIC_OR] = {execute_binary, ALU_OR, 0},
    [ZYDIS_MNEMONIC_ADC] = {execute_binary, ALU_ADC, 0},
    [ZYDIS_MNEMONIC_SBB] = {execute_binary, ALU_SBB, 0},
    [ZYDIS_MNEMONIC_AND] = {execute_binary, ALU_AND, 0},
    [ZYDIS_MNEMONIC_SUB] = {execute_binary, ALU_SUB, 0},
    [ZYDIS_MNEMONIC_XOR] = {execute_binary, ALU_XOR, 0},
    [ZYDIS_MNEMONIC_CMP] = {execute_binary, ALU_CMP, 0},
    [ZYDIS_MNEMONIC_TEST] = {execute_binary, ALU_TEST, 0},
    [ZYDIS_MNEMONIC_INC] = {execute_unary, ALU_INC, 0},
    [ZYDIS_MNEMONIC_DEC] = {execute_unary, ALU_DEC, 0},
    [ZYDIS_MNEMONIC_NOT] = {execute_unary, ALU_NOT, 0},
    [ZYDIS_MNEMONIC_NEG] = {execute_unary, ALU_NEG, 0},
    [ZYDIS_MNEMONIC_ROL] = {execute_shift, ALU_ROL, 0},
    [ZYDIS_MNEMONIC_ROR] = {execute_shift, ALU_ROR, 0},
    [ZYDIS_MNEMONIC_RCL] = {execute_shift, ALU_RCL, 0},
    [ZYDIS_MNEMONIC_RCR] = {execute_shift, ALU_RCR, 0},
    [ZYDIS_MNEMONIC_SHL] = {execute_shift, ALU_SHL, 0},
    [ZYDIS_MNEMONIC_SHR] = {execute_shift, ALU_SHR, 0},
    [ZYDIS_MNEMONIC_SAR] = {execute_shift, ALU_SAR, 0},
    [ZYDIS_MNEMONIC_SHLD] = {execute_shift_double, 1, 0},
    [ZYDIS_MNEMONIC_SHRD] = {execute_shift_double, 0, 0},
    [ZYDIS_MNEMONIC_BSF] = {execute_scan, ALU_BSF, 0},
    [ZYDIS_MNEMONIC_BSR] = {execute_scan, ALU_BSR, 0},
    [ZYDIS_MNEMONIC_TZCNT] = {execute_scan, ALU_TZCNT, 0},
    [ZYDIS_MNEMONIC_LZCNT] = {execute_scan, ALU_LZCNT, 0},
    [ZYDIS_MNEMONIC_POPCNT] = {execute_scan, ALU_POPCNT, 0},
    [ZYDIS_MNEMONIC_BT] = {execute_bit, BIT_TEST, 0},
    [ZYDIS_MNEMONIC_BTS] = {execute_bit, BIT_SET, 0},
    [ZYDIS_MNEMONIC_BTR] = {execute_bit, BIT_RESET, 0},
    [ZYDIS_MNEMONIC_BTC] = {execute_bit, BIT_COMPLEMENT, 0},
    [ZYDIS_MNEMONIC_MUL] = {execute_multiply, 0, 0},
    [ZYDIS_MNEMONIC_IMUL] = {execute_multiply, 1, 0},
    [ZYDIS_MNEMONIC_DIV] = {execute_divide, 0, 0},
    [ZYDIS_MNEMONIC_IDIV] = {execute_divide, 1, 0},
    [ZYDIS_MNEMONIC_XCHG] = {execute_xchg, 0, 0},
    [ZYDIS_MNEMONIC_XADD] = {execute_xadd, 0, 0},
    [ZYDIS_MNEMONIC_CMPXCHG] = {execute_cmpxchg, 0, 0},
    [ZYDIS_MNEMONIC_CMPXCHG8B] = {execute_cmpxchg_pair, 0, 0},
    [ZYDIS_MNEMONIC_CMPXCHG16B] = {execute_cmpxchg_pair, 0, 0},

    CONDITIONAL(O, 0),
    CONDITIONAL(NO, 1),
    CONDITIONAL(B, 2),
    CONDITIONAL(NB, 3),
    CONDITIONAL(Z, 4),
    CONDITIONAL(NZ, 5),
    CONDITIONAL(BE, 6),
    CONDITIONAL(NBE, 7),
    CONDITIONAL(S, 8),
    CONDITIONAL(NS, 9),
    CONDITIONAL(P, 10),
    CONDITIONAL(NP, 11),
    CONDITIONAL(L, 12),
    CONDITIONAL(NL, 13),
    CONDITIONAL(LE, 14),
    CONDITIONAL(NLE, 15),

    [ZYDIS_MNEMONIC_NOP] = {execute_nothing, 0, 0},
    [ZYDIS_MNEMONIC_CLFLUSH] = {execute_nothing, 0, 0},
    [ZYDIS_MNEMONIC_CLFLUSHOPT] = {execute_nothing, 0, 0},
    [ZYDIS_MNEMONIC_CLWB] = {execute_nothing, 0, 0},
    [ZYDIS_MNEMONIC_PREFETCH] = {execute_nothing, 0, 0},
    [ZYDIS_MNEMONIC_PREFETCHNTA] = {execute_nothing, 0, 0},
    [ZYDIS_MNEMONIC_PREFETCHT0] = {execute_nothing, 0, 0},
    [ZYDIS_MNEMONIC_PREFETCHT1] = {execute_nothing, 0, 0},
    [ZYDIS_MNEMONIC_PREFETCHT2] = {execute_nothing, 0, 0},
    [ZYDIS_MNEMONIC_PREFETCHW] = {execute_nothing, 0, 0},
    [ZYDIS_MNEMONIC_PREFETCHWT1] = {execute_nothing, 0, 0},

    [ZYDIS_MNEMONIC_PUSH] = {execute_push, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_POP] = {execute_pop, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_PUSHA] = {execute_push_all, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_PUSHAD] = {execute_push_all, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_POPA] = {execute_pop_all, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_POPAD] = {execute_pop_all, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_PUSHF] = {execute_push_flags, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_PUSHFD] = {execute_push_flags, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_PUSHFQ] = {execute_push_flags, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_POPF] = {execute_pop_flags, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_POPFD] = {execute_pop_flags, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_POPFQ] = {execute_pop_flags, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_LES] = {execute_load_far, LUV_ES, ROW_MORE},
    [ZYDIS_MNEMONIC_LDS] = {execute_load_far, LUV_DS, ROW_MORE},
    [ZYDIS_MNEMONIC_LSS] = {execute_load_far, LUV_SS, ROW_MORE},
    [ZYDIS_MNEMONIC_LFS] = {execute_load_far, LUV_FS, ROW_MORE},
    [ZYDIS_MNEMONIC_LGS] = {execute_load_far, LUV_GS, ROW_MORE},
    [ZYDIS_MNEMONIC_LLDT] = {execute_load_system, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_LTR] = {execute_load_system, 1, ROW_MORE},
    [ZYDIS_MNEMONIC_SLDT] = {execute_store_system, LUV_LDTR, 0},
    [ZYDIS_MNEMONIC_STR] = {execute_store_system, LUV_TR, 0},

    [ZYDIS_MNEMONIC_ENTER] = {execute_enter, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_LEAVE] = {execute_leave, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_JMP] = {execute_jump, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_CALL] = {execute_call, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_RET] = {execute_return, 0, ROW_MORE},

    STRING(STOS, STRING_STOS),
    STRING(LODS, STRING_LODS),
    STRING(SCAS, STRING_SCAS),
    [ZYDIS_MNEMONIC_XLAT] = {execute_xlat, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_INSB] = {execute_by_cpu, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_INSW] = {execute_by_cpu, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_INSD] = {execute_by_cpu, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_OUTSB] = {execute_by_cpu, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_OUTSW] = {execute_by_cpu, 0, ROW_MORE},
    [ZYDIS_MNEMONIC_OUTSD] = {execute_by_cpu, 0, ROW_MORE},

    VECTOR(MOVAPS, VECTOR_ALIGNED),
    VECTOR(MOVAPD, VECTOR_ALIGNED),
    VECTOR(MOVDQA, VECTOR_ALIGNED),
    VECTOR(MOVNTPS, VECTOR_ALIGNED),
    VECTOR(MOVNTPD, VECTOR_ALIGNED),
    VECTOR(MOVNTDQ, VECTOR_ALIGNED),
    VECTOR(MOVNTDQA, VECTOR_ALIGNED),
    VECTOR(MOVUPS, VECTOR_WHOLE),
    VECTOR(MOVUPD, VECTOR_WHOLE),
    VECTOR(MOVDQU, VECTOR_WHOLE),
    VECTOR(LDDQU, VECTOR_WHOLE),
    VECTOR(MOVD, VECTOR_LOW),
    VECTOR(MOVQ, VECTOR_LOW),
    VECTOR(MOVSS, VECTOR_LOW),
    VECTOR(MOVSD, VECTOR_LOW),
    VECTOR(MOVLPS, VECTOR_LOW_HALF),
    VECTOR(MOVLPD, VECTOR_LOW_HALF),
    VECTOR(MOVHPS, VECTOR_HIGH_HALF),
    VECTOR(MOVHPD, VECTOR_HIGH_HALF),
    [ZYDIS_MNEMONIC_MOVNTQ] = {execute_vector, VECTOR_LOW, 0},
};

/* SSE has a MOVSD and a CMPSD, too: these are found by their kind. */
static const struct emulate_row moves = {execute_string, STRING_MOVS, ROW_MORE};
static const struct emulate_row compares = {execute_string, STRING_CMPS, ROW_MORE};

const struct emulate_row *emulate_row(ZydisMnemonic mnemonic, bool string)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSQ:
		return &moves;
	case ZYDIS_MNEMONIC_CMPSB:
	case ZYDIS_MNEMONIC_CMPSW:
	case ZYDIS_MNEMONIC_CMPSQ:
		return &compares;
	case ZYDIS_MNEMONIC_MOVSD:
		return string ? &moves : &rows[mnemonic];
	case ZYDIS_MNEMONIC_CMPSD:
		return string ? &compares : &rows[mnemonic];
	default:
		return &rows[mnemonic];
	}
}

static const struct emulate_row far_jump = {execute_far, 0, ROW_MORE};
static const struct emulate_row far_call = {execute_far, 1, ROW_MORE};
static const struct emulate_row nobody;

const struct emulate_row *emulate_far_row(ZydisMnemonic mnemonic)
{
	if (mnemonic == ZYDIS_MNEMONIC_JMP)
		return &far_jump;
	return mnemonic == ZYDIS_MNEMONIC_CALL ? &far_call : &nobody;
}
