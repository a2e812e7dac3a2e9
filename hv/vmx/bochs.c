/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmx/bochs.h"

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "vmx/instructions.h"

/* Its VMCSs have a revision and a size that no CPU has. */
#define REVISION_AND_SIZE (0x1fffull << 32 | 0x7fffffff)
#define BOCHS		  (0x1000ull << 32 | 0x2b)

bool bochs_detected(void)
{
	return (rdmsr(MSR_VMX_BASIC) & REVISION_AND_SIZE) == BOCHS;
}

void bochs_exited(u32 reason)
{
	if (reason == REASON_EPT_VIOLATION)
		vmcs_write(GUEST_PENDING_DEBUG, 0);
}
