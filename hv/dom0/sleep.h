/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Suspend to RAM (S3). dom0 leaves the firmware an address at which it goes on afterwards, in
 * real mode, and sets SLP_EN in the PM1 control registers, which takes all CPUs' power
 * (ACPI 6.4, 16.1 and 16.3). We put our trampoline in that address's place, take the CPUs into
 * root mode again, and send dom0 to where it wanted to be.
 */
#ifndef DOM0_SLEEP_H
#define DOM0_SLEEP_H

#include "cpu/acpi.h"
#include "vm/vcpu.h"

/* Finds the registers and the address (FADT, FACS), and from now on writes to the registers
 * exit. At boot. */
void sleep_init(const struct phys_view *view, const struct acpi_root *root);

/* dom0 writes the value to a port that exits. */
void sleep_before_write(u16 port, u8 size, u32 value);

/* The boot CPU is awake: where its vCPU, just made anew, goes on. */
void sleep_resume(struct vcpu *vcpu);

#endif
