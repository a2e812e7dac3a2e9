/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM_IRQFD and KVM_IOEVENTFD of one VM.
 *
 * An eventfd is kept by a duplicate of the client's descriptor, so the client may close its
 * own. Which eventfd a descriptor names, the kernel says ("eventfd-id" in /proc/self/fdinfo).
 *
 * Every function may be called by any thread at any time.
 */
#ifndef KVM_EVENTFD_H
#define KVM_EVENTFD_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

struct vm;
struct eventfds;

/* The VM's tables, into vm->eventfds: 0 or -ENOMEM. Destroyed before the irqchip. */
int eventfds_create(struct vm *vm);
void eventfds_destroy(struct vm *vm);

/*
 * KVM_IRQFD. EINVAL: unknown flags, no irqchip, KVM_IRQFD_FLAG_RESAMPLE without PIC and I/O
 * APIC, no eventfd; EBADF; EBUSY: the eventfd has a GSI already; ENOSPC, ENOMEM, EMFILE.
 */
int irqfd_ioctl(struct vm *vm, const struct kvm_irqfd *request);

/* KVM_IOEVENTFD. EINVAL: length, flags, overflow, no eventfd; EBADF; EEXIST; ENOENT; ENOSPC. */
int ioeventfd_ioctl(struct vm *vm, const struct kvm_ioeventfd *request);

/*
 * Without a lock, for a vCPU that has in_run set all the while (run.c): KVM_IOEVENTFD waits for
 * it with vm_stop before it closes a descriptor. The VM's events on a bus, NULL: none; is one
 * of them at this address; and the descriptor that a write signals, or -1.
 */
enum ioeventfd_bus { BUS_MMIO, BUS_PIO, BUSES };

struct ioeventfds;
const struct ioeventfds *ioeventfds_of(const struct vm *vm, enum ioeventfd_bus bus);
bool ioeventfd_there(const struct ioeventfds *bus, uint64_t address);
int ioeventfd_find(const struct ioeventfds *bus, uint64_t address, unsigned size,
		   uint64_t value);
void eventfd_signal(int fd);

/* A write of the guest's. True: an eventfd was signalled and that was all of it. */
bool ioeventfd_pio(struct vm *vm, uint16_t port, unsigned size, uint32_t value);
bool ioeventfd_mmio(struct vm *vm, uint64_t gpa, unsigned size, uint64_t value);

/* The guest has completed an interrupt of a GSI that resamples: the client is told. */
void irqfd_completed(struct vm *vm, uint32_t gsi);

#endif
