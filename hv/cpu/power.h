/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CPU_POWER_H
#define CPU_POWER_H

#include "lib/types.h"

/* Resets the machine: by port CF9h, the keyboard controller, and a triple fault, in this order. */
noreturn void power_reset(void);

#endif
