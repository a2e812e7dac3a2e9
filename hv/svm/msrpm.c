/* SPDX-License-Identifier: BSD-2-Clause */
#include "svm/msrpm.h"

static const u32 range_base[] = {0, 0xc0000000, 0xc0010000};

bool msrpm_intercept(u8 map[MSRPM_SIZE], u32 msr, bool read, bool write)
{
	for (u32 i = 0; i < ARRAY_SIZE(range_base); i++) {
		u32 index = msr - range_base[i];

		if (msr < range_base[i] || index >= 8192)
			continue;
		map[i * 2048 + index / 4] |= (u8)((read | write << 1) << index % 4 * 2);
		return true;
	}
	return false;
}
