/* SPDX-License-Identifier: BSD-2-Clause */
/* A lock that is nearly always free: a futex. 0: free; 1: taken; 2: taken, and somebody may
 * wait. */
#ifndef KVM_LOCK_H
#define KVM_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm/futex.h"

static inline void lock_take(uint32_t *lock)
{
	uint32_t is = 0;

	if (__atomic_compare_exchange_n(lock, &is, 1, false, __ATOMIC_ACQUIRE,
					__ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(lock, 2, __ATOMIC_ACQUIRE))
		futex_wait(lock, 2);
}

static inline void lock_release(uint32_t *lock)
{
	if (__atomic_exchange_n(lock, 0, __ATOMIC_RELEASE) == 2)
		futex_wake(lock);
}

#endif
