/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a suite's tests and speaks TAP.
 *
 *   PROGRAM                      all tests
 *   PROGRAM --list               their names
 *   PROGRAM PATTERN...           those whose names match, * and ? as in a shell
 *   PROGRAM --seconds N ...      how long tests that watch something watch it (3)
 *
 * Each test is a child process, so that one that crashes or hangs takes no other along.
 */
#define _GNU_SOURCE
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

#define EXIT_SKIPPED	77
#define SECONDS_DEFAULT 20u

unsigned watch_seconds = 3;

static const struct suite *suite;
static unsigned count, failed, skipped_tests;

void fail(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	printf("# %s:%d: ", file, line);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
	_exit(1);
}

bool under_tcg(void)
{
	char vendor[16] = "";
	FILE *file = fopen("/sys/class/dmi/id/sys_vendor", "r");

	if (file) {
		if (!fgets(vendor, sizeof(vendor), file))
			vendor[0] = 0;
		fclose(file);
	}
	return strncmp(vendor, "QEMU", 4) == 0;
}

void skip(const char *why)
{
	printf("# skipped: %s\n", why);
	fflush(stdout);
	_exit(EXIT_SKIPPED);
}

void expect(const char *file, int line, const char *what, int64_t got, int64_t wanted)
{
	if (got != wanted)
		fail(file, line,
		     "%s is %" PRId64 " (%#" PRIx64 "), not %" PRId64 " (%#" PRIx64 ")", what,
		     got, (uint64_t)got, wanted, (uint64_t)wanted);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The test's status, or -1 when it took too long; its own children die with its process group.
 */
static int wait_for(pid_t child, double seconds)
{
	const struct timespec pause = {0, 5000000};
	double end = now() + seconds;
	int status;

	while (waitpid(child, &status, WNOHANG) == 0) {
		if (now() > end) {
			kill(-child, SIGKILL);
			waitpid(child, &status, 0);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	kill(-child, SIGKILL);
	return status;
}

static int run_child(const struct test *test)
{
	unsigned seconds = test->seconds ? test->seconds : SECONDS_DEFAULT;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		setpgid(0, 0);
		if (!test->without && suite->missing())
			skip(suite->missing());
		test->run(test->argument);
		fflush(stdout);
		_exit(0);
	}
	if (child < 0)
		return -1;
	setpgid(child, child);
	return wait_for(child, seconds + watch_seconds);
}

static bool run_test(const struct test *test, unsigned number)
{
	double begin = now();
	int status = run_child(test);
	bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED;
	bool passed = status == 0 || skipped;

	if (status == -1)
		puts("# took too long");
	else if (WIFSIGNALED(status))
		printf("# killed by %s\n", strsignal(WTERMSIG(status)));
	printf("%s %u - %s%s # %.2f s\n", passed ? "ok" : "not ok", number, test->name,
	       skipped ? " # SKIP" : "", now() - begin);
	skipped_tests += skipped;
	return passed;
}

static bool wanted(const char *name, char **patterns)
{
	if (!*patterns)
		return true;
	for (; *patterns; patterns++)
		if (fnmatch(*patterns, name, 0) == 0)
			return true;
	return false;
}

static void for_each(char **patterns, void (*action)(const struct test *test))
{
	for (size_t i = 0; i < suite->group_count; i++)
		for (const struct test *test = suite->groups[i]; test->name; test++)
			if (wanted(test->name, patterns))
				action(test);
}

static void count_one(const struct test *test)
{
	(void)test;
	count++;
}

static void list_one(const struct test *test)
{
	puts(test->name);
}

static void run_one(const struct test *test)
{
	if (!run_test(test, ++count))
		failed++;
}

int tap_main(const struct suite *these, char **arguments)
{
	char **patterns = arguments + 1;

	suite = these;
	if (*patterns && strcmp(*patterns, "--list") == 0) {
		for_each(patterns + 1, list_one);
		return 0;
	}
	if (*patterns && strcmp(*patterns, "--seconds") == 0 && patterns[1]) {
		watch_seconds = (unsigned)strtoul(patterns[1], NULL, 10);
		patterns += 2;
	}
	for_each(patterns, count_one);
	printf("1..%u\n", count);
	if (!count)
		return 2;
	count = 0;
	for_each(patterns, run_one);
	printf("# %u passed, %u failed, %u skipped\n", count - failed - skipped_tests, failed,
	       skipped_tests);
	return failed ? 1 : 0;
}
