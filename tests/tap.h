/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests that run in dom0, each in a process of its own, reported as TAP: see tap.c. */
#ifndef TAP_H
#define TAP_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

struct test {
	const char *name; /* NULL ends a table */
	void (*run)(int argument);
	int argument;
	unsigned seconds; /* it gets at most; 0: 20 */
	bool without;	  /* it runs even where the suite's needs are not met */
};

/* Entries of a table. */
#define TEST(title, function)                      \
	{                                          \
		.name = (title), .run = (function) \
	}
#define TEST_OF(title, function, parameter)                                 \
	{                                                                   \
		.name = (title), .run = (function), .argument = (parameter) \
	}
#define TESTS_END            \
	{                    \
		.name = NULL \
	}

struct suite {
	const struct test *const *groups;
	size_t group_count;
	/* Why tests cannot run here, or NULL; asked in each test's process. */
	const char *(*missing)(void);
};

/* main() of a program of tests; returns its exit status. */
int tap_main(const struct suite *suite, char **arguments);

/* Ends the test. */
noreturn void fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
noreturn void skip(const char *why);

#define CHECK(condition, ...)                                  \
	do {                                                   \
		if (!(condition))                              \
			fail(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

#define EXPECT(got, wanted) expect(__FILE__, __LINE__, #got, (int64_t)(got), (int64_t)(wanted))

void expect(const char *file, int line, const char *what, int64_t got, int64_t wanted);

/* The machine is QEMU's; what its TCG does not emulate is in docs/caveats.md. */
bool under_tcg(void);

/* Of the argument --seconds: how long tests that watch something watch it. */
extern unsigned watch_seconds;

#endif
