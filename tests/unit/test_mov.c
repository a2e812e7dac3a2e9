/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exit/mov.h"

/* clang-format off */
#define BYTES(s) s, sizeof(s) - 1

static const struct {
	enum code_size code;
	const char *bytes;
	unsigned length;
	enum mov_kind kind;
	unsigned size;
	bool immediate;
	u64 value;
	unsigned reg;
	bool high_byte;
} good[] = {
	/* The opcodes. */
	{CODE_64, BYTES("\x88\x07"), MOV_STORE, 1, false, 0, 0, false},		 /* mov [rdi], al */
	{CODE_64, BYTES("\x89\x8f\x00\x03\x00\x00"), MOV_STORE, 4, false, 0, 1, false},
	{CODE_64, BYTES("\xc6\x00\x7f"), MOV_STORE, 1, true, 0x7f, 0, false},
	{CODE_64, BYTES("\xc7\x00\x00\x45\x0c\x00"), MOV_STORE, 4, true, 0xc4500, 0, false},
	{CODE_64, BYTES("\x86\x1e"), MOV_EXCHANGE, 1, false, 0, 3, false},
	{CODE_64, BYTES("\x87\x1e"), MOV_EXCHANGE, 4, false, 0, 3, false},
	{CODE_64, BYTES("\x00\x06"), MOV_ADD, 1, false, 0, 0, false},
	{CODE_64, BYTES("\x01\x06"), MOV_ADD, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x08\x06"), MOV_OR, 1, false, 0, 0, false},
	{CODE_64, BYTES("\x09\x06"), MOV_OR, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x20\x06"), MOV_AND, 1, false, 0, 0, false},
	{CODE_64, BYTES("\x21\x06"), MOV_AND, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x28\x06"), MOV_SUB, 1, false, 0, 0, false},
	{CODE_64, BYTES("\x29\x06"), MOV_SUB, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x30\x06"), MOV_XOR, 1, false, 0, 0, false},
	{CODE_64, BYTES("\x31\x06"), MOV_XOR, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x80\x06\x81"), MOV_ADD, 1, true, 0x81, 0, false},
	{CODE_64, BYTES("\x81\x0e\x01\x00\x00\x80"), MOV_OR, 4, true, 0x80000001, 0, false},
	{CODE_64, BYTES("\x83\x26\xfe"), MOV_AND, 4, true, 0xfffffffe, 0, false},
	{CODE_64, BYTES("\x83\x2e\x01"), MOV_SUB, 4, true, 1, 0, false},
	{CODE_64, BYTES("\x83\x36\x7f"), MOV_XOR, 4, true, 0x7f, 0, false},

	/* Operand sizes; REX.W beats 66. */
	{CODE_64, BYTES("\x66\x89\x07"), MOV_STORE, 2, false, 0, 0, false},
	{CODE_64, BYTES("\x48\x89\x07"), MOV_STORE, 8, false, 0, 0, false},
	{CODE_64, BYTES("\x66\x48\x89\x07"), MOV_STORE, 8, false, 0, 0, false},
	{CODE_64, BYTES("\x66\xc7\x07\xfe\xff"), MOV_STORE, 2, true, 0xfffe, 0, false},
	{CODE_64, BYTES("\x48\xc7\x07\xfe\xff\xff\xff"), MOV_STORE, 8, true, -2ull, 0, false},
	{CODE_64, BYTES("\x66\x48\xc7\x07\xfe\xff\xff\x7f"), MOV_STORE, 8, true, 0x7ffffffe, 0, false},
	{CODE_64, BYTES("\x48\x83\x0f\x80"), MOV_OR, 8, true, -128ull, 0, false},
	{CODE_64, BYTES("\x66\x83\x0f\x80"), MOV_OR, 2, true, 0xff80, 0, false},
	{CODE_64, BYTES("\x66\x48\xc6\x07\xff"), MOV_STORE, 1, true, 0xff, 0, false},
	{CODE_32, BYTES("\x89\x07"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_32, BYTES("\x66\x89\x07"), MOV_STORE, 2, false, 0, 0, false},
	{CODE_16, BYTES("\x89\x07"), MOV_STORE, 2, false, 0, 0, false},
	{CODE_16, BYTES("\x66\x89\x07"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_16, BYTES("\xc7\x07\x34\x92"), MOV_STORE, 2, true, 0x9234, 0, false},
	{CODE_16, BYTES("\x66\xc7\x07\x78\x56\x34\x92"), MOV_STORE, 4, true, 0x92345678, 0, false},

	/* Registers. */
	{CODE_64, BYTES("\x44\x89\x3f"), MOV_STORE, 4, false, 0, 15, false},
	{CODE_64, BYTES("\x41\x89\x3f"), MOV_STORE, 4, false, 0, 7, false},
	{CODE_64, BYTES("\x88\x27"), MOV_STORE, 1, false, 0, 0, true},	    /* AH */
	{CODE_64, BYTES("\x88\x3f"), MOV_STORE, 1, false, 0, 3, true},	    /* BH */
	{CODE_64, BYTES("\x40\x88\x27"), MOV_STORE, 1, false, 0, 4, false}, /* SPL */
	{CODE_64, BYTES("\x44\x88\x27"), MOV_STORE, 1, false, 0, 12, false},
	{CODE_32, BYTES("\x86\x2f"), MOV_EXCHANGE, 1, false, 0, 1, true},   /* CH */
	{CODE_32, BYTES("\x89\x27"), MOV_STORE, 4, false, 0, 4, false},

	/* Addresses, 32 and 64 bits. */
	{CODE_64, BYTES("\x89\x05\xb0\x00\x00\x00"), MOV_STORE, 4, false, 0, 0, false},	 /* RIP */
	{CODE_64, BYTES("\xc7\x05\xb0\x00\x00\x00\x01\x00\x00\x00"), MOV_STORE, 4, true, 1, 0, false},
	{CODE_32, BYTES("\x89\x15\x00\xb3\xe0\xfe"), MOV_STORE, 4, false, 0, 2, false},
	{CODE_64, BYTES("\x89\x04\x24"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x89\x04\x25\x00\xb3\x5f\xff"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x89\x44\x24\x10"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x89\x44\x25\x10"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x89\x84\x25\x10\x00\x00\x00"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x89\x45\x00"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x89\x85\x00\x00\x00\x00"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x67\x89\x87\x00\x03\x00\x00"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_16, BYTES("\x67\x89\x04\x25\x00\x03\x00\x00"), MOV_STORE, 2, false, 0, 0, false},

	/* Addresses, 16 bits. */
	{CODE_16, BYTES("\x89\x04"), MOV_STORE, 2, false, 0, 0, false},
	{CODE_16, BYTES("\x89\x05"), MOV_STORE, 2, false, 0, 0, false},
	{CODE_16, BYTES("\x89\x06\x00\x03"), MOV_STORE, 2, false, 0, 0, false},
	{CODE_16, BYTES("\x89\x46\x10"), MOV_STORE, 2, false, 0, 0, false},
	{CODE_16, BYTES("\x89\x86\x10\x00"), MOV_STORE, 2, false, 0, 0, false},
	{CODE_32, BYTES("\x67\x89\x06\x00\x03"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_32, BYTES("\x67\x89\x44\x10"), MOV_STORE, 4, false, 0, 0, false},

	/* Direct addresses are as long as the address size. */
	{CODE_64, BYTES("\xa3\x00\x03\xe0\xfe\x00\x00\x00\x00"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x67\xa3\x00\x03\xe0\xfe"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x48\xa3\x00\x03\xe0\xfe\x00\x00\x00\x00"), MOV_STORE, 8, false, 0, 0, false},
	{CODE_64, BYTES("\x44\xa3\x00\x03\xe0\xfe\x00\x00\x00\x00"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_32, BYTES("\xa3\x00\x03\xe0\xfe"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_32, BYTES("\xa2\x00\x03\xe0\xfe"), MOV_STORE, 1, false, 0, 0, false},
	{CODE_32, BYTES("\x67\xa3\x00\x03"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_16, BYTES("\xa3\x00\x03"), MOV_STORE, 2, false, 0, 0, false},
	{CODE_16, BYTES("\x67\x66\xa3\x00\x03\xe0\xfe"), MOV_STORE, 4, false, 0, 0, false},

	/* Prefixes. */
	{CODE_64, BYTES("\x65\x89\x07"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_32, BYTES("\x26\x2e\x36\x3e\x64\x65\x89\x07"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_64, BYTES("\xf0\x87\x07"), MOV_EXCHANGE, 4, false, 0, 0, false},
	{CODE_64, BYTES("\xf0\x09\x07"), MOV_OR, 4, false, 0, 0, false},
	{CODE_64, BYTES("\xf0\x81\x27\xff\xff\xfe\xff"), MOV_AND, 4, true, 0xfffeffff, 0, false},
	{CODE_64, BYTES("\xf2\xf0\x83\x0f\x01"), MOV_OR, 4, true, 1, 0, false},
	{CODE_64, BYTES("\xf3\x89\x07"), MOV_STORE, 4, false, 0, 0, false},
	{CODE_64, BYTES("\xf3\xc7\x07\x00\x00\x00\x00"), MOV_STORE, 4, true, 0, 0, false},
	{CODE_64, BYTES("\xf2\x87\x07"), MOV_EXCHANGE, 4, false, 0, 0, false},
	{CODE_64, BYTES("\x66\x66\x66\x89\x07"), MOV_STORE, 2, false, 0, 0, false},
	/* Just 15 bytes. */
	{CODE_64, BYTES("\x2e\x2e\x2e\x2e\x2e\xc7\x05\x00\x00\x00\x00\x01\x00\x00\x00"),
	 MOV_STORE, 4, true, 1, 0, false},
};

static const struct {
	enum code_size code;
	const char *bytes;
	unsigned length;
} bad[] = {
	/* The target is a register. */
	{CODE_64, BYTES("\x89\xc0")}, {CODE_64, BYTES("\xc7\xc0\x00\x00\x00\x00")},
	{CODE_64, BYTES("\x87\xc1")}, {CODE_64, BYTES("\x83\xc8\x01")}, {CODE_16, BYTES("\x88\xc1")},
	/* C6 and C7 have /0 only; ADC, SBB and CMP. */
	{CODE_64, BYTES("\xc6\x08\x00")}, {CODE_64, BYTES("\xc7\x38\x00\x00\x00\x00")},
	{CODE_64, BYTES("\x83\x10\x01")}, {CODE_64, BYTES("\x81\x18\x01\x00\x00\x00")},
	{CODE_64, BYTES("\x80\x38\x01")}, {CODE_64, BYTES("\x11\x07")}, {CODE_64, BYTES("\x19\x07")},
	{CODE_64, BYTES("\x39\x07")},
	/* The alias of 80, loads, and things that no kernel does to an APIC. */
	{CODE_32, BYTES("\x82\x08\x01")}, {CODE_64, BYTES("\x82\x08\x01")},
	{CODE_64, BYTES("\x8b\x07")}, {CODE_64, BYTES("\xa1\0\0\0\0\0\0\0\0")},
	{CODE_64, BYTES("\x03\x07")}, {CODE_64, BYTES("\xab")}, {CODE_64, BYTES("\x0f\xc1\x07")},
	{CODE_64, BYTES("\xff\x07")}, {CODE_64, BYTES("\xc4\xe1\x79\x7e\x07")},
	/* LOCK where it is #UD; F2 and F3 where they are reserved. */
	{CODE_64, BYTES("\xf0\x89\x07")}, {CODE_64, BYTES("\xf0\xc7\x07\x00\x00\x00\x00")},
	{CODE_32, BYTES("\xf0\xa3\x00\x03\xe0\xfe")}, {CODE_32, BYTES("\xf3\xa3\x00\x03\xe0\xfe")},
	{CODE_64, BYTES("\xf3\x09\x07")}, {CODE_64, BYTES("\xf2\x83\x0f\x01")},
	/* REX not directly before the opcode; REX bytes are INC and DEC elsewhere. */
	{CODE_64, BYTES("\x48\x66\x89\x07")}, {CODE_64, BYTES("\x48\x48\x89\x07")},
	{CODE_32, BYTES("\x48\x89\x07")}, {CODE_16, BYTES("\x41\x89\x07")},
	/* 16 bytes; prefixes without end; nothing. */
	{CODE_64, BYTES("\x2e\x2e\x2e\x2e\x2e\x2e\xc7\x05\x00\x00\x00\x00\x01\x00\x00\x00")},
	{CODE_64, BYTES("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x89\x07")},
	{CODE_64, BYTES("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66")},
	{CODE_64, BYTES("")},
};
/* clang-format on */

/* From a buffer of exactly so many bytes: the sanitizer sees a read beyond them. */
static bool decode(const char *bytes, unsigned count, enum code_size code,
		   struct mov_insn *insn)
{
	u8 *copy = malloc(count ? count : 1);
	bool ok;

	memcpy(copy, bytes, count);
	ok = mov_decode(copy, count, code, insn);
	free(copy);
	return ok;
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct mov_insn insn;

		if (!decode(good[i].bytes, good[i].length, good[i].code, &insn))
			fail_msg("row %zu is refused", i);
		if (insn.kind != good[i].kind || insn.length != good[i].length ||
		    insn.size != good[i].size || insn.immediate != good[i].immediate ||
		    insn.value != good[i].value || insn.reg != good[i].reg ||
		    insn.high_byte != good[i].high_byte)
			fail_msg("row %zu: kind %d length %d size %d imm %d %lx reg %d %d", i,
				 insn.kind, insn.length, insn.size, insn.immediate, insn.value,
				 insn.reg, insn.high_byte);
	}
}

static void test_longer_buffer(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char buffer[32];
		struct mov_insn insn;

		memset(buffer, 0xff, sizeof(buffer));
		memcpy(buffer, good[i].bytes, good[i].length);
		assert_true(decode(buffer, sizeof(buffer), good[i].code, &insn));
		assert_int_equal(insn.length, good[i].length);
	}
}

static void test_cut_off(void **state)
{
	struct mov_insn insn;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		for (unsigned count = 0; count < good[i].length; count++)
			if (decode(good[i].bytes, count, good[i].code, &insn))
				fail_msg("row %zu is accepted with %u bytes", i, count);
}

static void test_bad(void **state)
{
	struct mov_insn insn;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (decode(bad[i].bytes, bad[i].length, bad[i].code, &insn))
			fail_msg("row %zu is accepted", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),
	    cmocka_unit_test(test_longer_buffer),
	    cmocka_unit_test(test_cut_off),
	    cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests_name("mov", tests, NULL, NULL);
}
