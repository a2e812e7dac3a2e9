/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_SET_GUEST_DEBUG: single steps and breakpoints. */
#include <string.h>

#include "kvm/test.h"

#define EXCEPTION_DB 1u
#define EXCEPTION_BP 3u
#define DR6_B0	     0x1u
#define DR6_BS	     0x4000u
#define DR7_X0	     0x2u	       /* DR0, execution */
#define DR7_W0_4     (0x2u | 0xd0000u) /* DR0, writes of 4 bytes */

GUEST(steps, 64, "nop; inc %eax; mov %eax, (%rsi); out %al, $0x10; nop; jmp 1f; nop; 1: hlt");
GUEST(steps_real, 16, "nop; inc %ax; nop; hlt");
GUEST(breakpoint, 64, "inc %eax; int3; inc %eax; out %eax, $0x10; hlt");
GUEST(string, 64, "xchg %rsi, %rdi; mov $3, %ecx; rep stosb; nop; hlt");
GUEST(over_mmio, 64, "nop; mov (%rdi), %eax; nop; hlt");
GUEST(over_cpuid, 64, "nop; xor %eax, %eax; cpuid; nop; hlt");

static struct vm vm;

static void start(const struct guest *guest, enum mode mode)
{
	vm_create(&vm);
	vm_load(&vm, 0, guest, mode);
}

static void debug(uint32_t control, uint64_t dr0, uint64_t dr7)
{
	struct kvm_guest_debug request = {.control = control};

	request.arch.debugreg[0] = dr0;
	request.arch.debugreg[7] = dr7;
	MUST(ioctl(vm.vcpu[0].fd, KVM_SET_GUEST_DEBUG, &request));
}

static void expect_debug(unsigned exception, uint64_t pc)
{
	struct kvm_run *run = vm_run(&vm, 0, KVM_EXIT_DEBUG);

	EXPECT(run->debug.arch.exception, exception);
	EXPECT(run->debug.arch.pc, pc);
	EXPECT(vm_regs(&vm, 0).rip, pc);
}

static void expect_step(uint64_t pc)
{
	expect_debug(EXCEPTION_DB, pc);
	EXPECT(vm.vcpu[0].run->debug.arch.dr6 & DR6_BS, DR6_BS);
}

static void test_steps(int argument)
{
	(void)argument;
	start(&steps, LONG);
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	expect_step(CODE + 1);
	expect_step(CODE + 3);
	expect_step(CODE + 5);
	EXPECT(vm_out(&vm, 0, PORT), 1);
	expect_step(CODE + 7);
	expect_step(CODE + 8);
	expect_step(CODE + 11);
	/* The guest sees nothing of it. */
	EXPECT(vm_regs(&vm, 0).rflags & 0x100, 0);
	debug(0, 0, 0);
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

static void test_steps_real(int argument)
{
	(void)argument;
	start(&steps_real, REAL);
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	expect_step(CODE + 1);
	expect_step(CODE + 2);
	debug(0, 0, 0);
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

/* An instruction that is emulated is a step, too. */
static void test_step_over_mmio(int argument)
{
	(void)argument;
	start(&over_mmio, LONG);
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	expect_step(CODE + 1);
	memcpy(vm_mmio(&vm, 0, MMIO, 4, false), "abcd", 4);
	expect_step(CODE + 3);
	EXPECT(vm_regs(&vm, 0).rax, 0x64636261);
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0); /* Linux forgets it here */
	expect_step(CODE + 4);
}

/* It is asked for while the client answers. */
static void test_step_from_mmio(int argument)
{
	struct kvm_regs regs;

	(void)argument;
	start(&over_mmio, LONG);
	/* The library decodes it the first time, and remembers. */
	memcpy(vm_mmio(&vm, 0, MMIO, 4, false), "efgh", 4);
	vm_run(&vm, 0, KVM_EXIT_HLT);
	regs = vm_regs(&vm, 0);
	regs.rip = CODE;
	MUST(ioctl(vm.vcpu[0].fd, KVM_SET_REGS, &regs));
	memcpy(vm_mmio(&vm, 0, MMIO, 4, false), "abcd", 4);
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	expect_step(CODE + 3);
	EXPECT(vm_regs(&vm, 0).rax, 0x64636261);
}

static void test_step_over_cpuid(int argument)
{
	(void)argument;
	start(&over_cpuid, LONG);
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	expect_step(CODE + 1);
	expect_step(CODE + 3);
	expect_step(CODE + 5);
	CHECK(vm_regs(&vm, 0).rbx, "CPUID did not happen");
	expect_step(CODE + 6);
}

static void test_step_string(int argument)
{
	(void)argument;
	start(&string, LONG);
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	expect_step(CODE + 3);
	expect_step(CODE + 8);
	for (unsigned left = 2; left; left--) {
		expect_step(CODE + 8);
		EXPECT(vm_regs(&vm, 0).rcx, left);
	}
	expect_step(CODE + 10);
	EXPECT(vm_regs(&vm, 0).rcx, 0);
}

static void test_software_breakpoint(int argument)
{
	struct kvm_regs regs;

	(void)argument;
	if (under_tcg())
		skip("TCG does not intercept INT3 as #BP");
	start(&breakpoint, LONG);
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP, 0, 0);
	expect_debug(EXCEPTION_BP, CODE + 2);
	regs = vm_regs(&vm, 0);
	regs.rip++;
	vm_set_regs(&vm, 0, &regs);
	EXPECT(vm_out(&vm, 0, PORT), 2);
}

/* Without the flag INT3 is the guest's own. */
static void test_own_breakpoint(int argument)
{
	(void)argument;
	start(&breakpoint, LONG);
	debug(KVM_GUESTDBG_ENABLE, 0, 0);
	vm_out(&vm, 0, PORT_HANDLER);
	EXPECT(vm_out(&vm, 0, PORT), 2);
}

static void test_hardware_breakpoint(int argument)
{
	(void)argument;
	if (under_tcg())
		skip("TCG does not arm breakpoints that VMRUN loads");
	start(&steps, LONG);
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, CODE + 3, DR7_X0);
	expect_debug(EXCEPTION_DB, CODE + 3);
	EXPECT(vm.vcpu[0].run->debug.arch.dr6 & 0xf, DR6_B0);
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, DATA, DR7_W0_4);
	expect_debug(EXCEPTION_DB, CODE + 5);
	EXPECT(vm.vcpu[0].run->debug.arch.dr6 & 0xf, DR6_B0);
}

/* The guest's debug registers stay its own while the client uses them. */
static void test_guest_registers(int argument)
{
	struct kvm_debugregs set = {.db = {0x1111}, .dr6 = 0xffff0ff0, .dr7 = 0x400}, got;

	(void)argument;
	start(&steps, LONG);
	MUST(ioctl(vm.vcpu[0].fd, KVM_SET_DEBUGREGS, &set));
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP,
	      CODE + 0x300, DR7_X0);
	expect_step(CODE + 1);
	debug(0, 0, 0);
	MUST(ioctl(vm.vcpu[0].fd, KVM_GET_DEBUGREGS, &got));
	EXPECT(got.db[0], 0x1111);
	EXPECT(got.dr7, 0x400);
	EXPECT(got.dr6, 0xffff0ff0);
}

const struct test debug_tests[] = {
    TEST("debug: single steps", test_steps),
    TEST("debug: single steps in real mode", test_steps_real),
    TEST("debug: a step over MMIO", test_step_over_mmio),
    TEST("debug: a step that begins in MMIO", test_step_from_mmio),
    TEST("debug: a step over CPUID", test_step_over_cpuid),
    TEST("debug: steps through REP", test_step_string),
    TEST("debug: software breakpoints", test_software_breakpoint),
    TEST("debug: the guest's own INT3", test_own_breakpoint),
    TEST("debug: hardware breakpoints", test_hardware_breakpoint),
    TEST("debug: the guest's debug registers are not touched", test_guest_registers),
    TESTS_END,
};
