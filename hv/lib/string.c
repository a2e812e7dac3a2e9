/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/string.h"

/*
 * Compilers turn loops that look like memset or strlen into calls of memset or strlen, here of
 * themselves. They leave alone a loop with this in its body.
 */
#define NO_LIBRARY_CALL() __asm__ volatile("")

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t n)
{
	u64 word = (u8)byte * 0x0101010101010101ull;
	size_t count = n / sizeof(word);
	void *at = to;

	/* By words: not every CPU is fast with bytes. */
	__asm__ volatile("rep stosq; mov %2, %1; rep stosb"
			 : "+&D"(at), "+&c"(count) : "r"(n % sizeof(word)), "a"(word) : "memory");
	return to;
}

/* Backwards without STD: an NMI or a fault in between must find the direction flag clear. */
void *memmove(void *to, const void *from, size_t n)
{
	char *target = to;
	const char *source = from;

	if ((uintptr_t)to - (uintptr_t)from >= n)
		return memcpy(to, from, n);
	for (; n >= sizeof(u64); n -= sizeof(u64)) {
		u64 word;

		__builtin_memcpy(&word, source + n - sizeof(word), sizeof(word));
		__builtin_memcpy(target + n - sizeof(word), &word, sizeof(word));
		NO_LIBRARY_CALL();
	}
	for (; n > 0; n--) {
		target[n - 1] = source[n - 1];
		NO_LIBRARY_CALL();
	}
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (size_t i = 0; i < n; i++) {
		if (x[i] != y[i])
			return x[i] - y[i];
		NO_LIBRARY_CALL();
	}
	return 0;
}

size_t strnlen(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && s[n]) {
		n++;
		NO_LIBRARY_CALL();
	}
	return n;
}

size_t strlen(const char *s)
{
	return strnlen(s, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (a[i] != b[i] || !a[i])
			return (u8)a[i] - (u8)b[i];
		NO_LIBRARY_CALL();
	}
	return 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)(uintptr_t)s;
		if (!*s)
			return NULL;
		NO_LIBRARY_CALL();
	}
}

size_t str_copy(char *to, const char *from, size_t size)
{
	size_t length = strlen(from);
	size_t kept = min_u64(length, size - 1);

	memcpy(to, from, kept);
	to[kept] = '\0';
	return length;
}
