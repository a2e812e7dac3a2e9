/* SPDX-License-Identifier: BSD-2-Clause */
/* Physical memory for parsers under test: a buffer, of which only some ranges are readable. */
#ifndef TESTS_FAKE_MEMORY_H
#define TESTS_FAKE_MEMORY_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/phys_view.h"

#define FAKE_RANGES 4

struct fake_memory {
	struct phys_view view; /* first: the view's function finds us by it */
	u8 *bytes;	       /* [0, size); from the heap, so that ASan sees an overrun */
	u64 size;
	u32 count; /* readable ranges */
	struct {
		u64 base, size;
	} readable[FAKE_RANGES];
	u8 *lent; /* the copy handed out last */
	u64 reads;
};

/*
 * Each read gets a heap copy of exactly the bytes asked for, and the one before is freed: ASan
 * reports a reader that goes beyond its size, or that keeps a pointer across reads.
 */
static inline const void *fake_memory_at(const struct phys_view *view, u64 address, u64 size)
{
	struct fake_memory *memory = (struct fake_memory *)(uintptr_t)view;

	memory->reads++;
	for (u32 i = 0; i < memory->count; i++) {
		if (!range_within(address, size, memory->readable[i].base,
				  memory->readable[i].size))
			continue;
		free(memory->lent);
		memory->lent = malloc(size);
		memcpy(memory->lent, memory->bytes + address, size);
		return memory->lent;
	}
	return NULL;
}

static inline void fake_memory_allow(struct fake_memory *memory, u64 base, u64 size)
{
	assert(memory->count < FAKE_RANGES && range_within(base, size, 0, memory->size));
	memory->readable[memory->count].base = base;
	memory->readable[memory->count].size = size;
	memory->count++;
}

/* size bytes of zeros from address 0 on, none of them readable yet. */
static inline void fake_memory_init(struct fake_memory *memory, u64 size)
{
	*memory = (struct fake_memory){.view = {fake_memory_at}, .size = size};
	memory->bytes = calloc(1, size);
}

static inline void fake_memory_free(struct fake_memory *memory)
{
	free(memory->lent);
	free(memory->bytes);
}

static inline void fake_memory_put(struct fake_memory *memory, u64 address, const void *from,
				   u64 size)
{
	assert(range_within(address, size, 0, memory->size));
	memcpy(memory->bytes + address, from, size);
}

/* xorshift64: the same numbers in every run. */
static inline u64 next_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Damages 1 to 4 bytes: often with the values that break length and count checks. */
static inline void damage(u8 *bytes, u64 size, u64 *state)
{
	static const u8 nasty[] = {0, 1, 0x7f, 0x80, 0xff};

	for (u64 n = next_random(state) % 4 + 1; n > 0; n--) {
		u64 at = next_random(state) % size;
		u64 choice = next_random(state);

		bytes[at] = choice & 1 ? nasty[(choice >> 8) % sizeof(nasty)] : choice >> 8;
	}
}

#endif
