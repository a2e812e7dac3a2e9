/* SPDX-License-Identifier: BSD-2-Clause */
/* ioctl on a vCPU's descriptor. All but KVM_RUN are short; one is served at a time. */
#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm/clock.h"
#include "kvm/cpuid.h"
#include "kvm/ioctl.h"
#include "kvm/msr.h"
#include "kvm/run.h"
#include "kvm/state.h"
#include "kvm/user.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define ENTRIES(table)	  (sizeof(table) / sizeof((table)[0]))

#define MSRS_MAX	  256u /* as Linux's MAX_IO_MSRS */
#define CPUID_ENTRIES_MAX 256u /* as Linux's KVM_MAX_CPUID_ENTRIES */
#define TSC_TOLERANCE_PPM 250u /* as Linux's tsc_tolerance_ppm */

static uintptr_t number(const void *at)
{
	return *(const uintptr_t *)at;
}

/* --- structures that state.h knows ------------------------------------------------------- */

#define SERVE(name, function)                 \
	static int name(void *vcpu, void *at) \
	{                                     \
		return function(vcpu, at);    \
	}

SERVE(get_regs, state_get_regs)
SERVE(set_regs, state_set_regs)
SERVE(get_sregs, state_get_sregs)
SERVE(set_sregs, state_set_sregs)
SERVE(get_sregs2, state_get_sregs2)
SERVE(set_sregs2, state_set_sregs2)
SERVE(get_fpu, state_get_fpu)
SERVE(set_fpu, state_set_fpu)
SERVE(get_xsave, state_get_xsave)
SERVE(set_xsave, state_set_xsave)
SERVE(get_xcrs, state_get_xcrs)
SERVE(set_xcrs, state_set_xcrs)
SERVE(get_debugregs, state_get_debugregs)
SERVE(set_debugregs, state_set_debugregs)
SERVE(get_events, state_get_events)
SERVE(set_events, state_set_events)
SERVE(get_mp, state_get_mp)
SERVE(set_mp, state_set_mp)
SERVE(get_lapic, state_get_lapic)
SERVE(set_lapic, state_set_lapic)
SERVE(set_debug, debug_set)
SERVE(set_mce, msr_inject_mce)
SERVE(get_translation, translate)

/* --- MSRs -------------------------------------------------------------------------------- */

static bool access_msr(struct vcpu *vcpu, struct kvm_msr_entry *entry, bool write)
{
	uint64_t value = 0;

	if (write)
		return msr_write(vcpu, entry->index, entry->data, MSR_BY_CLIENT);
	if (!msr_read(vcpu, entry->index, &value, MSR_BY_CLIENT))
		return false;
	entry->data = value;
	return true;
}

/* The number of those that were done: the first that cannot be ends it. */
static int access_msrs(struct vcpu *vcpu, uintptr_t user, bool write)
{
	uintptr_t at = user + offsetof(struct kvm_msrs, entries);
	struct kvm_msr_entry entries[MSRS_MAX];
	struct kvm_msrs head;
	unsigned done = 0;

	if (user_copy_in(&head, user, sizeof(head)) < 0)
		return -EFAULT;
	if (head.nmsrs >= MSRS_MAX)
		return -E2BIG;
	if (user_copy_in(entries, at, head.nmsrs * sizeof(entries[0])) < 0)
		return -EFAULT;
	while (done < head.nmsrs && access_msr(vcpu, &entries[done], write))
		done++;
	if (!write && user_copy_out(at, entries, head.nmsrs * sizeof(entries[0])) < 0)
		return -EFAULT;
	return (int)done;
}

static int get_msrs(void *vcpu, void *at)
{
	return access_msrs(vcpu, number(at), false);
}

static int set_msrs(void *vcpu, void *at)
{
	return access_msrs(vcpu, number(at), true);
}

static int setup_mce(void *vcpu, void *at)
{
	return msr_setup_mce(vcpu, *(const uint64_t *)at);
}

/* --- CPUID ------------------------------------------------------------------------------- */

static int set_cpuid2(void *vcpu, void *at)
{
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
	uintptr_t user = number(at);
	struct kvm_cpuid2 head;

	if (user_copy_in(&head, user, sizeof(head)) < 0)
		return -EFAULT;
	if (head.nent > CPUID_ENTRIES_MAX)
		return -E2BIG;
	if (user_copy_in(entries, user + offsetof(struct kvm_cpuid2, entries),
			 head.nent * sizeof(entries[0])) < 0)
		return -EFAULT;
	return cpuid_set(vcpu, entries, head.nent);
}

static int get_cpuid2(void *self, void *at)
{
	struct vcpu *vcpu = self;
	uintptr_t user = number(at);
	struct kvm_cpuid2 head;
	uint32_t room;

	if (user_copy_in(&head, user, sizeof(head)) < 0)
		return -EFAULT;
	room = head.nent;
	head.nent = vcpu->cpuid_count;
	if (user_copy_out(user, &head, sizeof(head)) < 0)
		return -EFAULT;
	if (room < vcpu->cpuid_count)
		return -E2BIG;
	return user_copy_out(user + offsetof(struct kvm_cpuid2, entries), vcpu->cpuid,
			     vcpu->cpuid_count * sizeof(vcpu->cpuid[0]));
}

/* The old form, without subleaves. */
static int set_cpuid(void *vcpu, void *at)
{
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
	struct kvm_cpuid_entry old;
	uintptr_t user = number(at);
	struct kvm_cpuid head;

	if (user_copy_in(&head, user, sizeof(head)) < 0)
		return -EFAULT;
	if (head.nent > CPUID_ENTRIES_MAX)
		return -E2BIG;
	user += offsetof(struct kvm_cpuid, entries);
	for (uint32_t i = 0; i < head.nent; i++, user += sizeof(old)) {
		if (user_copy_in(&old, user, sizeof(old)) < 0)
			return -EFAULT;
		entries[i] = (struct kvm_cpuid_entry2){
		    .function = old.function,
		    .eax = old.eax,
		    .ebx = old.ebx,
		    .ecx = old.ecx,
		    .edx = old.edx,
		};
	}
	return cpuid_set(vcpu, entries, head.nent);
}

/* --- interrupts, signals ----------------------------------------------------------------- */

static int interrupt(void *vcpu, void *at)
{
	return extint_queue(vcpu, ((const struct kvm_interrupt *)at)->irq);
}

static int nmi(void *self, void *at)
{
	struct vcpu *vcpu = self;

	(void)at;
	state_need(vcpu, LUV_GROUP_EVENTS);
	vcpu->page->events.nmi_pending = 1;
	state_changed(vcpu, LUV_GROUP_EVENTS);
	return 0;
}

static int set_signal_mask(void *self, void *at)
{
	uintptr_t user = number(at);
	struct vcpu *vcpu = self;
	struct kvm_signal_mask head;
	uint64_t mask;

	vcpu->has_sigmask = false;
	if (!user)
		return 0;
	if (user_copy_in(&head, user, sizeof(head)) < 0)
		return -EFAULT;
	if (head.len != sizeof(mask))
		return -EINVAL;
	if (user_copy_in(&mask, user + offsetof(struct kvm_signal_mask, sigset), sizeof(mask)) <
	    0)
		return -EFAULT;
	vcpu->sigmask = mask;
	vcpu->has_sigmask = true;
	return 0;
}

/* TPR accesses are never reported (KVM_CAP_VAPIC is 0), so no guest gets to have such a page.
 */
static int set_vapic_address(void *self, void *at)
{
	struct vcpu *vcpu = self;

	if (vcpu->vm->mode == IRQCHIP_NONE)
		return -EINVAL;
	return ((const struct kvm_vapic_addr *)at)->vapic_addr ? -EINVAL : 0;
}

/* --- the clock --------------------------------------------------------------------------- */

static int clock_ctrl(void *vcpu, void *at)
{
	(void)at;
	return clock_paused(vcpu);
}

static int get_tsc_khz(void *self, void *at)
{
	(void)at;
	return (int)((struct vcpu *)self)->vm->tsc_khz;
}

/* The TSC runs as fast as it does: a guest may ask for that, as nearly as KVM minds. */
static int set_tsc_khz(void *self, void *at)
{
	uint64_t khz = ((struct vcpu *)self)->vm->tsc_khz, wanted = number(at);
	uint64_t tolerance = khz * TSC_TOLERANCE_PPM / 1000000;

	return !wanted || (wanted + tolerance >= khz && wanted <= khz + tolerance) ? 0
										   : -EINVAL;
}

/* --- the table: frequent ones first ------------------------------------------------------ */

static const struct ioctl_entry table[] = {
    {KVM_INTERRUPT, ARGUMENT_IN, interrupt},
    {KVM_NMI, ARGUMENT_NUMBER, nmi},
    {KVM_GET_REGS, ARGUMENT_OUT, get_regs},
    {KVM_SET_REGS, ARGUMENT_IN, set_regs},
    {KVM_GET_SREGS, ARGUMENT_OUT, get_sregs},
    {KVM_SET_SREGS, ARGUMENT_IN, set_sregs},
    {KVM_GET_SREGS2, ARGUMENT_OUT, get_sregs2},
    {KVM_SET_SREGS2, ARGUMENT_IN, set_sregs2},
    {KVM_GET_FPU, ARGUMENT_OUT, get_fpu},
    {KVM_SET_FPU, ARGUMENT_IN, set_fpu},
    {KVM_GET_XSAVE, ARGUMENT_OUT, get_xsave},
    {KVM_GET_XSAVE2, ARGUMENT_OUT, get_xsave},
    {KVM_SET_XSAVE, ARGUMENT_IN, set_xsave},
    {KVM_GET_XCRS, ARGUMENT_OUT, get_xcrs},
    {KVM_SET_XCRS, ARGUMENT_IN, set_xcrs},
    {KVM_GET_MSRS, ARGUMENT_POINTER, get_msrs},
    {KVM_SET_MSRS, ARGUMENT_POINTER, set_msrs},
    {KVM_GET_DEBUGREGS, ARGUMENT_OUT, get_debugregs},
    {KVM_SET_DEBUGREGS, ARGUMENT_IN, set_debugregs},
    {KVM_GET_VCPU_EVENTS, ARGUMENT_OUT, get_events},
    {KVM_SET_VCPU_EVENTS, ARGUMENT_IN, set_events},
    {KVM_GET_MP_STATE, ARGUMENT_OUT, get_mp},
    {KVM_SET_MP_STATE, ARGUMENT_IN, set_mp},
    {KVM_GET_LAPIC, ARGUMENT_OUT, get_lapic},
    {KVM_SET_LAPIC, ARGUMENT_IN, set_lapic},
    {KVM_SET_GUEST_DEBUG, ARGUMENT_IN, set_debug},
    {KVM_TRANSLATE, ARGUMENT_IN_OUT, get_translation},
    {KVM_SET_CPUID, ARGUMENT_POINTER, set_cpuid},
    {KVM_SET_CPUID2, ARGUMENT_POINTER, set_cpuid2},
    {KVM_GET_CPUID2, ARGUMENT_POINTER, get_cpuid2},
    {KVM_SET_SIGNAL_MASK, ARGUMENT_POINTER, set_signal_mask},
    {KVM_SET_VAPIC_ADDR, ARGUMENT_IN, set_vapic_address},
    {KVM_X86_SETUP_MCE, ARGUMENT_IN, setup_mce},
    {KVM_X86_SET_MCE, ARGUMENT_IN, set_mce},
    {KVM_GET_TSC_KHZ, ARGUMENT_NUMBER, get_tsc_khz},
    {KVM_SET_TSC_KHZ, ARGUMENT_NUMBER, set_tsc_khz},
    {KVM_KVMCLOCK_CTRL, ARGUMENT_NUMBER, clock_ctrl},
};

int ioctl_vcpu(struct vcpu *vcpu, uint32_t request, uintptr_t argument)
{
	int result = ioctl_table(table, ENTRIES(table), vcpu, request, argument);

	/* KVM's answer to what it does not know; VMs say ENOTTY. */
	return result == -ENOTTY ? -EINVAL : result;
}
