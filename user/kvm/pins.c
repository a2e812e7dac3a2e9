/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/pins.h"

#include <pthread.h>
#include <sys/mman.h>

#include <luvalley/calls.h>

#include "lib/pin.h"

#define PAGE_SIZE  4096u
#define AREAS_MAX  256u
#define PIECES_MAX 4096u

/*
 * A piece is a huge page. There is room for a few thousand, so from PIECES_DOUBLE on, and then
 * with every PIECES_STEP more, pieces are twice as large: 1024 of 2 MiB, 256 of 4 MiB, and so
 * on up to 1 GiB.
 */
#define PIECE_SIZE    ((uintptr_t)2 << 20)
#define PIECES_DOUBLE 1024u
#define PIECES_STEP   256u
#define DOUBLINGS_MAX 9u

/* Of memory that is looked at, whether it is there: a byte a page. */
#define LOOK_SIZE ((uintptr_t)16 << 20)

/* Readers without the lock may see a range change under them: whoever pins and unmaps the same
 * memory at the same time has lost anyway. */
struct range {
	uintptr_t begin, end; /* a; empty: both 0 */
};

struct table {
	struct range *range;
	unsigned max;
	unsigned used; /* a: none from here on was ever used */
};

static struct range area_ranges[AREAS_MAX], piece_ranges[PIECES_MAX];
static struct table areas = {area_ranges, AREAS_MAX, 0};
static struct table pieces = {piece_ranges, PIECES_MAX, 0}; /* each is one luv_pin */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;    /* of changes */

/* --- tables ------------------------------------------------------------------------------ */

static unsigned count(const struct table *table)
{
	return __atomic_load_n(&table->used, __ATOMIC_ACQUIRE);
}

static struct range load(const struct table *table, unsigned i)
{
	return (struct range){__atomic_load_n(&table->range[i].begin, __ATOMIC_RELAXED),
			      __atomic_load_n(&table->range[i].end, __ATOMIC_RELAXED)};
}

static void store(struct table *table, unsigned i, struct range range)
{
	__atomic_store_n(&table->range[i].begin, range.begin, __ATOMIC_RELAXED);
	__atomic_store_n(&table->range[i].end, range.end, __ATOMIC_RELAXED);
}

static bool overlap(struct range a, struct range b)
{
	return a.begin < b.end && b.begin < a.end;
}

/* The place for another range; table->max: there is none. */
static unsigned free_place(const struct table *table)
{
	unsigned i = 0;

	while (i < table->used && table->range[i].end)
		i++;
	return i;
}

static void insert(struct table *table, unsigned i, struct range range)
{
	store(table, i, range);
	if (i == table->used)
		__atomic_store_n(&table->used, i + 1, __ATOMIC_RELEASE);
}

/* Where what is known to be in the table's ranges from an address on ends; the address: it is
 * in none. */
static uintptr_t known_end(const struct table *table, uintptr_t at)
{
	bool moved;

	do {
		moved = false;
		for (unsigned i = 0; i < count(table); i++) {
			struct range range = load(table, i);

			if (range.begin <= at && at < range.end) {
				at = range.end;
				moved = true;
			}
		}
	} while (moved);
	return at;
}

/* The first piece of a range that the table does not have; empty: there is none. */
static struct range next_gap(const struct table *table, struct range range)
{
	range.begin = known_end(table, range.begin);
	if (range.begin >= range.end)
		return (struct range){0, 0};
	for (unsigned i = 0; i < table->used; i++)
		if (table->range[i].begin > range.begin && table->range[i].begin < range.end)
			range.end = table->range[i].begin;
	return range;
}

/* --- questions --------------------------------------------------------------------------- */

bool pins_touch(uintptr_t address, size_t size)
{
	const struct range range = {address, address + size};

	for (unsigned i = 0; i < count(&areas); i++)
		if (overlap(load(&areas, i), range))
			return true;
	return false;
}

bool pins_hold(uintptr_t address, size_t size)
{
	return known_end(&pieces, address) >= address + size;
}

bool pins_around(uintptr_t address, uintptr_t *begin, uintptr_t *end)
{
	struct range around = {address, address};

	/* Once each way: not all there is, but what was pinned in one direction. */
	for (unsigned i = 0; i < count(&pieces); i++) {
		struct range range = load(&pieces, i);

		if (range.begin <= around.end && around.end < range.end)
			around.end = range.end;
	}
	for (unsigned i = count(&pieces); i-- > 0;) {
		struct range range = load(&pieces, i);

		if (range.begin <= around.begin && around.begin <= range.end && range.end)
			around.begin = range.begin;
	}
	*begin = around.begin;
	*end = around.end;
	return around.begin <= address && address < around.end;
}

bool pins_extend(uintptr_t *begin, uintptr_t *end)
{
	bool found = false;

	for (unsigned i = 0; i < count(&pieces); i++) {
		struct range range = load(&pieces, i);

		if (!overlap(range, (struct range){*begin, *end}))
			continue;
		found = true;
		*begin = range.begin < *begin ? range.begin : *begin;
		*end = range.end > *end ? range.end : *end;
	}
	return found;
}

void pins_piece(uintptr_t address, uintptr_t *begin, uintptr_t *end)
{
	unsigned used = count(&pieces), doublings = 0;
	uintptr_t size, first;

	if (used >= PIECES_DOUBLE)
		doublings = 1 + (used - PIECES_DOUBLE) / PIECES_STEP;
	size = PIECE_SIZE << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
	first = address & ~(size - 1);
	*begin = first > *begin ? first : *begin;
	*end = *end - first > size ? first + size : *end;
}

/* --- changes ----------------------------------------------------------------------------- */

void pins_forget(void)
{
	pthread_mutex_init(&lock, NULL);
	for (unsigned i = 0; i < areas.used; i++)
		store(&areas, i, (struct range){0, 0});
	for (unsigned i = 0; i < pieces.used; i++)
		store(&pieces, i, (struct range){0, 0});
}

static int keep_piece(struct range gap, const char **why)
{
	unsigned i = free_place(&pieces);
	int result;

	if (i == PIECES_MAX) {
		*why = "too many separate ranges of memory are pinned";
		return LUV_ERR_NOMEM;
	}
	result = luv_pin((void *)gap.begin, gap.end - gap.begin, why);
	if (result == 0)
		insert(&pieces, i, gap);
	return result;
}

static int keep(struct range range, const char **why)
{
	struct range gap;
	int result = 0;

	while (result == 0 && (gap = next_gap(&pieces, range)).end) {
		result = keep_piece(gap, why);
		range.begin = gap.end;
	}
	return result;
}

int pins_keep(uintptr_t begin, uintptr_t end, const char **why)
{
	int result;

	pthread_mutex_lock(&lock);
	result = keep((struct range){begin, end}, why);
	pthread_mutex_unlock(&lock);
	return result;
}

static bool all_there(const unsigned char *pages, size_t number)
{
	for (size_t i = 0; i < number; i++)
		if (!(pages[i] & 1))
			return false;
	return true;
}

/* Looks at LOOK_SIZE at most; *found is what was found to be there, up to `look` and in it, and
 * is not pinned yet. */
static int keep_present(struct range look, struct range *found, const char **why)
{
	unsigned char pages[LOOK_SIZE / PAGE_SIZE];
	bool mapped = mincore((void *)look.begin, look.end - look.begin, pages) == 0;
	int result = 0;

	for (uintptr_t at = look.begin, next; at < look.end && result == 0; at = next) {
		next = (at | (PIECE_SIZE - 1)) + 1;
		next = next < look.end ? next : look.end;
		if (mapped &&
		    all_there(pages + (at - look.begin) / PAGE_SIZE, (next - at) / PAGE_SIZE)) {
			found->end = next;
			continue;
		}
		if (found->end > found->begin)
			result = keep(*found, why);
		*found = (struct range){next, next};
	}
	return result;
}

static void drop(struct range dropped)
{
	for (unsigned i = 0; i < pieces.used; i++) {
		struct range range = pieces.range[i];

		if (!overlap(range, dropped))
			continue;
		store(&pieces, i, (struct range){0, 0});
		(void)luv_unpin((void *)range.begin, range.end - range.begin);
	}
}

/*
 * The first piece is pinned at once: what cannot be pinned is refused when the slot is set, not
 * when it is used. What is there already is, too: it takes no more memory, and nobody has to
 * ask for it later.
 */
static int ready_area(struct range gap, const char **why)
{
	struct range found = {gap.begin, gap.begin};
	uintptr_t begin = gap.begin, end = gap.end;
	int result = luv_pin_allowed(gap.end - gap.begin, why);

	pins_piece(begin, &begin, &end);
	if (result == 0)
		result = keep((struct range){begin, end}, why);
	for (uintptr_t at = gap.begin, next; at < gap.end && result == 0; at = next) {
		next = (at | (LOOK_SIZE - 1)) + 1;
		next = next < gap.end ? next : gap.end;
		result = keep_present((struct range){at, next}, &found, why);
	}
	if (result == 0 && found.end > found.begin)
		result = keep(found, why);
	if (result < 0)
		drop(gap);
	return result;
}

int pins_add_area(uintptr_t address, size_t size, const char **why)
{
	struct range range = {address, address + size}, gap;
	int result = 0;

	pthread_mutex_lock(&lock);
	while (result == 0 && (gap = next_gap(&areas, range)).end) {
		unsigned i = free_place(&areas);

		*why = "there are too many separate ranges of guest memory";
		result = i < AREAS_MAX ? ready_area(gap, why) : LUV_ERR_NOMEM;
		if (result == 0)
			insert(&areas, i, gap);
		range.begin = gap.end;
	}
	pthread_mutex_unlock(&lock);
	return result;
}

void pins_drop(uintptr_t begin, uintptr_t end)
{
	pthread_mutex_lock(&lock);
	drop((struct range){begin, end});
	for (unsigned i = 0; i < areas.used; i++)
		if (areas.range[i].begin >= begin && areas.range[i].end <= end)
			store(&areas, i, (struct range){0, 0});
	pthread_mutex_unlock(&lock);
}

void pins_relock(void)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < pieces.used; i++)
		if (pieces.range[i].end)
			(void)mlock((void *)pieces.range[i].begin,
				    pieces.range[i].end - pieces.range[i].begin);
	pthread_mutex_unlock(&lock);
}
