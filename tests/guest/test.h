/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of virtual machines that run in dom0: each in a process of its own, see main.c. */
#ifndef GUEST_TEST_H
#define GUEST_TEST_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

struct test {
	const char *name; /* NULL ends a table */
	void (*run)(int argument);
	int argument;
	unsigned seconds;  /* it gets at most; 0: 20 */
	bool without; /* it needs no hypervisor */
};

extern const struct test exit_tests[], misuse_tests[], restart_tests[], switch_tests[], pin_tests[],
	lapic_tests[];

/* Ends the test. */
noreturn void fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
noreturn void skip(const char *why);

#define CHECK(condition, ...) \
	do { \
		if (!(condition)) \
			fail(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

#define EXPECT(got, wanted) expect(__FILE__, __LINE__, #got, (int64_t)(got), (int64_t)(wanted))

void expect(const char *file, int line, const char *what, int64_t got, int64_t wanted);

/*
 * QEMU's TCG does not intercept INT3 as #BP, and does not arm breakpoints that VMRUN loads (docs/caveats.md).
 */
bool under_tcg(void);

/* Of the argument --seconds: how long tests that watch something watch it. */
extern unsigned watch_seconds;

#endif
