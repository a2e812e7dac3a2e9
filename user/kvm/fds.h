/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which descriptors are KVM's. Each is a real descriptor of an empty, sealed memory file, so
 * that numbers, close-on-exec and /proc/self/fd are as they should be; this table says what it
 * stands for. Look-ups take no lock and are safe in signal handlers.
 */
#ifndef KVM_FDS_H
#define KVM_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum object_kind {
	OBJECT_SYSTEM, /* /dev/kvm */
	OBJECT_VM,
	OBJECT_VCPU,
};

/*
 * What descriptors refer to; it lives while a descriptor names it or a call uses it. Its memory
 * is never given back, only used again for another.
 */
struct object {
	enum object_kind kind;
	uint32_t state; /* a, futex: OBJECT_ bits, and how many descriptors and calls at work */
	uint32_t forks; /* process generation that made it: fds_forks() */
	void *self;	/* struct vm or struct vcpu */
	void (*end)(void *self); /* after the last reference */
	struct object *next_free;
};

/* One word, so that a call comes and goes with one locked instruction each. */
#define OBJECT_LOCK	 3u /* 0: free; 1: taken; 2: taken, and somebody may wait */
#define OBJECT_TAKEN	 1u
#define OBJECT_WAITED	 2u
#define OBJECT_LOCKS	 4u /* a vCPU: one ioctl at a time, KVM_RUN included */
#define OBJECT_REFERENCE 8u

/*
 * A new object with one descriptor: `descriptor` itself when it is not negative (it stays open
 * on failure), else a placeholder called `name`. The descriptor's number, or a negative errno
 * value; `end` is not called then.
 */
int fds_create(enum object_kind kind, const char *name, int descriptor, void *self,
	       void (*end)(void *));

/* The object behind a descriptor, with a reference for object_put; NULL: not one of KVM's. */
struct object *fds_get(int descriptor);
void object_put(struct object *object);

/* Where every KVM_RUN comes by, the parts of the next two that nearly always are all. */
#define DESCRIPTORS_MAX 65536

extern struct object *fds_table[DESCRIPTORS_MAX]; /* a */
struct object *fds_enter_slowly(int descriptor);
void object_leave_slowly(struct object *object);

/* Whether there is a lock is in the word itself: the memory may be another object's by now. */
static inline bool object_enter_quick(struct object *object)
{
	uint32_t is = __atomic_load_n(&object->state, __ATOMIC_RELAXED);

	return is >= OBJECT_REFERENCE && !(is & OBJECT_LOCK) &&
	       __atomic_compare_exchange_n(&object->state, &is,
					   is + OBJECT_REFERENCE +
					       is / OBJECT_LOCKS % 2 * OBJECT_TAKEN,
					   false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void object_leave(struct object *object)
{
	uint32_t is = __atomic_load_n(&object->state, __ATOMIC_RELAXED);

	if ((is & OBJECT_LOCK) == OBJECT_WAITED || is < 2 * OBJECT_REFERENCE ||
	    !__atomic_compare_exchange_n(&object->state, &is,
					 (is - OBJECT_REFERENCE) & ~OBJECT_LOCK, false,
					 __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		object_leave_slowly(object);
}

/* The same as fds_get for an ioctl: with its lock, too, where it has one. object_leave gives
 * both back. */
static inline struct object *fds_enter(int descriptor)
{
	struct object *object;

	if (descriptor < 0 || descriptor >= DESCRIPTORS_MAX)
		return NULL;
	object = __atomic_load_n(&fds_table[descriptor], __ATOMIC_ACQUIRE);
	if (!object)
		return NULL;
	if (!object_enter_quick(object))
		return fds_enter_slowly(descriptor);
	/* The memory may be another object's by now. */
	if (__atomic_load_n(&fds_table[descriptor], __ATOMIC_ACQUIRE) == object)
		return object;
	object_leave(object);
	return fds_enter_slowly(descriptor);
}

/* Is it one of KVM's? Cheap: for wrappers that mostly see others. */
bool fds_known(int descriptor);

/* The descriptor is about to be closed; and all from first to last. Before the system's call.
 */
void fds_forget(int descriptor);
void fds_forget_range(unsigned first, unsigned last);

/* `copy` is a duplicate of `descriptor` now, as the system's call made it: `copy` or a negative
 * errno value (`copy` is closed then). */
int fds_copy(int descriptor, int copy);

/*
 * A descriptor of this library's own: moved to a high number, out of the client's way, and
 * marked, so that a client that closes what is not its own does not get it. The new number;
 * negative in, negative out. fds_close takes it back, and closes any other descriptor, too.
 */
int fds_keep(int descriptor);
void fds_close(int descriptor);
bool fds_kept(int descriptor);

/* The first such descriptor from this number on; negative: there is none. */
int fds_next_kept(unsigned from);

/* How often this process is a child that was forked with this library in it. Virtual machines
 * of the parent are not the child's. */
extern uint32_t fds_fork_count; /* a */

static inline uint32_t fds_forks(void)
{
	return __atomic_load_n(&fds_fork_count, __ATOMIC_RELAXED);
}

#endif
