/* SPDX-License-Identifier: BSD-2-Clause */
/* What the code does differently under the emulator Bochs (2.7), and nowhere else. */
#ifndef VMX_BOCHS_H
#define VMX_BOCHS_H

#include "lib/types.h"

/*
 * Where it is detected:
 * - INIT in guest mode stays pending after its exit, and wait-for-SIPI does not hold it back: dom0's INITs and
 *   STARTUPs are trapped at its APIC, and CPUs wait outside VMX operation (dom0/apic.h).
 */
bool bochs_detected(void);

#endif
