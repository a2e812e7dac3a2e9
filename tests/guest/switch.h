/* SPDX-License-Identifier: BSD-2-Clause */
/* What switch.S and switch.c agree on: offsets in the block of a program that checks its registers. */
#ifndef GUEST_SWITCH_H
#define GUEST_SWITCH_H

#define BLOCK_COUNTER	0x00 /* u32: rounds that are left */
#define BLOCK_MASK	0x04 /* u32: of XSAVE */
#define BLOCK_ROUNDS	0x08 /* u64: completed */
#define BLOCK_SEGMENTS	0x10 /* u64 each: what FS, GS, and GS after SWAPGS point to */
#define BLOCK_DR	0x28 /* u64 each: DR0 to DR3 */
#define BLOCK_IMAGE	0x400 /* XSAVE areas: what to load, */
#define BLOCK_SAVED	0x800 /* what was saved, */
#define BLOCK_INITIAL	0xc00 /* a CPU's initial state */

/* Looks at the general registers before it looks at everything else. */
#define INNER_ROUNDS 20000

/* The differing part of a program's values; registers add their number times 01010101h. */
#define SEED_GUEST_A 0x10203040
#define SEED_GUEST_B 0x21324354
#define SEED_DOM0_A  0x05162738
#define SEED_DOM0_B  0x3a4b5c6d

/* Parts of an XSAVE area (SDM 1 13.4): MXCSR to XMM15, and the upper halves of YMM. */
#define XSAVE_MXCSR 24
#define XSAVE_ST    32
#define XSAVE_XMM   160
#define XSAVE_BV    512
#define XSAVE_YMM   576

#define LEGACY_WORDS ((416 - XSAVE_MXCSR) / 8)
#define YMM_WORDS    32

#define PORT_ROUND  0x10 /* OUT after each round */
#define PORT_FAILED 0x66

#endif
