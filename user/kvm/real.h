/* SPDX-License-Identifier: BSD-2-Clause */
/* The C library's own functions, of which this library exports wrappers. */
#ifndef KVM_REAL_H
#define KVM_REAL_H

/* Most of these are GNU's. Included first, or behind the same definition. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The checking forms that _FORTIFY_SOURCE makes of open; <fcntl.h> declares them only then. */
typedef int open_checked(const char *path, int flags);
typedef int openat_checked(int directory, const char *path, int flags);

struct real {
	__typeof__(open) *open, *open64;
	__typeof__(openat) *openat, *openat64;
	open_checked *__open_2, *__open64_2;
	openat_checked *__openat_2, *__openat64_2;
	__typeof__(close) *close;
	__typeof__(close_range) *close_range;
	__typeof__(dup) *dup;
	__typeof__(dup2) *dup2;
	__typeof__(dup3) *dup3;
	__typeof__(fcntl) *fcntl, *fcntl64;
	__typeof__(ioctl) *ioctl;
	__typeof__(sendmsg) *sendmsg;
	__typeof__(mmap) *mmap, *mmap64;
	__typeof__(munmap) *munmap;
	__typeof__(mremap) *mremap;
	__typeof__(madvise) *madvise;
	__typeof__(munlock) *munlock;
	__typeof__(munlockall) *munlockall;
	__typeof__(fallocate) *fallocate, *fallocate64;
	__typeof__(ftruncate) *ftruncate, *ftruncate64;
	__typeof__(access) *access, *euidaccess, *eaccess;
	__typeof__(faccessat) *faccessat;
	__typeof__(stat) *stat, *lstat;
	__typeof__(stat64) *stat64, *lstat64;
	__typeof__(fstatat) *fstatat;
	__typeof__(fstatat64) *fstatat64;
	__typeof__(statx) *statx;
	__typeof__(sigaction) *sigaction;
	__typeof__(signal) *signal;
};

/* Any thread, any time, also in signal handlers and before constructors have run. */
const struct real *real(void);

#endif
