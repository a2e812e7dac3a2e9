/* SPDX-License-Identifier: BSD-2-Clause */
/* What the code does differently under the emulator Bochs (2.7), and nowhere else. */
#ifndef VMX_BOCHS_H
#define VMX_BOCHS_H

#include "lib/types.h"

/*
 * Where it is detected:
 * - INIT in guest mode stays pending after its exit, and wait-for-SIPI does not hold it back: dom0's INITs and
 *   STARTUPs are trapped at its APIC, and CPUs wait outside VMX operation (dom0/apic.h).
 * - The exit of an instruction, or an EPT violation, saves a single step as pending that has not been made
 *   (SDM 3C 28.3.4: these are faults).
 * - A guest that is entered with IF clear is not ended by interrupts: the preemption timer ends it now and then.
 */
extern bool under_bochs; /* immutable after bochs_detect */

void bochs_detect(void);

#define BOCHS_TICKS 40000u /* from such an entry to the timer's exit: 2 ms at 20 million instructions a second */

/* After each exit. */
void bochs_exited(u32 reason);

#endif
