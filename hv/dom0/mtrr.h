/* SPDX-License-Identifier: BSD-2-Clause */
/* The MTRRs as dom0 (and before it the firmware) set them. */
#ifndef DOM0_MTRR_H
#define DOM0_MTRR_H

#include "mem/mtrr.h"
#include "vm/vcpu.h"

/* Takes the first snapshot, on the boot CPU. */
void mtrr_init(void);

/* The lock of dom0's nested tables, which follow the types, guards the snapshot: dom0/memory.c. */
const struct mtrr_state *mtrr_current(void);

/* Takes a new snapshot. True when types may have changed and MTRRs are on. */
bool mtrr_update(void);

bool mtrr_is_msr(u32 msr);
void mtrr_for_each_msr(void (*visit)(u32 msr));

/* dom0's WRMSR to one of them; false: #GP. The nested tables follow. */
bool mtrr_write(struct vcpu *vcpu, u32 msr, u64 value);

#endif
