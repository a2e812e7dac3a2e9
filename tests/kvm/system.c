/* SPDX-License-Identifier: BSD-2-Clause */
/* /dev/kvm itself: the node, capabilities, lists, creating. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kvm/test.h"

#define BAD_POINTER  ((void *)8)
#define UNKNOWN	     _IO(KVMIO, 0xfe)
#define MISC_MAJOR   10u
#define KVM_MINOR    232u
#define LIST_ENTRIES 512u

static struct vm vm;

static void test_node(int argument)
{
	struct stat status;
	struct statx extended;

	(void)argument;
	EXPECT(access("/dev/kvm", R_OK | W_OK), 0);
	EXPECT(faccessat(AT_FDCWD, "/dev/kvm", R_OK | W_OK, AT_EACCESS), 0);
	EXPECT(euidaccess("/dev/kvm", R_OK | W_OK), 0);
	EXPECT(stat("/dev/kvm", &status), 0);
	CHECK(S_ISCHR(status.st_mode), "mode %o", status.st_mode);
	EXPECT(major(status.st_rdev), MISC_MAJOR);
	EXPECT(minor(status.st_rdev), KVM_MINOR);
	EXPECT(lstat("/dev/kvm", &status), 0);
	CHECK(S_ISCHR(status.st_mode), "mode %o", status.st_mode);
	EXPECT(fstatat(AT_FDCWD, "/dev/kvm", &status, 0), 0);
	EXPECT(statx(AT_FDCWD, "/dev/kvm", 0, STATX_BASIC_STATS, &extended), 0);
	EXPECT(extended.stx_rdev_minor, KVM_MINOR);
	EXPECT(access("/dev/kvm-not", R_OK), -1);
}

static void test_open(int argument)
{
	int fds[3];

	(void)argument;
	fds[0] = MUST(open("/dev/kvm", O_RDWR));
	fds[1] = MUST(openat(AT_FDCWD, "/dev/kvm", O_RDWR | O_CLOEXEC));
	fds[2] = MUST(open64("/dev/kvm", O_RDWR | O_CLOEXEC));
	for (int i = 0; i < 3; i++) {
		EXPECT(ioctl(fds[i], KVM_GET_API_VERSION, 0), KVM_API_VERSION);
		EXPECT(fcntl(fds[i], F_GETFD), i ? FD_CLOEXEC : 0);
		EXPECT(close(fds[i]), 0);
		EXPECT(failure(ioctl(fds[i], KVM_GET_API_VERSION, 0)), EBADF);
	}
}

static void test_version(int argument)
{
	int kvm = kvm_open();
	int size = MUST(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));

	(void)argument;
	EXPECT(ioctl(kvm, KVM_GET_API_VERSION, 0), 12);
	EXPECT(failure(ioctl(kvm, KVM_GET_API_VERSION, 1)), EINVAL);
	EXPECT(size % (int)PAGE, 0);
	CHECK((size_t)size > sizeof(struct kvm_run), "%d bytes", size);
	EXPECT(failure(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 1)), EINVAL);
	EXPECT(failure(ioctl(kvm, KVM_CREATE_VM, 1)), EINVAL);
	EXPECT(failure(ioctl(kvm, UNKNOWN, 0)), EINVAL);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, kvm, 0) == MAP_FAILED,
	      "it can be mapped");
}

/* Without these no client of today starts. */
static void test_capabilities(int argument)
{
	static const int required[] = {
	    KVM_CAP_USER_MEMORY,  KVM_CAP_DESTROY_MEMORY_REGION_WORKS,
	    KVM_CAP_SET_TSS_ADDR, KVM_CAP_JOIN_MEMORY_REGIONS_WORKS,
	    KVM_CAP_EXT_CPUID,	  KVM_CAP_MP_STATE,
	    KVM_CAP_IRQ_ROUTING,  KVM_CAP_MCE,
	    KVM_CAP_NR_VCPUS,	  KVM_CAP_MAX_VCPUS,
	    KVM_CAP_NR_MEMSLOTS,  KVM_CAP_IMMEDIATE_EXIT,
	    KVM_CAP_XSAVE,	  KVM_CAP_XCRS,
	    KVM_CAP_VCPU_EVENTS,  KVM_CAP_DEBUGREGS,
	    KVM_CAP_USER_NMI,	  KVM_CAP_SET_IDENTITY_MAP_ADDR,
	    KVM_CAP_GET_TSC_KHZ,  KVM_CAP_CHECK_EXTENSION_VM,
	};

	(void)argument;
	vm_create_bare(&vm);
	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
		int answer = MUST(ioctl(vm.kvm, KVM_CHECK_EXTENSION, required[i]));

		CHECK(answer > 0, "capability %d is absent", required[i]);
		EXPECT(ioctl(vm.fd, KVM_CHECK_EXTENSION, required[i]), answer);
	}
	EXPECT(ioctl(vm.kvm, KVM_CHECK_EXTENSION, 0x7fff), 0);
	EXPECT(ioctl(vm.fd, KVM_CHECK_EXTENSION, 0x7fff), 0);
	EXPECT(ioctl(vm.kvm, KVM_CHECK_EXTENSION, -1), 0);
}

static void test_supported_cpuid(int argument)
{
	struct kvm_cpuid2 *list = cpuid_supported(kvm_open());
	struct kvm_cpuid_entry2 *entry = cpuid_find(list, 0, 0);

	(void)argument;
	CHECK(entry && entry->eax >= 0xd, "no leaf 0, or its maximum is too low");
	entry = cpuid_find(list, 1, 0);
	CHECK(entry && entry->edx & 1 << 25, "no leaf 1, or it has no SSE");
	entry = cpuid_find(list, 0xd, 0);
	CHECK(entry && entry->eax & 1, "no leaf Dh, or it has no x87 state");
	EXPECT(entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	entry = cpuid_find(list, 0x80000001, 0);
	CHECK(entry && entry->edx & 1 << 29, "no leaf 80000001h, or it has no long mode");
	entry = cpuid_find(list, 0x40000000, 0);
	CHECK(entry, "no leaf 40000000h");
	CHECK(entry->ebx == 0x4b4d564b && entry->ecx == 0x564b4d56 && entry->edx == 0x4d,
	      "its signature is %x %x %x", entry->ebx, entry->ecx, entry->edx);
}

/* As QEMU finds the length. */
static void test_supported_cpuid_grows(int argument)
{
	int kvm = kvm_open();
	struct kvm_cpuid2 *list =
	    calloc(1, sizeof(*list) + LIST_ENTRIES * sizeof(list->entries[0]));
	uint32_t room = 1;

	(void)argument;
	list->nent = 0;
	EXPECT(failure(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, list)), E2BIG);
	for (list->nent = room; ioctl(kvm, KVM_GET_SUPPORTED_CPUID, list) < 0;
	     list->nent = room) {
		EXPECT(errno, E2BIG);
		room *= 2;
		CHECK(room <= LIST_ENTRIES, "more than %u entries", LIST_ENTRIES);
	}
	CHECK(list->nent > 5 && list->nent <= room, "%u entries in room for %u", list->nent,
	      room);
	EXPECT(failure(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, BAD_POINTER)), EFAULT);
}

static struct kvm_msr_list *msr_list(int kvm, unsigned long request)
{
	struct kvm_msr_list head = {0}, *list;

	EXPECT(failure(ioctl(kvm, request, &head)), E2BIG);
	CHECK(head.nmsrs > 0 && head.nmsrs < 4096, "%u MSRs", head.nmsrs);
	list = calloc(1, sizeof(*list) + head.nmsrs * sizeof(list->indices[0]));
	list->nmsrs = head.nmsrs;
	MUST(ioctl(kvm, request, list));
	EXPECT(list->nmsrs, head.nmsrs);
	EXPECT(failure(ioctl(kvm, request, BAD_POINTER)), EFAULT);
	return list;
}

static void test_msr_list(int argument)
{
	static const uint32_t wanted[] = {0x10,	      0x174,	  0x175,      0x176,
					  0x277,      0xc0000081, 0xc0000082, 0xc0000084,
					  0xc0000102, 0x1a0};
	struct kvm_msr_list *list = msr_list(kvm_open(), KVM_GET_MSR_INDEX_LIST);

	(void)argument;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		uint32_t at = 0;

		while (at < list->nmsrs && list->indices[at] != wanted[i])
			at++;
		CHECK(at < list->nmsrs, "MSR %#x is not listed", wanted[i]);
	}
}

static void test_feature_msrs(int argument)
{
	int kvm = kvm_open();
	struct kvm_msr_list *list;
	uint64_t value;

	(void)argument;
	if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_GET_MSR_FEATURES) == 0)
		skip("no KVM_CAP_GET_MSR_FEATURES");
	list = msr_list(kvm, KVM_GET_MSR_FEATURE_INDEX_LIST);
	for (uint32_t i = 0; i < list->nmsrs; i++)
		CHECK(msr_read(kvm, list->indices[i], &value) == 0,
		      "MSR %#x is listed and unreadable", list->indices[i]);
	EXPECT(msr_read(kvm, 0x12345678, &value), ENXIO);
}

static void test_mce_capability(int argument)
{
	uint64_t supported = 0;
	int kvm = kvm_open();

	(void)argument;
	EXPECT(ioctl(kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported), 0);
	CHECK(supported & 1 << 8, "it is %#" PRIx64 ", without MCG_CTL", supported);
	EXPECT(failure(ioctl(kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, BAD_POINTER)), EFAULT);
}

static void test_device_attribute(int argument)
{
	uint64_t mask = 0;
	struct kvm_device_attr attribute = {.attr = 0 /* KVM_X86_XCOMP_GUEST_SUPP */,
					    .addr = (uintptr_t)&mask};
	int kvm = kvm_open();

	(void)argument;
	if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYS_ATTRIBUTES) == 0)
		skip("no KVM_CAP_SYS_ATTRIBUTES");
	EXPECT(ioctl(kvm, KVM_HAS_DEVICE_ATTR, &attribute), 0);
	EXPECT(ioctl(kvm, KVM_GET_DEVICE_ATTR, &attribute), 0);
	EXPECT(mask & 3, 3);
	attribute.attr = 77;
	EXPECT(failure(ioctl(kvm, KVM_GET_DEVICE_ATTR, &attribute)), ENXIO);
	EXPECT(failure(ioctl(kvm, KVM_HAS_DEVICE_ATTR, &attribute)), ENXIO);
}

static void test_create_vcpu(int argument)
{
	int most;

	(void)argument;
	vm_create_bare(&vm);
	most = MUST(ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID));
	if (!most)
		most = MUST(ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS));
	MUST(ioctl(vm.fd, KVM_CREATE_VCPU, 0));
	EXPECT(failure(ioctl(vm.fd, KVM_CREATE_VCPU, 0)), EEXIST);
	EXPECT(failure(ioctl(vm.fd, KVM_CREATE_VCPU, most)), EINVAL);
	EXPECT(failure(ioctl(vm.fd, KVM_CREATE_VCPU, -1)), EINVAL);
	MUST(ioctl(vm.fd, KVM_CREATE_VCPU, 1));
}

static void test_wrong_requests(int argument)
{
	struct kvm_enable_cap unknown = {.cap = 0x7fff};
	int null = MUST(open("/dev/null", O_RDWR));

	(void)argument;
	vm_create(&vm);
	EXPECT(failure(ioctl(vm.fd, UNKNOWN, 0)), ENOTTY);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, UNKNOWN, 0)), EINVAL);
	EXPECT(failure(ioctl(vm.fd, KVM_RUN, 0)), ENOTTY);
	EXPECT(failure(ioctl(vm.fd, KVM_GET_API_VERSION, 0)), ENOTTY);
	EXPECT(failure(ioctl(vm.kvm, KVM_RUN, 0)), EINVAL);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_CREATE_VCPU, 1)), EINVAL);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_RUN, 1)), EINVAL);
	EXPECT(failure(ioctl(null, KVM_GET_API_VERSION, 0)), ENOTTY);
	EXPECT(failure(ioctl(-1, KVM_GET_API_VERSION, 0)), EBADF);
	EXPECT(failure(ioctl(vm.fd, KVM_ENABLE_CAP, &unknown)), EINVAL);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_ENABLE_CAP, &unknown)), EINVAL);
}

/* Each ioctl that takes a structure says EFAULT to one that is not there. */
static void test_bad_pointers(int argument)
{
	static const unsigned long of_vm[] = {
	    KVM_SET_USER_MEMORY_REGION,
	    KVM_GET_DIRTY_LOG,
	    KVM_SET_IDENTITY_MAP_ADDR,
	    KVM_ENABLE_CAP,
	    KVM_SET_GSI_ROUTING,
	    KVM_GET_CLOCK,
	    KVM_SET_CLOCK,
	    KVM_IRQFD,
	    KVM_IOEVENTFD,
	};
	static const unsigned long of_vcpu[] = {
	    KVM_GET_REGS,	 KVM_SET_REGS,	    KVM_GET_SREGS,     KVM_SET_SREGS,
	    KVM_GET_FPU,	 KVM_SET_FPU,	    KVM_GET_MSRS,      KVM_SET_MSRS,
	    KVM_SET_CPUID2,	 KVM_GET_XSAVE,	    KVM_SET_XSAVE,     KVM_GET_XCRS,
	    KVM_SET_XCRS,	 KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, KVM_GET_VCPU_EVENTS,
	    KVM_SET_VCPU_EVENTS, KVM_GET_MP_STATE,  KVM_SET_MP_STATE,  KVM_INTERRUPT,
	    KVM_SET_GUEST_DEBUG, KVM_X86_SETUP_MCE,
	};

	(void)argument;
	vm_create_bare(&vm);
	for (size_t i = 0; i < sizeof(of_vm) / sizeof(of_vm[0]); i++)
		CHECK(failure(ioctl(vm.fd, of_vm[i], BAD_POINTER)) == EFAULT, "VM, %#lx: %s",
		      of_vm[i], strerror(errno));
	vm_add_vcpu(&vm, 0);
	for (size_t i = 0; i < sizeof(of_vcpu) / sizeof(of_vcpu[0]); i++)
		CHECK(failure(ioctl(vm.vcpu[0].fd, of_vcpu[i], BAD_POINTER)) == EFAULT,
		      "vCPU, %#lx: %s", of_vcpu[i], strerror(errno));
}

static void test_addresses(int argument)
{
	uint64_t address = 0xfffbc000;

	(void)argument;
	vm_create_bare(&vm);
	EXPECT(ioctl(vm.fd, KVM_SET_IDENTITY_MAP_ADDR, &address), 0);
	EXPECT(ioctl(vm.fd, KVM_SET_TSS_ADDR, 0xfffbd000), 0);
	vm_add_vcpu(&vm, 0);
	EXPECT(failure(ioctl(vm.fd, KVM_SET_IDENTITY_MAP_ADDR, &address)), EINVAL);
}

const struct test system_tests[] = {
    TEST("system: /dev/kvm is a character device that one may open", test_node),
    TEST("system: ways to open it", test_open),
    TEST("system: version, size of the pages of a vCPU", test_version),
    TEST("system: capabilities that clients need", test_capabilities),
    TEST("system: supported CPUID", test_supported_cpuid),
    TEST("system: supported CPUID in too little room", test_supported_cpuid_grows),
    TEST("system: the list of MSRs", test_msr_list),
    TEST("system: feature MSRs", test_feature_msrs),
    TEST("system: machine check capability", test_mce_capability),
    TEST("system: device attributes", test_device_attribute),
    TEST("system: vCPU IDs", test_create_vcpu),
    TEST("system: requests that an fd does not know", test_wrong_requests),
    TEST("system: bad pointers", test_bad_pointers),
    TEST("system: TSS and identity map addresses", test_addresses),
    TESTS_END,
};
