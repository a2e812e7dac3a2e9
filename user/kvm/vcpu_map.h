/* SPDX-License-Identifier: BSD-2-Clause */
/* mmap of a KVM descriptor. */
#ifndef KVM_VCPU_MAP_H
#define KVM_VCPU_MAP_H

#include <stddef.h>
#include <sys/types.h>

/*
 * As mmap. A vCPU has three pages: kvm_run, the data of port I/O, and the VM's ring of
 * coalesced MMIO. Other KVM descriptors have none: ENODEV.
 */
void *vcpu_map(void *address, size_t size, int rights, int flags, int descriptor, off_t offset);

#endif
