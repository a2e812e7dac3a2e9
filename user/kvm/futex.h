/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting for a word to change. */
#ifndef KVM_FUTEX_H
#define KVM_FUTEX_H

#include <stdint.h>

/* Until somebody wakes, a signal handler has run, or the word is not `value` (any more). */
void futex_wait(uint32_t *word, uint32_t value);
void futex_wake(uint32_t *word);
/* The same, and not beyond that time: CLOCK_MONOTONIC in ns; 0: for ever. */
void futex_wait_until(uint32_t *word, uint32_t value, uint64_t until);

/* Every CPU that runs a thread of this process has an interrupt; memory is ordered as by a full
 * barrier on each. 0 or a negative errno value: _prepare comes first, once in a process. */
int barrier_prepare(void);
void barrier_everywhere(void);

#endif
