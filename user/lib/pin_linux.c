/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pinning on Linux, 5.13 and later: fixed buffers of an io_uring keep pages in their frames,
 * mlock makes discarding them an error. The ring is never used for input or output: two system
 * calls are all there is to it, so there is no library below, and 32-bit clients need none
 * either.
 */
#define _GNU_SOURCE
#include "lib/pin_os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <luvalley/calls.h>

#include "lib/call.h"

#define PAGE_SIZE 4096u

/* Below it programs use numbers for themselves, far above it the kernel's table grows large. */
#define DESCRIPTOR_MIN 960

static int ring = -1; /* changes under the lock of pin.c */

/* --- why not ----------------------------------------------------------------------------- */

static const char *ring_refusal(int error)
{
	switch (error) {
	case ENOSYS:
		return "memory cannot be pinned: the kernel has no io_uring (Linux 5.13 or "
		       "later "
		       "has), or a sandbox hides it";
	case EPERM:
	case EACCES:
		return "memory cannot be pinned: io_uring is forbidden here (sysctl "
		       "kernel.io_uring_disabled, or a sandbox's filter)";
	case EINVAL:
	case EOPNOTSUPP:
		return "memory cannot be pinned: the kernel's io_uring cannot change fixed "
		       "buffers; Linux 5.13 or later can";
	case EMFILE:
	case ENFILE:
		return "memory cannot be pinned: no file descriptor is left for an io_uring";
	case ENOMEM:
		return "memory cannot be pinned: RLIMIT_MEMLOCK leaves no room for an io_uring "
		       "(ulimit -l), or the system is out of memory";
	default:
		return "memory cannot be pinned: the kernel refuses an io_uring";
	}
}

/* Fixed buffers need memory that is mapped, writable, and of no file on a disk. */
static const char *memory_refusal(uintptr_t address, size_t size)
{
	const char *found = "memory cannot be pinned: part of it is not mapped";
	const unsigned long end = address + size;
	unsigned long at = address, first, last, inode;
	char rights[5], line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	while (maps && at < end && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %4s %*x %*s %lu", &first, &last, rights, &inode) !=
			4 ||
		    last <= at)
			continue;
		if (first > at)
			break;
		if (rights[1] != 'w')
			found = "memory cannot be pinned: part of it is not writable";
		else if (inode)
			found = "memory cannot be pinned: it is a mapping of a file on a disk; "
				"anonymous memory, memfd and hugetlbfs can be";
		if (rights[1] != 'w' || inode)
			break;
		at = last;
	}
	if (maps)
		fclose(maps);
	return at < end ? found : "memory cannot be pinned: the kernel cannot reach part of it";
}

static int refuse_memory(int error, uintptr_t address, size_t size, const char **why)
{
	switch (error) {
	case ENOMEM:
	case EPERM:
		*why = "memory cannot be pinned: RLIMIT_MEMLOCK allows no more (raise it with "
		       "ulimit -l or give CAP_IPC_LOCK), or the system is out of memory";
		return LUV_ERR_NOMEM;
	case EBADF:
	case ENXIO:
		*why = "memory cannot be pinned: the program closed the library's io_uring";
		return LUV_ERR_PERM;
	default:
		*why = memory_refusal(address, size);
		return LUV_ERR_INVAL;
	}
}

/* --- the ring ---------------------------------------------------------------------------- */

static int ring_register(int descriptor, unsigned what, const void *argument, unsigned count)
{
	return syscall(__NR_io_uring_register, descriptor, what, argument, count) < 0 ? errno
										      : 0;
}

/* A table of empty slots: buffers of no length. */
static int register_table(int descriptor)
{
	struct iovec *none = calloc(LUV_PIN_SLOTS, sizeof(*none));
	int error;

	if (!none)
		return ENOMEM;
	error = ring_register(descriptor, IORING_REGISTER_BUFFERS, none, LUV_PIN_SLOTS);
	free(none);
	return error;
}

static int move_descriptor(int descriptor)
{
	int high = fcntl(descriptor, F_DUPFD_CLOEXEC, DESCRIPTOR_MIN);

	if (high < 0)
		return descriptor;
	close(descriptor);
	return high;
}

/*
 * The mapping keeps the ring, and with it all pins, alive when the program closes descriptors
 * that are not its own; execve and the end of the process take it away. Nobody reads it.
 */
static int keep_ring(int descriptor, const struct io_uring_params *parameters)
{
	size_t size = parameters->sq_off.array + parameters->sq_entries * sizeof(uint32_t);
	void *mapping =
	    mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, (off_t)IORING_OFF_SQ_RING);
	int error;

	if (mapping == MAP_FAILED)
		return errno;
	error = madvise(mapping, size, MADV_DONTFORK) < 0 ? errno : register_table(descriptor);
	if (error)
		munmap(mapping, size);
	return error;
}

static int open_ring(void)
{
	struct io_uring_params parameters = {0};
	int descriptor = (int)syscall(__NR_io_uring_setup, 1, &parameters);
	int error;

	if (descriptor < 0)
		return errno;
	error = keep_ring(descriptor, &parameters);
	if (error)
		close(descriptor);
	else
		ring = move_descriptor(descriptor);
	return error;
}

static int set_buffer(unsigned slot, uintptr_t address, size_t size)
{
	const struct iovec buffer = {(void *)address, size};
	const struct io_uring_rsrc_update2 update = {
	    .offset = slot,
	    .data = (uintptr_t)&buffer,
	    .nr = 1,
	};
	long done = syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS_UPDATE,
			    &update, sizeof(update));

	if (done < 0)
		return errno;
	return done == 1 ? 0 : EFAULT;
}

/* --- slots ------------------------------------------------------------------------------- */

/* The kernel pins clean pages as well, and the hypervisor takes none that are. */
static void dirty(uintptr_t address, size_t size)
{
	for (size_t i = 0; i < size; i += PAGE_SIZE)
		luv_touch(address + i, 1);
}

int luv_pin_os_hold(unsigned slot, uintptr_t address, size_t size, const char **why)
{
	void *memory = (void *)address;
	int error = ring < 0 ? open_ring() : 0;

	if (error) {
		*why = ring_refusal(error);
		return LUV_ERR_PERM;
	}
	/* Pinning breaks what KSM merged; this keeps it from looking again. EINVAL: there is no
	 * KSM. */
	(void)madvise(memory, size, MADV_UNMERGEABLE);
	error = set_buffer(slot, address, size);
	if (error)
		return refuse_memory(error, address, size, why);
	if (mlock(memory, size) < 0) {
		error = errno;
		(void)set_buffer(slot, 0, 0);
		return refuse_memory(error, address, size, why);
	}
	/* Else fork would copy every pinned page at once. EINVAL: such memory is not inherited
	 * anyway. */
	(void)madvise(memory, size, MADV_DONTFORK);
	dirty(address, size);
	return 0;
}

int luv_pin_os_release(unsigned slot, uintptr_t address, size_t size)
{
	void *memory = (void *)address;

	if (set_buffer(slot, 0, 0) != 0)
		return LUV_ERR_PERM;
	(void)munlock(memory, size);
	(void)madvise(memory, size, MADV_DOFORK);
	return 0;
}

void luv_pin_os_forked(void)
{
	if (ring >= 0)
		close(ring);
	ring = -1;
}
