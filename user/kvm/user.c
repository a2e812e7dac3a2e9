/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/user.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

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
	done = process_vm_writev(getpid(), &here, 1, &there, 1, 0);
	if (done == (ssize_t)size)
		return 0;
	if (done >= 0 || errno == EFAULT)
		return -EFAULT;
	memcpy((void *)to, from, size);
	return 0;
}
