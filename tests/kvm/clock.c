/* SPDX-License-Identifier: BSD-2-Clause */
/* Clocks: the VM's, kvmclock in the guest, the TSC's frequency. */
#include <string.h>

#include "kvm/test.h"

#define NS_A_SECOND		 1000000000ull
#define MSR_WALL_CLOCK_NEW	 0x4b564d00u
#define MSR_SYSTEM_TIME_NEW	 0x4b564d01u
#define KVM_FEATURE_CLOCKSOURCE2 (1u << 3)
#define KVM_LEAF		 0x40000001u

/* What the guest reads (Documentation/virt/kvm/x86/msr.rst). */
struct time_page {
	uint32_t version, padding;
	uint64_t tsc_timestamp, system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags, more[2];
};

GUEST(clocks, 64,
      "1: mov $0x4b564d01, %ecx; mov $0xc101, %eax; xor %edx, %edx; wrmsr; out %al, $0x10\n"
      "rdtsc; mov %eax, 0x200(%rsi); mov %edx, 0x204(%rsi); out %al, $0x10; jmp 1b");

static struct vm vm;

static uint64_t clock_now(void)
{
	struct kvm_clock_data data = {0};

	MUST(ioctl(vm.fd, KVM_GET_CLOCK, &data));
	return data.clock;
}

static void test_clock(int argument)
{
	struct kvm_clock_data data = {.clock = 1000 * NS_A_SECOND};
	uint64_t first, second;

	(void)argument;
	vm_create(&vm);
	REQUIRE(&vm, KVM_CAP_ADJUST_CLOCK);
	first = clock_now();
	sleep_ms(20);
	second = clock_now();
	CHECK(second >= first + 10000000, "%" PRIu64 " ns in 20 ms", second - first);
	EXPECT(ioctl(vm.fd, KVM_SET_CLOCK, &data), 0);
	first = clock_now();
	CHECK(first >= data.clock && first < data.clock + 100 * NS_A_SECOND, "%" PRIu64, first);
	data.flags = 0x8000;
	EXPECT(failure(ioctl(vm.fd, KVM_SET_CLOCK, &data)), EINVAL);
}

static void require_kvmclock(void)
{
	struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid_supported(vm.kvm), KVM_LEAF, 0);

	if (!entry || !(entry->eax & KVM_FEATURE_CLOCKSOURCE2))
		skip("no kvmclock");
}

static uint64_t guest_time(const struct time_page *page, uint64_t tsc)
{
	uint64_t delta = tsc - page->tsc_timestamp;

	delta = page->tsc_shift >= 0 ? delta << page->tsc_shift : delta >> -page->tsc_shift;
	return page->system_time +
	       (uint64_t)((unsigned __int128)delta * page->tsc_to_system_mul >> 32);
}

static void test_kvmclock(int argument)
{
	struct kvm_clock_data data = {.clock = 5000 * NS_A_SECOND};
	struct time_page page;
	uint64_t tsc, value, now;

	(void)argument;
	vm_create(&vm);
	require_kvmclock();
	vm_load(&vm, 0, &clocks, LONG);
	EXPECT(ioctl(vm.fd, KVM_SET_CLOCK, &data), 0);
	vm_out(&vm, 0, PORT);
	vm_out(&vm, 0, PORT);
	EXPECT(msr_read(vm.vcpu[0].fd, MSR_SYSTEM_TIME_NEW, &value), 0);
	EXPECT(value, 0xc101);
	memcpy(&page, vm.memory + 0xc100, sizeof(page));
	memcpy(&tsc, vm.memory + DATA + 0x200, sizeof(tsc));
	CHECK(page.version && page.version % 2 == 0, "version %u", page.version);
	now = guest_time(&page, tsc);
	CHECK(now >= data.clock && now <= clock_now(), "the guest's clock: %" PRIu64, now);
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_KVMCLOCK_CTRL, 0), 0);
}

static void test_kvmclock_off(int argument)
{
	(void)argument;
	vm_create(&vm);
	REQUIRE(&vm, KVM_CAP_KVMCLOCK_CTRL);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_KVMCLOCK_CTRL, 0)), EINVAL);
}

static void test_tsc_khz(int argument)
{
	int khz;

	(void)argument;
	vm_create(&vm);
	REQUIRE(&vm, KVM_CAP_GET_TSC_KHZ);
	khz = MUST(ioctl(vm.vcpu[0].fd, KVM_GET_TSC_KHZ, 0));
	CHECK(khz > 10000, "%d kHz", khz);
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_SET_TSC_KHZ, khz), 0);
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_GET_TSC_KHZ, 0), khz);
}

const struct test clock_tests[] = {
    TEST("clock: the VM's clock", test_clock),
    TEST("clock: kvmclock in the guest", test_kvmclock),
    TEST("clock: KVMCLOCK_CTRL without kvmclock", test_kvmclock_off),
    TEST("clock: the TSC's frequency", test_tsc_khz),
    TESTS_END,
};
