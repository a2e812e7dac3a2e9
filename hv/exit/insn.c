/* SPDX-License-Identifier: BSD-2-Clause */
#include "exit/insn.h"

/* APM 3 1.2.1. */
static bool is_legacy_prefix(u8 byte)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66:
	case 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return false;
	}
}

unsigned insn_length(const u8 *bytes, unsigned count, bool long_mode, const u8 *opcode,
		     unsigned opcode_size)
{
	unsigned limit = count < INSN_MAX ? count : INSN_MAX;
	unsigned at = 0;

	while (at < limit && is_legacy_prefix(bytes[at]))
		at++;
	if (long_mode && at < limit && (bytes[at] & 0xf0) == 0x40)
		at++;
	if (!opcode_size || opcode_size > limit - at)
		return 0;
	for (unsigned i = 0; i < opcode_size; i++)
		if (bytes[at + i] != opcode[i])
			return 0;
	return at + opcode_size;
}

void insn_prefixes(const u8 *bytes, unsigned count, struct insn_prefixes *prefixes)
{
	static const u8 overrides[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};

	*prefixes = (struct insn_prefixes){.segment = INSN_NO_SEGMENT};
	for (unsigned i = 0; i < count && is_legacy_prefix(bytes[i]); i++) {
		if (bytes[i] == 0x67)
			prefixes->address_size = true;
		for (u8 s = 0; s < sizeof(overrides); s++) {
			if (bytes[i] == overrides[s])
				prefixes->segment = s;
		}
	}
}

unsigned insn_mov_to_cr(const u8 *bytes, unsigned count, bool long_mode, u8 *cr, u8 *gpr)
{
	unsigned limit = count < INSN_MAX ? count : INSN_MAX, at = 0;
	bool lock = false;
	u8 rex = 0;

	for (; at < limit && is_legacy_prefix(bytes[at]); at++)
		lock |= bytes[at] == 0xf0;
	if (long_mode && at < limit && (bytes[at] & 0xf0) == 0x40)
		rex = bytes[at++];
	if (limit - at < 3 || bytes[at] != 0x0f || bytes[at + 1] != 0x22)
		return 0;
	/* ModRM.reg extended by REX.R (bit 2), or LOCK in its place; mod is ignored. */
	if (lock && rex & 4)
		return 0;
	*cr = (u8)((bytes[at + 2] >> 3 & 7) | (lock || rex & 4 ? 8 : 0));
	*gpr = (u8)((bytes[at + 2] & 7) | (rex & 1) << 3);
	return at + 3;
}
