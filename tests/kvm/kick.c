/* SPDX-License-Identifier: BSD-2-Clause */
/* Getting a thread out of KVM_RUN: immediate_exit and signals; what was begun is completed
 * first. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "kvm/test.h"

#define KICKS	     200u
#define SIGMASK_SIZE 8u

GUEST(spin, 64, "1: incq (%rsi); jmp 1b");
GUEST(out_spin, 64, "1: out %al, $0x10; jmp 1b");
GUEST(in, 64, "in $0x11, %al; out %eax, $0x10; hlt");
GUEST(out, 64, "out %al, $0x10; 1: jmp 1b");
GUEST(load, 64, "mov (%rdi), %eax; out %eax, $0x10; hlt");
GUEST(store, 64, "mov %eax, (%rdi); out %eax, $0x10; hlt");
GUEST(modify, 64, "incl (%rdi); out %al, $0x10; hlt");
GUEST(halts, 64, "sti; 1: hlt; jmp 1b");

static struct vm vm;

static int run(void)
{
	return failure(ioctl(vm.vcpu[0].fd, KVM_RUN, 0));
}

/* RUN that only completes what is pending. */
static void complete(void)
{
	vm.vcpu[0].run->immediate_exit = 1;
	EXPECT(run(), EINTR);
	vm.vcpu[0].run->immediate_exit = 0;
}

static void start(const struct guest *guest)
{
	vm_create(&vm);
	vm_load(&vm, 0, guest, LONG);
}

static void test_immediate(int argument)
{
	(void)argument;
	start(&spin);
	for (int i = 0; i < 3; i++) {
		complete();
		EXPECT(vm_regs(&vm, 0).rip, CODE);
	}
	EXPECT(vm.memory[DATA], 0);
}

static void test_complete_in(int argument)
{
	struct kvm_run *page;

	(void)argument;
	start(&in);
	page = vm_run(&vm, 0, KVM_EXIT_IO);
	*io_data(page) = 0x42;
	complete();
	EXPECT(vm_regs(&vm, 0).rax & 0xff, 0x42);
	EXPECT(vm_regs(&vm, 0).rip, CODE + 2);
	complete();
	EXPECT(vm_out(&vm, 0, PORT) & 0xff, 0x42);
}

static void test_complete_out(int argument)
{
	(void)argument;
	start(&out);
	vm_out(&vm, 0, PORT);
	complete();
	EXPECT(vm_regs(&vm, 0).rip, CODE + 2);
}

static void test_complete_load(int argument)
{
	(void)argument;
	start(&load);
	memcpy(vm_mmio(&vm, 0, MMIO, 4, false), "\x78\x56\x34\x12", 4);
	complete();
	EXPECT(vm_regs(&vm, 0).rax, 0x12345678);
	EXPECT(vm_regs(&vm, 0).rip, CODE + 2);
	EXPECT(vm_out(&vm, 0, PORT), 0x12345678);
}

static void test_complete_store(int argument)
{
	(void)argument;
	start(&store);
	vm_mmio(&vm, 0, MMIO, 4, true);
	complete();
	EXPECT(vm_regs(&vm, 0).rip, CODE + 2);
	vm_out(&vm, 0, PORT);
}

/* Completing the read makes the write: an exit, whatever immediate_exit says. */
static void test_complete_modify(int argument)
{
	(void)argument;
	start(&modify);
	memset(vm_mmio(&vm, 0, MMIO, 4, false), 0x11, 4);
	vm.vcpu[0].run->immediate_exit = 1;
	EXPECT(memcmp(vm_mmio(&vm, 0, MMIO, 4, true), "\x12\x11\x11\x11", 4), 0);
	EXPECT(run(), EINTR);
	vm.vcpu[0].run->immediate_exit = 0;
	EXPECT(vm_regs(&vm, 0).rip, CODE + 2);
	vm_out(&vm, 0, PORT);
}

/* --- signals ---------------------------------------------------------------------------------
 */

static atomic_uint handled, ended;
static atomic_bool stop;
static pthread_t runner;

static void count_signal(int number)
{
	(void)number;
	handled++;
}

/* As QEMU's: the flag closes the gap between the handler and RUN. */
static void set_immediate_exit(int number)
{
	(void)number;
	vm.vcpu[0].run->immediate_exit = 1;
	handled++;
}

static void on_signal(void (*handler)(int), int flags)
{
	const struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	EXPECT(sigaction(SIGUSR1, &action, NULL), 0);
	EXPECT(sigaction(SIGALRM, &action, NULL), 0);
}

static void test_alarm(int flags)
{
	const struct itimerval time = {.it_value = {0, 50000}};

	start(&spin);
	on_signal(count_signal, flags);
	for (unsigned i = 1; i <= 3; i++) {
		setitimer(ITIMER_REAL, &time, NULL);
		EXPECT(run(), EINTR);
		EXPECT(handled, i);
		EXPECT(vm.vcpu[0].run->exit_reason, KVM_EXIT_INTR);
	}
	CHECK(vm.memory[DATA] || vm.memory[DATA + 1], "the guest did not run");
}

/* After each handled signal "ended" grows: whenever it comes, this RUN or the next one ends by
 * it. */
static void run_until_stopped(struct vm *which)
{
	runner = pthread_self();
	atomic_store(&ended, 1);
	while (!stop) {
		int result = ioctl(which->vcpu[0].fd, KVM_RUN, 0);

		CHECK(result == 0 || errno == EINTR, "RUN: %s", strerror(errno));
		if (result == 0)
			continue;
		which->vcpu[0].run->immediate_exit = 0;
		atomic_fetch_add(&ended, 1);
	}
}

static void start_runner(const struct guest *guest)
{
	start(guest);
	on_signal(set_immediate_exit, 0);
	thread_start(&vm, run_until_stopped);
	while (!ended)
		sleep_ms(1);
}

static void stop_runner(void)
{
	stop = true;
	EXPECT(pthread_kill(runner, SIGUSR1), 0);
	thread_join_all();
}

/* A kick that is lost leaves the guest spinning for ever, or the client with exits only. */
static void test_kicks(int spins)
{
	start_runner(spins ? &spin : &out_spin);
	for (unsigned i = 0; i < KICKS; i++) {
		unsigned before = ended, kicks = handled;

		EXPECT(pthread_kill(runner, SIGUSR1), 0);
		while (handled == kicks || ended == before)
			sched_yield();
		if (i % 4 == 0)
			sleep_ms(1);
	}
	stop_runner();
}

/* Another thread sets the flag, without a signal: seen at the next RUN at the latest. */
static void test_flag_of_other_thread(int argument)
{
	(void)argument;
	start(&out_spin);
	vm_out(&vm, 0, PORT);
	vm.vcpu[0].run->immediate_exit = 1;
	EXPECT(run(), EINTR);
	EXPECT(run(), EINTR);
	vm.vcpu[0].run->immediate_exit = 0;
	vm_out(&vm, 0, PORT);
}

static void test_halted(int argument)
{
	const struct itimerval time = {.it_value = {0, 50000}};

	(void)argument;
	vm_create_with_irqchip(&vm);
	vm_load(&vm, 0, &halts, LONG);
	on_signal(count_signal, 0);
	for (unsigned i = 1; i <= 3; i++) {
		setitimer(ITIMER_REAL, &time, NULL);
		EXPECT(run(), EINTR);
		EXPECT(handled, i);
	}
}

/* The older way: a signal that is blocked but in RUN. */
static void test_signal_mask(int argument)
{
	struct {
		struct kvm_signal_mask header;
		uint8_t set[SIGMASK_SIZE];
	} mask = {.header.len = SIGMASK_SIZE};
	sigset_t set;
	int number;

	(void)argument;
	start(&spin);
	on_signal(count_signal, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	EXPECT(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	if (ioctl(vm.vcpu[0].fd, KVM_SET_SIGNAL_MASK, &mask) < 0)
		skip("no KVM_SET_SIGNAL_MASK, which KVM_CAP_IMMEDIATE_EXIT makes unneeded");
	EXPECT(raise(SIGUSR1), 0);
	EXPECT(run(), EINTR);
	EXPECT(handled, 0);
	EXPECT(sigwait(&set, &number), 0);
	EXPECT(number, SIGUSR1);
	mask.header.len = 7;
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_SET_SIGNAL_MASK, &mask)), EINVAL);
}

static void run_once(struct vm *which)
{
	vm_out(which, 0, PORT);
}

/* A vCPU is no thread's own. */
static void test_threads(int argument)
{
	(void)argument;
	start(&out_spin);
	for (int i = 0; i < 5; i++) {
		thread_start(&vm, run_once);
		thread_join_all();
		vm_out(&vm, 0, PORT);
	}
}

const struct test kick_tests[] = {
    TEST("kick: immediate_exit keeps the guest from running", test_immediate),
    TEST("kick: IN is completed", test_complete_in),
    TEST("kick: OUT is completed", test_complete_out),
    TEST("kick: an MMIO load is completed", test_complete_load),
    TEST("kick: an MMIO store is completed", test_complete_store),
    TEST("kick: an MMIO read-modify-write is completed", test_complete_modify),
    TEST_OF("kick: a signal's handler ends RUN", test_alarm, 0),
    TEST_OF("kick: a signal's handler ends RUN, with SA_RESTART", test_alarm, SA_RESTART),
    TEST_OF("kick: none of many kicks is lost", test_kicks, 1),
    TEST_OF("kick: none of many kicks is lost among exits", test_kicks, 0),
    TEST("kick: immediate_exit stays until it is taken back", test_flag_of_other_thread),
    TEST("kick: a signal ends RUN of a halted vCPU", test_halted),
    TEST("kick: KVM_SET_SIGNAL_MASK", test_signal_mask),
    TEST("kick: one vCPU, several threads", test_threads),
    TESTS_END,
};
