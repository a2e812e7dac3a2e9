/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CPU_RANDOM_H
#define CPU_RANDOM_H

#include "lib/types.h"

/*
 * 64 unpredictable bits: RDRAND where the CPU has it and it works, mixed with the time stamp counter's
 * jitter. Any CPU.
 */
u64 random_u64(void);

#endif
