/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages are pinned, and for how many pins. The system pins ranges as a whole (a slot),
 * pins of clients overlap as they like: a new pin adds slots for what no slot covers yet, and a
 * slot goes when no pin touches it any more.
 */
#include "lib/pin.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <luvalley/calls.h>

#include "lib/pin_os.h"

#define PAGE_MASK ((uintptr_t)4095)
#define PINS_MAX  4096u

struct range {
	uintptr_t begin, end; /* empty: both 0 */
};

struct pin {
	struct range range;
	unsigned count; /* of luv_pin of just this range; 0: the entry is free */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below */
static struct range slots[LUV_PIN_SLOTS];
static unsigned slots_used; /* no slot from here on has ever been used */
static struct pin pins[PINS_MAX];
static unsigned pins_used;

static bool overlap(struct range a, struct range b)
{
	return a.begin < b.end && b.begin < a.end;
}

/* Whole pages around the bytes. */
static bool to_range(const void *address, size_t size, struct range *range)
{
	uintptr_t begin = (uintptr_t)address & ~PAGE_MASK, end;

	if (size == 0 || __builtin_add_overflow((uintptr_t)address, size, &end) ||
	    __builtin_add_overflow(end, PAGE_MASK, &end))
		return false;
	*range = (struct range){begin, end & ~PAGE_MASK};
	return range->begin < range->end;
}

static struct pin *find_pin(struct range range)
{
	for (unsigned i = 0; i < pins_used; i++) {
		struct pin *pin = &pins[i];

		if (pin->count && pin->range.begin == range.begin &&
		    pin->range.end == range.end)
			return pin;
	}
	return NULL;
}

static struct pin *free_pin(void)
{
	for (unsigned i = 0; i < pins_used; i++)
		if (!pins[i].count)
			return &pins[i];
	return pins_used < PINS_MAX ? &pins[pins_used++] : NULL;
}

static struct range *free_slot(void)
{
	for (unsigned i = 0; i < slots_used; i++)
		if (!slots[i].end)
			return &slots[i];
	return slots_used < LUV_PIN_SLOTS ? &slots[slots_used++] : NULL;
}

static const struct range *slot_at(uintptr_t address)
{
	for (unsigned i = 0; i < slots_used; i++)
		if (slots[i].begin <= address && address < slots[i].end)
			return &slots[i];
	return NULL;
}

/* The first piece of the range that no slot covers and one slot can; empty: there is none. */
static struct range next_gap(struct range range)
{
	const struct range *slot;
	uintptr_t limit;

	while (range.begin < range.end && (slot = slot_at(range.begin)))
		range.begin = slot->end;
	if (range.begin >= range.end)
		return (struct range){0, 0};
	for (unsigned i = 0; i < slots_used; i++)
		if (slots[i].begin > range.begin && slots[i].begin < range.end)
			range.end = slots[i].begin;
	limit = (range.begin | (LUV_PIN_SIZE_MAX - 1)) + 1;
	if (limit > range.begin && limit < range.end)
		range.end = limit;
	return range;
}

static int fill_gaps(struct range range, const char **why)
{
	struct range gap;

	while ((gap = next_gap(range)).end) {
		struct range *slot = free_slot();
		int result;

		if (!slot) {
			*why = "too many separate ranges of memory are pinned";
			return LUV_ERR_NOMEM;
		}
		result = luv_pin_os_hold((unsigned)(slot - slots), gap.begin,
					 gap.end - gap.begin, why);
		if (result < 0)
			return result;
		*slot = gap;
		range.begin = gap.end;
	}
	return 0;
}

static bool pinned(struct range range)
{
	for (unsigned i = 0; i < pins_used; i++)
		if (pins[i].count && overlap(pins[i].range, range))
			return true;
	return false;
}

/* A slot that the system does not give back stays in the table: pinned, and found by the next
 * pin. */
static int release_unpinned(struct range range)
{
	int result = 0;

	for (unsigned i = 0; i < slots_used; i++) {
		int released;

		if (!overlap(slots[i], range) || pinned(slots[i]))
			continue;
		released = luv_pin_os_release(i, slots[i].begin, slots[i].end - slots[i].begin);
		if (released < 0)
			result = released;
		else
			slots[i] = (struct range){0, 0};
	}
	return result;
}

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void after_fork_child(void)
{
	luv_pin_os_forked();
	for (unsigned i = 0; i < slots_used; i++)
		slots[i] = (struct range){0, 0};
	for (unsigned i = 0; i < pins_used; i++)
		pins[i].count = 0;
	slots_used = pins_used = 0;
	pthread_mutex_unlock(&lock);
}

static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static int pin_locked(struct range range, const char **why)
{
	struct pin *pin = find_pin(range);
	int result;

	if (!pin)
		pin = free_pin();
	if (!pin) {
		*why = "too many ranges of memory are pinned";
		return LUV_ERR_NOMEM;
	}
	result = fill_gaps(range, why);
	if (result < 0) {
		release_unpinned(range);
		return result;
	}
	pin->range = range;
	pin->count++;
	return 0;
}

int luv_pin(void *address, size_t size, const char **why)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct range range;
	int result;

	if (!to_range(address, size, &range)) {
		*why = "this is no range of memory";
		return LUV_ERR_INVAL;
	}
	pthread_once(&once, watch_forks);
	pthread_mutex_lock(&lock);
	result = pin_locked(range, why);
	pthread_mutex_unlock(&lock);
	return result;
}

int luv_unpin(void *address, size_t size)
{
	struct range range;
	struct pin *pin;
	int result = LUV_ERR_NOENT;

	if (!to_range(address, size, &range))
		return LUV_ERR_INVAL;
	pthread_mutex_lock(&lock);
	pin = find_pin(range);
	if (pin) {
		pin->count--;
		result = pin->count ? 0 : release_unpinned(range);
	}
	pthread_mutex_unlock(&lock);
	return result;
}

int luv_pin_allowed(size_t size, const char **why)
{
	return size ? luv_pin_os_allowed(size, why) : 0;
}

int luv_pin_descriptor(int from)
{
	return luv_pin_os_descriptor(from);
}
