/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/real.h"

#include <dlfcn.h>
#include <stdbool.h>

static struct real table;
static bool resolved; /* a: the table is complete */

#define RESOLVE(name) (table.name = (__typeof__(table.name))dlsym(RTLD_NEXT, #name))

/* Two threads that do it at the same time write the same values. */
static void resolve(void)
{
	RESOLVE(open), RESOLVE(open64), RESOLVE(openat), RESOLVE(openat64);
	RESOLVE(__open_2), RESOLVE(__open64_2), RESOLVE(__openat_2), RESOLVE(__openat64_2);
	RESOLVE(close), RESOLVE(close_range);
	RESOLVE(dup), RESOLVE(dup2), RESOLVE(dup3);
	RESOLVE(fcntl), RESOLVE(fcntl64), RESOLVE(ioctl), RESOLVE(sendmsg);
	RESOLVE(mmap), RESOLVE(mmap64), RESOLVE(munmap), RESOLVE(mremap);
	RESOLVE(madvise), RESOLVE(munlock), RESOLVE(munlockall);
	RESOLVE(fallocate), RESOLVE(fallocate64), RESOLVE(ftruncate), RESOLVE(ftruncate64);
	RESOLVE(access), RESOLVE(euidaccess), RESOLVE(eaccess), RESOLVE(faccessat);
	RESOLVE(stat), RESOLVE(lstat), RESOLVE(stat64), RESOLVE(lstat64);
	RESOLVE(fstatat), RESOLVE(fstatat64), RESOLVE(statx);
	RESOLVE(sigaction), RESOLVE(signal);
	__atomic_store_n(&resolved, true, __ATOMIC_RELEASE);
}

const struct real *real(void)
{
	if (!__atomic_load_n(&resolved, __ATOMIC_ACQUIRE))
		resolve();
	return &table;
}

/* Early, because dlsym is not for signal handlers. It is all that this library does unasked. */
__attribute__((constructor)) static void resolve_early(void)
{
	(void)real();
}
