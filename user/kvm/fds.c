/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/fds.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm/futex.h"
#include "kvm/real.h"
#include "lib/pin.h"

struct object *fds_table[DESCRIPTORS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct object *free_objects;	    /* lock */
static uint64_t kept[DESCRIPTORS_MAX / 64]; /* a: a bit a descriptor */
uint32_t fds_fork_count;
static pid_t owner; /* a: the process whose table this is */

/* --- forks ------------------------------------------------------------------------------- */

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
	pthread_mutex_unlock(&lock);
	memset(kept, 0, sizeof(kept)); /* of threads and pins that the child does not have */
	__atomic_fetch_add(&fds_fork_count, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&owner, getpid(), __ATOMIC_RELAXED);
}

static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
	__atomic_store_n(&owner, getpid(), __ATOMIC_RELAXED);
}

/* A child of vfork uses its parent's memory, but has descriptors of its own. */
static bool in_vfork(void)
{
	return getpid() != __atomic_load_n(&owner, __ATOMIC_RELAXED);
}

/* --- objects ----------------------------------------------------------------------------- */

static struct object *object_new(void)
{
	struct object *object;

	pthread_mutex_lock(&lock);
	object = free_objects;
	if (object)
		free_objects = object->next_free;
	pthread_mutex_unlock(&lock);
	return object ? object : calloc(1, sizeof(*object));
}

static void object_recycle(struct object *object)
{
	pthread_mutex_lock(&lock);
	object->next_free = free_objects;
	free_objects = object;
	pthread_mutex_unlock(&lock);
}

/* Fails for an object that is being taken down. */
static bool take_reference(struct object *object)
{
	uint32_t is = __atomic_load_n(&object->state, __ATOMIC_RELAXED);

	while (is >= OBJECT_REFERENCE)
		if (__atomic_compare_exchange_n(&object->state, &is, is + OBJECT_REFERENCE,
						true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	return false;
}

/* After the last reference. */
static void object_end(struct object *object)
{
	/* A child's copy of its parent's VM has nothing behind it to end. */
	if (object->end && object->forks == fds_forks())
		object->end(object->self);
	object_recycle(object);
}

void object_put(struct object *object)
{
	if (__atomic_sub_fetch(&object->state, OBJECT_REFERENCE, __ATOMIC_ACQ_REL) <
	    OBJECT_REFERENCE)
		object_end(object);
}

/* With a reference. In a forked child the holder of a parent's lock may be no more; there the
 * lock guards nothing. */
static void object_lock(struct object *object)
{
	uint32_t is = __atomic_load_n(&object->state, __ATOMIC_RELAXED), want;

	while (is & OBJECT_LOCKS && object->forks == fds_forks()) {
		want = (is & ~OBJECT_LOCK) | OBJECT_WAITED;
		if (is != want &&
		    !__atomic_compare_exchange_n(&object->state, &is, want, true,
						 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		if (!(is & OBJECT_LOCK))
			return;
		futex_wait(&object->state, want);
		is = __atomic_load_n(&object->state, __ATOMIC_RELAXED);
	}
}

void object_leave_slowly(struct object *object)
{
	uint32_t is = __atomic_load_n(&object->state, __ATOMIC_RELAXED), next;

	do
		next = (is - OBJECT_REFERENCE) & ~OBJECT_LOCK;
	while (!__atomic_compare_exchange_n(&object->state, &is, next, true, __ATOMIC_ACQ_REL,
					    __ATOMIC_RELAXED));
	/* The memory is never given back: if it is another's by now, that looks once more. */
	if ((is & OBJECT_LOCK) == OBJECT_WAITED)
		futex_wake(&object->state);
	if (next < OBJECT_REFERENCE)
		object_end(object);
}

/* --- the table --------------------------------------------------------------------------- */

static bool in_table(int descriptor)
{
	return descriptor >= 0 && descriptor < DESCRIPTORS_MAX;
}

bool fds_known(int descriptor)
{
	return in_table(descriptor) &&
	       __atomic_load_n(&fds_table[descriptor], __ATOMIC_RELAXED);
}

struct object *fds_get(int descriptor)
{
	struct object *object;

	if (!in_table(descriptor))
		return NULL;
	for (;;) {
		object = __atomic_load_n(&fds_table[descriptor], __ATOMIC_ACQUIRE);
		if (!object || !take_reference(object))
			return NULL;
		/* The memory may be another object's by now. */
		if (__atomic_load_n(&fds_table[descriptor], __ATOMIC_ACQUIRE) == object)
			return object;
		object_put(object);
	}
}

/* Which object it is is settled before the lock is waited for, as Linux does it. */
struct object *fds_enter_slowly(int descriptor)
{
	struct object *object = fds_get(descriptor);

	if (object)
		object_lock(object);
	return object;
}

static int placeholder(const char *name)
{
	int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (descriptor < 0)
		return -errno;
	(void)real()->fcntl(descriptor, F_ADD_SEALS,
			    F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	return descriptor;
}

int fds_create(enum object_kind kind, const char *name, int descriptor, void *self,
	       void (*end)(void *))
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	bool own = descriptor < 0;
	struct object *object;

	pthread_once(&once, watch_forks);
	if (own)
		descriptor = placeholder(name);
	if (descriptor < 0)
		return descriptor;
	object = in_table(descriptor) ? object_new() : NULL;
	if (!object) {
		if (own)
			real()->close(descriptor);
		return in_table(descriptor) ? -ENOMEM : -EMFILE;
	}
	object->kind = kind;
	object->forks = fds_forks();
	object->self = self;
	object->end = end;
	__atomic_store_n(&object->state,
			 OBJECT_REFERENCE + (kind == OBJECT_VCPU ? OBJECT_LOCKS : 0),
			 __ATOMIC_RELEASE);
	__atomic_store_n(&fds_table[descriptor], object, __ATOMIC_RELEASE);
	return descriptor;
}

void fds_forget(int descriptor)
{
	struct object *object;

	if (!fds_known(descriptor) || in_vfork())
		return;
	object = __atomic_exchange_n(&fds_table[descriptor], NULL, __ATOMIC_ACQ_REL);
	if (object)
		object_put(object);
}

void fds_forget_range(unsigned first, unsigned last)
{
	for (unsigned i = first; i <= last && i < DESCRIPTORS_MAX; i++)
		fds_forget((int)i);
}

int fds_copy(int descriptor, int copy)
{
	struct object *object = fds_get(descriptor), *old;

	if (copy == descriptor || !object || in_vfork()) {
		if (object)
			object_put(object);
		return copy;
	}
	if (!in_table(copy)) {
		object_put(object);
		real()->close(copy);
		return -EMFILE;
	}
	old = __atomic_exchange_n(&fds_table[copy], object, __ATOMIC_ACQ_REL);
	if (old)
		object_put(old);
	return copy;
}

/* --- the library's own ------------------------------------------------------------------- */

/* Below it programs use numbers for themselves, far above it the kernel's table grows large. */
#define KEPT_MIN 960

static void mark(int descriptor, bool set)
{
	uint64_t bit = 1ull << descriptor % 64;

	if (!in_table(descriptor))
		return;
	if (set)
		__atomic_fetch_or(&kept[descriptor / 64], bit, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&kept[descriptor / 64], ~bit, __ATOMIC_RELAXED);
}

int fds_keep(int descriptor)
{
	int high = descriptor < 0 ? -1 : real()->fcntl(descriptor, F_DUPFD_CLOEXEC, KEPT_MIN);

	if (high >= 0) {
		real()->close(descriptor);
		descriptor = high;
	}
	mark(descriptor, true);
	return descriptor;
}

void fds_close(int descriptor)
{
	mark(descriptor, false);
	real()->close(descriptor);
}

bool fds_kept(int descriptor)
{
	return in_table(descriptor) &&
	       (descriptor == luv_pin_descriptor(descriptor) ||
		__atomic_load_n(&kept[descriptor / 64], __ATOMIC_RELAXED) >> descriptor % 64 &
		    1);
}

int fds_next_kept(unsigned from)
{
	int pins = from < DESCRIPTORS_MAX ? luv_pin_descriptor((int)from) : -1, found = -1;

	for (unsigned i = from; i < DESCRIPTORS_MAX && found < 0; i++) {
		uint64_t word = __atomic_load_n(&kept[i / 64], __ATOMIC_RELAXED) >> i % 64;

		if (word)
			found = (int)(i + (unsigned)__builtin_ctzll(word));
		i |= 63;
	}
	if (pins >= 0 && (found < 0 || pins < found))
		found = pins;
	return found;
}
