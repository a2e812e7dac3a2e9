/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmx/msr_bitmap.h"

#define RANGE	     0x2000u
#define HIGH_BASE    0xc0000000u
#define HIGH_OFFSET  1024u
#define WRITE_OFFSET 2048u

static void set(u8 *byte, u32 bit, bool exits)
{
	if (exits)
		*byte |= (u8)BIT(bit);
	else
		*byte &= (u8)~BIT(bit);
}

void msr_bitmap_set(u8 map[PAGE_SIZE], u32 msr, bool read, bool write, bool exits)
{
	u32 index = msr, base = 0;

	if (msr >= HIGH_BASE) {
		index = msr - HIGH_BASE;
		base = HIGH_OFFSET;
	}
	if (index >= RANGE)
		return;
	if (read)
		set(&map[base + index / 8], index % 8, exits);
	if (write)
		set(&map[base + WRITE_OFFSET + index / 8], index % 8, exits);
}
