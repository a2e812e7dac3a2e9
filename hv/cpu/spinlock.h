/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ticket lock: fair, and safe because the hypervisor runs with all interrupts off (GIF=0 on AMD),
 * so no holder can be interrupted on its own CPU. Lock order: docs/locking.md.
 */
#ifndef CPU_SPINLOCK_H
#define CPU_SPINLOCK_H

#include "cpu/x86.h"

struct spinlock {
	u16 next;
	u16 owner;
};

static inline void spin_lock(struct spinlock *lock)
{
	u16 ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE) != ticket)
		cpu_relax();
}

static inline void spin_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->owner, (u16)(lock->owner + 1), __ATOMIC_RELEASE);
}

#endif
