/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_CHECK_EXTENSION. */
#ifndef KVM_CAPABILITY_H
#define KVM_CAPABILITY_H

#include <stdint.h>

/* The number that KVM_CHECK_EXTENSION answers; 0: there is no such capability. */
int capability(uint64_t number);

/* Where 4096-byte parts of a vCPU's mapping lie, and the most GSIs. */
#define KVM_RING_PAGE 2
#define KVM_GSIS_MAX  4096

#endif
