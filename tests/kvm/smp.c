/* SPDX-License-Identifier: BSD-2-Clause */
/* Several vCPUs, each on a thread of its own. */
#include <stdatomic.h>
#include <string.h>

#include "kvm/test.h"

#define AP_CODE	    0x9000u
#define PORT_APIC   0x14u
#define ADDITIONS   20000u

#define APIC_ENABLE "mov $0xfee00000, %r15d; movl $0x1ff, 0xf0(%r15)\n"

/* INIT and STARTUP to APIC 1, as the MultiProcessor Specification has them. */
GUEST(starts_other, 64,
      APIC_ENABLE "movl $0x1000000, 0x310(%r15); movl $0x4500, 0x300(%r15); out %al, $0x10\n"
		  "movl $0x4609, 0x300(%r15); 1: cmpl $0, (%rsi); je 1b; out %al, $0x10; hlt");
GUEST(other_real, 16,
      "mov %cs, %ax; out %ax, $0x15; xor %ax, %ax; mov %ax, %ds; movw $1, 0xc000\n"
      "1: cli; hlt; jmp 1b");
GUEST(sends, 64,
      APIC_ENABLE
      "movl $0x1000000, 0x310(%r15); 1: movl $0x4051, 0x300(%r15); out %al, $0x10; jmp 1b");
GUEST(sends_nmi, 64,
      APIC_ENABLE
      "movl $0x1000000, 0x310(%r15); 1: movl $0x4400, 0x300(%r15); out %al, $0x10; jmp 1b");
GUEST(broadcasts, 64, APIC_ENABLE "1: movl $0xc4052, 0x300(%r15); out %al, $0x10; jmp 1b");
GUEST(receives, 64, APIC_ENABLE "sti; out %al, $0x15; 1: hlt; jmp 1b");
GUEST(receives_busy, 64, APIC_ENABLE "sti; out %al, $0x15; 1: pause; jmp 1b");
GUEST(adds, 64, "mov $20000, %ecx; 1: lock incl (%rsi); dec %ecx; jnz 1b; out %al, $0x10; hlt");
GUEST(ping, 64,
      "1: mov (%rsi), %eax; test $1, %al; jnz 1b; incl (%rsi); cmp $100, %eax; jb 1b; out %al, "
      "$0x10");
GUEST(pong, 64,
      "1: mov (%rsi), %eax; test $1, %al; jz 1b; incl (%rsi); cmp $100, %eax; jb 1b; out %al, "
      "$0x10");
/* KVM's hypercall SEND_IPI: APIC IDs 1 and 2, and one that is not there; vector 51h. */
GUEST(calls, 64,
      APIC_ENABLE "1: mov $10, %eax; mov $0x26, %ebx; xor %ecx, %ecx; xor %edx, %edx\n"
		  "mov $0x51, %esi; vmmcall; out %eax, $0x10; jmp 1b");
GUEST(calls_wrong, 64,
      APIC_ENABLE
      "mov $10, %eax; mov $-1, %ebx; xor %ecx, %ecx; mov $-1, %edx; mov $0x51, %esi\n"
      "vmmcall; out %eax, $0x10\n"
      "mov $10, %eax; mov $0x40051, %esi; vmmcall; out %eax, $0x10");
GUEST(handler, 64, "out %al, $0x14; movl $0, 0xb0(%r15); iretq");

static struct vm vm;
static atomic_uint received;
static atomic_uint ready; /* receivers whose APIC is enabled */

static void create(unsigned vcpus)
{
	vm_create_with_irqchip(&vm);
	for (unsigned id = 1; id < vcpus; id++)
		vm_add_vcpu(&vm, id);
}

static void load(unsigned id, const struct guest *guest)
{
	const struct kvm_mp_state runnable = {KVM_MP_STATE_RUNNABLE};

	vm_load(&vm, id, guest, LONG);
	MUST(ioctl(vm.vcpu[id].fd, KVM_SET_MP_STATE, &runnable));
	vm_put(&vm, HANDLER + 0x100, &handler);
	vm_gate(&vm, 2, HANDLER + 0x100);
	for (unsigned i = 0x30; i < 256; i++)
		vm_gate(&vm, i, HANDLER + 0x100);
}

/* RUN of a vCPU that was not started ends with EAGAIN when it is. */
static void run_other(struct vm *which)
{
	int result;

	while ((result = failure(ioctl(which->vcpu[1].fd, KVM_RUN, 0))) == EAGAIN)
		;
	EXPECT(result, 0);
	EXPECT(which->vcpu[1].run->exit_reason, KVM_EXIT_IO);
	EXPECT(which->vcpu[1].run->io.port, 0x15);
	EXPECT(*(uint16_t *)(void *)io_data(which->vcpu[1].run), AP_CODE >> 4);
	which->vcpu[1].run->immediate_exit = 1;
	EXPECT(failure(ioctl(which->vcpu[1].fd, KVM_RUN, 0)), EINTR);
	which->vcpu[1].run->immediate_exit = 0;
	memset(which->memory + DATA, 1, 1);
}

/* INIT clears DR0 to DR3 (SDM 3A table 10-1). */
static void set_debug_registers(uint64_t dr7)
{
	const struct kvm_debugregs set = {.db = {0x1111, 0x2222, 0x3333, 0x4444}, .dr7 = dr7};

	MUST(ioctl(vm.vcpu[1].fd, KVM_SET_DEBUGREGS, &set));
}

static void expect_no_debug_registers(void)
{
	struct kvm_debugregs got;

	MUST(ioctl(vm.vcpu[1].fd, KVM_GET_DEBUGREGS, &got));
	EXPECT(got.db[0] | got.db[1] | got.db[2] | got.db[3], 0);
	EXPECT(got.dr7, 0x400);
}

static void test_startup(int argument)
{
	struct kvm_mp_state state;

	(void)argument;
	create(2);
	vm_load(&vm, 0, &starts_other, LONG);
	vm_put(&vm, AP_CODE, &other_real);
	set_debug_registers(0x402);
	thread_start(&vm, run_other);
	vm_out(&vm, 0, PORT);
	vm_out(&vm, 0, PORT);
	thread_join_all();
	MUST(ioctl(vm.vcpu[1].fd, KVM_GET_MP_STATE, &state));
	EXPECT(state.mp_state, KVM_MP_STATE_RUNNABLE);
	EXPECT(vm_sregs(&vm, 1).cs.base, AP_CODE);
	expect_no_debug_registers();
}

/* INIT and STARTUP come while the other one is not in RUN: nothing is lost. */
static void test_startup_before_run(int argument)
{
	(void)argument;
	create(2);
	vm_load(&vm, 0, &starts_other, LONG);
	vm_put(&vm, AP_CODE, &other_real);
	set_debug_registers(0x400);
	vm_out(&vm, 0, PORT);
	thread_start(&vm, run_other);
	vm_out(&vm, 0, PORT);
	thread_join_all();
	expect_no_debug_registers();
}

static void wait_until_ready(unsigned receivers)
{
	while (ready < receivers)
		sleep_ms(1);
}

static void receive(struct vm *which)
{
	vm_out(which, 1, 0x15);
	ready++;
	for (int i = 0; i < 5; i++) {
		vm_out(which, 1, PORT_APIC);
		received++;
	}
}

static void send_to_one(const struct guest *sender, const struct guest *receiver)
{
	create(2);
	load(0, sender);
	load(1, receiver);
	thread_start(&vm, receive);
	wait_until_ready(1);
	for (unsigned i = 1; i <= 5; i++) {
		vm_out(&vm, 0, PORT);
		while (received < i)
			sleep_ms(1);
	}
	thread_join_all();
}

static void test_ipi(int busy)
{
	send_to_one(&sends, busy ? &receives_busy : &receives);
}

static void test_nmi_ipi(int argument)
{
	(void)argument;
	send_to_one(&sends_nmi, &receives);
}

static void receive_first(struct vm *which)
{
	vm_out(which, 1, 0x15);
	ready++;
	vm_out(which, 1, PORT_APIC);
	received++;
}

static void receive_second(struct vm *which)
{
	vm_out(which, 2, 0x15);
	ready++;
	vm_out(which, 2, PORT_APIC);
	received++;
}

static void test_broadcast(int argument)
{
	(void)argument;
	create(3);
	load(0, &broadcasts);
	load(1, &receives);
	load(2, &receives_busy);
	thread_start(&vm, receive_first);
	thread_start(&vm, receive_second);
	wait_until_ready(2);
	vm_out(&vm, 0, PORT);
	while (received < 2)
		vm_out(&vm, 0, PORT);
	thread_join_all();
}

static void test_send_ipi(int argument)
{
	(void)argument;
	create(3);
	load(0, &calls);
	load(1, &receives);
	load(2, &receives_busy);
	thread_start(&vm, receive_first);
	thread_start(&vm, receive_second);
	wait_until_ready(2);
	EXPECT(vm_out(&vm, 0, PORT), 2);
	while (received < 2)
		EXPECT(vm_out(&vm, 0, PORT), 2);
	thread_join_all();
}

/* IDs do not wrap around, and a shorthand is refused. */
static void test_send_ipi_edges(int argument)
{
	(void)argument;
	create(2);
	load(0, &calls_wrong);
	EXPECT(vm_out(&vm, 0, PORT), 0);
	EXPECT((int32_t)vm_out(&vm, 0, PORT), -EINVAL);
}

static void run_second(struct vm *which)
{
	vm_out(which, 1, PORT);
}

static void two(const struct guest *first, const struct guest *second)
{
	vm_create(&vm);
	vm_add_vcpu(&vm, 1);
	vm_load(&vm, 0, first, LONG);
	vm_load(&vm, 1, second, LONG);
	thread_start(&vm, run_second);
	vm_out(&vm, 0, PORT);
	thread_join_all();
}

static uint32_t counter(void)
{
	uint32_t value;

	memcpy(&value, vm.memory + DATA, sizeof(value));
	return value;
}

static void test_atomic(int argument)
{
	(void)argument;
	two(&adds, &adds);
	EXPECT(counter(), 2 * ADDITIONS);
}

/* Each waits for the other: they run at the same time, or take turns. */
static void test_ping_pong(int argument)
{
	(void)argument;
	two(&ping, &pong);
	CHECK(counter() >= 100, "%u", counter());
}

const struct test smp_tests[] = {
    TEST("smp: INIT and STARTUP", test_startup),
    TEST("smp: INIT before the other vCPU runs", test_startup_before_run),
    TEST_OF("smp: an IPI to a halted vCPU", test_ipi, 0),
    TEST_OF("smp: an IPI to a busy vCPU", test_ipi, 1),
    TEST("smp: an NMI IPI", test_nmi_ipi),
    TEST("smp: an IPI to all others", test_broadcast),
    TEST("smp: SEND_IPI reaches those who are there", test_send_ipi),
    TEST("smp: SEND_IPI at the edges", test_send_ipi_edges),
    TEST("smp: locked additions", test_atomic),
    TEST("smp: ping and pong", test_ping_pong),
    TESTS_END,
};
