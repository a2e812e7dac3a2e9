/* SPDX-License-Identifier: BSD-2-Clause */
/* The client's memory, as arguments of ioctl name it: a bad pointer is EFAULT and no crash. */
#ifndef KVM_USER_H
#define KVM_USER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Makes copies from and to the calling thread's frames quick. Allocates and opens files: not for what a signal
 * handler may ask for.
 */
void user_know_stack(void);

/* 0 or -EFAULT; a part may have been copied then. */
int user_copy_in(void *to, uintptr_t from, size_t size);
int user_copy_out(uintptr_t to, const void *from, size_t size);

#endif
