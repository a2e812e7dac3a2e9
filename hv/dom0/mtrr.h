/* SPDX-License-Identifier: BSD-2-Clause */
/* The MTRRs as dom0 (and before it the firmware) set them. */
#ifndef DOM0_MTRR_H
#define DOM0_MTRR_H

#include "mem/mtrr.h"
#include "vm/vcpu.h"

/* Takes the first snapshot, on the boot CPU. */
void mtrr_init(void);

const struct mtrr_state *mtrr_current(void);

/* True for an MSR that decides memory types: MTRRs and AMD's SYSCFG, TOP_MEM2. */
bool mtrr_is_msr(u32 msr);

/* After a write to one of them: a new snapshot, and the nested tables follow. */
void mtrr_changed(struct vcpu *vcpu);

void mtrr_for_each_msr(void (*visit)(u32 msr));

#endif
