/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Questions about the file /dev/kvm, for clients that ask before they open it: a character
 * device of KVM's numbers, for whoever may read the hypervisor's key.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "kvm/export.h"
#include "kvm/real.h"
#include "kvm/system.h"

/* Linux's Documentation/admin-guide/devices.txt: misc, KVM_MINOR. */
#define KVM_MAJOR 10
#define KVM_MINOR 232
#define KVM_MODE  (S_IFCHR | 0600)

static bool is_kvm(const char *path)
{
	return path && path[0] == '/' && strcmp(path, KVM_PATH) == 0 && system_present();
}

static int may(int mode)
{
	if (mode & X_OK || (mode & ~(R_OK | W_OK | X_OK))) {
		errno = mode & X_OK ? EACCES : EINVAL;
		return -1;
	}
	return 0;
}

EXPORT int access(const char *path, int mode)
{
	return is_kvm(path) ? may(mode) : real()->access(path, mode);
}

EXPORT int euidaccess(const char *path, int mode)
{
	return is_kvm(path) ? may(mode) : real()->euidaccess(path, mode);
}

EXPORT int eaccess(const char *path, int mode)
{
	return is_kvm(path) ? may(mode) : real()->eaccess(path, mode);
}

EXPORT int faccessat(int directory, const char *path, int mode, int flags)
{
	return is_kvm(path) ? may(mode) : real()->faccessat(directory, path, mode, flags);
}

/* struct stat64 has the same layout on x86-64. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "struct stat64");

static int describe(struct stat *at)
{
	*at = (struct stat){
	    .st_mode = KVM_MODE,
	    .st_nlink = 1,
	    .st_rdev = makedev(KVM_MAJOR, KVM_MINOR),
	    .st_blksize = 4096,
	};
	return 0;
}

EXPORT int stat(const char *path, struct stat *at)
{
	return is_kvm(path) ? describe(at) : real()->stat(path, at);
}

EXPORT int lstat(const char *path, struct stat *at)
{
	return is_kvm(path) ? describe(at) : real()->lstat(path, at);
}

EXPORT int fstatat(int directory, const char *path, struct stat *at, int flags)
{
	return is_kvm(path) ? describe(at) : real()->fstatat(directory, path, at, flags);
}

EXPORT int stat64(const char *path, struct stat64 *at)
{
	return is_kvm(path) ? describe((struct stat *)at) : real()->stat64(path, at);
}

EXPORT int lstat64(const char *path, struct stat64 *at)
{
	return is_kvm(path) ? describe((struct stat *)at) : real()->lstat64(path, at);
}

EXPORT int fstatat64(int directory, const char *path, struct stat64 *at, int flags)
{
	return is_kvm(path) ? describe((struct stat *)at)
			    : real()->fstatat64(directory, path, at, flags);
}

EXPORT int statx(int directory, const char *path, int flags, unsigned mask, struct statx *at)
{
	if (!is_kvm(path))
		return real()->statx(directory, path, flags, mask, at);
	*at = (struct statx){
	    .stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_UID | STATX_GID,
	    .stx_mode = KVM_MODE,
	    .stx_nlink = 1,
	    .stx_blksize = 4096,
	    .stx_rdev_major = KVM_MAJOR,
	    .stx_rdev_minor = KVM_MINOR,
	};
	return 0;
}
