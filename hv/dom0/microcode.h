/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dom0's microcode updates. In guest mode the CPU would fetch one through dom0's addresses in the middle of
 * the load; here root mode loads it, from where it lies in dom0's RAM. The CPU checks what it has fetched by the
 * vendor's signature, so dom0 may change it meanwhile, and it is dom0 that keeps the other CPUs quiet.
 */
#ifndef DOM0_MICROCODE_H
#define DOM0_MICROCODE_H

#include "vm/vcpu.h"

/*
 * dom0's WRMSR to PATCH_LOADER (AMD) or BIOS_UPDT_TRIG (SDM 3A 9.11.6): `address` is linear. False where the CPU
 * refuses it with #GP. An update that does not lie together in RAM is not loaded, which is logged: dom0 sees an
 * unchanged revision.
 */
bool microcode_load_amd(struct vcpu *vcpu, u32 msr, u64 address);
bool microcode_load_intel(struct vcpu *vcpu, u32 msr, u64 address);

#endif
