/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VMX_MSR_BITMAP_H
#define VMX_MSR_BITMAP_H

#include "lib/types.h"

/*
 * MSR bitmaps (SDM 3C 25.6.9): a page of four KiB, one for reads and one for writes of MSRs 0 to 1FFFh and
 * C0000000h to C0001FFFh each. MSRs outside always exit.
 */
void msr_bitmap_set(u8 map[PAGE_SIZE], u32 msr, bool read, bool write, bool exits);

#endif
