/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SVM_MSRPM_H
#define SVM_MSRPM_H

#include "lib/types.h"

/*
 * The MSR permission map (APM 2 15.11): two bits an MSR, read then write, for three ranges of 8192.
 * MSRs outside them always exit.
 */
#define MSRPM_SIZE 8192u

/* Makes accesses to the MSR exit. False for an MSR outside the map, which exits anyway. */
bool msrpm_intercept(u8 map[MSRPM_SIZE], u32 msr, bool read, bool write);

/* Lets both reads and writes of the MSR pass. */
void msrpm_pass(u8 map[MSRPM_SIZE], u32 msr);

#endif
