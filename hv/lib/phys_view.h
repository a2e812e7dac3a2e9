/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A way to read physical memory that may hold hostile or damaged data (firmware tables, loader
 * structures). Parsers take one of these instead of dereferencing addresses, so that the same
 * code runs on the machine and in a host test, and so that no address is read unchecked.
 */
#ifndef LIB_PHYS_VIEW_H
#define LIB_PHYS_VIEW_H

#include "lib/string.h"
#include "lib/types.h"

struct phys_view {
	/*
	 * The bytes [address, address + size), or NULL where they are not readable (outside the
	 * machine's memory, or a range that wraps). The bytes may change under the reader.
	 */
	const void *(*at)(const struct phys_view *view, u64 address, u64 size);
};

static inline const void *phys_at(const struct phys_view *view, u64 address, u64 size)
{
	return view->at(view, address, size);
}

/* Copies once, because the bytes may change. False where they are not readable. */
static inline bool phys_read(const struct phys_view *view, u64 address, void *to, u64 size)
{
	const void *from = phys_at(view, address, size);

	if (from)
		memcpy(to, from, size);
	return from;
}

#endif
