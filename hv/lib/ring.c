/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/ring.h"

#include "lib/string.h"

void ring_write(struct ring *ring, const char *from, size_t size)
{
	u64 skipped = size > ring->size ? size - ring->size : 0;
	u64 at = (ring->written + skipped) & (ring->size - 1);
	u64 kept = size - skipped;
	u64 first = min_u64(kept, ring->size - at);

	memcpy(ring->bytes + at, from + skipped, first);
	memcpy(ring->bytes, from + skipped + first, kept - first);
	ring->written += size;
}

size_t ring_read(const struct ring *ring, u64 position, char *to, size_t size, u64 *lost)
{
	u64 oldest = ring->written > ring->size ? ring->written - ring->size : 0;
	u64 start = max_u64(position, oldest);
	u64 at = start & (ring->size - 1);
	u64 count, first;

	*lost = start - position;
	if (start >= ring->written)
		return 0;
	count = min_u64(size, ring->written - start);
	first = min_u64(count, ring->size - at);
	memcpy(to, ring->bytes + at, first);
	memcpy(to + first, ring->bytes, count - first);
	return count;
}
