/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu/symbols.h"

/* luvalley.lds */
extern const u8 text_start[], text_end[];

/* tools/symbols; offsets count from text_start and are sorted. */
extern const u32 symbol_count;
extern const u32 symbol_offsets[];
extern const u32 symbol_names[]; /* where in symbol_text each name begins */
extern const char symbol_text[];

bool symbol_is_code(u64 address)
{
	return address >= (u64)text_start && address < (u64)text_end;
}

const char *symbol_find(u64 address, u64 *offset)
{
	u64 wanted = address - (u64)text_start;
	u32 low = 0, high = symbol_count;

	if (!symbol_is_code(address))
		return NULL;
	/* Entries below low are at or before the address, those from high on behind it. */
	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (symbol_offsets[middle] <= wanted)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	*offset = wanted - symbol_offsets[low - 1];
	return symbol_text + symbol_names[low - 1];
}
