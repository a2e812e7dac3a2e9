/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/user.h"

#include <errno.h>
#include <string.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/uio.h>
#include <unistd.h>

/* --- the thread's stack ------------------------------------------------------------------ */

/* All 0: not known. */
static __thread struct {
	uintptr_t low, top;
} stack __attribute__((tls_model("initial-exec")));

void user_know_stack(void)
{
	pthread_attr_t attributes;
	void *low;
	size_t size;

	if (stack.top || pthread_getattr_np(pthread_self(), &attributes))
		return;
	if (pthread_attr_getstack(&attributes, &low, &size) == 0) {
		stack.low = (uintptr_t)low;
		stack.top = stack.low + size;
	}
	pthread_attr_destroy(&attributes);
}

/*
 * A structure in a frame of a caller's needs nobody to look: all that lies between this frame
 * and the stack's beginning is there. (A frame on another stack, as of a coroutine: not known.)
 */
static bool in_callers_frame(uintptr_t at, size_t size)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	return here > stack.low && at > here && at < stack.top && size <= stack.top - at;
}

/* --- copies ------------------------------------------------------------------------------ */

/*
 * The kernel copies, because it can say EFAULT. A process may always look at itself, but a
 * filter of system calls may not know that: then the copy is made here.
 */
int user_copy_in(void *to, uintptr_t from, size_t size)
{
	struct iovec here = {to, size}, there = {(void *)from, size};
	ssize_t done;

	if (!size)
		return 0;
	if (in_callers_frame(from, size)) {
		memcpy(to, (const void *)from, size);
		return 0;
	}
	done = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
	if (done == (ssize_t)size)
		return 0;
	if (done >= 0 || errno == EFAULT)
		return -EFAULT;
	memcpy(to, (const void *)from, size);
	return 0;
}

int user_copy_out(uintptr_t to, const void *from, size_t size)
{
	struct iovec here = {(void *)(uintptr_t)from, size}, there = {(void *)to, size};
	ssize_t done;

	if (!size)
		return 0;
	if (in_callers_frame(to, size)) {
		memcpy((void *)to, from, size);
		return 0;
	}
	done = process_vm_writev(getpid(), &here, 1, &there, 1, 0);
	if (done == (ssize_t)size)
		return 0;
	if (done >= 0 || errno == EFAULT)
		return -EFAULT;
	memcpy((void *)to, from, size);
	return 0;
}
