/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A byte ring that keeps the newest bytes. Positions count from the first byte ever written, so
 * a reader notices what it missed. The caller locks. Pure.
 */
#ifndef LIB_RING_H
#define LIB_RING_H

#include "lib/types.h"

struct ring {
	char *bytes;
	u64 size;    /* a power of two */
	u64 written; /* bytes ever written: the position behind the newest one */
};

void ring_write(struct ring *ring, const char *from, size_t size);

/*
 * Copies up to size bytes from position on and returns how many. *lost = how many bytes at
 * position were already overwritten; the copy begins behind them.
 */
size_t ring_read(const struct ring *ring, u64 position, char *to, size_t size, u64 *lost);

#endif
