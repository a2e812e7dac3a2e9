/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kvm/device/route.h"

static struct routes routes;

static int setup(void **state)
{
	(void)state;
	memset(&routes, 0, sizeof(routes));
	routes_clear(&routes);
	return 0;
}

static bool add_pin(uint32_t gsi, uint32_t chip, uint32_t pin)
{
	const struct kvm_irq_routing_entry entry = {
	    .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {chip, pin}};

	return routes_add(&routes, &entry, true);
}

static bool add_msi(uint32_t gsi, uint32_t address, uint32_t data)
{
	const struct kvm_irq_routing_entry entry = {
	    .gsi = gsi,
	    .type = KVM_IRQ_ROUTING_MSI,
	    .u.msi = {.address_lo = address, .data = data}};

	return routes_add(&routes, &entry, false);
}

static void test_default(void **state)
{
	(void)state;
	routes_default(&routes);
	assert_int_equal(routes.used_count, 24);
	for (int gsi = 0; gsi < 24; gsi++) {
		assert_int_equal(routes.gsi[gsi].ioapic, gsi + 1);
		assert_int_equal(routes.gsi[gsi].pic, gsi < 16 ? gsi + 1 : 0);
		assert_int_equal(routes.ioapic_gsi[gsi], gsi);
	}
	for (int line = 0; line < 16; line++)
		assert_int_equal(routes.pic_gsi[line], line);
}

/* As QEMU's PC: the timer on pin 2, nothing on pin 0. */
static void test_pins(void **state)
{
	(void)state;
	assert_true(add_pin(0, KVM_IRQCHIP_PIC_MASTER, 0));
	assert_true(add_pin(0, KVM_IRQCHIP_IOAPIC, 2));
	assert_true(add_pin(8, KVM_IRQCHIP_PIC_SLAVE, 0));
	assert_int_equal(routes.gsi[0].pic, 1);
	assert_int_equal(routes.gsi[0].ioapic, 3);
	assert_int_equal(routes.gsi[8].pic, 9);
	assert_int_equal(routes.pic_gsi[8], 8);
	assert_int_equal(routes.ioapic_gsi[2], 0);
	assert_int_equal(routes.ioapic_gsi[0], -1);
	assert_int_equal(routes.used_count, 2);
	/* One pin may have several GSIs; the last one is told of its EOI. */
	assert_true(add_pin(30, KVM_IRQCHIP_IOAPIC, 2));
	assert_int_equal(routes.ioapic_gsi[2], 30);
}

static void test_refused(void **state)
{
	struct kvm_irq_routing_entry entry = {.type = KVM_IRQ_ROUTING_MSI};

	(void)state;
	assert_false(add_pin(ROUTE_GSIS, KVM_IRQCHIP_IOAPIC, 0));
	assert_false(add_msi(ROUTE_GSIS, 0, 0));
	assert_false(add_msi(~0u, 0, 0));
	assert_false(add_pin(1, KVM_IRQCHIP_PIC_MASTER, 8));
	assert_false(add_pin(1, KVM_IRQCHIP_PIC_SLAVE, 8));
	assert_false(add_pin(1, KVM_IRQCHIP_PIC_SLAVE, ~0u));
	assert_false(add_pin(1, KVM_IRQCHIP_IOAPIC, 24));
	assert_false(add_pin(1, 3, 0));
	assert_int_equal(routes.used_count, 0);

	assert_true(add_pin(1, KVM_IRQCHIP_IOAPIC, 1));
	assert_false(add_pin(1, KVM_IRQCHIP_IOAPIC, 2));
	assert_false(add_msi(1, 0, 0));
	assert_true(add_pin(1, KVM_IRQCHIP_PIC_MASTER, 1));
	assert_false(add_pin(1, KVM_IRQCHIP_PIC_SLAVE, 1));
	assert_true(add_msi(2, 0, 0));
	assert_false(add_msi(2, 0, 0));
	assert_false(add_pin(2, KVM_IRQCHIP_IOAPIC, 2));
	assert_int_equal(routes.used_count, 2);

	entry.gsi = 3;
	entry.flags = ~(uint32_t)KVM_MSI_VALID_DEVID;
	assert_false(routes_add(&routes, &entry, true));
	entry.flags = KVM_MSI_VALID_DEVID;
	assert_true(routes_add(&routes, &entry, true));
	entry = (struct kvm_irq_routing_entry){.gsi = 4, .type = KVM_IRQ_ROUTING_IRQCHIP};
	assert_false(routes_add(&routes, &entry, false)); /* the chips are the client's */
	entry.flags = 1;
	assert_false(routes_add(&routes, &entry, true));
	entry.flags = 0;
	for (entry.type = 0; entry.type < 16; entry.type++)
		if (entry.type != KVM_IRQ_ROUTING_IRQCHIP && entry.type != KVM_IRQ_ROUTING_MSI)
			assert_false(routes_add(&routes, &entry, true));
}

/* Clearing leaves nothing behind, also from a full table. */
static void test_clear(void **state)
{
	static const struct routes nothing;

	(void)state;
	for (uint32_t gsi = 0; gsi < ROUTE_GSIS; gsi++)
		assert_true(add_msi(gsi, 0xfee00000 + gsi, gsi));
	assert_int_equal(routes.used_count, ROUTE_GSIS);
	routes_clear(&routes);
	assert_memory_equal(routes.gsi, nothing.gsi, sizeof(nothing.gsi));
	assert_int_equal(routes.used_count, 0);
	routes_default(&routes);
	routes_clear(&routes);
	assert_int_equal(routes.pic_gsi[0], -1);
	assert_int_equal(routes.ioapic_gsi[23], -1);
}

static void test_message(void **state)
{
	struct message m = route_msi(0xfee42000, 0, 0x4031);

	(void)state;
	assert_int_equal(m.destination, 0x42);
	assert_int_equal(m.vector, 0x31);
	assert_int_equal(m.delivery, MESSAGE_FIXED);
	assert_false(m.logical);
	assert_false(m.level);
	m = route_msi(0xfeeff00c, 0, 0xc131);
	assert_int_equal(m.destination, 0xff);
	assert_int_equal(m.delivery, MESSAGE_LOWEST);
	assert_true(m.logical);
	assert_true(m.level);
	m = route_msi(0xfee0100c, 0, 0x31);
	assert_int_equal(m.delivery, MESSAGE_LOWEST); /* the redirection hint */
	m = route_msi(0xfee0100c, 0, 0x431);
	assert_int_equal(m.delivery, MESSAGE_NMI);
}

static void test_eoi_vectors(void **state)
{
	uint64_t vectors[4] = {1, 0, 0, 0};

	(void)state;
	assert_true(add_msi(0, 0xfee00000, 0x8031));
	assert_true(add_msi(1, 0xfee00000, 0x32));
	assert_true(add_msi(23, 0xfee00000, 0x80ff));
	assert_true(add_msi(24, 0xfee00000, 0x8077)); /* no pin */
	routes_eoi_vectors(&routes, 24, vectors);
	assert_int_equal(vectors[0], 1ull << 0x31 | 1);
	assert_int_equal(vectors[1], 0);
	assert_int_equal(vectors[2], 0);
	assert_int_equal(vectors[3], 1ull << 63);
}

/* Whatever comes: both directions agree. */
static void test_random(void **state)
{
	static uint64_t seed = 0x853c49e6748fea9bull;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		uint32_t r[4];
		struct kvm_irq_routing_entry entry = {0};

		for (unsigned j = 0; j < 4; j++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			r[j] = (uint32_t)(seed >> 33);
		}
		entry.gsi = r[0] % (ROUTE_GSIS + 2);
		entry.type = r[1] % 4;
		entry.flags = r[1] % 16 == 15 ? r[2] : 0;
		entry.u.irqchip.irqchip = r[2] % 5;
		entry.u.irqchip.pin = r[3] % 32;
		routes_add(&routes, &entry, r[1] & 16);
		if (r[1] % 1024 == 0)
			routes_clear(&routes);
		assert_true(routes.used_count <= ROUTE_GSIS);
	}
	for (unsigned line = 0; line < PIC_LINES; line++)
		if (routes.pic_gsi[line] >= 0)
			assert_int_equal(routes.gsi[routes.pic_gsi[line]].pic, line + 1);
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		if (routes.ioapic_gsi[pin] >= 0)
			assert_int_equal(routes.gsi[routes.ioapic_gsi[pin]].ioapic, pin + 1);
}

#define TEST(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_default), TEST(test_pins),	TEST(test_refused), TEST(test_clear),
	    TEST(test_message), TEST(test_eoi_vectors), TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
