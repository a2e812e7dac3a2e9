/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that never exits by itself is a process like any other: dom0 stays responsive, and signals,
 * kill, taskset, strace, gdb and cgroups do to its client what they do to every process.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest/machine.h"

#define CGROUPS	     "/sys/fs/cgroup"
#define CALIBRATION  5000000u
#define MIGRATIONS   1000u
#define KILLS	     20u
#define MIB	     (1024u * 1024u)

PAYLOAD(work);
PAYLOAD(spin);
PAYLOAD(writer);

static struct machine machine;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double cpu_time_of(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void sleep_for(double seconds)
{
	struct timespec time = {(time_t)seconds,
				(long)((seconds - (double)(time_t)seconds) * 1e9)};

	while (nanosleep(&time, &time) < 0)
		;
}

static void stay_on(pid_t process, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	EXPECT(sched_setaffinity(process, sizeof(set), &set), 0);
}

/* --- the guest's work ---------------------------------------------------------------------- */

static uint32_t work_result(uint32_t start, uint32_t rounds)
{
	for (; rounds; rounds--)
		start = start * 69069 + 1;
	return start;
}

/* The payload "work" from start to end, in one RUN. */
static uint32_t machine_work(uint32_t start, uint32_t rounds)
{
	struct luv_vcpu_page *page = machine.vcpu[0].page;

	machine_start(&machine, 0, LONG);
	page->general[LUV_RAX] = start;
	page->general[LUV_RCX] = rounds;
	machine_run(&machine, 0, LUV_RUN_HLT);
	return (uint32_t)page->general[LUV_RAX];
}

static void do_work(uint32_t start, uint32_t rounds)
{
	EXPECT(machine_work(start, rounds), work_result(start, rounds));
}

static uint32_t rounds_for(double seconds)
{
	double begin = now(), rounds;

	machine_work(1, CALIBRATION);
	rounds = seconds * CALIBRATION / (now() - begin);
	return rounds < 4e9 ? (uint32_t)rounds : 4000000000u;
}

static void work_begin(void)
{
	machine_create(&machine, 0);
	machine_load(&machine, &work, LONG);
	do_work(1, CALIBRATION);
}

/*
 * A child that has its guest work in RUNs of about so long, until *over, and ends with status 0 if
 * all is well. NULL: once.
 */
static pid_t worker(double seconds, const atomic_bool *over)
{
	pid_t child = fork();

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		work_begin();
		do
			do_work(12345, rounds_for(seconds));
		while (over && !*over);
		machine_destroy(&machine);
		_exit(0);
	}
	CHECK(child > 0, "no child");
	return child;
}

static void expect_success(pid_t child)
{
	int status = -1;

	EXPECT(waitpid(child, &status, 0), child);
	EXPECT(status, 0);
}

/* --- the tests ----------------------------------------------------------------------------- */

/* Both on one CPU: the other process gets its share, and wakes up in time. */
static void test_responsive(int argument)
{
	double begin = now(), cpu = cpu_time_of(RUSAGE_SELF), late = 0;
	volatile unsigned counter = 0;
	pid_t child = worker(watch_seconds, NULL);
	unsigned wakes = 0;

	(void)argument;
	stay_on(0, 0);
	stay_on(child, 0);
	while (now() - begin < watch_seconds) {
		double before = now(), took;

		sleep_for(0.01);
		took = now() - before - 0.01;
		late = took > late ? took : late;
		wakes++;
		for (unsigned i = 0; i < 100000; i++)
			counter++;
	}
	printf("# %u wakes, the latest by %.3f s; %.2f s of CPU time\n", wakes, late,
	       cpu_time_of(RUSAGE_SELF) - cpu);
	CHECK(wakes >= 10 * watch_seconds, "%u wakes in %u s", wakes, watch_seconds);
	/* A host that is busy itself may be late; a CPU that a guest holds would never come. */
	CHECK(late < 5, "woken %.3f s late", late);
	expect_success(child);
}

static void on_alarm(int signal)
{
	(void)signal;
	*machine.vcpu[0].stop = 1;
}

static void test_alarm(int argument)
{
	const struct sigaction action = {.sa_handler = on_alarm};
	double begin;

	(void)argument;
	machine_create(&machine, 0);
	machine_load(&machine, &spin, LONG);
	sigaction(SIGALRM, &action, NULL);
	begin = now();
	alarm(1);
	EXPECT(luv_vcpu_run(machine.vm, 0, machine.vcpu[0].page), LUV_ERR_INTR);
	CHECK(now() - begin > 0.5 && now() - begin < 5, "after %.2f s", now() - begin);
	EXPECT(machine.vcpu[0].page->rip, CODE);
	machine_destroy(&machine);
}

/* User and system time of a process, in clock ticks (proc(5): fields 14 and 15). */
static unsigned long ticks_of(pid_t process)
{
	char path[64];
	unsigned long user = 0, system = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", process);
	file = fopen(path, "re");
	CHECK(file && fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			     &user, &system) == 2,
	      "%s", path);
	fclose(file);
	return user + system;
}

static void test_stop_continue(int argument)
{
	pid_t child = worker(watch_seconds, NULL);
	unsigned long ticks;
	int status;

	(void)argument;
	sleep_for(watch_seconds / 2.0);
	CHECK(ticks_of(child) > 0, "it does not run");
	kill(child, SIGSTOP);
	EXPECT(waitpid(child, &status, WUNTRACED), child);
	CHECK(WIFSTOPPED(status), "it ended before it was stopped");
	ticks = ticks_of(child);
	sleep_for(1);
	EXPECT(ticks_of(child), ticks);
	kill(child, SIGCONT);
	expect_success(child);
}

static bool write_file(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	bool written = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);

	if (file >= 0)
		close(file);
	return written;
}

static void *eat_memory(void *unused)
{
	(void)unused;
	sleep_for(0.5);
	for (;;)
		memset(plain_pages(MIB), 1, MIB);
	return NULL;
}

/* A child in RUN; hungry: another thread of it eats memory until the system ends it. */
static pid_t running_child(const struct payload *payload, bool hungry)
{
	pid_t child = fork();

	if (child == 0) {
		pthread_t thread;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		machine_create(&machine, 0);
		machine_load(&machine, payload, LONG);
		if (hungry)
			pthread_create(&thread, NULL, eat_memory, NULL);
		luv_vcpu_run(machine.vm, 0, machine.vcpu[0].page);
		_exit(1);
	}
	CHECK(child > 0, "no child");
	return child;
}

static pid_t spinner(void)
{
	return running_child(&spin, false);
}

/* The frames of a process that has just died are the system's: nobody writes to them any more. */
static void check_freed_memory(void)
{
	const size_t size = 64 * MIB;
	uint8_t *memory = plain_pages(size);

	memset(memory, 0xa5, size);
	sleep_for(0.2);
	for (size_t i = 0; i < size; i++)
		CHECK(memory[i] == 0xa5, "byte %zu of fresh memory changed to %#x", i, memory[i]);
	munmap(memory, size);
}

/* Dead at once; what its VMs had is found by those who need it, at the latest. */
static void test_kill(int argument)
{
	int before = luv_query(LUV_QUERY_POOL_FREE), status;

	(void)argument;
	for (unsigned i = 0; i < KILLS; i++) {
		pid_t child = running_child(&writer, false);
		double begin;

		sleep_for(0.1);
		begin = now();
		kill(child, SIGKILL);
		EXPECT(waitpid(child, &status, 0), child);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x", status);
		CHECK(now() - begin < 5, "dead after %.2f s", now() - begin);
	}
	check_freed_memory();
	printf("# the pool had %d KiB free, now %d\n", before, luv_query(LUV_QUERY_POOL_FREE));
	work_begin();
	do_work(99, CALIBRATION);
	machine_destroy(&machine);
}

/* The OOM killer ends a process whose thread is in RUN, and its guest with it. */
static void test_oom(int argument)
{
	const char *group = CGROUPS "/luvalley-oom";
	char number[16];
	pid_t child;
	int status;

	(void)argument;
	mount("cgroup2", CGROUPS, "cgroup2", 0, NULL);
	write_file(CGROUPS "/cgroup.subtree_control", "+memory");
	mkdir(group, 0700);
	if (!write_file(CGROUPS "/luvalley-oom/memory.max", "33554432"))
		skip("no cgroup with a memory limit");
	child = running_child(&writer, true);
	snprintf(number, sizeof(number), "%d", child);
	CHECK(write_file(CGROUPS "/luvalley-oom/cgroup.procs", number), "cgroup.procs");
	EXPECT(waitpid(child, &status, 0), child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x", status);
	check_freed_memory();
	rmdir(group);
	work_begin();
	do_work(99, CALIBRATION);
	machine_destroy(&machine);
}

static void test_migrate(int argument)
{
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	pid_t child;

	(void)argument;
	if (cpus < 2)
		skip("one CPU");
	child = worker(watch_seconds + 2, NULL);
	for (unsigned i = 0; i < MIGRATIONS; i++) {
		stay_on(child, (int)i % cpus);
		sleep_for(0.001);
	}
	expect_success(child);
}

static bool have(const char *program)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
	return system(command) == 0;
}

/* The tool comes and goes while the guest works. */
static void with_tool(const char *program, const char *format)
{
	char command[256];
	atomic_bool *over;
	pid_t child;

	if (!have(program))
		skip("the program is not installed");
	over = mmap(NULL, sizeof(*over), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(over != MAP_FAILED, "no memory");
	child = worker(watch_seconds, over);
	sleep_for(0.5);
	for (unsigned i = 0; i < 3; i++) {
		int status;

		snprintf(command, sizeof(command), format, child);
		status = system(command);
		CHECK(status == 0, "%s: %#x", command, status);
	}
	*over = true;
	expect_success(child);
	munmap(over, sizeof(*over));
}

static void test_strace(int argument)
{
	(void)argument;
	with_tool("strace", "timeout -s INT 1 strace -q -p %d -o /dev/null; [ $? = 124 ]");
}

static void test_gdb(int argument)
{
	(void)argument;
	with_tool("gdb", "gdb -q -batch -nx -p %d -ex 'info registers rip' -ex detach "
			 ">/dev/null 2>&1 </dev/null");
}


/* A fifth of a CPU for the client, and no more than about that used. */
static void test_cgroup(int argument)
{
	const char *group = CGROUPS "/luvalley-test";
	char number[16];
	unsigned long before;
	double used;
	pid_t child;

	(void)argument;
	mount("cgroup2", CGROUPS, "cgroup2", 0, NULL);
	write_file(CGROUPS "/cgroup.subtree_control", "+cpu");
	mkdir(group, 0700);
	if (!write_file(CGROUPS "/luvalley-test/cpu.max", "20000 100000"))
		skip("no cgroup with a CPU limit");
	child = spinner();
	sleep_for(0.5);
	snprintf(number, sizeof(number), "%d", child);
	CHECK(write_file(CGROUPS "/luvalley-test/cgroup.procs", number), "cgroup.procs");
	before = ticks_of(child);
	sleep_for(watch_seconds);
	used = (double)(ticks_of(child) - before) / (double)sysconf(_SC_CLK_TCK);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	rmdir(group);
	printf("# %.2f s of CPU time in %u s\n", used, watch_seconds);
	CHECK(used > 0.05 * watch_seconds && used < 0.35 * watch_seconds + 0.1,
	      "%.2f s of CPU time in %u s", used, watch_seconds);
}

const struct test restart_tests[] = {
	{.name = "restart: another process on the same CPU", .run = test_responsive},
	{.name = "restart: SIGALRM ends RUN", .run = test_alarm},
	{.name = "restart: SIGSTOP and SIGCONT", .run = test_stop_continue},
	{.name = "restart: SIGKILL", .run = test_kill, .seconds = 120},
	{.name = "restart: the OOM killer", .run = test_oom, .seconds = 120},
	{.name = "restart: from CPU to CPU", .run = test_migrate, .seconds = 120},
	{.name = "restart: strace", .run = test_strace, .seconds = 120},
	{.name = "restart: gdb", .run = test_gdb, .seconds = 120},
	{.name = "restart: a cgroup's CPU limit", .run = test_cgroup},
	{0},
};
