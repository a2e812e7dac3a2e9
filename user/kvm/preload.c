/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a client's C library calls on descriptors become: KVM's descriptors are served here, all
 * others go straight through. Only names and arguments are looked at; nothing happens in a
 * process that never opens /dev/kvm.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "kvm/export.h"
#include "kvm/fds.h"
#include "kvm/ioctl.h"
#include "kvm/real.h"
#include "kvm/system.h"

/* --- open -------------------------------------------------------------------------------- */

static bool is_kvm(const char *path)
{
	return path && path[0] == '/' && strcmp(path, KVM_PATH) == 0;
}

/* -1 and errno, as the C library's functions. */
static int answer(int result)
{
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

static bool wants_mode(int flags)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

#define MODE_ARGUMENT(flags, mode)           \
	mode_t mode = 0;                     \
	if (wants_mode(flags)) {             \
		va_list list;                \
		va_start(list, flags);       \
		mode = va_arg(list, mode_t); \
		va_end(list);                \
	}

EXPORT int open(const char *path, int flags, ...)
{
	MODE_ARGUMENT(flags, mode)
	return is_kvm(path) && system_present() ? answer(system_open(flags))
						: real()->open(path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
	MODE_ARGUMENT(flags, mode)
	return is_kvm(path) && system_present() ? answer(system_open(flags))
						: real()->open64(path, flags, mode);
}

EXPORT int openat(int directory, const char *path, int flags, ...)
{
	MODE_ARGUMENT(flags, mode)
	return is_kvm(path) && system_present() ? answer(system_open(flags))
						: real()->openat(directory, path, flags, mode);
}

EXPORT int openat64(int directory, const char *path, int flags, ...)
{
	MODE_ARGUMENT(flags, mode)
	return is_kvm(path) && system_present()
		   ? answer(system_open(flags))
		   : real()->openat64(directory, path, flags, mode);
}

EXPORT open_checked __open_2, __open64_2;
EXPORT openat_checked __openat_2, __openat64_2;

int __open_2(const char *path, int flags)
{
	return is_kvm(path) && system_present() ? answer(system_open(flags))
						: real()->__open_2(path, flags);
}

int __open64_2(const char *path, int flags)
{
	return is_kvm(path) && system_present() ? answer(system_open(flags))
						: real()->__open64_2(path, flags);
}

int __openat_2(int directory, const char *path, int flags)
{
	return is_kvm(path) && system_present() ? answer(system_open(flags))
						: real()->__openat_2(directory, path, flags);
}

int __openat64_2(int directory, const char *path, int flags)
{
	return is_kvm(path) && system_present() ? answer(system_open(flags))
						: real()->__openat64_2(directory, path, flags);
}

/* --- close, duplicates ------------------------------------------------------------------- */

/* The number may be somebody else's as soon as the system has closed it. */
EXPORT int close(int descriptor)
{
	if (fds_kept(descriptor))
		return answer(-EBADF);
	fds_forget(descriptor);
	return real()->close(descriptor);
}

/* The pieces between the library's own descriptors. */
EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	int result = 0;

	if (first > last)
		return answer(-EINVAL);
	if (!(flags & CLOSE_RANGE_CLOEXEC))
		fds_forget_range(first, last);
	for (int kept = fds_next_kept(first); kept >= 0 && (unsigned)kept <= last;
	     kept = fds_next_kept(first)) {
		if ((unsigned)kept > first)
			result |= real()->close_range(first, (unsigned)kept - 1, flags);
		first = (unsigned)kept + 1;
	}
	if (first <= last)
		result |= real()->close_range(first, last, flags);
	return result;
}

EXPORT void closefrom(int first)
{
	(void)close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0);
}

static int duplicated(int descriptor, int copy)
{
	if (copy < 0 || !fds_known(descriptor))
		return copy;
	return answer(fds_copy(descriptor, copy));
}

EXPORT int dup(int descriptor)
{
	return duplicated(descriptor, real()->dup(descriptor));
}

static void forget_target(int descriptor, int copy)
{
	if (copy != descriptor && real()->fcntl(descriptor, F_GETFD) >= 0)
		fds_forget(copy);
}

EXPORT int dup2(int descriptor, int copy)
{
	if (fds_kept(copy))
		return answer(-EBUSY);
	forget_target(descriptor, copy);
	return duplicated(descriptor, real()->dup2(descriptor, copy));
}

EXPORT int dup3(int descriptor, int copy, int flags)
{
	if (fds_kept(copy))
		return answer(-EBUSY);
	forget_target(descriptor, copy);
	return duplicated(descriptor, real()->dup3(descriptor, copy, flags));
}

#define POINTER_ARGUMENT(last, argument) \
	void *argument;                  \
	va_list list;                    \
	va_start(list, last);            \
	argument = va_arg(list, void *); \
	va_end(list);

static int fcntl_done(int descriptor, int command, int result)
{
	if (command != F_DUPFD && command != F_DUPFD_CLOEXEC)
		return result;
	return duplicated(descriptor, result);
}

EXPORT int fcntl(int descriptor, int command, ...)
{
	POINTER_ARGUMENT(command, argument)
	return fcntl_done(descriptor, command, real()->fcntl(descriptor, command, argument));
}

EXPORT int fcntl64(int descriptor, int command, ...)
{
	POINTER_ARGUMENT(command, argument)
	return fcntl_done(descriptor, command, real()->fcntl64(descriptor, command, argument));
}

/* --- ioctl, sendmsg ---------------------------------------------------------------------- */

/* Declared with "...": a third argument comes in the same register (System V ABI), without a
 * list to be made. */
EXPORT int preload_ioctl(int descriptor, unsigned long request,
			 void *argument) __asm__("ioctl");

int preload_ioctl(int descriptor, unsigned long request, void *argument)
{
	struct object *object = fds_enter(descriptor);
	int result;

	if (!object)
		return real()->ioctl(descriptor, request, argument);
	/* Requests are 32 bits; callers with an int for them extend its sign. */
	result = ioctl_serve(object, (uint32_t)request, (uintptr_t)argument);
	object_leave(object);
	return answer(result);
}

/* A KVM descriptor means nothing in another process. */
static bool passes_kvm(const struct msghdr *message)
{
	struct cmsghdr *part;

	if (!message || !message->msg_control)
		return false;
	for (part = CMSG_FIRSTHDR(message); part;
	     part = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, part)) {
		const unsigned char *at = CMSG_DATA(part);
		size_t size = part->cmsg_len - CMSG_LEN(0);

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		for (; size >= sizeof(int); at += sizeof(int), size -= sizeof(int)) {
			int descriptor;

			memcpy(&descriptor, at, sizeof(descriptor));
			if (fds_known(descriptor))
				return true;
		}
	}
	return false;
}

EXPORT ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
	if (passes_kvm(message))
		return answer(-EPERM);
	return real()->sendmsg(socket, message, flags);
}
