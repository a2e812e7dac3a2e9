/* SPDX-License-Identifier: BSD-2-Clause */
/* The file descriptors: dup, close, mmap, fork, exec; several VMs; the end of a process. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm/test.h"

#define MANY_VMS   30u
#define CLOSED_VMS 8u

GUEST(count, 64, "mov (%rsi), %eax; 1: out %eax, $0x10; inc %eax; jmp 1b");
GUEST(spin, 64, "1: jmp 1b");

static struct vm vm, other;

static void start(struct vm *which, uint32_t first)
{
	vm_create(which);
	vm_load(which, 0, &count, LONG);
	memcpy(which->memory + DATA, &first, sizeof(first));
	EXPECT(vm_out(which, 0, PORT), first);
}

static void test_cloexec(int argument)
{
	(void)argument;
	vm_create(&vm);
	EXPECT(fcntl(vm.fd, F_GETFD), FD_CLOEXEC);
	EXPECT(fcntl(vm.vcpu[0].fd, F_GETFD), FD_CLOEXEC);
}

/* A duplicate is as good as the first, which goes. */
static void replace(int *fd, int duplicate, int flags)
{
	MUST(duplicate);
	EXPECT(fcntl(duplicate, F_GETFD), flags);
	EXPECT(close(*fd), 0);
	*fd = duplicate;
}

static void test_dup(int argument)
{
	(void)argument;
	start(&vm, 1);
	replace(&vm.kvm, dup(vm.kvm), 0);
	replace(&vm.fd, fcntl(vm.fd, F_DUPFD_CLOEXEC, 50), FD_CLOEXEC);
	replace(&vm.vcpu[0].fd, dup2(vm.vcpu[0].fd, 70), 0);
	EXPECT(vm_out(&vm, 0, PORT), 2);
	replace(&vm.vcpu[0].fd, dup3(vm.vcpu[0].fd, 71, O_CLOEXEC), FD_CLOEXEC);
	replace(&vm.vcpu[0].fd, fcntl(vm.vcpu[0].fd, F_DUPFD, 3), 0);
	EXPECT(vm_out(&vm, 0, PORT), 3);
	EXPECT(vm_slot(&vm, 1, 0, MORE, PAGE, pages(PAGE)), 0);
	EXPECT(ioctl(vm.kvm, KVM_GET_API_VERSION, 0), KVM_API_VERSION);
	vm_close(&vm);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_RUN, 0)), EBADF);
}

/* dup2 onto an fd closes what it was. */
static void test_dup_onto(int argument)
{
	int null = MUST(open("/dev/null", O_RDWR));

	(void)argument;
	start(&vm, 1);
	start(&other, 10);
	EXPECT(dup2(vm.vcpu[0].fd, other.vcpu[0].fd), other.vcpu[0].fd);
	MUST(ioctl(other.vcpu[0].fd, KVM_RUN, 0));
	EXPECT(vm_out(&vm, 0, PORT), 3);
	EXPECT(dup2(null, other.vcpu[0].fd), other.vcpu[0].fd);
	EXPECT(failure(ioctl(other.vcpu[0].fd, KVM_RUN, 0)), ENOTTY);
	EXPECT(vm_out(&vm, 0, PORT), 4);
}

/* A vCPU holds its VM. */
static void test_close_vm_first(int argument)
{
	(void)argument;
	start(&vm, 1);
	EXPECT(close(vm.fd), 0);
	EXPECT(close(vm.kvm), 0);
	EXPECT(failure(ioctl(vm.fd, KVM_CHECK_EXTENSION, 0)), EBADF);
	EXPECT(vm_out(&vm, 0, PORT), 2);
	EXPECT(close(vm.vcpu[0].fd), 0);
	EXPECT(close(vm.vcpu[0].fd), -1);
	EXPECT(errno, EBADF);
}

static void test_number_reused(int argument)
{
	int fd;

	(void)argument;
	start(&vm, 1);
	fd = vm.vcpu[0].fd;
	EXPECT(close(fd), 0);
	EXPECT(MUST(open("/dev/null", O_RDWR)), fd);
	EXPECT(failure(ioctl(fd, KVM_RUN, 0)), ENOTTY);
	EXPECT(write(fd, "x", 1), 1);
	EXPECT(close(fd), 0);
}

static void test_mmap(int argument)
{
	size_t size;
	struct kvm_run *again;

	(void)argument;
	start(&vm, 1);
	size = vm.vcpu[0].run_size;
	again = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vm.vcpu[0].fd, 0);
	CHECK(again != MAP_FAILED, "it cannot be mapped twice");
	EXPECT(again->exit_reason, KVM_EXIT_IO);
	EXPECT(again->io.port, PORT);
	vm_out(&vm, 0, PORT);
	EXPECT(*io_data(again), 2);
	EXPECT(munmap(vm.vcpu[0].run, size), 0);
	vm.vcpu[0].run = again;
	EXPECT(vm_out(&vm, 0, PORT), 3);
	EXPECT(munmap(again, size), 0);
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_RUN, 0), 0);
}

static void expect_child(pid_t child, int wanted)
{
	int status = -1;

	CHECK(child > 0 && waitpid(child, &status, 0) == child, "no child");
	EXPECT(status, wanted);
}

/* A VM belongs to the process that made it; /dev/kvm does not. */
static void test_fork(int argument)
{
	pid_t child;

	(void)argument;
	start(&vm, 1);
	child = fork();
	if (child == 0) {
		struct kvm_regs regs;

		EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_RUN, 0)), EIO);
		EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_GET_REGS, &regs)), EIO);
		EXPECT(failure(ioctl(vm.fd, KVM_CREATE_VCPU, 1)), EIO);
		EXPECT(vm_slot(&vm, 0, 0, 0, 0, NULL), EIO);
		EXPECT(ioctl(vm.kvm, KVM_GET_API_VERSION, 0), KVM_API_VERSION);
		start(&other, 77);
		EXPECT(vm_out(&other, 0, PORT), 78);
		_exit(0);
	}
	expect_child(child, 0);
	EXPECT(vm_out(&vm, 0, PORT), 2);
}

static void test_spawn(int argument)
{
	extern char **environ;
	char *const words[] = {(char[]){"true"}, NULL};
	pid_t child;

	(void)argument;
	start(&vm, 1);
	EXPECT(posix_spawnp(&child, "true", NULL, NULL, words, environ), 0);
	expect_child(child, 0);
	EXPECT(system("exit 3"), 3 << 8);
	EXPECT(vm_out(&vm, 0, PORT), 2);
}

static _Atomic(pthread_t) runner;
static atomic_int running, asked;

static void nothing(int number)
{
	(void)number;
}

static void run_until_told(struct vm *which)
{
	runner = pthread_self();
	running = 1;
	while (!which->vcpu[0].run->immediate_exit)
		EXPECT(failure(ioctl(which->vcpu[0].fd, KVM_RUN, 0)), EINTR);
	running = 0;
}

static void ask(struct vm *which)
{
	struct kvm_regs regs;
	int error;

	asked++;
	error = failure(ioctl(which->vcpu[0].fd, KVM_GET_REGS, &regs));
	/* ENOTTY: forgotten, and not yet closed. */
	CHECK(error == 0 || error == EBADF || error == ENOTTY, "errno %d", error);
}

static unsigned open_files(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned files = 0;

	CHECK(folder, "no /proc/self/fd");
	while (readdir(folder))
		files++;
	closedir(folder);
	return files;
}

/* Its last descriptor goes while one ioctl is at work and others wait; whoever is last ends the
 * VM. */
static void test_close_under_way(int argument)
{
	const struct sigaction action = {.sa_handler = nothing};
	unsigned files = 0;

	(void)argument;
	EXPECT(sigaction(SIGUSR1, &action, NULL), 0);
	for (unsigned round = 0; round < CLOSED_VMS; round++) {
		vm_create(&vm);
		vm_load(&vm, 0, &spin, LONG);
		asked = 0;
		thread_start(&vm, run_until_told);
		while (!running)
			sched_yield();
		thread_start(&vm, ask);
		thread_start(&vm, ask);
		while (round % 2 && asked < 2)
			sched_yield();
		EXPECT(close(vm.vcpu[0].fd), 0);
		EXPECT(close(vm.fd), 0);
		EXPECT(close(vm.kvm), 0);
		vm.vcpu[0].run->immediate_exit = 1;
		while (running) {
			EXPECT(pthread_kill(runner, SIGUSR1), 0);
			sched_yield();
		}
		thread_join_all();
		EXPECT(munmap(vm.vcpu[0].run, vm.vcpu[0].run_size), 0);
		EXPECT(munmap(vm.memory, MEMORY), 0);
		if (round == 0)
			files = open_files();
	}
	EXPECT(open_files(), files);
}

#define REGISTER_ROUNDS 3000

static void set_and_get(struct vm *which)
{
	for (uint64_t i = 1; i <= REGISTER_ROUNDS; i++) {
		struct kvm_regs regs = {
		    .rax = i, .rsi = i, .r8 = i, .r15 = i, .rip = i, .rflags = 2};

		EXPECT(failure(ioctl(which->vcpu[0].fd, KVM_SET_REGS, &regs)), 0);
		EXPECT(failure(ioctl(which->vcpu[0].fd, KVM_GET_REGS, &regs)), 0);
		CHECK(regs.rax == regs.rsi && regs.rax == regs.r8 && regs.rax == regs.r15 &&
			  regs.rax == regs.rip,
		      "registers of two calls: %" PRIx64 " %" PRIx64, (uint64_t)regs.rax,
		      (uint64_t)regs.r15);
	}
	running--;
}

/* One ioctl at a time, KVM_RUN included. */
static void test_together(int argument)
{
	(void)argument;
	vm_create(&vm);
	vm_load(&vm, 0, &spin, LONG);
	vm.vcpu[0].run->immediate_exit = 1;
	running = 2;
	thread_start(&vm, set_and_get);
	thread_start(&vm, set_and_get);
	while (running)
		EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_RUN, 0)), EINTR);
	thread_join_all();
}

static void test_close_range(int argument)
{
	(void)argument;
	start(&vm, 1);
	EXPECT(close_range(3, ~0u, 0), 0);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_RUN, 0)), EBADF);
	EXPECT(failure(ioctl(vm.kvm, KVM_GET_API_VERSION, 0)), EBADF);
	start(&other, 5);
	EXPECT(vm_out(&other, 0, PORT), 6);
	vm_close(&other);
}

static void test_two(int argument)
{
	(void)argument;
	start(&vm, 1);
	start(&other, 100);
	for (uint32_t i = 1; i < 20; i++) {
		EXPECT(vm_out(&vm, 0, PORT), 1 + i);
		EXPECT(vm_out(&other, 0, PORT), 100 + i);
	}
	vm_close(&vm);
	EXPECT(vm_out(&other, 0, PORT), 120);
}

static void test_many(int argument)
{
	(void)argument;
	for (uint32_t i = 0; i < MANY_VMS; i++) {
		start(&vm, i);
		vm_close(&vm);
	}
}

static void spin_for_ever(struct vm *which)
{
	ioctl(which->vcpu[0].fd, KVM_RUN, 0);
	fail(__FILE__, __LINE__, "RUN has ended");
}

/* exit() while a thread is in a guest. */
static void test_exit(int argument)
{
	pid_t child = fork();

	(void)argument;
	if (child == 0) {
		vm_create(&vm);
		vm_load(&vm, 0, &spin, LONG);
		thread_start(&vm, spin_for_ever);
		sleep_ms(50);
		exit(0);
	}
	expect_child(child, 0);
	start(&vm, 1);
}

static void test_kill(int argument)
{
	pid_t child = fork();

	(void)argument;
	if (child == 0) {
		vm_create(&vm);
		vm_load(&vm, 0, &spin, LONG);
		spin_for_ever(&vm);
	}
	sleep_ms(100);
	EXPECT(kill(child, SIGKILL), 0);
	expect_child(child, SIGKILL);
	start(&vm, 1);
}

const struct test fd_tests[] = {
    TEST("fd: VMs and vCPUs are closed by exec", test_cloexec),
    TEST("fd: duplicates", test_dup),
    TEST("fd: dup2 onto a vCPU", test_dup_onto),
    TEST("fd: a vCPU outlives its VM's fd", test_close_vm_first),
    TEST("fd: a closed fd's number is used again", test_number_reused),
    TEST("fd: the vCPU mapped twice and unmapped", test_mmap),
    TEST("fd: a forked child has no VM and may make one", test_fork),
    TEST("fd: programs are started while a VM is there", test_spawn),
    TEST("fd: a vCPU is closed while ioctls are under way", test_close_under_way),
    TEST("fd: ioctls of several threads on one vCPU", test_together),
    TEST("fd: close_range", test_close_range),
    TEST("fd: two VMs in one process", test_two),
    TEST("fd: many VMs, one after the other", test_many),
    TEST("fd: exit while a guest runs", test_exit),
    TEST("fd: SIGKILL while a guest runs", test_kill),
    TESTS_END,
};
