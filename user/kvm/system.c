/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/system.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "kvm/export.h"
#include "kvm/fds.h"
#include "kvm/real.h"
#include "kvm/user.h"
#include "lib/luvalley.h"
#include "lib/pin.h"

#define MEASURE_NS 20000000u
#define RECENT_NS  1000000000u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below */
static uint32_t key[3];
static bool key_known; /* a key serves children, too; sessions do not */
static int session = -1;
static uint32_t session_forks;
static uintptr_t owner_page;
static uint32_t owner_forks;
static uint32_t tsc_khz;
static uint64_t first_ns, first_tsc; /* where its measurement begins */

bool system_present(void)
{
	return luv_present();
}

void system_complain(const char *what, const char *why)
{
	dprintf(STDERR_FILENO, "luvalley: %s: %s\n", what, why);
}

int system_errno(int result)
{
	switch (result) {
	case LUV_ERR_PERM:
		return -EIO; /* not this address space's */
	case LUV_ERR_AGAIN:
	case LUV_ERR_BUSY:
		return -EBUSY;
	case LUV_ERR_NOSYS:
		return -EIO;
	default:
		return result; /* the other codes are Linux's */
	}
}

static int key_get(void)
{
	const char *fault = key_known ? NULL : luv_key_read(key);

	key_known = !fault;
	if (!fault)
		return 0;
	system_complain(KVM_PATH, fault);
	return -EACCES;
}

int system_open(int flags)
{
	int result, descriptor;

	user_know_stack();
	pthread_mutex_lock(&lock);
	result = key_get();
	pthread_mutex_unlock(&lock);
	if (result < 0)
		return result;
	descriptor = fds_create(OBJECT_SYSTEM, "kvm", -1, NULL, NULL);
	if (descriptor >= 0 && !(flags & O_CLOEXEC))
		(void)real()->fcntl(descriptor, F_SETFD, 0);
	return descriptor;
}

int system_session(void)
{
	int result;

	pthread_mutex_lock(&lock);
	if (session < 0 || session_forks != fds_forks()) {
		session = luv_session_open(key);
		session_forks = fds_forks();
		if (session < 0)
			system_complain("the hypervisor refuses a session",
					luv_strerror(session));
	}
	result = session < 0 ? -EACCES : session;
	pthread_mutex_unlock(&lock);
	return result;
}

static uintptr_t make_owner_page(const char **why)
{
	void *page = real()->mmap(NULL, LUV_PAGE_SIZE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*why = "no memory is left";
	if (page == MAP_FAILED)
		return 0;
	if (luv_pin(page, LUV_PAGE_SIZE, why) == 0)
		return (uintptr_t)page;
	real()->munmap(page, LUV_PAGE_SIZE);
	return 0;
}

uintptr_t system_owner_page(const char **why)
{
	uintptr_t page;

	pthread_mutex_lock(&lock);
	if (!owner_page || owner_forks != fds_forks()) {
		owner_page = make_owner_page(why);
		owner_forks = fds_forks();
	}
	page = owner_page;
	pthread_mutex_unlock(&lock);
	return page;
}

static uint64_t nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The smallest of some gaps between two looks at the clock has the least disturbance in it. */
static uint64_t look(uint64_t *tsc)
{
	uint64_t best = UINT64_MAX, at = 0;

	for (int i = 0; i < 8; i++) {
		uint64_t before = __rdtsc(), now = nanoseconds(), gap = __rdtsc() - before;

		if (gap >= best)
			continue;
		best = gap;
		at = now;
		*tsc = before + gap / 2;
	}
	return at;
}

/* While the program starts, nobody has to wait for it. */
__attribute__((constructor)) static void look_early(void)
{
	first_ns = look(&first_tsc);
}

uint32_t system_tsc_khz(void)
{
	uint64_t ns, tsc;

	pthread_mutex_lock(&lock);
	if (!tsc_khz) {
		/* The machine may have slept since. */
		if (nanoseconds() - first_ns > RECENT_NS)
			look_early();
		do
			ns = look(&tsc) - first_ns;
		while (ns < MEASURE_NS);
		tsc_khz = (uint32_t)((tsc - first_tsc) * 1000000u / ns);
	}
	pthread_mutex_unlock(&lock);
	return tsc_khz;
}
