/* SPDX-License-Identifier: BSD-2-Clause */
/* MSRs: the client's view, the guest's, and who answers those that nobody knows. */
#include <stdlib.h>
#include <string.h>

#include "kvm/test.h"

#define MSR_TSC		 0x10u
#define MSR_APIC_BASE	 0x1bu
#define MSR_PAT		 0x277u
#define MSR_MCG_CAP	 0x179u
#define MSR_MCG_STATUS	 0x17au
#define MSR_MCG_CTL	 0x17bu
#define MSR_MC0_CTL	 0x400u
#define MSR_MC0_STATUS	 0x401u
#define MSR_EFER	 0xc0000080u
#define MSR_UNKNOWN	 0x12345678u
#define MSR_CORE_THREADS 0x35u
#define LISTED_MAX	 1024u

/* Addresses in DATA: 0 the index, 8 the value that is read or written. */
GUEST(reads, 64,
      "1: mov (%rsi), %ecx; rdmsr; mov %eax, 8(%rsi); mov %edx, 12(%rsi); out %al, $0x10; jmp "
      "1b");
GUEST(writes, 64,
      "1: mov (%rsi), %ecx; mov 8(%rsi), %eax; mov 12(%rsi), %edx; wrmsr; out %al, $0x10; jmp "
      "1b");
/* Writes, and says what was there before, 16 bytes from DATA on. */
GUEST(swaps, 64,
      "1: mov (%rsi), %ecx; rdmsr; mov %eax, 16(%rsi); mov %edx, 20(%rsi); mov 8(%rsi), %eax; "
      "mov 12(%rsi), %edx; wrmsr; out %al, $0x10; jmp 1b");
/* #GP: drops the error code, says so, and steps over RDMSR or WRMSR. */
GUEST(fault, 64, "add $8, %rsp; out %al, $0x13; addq $2, (%rsp); iretq");

/* SYSCALL once and again, by what the guest sets up itself: STAR, LSTAR from DATA, EFER.SCE; or
 * the client. */
GUEST(sets_up, 64,
      "mov $0xc0000081, %ecx; xor %eax, %eax; mov $8, %edx; wrmsr\n"
      "inc %ecx; mov (%rsi), %eax; xor %edx, %edx; wrmsr\n"
      "mov $0xc0000080, %ecx; rdmsr; or $1, %eax; wrmsr; 1: out %al, $0x10; syscall; jmp 1b");
GUEST(calls, 64, "1: out %al, $0x10; syscall; jmp 1b");
GUEST(called, 64, "out %al, $0x14; jmp *%rcx");
GUEST(called_too, 64, "out %al, $0x15; jmp *%rcx");

static struct vm vm;

static void ask(uint32_t index, uint64_t value)
{
	memcpy(vm.memory + DATA, &index, sizeof(index));
	memcpy(vm.memory + DATA + 8, &value, sizeof(value));
}

static uint64_t guest_reads(uint32_t index)
{
	uint64_t value;

	ask(index, 0);
	vm_out(&vm, 0, PORT);
	memcpy(&value, vm.memory + DATA + 8, sizeof(value));
	return value;
}

static void guest_writes(uint32_t index, uint64_t value)
{
	ask(index, value);
	vm_out(&vm, 0, PORT);
}

static void start(const struct guest *guest)
{
	vm_create(&vm);
	vm_load(&vm, 0, guest, LONG);
	vm_put(&vm, HANDLER + 0x100, &fault);
	vm_gate(&vm, 13, HANDLER + 0x100);
}

static const struct {
	uint32_t index;
	uint64_t value;
} values[] = {
    {0x174, 0x10}, /* SYSENTER_CS, ESP, EIP: 32 bits on AMD */
    {0x175, 0x12345678},
    {0x176, 0x01234567},
    {0xc0000081, 0x0023001000000000}, /* STAR, LSTAR, CSTAR, SFMASK */
    {0xc0000082, 0xffffffff81111111},
    {0xc0000083, 0xffffffff82222222},
    {0xc0000084, 0x47700},
    {0xc0000100, 0x7f0012345678}, /* FS.base, GS.base, the kernel's */
    {0xc0000101, 0x7f0087654321},
    {0xc0000102, 0xffff888087654321},
};

#define VALUES (sizeof(values) / sizeof(values[0]))

static void test_set_get(int argument)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entries[VALUES];
	} msrs = {.header.nmsrs = VALUES};

	(void)argument;
	start(&reads);
	for (size_t i = 0; i < VALUES; i++)
		msrs.entries[i] =
		    (struct kvm_msr_entry){.index = values[i].index, .data = values[i].value};
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_SET_MSRS, &msrs), VALUES);
	for (size_t i = 0; i < VALUES; i++)
		msrs.entries[i].data = 0;
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_GET_MSRS, &msrs), VALUES);
	for (size_t i = 0; i < VALUES; i++) {
		CHECK(msrs.entries[i].data == values[i].value, "MSR %#x is %#llx",
		      values[i].index, msrs.entries[i].data);
		EXPECT(guest_reads(values[i].index), values[i].value);
	}
}

static void test_guest_writes(int argument)
{
	uint64_t seen;

	(void)argument;
	start(&writes);
	for (size_t i = 0; i < VALUES; i++)
		guest_writes(values[i].index, values[i].value);
	for (size_t i = 0; i < VALUES; i++) {
		EXPECT(msr_read(vm.vcpu[0].fd, values[i].index, &seen), 0);
		CHECK(seen == values[i].value, "MSR %#x is %#" PRIx64, values[i].index, seen);
	}
}

/* By turns, on one CPU: each finds its own, and the system, whose kernel has others, goes on.
 */
static void test_apart(int argument)
{
	(void)argument;
	start(&swaps);
	vm_add_vcpu(&vm, 1);
	vm_load(&vm, 1, &swaps, LONG);
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < 2 * VALUES; i++) {
			const unsigned id = i & 1;
			const uint64_t before =
			    values[i / 2].value + 0x200 * round + 0x100 * id;
			uint64_t seen;

			ask(values[i / 2].index, before + 0x200);
			vm_out(&vm, id, PORT);
			memcpy(&seen, vm.memory + DATA + 16, sizeof(seen));
			CHECK(!round || seen == before, "vCPU %u: MSR %#x is %#" PRIx64, id,
			      values[i / 2].index, seen);
		}
	}
}

/* Two vCPUs by turns: each comes where its own LSTAR says, however it and EFER.SCE were set. */
static void test_syscall(int argument)
{
	struct kvm_sregs sregs;

	(void)argument;
	start(&sets_up);
	vm_add_vcpu(&vm, 1);
	vm_load(&vm, 1, &calls, LONG);
	vm_put(&vm, HANDLER + 0x200, &called);
	vm_put(&vm, HANDLER + 0x300, &called_too);
	ask(HANDLER + 0x200, 0);
	EXPECT(msr_write(vm.vcpu[1].fd, 0xc0000081, 8ull << 32), 0);
	EXPECT(msr_write(vm.vcpu[1].fd, 0xc0000082, HANDLER + 0x300), 0);
	EXPECT(msr_write(vm.vcpu[1].fd, MSR_EFER, 0x501), 0);
	for (unsigned round = 0; round < 3; round++) {
		vm_out(&vm, 0, PORT);
		vm_out(&vm, 1, PORT);
		vm_out(&vm, 0, 0x14);
		vm_out(&vm, 1, 0x15);
	}
	vm_out(&vm, 1, PORT);
	sregs = vm_sregs(&vm, 1);
	sregs.efer &= ~1ull;
	EXPECT(ioctl(vm.vcpu[1].fd, KVM_SET_SREGS, &sregs), 0);
	vm_out(&vm, 1, PORT_HANDLER); /* #UD */
	vm_out(&vm, 0, PORT);
	vm_out(&vm, 0, 0x14);
}

/* The CPU refuses the address, and keeps the one that it has. */
static void test_not_canonical(int argument)
{
	static const uint32_t indices[] = {0xc0000082, 0xc0000083, 0xc0000102};
	const uint64_t kept = 0xffff888012345678;
	uint64_t seen;

	(void)argument;
	if (under_tcg())
		skip("TCG takes any address");
	start(&writes);
	for (size_t i = 0; i < sizeof(indices) / sizeof(indices[0]); i++) {
		guest_writes(indices[i], kept);
		ask(indices[i], 1ull << 63);
		vm_out(&vm, 0, 0x13);
		vm_out(&vm, 0, PORT);
		EXPECT(msr_read(vm.vcpu[0].fd, indices[i], &seen), 0);
		EXPECT(seen, kept);
	}
}

static void test_short_count(int argument)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entries[3];
	} msrs = {
	    .header.nmsrs = 3,
	    .entries = {{.index = 0x174, .data = 8}, {.index = MSR_UNKNOWN}, {.index = 0x175}}};

	(void)argument;
	start(&reads);
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_SET_MSRS, &msrs), 1);
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_GET_MSRS, &msrs), 1);
	EXPECT(msrs.entries[0].data, 8);
	msrs.header.nmsrs = 0;
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_GET_MSRS, &msrs), 0);
	msrs.header.nmsrs = 1u << 20;
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_GET_MSRS, &msrs)), E2BIG);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_SET_MSRS, &msrs)), E2BIG);
}

/* What is listed can be read, and written with what was read: QEMU's migration does just that.
 */
static void test_listed(int argument)
{
	struct {
		struct kvm_msr_list list;
		uint32_t more[LISTED_MAX];
	} listed = {.list.nmsrs = LISTED_MAX};

	(void)argument;
	vm_create_with_irqchip(&vm);
	MUST(ioctl(vm.kvm, KVM_GET_MSR_INDEX_LIST, &listed));
	for (uint32_t i = 0; i < listed.list.nmsrs; i++) {
		uint32_t index = listed.list.indices[i];
		uint64_t value;

		CHECK(msr_read(vm.vcpu[0].fd, index, &value) == 0, "MSR %#x cannot be read",
		      index);
		CHECK(msr_write(vm.vcpu[0].fd, index, value) == 0,
		      "MSR %#x cannot be written with %#" PRIx64, index, value);
	}
}

static void test_unknown_in_guest(int write)
{
	(void)write;
	start(write ? &writes : &reads);
	ask(MSR_UNKNOWN, 0);
	vm_out(&vm, 0, 0x13);
	vm_out(&vm, 0, PORT);
}

static void test_tsc(int argument)
{
	uint64_t first, second, seen;

	(void)argument;
	start(&reads);
	EXPECT(msr_write(vm.vcpu[0].fd, MSR_TSC, 1ull << 50), 0);
	EXPECT(msr_read(vm.vcpu[0].fd, MSR_TSC, &first), 0);
	seen = guest_reads(MSR_TSC);
	EXPECT(msr_read(vm.vcpu[0].fd, MSR_TSC, &second), 0);
	CHECK(first >= 1ull << 50 && seen > first && second > seen &&
		  second < (1ull << 50) + (1ull << 40),
	      "read as %#" PRIx64 ", in the guest %#" PRIx64 ", as %#" PRIx64, first, seen,
	      second);
}

static void test_pat(int argument)
{
	const uint64_t set = 0x0606060606060606;
	uint64_t value;

	(void)argument;
	start(&reads);
	EXPECT(msr_read(vm.vcpu[0].fd, MSR_PAT, &value), 0);
	EXPECT(value, 0x0007040600070406);
	EXPECT(msr_write(vm.vcpu[0].fd, MSR_PAT, set), 0);
	EXPECT(msr_read(vm.vcpu[0].fd, MSR_PAT, &value), 0);
	EXPECT(value, set);
	EXPECT(msr_write(vm.vcpu[0].fd, MSR_PAT, 0x0202020202020202), ENXIO);
	/* APM 2 15.25.2: with nested paging the guest has a PAT of its own. */
	if (guest_reads(MSR_PAT) != set) {
		CHECK(under_tcg(), "the guest sees another PAT");
		skip("TCG does not switch PAT");
	}
}

static void test_efer(int argument)
{
	uint64_t value;

	(void)argument;
	start(&writes);
	guest_writes(MSR_EFER, 0x501); /* SCE */
	EXPECT(msr_read(vm.vcpu[0].fd, MSR_EFER, &value), 0);
	EXPECT(value, 0x501);
	EXPECT(vm_sregs(&vm, 0).efer, 0x501);
	ask(MSR_EFER, 0x80000501);
	vm_out(&vm, 0, 0x13);
	vm_out(&vm, 0, PORT);
}

static void test_apic_base(int argument)
{
	uint64_t value;
	struct kvm_sregs sregs;

	(void)argument;
	vm_create_with_irqchip(&vm);
	EXPECT(msr_read(vm.vcpu[0].fd, MSR_APIC_BASE, &value), 0);
	EXPECT(value, 0xfee00900); /* enabled, the boot CPU */
	sregs = vm_sregs(&vm, 0);
	EXPECT(sregs.apic_base, 0xfee00900);
	EXPECT(msr_write(vm.vcpu[0].fd, MSR_APIC_BASE, 0xfee00100), 0);
	EXPECT(vm_sregs(&vm, 0).apic_base, 0xfee00100);
}

static void test_mce(int argument)
{
	uint64_t supported, value, capability;
	int banks;

	(void)argument;
	start(&reads);
	banks = REQUIRE(&vm, KVM_CAP_MCE);
	MUST(ioctl(vm.kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported));
	capability = 0x10a; /* MCG_CTL, 10 banks */
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_X86_SETUP_MCE, &capability), 0);
	EXPECT(msr_read(vm.vcpu[0].fd, MSR_MCG_CAP, &value), 0);
	EXPECT(value, capability);
	EXPECT(guest_reads(MSR_MCG_CAP), capability);
	EXPECT(msr_write(vm.vcpu[0].fd, MSR_MCG_CTL, ~0ull), 0);
	EXPECT(msr_write(vm.vcpu[0].fd, MSR_MCG_STATUS, 5), 0);
	EXPECT(msr_read(vm.vcpu[0].fd, MSR_MCG_STATUS, &value), 0);
	EXPECT(value, 5);
	EXPECT(msr_write(vm.vcpu[0].fd, MSR_MC0_CTL + 4 * 9, ~0ull), 0);
	EXPECT(guest_reads(MSR_MC0_CTL + 4 * 9), ~0ull);
	EXPECT(msr_write(vm.vcpu[0].fd, MSR_MC0_STATUS + 4 * 3, 0xb200000000000001), 0);
	EXPECT(guest_reads(MSR_MC0_STATUS + 4 * 3), 0xb200000000000001);
	EXPECT(msr_read(vm.vcpu[0].fd, MSR_MC0_CTL + 4 * 10, &value), ENXIO);
	capability = (supported & ~0xffull) | ((unsigned)banks + 1);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_X86_SETUP_MCE, &capability)), EINVAL);
	capability = supported & ~0xffull; /* no banks */
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_X86_SETUP_MCE, &capability)), EINVAL);
}

/* As QEMU has it for MSR 35h: reads of it are the client's to answer. */
static void test_filter(int argument)
{
	uint8_t none[1] = {0};
	struct kvm_enable_cap enable = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
					.args = {KVM_MSR_EXIT_REASON_FILTER}};
	struct kvm_msr_filter filter = {
	    .ranges[0] = {.flags = KVM_MSR_FILTER_READ,
			  .nmsrs = 1,
			  .base = MSR_CORE_THREADS,
			  .bitmap = none},
	};
	struct kvm_run *run;

	(void)argument;
	start(&reads);
	REQUIRE(&vm, KVM_CAP_X86_USER_SPACE_MSR);
	EXPECT(ioctl(vm.fd, KVM_ENABLE_CAP, &enable), 0);
	EXPECT(ioctl(vm.fd, KVM_X86_SET_MSR_FILTER, &filter), 0);
	ask(MSR_CORE_THREADS, 0);
	run = vm_run(&vm, 0, KVM_EXIT_X86_RDMSR);
	EXPECT(run->msr.index, MSR_CORE_THREADS);
	EXPECT(run->msr.reason, KVM_MSR_EXIT_REASON_FILTER);
	run->msr.error = 0;
	run->msr.data = 0x0001000200030004;
	vm_out(&vm, 0, PORT);
	EXPECT(*(uint64_t *)(void *)(vm.memory + DATA + 8), 0x0001000200030004);
	run = vm_run(&vm, 0, KVM_EXIT_X86_RDMSR);
	run->msr.error = 1; /* #GP */
	vm_out(&vm, 0, 0x13);
	vm_out(&vm, 0, PORT);
	EXPECT(guest_reads(0x277), 0x0007040600070406);
}

const struct test msr_tests[] = {
    TEST("msr: set, got, and read by the guest", test_set_get),
    TEST("msr: written by the guest", test_guest_writes),
    TEST("msr: each vCPU has its own", test_apart),
    TEST("msr: SYSCALL goes where they say", test_syscall),
    TEST("msr: written by the guest with no canonical address: #GP", test_not_canonical),
    TEST("msr: counts say how many were done", test_short_count),
    TEST("msr: each listed MSR can be read and written", test_listed),
    TEST_OF("msr: an unknown one is read in the guest: #GP", test_unknown_in_guest, 0),
    TEST_OF("msr: an unknown one is written in the guest: #GP", test_unknown_in_guest, 1),
    TEST("msr: TSC", test_tsc),
    TEST("msr: PAT", test_pat),
    TEST("msr: EFER", test_efer),
    TEST("msr: APIC base", test_apic_base),
    TEST("msr: machine check banks", test_mce),
    TEST("msr: reads that the client answers", test_filter),
    TESTS_END,
};
