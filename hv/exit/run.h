/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef EXIT_RUN_H
#define EXIT_RUN_H

#include "vm/vcpu.h"

/* The life of a CPU once dom0 has it: enter, exit, answer, for ever. */
noreturn void run_dom0(struct vcpu *vcpu);

/*
 * Runs a guest's vCPU, which world_enter put on this CPU, until guest->leave says why not any
 * longer.
 */
void run_guest(struct vcpu *vcpu);

/* For crash reports: this CPU's last exits and where its guest was. */
void run_describe(void (*print)(const char *format, ...));

const char *exit_name(u32 reason);

#endif
