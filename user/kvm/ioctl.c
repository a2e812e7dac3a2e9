/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/ioctl.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm/run.h"
#include "kvm/user.h"

static int serve_copied(const struct ioctl_entry *entry, void *self, uintptr_t argument)
{
	_Alignas(64) uint8_t copy[IOCTL_SIZE_MAX];
	size_t size = _IOC_SIZE(entry->request);
	int result = 0;

	if (size > sizeof(copy))
		return -ENOTTY;
	if (entry->argument == ARGUMENT_OUT)
		memset(copy, 0, size);
	else
		result = user_copy_in(copy, argument, size);
	if (result == 0)
		result = entry->serve(self, copy);
	if (result >= 0 && entry->argument != ARGUMENT_IN &&
	    user_copy_out(argument, copy, size) < 0)
		result = -EFAULT;
	return result;
}

int ioctl_table(const struct ioctl_entry *table, unsigned count, void *self, uint32_t request,
		uintptr_t argument)
{
	for (unsigned i = 0; i < count; i++) {
		if (table[i].request != request)
			continue;
		if (table[i].argument == ARGUMENT_NUMBER ||
		    table[i].argument == ARGUMENT_POINTER)
			return table[i].serve(self, &argument);
		return serve_copied(&table[i], self, argument);
	}
	return -ENOTTY;
}

int ioctl_serve(struct object *object, uint32_t request, uintptr_t argument)
{
	if (request == KVM_RUN && object->kind == OBJECT_VCPU && object->forks == fds_forks())
		return argument ? -EINVAL : run_vcpu(object->self);
	/* KVM answers so when the VM is another process's. */
	if (object->kind != OBJECT_SYSTEM && object->forks != fds_forks())
		return -EIO;
	switch (object->kind) {
	case OBJECT_SYSTEM:
		return ioctl_system(request, argument);
	case OBJECT_VM:
		return ioctl_vm(object->self, request, argument);
	case OBJECT_VCPU:
		return ioctl_vcpu(object->self, request, argument);
	}
	return -ENOTTY;
}
