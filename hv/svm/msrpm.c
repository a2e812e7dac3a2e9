/* SPDX-License-Identifier: BSD-2-Clause */
#include "svm/msrpm.h"

static const u32 range_base[] = {0, 0xc0000000, 0xc0010000};

/* The byte and shift of an MSR's two bits; false outside the map. */
static bool locate(u32 msr, u32 *byte, u32 *shift)
{
	for (u32 i = 0; i < ARRAY_SIZE(range_base); i++) {
		u32 index = msr - range_base[i];

		if (msr < range_base[i] || index >= 8192)
			continue;
		*byte = i * 2048 + index / 4;
		*shift = index % 4 * 2;
		return true;
	}
	return false;
}

bool msrpm_intercept(u8 map[MSRPM_SIZE], u32 msr, bool read, bool write)
{
	u32 byte, shift;

	if (!locate(msr, &byte, &shift))
		return false;
	map[byte] |= (u8)((read | write << 1) << shift);
	return true;
}

void msrpm_pass(u8 map[MSRPM_SIZE], u32 msr)
{
	u32 byte, shift;

	if (locate(msr, &byte, &shift))
		map[byte] &= (u8) ~(3u << shift);
}
