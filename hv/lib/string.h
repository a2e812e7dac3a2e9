/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of <string.h> that the hypervisor uses; the C standard's contracts. */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include "lib/types.h"

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);

/*
 * Copies at most size-1 bytes and always terminates (size must not be 0). Returns the length that
 * was wanted: a result >= size means that it was cut.
 */
size_t str_copy(char *to, const char *from, size_t size);

/* Each word is read once, and written once. */
static inline void copy_words(u64 *to, const u64 *from, u64 count)
{
	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

#endif
