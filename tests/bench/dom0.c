/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dom0's own work in instructions, or, with "stamp" or "tsc", the instructions since power-on;
 * "storm" sends interprocessor interrupts for ever.
 *
 *     bench-dom0 [stamp | tsc | storm | exit]
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/guest.h"

#define BATCHES 5

static uint64_t ticks(void)
{
	return __builtin_ia32_rdtsc();
}

/* Each returns the ticks of `count` operations. */

static uint64_t do_getppid(unsigned count)
{
	uint64_t start = ticks();

	for (unsigned i = 0; i < count; i++)
		syscall(SYS_getppid);
	return ticks() - start;
}

static char *new_pages(unsigned count)
{
	char *memory = mmap(NULL, count * 4096ul, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || madvise(memory, count * 4096ul, MADV_NOHUGEPAGE))
		bench_fail("mmap");
	return memory;
}

static void touch(volatile char *memory, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		memory[i * 4096ul] = 1;
}

static uint64_t do_touch(unsigned count)
{
	char *memory = new_pages(count);
	uint64_t start = ticks(), result;

	touch(memory, count);
	result = ticks() - start;
	munmap(memory, count * 4096ul);
	return result;
}

static uint64_t do_munmap(unsigned count)
{
	char *memory = new_pages(count);
	uint64_t start;

	touch(memory, count);
	start = ticks();
	munmap(memory, count * 4096ul);
	return ticks() - start;
}

static uint64_t do_fork(unsigned count)
{
	uint64_t start = ticks();

	for (unsigned i = 0; i < count; i++) {
		pid_t child = fork();

		if (child < 0)
			bench_fail("fork");
		if (!child)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	return ticks() - start;
}

static uint64_t do_exec(unsigned count)
{
	uint64_t start = ticks();

	for (unsigned i = 0; i < count; i++) {
		pid_t child = fork();

		if (child < 0)
			bench_fail("fork");
		if (!child) {
			execl("/proc/self/exe", "bench-dom0", "exit", NULL);
			_exit(1);
		}
		waitpid(child, NULL, 0);
	}
	return ticks() - start;
}

static void echo(int from, int to, unsigned count)
{
	char byte;

	for (unsigned i = 0; i < count; i++) {
		if (read(from, &byte, 1) != 1 || write(to, &byte, 1) != 1)
			_exit(1);
	}
	_exit(0);
}

static uint64_t do_pipe(unsigned count)
{
	int there[2], back[2];
	uint64_t start;
	pid_t child;
	char byte = 0;

	if (pipe(there) || pipe(back))
		bench_fail("pipe");
	child = fork();
	if (!child)
		echo(there[0], back[1], count);
	start = ticks();
	for (unsigned i = 0; i < count; i++) {
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			bench_fail("ping-pong");
	}
	start = ticks() - start;
	waitpid(child, NULL, 0);
	for (int i = 0; i < 2; i++) {
		close(there[i]);
		close(back[i]);
	}
	return start;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		bench_fail("two CPUs");
}

/* Two processes on two CPUs wake each other up for ever, by interprocessor interrupts. */
static void storm(void)
{
	int there[2], back[2];
	char byte = 0;

	if (pipe(there) || pipe(back))
		bench_fail("pipe");
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run_on(1);
		echo(there[0], back[1], ~0u);
	}
	run_on(0);
	while (write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1)
		;
}

static const struct {
	const char *name;
	uint64_t (*run)(unsigned count);
	unsigned count;
} rows[] = {
    {"dom0-getppid", do_getppid, 10000}, {"dom0-touch", do_touch, 4096},
    {"dom0-munmap", do_munmap, 4096},	 {"dom0-fork", do_fork, 50},
    {"dom0-exec", do_exec, 20},		 {"dom0-pipe", do_pipe, 500},
};

int main(int count, char **words)
{
	unsigned batches = bench_number("BENCH_BATCHES", BATCHES);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (count > 1 && !strcmp(words[1], "exit"))
		return 0;
	if (count > 1 && !strcmp(words[1], "storm")) {
		storm();
		return 1;
	}
	if (count > 1 && !strcmp(words[1], "tsc")) {
		printf("%llu\n", (unsigned long long)ticks());
		return 0;
	}
	if (count > 1 && !strcmp(words[1], "stamp")) {
		bench_row("power-on-to-init", (double)ticks());
		return 0;
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		double best = 1e18;

		if (!bench_wanted(rows[i].name))
			continue;
		for (unsigned batch = 0; batch < batches; batch++) {
			double each = (double)rows[i].run(rows[i].count) / rows[i].count;

			best = each < best ? each : best;
		}
		bench_row(rows[i].name, best);
	}
	return 0;
}
