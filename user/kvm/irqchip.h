/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What KVM calls the in-kernel interrupt controllers, for one VM: PIC, I/O APIC, PIT and the
 * GSI routes. The local APICs are the hypervisor's; this side sends them messages.
 *
 * Functions named after an ioctl return what that ioctl returns, a number >= 0 or a negative
 * errno value; structures are the caller's own copies. All may be called by any thread at any
 * time, vCPU threads included, with no lock held that a vCPU's kick needs. device/ has the
 * state machines, docs/kvm-devices.md the locks.
 */
#ifndef KVM_IRQCHIP_H
#define KVM_IRQCHIP_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "kvm/vm.h"

/* Who has which; also while another thread creates it. */
enum irqchip_mode irqchip_mode(const struct vm *vm);

/*
 * KVM_CREATE_IRQCHIP: EEXIST; EINVAL when the VM has vCPUs; ENOMEM. The caller holds vm->lock.
 * Sets vm->irqchip and vm->mode.
 */
int irqchip_create(struct vm *vm);

/* KVM_ENABLE_CAP of KVM_CAP_SPLIT_IRQCHIP: as above; EINVAL: more than 4096 pins. */
int irqchip_create_split(struct vm *vm, uint64_t pins);

/* The VM ends: no vCPU runs, eventfds and timers are gone. NULL is nothing to do. */
void irqchip_destroy(struct vm *vm);

/* KVM_CREATE_PIT2: EEXIST; ENOENT without PIC; EINVAL: unknown flags. KVM_CREATE_PIT is this
 * with KVM_PIT_SPEAKER_DUMMY. */
int irqchip_create_pit(struct vm *vm, const struct kvm_pit_config *config);

/* KVM_GET_IRQCHIP, KVM_SET_IRQCHIP: ENXIO unless IRQCHIP_FULL; EINVAL: unknown chip. */
int irqchip_get(struct vm *vm, struct kvm_irqchip *state);
int irqchip_set(struct vm *vm, const struct kvm_irqchip *state);

/* KVM_GET_PIT2, KVM_SET_PIT2, KVM_REINJECT_CONTROL: ENXIO without PIT. KVM_GET_PIT and
 * KVM_SET_PIT are the same without flags: zero them. */
int irqchip_get_pit(struct vm *vm, struct kvm_pit_state2 *state);
int irqchip_set_pit(struct vm *vm, const struct kvm_pit_state2 *state);
int irqchip_reinject_control(struct vm *vm, const struct kvm_reinject_control *control);

/* KVM_IRQ_LINE, KVM_IRQ_LINE_STATUS: fills in status (> 0 delivered, 0 coalesced, < 0 masked or
 * not connected). ENXIO without irqchip. */
int irqchip_line(struct vm *vm, struct kvm_irq_level *line);

/* KVM_SIGNAL_MSI: the number of vCPUs it reached; EPERM: none; EINVAL: flags, no irqchip. */
int irqchip_signal_msi(struct vm *vm, const struct kvm_msi *msi);

/* KVM_SET_GSI_ROUTING: replaces all routes, or leaves them all. EINVAL; ENOMEM. */
int irqchip_set_routing(struct vm *vm, const struct kvm_irq_routing *header,
			const struct kvm_irq_routing_entry *entries);

/* --- the run loop's hooks --------------------------------------------------------------------
 *
 * Each is cheap, and false, when the VM has no such device.
 */

/* One access of size 1, 2 or 4 to a port. True: it was one of ours, and *value was written, or
 * is what was read. */
bool irqchip_pio(struct vm *vm, uint16_t port, unsigned size, bool write, uint32_t *value);

/* The same for memory, size 1 to 8. */
bool irqchip_mmio(struct vm *vm, uint64_t gpa, unsigned size, bool write, uint64_t *value);

/* Would one of the two answer there? Without a lock. */
bool irqchip_has_port(const struct vm *vm, uint16_t port, unsigned size);
bool irqchip_has_mmio(const struct vm *vm, uint64_t gpa);

/* LUV_APIC_EOI. True: the client's I/O APIC wants it, as KVM_EXIT_IOAPIC_EOI. */
bool irqchip_eoi(struct vm *vm, uint8_t vector);

/*
 * Does the PIC ask for an interrupt? One load: for every entry of a vCPU whose LINT0 takes
 * ExtINT. Whenever the answer becomes true, all vCPUs are kicked.
 */
bool irqchip_extint_pending(const struct vm *vm);

/* The interrupt acknowledge cycle: the PIC's vector, or -1: it no longer asks. What was taken
 * must be delivered. */
int irqchip_extint_take(struct vm *vm);

/* --- eventfds --------------------------------------------------------------------------------
 */

/* An irqfd was signalled: an edge, or with `resample` a level that stays until the guest
 * completes it. */
void irqchip_irqfd_signal(struct vm *vm, uint32_t gsi, bool resample);

/* Whether the GSI has an irqfd that resamples. Its completions go to irqfd_completed then; its
 * line falls by each, and with the last such irqfd. */
void irqchip_irqfd_resamples(struct vm *vm, uint32_t gsi, bool any);

#endif
