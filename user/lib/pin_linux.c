/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pinning on Linux, 5.13 and later: fixed buffers of an io_uring keep pages in their frames,
 * mlock makes discarding them an error. The ring is never used for input or output.
 */
#define _GNU_SOURCE
#include "lib/pin_os.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdbool.h>
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

/*
 * A ring holds few slots: before Linux 6.12 the kernel compares each huge page of a new buffer
 * with every page of the others in its ring. All change under the lock of pin.c.
 */
#define RING_SLOTS 32u
#define RINGS	   (LUV_PIN_SLOTS / RING_SLOTS)

static struct io_uring rings[RINGS];
static unsigned rings_open; /* a: these are, from the first on */

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

#ifdef __i386__
/*
 * gcc-multilib brings no 32-bit liburing: the system calls themselves. The mapping is the one
 * that liburing makes, for the reason below; nobody reads it.
 */
static int ring_register(int descriptor, unsigned what, const void *argument, unsigned count)
{
	long done = syscall(__NR_io_uring_register, descriptor, what, argument, count);

	return done < 0 ? -errno : (int)done;
}

static int make_ring(struct io_uring *fresh)
{
	struct io_uring_params parameters = {0};
	int descriptor = (int)syscall(__NR_io_uring_setup, 1, &parameters);
	size_t size = parameters.sq_off.array + parameters.sq_entries * sizeof(uint32_t);
	void *mapping;

	if (descriptor < 0)
		return errno;
	mapping =
	    mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, (off_t)IORING_OFF_SQ_RING);
	if (mapping == MAP_FAILED || madvise(mapping, size, MADV_DONTFORK) < 0) {
		int error = errno;

		if (mapping != MAP_FAILED)
			munmap(mapping, size);
		close(descriptor);
		return error;
	}
	*fresh = (struct io_uring){
	    .ring_fd = descriptor, .sq.ring_ptr = mapping, .sq.ring_sz = size};
	return 0;
}

static void drop_ring(struct io_uring *fresh)
{
	munmap(fresh->sq.ring_ptr, fresh->sq.ring_sz);
	close(fresh->ring_fd);
}

static int register_buffers(struct io_uring *fresh, const struct iovec *buffers, unsigned count)
{
	return ring_register(fresh->ring_fd, IORING_REGISTER_BUFFERS, buffers, count);
}

static int update_buffer(struct io_uring *uring, unsigned slot, const struct iovec *buffer)
{
	const struct io_uring_rsrc_update2 update = {
	    .offset = slot,
	    .data = (uintptr_t)buffer,
	    .nr = 1,
	};

	return ring_register(uring->ring_fd, IORING_REGISTER_BUFFERS_UPDATE, &update,
			     sizeof(update));
}
#else
static int make_ring(struct io_uring *fresh)
{
	int error = -io_uring_queue_init(1, fresh, 0);

	if (error)
		return error;
	error = -io_uring_ring_dontfork(fresh);
	if (error)
		io_uring_queue_exit(fresh);
	return error;
}

static void drop_ring(struct io_uring *fresh)
{
	io_uring_queue_exit(fresh);
}

static int register_buffers(struct io_uring *fresh, const struct iovec *buffers, unsigned count)
{
	return io_uring_register_buffers(fresh, buffers, count);
}

static int update_buffer(struct io_uring *uring, unsigned slot, const struct iovec *buffer)
{
	return io_uring_register_buffers_update_tag(uring, slot, buffer, NULL, 1);
}
#endif

/*
 * A table of empty slots: buffers of no length. Linux before 5.19 knows no sparse table, which
 * would save the array.
 */
static int register_table(struct io_uring *fresh)
{
	static const struct iovec none[RING_SLOTS];

	return -register_buffers(fresh, none, RING_SLOTS);
}

static void move_descriptor(struct io_uring *fresh)
{
	int high = fcntl(fresh->ring_fd, F_DUPFD_CLOEXEC, DESCRIPTOR_MIN);

	if (high < 0)
		return;
	close(fresh->ring_fd);
	fresh->ring_fd = high;
	fresh->enter_ring_fd = high;
}

/*
 * The mappings that liburing makes keep the ring, and with it all pins, alive when the program
 * closes descriptors that are not its own; execve and the end of the process take them away.
 */
static int open_ring(void)
{
	struct io_uring fresh;
	int error = make_ring(&fresh);

	if (error)
		return error;
	error = register_table(&fresh);
	if (error) {
		drop_ring(&fresh);
		return error;
	}
	move_descriptor(&fresh);
	rings[rings_open] = fresh;
	__atomic_store_n(&rings_open, rings_open + 1, __ATOMIC_RELEASE);
	return 0;
}

static int set_buffer(unsigned slot, uintptr_t address, size_t size)
{
	const struct iovec buffer = {(void *)address, size};
	int done = update_buffer(&rings[slot / RING_SLOTS], slot % RING_SLOTS, &buffer);

	if (done < 0)
		return -done;
	return done == 1 ? 0 : EFAULT;
}

/* --- slots ------------------------------------------------------------------------------- */

/* The kernel pins clean pages as well, and the hypervisor takes none that are. */
static void dirty(uintptr_t address, size_t size)
{
	for (size_t i = 0; i < size; i += PAGE_SIZE)
		luv_touch(address + i, 1);
}

/* True: it is the kernel's word for a part of a huge page. */
static bool leave_out(unsigned long begin, unsigned long end)
{
	return madvise((void *)begin, end - begin, MADV_DONTFORK) < 0 && errno == EINVAL;
}

/*
 * Else fork would copy every pinned page at once. Of hugetlbfs no part of a page can be left
 * out: then it is the whole mapping, and stays so.
 */
static void keep_from_children(unsigned long begin, unsigned long end)
{
	unsigned long first, last;
	char line[512];
	FILE *maps;

	if (!leave_out(begin, end))
		return;
	maps = fopen("/proc/self/maps", "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx ", &first, &last) != 2 || last <= begin ||
		    first >= end)
			continue;
		if (leave_out(first > begin ? first : begin, last < end ? last : end))
			(void)leave_out(first, last);
	}
	if (maps)
		fclose(maps);
}

int luv_pin_os_hold(unsigned slot, uintptr_t address, size_t size, const char **why)
{
	void *memory = (void *)address;
	int error = 0;

	while (slot / RING_SLOTS >= rings_open && error == 0)
		error = open_ring();
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
	keep_from_children(address, address + size);
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

/*
 * What is not there yet is locked as the mapping itself would be, and no memory is taken. The
 * system call itself: a program's munmap may wait for the lock that our caller holds.
 */
int luv_pin_os_allowed(size_t size, const char **why)
{
	void *memory =
	    mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	bool allowed;

	if (memory == MAP_FAILED)
		return 0;
	allowed = mlock2(memory, size, MLOCK_ONFAULT) == 0;
	syscall(SYS_munmap, memory, size);
	return allowed ? 0 : refuse_memory(ENOMEM, 0, 0, why);
}

int luv_pin_os_descriptor(int from)
{
	unsigned open = __atomic_load_n(&rings_open, __ATOMIC_ACQUIRE);
	int found = -1;

	for (unsigned i = 0; i < open; i++)
		if (rings[i].ring_fd >= from && (found < 0 || rings[i].ring_fd < found))
			found = rings[i].ring_fd;
	return found;
}

void luv_pin_os_forked(void)
{
	unsigned open = rings_open;

	/* Not io_uring_queue_exit: it would unmap what is not inherited. The system call
	 * itself: a program's close may refuse what is the library's. */
	__atomic_store_n(&rings_open, 0, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < open; i++)
		syscall(SYS_close, rings[i].ring_fd);
}
