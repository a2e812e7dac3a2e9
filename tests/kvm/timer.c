/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC's timer with a TSC deadline: each comes once, and none before its time. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "kvm/test.h"

#define CPUID_1_ECX_DEADLINE (1u << 24)
#define MSR_TSC		     0x10u
#define MSR_DEADLINE	     0x6e0u
#define PORT_LEAVE	     0x13u

#define TIMESTAMP	     "rdtsc; shl $32, %rdx; or %rdx, %rax\n"
#define CHOOSE(times, ticks)                                                                 \
	"mov $0xfee00000, %r15d; movl $0x1ff, 0xf0(%r15); movl $0x40054, 0x320(%r15); sti\n" \
	"mov $" #times ", %ebp; 1: movq $0, (%rsi); " TIMESTAMP "add $" #ticks ", %rax\n"    \
	"mov %rax, %r12; mov %rax, %rdx; shr $32, %rdx; mov $0x6e0, %ecx\n"
#define ARM(times, ticks) CHOOSE(times, ticks) "wrmsr\n"
/* RSI: how often the handler was called, and when last. A second interrupt has time to come. */
#define JUDGE                                                                   \
	"3: " TIMESTAMP "sub $600000, %rax; cmp %r12, %rax; jb 3b\n"            \
	"cmpq $1, (%rsi); jne 4f; cmp %r12, 8(%rsi); jb 4f; dec %ebp; jnz 1b\n" \
	"out %al, $0x10; 4: out %al, $0x11"

GUEST(spins, 64, ARM(30, 4000000) "2: cmpq $0, (%rsi); jz 2b\n" JUDGE);
/* STI and HLT are no unit where the hypervisor's CPU drops the shadow: the handler returns to
 * R13. */
GUEST(halts, 64, "lea 3f(%rip), %r13\n" ARM(30, 4000000) "2: hlt; jmp 2b\n" JUDGE);
/* First far away, then where it counts. */
GUEST(moves, 64,
      CHOOSE(10, 10000000) "add $20, %edx; wrmsr; sub $20, %edx; wrmsr\n"
			   "2: cmpq $0, (%rsi); jz 2b\n" JUDGE);
/* Taken back in time, it does not come. */
GUEST(stops, 64,
      ARM(20, 2000000) "xor %eax, %eax; xor %edx, %edx; wrmsr\n" TIMESTAMP
		       "cmp %r12, %rax; jae 1b\n"
		       "3: " TIMESTAMP "sub $600000, %rax; cmp %r12, %rax; jb 3b\n"
		       "cmpq $0, (%rsi); jne 4f; dec %ebp; jnz 1b\n"
		       "out %al, $0x10; 4: out %al, $0x11");
/* It passes while the vCPU is not in KVM_RUN. */
GUEST(leaves, 64, ARM(5, 2000000) "out %al, $0x13; 2: cmpq $0, (%rsi); jz 2b\n" JUDGE);
/* The client arms it. */
#define READY \
	"mov $0xfee00000, %r15d; movl $0x1ff, 0xf0(%r15); movl $0x40054, 0x320(%r15); sti\n"
GUEST(is_armed_spins, 64, READY "out %al, $0x13; 2: cmpq $0, (%rsi); jz 2b; out %al, $0x10");
GUEST(is_armed_halts, 64,
      "lea 3f(%rip), %r13\n" READY "out %al, $0x13; 2: hlt; jmp 2b; 3: out %al, $0x10");
/* Over before anything can be done about it, for ever: a count of 1, not divided. */
#define SHORTEST                                                                    \
	"mov $0xfee00000, %r15d; movl $0x1ff, 0xf0(%r15); movl $0xb, 0x3e0(%r15)\n" \
	"movl $0x20054, 0x320(%r15); movl $1, 0x380(%r15)\n"
GUEST(shortest, 64, SHORTEST "sti; 1: pause; jmp 1b");
GUEST(shortest_held_back, 64, SHORTEST "1: incq (%rsi); jmp 1b");
GUEST(handler, 64,
      "push %rax; push %rdx; incq (%rsi)\n" TIMESTAMP "mov %rax, 8(%rsi)\n"
      "movl $0, 0xb0(%r15); test %r13, %r13; jz 1f; mov %r13, 16(%rsp)\n"
      "1: pop %rdx; pop %rax; iretq");

static struct vm vm;
static atomic_bool over;
static pid_t runner;

static void load(unsigned id, const struct guest *guest)
{
	struct kvm_cpuid2 *list = cpuid_supported(vm.kvm);

	cpuid_find(list, 1, 0)->ecx |= CPUID_1_ECX_DEADLINE;
	MUST(ioctl(vm.vcpu[id].fd, KVM_SET_CPUID2, list));
	free(list);
	vm_load(&vm, id, guest, LONG);
	vm_put(&vm, HANDLER + 0x200, &handler);
	vm_gate(&vm, 0x54, HANDLER + 0x200);
}

static void start(const struct guest *guest)
{
	if (ioctl(kvm_open(), KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) == 0)
		skip("no KVM_CAP_TSC_DEADLINE_TIMER");
	vm_create_with_irqchip(&vm);
	load(0, guest);
}

static const struct guest *guest_of(int argument)
{
	static const struct guest *const guests[] = {&spins, &halts, &moves, &stops};

	return guests[argument];
}

static void test_deadlines(int argument)
{
	start(guest_of(argument));
	vm_out(&vm, 0, PORT);
}

static uint64_t guest_tsc(void)
{
	uint64_t value;

	EXPECT(msr_read(vm.vcpu[0].fd, MSR_TSC, &value), 0);
	return value;
}

static void test_outside(int argument)
{
	(void)argument;
	start(&leaves);
	for (int i = 0; i < 5; i++) {
		uint64_t deadline;

		vm_out(&vm, 0, PORT_LEAVE);
		deadline = vm_regs(&vm, 0).r12;
		while (guest_tsc() <= deadline)
			;
	}
	vm_out(&vm, 0, PORT);
}

static void test_client_arms(int halting)
{
	uint64_t deadline, when;

	start(halting ? &is_armed_halts : &is_armed_spins);
	vm_out(&vm, 0, PORT_LEAVE);
	deadline = guest_tsc() + 1000000;
	EXPECT(msr_write(vm.vcpu[0].fd, MSR_DEADLINE, deadline), 0);
	vm_out(&vm, 0, PORT);
	memcpy(&when, vm.memory + DATA + 8, sizeof(when));
	CHECK(when >= deadline, "%llu ticks early", (unsigned long long)(deadline - when));
}

static void run_other(struct vm *unused)
{
	(void)unused;
	vm_out(&vm, 1, PORT);
}

static void test_two(int argument)
{
	struct kvm_mp_state state = {.mp_state = KVM_MP_STATE_RUNNABLE};
	struct kvm_regs regs;

	start(guest_of(argument));
	vm_add_vcpu(&vm, 1);
	load(1, guest_of(argument));
	MUST(ioctl(vm.vcpu[1].fd, KVM_SET_MP_STATE, &state));
	regs = vm_regs(&vm, 1);
	regs.rsi += 0x100;
	vm_set_regs(&vm, 1, &regs);
	thread_start(&vm, run_other);
	vm_out(&vm, 0, PORT);
	thread_join_all();
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* The CPU is not the guest's alone: dom0 has its interrupts, and the client its signal. */
static void test_shortest(int held_back)
{
	const struct sigaction action = {.sa_handler = on_alarm};
	const struct itimerval time = {{0, 50000}, {0, 50000}}; /* one may come before RUN */

	start(held_back ? &shortest_held_back : &shortest);
	EXPECT(sigaction(SIGALRM, &action, NULL), 0);
	setitimer(ITIMER_REAL, &time, NULL);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_RUN, 0)), EINTR);
}

/* From one CPU to another, wherever the thread is. */
static void drive(struct vm *unused)
{
	cpu_set_t here;

	(void)unused;
	for (int i = 0; !over; i++) {
		CPU_ZERO(&here);
		CPU_SET(i % 2, &here);
		EXPECT(sched_setaffinity(runner, sizeof(here), &here), 0);
		usleep(100);
	}
}

static void test_migration(int argument)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip("one CPU");
	start(guest_of(argument));
	runner = gettid();
	over = false;
	thread_start(&vm, drive);
	vm_out(&vm, 0, PORT);
	over = true;
	thread_join_all();
}

const struct test timer_tests[] = {
    TEST_OF("timer: deadlines of a guest that spins", test_deadlines, 0),
    TEST_OF("timer: deadlines of a guest that halts", test_deadlines, 1),
    TEST_OF("timer: a deadline that moves", test_deadlines, 2),
    TEST_OF("timer: a deadline that is taken back", test_deadlines, 3),
    TEST("timer: a deadline while the vCPU is not in KVM_RUN", test_outside),
    TEST_OF("timer: the client arms it, the guest spins", test_client_arms, 0),
    TEST_OF("timer: the client arms it, the guest halts", test_client_arms, 1),
    TEST_OF("timer: two vCPUs that spin", test_two, 0),
    TEST_OF("timer: two vCPUs that halt", test_two, 1),
    TEST_OF("timer: the shortest period leaves the CPU to others", test_shortest, 0),
    TEST_OF("timer: the shortest period, held back", test_shortest, 1),
    TEST_OF("timer: its thread moves while the guest spins", test_migration, 0),
    TEST_OF("timer: its thread moves while the guest halts", test_migration, 1),
    TEST_OF("timer: its thread moves, and the deadline", test_migration, 2),
    TESTS_END,
};
