/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory calls of the client. Guests use its frames by physical address: when it changes the
 * mapping of some, they are taken from the guests first (memory_change_begin). All other memory
 * costs a look at a short table.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "kvm/export.h"
#include "kvm/fds.h"
#include "kvm/mapping.h"
#include "kvm/memory.h"
#include "kvm/pins.h"
#include "kvm/real.h"
#include "kvm/vcpu_map.h"
#include "lib/luvalley.h"

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

/*
 * Pinned memory is locked, and the kernel would refuse these. What they promise is that the
 * memory reads as zeros, or as the file: that is done in place, with the frames where they are.
 * (Else a guest's balloon would have all its memory unpinned and pinned again, page by page.)
 */
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

/* Some of it. What is not is the client's to do with as it likes. */
static bool is_pinned(uintptr_t address, size_t size)
{
	uintptr_t end = address + size;

	return pins_extend(&address, &end);
}

/* False: not of this kind of memory. */
static bool discard_in_place(uintptr_t address, size_t size, int advice)
{
	struct mapping m;

	if (address % LUV_PAGE_SIZE || !pins_hold(address, size) ||
	    !mapping_next(address, &m) || m.begin > address || m.end < address + size)
		return false;
	if (m.shared) {
		if (advice == MADV_REMOVE)
			memset((void *)address, 0, size);
		return advice != MADV_FREE; /* EINVAL */
	}
	if (m.inode || advice == MADV_REMOVE)
		return false;
	if (advice != MADV_FREE)
		memset((void *)address, 0, size);
	return true;
}

EXPORT int madvise(void *address, size_t size, int advice)
{
	bool begun = false, used = discards(advice) && pins_touch((uintptr_t)address, size);
	int result;

	if (unpins(advice) && is_pinned((uintptr_t)address, size))
		return 0;
	/* The kernel takes whole pages. */
	if (used &&
	    discard_in_place((uintptr_t)address,
			     (size + LUV_PAGE_SIZE - 1) & ~(size_t)(LUV_PAGE_SIZE - 1), advice))
		return 0;
	if (used)
		begun = memory_change_begin((uintptr_t)address, size);
	result = real()->madvise(address, size, advice);
	change_end(begun);
	return result;
}

EXPORT int munlock(const void *address, size_t size)
{
	if (is_pinned((uintptr_t)address, size))
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
	struct mapping m = {.end = 0};

	*begin = UINTPTR_MAX;
	*end = 0;
	while (mapping_of_file(m.end, file->st_dev, file->st_ino, &m)) {
		if (!pins_touch(m.begin, m.end - m.begin))
			continue;
		*begin = m.begin < *begin ? m.begin : *begin;
		*end = m.end;
	}
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

/* A hole in memory that guests use is filled with zeros; false: it is not all mapped and
 * pinned. */
static bool punch_in_place(int descriptor, off64_t offset, off64_t size)
{
	uint64_t first = (uint64_t)offset, length = (uint64_t)size;
	struct mapping m = {.end = 0};
	struct stat file;

	if (offset < 0 || size <= 0 || (first | length) % LUV_PAGE_SIZE ||
	    !pins_touch(0, UINTPTR_MAX) || fstat(descriptor, &file) < 0)
		return false;
	while (mapping_of_file(m.end, file.st_dev, file.st_ino, &m)) {
		uintptr_t at = m.begin + (first - m.offset);

		if (!m.shared || first < m.offset ||
		    first - m.offset + length > m.end - m.begin || !pins_hold(at, length))
			continue;
		memset((void *)at, 0, length);
		return true;
	}
	return false;
}

static int change_file(__typeof__(fallocate64) *system, int descriptor, int mode,
		       off64_t offset, off64_t size)
{
	bool begun;
	int result;

	if (!(mode & FALLOC_FL_PUNCH_HOLE))
		return system(descriptor, mode, offset, size);
	if (punch_in_place(descriptor, offset, size))
		return 0;
	begun = file_begin(descriptor);
	result = system(descriptor, mode, offset, size);
	change_end(begun);
	return result;
}

EXPORT int fallocate(int descriptor, int mode, off_t offset, off_t size)
{
	return change_file(real()->fallocate, descriptor, mode, offset, size);
}

EXPORT int fallocate64(int descriptor, int mode, off64_t offset, off64_t size)
{
	return change_file(real()->fallocate64, descriptor, mode, offset, size);
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
