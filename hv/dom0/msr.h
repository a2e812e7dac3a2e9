/* SPDX-License-Identifier: BSD-2-Clause */
/* dom0's MSRs: passed through, but for the few that would break us or that tell it what it has not. */
#ifndef DOM0_MSR_H
#define DOM0_MSR_H

#include "vm/vcpu.h"

/* Calls intercept for each of them; once, on the boot CPU. */
void dom0_msr_for_each(u32 vendor, void (*intercept)(u32 msr, bool read, bool write));
void dom0_msr_exit(struct vcpu *vcpu);

#endif
