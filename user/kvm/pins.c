/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/pins.h"

#include <pthread.h>
#include <sys/mman.h>

#include <luvalley/calls.h>

#include "kvm/fds.h"
#include "lib/pin.h"

#define RANGES_MAX 1024u

/* Readers without the lock may see a range change under them: whoever pins and unmaps the same
 * memory at the same time has lost anyway. */
struct range {
	uintptr_t begin, end; /* a; empty: both 0 */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of changes */
static struct range ranges[RANGES_MAX];
static unsigned used;	    /* a: none from here on was ever used */
static uint32_t generation; /* whose pins these are: a child has none */

static struct range load(unsigned i)
{
	return (struct range){__atomic_load_n(&ranges[i].begin, __ATOMIC_RELAXED),
			      __atomic_load_n(&ranges[i].end, __ATOMIC_RELAXED)};
}

static void store(unsigned i, struct range range)
{
	__atomic_store_n(&ranges[i].begin, range.begin, __ATOMIC_RELAXED);
	__atomic_store_n(&ranges[i].end, range.end, __ATOMIC_RELAXED);
}

static bool overlap(struct range a, struct range b)
{
	return a.begin < b.end && b.begin < a.end;
}

static unsigned count(void)
{
	return __atomic_load_n(&used, __ATOMIC_ACQUIRE);
}

bool pins_touch(uintptr_t address, size_t size)
{
	const struct range range = {address, address + size};

	for (unsigned i = 0; i < count(); i++)
		if (overlap(load(i), range))
			return generation == fds_forks();
	return false;
}

bool pins_extend(uintptr_t *begin, uintptr_t *end)
{
	bool found = false;

	for (unsigned i = 0; i < count(); i++) {
		struct range range = load(i);

		if (!overlap(range, (struct range){*begin, *end}))
			continue;
		found = true;
		*begin = range.begin < *begin ? range.begin : *begin;
		*end = range.end > *end ? range.end : *end;
	}
	return found && generation == fds_forks();
}

/* The first piece of the range that is not pinned; empty: there is none. */
static struct range next_gap(struct range range)
{
	bool moved;

	do {
		moved = false;
		for (unsigned i = 0; i < used; i++) {
			if (ranges[i].begin <= range.begin && range.begin < ranges[i].end) {
				range.begin = ranges[i].end;
				moved = true;
			}
		}
	} while (moved);
	if (range.begin >= range.end)
		return (struct range){0, 0};
	for (unsigned i = 0; i < used; i++)
		if (ranges[i].begin > range.begin && ranges[i].begin < range.end)
			range.end = ranges[i].begin;
	return range;
}

static int keep_one(struct range gap, const char **why)
{
	unsigned i = 0;
	int result;

	while (i < used && ranges[i].end)
		i++;
	if (i == RANGES_MAX) {
		*why = "too many separate ranges of memory are pinned";
		return LUV_ERR_NOMEM;
	}
	result = luv_pin((void *)gap.begin, gap.end - gap.begin, why);
	if (result < 0)
		return result;
	store(i, gap);
	if (i == used)
		__atomic_store_n(&used, i + 1, __ATOMIC_RELEASE);
	return 0;
}

/* A child has none of its parent's pins. */
static void forget_parents(void)
{
	if (generation == fds_forks())
		return;
	for (unsigned i = 0; i < used; i++)
		store(i, (struct range){0, 0});
	generation = fds_forks();
}

int pins_keep(uintptr_t address, size_t size, const char **why)
{
	struct range range = {address, address + size}, gap;
	int result = 0;

	pthread_mutex_lock(&lock);
	forget_parents();
	while (result == 0 && (gap = next_gap(range)).end) {
		result = keep_one(gap, why);
		range.begin = gap.end;
	}
	pthread_mutex_unlock(&lock);
	return result;
}

void pins_drop(uintptr_t begin, uintptr_t end)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < used && generation == fds_forks(); i++) {
		struct range range = ranges[i];

		if (!overlap(range, (struct range){begin, end}))
			continue;
		store(i, (struct range){0, 0});
		(void)luv_unpin((void *)range.begin, range.end - range.begin);
	}
	pthread_mutex_unlock(&lock);
}

void pins_relock(void)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < used && generation == fds_forks(); i++)
		if (ranges[i].end)
			(void)mlock((void *)ranges[i].begin, ranges[i].end - ranges[i].begin);
	pthread_mutex_unlock(&lock);
}
