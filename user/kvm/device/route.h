/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Routes from GSIs to pins and messages, as KVM_SET_GSI_ROUTING gives them. Pure.
 *
 * A GSI leads to at most one pin of each chip, or to one MSI.
 */
#ifndef KVM_DEVICE_ROUTE_H
#define KVM_DEVICE_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "kvm/device/ioapic.h"
#include "kvm/device/message.h"
#include "kvm/device/pic.h"

#define ROUTE_GSIS 4096u /* what KVM_CAP_IRQ_ROUTING answers; entries at most, too */

struct route {
	uint8_t pic;	/* pin + 1; 0: none. All zero: the GSI leads nowhere. */
	uint8_t ioapic; /* likewise */
	bool msi;
	uint32_t address_lo, address_hi, data; /* of the MSI */
};

struct routes {
	struct route gsi[ROUTE_GSIS];
	uint16_t used[ROUTE_GSIS]; /* the GSIs that lead somewhere */
	unsigned used_count;
	/* The other way: a pin's GSI, the last one named; -1: none. */
	int16_t pic_gsi[PIC_LINES];
	int16_t ioapic_gsi[IOAPIC_PINS];
};

void routes_clear(struct routes *routes);

/* What KVM_CREATE_IRQCHIP begins with: GSI n to pin n of the I/O APIC, and of the PICs. */
void routes_default(struct routes *routes);

/*
 * Adds an entry. False: unknown type or flags, a GSI or pin that is not there, a second route
 * to the same chip, an MSI beside another route, or a pin when the chips are the client's
 * (`pins` false).
 */
bool routes_add(struct routes *routes, const struct kvm_irq_routing_entry *entry, bool pins);

/* The message of an MSI (SDM 3A 11.11). */
struct message route_msi(uint32_t address_lo, uint32_t address_hi, uint32_t data);

/* The vectors (bit n of word n / 64) that level-triggered MSIs of the first `pins` GSIs have:
 * what an I/O APIC in the client waits for. They are added to the set. */
void routes_eoi_vectors(const struct routes *routes, unsigned pins, uint64_t vectors[4]);

#endif
