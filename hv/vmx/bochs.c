/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmx/bochs.h"

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "vmx/instructions.h"

/* Its VMCSs have a revision and a size that no CPU has. */
#define REVISION_AND_SIZE (0x1fffull << 32 | 0x7fffffff)
#define BOCHS		  (0x1000ull << 32 | 0x2b)

#define TICKS 40000u /* 2 ms at 20 million instructions a second */

bool under_bochs;

void bochs_detect(void)
{
	under_bochs = (rdmsr(MSR_VMX_BASIC) & REVISION_AND_SIZE) == BOCHS;
}

void bochs_prepare(u32 pin, u64 rflags)
{
	bool timed = !(rflags & RFLAGS_IF);

	vmcs_write(PIN_CONTROLS, timed ? pin | PIN_TIMER : pin);
	if (timed)
		vmcs_write(PREEMPTION_TIMER, TICKS);
}

void bochs_exited(u32 reason)
{
	if (reason >= REASON_TASK_SWITCH && reason != REASON_MACHINE_CHECK && reason != REASON_TIMER)
		vmcs_write(GUEST_PENDING_DEBUG, 0);
}
