/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory calls of the client. Guests use its frames by physical address: when it changes the
 * mapping of some, they are taken from the guests first (memory_change_begin). All other memory
 * costs a look at a short table.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "kvm/export.h"
#include "kvm/fds.h"
#include "kvm/memory.h"
#include "kvm/pins.h"
#include "kvm/real.h"
#include "kvm/vcpu_map.h"

/* The bodies say what happens in between; errno is the body's. */
static void change_end(bool begun)
{
	int error = errno;

	if (begun)
		memory_change_end();
	errno = error;
}

/* --- mmap, munmap, mremap ---------------------------------------------------------------- */

static void *map(__typeof__(mmap) *system_mmap, void *address, size_t size, int rights,
		 int flags, int descriptor, off_t offset)
{
	bool begun = false;
	void *result;

	if (descriptor >= 0 && fds_known(descriptor))
		return vcpu_map(address, size, rights, flags, descriptor, offset);
	if (flags & MAP_FIXED)
		begun = memory_change_begin((uintptr_t)address, size);
	result = system_mmap(address, size, rights, flags, descriptor, offset);
	change_end(begun);
	return result;
}

EXPORT void *mmap(void *address, size_t size, int rights, int flags, int descriptor,
		  off_t offset)
{
	return map(real()->mmap, address, size, rights, flags, descriptor, offset);
}

EXPORT void *mmap64(void *address, size_t size, int rights, int flags, int descriptor,
		    off64_t offset)
{
	return map(real()->mmap64, address, size, rights, flags, descriptor, offset);
}

EXPORT int munmap(void *address, size_t size)
{
	bool begun = memory_change_begin((uintptr_t)address, size);
	int result = real()->munmap(address, size);

	change_end(begun);
	return result;
}

/* With a fixed target two ranges change. Guests lose both: the union may hold more. */
static bool remap_begin(uintptr_t old, size_t old_size, bool fixed, uintptr_t new,
			size_t new_size)
{
	if (!fixed || !pins_touch(new, new_size))
		return memory_change_begin(old, old_size);
	if (!pins_touch(old, old_size))
		return memory_change_begin(new, new_size);
	if (old < new)
		return memory_change_begin(old, new + new_size - old);
	return memory_change_begin(new, old + old_size - new);
}

EXPORT void *mremap(void *old, size_t old_size, size_t new_size, int flags, ...)
{
	void *fixed = NULL, *result;
	bool begun;
	va_list list;

	va_start(list, flags);
	if (flags & MREMAP_FIXED)
		fixed = va_arg(list, void *);
	va_end(list);
	begun = remap_begin((uintptr_t)old, old_size, flags & MREMAP_FIXED, (uintptr_t)fixed,
			    new_size);
	result = real()->mremap(old, old_size, new_size, flags, fixed);
	change_end(begun);
	return result;
}

/* --- madvise, munlock -------------------------------------------------------------------- */

/* Pinned memory is locked, and the kernel would refuse these: the guests' memory follows. */
static bool discards(int advice)
{
	return advice == MADV_DONTNEED || advice == MADV_REMOVE || advice == MADV_FREE ||
	       advice == MADV_DONTNEED_LOCKED;
}

/* Advice that would undo the pin, and has no other effect. */
static bool unpins(int advice)
{
	return advice == MADV_MERGEABLE || advice == MADV_DOFORK;
}

EXPORT int madvise(void *address, size_t size, int advice)
{
	bool begun = false;
	int result;

	if (unpins(advice) && pins_touch((uintptr_t)address, size))
		return 0;
	if (discards(advice))
		begun = memory_change_begin((uintptr_t)address, size);
	result = real()->madvise(address, size, advice);
	change_end(begun);
	return result;
}

EXPORT int munlock(const void *address, size_t size)
{
	if (pins_touch((uintptr_t)address, size))
		return 0;
	return real()->munlock(address, size);
}

EXPORT int munlockall(void)
{
	int result = real()->munlockall();

	if (pins_touch(0, UINTPTR_MAX))
		pins_relock();
	return result;
}

/* --- holes and ends of files that are mapped --------------------------------------------- */

/* From the first to the last mapping of that file that guests use; false: none. */
static bool pinned_mappings(const struct stat *file, uintptr_t *begin, uintptr_t *end)
{
	unsigned long first, last, inode;
	unsigned major, minor;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	*begin = UINTPTR_MAX;
	*end = 0;
	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %*s %*x %x:%x %lu", &first, &last, &major, &minor,
			   &inode) != 5 ||
		    inode != file->st_ino || makedev(major, minor) != file->st_dev ||
		    !pins_touch(first, last - first))
			continue;
		*begin = first < *begin ? first : *begin;
		*end = last > *end ? last : *end;
	}
	if (maps)
		fclose(maps);
	return *begin < *end;
}

static bool file_begin(int descriptor)
{
	uintptr_t begin, end;
	struct stat file;

	if (!pins_touch(0, UINTPTR_MAX) || fstat(descriptor, &file) < 0 ||
	    !pinned_mappings(&file, &begin, &end))
		return false;
	return memory_change_begin(begin, end - begin);
}

EXPORT int fallocate(int descriptor, int mode, off_t offset, off_t size)
{
	bool begun = mode & FALLOC_FL_PUNCH_HOLE && file_begin(descriptor);
	int result = real()->fallocate(descriptor, mode, offset, size);

	change_end(begun);
	return result;
}

EXPORT int fallocate64(int descriptor, int mode, off64_t offset, off64_t size)
{
	bool begun = mode & FALLOC_FL_PUNCH_HOLE && file_begin(descriptor);
	int result = real()->fallocate64(descriptor, mode, offset, size);

	change_end(begun);
	return result;
}

EXPORT int ftruncate(int descriptor, off_t size)
{
	bool begun = file_begin(descriptor);
	int result = real()->ftruncate(descriptor, size);

	change_end(begun);
	return result;
}

EXPORT int ftruncate64(int descriptor, off64_t size)
{
	bool begun = file_begin(descriptor);
	int result = real()->ftruncate64(descriptor, size);

	change_end(begun);
	return result;
}
