/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An I/O APIC 82093AA with 24 pins (Intel 82093AA data sheet). Pure: messages go out through
 * the bus that the caller passes.
 *
 * As in KVM the version is 11h, polarity does not matter (a line that is set is active), there
 * is no EOI register, and delivery mode ExtINT reaches nobody: the PIC is wired to LINT0.
 */
#ifndef KVM_DEVICE_IOAPIC_H
#define KVM_DEVICE_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "kvm/device/message.h"

#define IOAPIC_PINS 24u
#define IOAPIC_BASE 0xfec00000ull
#define IOAPIC_SIZE 0x100u

struct ioapic {
	uint64_t base;
	uint64_t entry[IOAPIC_PINS]; /* redirection table; reserved bits are 0 */
	uint8_t select;		     /* IOREGSEL */
	uint8_t id;
	uint32_t lines;	   /* pins that are active */
	uint32_t sent;	   /* of these, edges that were delivered */
	uint32_t tell_eoi; /* the caller's: pins whose EOI matters, edge-triggered or not */
	uint32_t unmasked; /* what happened since the caller looked, who clears it */
};

void ioapic_reset(struct ioapic *ioapic);

/* > 0: so many local APICs took it (or the line fell); 0: coalesced; -1: masked, or nobody did.
 */
int ioapic_set_line(struct ioapic *ioapic, unsigned pin, bool level,
		    const struct message_bus *bus);

/* The EOI of a vector: the pins that it completed. Afterwards ioapic_resend is due, when lines
 * that fall by it have fallen. */
uint32_t ioapic_eoi(struct ioapic *ioapic, uint8_t vector);
void ioapic_resend(struct ioapic *ioapic, uint32_t pins, const struct message_bus *bus);

/* An aligned register's offset in the page: 0 and 10h; others read 0. */
uint32_t ioapic_read(const struct ioapic *ioapic, uint32_t offset);
void ioapic_write(struct ioapic *ioapic, uint32_t offset, uint32_t value,
		  const struct message_bus *bus);

/* KVM's structure: irr has the active lines that nobody was told of. */
void ioapic_get_state(const struct ioapic *ioapic, struct kvm_ioapic_state *state);
void ioapic_set_state(struct ioapic *ioapic, const struct kvm_ioapic_state *state,
		      const struct message_bus *bus);

#endif
