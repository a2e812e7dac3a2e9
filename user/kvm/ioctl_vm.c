/* SPDX-License-Identifier: BSD-2-Clause */
/* ioctl on a VM's descriptor. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm/capability.h"
#include "kvm/clock.h"
#include "kvm/coalesced.h"
#include "kvm/eventfd.h"
#include "kvm/ioctl.h"
#include "kvm/irqchip.h"
#include "kvm/memory.h"
#include "kvm/user.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define ENTRIES(table) (sizeof(table) / sizeof((table)[0]))

#define TSS_SIZE       (3u * LUV_PAGE_SIZE)
#define IDENTITY_MAP   0xfffbc000u /* where Linux puts it unless told */

static uintptr_t number(const void *at)
{
	return *(const uintptr_t *)at;
}

static bool has_vcpus(struct vm *vm)
{
	return vm->handle >= 0;
}

/* --- capabilities ------------------------------------------------------------------------ */

static int check_extension(void *vm, void *at)
{
	(void)vm;
	return capability(number(at));
}

static int enable_max_vcpu_id(struct vm *vm, uint64_t limit)
{
	if (!limit || limit > LUV_VCPUS_MAX || has_vcpus(vm))
		return -EINVAL;
	vm->vcpu_limit = (unsigned)limit;
	return 0;
}

static int enable_capability(void *self, void *at)
{
	const struct kvm_enable_cap *cap = at;
	struct vm *vm = self;
	int result = 0;

	if (cap->flags)
		return -EINVAL;
	if (cap->cap == KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)
		return memory_manual_protect(vm, cap->args[0]);
	pthread_mutex_lock(&vm->lock);
	switch (cap->cap) {
	case KVM_CAP_SPLIT_IRQCHIP:
		result = irqchip_create_split(vm, cap->args[0]);
		break;
	case KVM_CAP_MAX_VCPU_ID:
		result = enable_max_vcpu_id(vm, cap->args[0]);
		break;
	case KVM_CAP_EXCEPTION_PAYLOAD:
		vm->exception_payload = cap->args[0];
		break;
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
		vm->triple_fault_event = cap->args[0];
		break;
	default:
		result = -EINVAL;
		break;
	}
	pthread_mutex_unlock(&vm->lock);
	return result;
}

/* --- memory ------------------------------------------------------------------------------ */

static int set_memory_region(void *vm, void *at)
{
	return memory_set_region(vm, at);
}

static int get_dirty_log(void *vm, void *at)
{
	return memory_get_dirty_log(vm, at);
}

static int clear_dirty_log(void *vm, void *at)
{
	return memory_clear_dirty_log(vm, at);
}

/* Both are for CPUs that cannot run real mode in a guest; every CPU that Luvalley takes can. */
static int set_tss_address(void *self, void *at)
{
	struct vm *vm = self;

	if (number(at) > UINT32_MAX - TSS_SIZE + 1)
		return -EINVAL;
	vm->tss_address = number(at);
	return 0;
}

static int set_identity_map(void *self, void *at)
{
	struct vm *vm = self;
	uint64_t address = *(const uint64_t *)at;
	int result = -EINVAL;

	pthread_mutex_lock(&vm->lock);
	if (!has_vcpus(vm)) {
		vm->identity_map = address ? address : IDENTITY_MAP;
		result = 0;
	}
	pthread_mutex_unlock(&vm->lock);
	return result;
}

static int register_coalesced(void *vm, void *at)
{
	return coalesced_register(vm, at);
}

static int unregister_coalesced(void *vm, void *at)
{
	return coalesced_unregister(vm, at);
}

/* --- vCPUs ------------------------------------------------------------------------------- */

static int create_vcpu(void *vm, void *at)
{
	return number(at) < LUV_VCPUS_MAX ? vcpu_create(vm, (unsigned)number(at)) : -EINVAL;
}

/* --- interrupts -------------------------------------------------------------------------- */

static int create_irqchip(void *self, void *at)
{
	struct vm *vm = self;
	int result;

	(void)at;
	pthread_mutex_lock(&vm->lock);
	result = irqchip_create(vm);
	pthread_mutex_unlock(&vm->lock);
	return result;
}

static int get_irqchip(void *vm, void *at)
{
	return irqchip_get(vm, at);
}

static int set_irqchip(void *vm, void *at)
{
	return irqchip_set(vm, at);
}

static int irq_line(void *vm, void *at)
{
	return irqchip_line(vm, at);
}

/* The same, but that the client hears nothing. */
static int irq_line_quiet(void *vm, void *at)
{
	int result = irqchip_line(vm, at);

	return result < 0 ? result : 0;
}

static int signal_msi(void *vm, void *at)
{
	return irqchip_signal_msi(vm, at);
}

static int irqfd(void *vm, void *at)
{
	return irqfd_ioctl(vm, at);
}

static int ioeventfd(void *vm, void *at)
{
	return ioeventfd_ioctl(vm, at);
}

static int set_gsi_routing(void *vm, void *at)
{
	uintptr_t user = number(at);
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry *entries;
	size_t size;
	int result;

	if (user_copy_in(&head, user, sizeof(head)) < 0)
		return -EFAULT;
	if (head.nr > KVM_GSIS_MAX || head.flags)
		return -EINVAL;
	size = head.nr * sizeof(*entries);
	entries = malloc(size + 1);
	if (!entries)
		return -ENOMEM;
	result = user_copy_in(entries, user + sizeof(head), size);
	if (result == 0)
		result = irqchip_set_routing(vm, &head, entries);
	free(entries);
	return result;
}

/* --- the PIT and the clock --------------------------------------------------------------- */

static int create_pit(void *vm, void *at)
{
	const struct kvm_pit_config config = {.flags = KVM_PIT_SPEAKER_DUMMY};

	(void)at;
	return irqchip_create_pit(vm, &config);
}

static int create_pit2(void *vm, void *at)
{
	return irqchip_create_pit(vm, at);
}

_Static_assert(offsetof(struct kvm_pit_state2, flags) == sizeof(struct kvm_pit_state),
	       "struct kvm_pit_state2");

static int get_pit(void *vm, void *at)
{
	struct kvm_pit_state2 state = {0};
	int result = irqchip_get_pit(vm, &state);

	memcpy(at, &state, sizeof(struct kvm_pit_state));
	return result;
}

static int set_pit(void *vm, void *at)
{
	struct kvm_pit_state2 state = {0};

	memcpy(&state, at, sizeof(struct kvm_pit_state));
	return irqchip_set_pit(vm, &state);
}

static int get_pit2(void *vm, void *at)
{
	return irqchip_get_pit(vm, at);
}

static int set_pit2(void *vm, void *at)
{
	return irqchip_set_pit(vm, at);
}

static int reinject_control(void *vm, void *at)
{
	struct kvm_reinject_control control;

	if (user_copy_in(&control, number(at), sizeof(control)) < 0)
		return -EFAULT;
	return irqchip_reinject_control(vm, &control);
}

static int get_clock(void *vm, void *at)
{
	return clock_get(vm, at);
}

static int set_clock(void *vm, void *at)
{
	return clock_set(vm, at);
}

/* --- the table: frequent ones first ------------------------------------------------------ */

static const struct ioctl_entry table[] = {
    {KVM_IRQ_LINE_STATUS, ARGUMENT_IN_OUT, irq_line},
    {KVM_IRQ_LINE, ARGUMENT_IN, irq_line_quiet},
    {KVM_SIGNAL_MSI, ARGUMENT_IN, signal_msi},
    {KVM_SET_GSI_ROUTING, ARGUMENT_POINTER, set_gsi_routing},
    {KVM_GET_DIRTY_LOG, ARGUMENT_IN, get_dirty_log},
    {KVM_CLEAR_DIRTY_LOG, ARGUMENT_IN, clear_dirty_log},
    {KVM_SET_USER_MEMORY_REGION, ARGUMENT_IN, set_memory_region},
    {KVM_REGISTER_COALESCED_MMIO, ARGUMENT_IN, register_coalesced},
    {KVM_UNREGISTER_COALESCED_MMIO, ARGUMENT_IN, unregister_coalesced},
    {KVM_IOEVENTFD, ARGUMENT_IN, ioeventfd},
    {KVM_IRQFD, ARGUMENT_IN, irqfd},
    {KVM_CHECK_EXTENSION, ARGUMENT_NUMBER, check_extension},
    {KVM_ENABLE_CAP, ARGUMENT_IN, enable_capability},
    {KVM_SET_TSS_ADDR, ARGUMENT_NUMBER, set_tss_address},
    {KVM_SET_IDENTITY_MAP_ADDR, ARGUMENT_IN, set_identity_map},
    {KVM_CREATE_VCPU, ARGUMENT_NUMBER, create_vcpu},
    {KVM_CREATE_IRQCHIP, ARGUMENT_NUMBER, create_irqchip},
    {KVM_GET_IRQCHIP, ARGUMENT_IN_OUT, get_irqchip},
    {KVM_SET_IRQCHIP, ARGUMENT_IN, set_irqchip},
    {KVM_CREATE_PIT, ARGUMENT_NUMBER, create_pit},
    {KVM_CREATE_PIT2, ARGUMENT_IN, create_pit2},
    {KVM_GET_PIT, ARGUMENT_IN_OUT, get_pit},
    {KVM_SET_PIT, ARGUMENT_IN, set_pit},
    {KVM_GET_PIT2, ARGUMENT_OUT, get_pit2},
    {KVM_SET_PIT2, ARGUMENT_IN, set_pit2},
    {KVM_REINJECT_CONTROL, ARGUMENT_POINTER, reinject_control},
    {KVM_GET_CLOCK, ARGUMENT_OUT, get_clock},
    {KVM_SET_CLOCK, ARGUMENT_IN, set_clock},
};

int ioctl_vm(struct vm *vm, uint32_t request, uintptr_t argument)
{
	return ioctl_table(table, ENTRIES(table), vm, request, argument);
}
