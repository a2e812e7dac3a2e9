/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is reported is complete; what is missing here is answered as a KVM without it would.
 * docs/kvm.md has the list with reasons.
 */
#include "kvm/capability.h"

#include <linux/kvm.h>

#include "kvm/clock.h"
#include "kvm/msr.h"
#include "lib/luvalley.h"

static const struct {
	uint32_t number;
	int answer;
} capabilities[] = {
    /* Memory. */
    {KVM_CAP_USER_MEMORY, 1},
    {KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1},
    {KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1},
    {KVM_CAP_NR_MEMSLOTS, LUV_SLOTS_MAX},
    {KVM_CAP_READONLY_MEM, 1},
    {KVM_CAP_SYNC_MMU, 1},
    {KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
     KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET},
    {KVM_CAP_COALESCED_MMIO, KVM_RING_PAGE},
    {KVM_CAP_COALESCED_PIO, 1},
    {KVM_CAP_SET_TSS_ADDR, 1},
    {KVM_CAP_SET_IDENTITY_MAP_ADDR, 1},
    /* vCPUs. */
    {KVM_CAP_NR_VCPUS, LUV_VCPUS_MAX},
    {KVM_CAP_MAX_VCPUS, LUV_VCPUS_MAX},
    {KVM_CAP_MAX_VCPU_ID, LUV_VCPUS_MAX},
    {KVM_CAP_HLT, 1},
    {KVM_CAP_IMMEDIATE_EXIT, 1},
    {KVM_CAP_MP_STATE, 1},
    {KVM_CAP_EXT_CPUID, 1},
    {KVM_CAP_VCPU_EVENTS, 1},
    {KVM_CAP_EXCEPTION_PAYLOAD, 1},
    {KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1},
    {KVM_CAP_DEBUGREGS, 1},
    {KVM_CAP_SET_GUEST_DEBUG, 1},
    {KVM_CAP_SET_GUEST_DEBUG2, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
				   KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP |
				   KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP},
    {KVM_CAP_X86_ROBUST_SINGLESTEP, 1},
    {KVM_CAP_XSAVE, 1},
    {KVM_CAP_XSAVE2, LUV_XSAVE_SIZE_MAX},
    {KVM_CAP_XCRS, 1},
    {KVM_CAP_SREGS2, 1},
    {KVM_CAP_MCE, MSR_BANKS_MAX},
    {KVM_CAP_GET_MSR_FEATURES, 1},
    {KVM_CAP_SYS_ATTRIBUTES, 1},
    {KVM_CAP_USER_NMI, 1},
    {KVM_CAP_GET_TSC_KHZ, 1},
    {KVM_CAP_TSC_DEADLINE_TIMER, 1},
    {KVM_CAP_NOP_IO_DELAY, 1},
    /* Interrupts. */
    {KVM_CAP_IRQCHIP, 1},
    {KVM_CAP_SPLIT_IRQCHIP, 1},
    {KVM_CAP_IRQ_ROUTING, KVM_GSIS_MAX},
    {KVM_CAP_IRQ_INJECT_STATUS, 1},
    {KVM_CAP_SIGNAL_MSI, 1},
    {KVM_CAP_IRQFD, 1},
    {KVM_CAP_IRQFD_RESAMPLE, 1},
    {KVM_CAP_IOEVENTFD, 1},
    {KVM_CAP_IOEVENTFD_ANY_LENGTH, 1},
    {KVM_CAP_IOEVENTFD_NO_LENGTH, 1},
    /* Timers and the clock. */
    {KVM_CAP_PIT, 1},
    {KVM_CAP_PIT2, 1},
    {KVM_CAP_PIT_STATE2, 1},
    {KVM_CAP_REINJECT_CONTROL, 1},
    {KVM_CAP_CLOCKSOURCE, 1},
    {KVM_CAP_ADJUST_CLOCK, CLOCK_CAP_ADJUST},
    {KVM_CAP_KVMCLOCK_CTRL, 1},
    /* Asking. */
    {KVM_CAP_CHECK_EXTENSION_VM, 1},
    {KVM_CAP_ENABLE_CAP_VM, 1},
};

int capability(uint64_t number)
{
	for (unsigned i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
		if (capabilities[i].number == number)
			return capabilities[i].answer;
	return 0;
}
