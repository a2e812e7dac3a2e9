/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which memory of this process is pinned for guests. Slots lie in *areas*. Of an area that is
 * pinned at once which the client has touched already; the rest piece by piece, when guests
 * touch it. Pieces stay pinned when their slot goes, because firmware deletes and re-creates
 * the slot that holds nearly all memory many times; they are unpinned when the client unmaps or
 * discards them, or when the last VM has ended.
 *
 * What changes pins, and the client's changes of its mappings in areas, exclude each other: a
 * page that is discarded while it is being pinned would be another one afterwards (memory.c).
 */
#ifndef KVM_PINS_H
#define KVM_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes the range part of an area: 0, or a LUV_ERR_ code and a sentence when it cannot be
 * pinned. */
int pins_add_area(uintptr_t address, size_t size, const char **why);

/*
 * The piece of a slot that is pinned when a guest touches an address in it: *begin and *end are
 * the slot's, then the piece's.
 */
void pins_piece(uintptr_t address, uintptr_t *begin, uintptr_t *end);

/* Pins what of the range is not pinned yet: 0, or a LUV_ERR_ code and a sentence. */
int pins_keep(uintptr_t begin, uintptr_t end, const char **why);

/*
 * Does a byte of the range lie in an area, or may it, because a change is under way? Takes no
 * lock; cheap when there is none.
 */
bool pins_touch(uintptr_t address, size_t size);

/* Is every byte of it pinned? */
bool pins_hold(uintptr_t address, size_t size);

/* What is known to be pinned around an address. False: it is not. */
bool pins_around(uintptr_t address, uintptr_t *begin, uintptr_t *end);

/*
 * The pinned pieces that hold a byte of this range, as a whole: what an unpin would take.
 * False: none. *begin and *end are in and out.
 */
bool pins_extend(uintptr_t *begin, uintptr_t *end);

/* Unpins every piece that holds a byte of this range, and forgets the areas in it. */
void pins_drop(uintptr_t begin, uintptr_t end);

/* Makes areas of this range none, for one in which no slot lies and nothing is pinned. */
void pins_trim(uintptr_t begin, uintptr_t end);

/*
 * Around a change of the client's mappings: areas are forgotten and come back, and until then a
 * thread that asks (pins_touch) is told to wait for the end, whatever memory it asks about.
 */
void pins_change_begin(void);
void pins_change_end(void);

/* In a forked child, which has none of its parent's pins. */
void pins_forget(void);

/* Locks again what munlockall has unlocked. */
void pins_relock(void);

#endif
