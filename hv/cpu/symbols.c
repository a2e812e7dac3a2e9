/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu/symbols.h"

/* luvalley.lds */
extern const u8 text_start[], text_end[];

/*
 * tools/symbols: the functions by address, without gaps between the entries. An entry is the
 * distance from the function before (from text_start) in two bytes, the number of characters
 * that the name shares with the one before, and the rest of the name up to a 0.
 */
extern const u8 symbol_table[], symbol_table_end[];

bool symbol_is_code(u64 address)
{
	return address >= (u64)text_start && address < (u64)text_end;
}

bool symbol_find(u64 address, char name[SYMBOL_NAME_SIZE], u64 *offset)
{
	u64 left = address - (u64)text_start;
	const u8 *at = symbol_table;
	bool found = false;

	name[0] = 0;
	if (!symbol_is_code(address))
		return false;
	while (at < symbol_table_end && left >= (at[0] | (u64)at[1] << 8)) {
		char *to = name + at[2];

		left -= at[0] | (u64)at[1] << 8;
		at += 3;
		do
			*to++ = (char)*at;
		while (*at++);
		found = true;
	}
	*offset = left;
	return found;
}
