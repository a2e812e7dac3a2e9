/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Coalesced MMIO and PIO of one VM: writes to registered zones go into a ring that the client
 * empties when it likes. The ring is one page, shared by all vCPUs of the VM: the page of
 * KVM_COALESCED_MMIO_PAGE_OFFSET in each vCPU's mapping.
 *
 * Every function may be called by any thread at any time.
 */
#ifndef KVM_COALESCED_H
#define KVM_COALESCED_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

struct vm;
struct coalesced;

/* The VM's zones, into vm->coalesced; ring: that page, which outlives them. 0 or -ENOMEM. */
int coalesced_create(struct vm *vm, struct kvm_coalesced_mmio_ring *ring);
void coalesced_destroy(struct vm *vm);

/* KVM_REGISTER_COALESCED_MMIO: EINVAL: pio is not 0 or 1; ENOSPC. */
int coalesced_register(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone);

/* KVM_UNREGISTER_COALESCED_MMIO: every zone that holds this range; none is no error. */
int coalesced_unregister(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone);

/* A write of the guest's, of 1 to 8 bytes. True: it is in the ring. False: in no zone, or the
 * ring is full. */
bool coalesced_write(struct vm *vm, bool pio, uint64_t address, unsigned size, uint64_t value);

#endif
