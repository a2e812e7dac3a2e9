/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SYSCALL outside 64-bit code, which AMD's CPUs have and Intel's answer with #UD: for guests that are told that
 * their CPU is AMD's. The caller holds the vCPU's lock.
 */
#ifndef KVM_SYSCALL_H
#define KVM_SYSCALL_H

#include <stdbool.h>

struct vcpu;

/* The guest's CPUID says AMD, the CPU's Intel: #UD must end RUN. */
bool syscall_missing(const struct vcpu *vcpu);

/* A #UD that ended RUN: executes SYSCALL, or gives the guest its #UD. As exit_handle (run.h). */
int syscall_exit(struct vcpu *vcpu);

#endif
