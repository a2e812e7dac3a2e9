/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmx/bochs.h"

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "vmx/instructions.h"

/* Its VMCSs have a revision and a size that no CPU has. */
#define REVISION_AND_SIZE (0x1fffull << 32 | 0x7fffffff)
#define BOCHS		  (0x1000ull << 32 | 0x2b)

bool under_bochs;

void bochs_detect(void)
{
	under_bochs = (rdmsr(MSR_VMX_BASIC) & REVISION_AND_SIZE) == BOCHS;
}

void bochs_exited(u32 reason)
{
	if (reason >= REASON_TASK_SWITCH && reason != REASON_MACHINE_CHECK && reason != REASON_TIMER)
		vmcs_write(GUEST_PENDING_DEBUG, 0);
}
