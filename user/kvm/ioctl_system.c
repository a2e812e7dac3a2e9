/* SPDX-License-Identifier: BSD-2-Clause */
/* ioctl on /dev/kvm. */
#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "kvm/capability.h"
#include "kvm/cpuid.h"
#include "kvm/ioctl.h"
#include "kvm/msr.h"
#include "kvm/user.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define ENTRIES(table) (sizeof(table) / sizeof((table)[0]))
#define MSRS_MAX       256u /* of one KVM_GET_MSRS on /dev/kvm, as Linux's MAX_IO_MSRS */

static uintptr_t number(const void *at)
{
	return *(const uintptr_t *)at;
}

static int api_version(void *self, void *at)
{
	(void)self;
	return number(at) ? -EINVAL : KVM_API_VERSION;
}

static int check_extension(void *self, void *at)
{
	(void)self;
	return capability(number(at));
}

static int mmap_size(void *self, void *at)
{
	(void)self;
	return number(at) ? -EINVAL : (int)(VCPU_MAP_PAGES * LUV_PAGE_SIZE);
}

static void vm_end(void *self)
{
	vm_put(self);
}

static int create_vm(void *self, void *at)
{
	struct vm *vm;
	int result;

	(void)self;
	if (number(at))
		return -EINVAL;
	result = vm_create(&vm);
	if (result < 0)
		return result;
	result = fds_create(OBJECT_VM, "kvm-vm", -1, vm, vm_end);
	if (result < 0)
		vm_put(vm);
	return result;
}

/* --- lists with a count before them ------------------------------------------------------ */

static int give_list(uintptr_t to, const uint32_t *list, unsigned count)
{
	struct kvm_msr_list head;
	uint32_t room;

	if (user_copy_in(&head, to, sizeof(head)) < 0)
		return -EFAULT;
	room = head.nmsrs;
	head.nmsrs = count;
	if (user_copy_out(to, &head, sizeof(head)) < 0)
		return -EFAULT;
	if (room < count)
		return -E2BIG;
	return user_copy_out(to + offsetof(struct kvm_msr_list, indices), list,
			     count * sizeof(*list));
}

static int msr_index_list(void *self, void *at)
{
	const uint32_t *list;
	unsigned count = msr_list(&list);

	(void)self;
	return give_list(number(at), list, count);
}

static int msr_feature_index_list(void *self, void *at)
{
	const uint32_t *list;
	unsigned count = msr_feature_list(&list);

	(void)self;
	return give_list(number(at), list, count);
}

static int get_feature_msrs(void *self, void *at)
{
	uintptr_t user = number(at), entry_at = user + offsetof(struct kvm_msrs, entries);
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
	unsigned done = 0;

	(void)self;
	if (user_copy_in(&head, user, sizeof(head)) < 0)
		return -EFAULT;
	if (head.nmsrs >= MSRS_MAX)
		return -E2BIG;
	for (; done < head.nmsrs; done++, entry_at += sizeof(entry)) {
		uint64_t value;

		if (user_copy_in(&entry, entry_at, sizeof(entry)) < 0)
			return -EFAULT;
		if (!msr_feature_read(entry.index, &value))
			break;
		entry.data = value;
		if (user_copy_out(entry_at, &entry, sizeof(entry)) < 0)
			return -EFAULT;
	}
	return (int)done;
}

static int get_supported_cpuid(void *self, void *at)
{
	struct kvm_cpuid_entry2 entries[LUV_CPUID_MAX];
	uintptr_t user = number(at);
	struct kvm_cpuid2 head;
	unsigned count;

	(void)self;
	if (user_copy_in(&head, user, sizeof(head)) < 0)
		return -EFAULT;
	count = cpuid_supported(entries, LUV_CPUID_MAX);
	if (count > LUV_CPUID_MAX || head.nent < count)
		return -E2BIG;
	head.nent = count;
	if (user_copy_out(user, &head, sizeof(head)) < 0)
		return -EFAULT;
	return user_copy_out(user + offsetof(struct kvm_cpuid2, entries), entries,
			     count * sizeof(entries[0]));
}

/* --- the others -------------------------------------------------------------------------- */

static int mce_capabilities(void *self, void *at)
{
	(void)self;
	*(uint64_t *)at = msr_mce_capabilities();
	return 0;
}

/* Group 0, XCOMP_GUEST_SUPP: which parts of XSAVE's area guests may use. */
static int has_attribute(void *self, void *at)
{
	const struct kvm_device_attr *attribute = at;

	(void)self;
	return attribute->group || attribute->attr != KVM_X86_XCOMP_GUEST_SUPP ? -ENXIO : 0;
}

static int get_attribute(void *self, void *at)
{
	const struct kvm_device_attr *attribute = at;
	uint64_t value = cpuid_xcr0();

	if (has_attribute(self, at) < 0)
		return -ENXIO;
	return user_copy_out(attribute->addr, &value, sizeof(value));
}

static const struct ioctl_entry table[] = {
    {KVM_GET_API_VERSION, ARGUMENT_NUMBER, api_version},
    {KVM_CREATE_VM, ARGUMENT_NUMBER, create_vm},
    {KVM_CHECK_EXTENSION, ARGUMENT_NUMBER, check_extension},
    {KVM_GET_VCPU_MMAP_SIZE, ARGUMENT_NUMBER, mmap_size},
    {KVM_GET_MSR_INDEX_LIST, ARGUMENT_POINTER, msr_index_list},
    {KVM_GET_MSR_FEATURE_INDEX_LIST, ARGUMENT_POINTER, msr_feature_index_list},
    {KVM_GET_MSRS, ARGUMENT_POINTER, get_feature_msrs},
    {KVM_GET_SUPPORTED_CPUID, ARGUMENT_POINTER, get_supported_cpuid},
    {KVM_X86_GET_MCE_CAP_SUPPORTED, ARGUMENT_OUT, mce_capabilities},
    {KVM_HAS_DEVICE_ATTR, ARGUMENT_IN, has_attribute},
    {KVM_GET_DEVICE_ATTR, ARGUMENT_IN, get_attribute},
};

int ioctl_system(uint32_t request, uintptr_t argument)
{
	int result = ioctl_table(table, ENTRIES(table), NULL, request, argument);

	/* KVM's answer to what it does not know; VMs say ENOTTY. */
	return result == -ENOTTY ? -EINVAL : result;
}
