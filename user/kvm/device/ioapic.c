/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/device/ioapic.h"

#define BIT(n)	(1ull << (n))

#define VERSION (0x11u | (IOAPIC_PINS - 1) << 16)

enum { IOREGSEL = 0x00, IOWIN = 0x10 };
enum { IOAPICID = 0, IOAPICVER = 1, IOAPICARB = 2, IOREDTBL = 0x10 };

/* A redirection entry (data sheet 3.2.4). */
#define ENTRY_DELIVERY(e) ((uint8_t)((e) >> 8 & 7))
#define ENTRY_LOGICAL	  BIT(11)
#define ENTRY_REMOTE_IRR  BIT(14)
#define ENTRY_LEVEL	  BIT(15)
#define ENTRY_MASKED	  BIT(16)
#define ENTRY_DESTINATION 0xff00000000000000ull
/* Vector, delivery, destination mode, polarity, trigger, mask. Delivery status is always idle.
 */
#define ENTRY_WRITABLE (ENTRY_DESTINATION | 0x1afffull)

_Static_assert(KVM_IOAPIC_NUM_PINS == IOAPIC_PINS, "pins of struct kvm_ioapic_state");
_Static_assert(sizeof(struct kvm_ioapic_state) == 24 + 8 * IOAPIC_PINS,
	       "struct kvm_ioapic_state");

/* --- delivery --- */

static struct message message_of(const struct ioapic *ioapic, unsigned pin)
{
	uint64_t entry = ioapic->entry[pin];

	return (struct message){
	    .destination = (uint32_t)(entry >> 56),
	    .vector = (uint8_t)entry,
	    .delivery = ENTRY_DELIVERY(entry),
	    .logical = entry & ENTRY_LOGICAL,
	    .level = entry & ENTRY_LEVEL,
	    .tell_eoi = ioapic->tell_eoi >> pin & 1,
	};
}

/* Only fixed and lowest-priority interrupts have an EOI; the others are edges (data sheet
 * 3.2.4, delivery mode). */
static bool waits_for_eoi(uint64_t entry)
{
	return entry & ENTRY_LEVEL && ENTRY_DELIVERY(entry) <= MESSAGE_LOWEST;
}

static int deliver(struct ioapic *ioapic, unsigned pin, const struct message_bus *bus)
{
	uint64_t entry = ioapic->entry[pin];
	struct message message = message_of(ioapic, pin);
	unsigned reached;

	if (entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR))
		return -1;
	message.level = waits_for_eoi(entry);
	if (!message.level)
		ioapic->sent |= (uint32_t)BIT(pin);
	if (message.delivery == MESSAGE_EXTINT)
		return -1;
	reached = bus->send(bus->context, &message);
	if (reached && message.level)
		ioapic->entry[pin] |= ENTRY_REMOTE_IRR;
	return reached ? (int)reached : -1;
}

int ioapic_set_line(struct ioapic *ioapic, unsigned pin, bool level,
		    const struct message_bus *bus)
{
	uint32_t bit = (uint32_t)BIT(pin % IOAPIC_PINS);
	bool was = ioapic->lines & bit;

	if (pin >= IOAPIC_PINS)
		return -1;
	if (!level) {
		ioapic->lines &= ~bit;
		ioapic->sent &= ~bit;
		return 1;
	}
	ioapic->lines |= bit;
	if (was && !(ioapic->entry[pin] & ENTRY_LEVEL))
		return 0;
	if (ioapic->entry[pin] & ENTRY_REMOTE_IRR)
		return ioapic->entry[pin] & ENTRY_MASKED ? -1 : 0;
	return deliver(ioapic, pin, bus);
}

uint32_t ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
	uint32_t pins = 0;

	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		if ((uint8_t)ioapic->entry[pin] != vector)
			continue;
		pins |= (uint32_t)BIT(pin);
		ioapic->entry[pin] &= ~ENTRY_REMOTE_IRR;
	}
	return pins;
}

/* A level is sent again until it falls. */
void ioapic_resend(struct ioapic *ioapic, uint32_t pins, const struct message_bus *bus)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		if ((pins & ioapic->lines) >> pin & 1 && waits_for_eoi(ioapic->entry[pin]))
			deliver(ioapic, pin, bus);
}

/* --- registers --- */

static uint32_t read_window(const struct ioapic *ioapic)
{
	unsigned index = (ioapic->select - IOREDTBL) / 2u;

	if (ioapic->select == IOAPICID || ioapic->select == IOAPICARB)
		return (uint32_t)ioapic->id << 24;
	if (ioapic->select == IOAPICVER)
		return VERSION;
	if (ioapic->select < IOREDTBL || index >= IOAPIC_PINS)
		return 0;
	return (uint32_t)(ioapic->entry[index] >> (ioapic->select & 1 ? 32 : 0));
}

/*
 * Edges that came while the pin was masked are lost. Making an entry edge-triggered clears its
 * Remote IRR: systems use that as an EOI where there is no EOI register.
 */
static void write_entry(struct ioapic *ioapic, unsigned pin, uint64_t value,
			const struct message_bus *bus)
{
	uint64_t before = ioapic->entry[pin], entry = value & ENTRY_WRITABLE;

	if (entry & ENTRY_LEVEL)
		entry |= before & ENTRY_REMOTE_IRR;
	ioapic->entry[pin] = entry;
	if (before & ENTRY_MASKED && !(entry & ENTRY_MASKED))
		ioapic->unmasked |= (uint32_t)BIT(pin);
	ioapic_resend(ioapic, (uint32_t)BIT(pin), bus);
}

static void write_window(struct ioapic *ioapic, uint32_t value, const struct message_bus *bus)
{
	unsigned pin = (ioapic->select - IOREDTBL) / 2u;
	uint64_t entry;

	if (ioapic->select == IOAPICID)
		ioapic->id = value >> 24 & 0xf;
	if (ioapic->select < IOREDTBL || pin >= IOAPIC_PINS)
		return;
	entry = ioapic->entry[pin];
	if (ioapic->select & 1)
		entry = (uint32_t)entry | (uint64_t)value << 32;
	else
		entry = (entry & ~0xffffffffull) | value;
	write_entry(ioapic, pin, entry, bus);
}

uint32_t ioapic_read(const struct ioapic *ioapic, uint32_t offset)
{
	if (offset == IOREGSEL)
		return ioapic->select;
	return offset == IOWIN ? read_window(ioapic) : 0;
}

void ioapic_write(struct ioapic *ioapic, uint32_t offset, uint32_t value,
		  const struct message_bus *bus)
{
	if (offset == IOREGSEL)
		ioapic->select = (uint8_t)value;
	else if (offset == IOWIN)
		write_window(ioapic, value, bus);
}

/* --- state --- */

void ioapic_reset(struct ioapic *ioapic)
{
	*ioapic = (struct ioapic){.base = IOAPIC_BASE, .tell_eoi = ioapic->tell_eoi};
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		ioapic->entry[pin] = ENTRY_MASKED;
}

void ioapic_get_state(const struct ioapic *ioapic, struct kvm_ioapic_state *state)
{
	*state = (struct kvm_ioapic_state){
	    .base_address = ioapic->base,
	    .ioregsel = ioapic->select,
	    .id = ioapic->id,
	    .irr = ioapic->lines & ~ioapic->sent,
	};
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		state->redirtbl[pin].bits = ioapic->entry[pin];
}

void ioapic_set_state(struct ioapic *ioapic, const struct kvm_ioapic_state *state,
		      const struct message_bus *bus)
{
	ioapic->base = state->base_address;
	ioapic->select = (uint8_t)state->ioregsel;
	ioapic->id = state->id & 0xf;
	ioapic->lines = ioapic->sent = 0;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t entry =
		    state->redirtbl[pin].bits & (ENTRY_WRITABLE | ENTRY_REMOTE_IRR);

		ioapic->entry[pin] = entry & ENTRY_LEVEL ? entry : entry & ~ENTRY_REMOTE_IRR;
	}
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		if (state->irr >> pin & 1)
			ioapic_set_line(ioapic, pin, true, bus);
}
