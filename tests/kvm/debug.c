/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_SET_GUEST_DEBUG: single steps and breakpoints; whose the debug registers are. */
#define _GNU_SOURCE
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvm/test.h"

#define EXCEPTION_DB 1u
#define EXCEPTION_BP 3u
#define DR6_B0	     0x1u
#define DR6_BD	     0x2000u
#define DR6_BS	     0x4000u
#define DR6_CAUSES   (DR6_BS | DR6_BD | 0xfu)
#define DR7_X0	     0x2u	       /* DR0, execution */
#define DR7_W0_4     (0x2u | 0xd0000u) /* DR0, writes of 4 bytes */
#define DR7_OTHERS   0x428u	       /* DR1 and DR2, execution */

#define COMMON	     0x100000u /* an address that the client has, and the guest */
#define SEED	     0x11110000u

GUEST(steps, 64, "nop; inc %eax; mov %eax, (%rsi); out %al, $0x10; nop; jmp 1f; nop; 1: hlt");
GUEST(steps_real, 16, "nop; inc %ax; nop; hlt");
GUEST(breakpoint, 64, "inc %eax; int3; inc %eax; out %eax, $0x10; hlt");
GUEST(string, 64, "xchg %rsi, %rdi; mov $3, %ecx; rep stosb; nop; hlt");
GUEST(over_mmio, 64, "nop; mov (%rdi), %eax; nop; hlt");
GUEST(over_cpuid, 64, "nop; xor %eax, %eax; cpuid; nop; hlt");

/* DR0 and DR3 are looked at and changed in every other round; RDX is COMMON. */
GUEST(own_registers, 64,
      "1: mov %eax, (%rdx); out %al, $0x10; mov %eax, (%rdx); mov %dr0, %rax; out %eax, $0x10\n"
      "mov %dr3, %rax; out %eax, $0x10; mov %rbx, %dr3; inc %ebx; mov %rbx, %dr0\n"
      "mov %eax, (%rdx); out %al, $0x10; jmp 1b");
GUEST(traps_nop, 64, "pushf; orl $0x100, (%rsp); popf; nop; mov %dr6, %rax; out %eax, $0x10");
GUEST(traps_mov_dr, 64,
      "pushf; orl $0x100, (%rsp); popf; mov %dr0, %rbx; mov %dr6, %rax; out %eax, $0x10; mov "
      "%ebx, %eax; "
      "out %eax, $0x10");
GUEST(trap_handler, 64,
      "mov (%rsp), %rax; out %eax, $0x10; mov %dr6, %rax; out %eax, $0x10; andl $~0x100, "
      "16(%rsp)\n"
      "mov $0xffff0ff0, %eax; mov %rax, %dr6; iretq");
GUEST(enables, 64,
      "lea 1f(%rip), %rax; mov %rax, %dr0; mov $0x402, %eax; mov %rax, %dr7; out %al, $0x10; "
      "nop; 1: nop; hlt");
GUEST(breakpoint_handler, 64,
      "mov (%rsp), %rax; out %eax, $0x10; mov %dr6, %rax; out %eax, $0x10; mov $0x400, %eax\n"
      "mov %rax, %dr7; iretq");
GUEST(protects, 64,
      "mov $0x2400, %eax; mov %rax, %dr7; out %al, $0x10; mov %rsi, %dr0; 1: hlt");
GUEST(step_dr, 64, "nop; mov %dr0, %rax; mov %rax, %dr3; hlt");
GUEST(comes_and_goes, 64,
      "mov $0x1111, %eax; mov %rax, %dr0; 1: out %al, $0x10; nop; nop; mov %dr0, %rax; out "
      "%eax, $0x10; jmp 1b");

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
	/* Of a breakpoint that the guest has met before. */
	const struct kvm_debugregs before = {.dr6 = 0xffff0ff0 | DR6_B0, .dr7 = 0x400};

	(void)argument;
	start(&steps, LONG);
	MUST(ioctl(vm.vcpu[0].fd, KVM_SET_DEBUGREGS, &before));
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

static void set_registers(const struct vm *which, const struct kvm_debugregs *set)
{
	MUST(ioctl(which->vcpu[0].fd, KVM_SET_DEBUGREGS, set));
}

/* --- whose the registers are -------------------------------------------------------------- */

struct watch {
	volatile uint64_t *at;
	int fd;
	uint64_t hits; /* so many there must be */
};

/* A breakpoint of the client's own, in DR0, at an address that guests write to as well. */
static struct watch watch_common(void)
{
	struct watch watch = {
	    .at = mmap((void *)(uintptr_t)COMMON, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)};
	struct perf_event_attr attributes = {
	    .type = PERF_TYPE_BREAKPOINT,
	    .size = sizeof(attributes),
	    .bp_type = HW_BREAKPOINT_W,
	    .bp_addr = COMMON,
	    .bp_len = HW_BREAKPOINT_LEN_8,
	    .exclude_kernel = 1,
	    .exclude_hv = 1,
	};

	CHECK((uintptr_t)watch.at == COMMON, "no memory at %#x", COMMON);
	watch.fd =
	    (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	MUST(watch.fd);
	return watch;
}

static void expect_hit(struct watch *watch)
{
	uint64_t hits;

	*watch->at += 1;
	watch->hits++;
	EXPECT(read(watch->fd, &hits, sizeof(hits)), sizeof(hits));
	EXPECT(hits, watch->hits);
}

static void start_owner(struct vm *which, uint64_t seed, uint64_t dr7)
{
	struct kvm_debugregs set = {
	    .db = {seed, CODE + 0x300, CODE + 0x310, 2 * seed}, .dr6 = 0xffff0ff0, .dr7 = dr7};
	struct kvm_regs regs;

	vm_create(which);
	vm_load(which, 0, &own_registers, LONG);
	regs = vm_regs(which, 0);
	regs.rbx = seed;
	regs.rdx = COMMON;
	vm_set_regs(which, 0, &regs);
	set_registers(which, &set);
}

static void expect_registers(struct vm *which, uint64_t dr0, uint64_t dr3)
{
	struct kvm_debugregs got;

	MUST(ioctl(which->vcpu[0].fd, KVM_GET_DEBUGREGS, &got));
	EXPECT(got.db[0], dr0);
	EXPECT(got.db[1], CODE + 0x300);
	EXPECT(got.db[2], CODE + 0x310);
	EXPECT(got.db[3], dr3);
	EXPECT(got.dr6 & DR6_CAUSES, 0);
}

/* On the other CPU, where there is one. */
static void move_to(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu & 1, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		EXPECT(errno, EINVAL);
}

/* One VM looks at its registers in rounds when the other does not; the argument is the second
 * one's DR7. */
static void test_owners(int argument)
{
	struct vm both[2];
	struct watch watch = watch_common();

	start_owner(&both[0], SEED, 0x400);
	start_owner(&both[1], 2 * SEED, (uint64_t)argument);
	vm_out(&both[1], 0, PORT);
	for (unsigned i = 0; i < 40; i++) {
		struct vm *which = &both[i & 1];
		uint64_t seed = (1 + (i & 1)) * SEED + i / 2, dr3 = i / 2 ? seed - 1 : 2 * seed;

		move_to(i / 3);
		if (which == both)
			vm_out(which, 0, PORT);
		expect_hit(&watch);
		EXPECT(vm_out(which, 0, PORT), (uint32_t)seed);
		expect_hit(&watch);
		EXPECT(vm_out(which, 0, PORT), (uint32_t)dr3);
		expect_registers(which, seed, dr3);
		expect_hit(&watch);
		vm_out(which, 0, PORT);
		expect_registers(which, seed + 1, seed);
		if (which != both)
			vm_out(which, 0, PORT);
		expect_hit(&watch);
	}
}

/* --- #DB in the guest ----------------------------------------------------------------------
 */

static void start_with_handler(const struct guest *guest, const struct kvm_debugregs *set)
{
	start(guest, LONG);
	vm_put(&vm, HANDLER + 0x100, &trap_handler);
	vm_gate(&vm, EXCEPTION_DB, HANDLER + 0x100);
	set_registers(&vm, set);
}

/* The guest's own step, over NOP or over an instruction that makes its registers be loaded. */
static void test_own_step(int argument)
{
	/* DR7 has W0_4's kind of breakpoint, but enables none. */
	const struct kvm_debugregs set = {
	    .db = {0x7070}, .dr6 = 0xffff0ff0, .dr7 = 0x400 | (DR7_W0_4 & ~0xffu)};
	struct kvm_debugregs got;

	start_with_handler(argument ? &traps_mov_dr : &traps_nop, &set);
	EXPECT(vm_out(&vm, 0, PORT), CODE + 9 + (argument ? 3 : 1));
	MUST(ioctl(vm.vcpu[0].fd, KVM_GET_DEBUGREGS, &got));
	EXPECT(got.dr6 & DR6_CAUSES, DR6_BS);
	EXPECT(vm_out(&vm, 0, PORT) & DR6_CAUSES, DR6_BS);
	EXPECT(vm_out(&vm, 0, PORT) & DR6_CAUSES, 0);
	if (argument)
		EXPECT(vm_out(&vm, 0, PORT), 0x7070);
	MUST(ioctl(vm.vcpu[0].fd, KVM_GET_DEBUGREGS, &got));
	EXPECT(got.dr6 & DR6_CAUSES, 0);
	EXPECT(got.db[0], 0x7070);
}

/*
 * It is there behind an exit, too. The guest takes it away itself, on the same CPU: TCG keeps a
 * breakpoint that MOV to DR7 has armed, for every guest to come, until another MOV.
 */
static void test_own_hardware_breakpoint(int argument)
{
	const struct kvm_debugregs set = {.dr6 = 0xffff0ff0, .dr7 = 0x400};
	const unsigned at = 7 + 3 + 5 + 3 + 2 + 1;

	(void)argument;
	move_to(0);
	start_with_handler(&enables, &set);
	vm_put(&vm, HANDLER + 0x100, &breakpoint_handler);
	vm_out(&vm, 0, PORT);
	EXPECT(vm_out(&vm, 0, PORT), CODE + at);
	EXPECT(vm_out(&vm, 0, PORT) & DR6_CAUSES, DR6_B0);
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

static void test_general_detect(int argument)
{
	const struct kvm_debugregs set = {.dr6 = 0xffff0ff0, .dr7 = 0x400};
	struct kvm_debugregs got;

	(void)argument;
	if (under_tcg())
		skip("TCG has no DR7.GD");
	start_with_handler(&protects, &set);
	vm_out(&vm, 0, PORT);
	EXPECT(vm_out(&vm, 0, PORT), CODE + 10);
	EXPECT(vm_out(&vm, 0, PORT) & DR6_CAUSES, DR6_BD);
	vm_run(&vm, 0, KVM_EXIT_HLT);
	MUST(ioctl(vm.vcpu[0].fd, KVM_GET_DEBUGREGS, &got));
	EXPECT(got.dr7, 0x400);
	EXPECT(got.db[0], DATA);
}

/* --- the client's debugger -----------------------------------------------------------------
 */

static void test_step_over_dr(int argument)
{
	const struct kvm_debugregs set = {.db = {0x3333}, .dr6 = 0xffff0ff0, .dr7 = 0x400};
	struct kvm_debugregs got;

	(void)argument;
	start(&step_dr, LONG);
	set_registers(&vm, &set);
	debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	expect_step(CODE + 1);
	expect_step(CODE + 4);
	EXPECT(vm_regs(&vm, 0).rax, 0x3333);
	expect_step(CODE + 7);
	MUST(ioctl(vm.vcpu[0].fd, KVM_GET_DEBUGREGS, &got));
	EXPECT(got.db[3], 0x3333);
	EXPECT(got.dr6 & DR6_CAUSES, 0);
}

static void test_come_and_go(int argument)
{
	const unsigned second_nop = 5 + 3 + 2 + 1;

	(void)argument;
	start(&comes_and_goes, LONG);
	for (unsigned i = 0; i < 3; i++) {
		vm_out(&vm, 0, PORT);
		debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, CODE + second_nop, DR7_X0);
		if (!under_tcg())
			expect_debug(EXCEPTION_DB, CODE + second_nop);
		debug(0, 0, 0);
		EXPECT(vm_out(&vm, 0, PORT), 0x1111);
	}
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
    TEST_OF("debug: each its own debug registers", test_owners, 0x400),
    TEST_OF("debug: each its own debug registers, breakpoints enabled", test_owners,
	    DR7_OTHERS),
    TEST_OF("debug: the guest's own step", test_own_step, 0),
    TEST_OF("debug: the guest's own step, over MOV from DR0", test_own_step, 1),
    TEST("debug: the guest's own breakpoint, behind an exit", test_own_hardware_breakpoint),
    TEST("debug: the guest's DR7.GD", test_general_detect),
    TEST("debug: a step over MOV from DR0 and to DR3", test_step_over_dr),
    TEST("debug: breakpoints that come and go", test_come_and_go),
    TESTS_END,
};
