/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Physical memory as dom0's root reaches it, for tests/boot/checks.py.
 *
 *   memory hidden              the hidden range's first address
 *   memory read ADDRESS COUNT  reads COUNT pages; prints how many hold the pattern below
 *   memory write ADDRESS COUNT fills COUNT pages with the pattern and reads them back
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/luvalley.h"

#define PAGE	4096u
#define PATTERN 0x6b6e756a6b6e756aull /* "junkjunk" */

static int show_hidden(void)
{
	int page = luv_query(LUV_QUERY_HIDDEN_BASE);

	if (page < 0) {
		fprintf(stderr, "memory: %s\n", luv_strerror(page));
		return 1;
	}
	printf("%#llx\n", (unsigned long long)page * PAGE);
	return 0;
}

static volatile uint64_t *map(off_t address, size_t pages)
{
	int fd = open("/dev/mem", O_RDWR | O_SYNC);
	void *at;

	if (fd < 0) {
		perror("/dev/mem");
		return NULL;
	}
	at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, address);
	if (at == MAP_FAILED) {
		perror("mmap of /dev/mem");
		return NULL;
	}
	return at;
}

static size_t pages_with_pattern(const volatile uint64_t *words, size_t pages)
{
	size_t found = 0;

	for (size_t page = 0; page < pages; page++)
		found += words[page * (PAGE / sizeof(*words))] == PATTERN;
	return found;
}

static int touch(off_t address, size_t pages, int write)
{
	volatile uint64_t *words = map(address, pages);

	if (!words)
		return 1;
	for (size_t i = 0; write && i < pages * PAGE / sizeof(*words); i++)
		words[i] = PATTERN;
	printf("%zu of %zu pages hold the pattern\n", pages_with_pattern(words, pages), pages);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "hidden") == 0 && argc == 2)
		return show_hidden();
	if ((strcmp(what, "read") == 0 || strcmp(what, "write") == 0) && argc == 4)
		return touch((off_t)strtoull(argv[2], NULL, 0), strtoul(argv[3], NULL, 0),
			     what[0] == 'w');
	fputs("memory hidden | read ADDRESS COUNT | write ADDRESS COUNT\n", stderr);
	return 2;
}
