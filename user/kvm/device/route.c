/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/device/route.h"

#include <string.h>

_Static_assert(sizeof(struct kvm_irq_routing_entry) == 48, "struct kvm_irq_routing_entry");

void routes_clear(struct routes *routes)
{
	for (unsigned i = 0; i < routes->used_count; i++)
		routes->gsi[routes->used[i]] = (struct route){0};
	routes->used_count = 0;
	memset(routes->pic_gsi, -1, sizeof(routes->pic_gsi));
	memset(routes->ioapic_gsi, -1, sizeof(routes->ioapic_gsi));
}

static bool is_used(const struct route *route)
{
	return route->msi || route->pic || route->ioapic;
}

static struct route *use(struct routes *routes, uint32_t gsi)
{
	if (!is_used(&routes->gsi[gsi]))
		routes->used[routes->used_count++] = (uint16_t)gsi;
	return &routes->gsi[gsi];
}

/* The pair counts as one chip. */
static bool add_pic(struct routes *routes, uint32_t gsi, uint32_t pin)
{
	if (routes->gsi[gsi].msi || routes->gsi[gsi].pic)
		return false;
	use(routes, gsi)->pic = (uint8_t)(pin + 1);
	routes->pic_gsi[pin] = (int16_t)gsi;
	return true;
}

static bool add_ioapic(struct routes *routes, uint32_t gsi, uint32_t pin)
{
	if (routes->gsi[gsi].msi || routes->gsi[gsi].ioapic)
		return false;
	use(routes, gsi)->ioapic = (uint8_t)(pin + 1);
	routes->ioapic_gsi[pin] = (int16_t)gsi;
	return true;
}

static bool add_pin(struct routes *routes, uint32_t gsi,
		    const struct kvm_irq_routing_irqchip *to)
{
	switch (to->irqchip) {
	case KVM_IRQCHIP_PIC_MASTER:
		return to->pin < PIC_LINES / 2 && add_pic(routes, gsi, to->pin);
	case KVM_IRQCHIP_PIC_SLAVE:
		return to->pin < PIC_LINES / 2 && add_pic(routes, gsi, to->pin + PIC_LINES / 2);
	case KVM_IRQCHIP_IOAPIC:
		return to->pin < IOAPIC_PINS && add_ioapic(routes, gsi, to->pin);
	default:
		return false;
	}
}

static bool add_msi(struct routes *routes, uint32_t gsi, const struct kvm_irq_routing_msi *msi)
{
	struct route *route;

	if (is_used(&routes->gsi[gsi]))
		return false;
	route = use(routes, gsi);
	*route = (struct route){.msi = true,
				.address_lo = msi->address_lo,
				.address_hi = msi->address_hi,
				.data = msi->data};
	return true;
}

bool routes_add(struct routes *routes, const struct kvm_irq_routing_entry *entry, bool pins)
{
	if (entry->gsi >= ROUTE_GSIS)
		return false;
	switch (entry->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		return !entry->flags && pins && add_pin(routes, entry->gsi, &entry->u.irqchip);
	case KVM_IRQ_ROUTING_MSI:
		return !(entry->flags & ~KVM_MSI_VALID_DEVID) &&
		       add_msi(routes, entry->gsi, &entry->u.msi);
	default:
		return false;
	}
}

void routes_default(struct routes *routes)
{
	routes_clear(routes);
	for (uint32_t gsi = 0; gsi < IOAPIC_PINS; gsi++) {
		add_ioapic(routes, gsi, gsi);
		if (gsi < PIC_LINES)
			add_pic(routes, gsi, gsi);
	}
}

struct message route_msi(uint32_t address_lo, uint32_t address_hi, uint32_t data)
{
	bool logical = address_lo & 1u << 2, hint = address_lo & 1u << 3;
	struct message message = {
	    .destination = address_lo >> 12 & 0xff,
	    .vector = (uint8_t)data,
	    .delivery = data >> 8 & 7,
	    .logical = logical,
	    .level = data & 1u << 15,
	};

	(void)address_hi; /* bits 39:32 of an address mean nothing with 8-bit destinations */
	/* The redirection hint asks for one of several. */
	if (hint && message.delivery == MESSAGE_FIXED)
		message.delivery = MESSAGE_LOWEST;
	return message;
}

void routes_eoi_vectors(const struct routes *routes, unsigned pins, uint64_t vectors[4])
{
	for (unsigned i = 0; i < routes->used_count; i++) {
		const struct route *route = &routes->gsi[routes->used[i]];
		struct message message;

		if (routes->used[i] >= pins || !route->msi)
			continue;
		message = route_msi(route->address_lo, route->address_hi, route->data);
		if (message.level)
			vectors[message.vector / 64] |= 1ull << message.vector % 64;
	}
}
