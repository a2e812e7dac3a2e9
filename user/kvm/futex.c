/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull

void futex_wait(uint32_t *word, uint32_t value)
{
	int error = errno;

	(void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
	errno = error;
}

void futex_wait_until(uint32_t *word, uint32_t value, uint64_t until)
{
	const struct timespec time = {(time_t)(until / NS_PER_S), (long)(until % NS_PER_S)};
	int error = errno;

	(void)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, until ? &time : NULL,
		      NULL, FUTEX_BITSET_MATCH_ANY);
	errno = error;
}

void futex_wake(uint32_t *word)
{
	int error = errno;

	(void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	errno = error;
}

int barrier_prepare(void)
{
	long done = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);

	return done < 0 ? -errno : 0;
}

void barrier_everywhere(void)
{
	static const char refused[] =
	    "luvalley: membarrier(2) is refused: guests cannot be stopped\n";
	int error = errno;

	while (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) < 0) {
		if (errno == ENOMEM) /* for a moment */
			continue;
		(void)!write(STDERR_FILENO, refused, sizeof(refused) - 1);
		abort();
	}
	errno = error;
}
