/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which memory of this process is pinned for guests. Ranges stay pinned when their slot goes,
 * because firmware deletes and re-creates the slot that holds nearly all memory many times;
 * they are unpinned when the client unmaps or discards them, or when the last VM has ended.
 */
#ifndef KVM_PINS_H
#define KVM_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pins what of the range is not pinned yet: 0, or a LUV_ERR_ code and a sentence. */
int pins_keep(uintptr_t address, size_t size, const char **why);

/* Does a byte of the range lie in a pinned one? Takes no lock; cheap when nothing is pinned. */
bool pins_touch(uintptr_t address, size_t size);

/*
 * The ranges that hold a byte of this one, as a whole: what an unpin would take. False: none.
 * *begin and *end are in and out.
 */
bool pins_extend(uintptr_t *begin, uintptr_t *end);

/* Unpins every range that holds a byte of this one. */
void pins_drop(uintptr_t begin, uintptr_t end);

/* Locks again what munlockall has unlocked. */
void pins_relock(void);

#endif
