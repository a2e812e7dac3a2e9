/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts, NMIs and exceptions without an in-kernel interrupt controller; SMM. */
#include <string.h>

#include "kvm/test.h"

#define VECTOR	    0x40
#define PORT_TIMES  0x13u
#define SMRAM_ENTRY 0x38000u
#define SLOT_OF_SMM (1u << 16) /* slot 0 of address space 1 */

GUEST(enabled, 64, "sti; nop; 1: out %al, $0x10; jmp 1b");
GUEST(enabled_real, 16, "sti; nop; 1: out %al, $0x10; jmp 1b");
GUEST(disabled, 64, "out %al, $0x10; out %al, $0x11; sti; nop; out %al, $0x14; cli; hlt");
GUEST(waits, 64, "sti; hlt; out %al, $0x10; cli; hlt");
GUEST(runs, 64, "1: out %al, $0x10; jmp 1b");
/* Reports the error code, then the RIP and the CR2 that it finds. */
GUEST(with_error, 64,
      "pop %rax; out %eax, $0x13; mov %cr2, %rax; out %eax, $0x14; pop %rax; out %eax, $0x15; "
      "hlt");
GUEST(without_error, 64, "pop %rax; out %eax, $0x15; hlt");
GUEST(nmi_handler, 64, "out %al, $0x13; out %al, $0x14; iretq");

static struct vm vm;

static void start(const struct guest *guest, enum mode mode)
{
	vm_create(&vm);
	vm_load(&vm, 0, guest, mode);
}

static int interrupt(uint32_t vector)
{
	const struct kvm_interrupt request = {.irq = vector};

	return failure(ioctl(vm.vcpu[0].fd, KVM_INTERRUPT, &request));
}

static void test_interrupt(int mode)
{
	start(mode == REAL ? &enabled_real : &enabled, (enum mode)mode);
	for (int i = 0; i < 3; i++) {
		vm_out(&vm, 0, PORT);
		CHECK(vm.vcpu[0].run->ready_for_interrupt_injection, "not ready");
		EXPECT(interrupt(VECTOR), 0);
		EXPECT(vm_out(&vm, 0, PORT_HANDLER), 0x69);
	}
	EXPECT(interrupt(256), EINVAL);
}

static void test_interrupt_wakes(int argument)
{
	(void)argument;
	start(&waits, LONG);
	vm_run(&vm, 0, KVM_EXIT_HLT);
	EXPECT(interrupt(VECTOR), 0);
	vm_out(&vm, 0, PORT_HANDLER);
	vm_out(&vm, 0, PORT);
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

static void test_window(int argument)
{
	struct kvm_run *run;

	(void)argument;
	start(&disabled, LONG);
	run = vm.vcpu[0].run;
	vm_out(&vm, 0, PORT);
	EXPECT(run->ready_for_interrupt_injection, 0);
	run->request_interrupt_window = 1;
	vm_out(&vm, 0, 0x11);
	vm_run(&vm, 0, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT(run->ready_for_interrupt_injection, 1);
	EXPECT(run->if_flag, 1);
	run->request_interrupt_window = 0;
	EXPECT(interrupt(VECTOR), 0);
	vm_out(&vm, 0, PORT_HANDLER);
	vm_out(&vm, 0, 0x14);
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

/* The window of a guest that never exits by itself. */
static void test_window_at_once(int argument)
{
	(void)argument;
	start(&enabled, LONG);
	vm_out(&vm, 0, PORT);
	vm.vcpu[0].run->request_interrupt_window = 1;
	vm_run(&vm, 0, KVM_EXIT_IRQ_WINDOW_OPEN);
	vm.vcpu[0].run->request_interrupt_window = 0;
	vm_out(&vm, 0, PORT);
}

static void test_nmi(int argument)
{
	(void)argument;
	start(&runs, LONG);
	REQUIRE(&vm, KVM_CAP_USER_NMI);
	vm_put(&vm, HANDLER + 0x100, &nmi_handler);
	vm_gate(&vm, 2, HANDLER + 0x100);
	vm_out(&vm, 0, PORT);
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_NMI), 0);
	vm_out(&vm, 0, PORT_TIMES);
	/* Inside its handler another one waits for IRET. */
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_NMI), 0);
	vm_out(&vm, 0, 0x14);
	/* It comes with the IRET, before another instruction. */
	vm_out(&vm, 0, PORT_TIMES);
	vm_out(&vm, 0, 0x14);
	vm_out(&vm, 0, PORT);
	vm_out(&vm, 0, PORT);
}

/* --- exceptions ------------------------------------------------------------------------------
 */

static void inject(uint8_t vector, bool has_error, uint32_t error)
{
	struct kvm_vcpu_events events;

	MUST(ioctl(vm.vcpu[0].fd, KVM_GET_VCPU_EVENTS, &events));
	events.exception.injected = 1;
	events.exception.nr = vector;
	events.exception.has_error_code = has_error;
	events.exception.error_code = error;
	MUST(ioctl(vm.vcpu[0].fd, KVM_SET_VCPU_EVENTS, &events));
}

static void test_injected_exception(int argument)
{
	(void)argument;
	start(&runs, LONG);
	vm_put(&vm, HANDLER + 0x100, &with_error);
	vm_put(&vm, HANDLER + 0x200, &without_error);
	vm_gate(&vm, 13, HANDLER + 0x100);
	vm_gate(&vm, 6, HANDLER + 0x200);
	inject(13, true, 0x1230);
	EXPECT(vm_out(&vm, 0, 0x13), 0x1230);
	vm_out(&vm, 0, 0x14);
	EXPECT(vm_out(&vm, 0, 0x15), CODE);
	vm_load(&vm, 0, &runs, LONG);
	vm_gate(&vm, 6, HANDLER + 0x200);
	inject(6, false, 0);
	EXPECT(vm_out(&vm, 0, 0x15), CODE);
}

static void test_injected_interrupt(int argument)
{
	struct kvm_vcpu_events events;

	(void)argument;
	start(&enabled, LONG);
	vm_out(&vm, 0, PORT);
	MUST(ioctl(vm.vcpu[0].fd, KVM_GET_VCPU_EVENTS, &events));
	events.interrupt.injected = 1;
	events.interrupt.nr = VECTOR;
	MUST(ioctl(vm.vcpu[0].fd, KVM_SET_VCPU_EVENTS, &events));
	vm_out(&vm, 0, PORT_HANDLER);
	vm_out(&vm, 0, PORT);
}

GUEST(undefined, 64, "ud2");
GUEST(divide, 64, "xor %ecx, %ecx; div %ecx");
GUEST(page_fault, 64, "mov $0x123456789, %rax; mov %al, (%rax)");
GUEST(protection, 64, "mov $0x8000000000000000, %rax; mov %al, (%rax)");

static void expect_exception(const struct guest *guest, unsigned vector, uint32_t error,
			     uint32_t cr2)
{
	start(guest, LONG);
	vm_put(&vm, HANDLER + 0x100, vector < 8 ? &without_error : &with_error);
	vm_gate(&vm, vector, HANDLER + 0x100);
	if (vector >= 8) {
		EXPECT(vm_out(&vm, 0, 0x13), error);
		EXPECT(vm_out(&vm, 0, 0x14), cr2);
	}
	CHECK(vm_out(&vm, 0, 0x15) - CODE < 16, "not at the instruction");
	vm_close(&vm);
}

/* The guest's own. */
static void test_exceptions(int argument)
{
	(void)argument;
	expect_exception(&undefined, 6, 0, 0);
	expect_exception(&divide, 0, 0, 0);
	expect_exception(&protection, 13, 0, 0);
	expect_exception(&page_fault, 14, 2, 0x23456789);
}

/* --- what the kernel page says of CR8, SMM
 * ----------------------------------------------------- */

GUEST(priority, 64,
      "mov %cr8, %rax; out %eax, $0x10; mov $9, %eax; mov %rax, %cr8; out %al, $0x10\n"
      "mov $3, %eax; mov %rax, %cr8; out %al, $0x10");

static void test_cr8(int argument)
{
	struct kvm_run *run;

	(void)argument;
	start(&priority, LONG);
	run = vm.vcpu[0].run;
	run->cr8 = 5;
	EXPECT(vm_out(&vm, 0, PORT), 5);
	EXPECT(run->cr8, 5);
	vm_out(&vm, 0, PORT);
	EXPECT(run->cr8, 9);
	/* The client's APIC wants to know when the guest lowers it. */
	vm_run(&vm, 0, KVM_EXIT_SET_TPR);
	EXPECT(run->cr8, 3);
	vm_out(&vm, 0, PORT);
}

GUEST(smm, 16, "out %al, $0x13; rsm");

static void test_smi(int argument)
{
	struct kvm_vcpu_events events;

	(void)argument;
	start(&runs, LONG);
	REQUIRE(&vm, KVM_CAP_X86_SMM);
	REQUIRE(&vm, KVM_CAP_MULTI_ADDRESS_SPACE);
	EXPECT(vm_slot(&vm, SLOT_OF_SMM, 0, 0, MEMORY, vm.memory), 0);
	vm_put(&vm, SMRAM_ENTRY, &smm);
	vm_out(&vm, 0, PORT);
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_SMI), 0);
	vm_out(&vm, 0, PORT_TIMES);
	EXPECT(vm.vcpu[0].run->flags & KVM_RUN_X86_SMM, KVM_RUN_X86_SMM);
	MUST(ioctl(vm.vcpu[0].fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT(events.smi.smm, 1);
	vm_out(&vm, 0, PORT);
	EXPECT(vm.vcpu[0].run->flags & KVM_RUN_X86_SMM, 0);
}

/* What a triple fault leaves, for a client that asks before it resets. */
static void test_triple_fault_event(int argument)
{
	struct kvm_enable_cap enable = {.cap = KVM_CAP_X86_TRIPLE_FAULT_EVENT, .args = {1}};
	struct kvm_vcpu_events events;

	(void)argument;
	start(&runs, LONG);
	REQUIRE(&vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT);
	EXPECT(ioctl(vm.fd, KVM_ENABLE_CAP, &enable), 0);
	MUST(ioctl(vm.vcpu[0].fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT(events.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT,
	       KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	EXPECT(events.triple_fault.pending, 0);
	events.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	events.triple_fault.pending = 1;
	MUST(ioctl(vm.vcpu[0].fd, KVM_SET_VCPU_EVENTS, &events));
	vm_run(&vm, 0, KVM_EXIT_SHUTDOWN);
}

const struct test event_tests[] = {
    TEST_OF("event: KVM_INTERRUPT, real mode", test_interrupt, REAL),
    TEST_OF("event: KVM_INTERRUPT, long mode", test_interrupt, LONG),
    TEST("event: KVM_INTERRUPT ends HLT", test_interrupt_wakes),
    TEST("event: the interrupt window", test_window),
    TEST("event: an interrupt window that is open already", test_window_at_once),
    TEST("event: KVM_NMI", test_nmi),
    TEST("event: exceptions that the client injects", test_injected_exception),
    TEST("event: an interrupt injected by VCPU_EVENTS", test_injected_interrupt),
    TEST("event: exceptions go to the guest's handlers", test_exceptions),
    TEST("event: CR8 and KVM_EXIT_SET_TPR", test_cr8),
    TEST("event: KVM_SMI", test_smi),
    TEST("event: a triple fault that the client injects", test_triple_fault_event),
    TESTS_END,
};
