/* SPDX-License-Identifier: BSD-2-Clause */
/* The in-kernel local APIC. */
#include <stdlib.h>
#include <string.h>

#include "kvm/test.h"

#define APIC		     0xfee00000u
#define APIC_ID		     0x20
#define APIC_TPR	     0x80
#define APIC_LDR	     0xd0
#define APIC_SVR	     0xf0
#define APIC_ISR_40	     0x120 /* vectors 40h to 5fh */
#define APIC_IRR_40	     0x220
#define APIC_LVT_TIMER	     0x320
#define APIC_LVT_LINT0	     0x350
#define PORT_APIC	     0x14u

#define CPUID_1_ECX_X2APIC   (1u << 21)
#define CPUID_1_ECX_DEADLINE (1u << 24)

#define APIC_ENABLE	     "mov $0xfee00000, %r15d; movl $0x1ff, 0xf0(%r15)\n"
#define TIMER		     APIC_ENABLE "movl $3, 0x3e0(%r15)\n" /* divide by 16 */

GUEST(registers, 64,
      "mov $0xfee00000, %r15d; mov 0x20(%r15), %eax; out %eax, $0x10; mov 0x30(%r15), %eax\n"
      "out %eax, $0x10; mov 0x80(%r15), %eax; out %eax, $0x10; movl $0x40, 0x80(%r15)\n"
      "movl $0x5000000, 0xd0(%r15); movl $0x1ff, 0xf0(%r15); out %al, $0x10; hlt");
GUEST(self, 64, APIC_ENABLE "sti; 1: movl $0x40051, 0x300(%r15); out %al, $0x10; jmp 1b");
GUEST(priority, 64,
      APIC_ENABLE
      "sti; mov $6, %eax; mov %rax, %cr8; movl $0x40051, 0x300(%r15); out %al, $0x10\n"
      "movl $0x40071, 0x300(%r15); nop; out %al, $0x10; xor %eax, %eax; mov %rax, %cr8\n"
      "nop; out %al, $0x11; hlt");
GUEST(one_shot, 64,
      TIMER "movl $0x52, 0x320(%r15); movl $20000, 0x380(%r15); sti; 1: hlt; out %al, $0x10\n"
	    "mov 0x390(%r15), %eax; out %eax, $0x10; hlt");
GUEST(
    counts, 64,
    TIMER
    "movl $0x52, 0x320(%r15); movl $2000000, 0x380(%r15); out %al, $0x10; sti; 1: hlt; jmp 1b");
GUEST(periodic, 64,
      TIMER "movl $0x20053, 0x320(%r15); movl $100000, 0x380(%r15); sti; 1: hlt; jmp 1b");
GUEST(periodic_spin, 64,
      TIMER "movl $0x20053, 0x320(%r15); movl $100000, 0x380(%r15); sti; 1: pause; jmp 1b");
GUEST(deadline, 64,
      APIC_ENABLE
      "movl $0x40054, 0x320(%r15); rdtsc; shl $32, %rdx; or %rdx, %rax; add $5000000, %rax\n"
      "mov %rax, %rdx; shr $32, %rdx; mov $0x6e0, %ecx; wrmsr; sti; 1: hlt; jmp 1b");
GUEST(x2apic, 64,
      "mov $0x1b, %ecx; rdmsr; or $0xc00, %eax; wrmsr; mov $0x80f, %ecx; mov $0x1ff, %eax\n"
      "xor %edx, %edx; wrmsr; mov $0x802, %ecx; rdmsr; out %eax, $0x10; sti; mov $0x83f, %ecx\n"
      "mov $0x55, %eax; wrmsr; nop; out %al, $0x10; hlt");
/* TPR from AX; what it is. */
#define WRITE_TPR(value) "mov $" #value ", %eax; xor %edx, %edx; mov $0x808, %ecx; wrmsr\n"
#define READ_TPR	 "mov $0x808, %ecx; rdmsr; out %eax, $0x10\n"
#define SELF(vector)	 "mov $" #vector ", %eax; mov $0x83f, %ecx; wrmsr; nop\n"
GUEST(x2apic_tpr, 64,
      "mov $0x1b, %ecx; rdmsr; or $0xc00, %eax; wrmsr; mov $0x80f, %ecx; mov $0x1ff, %eax\n"
      "xor %edx, %edx; wrmsr; sti\n" WRITE_TPR(0x60) "out %al, $0x10\n" SELF(0x51)
	  READ_TPR SELF(0x71) WRITE_TPR(0x50) READ_TPR WRITE_TPR(0x40) READ_TPR
      "mov $3, %eax; mov %rax, %cr8\n" READ_TPR WRITE_TPR(
	  0x70) "mov %cr8, %rax; out %eax, $0x10\n"
		"mov $0x1b, %ecx; rdmsr; and $~0xc00, %eax; wrmsr\n" WRITE_TPR(
		    0x20) "out %al, $0x11");
GUEST(moves_base, 64,
      "mov $0x1b, %ecx; rdmsr; mov $0x80, %edx; wrmsr; out %al, $0x10\n"
      "mov $0x100, %edx; wrmsr; out %al, $0x10");
GUEST(over_wrmsr, 64, "addq $2, 8(%rsp); add $8, %rsp; out %al, $0x12; iretq");
GUEST(tpr, 64, "mov $0xfee00000, %r15d; movl $0x20, 0x80(%r15); out %al, $0x10; hlt");
GUEST(handler, 64, "out %al, $0x14; movl $0, 0xb0(%r15); iretq");
GUEST(x2apic_handler, 64,
      "out %al, $0x14; mov $0x80b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr; iretq");

static struct vm vm;

static void start(const struct guest *guest)
{
	vm_create_with_irqchip(&vm);
	vm_load(&vm, 0, guest, LONG);
	vm_put(&vm, HANDLER + 0x100,
	       guest == &x2apic || guest == &x2apic_tpr ? &x2apic_handler : &handler);
	for (unsigned i = 0x30; i < 256; i++)
		vm_gate(&vm, i, HANDLER + 0x100);
}

static void require_feature(uint32_t bit, const char *why)
{
	if (!(cpuid_find(cpuid_supported(kvm_open()), 1, 0)->ecx & bit))
		skip(why);
}

static uint32_t apic_register(const struct kvm_lapic_state *state, unsigned offset)
{
	uint32_t value;

	memcpy(&value, state->regs + offset, sizeof(value));
	return value;
}

static struct kvm_lapic_state get_lapic(void)
{
	struct kvm_lapic_state state;

	MUST(ioctl(vm.vcpu[0].fd, KVM_GET_LAPIC, &state));
	return state;
}

static void test_reset(int argument)
{
	struct kvm_lapic_state state;

	(void)argument;
	start(&registers);
	state = get_lapic();
	EXPECT(apic_register(&state, APIC_ID), 0);
	EXPECT(apic_register(&state, APIC_SVR), 0xff);
	EXPECT(apic_register(&state, APIC_TPR), 0);
	EXPECT(apic_register(&state, APIC_LVT_TIMER), 0x10000);
}

static void test_state(int argument)
{
	struct kvm_lapic_state state;
	const uint32_t priority_class = 0x30;

	(void)argument;
	start(&registers);
	state = get_lapic();
	memcpy(state.regs + APIC_TPR, &priority_class, sizeof(priority_class));
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_SET_LAPIC, &state), 0);
	EXPECT(vm_out(&vm, 0, PORT), 0);
	EXPECT(vm_out(&vm, 0, PORT) & 0xf0, 0x10); /* an APIC that is not an 82489DX */
	EXPECT(vm_out(&vm, 0, PORT), 0x30);
	vm_out(&vm, 0, PORT);
	state = get_lapic();
	EXPECT(apic_register(&state, APIC_TPR), 0x40);
	EXPECT(apic_register(&state, APIC_LDR), 0x5000000);
	EXPECT(apic_register(&state, APIC_SVR), 0x1ff);
	EXPECT(vm.vcpu[0].run->cr8, 4);
}

static void test_self(int argument)
{
	(void)argument;
	start(&self);
	for (int i = 0; i < 5; i++) {
		vm_out(&vm, 0, PORT_APIC);
		vm_out(&vm, 0, PORT);
	}
}

/* 51h waits below TPR's class 6, 71h does not. */
static void test_priority(int argument)
{
	struct kvm_lapic_state state;

	(void)argument;
	start(&priority);
	vm_out(&vm, 0, PORT);
	state = get_lapic();
	EXPECT(apic_register(&state, APIC_IRR_40), 1 << 0x11);
	vm_out(&vm, 0, PORT_APIC);
	vm_out(&vm, 0, PORT);
	vm_out(&vm, 0, PORT_APIC);
	state = get_lapic();
	EXPECT(apic_register(&state, APIC_ISR_40), 1 << 0x11);
	EXPECT(apic_register(&state, APIC_IRR_40), 0);
	vm_out(&vm, 0, 0x11);
}

/* An interrupt that waits is part of the state. */
static void test_pending_state(int argument)
{
	struct kvm_lapic_state state;

	(void)argument;
	start(&priority);
	vm_out(&vm, 0, PORT);
	state = get_lapic();
	vm_close(&vm);
	start(&self);
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_SET_LAPIC, &state), 0);
	state = get_lapic();
	EXPECT(apic_register(&state, APIC_IRR_40), 1 << 0x11);
	EXPECT(apic_register(&state, APIC_TPR), 0x60);
}

static void test_one_shot(int argument)
{
	(void)argument;
	start(&one_shot);
	vm_out(&vm, 0, PORT_APIC);
	vm_out(&vm, 0, PORT);
	EXPECT(vm_out(&vm, 0, PORT), 0); /* the count stays at 0 */
}

/* A count goes on as it was. By as much as the TSC goes back it would come late. */
static void test_tsc_set(int argument)
{
	(void)argument;
	start(&counts);
	EXPECT(msr_write(vm.vcpu[0].fd, 0x10, 1ull << 42), 0);
	vm_out(&vm, 0, PORT);
	EXPECT(msr_write(vm.vcpu[0].fd, 0x10, 1ull << 41), 0);
	vm_out(&vm, 0, PORT_APIC);
}

static void test_periodic(int spins)
{
	start(spins ? &periodic_spin : &periodic);
	for (int i = 0; i < 5; i++)
		vm_out(&vm, 0, PORT_APIC);
}

static void test_deadline(int argument)
{
	uint64_t value;

	(void)argument;
	if (ioctl(kvm_open(), KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) == 0)
		skip("no KVM_CAP_TSC_DEADLINE_TIMER");
	start(&deadline);
	struct kvm_cpuid2 *list = cpuid_supported(vm.kvm);
	cpuid_find(list, 1, 0)->ecx |= CPUID_1_ECX_DEADLINE;
	MUST(ioctl(vm.vcpu[0].fd, KVM_SET_CPUID2, list));
	vm_out(&vm, 0, PORT_APIC);
	EXPECT(msr_read(vm.vcpu[0].fd, 0x6e0, &value), 0);
	EXPECT(value, 0);
}

static void test_x2apic(int argument)
{
	(void)argument;
	require_feature(CPUID_1_ECX_X2APIC, "no x2APIC");
	start(&x2apic);
	EXPECT(vm_out(&vm, 0, PORT), 0);
	vm_out(&vm, 0, PORT_APIC);
	vm_out(&vm, 0, PORT);
	EXPECT(vm_sregs(&vm, 0).apic_base, 0xfee00d00);
}

/* 51h waits below TPR's class 6 and at its own, 71h does not wait. */
static void test_x2apic_tpr(int argument)
{
	struct kvm_lapic_state state;

	(void)argument;
	require_feature(CPUID_1_ECX_X2APIC, "no x2APIC");
	start(&x2apic_tpr);
	vm_put(&vm, HANDLER + 0x200, &over_wrmsr);
	vm_gate(&vm, 13, HANDLER + 0x200);
	vm_out(&vm, 0, PORT);
	EXPECT(vm.vcpu[0].run->cr8, 6);
	state = get_lapic();
	EXPECT(apic_register(&state, APIC_TPR), 0x60);
	EXPECT(vm_out(&vm, 0, PORT), 0x60);
	state = get_lapic();
	EXPECT(apic_register(&state, APIC_IRR_40), 1 << 0x11);
	vm_out(&vm, 0, PORT_APIC);
	EXPECT(vm_out(&vm, 0, PORT), 0x50);
	vm_out(&vm, 0, PORT_APIC);
	EXPECT(vm_out(&vm, 0, PORT), 0x40);
	EXPECT(vm_out(&vm, 0, PORT), 0x30);
	EXPECT(vm_out(&vm, 0, PORT), 7);
	EXPECT(vm_sregs(&vm, 0).cr8, 7);
	vm_out(&vm, 0, PORT_HANDLER); /* #GP: it has left x2APIC mode */
	vm_out(&vm, 0, 0x11);
}

/* The page cannot lie above the guest's physical addresses. */
static void test_base_too_high(int argument)
{
	struct kvm_cpuid2 *list;
	struct kvm_cpuid_entry2 *sizes;

	(void)argument;
	start(&moves_base);
	list = cpuid_supported(vm.kvm);
	sizes = cpuid_find(list, 0x80000008, 0);
	sizes->eax = (sizes->eax & ~0xffu) | 40;
	MUST(ioctl(vm.vcpu[0].fd, KVM_SET_CPUID2, list));
	free(list);
	vm_put(&vm, HANDLER + 0x200, &over_wrmsr);
	vm_gate(&vm, 13, HANDLER + 0x200);
	vm_out(&vm, 0, PORT); /* bit 39 */
	EXPECT(vm_sregs(&vm, 0).apic_base, 0x80fee00900);
	vm_out(&vm, 0, PORT_HANDLER); /* bit 40 */
	EXPECT(vm_sregs(&vm, 0).apic_base, 0x80fee00900);
	EXPECT(msr_write(vm.vcpu[0].fd, 0x1b, 0x100fee00900), ENXIO);
}

/* Where CPUID has no x2APIC, nobody switches it on. */
static void test_x2apic_hidden(int argument)
{
	struct kvm_sregs sregs;
	struct kvm_cpuid2 *list;

	(void)argument;
	start(&x2apic);
	list = cpuid_supported(vm.kvm);
	cpuid_find(list, 1, 0)->ecx &= ~CPUID_1_ECX_X2APIC;
	MUST(ioctl(vm.vcpu[0].fd, KVM_SET_CPUID2, list));
	free(list);
	vm_put(&vm, HANDLER + 0x200, &over_wrmsr);
	vm_gate(&vm, 13, HANDLER + 0x200);
	vm_out(&vm, 0, PORT_HANDLER);
	sregs = vm_sregs(&vm, 0);
	EXPECT(sregs.apic_base, 0xfee00900);
	sregs.apic_base |= 1 << 10;
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_SET_SREGS, &sregs)), EINVAL);
	EXPECT(msr_write(vm.vcpu[0].fd, 0x1b, 0xfee00d00), ENXIO);
	EXPECT(msr_write(vm.vcpu[0].fd, 0x1b, 0xfee00100), 0);
}

static void test_tpr_access(int argument)
{
	struct kvm_tpr_access_ctl control = {.enabled = 1};
	struct kvm_vapic_addr address = {0};
	struct kvm_run *run;

	(void)argument;
	start(&tpr);
	REQUIRE(&vm, KVM_CAP_VAPIC);
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_SET_VAPIC_ADDR, &address), 0);
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_TPR_ACCESS_REPORTING, &control), 0);
	run = vm_run(&vm, 0, KVM_EXIT_TPR_ACCESS);
	EXPECT(run->tpr_access.is_write, 1);
	EXPECT(run->tpr_access.rip, CODE + 6);
	control.enabled = 0;
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_TPR_ACCESS_REPORTING, &control), 0);
	vm_out(&vm, 0, PORT);
	EXPECT(vm.vcpu[0].run->cr8, 2);
}

static void test_vapic_without(int argument)
{
	struct kvm_vapic_addr address = {0};
	struct kvm_lapic_state state = {0};

	(void)argument;
	vm_create(&vm);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_SET_VAPIC_ADDR, &address)), EINVAL);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_SET_LAPIC, &state)), EINVAL);
}

const struct test lapic_tests[] = {
    TEST("lapic: after reset", test_reset),
    TEST("lapic: state set and got", test_state),
    TEST("lapic: an IPI to itself", test_self),
    TEST("lapic: priorities and CR8", test_priority),
    TEST("lapic: what is pending travels with the state", test_pending_state),
    TEST("lapic: the timer, once", test_one_shot),
    TEST("lapic: the client sets the TSC while the timer counts", test_tsc_set),
    TEST_OF("lapic: the timer, again and again", test_periodic, 0),
    TEST_OF("lapic: the timer interrupts a guest that runs", test_periodic, 1),
    TEST("lapic: the timer with a TSC deadline", test_deadline),
    TEST("lapic: x2APIC", test_x2apic),
    TEST("lapic: x2APIC's TPR", test_x2apic_tpr),
    TEST("lapic: APIC_BASE above the guest's addresses", test_base_too_high),
    TEST("lapic: x2APIC that CPUID does not have", test_x2apic_hidden),
    TEST("lapic: TPR access reports", test_tpr_access),
    TEST("lapic: what needs a local APIC", test_vapic_without),
    TESTS_END,
};
