/* SPDX-License-Identifier: BSD-2-Clause */
/* What dom0 is told about the CPU. */
#ifndef DOM0_CPUID_H
#define DOM0_CPUID_H

#include "vm/vcpu.h"

void dom0_cpuid_exit(struct vcpu *vcpu);

#endif
