/* SPDX-License-Identifier: BSD-2-Clause */
/* The wiring of the interrupt controllers, with the hypervisor, the vCPUs and time made up
 * here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kvm/irqchip.c"

#define LEVEL  0x8000u
#define MASKED 0x10000u

static struct vm vm;
static struct vcpu vcpus[2];
static struct luv_interrupt last;
static unsigned sent, kicks, completions;
static uint32_t last_completed;
static uint64_t now, timer_due;

int vm_send(struct vm *to, struct luv_interrupt *message)
{
	assert_ptr_equal(to, &vm);
	last = *message;
	sent++;
	return message->delivery == 3 || message->delivery == 6 ? LUV_ERR_INVAL : 1;
}

struct vcpu *vm_vcpu(struct vm *of, unsigned index)
{
	return of->vcpu[index];
}

void vcpu_kick(struct vcpu *vcpu)
{
	assert_ptr_equal(vcpu, &vcpus[vcpu->index]);
	/* Nobody may be kept waiting by a lock that a kick needs. */
	assert_int_equal(pthread_mutex_trylock(&vm.irqchip->lock), 0);
	pthread_mutex_unlock(&vm.irqchip->lock);
	kicks++;
}

void irqfd_completed(struct vm *of, uint32_t gsi)
{
	assert_ptr_equal(of, &vm);
	assert_int_equal(pthread_mutex_trylock(&vm.irqchip->lock), 0);
	pthread_mutex_unlock(&vm.irqchip->lock);
	completions++;
	last_completed = gsi;
}

int timer_thread_start(void)
{
	return 0;
}

uint64_t timer_now(void)
{
	return now;
}

void timer_set(struct timer *timer, uint64_t due)
{
	(void)timer;
	timer_due = due;
}

void timer_cancel(struct timer *timer)
{
	timer_set(timer, 0);
}

/* --- short forms --- */

static void expect_sent(unsigned count)
{
	assert_int_equal(sent, count);
	sent = 0;
}

static void out(uint16_t port, uint32_t value)
{
	assert_true(irqchip_pio(&vm, port, 1, true, &value));
}

static uint32_t in(uint16_t port)
{
	uint32_t value = 0xa5a5a5a5;

	assert_true(irqchip_pio(&vm, port, 1, false, &value));
	return value;
}

static void write_mmio(uint64_t gpa, uint64_t value)
{
	assert_true(irqchip_mmio(&vm, gpa, 4, true, &value));
}

static void program(unsigned pin, uint32_t low)
{
	write_mmio(0xfec00000, 0x10 + 2 * pin);
	write_mmio(0xfec00010, low);
}

static int set_line(uint32_t gsi, bool level)
{
	struct kvm_irq_level line = {.irq = gsi, .level = level};

	assert_int_equal(irqchip_line(&vm, &line), 0);
	return line.status;
}

static void initialize_pics(void)
{
	out(0x20, 0x11);
	out(0x21, 0x20);
	out(0x21, 4);
	out(0x21, 1);
	out(0xa0, 0x11);
	out(0xa1, 0x28);
	out(0xa1, 2);
	out(0xa1, 1);
}

static void create_pit(void)
{
	const struct kvm_pit_config config = {.flags = KVM_PIT_SPEAKER_DUMMY};

	assert_int_equal(irqchip_create_pit(&vm, &config), 0);
}

/* 100 Hz. */
static void start_pit(void)
{
	out(0x43, 0x34);
	out(0x40, 11932 & 0xff);
	out(0x40, 11932 >> 8);
}

static void tick(void)
{
	assert_true(timer_due);
	now = timer_due;
	vm.irqchip->pit_timer.expired(&vm.irqchip->pit_timer);
}

static int reset(void **state)
{
	(void)state;
	memset(&vm, 0, sizeof(vm));
	memset(vcpus, 0, sizeof(vcpus));
	sent = kicks = completions = 0;
	now = 1000000;
	timer_due = 0;
	return 0;
}

static void add_vcpus(void)
{
	for (unsigned i = 0; i < 2; i++) {
		vcpus[i].index = i;
		vm.vcpu[i] = &vcpus[i];
	}
}

static int setup(void **state)
{
	reset(state);
	assert_int_equal(irqchip_create(&vm), 0);
	add_vcpus();
	initialize_pics();
	return 0;
}

static int setup_split(void **state)
{
	reset(state);
	assert_int_equal(irqchip_create_split(&vm, 24), 0);
	add_vcpus();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	irqchip_destroy(&vm);
	assert_null(vm.irqchip);
	return 0;
}

/* --- creation --- */

static void test_without(void **state)
{
	struct kvm_irqchip chip = {0};
	struct kvm_pit_state2 pit = {0};
	struct kvm_irq_level line = {0};
	const struct kvm_irq_routing none = {0};
	const struct kvm_pit_config config = {0};
	const struct kvm_reinject_control control = {0};
	const struct kvm_msi msi = {0};
	uint32_t value32 = 0;
	uint64_t value64 = 0;

	(void)state;
	assert_int_equal(irqchip_mode(&vm), IRQCHIP_NONE);
	assert_int_equal(irqchip_get(&vm, &chip), -ENXIO);
	assert_int_equal(irqchip_set(&vm, &chip), -ENXIO);
	assert_int_equal(irqchip_get_pit(&vm, &pit), -ENXIO);
	assert_int_equal(irqchip_set_pit(&vm, &pit), -ENXIO);
	assert_int_equal(irqchip_reinject_control(&vm, &control), -ENXIO);
	assert_int_equal(irqchip_create_pit(&vm, &config), -ENOENT);
	assert_int_equal(irqchip_line(&vm, &line), -ENXIO);
	assert_int_equal(irqchip_signal_msi(&vm, &msi), -EINVAL);
	assert_int_equal(irqchip_set_routing(&vm, &none, NULL), -EINVAL);
	assert_false(irqchip_pio(&vm, 0x20, 1, false, &value32));
	assert_false(irqchip_mmio(&vm, 0xfec00000, 4, false, &value64));
	assert_false(irqchip_eoi(&vm, 0x30));
	assert_false(irqchip_extint_pending(&vm));
	assert_int_equal(irqchip_extint_take(&vm), -1);
	irqchip_irqfd_signal(&vm, 0, false);
	irqchip_irqfd_resamples(&vm, 0, true);
}

static void test_creation(void **state)
{
	(void)state;
	assert_int_equal(irqchip_create_split(&vm, 4097), -EINVAL);
	add_vcpus();
	assert_int_equal(irqchip_create(&vm), -EINVAL);
	assert_int_equal(irqchip_create_split(&vm, 24), -EINVAL);
	memset(vm.vcpu, 0, sizeof(vm.vcpu));
	assert_int_equal(irqchip_create_split(&vm, 0), 0);
	assert_int_equal(vm.mode, IRQCHIP_SPLIT);
	assert_int_equal(irqchip_create(&vm), -EEXIST);
	assert_int_equal(irqchip_create_split(&vm, 24), -EEXIST);
}

static void test_pit_creation(void **state)
{
	struct kvm_pit_config config = {.flags = 2};
	uint32_t value = 0;

	(void)state;
	assert_false(irqchip_pio(&vm, 0x40, 1, false, &value));
	assert_int_equal(irqchip_create_pit(&vm, &config), -EINVAL);
	config.flags = 0;
	assert_int_equal(irqchip_create_pit(&vm, &config), 0);
	assert_int_equal(irqchip_create_pit(&vm, &config), -EEXIST);
	assert_true(irqchip_pio(&vm, 0x40, 1, false, &value));
	assert_false(irqchip_pio(&vm, 0x61, 1, false, &value)); /* not asked for */
}

/* --- ports and memory --- */

static void test_whose_port(void **state)
{
	uint32_t value = 0;

	(void)state;
	create_pit();
	out(0x21, 0x5a);
	/* As KVM: two bytes within a chip's two ports are no access at all. */
	value = 0xffff;
	assert_true(irqchip_pio(&vm, 0x20, 2, true, &value));
	assert_true(irqchip_pio(&vm, 0x20, 2, false, &value));
	assert_int_equal(value, 0);
	assert_int_equal(in(0x21), 0x5a);
	assert_false(irqchip_pio(&vm, 0x21, 2, false, &value));
	assert_false(irqchip_pio(&vm, 0x20, 4, false, &value));
	assert_true(irqchip_pio(&vm, 0x40, 4, false, &value));
	assert_false(irqchip_pio(&vm, 0x41, 4, false, &value));
	assert_false(irqchip_pio(&vm, 0x43, 2, false, &value));
	assert_false(irqchip_pio(&vm, 0x61, 2, false, &value));
	assert_false(irqchip_pio(&vm, 0x60, 2, false, &value));
	out(0x61, 3);
	assert_int_equal(in(0x61) & 3, 3);
}

static void test_ioapic_window(void **state)
{
	uint64_t value = 1;

	(void)state;
	write_mmio(0xfec00000, 1);
	assert_true(irqchip_mmio(&vm, 0xfec00010, 4, false, &value));
	assert_int_equal(value, 0x170011);
	assert_false(irqchip_mmio(&vm, 0xfec00100, 4, false, &value));
	assert_false(irqchip_mmio(&vm, 0xfebfffff, 4, false, &value));
	value = 0xffffffffffffff02;
	assert_true(irqchip_mmio(&vm, 0xfec00000, 1, true, &value));
	assert_true(irqchip_mmio(&vm, 0xfec00000, 8, false, &value));
	assert_int_equal(value, 2);
}

/* --- lines --- */

static void test_both_chips(void **state)
{
	(void)state;
	program(4, 0x34);
	assert_int_equal(set_line(4, true), 2);
	expect_sent(1);
	assert_int_equal(last.vector, 0x34);
	assert_int_equal(last.level, LUV_TRIGGER_EDGE);
	assert_true(irqchip_extint_pending(&vm));
	assert_int_equal(kicks, 2); /* both vCPUs */
	assert_int_equal(set_line(4, false), 2);
	assert_int_equal(irqchip_extint_take(&vm), 0x24);
	assert_false(irqchip_extint_pending(&vm));
	assert_int_equal(irqchip_extint_take(&vm), -1);
	assert_int_equal(set_line(4000, true), -1);
	assert_int_equal(set_line(~0u, true), -1);
	out(0x21, 0xff);
	program(4, 0x34 | MASKED);
	assert_int_equal(set_line(4, true), -1);
	assert_int_equal(kicks, 2);
}

/* The line is active while somebody holds it. */
static void test_sources(void **state)
{
	(void)state;
	irqchip_irqfd_resamples(&vm, 10, true);
	program(10, 0x3a | LEVEL);
	set_line(10, true);
	irqchip_irqfd_signal(&vm, 10, true);
	set_line(10, false);
	expect_sent(1);
	assert_int_equal(last.level, LUV_TRIGGER_LEVEL);
	assert_false(irqchip_eoi(&vm, 0x3a));
	assert_int_equal(completions, 1);
	assert_int_equal(last_completed, 10);
	expect_sent(0); /* it fell by the EOI */
	irqchip_irqfd_signal(&vm, 10, true);
	expect_sent(1);
	set_line(10, true);
	irqchip_eoi(&vm, 0x3a);
	expect_sent(1); /* the client holds it */
	irqchip_irqfd_resamples(&vm, 10, false);
	set_line(10, false);
	irqchip_eoi(&vm, 0x3a);
	assert_int_equal(completions, 2);
}

static void test_resampling_by_the_pic(void **state)
{
	(void)state;
	irqchip_irqfd_resamples(&vm, 10, true);
	out(0x4d1, 0x04);
	irqchip_irqfd_signal(&vm, 10, true);
	assert_int_equal(irqchip_extint_take(&vm), 0x2a);
	out(0xa0, 0x20);
	assert_int_equal(completions, 1);
	out(0x20, 0x20);
	assert_false(irqchip_extint_pending(&vm));
}

static void test_irqfd_edge(void **state)
{
	(void)state;
	program(5, 0x35);
	irqchip_irqfd_signal(&vm, 5, false);
	irqchip_irqfd_signal(&vm, 5, false);
	expect_sent(2);
	assert_int_equal(completions, 0);
}

/* --- routes --- */

static int set_routes(const struct kvm_irq_routing_entry *entries, uint32_t count)
{
	const struct kvm_irq_routing header = {.nr = count};

	return irqchip_set_routing(&vm, &header, entries);
}

static void test_routing(void **state)
{
	struct kvm_irq_routing_entry entries[] = {
	    {.gsi = 50,
	     .type = KVM_IRQ_ROUTING_MSI,
	     .u.msi = {.address_lo = 0xfee01000, .data = 0x4051}},
	    {.gsi = 0, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {KVM_IRQCHIP_IOAPIC, 2}},
	};
	struct kvm_irq_routing bad = {.nr = 4097};

	(void)state;
	assert_int_equal(set_routes(entries, 2), 0);
	assert_int_equal(set_line(50, true), 1);
	expect_sent(1);
	assert_int_equal(last.vector, 0x51);
	assert_int_equal(last.destination, 1);
	assert_int_equal(set_line(50, false), -1);
	program(2, 0x32);
	assert_int_equal(set_line(0, true), 1);
	expect_sent(1);
	assert_int_equal(set_line(4, true), -1); /* the default routes are gone */
	/* One bad entry, and all stays as it was. */
	entries[0].u.msi.data = 0x4052;
	entries[1].u.irqchip.pin = 24;
	assert_int_equal(set_routes(entries, 2), -EINVAL);
	set_line(50, true);
	assert_int_equal(last.vector, 0x51);
	assert_int_equal(irqchip_set_routing(&vm, &bad, entries), -EINVAL);
	bad = (struct kvm_irq_routing){.flags = 1};
	assert_int_equal(irqchip_set_routing(&vm, &bad, entries), -EINVAL);
	assert_int_equal(set_routes(NULL, 0), 0);
	assert_int_equal(set_line(50, true), -1);
}

static void test_signal_msi(void **state)
{
	struct kvm_msi msi = {.address_lo = 0xfee0300c, .data = 0x66};

	(void)state;
	assert_int_equal(irqchip_signal_msi(&vm, &msi), 1);
	assert_int_equal(last.vector, 0x66);
	assert_int_equal(last.delivery, 1);
	assert_int_equal(last.logical, 1);
	assert_int_equal(last.destination, 3);
	msi.data = 0x366;
	assert_int_equal(irqchip_signal_msi(&vm, &msi), -EPERM);
	msi.flags = 2;
	assert_int_equal(irqchip_signal_msi(&vm, &msi), -EINVAL);
}

static void test_split(void **state)
{
	struct kvm_irq_routing_entry entries[] = {
	    {.gsi = 9, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {0xfee00000, 0, 0x8051, {0}}},
	    {.gsi = 10, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {0xfee00000, 0, 0x52, {0}}},
	    {.gsi = 24, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {0xfee00000, 0, 0x8053, {0}}},
	};
	struct kvm_irqchip chip = {0};
	const struct kvm_pit_config config = {0};
	uint32_t value = 0;

	(void)state;
	assert_int_equal(set_line(4, true), -1); /* no routes to begin with */
	assert_int_equal(set_routes(entries, 3), 0);
	assert_int_equal(set_line(9, true), 1);
	assert_int_equal(last.level, LUV_TRIGGER_LEVEL);
	assert_true(irqchip_eoi(&vm, 0x51));
	assert_false(irqchip_eoi(&vm, 0x52));
	assert_false(irqchip_eoi(&vm, 0x53));
	/* What is in service when its route changes still has its EOI. */
	entries[0].u.msi.data = 0x8061;
	assert_int_equal(set_routes(entries, 3), 0);
	assert_true(irqchip_eoi(&vm, 0x51));
	assert_true(irqchip_eoi(&vm, 0x61));
	entries[0].type = KVM_IRQ_ROUTING_IRQCHIP;
	assert_int_equal(set_routes(entries, 3), -EINVAL);
	assert_int_equal(irqchip_get(&vm, &chip), -ENXIO);
	assert_int_equal(irqchip_create_pit(&vm, &config), -ENOENT);
	assert_false(irqchip_pio(&vm, 0x20, 1, false, &value));
	assert_false(irqchip_extint_pending(&vm));
}

/* --- state --- */

static void test_state(void **state)
{
	struct kvm_irqchip saved[4];

	(void)state;
	program(4, 0x34 | LEVEL | MASKED);
	set_line(4, true);
	for (uint32_t i = 0; i < 3; i++) {
		memset(&saved[i], 0, sizeof(saved[i]));
		saved[i].chip_id = i;
		assert_int_equal(irqchip_get(&vm, &saved[i]), 0);
	}
	assert_int_equal(saved[0].chip.pic.irq_base, 0x20);
	assert_int_equal(saved[1].chip.pic.irq_base, 0x28);
	assert_int_equal(saved[2].chip.ioapic.irr, 1 << 4);
	saved[3] = (struct kvm_irqchip){.chip_id = 3};
	assert_int_equal(irqchip_get(&vm, &saved[3]), -EINVAL);
	assert_int_equal(irqchip_set(&vm, &saved[3]), -EINVAL);
	assert_int_equal(irqchip_extint_take(&vm), 0x24);
	kicks = 0;
	assert_int_equal(irqchip_set(&vm, &saved[0]), 0); /* 4 is requested again */
	assert_true(irqchip_extint_pending(&vm));
	assert_int_equal(kicks, 2);
	saved[2].chip.ioapic.redirtbl[4].fields.mask = 0;
	saved[2].chip.ioapic.base_address = 0xfec10000;
	assert_int_equal(irqchip_set(&vm, &saved[2]), 0);
	expect_sent(1);
	assert_false(irqchip_mmio(&vm, 0xfec00000, 4, false, &now));
	assert_true(irqchip_mmio(&vm, 0xfec10000, 4, false, &now));
}

/* --- the PIT --- */

static void test_reinjection_by_the_pic(void **state)
{
	(void)state;
	create_pit();
	start_pit();
	tick();
	assert_int_equal(irqchip_extint_take(&vm), 0x20);
	tick();
	tick();
	tick();
	assert_false(irqchip_extint_pending(&vm)); /* the first is not completed */
	for (unsigned i = 0; i < 3; i++) {
		out(0x20, 0x20);
		assert_true(irqchip_extint_pending(&vm));
		assert_int_equal(irqchip_extint_take(&vm), 0x20);
	}
	out(0x20, 0x20);
	assert_false(irqchip_extint_pending(&vm));
}

static void test_reinjection_by_the_ioapic(void **state)
{
	(void)state;
	create_pit();
	out(0x21, 0xff);
	program(0, 0x30);
	start_pit();
	tick();
	expect_sent(1);
	assert_int_equal(last.level, LUV_TRIGGER_TELL);
	tick();
	tick();
	expect_sent(0);
	irqchip_eoi(&vm, 0x30);
	expect_sent(1);
	irqchip_eoi(&vm, 0x30);
	expect_sent(1);
	irqchip_eoi(&vm, 0x30);
	expect_sent(0);
}

static void test_no_reinjection(void **state)
{
	const struct kvm_reinject_control control = {.pit_reinject = 0};

	(void)state;
	create_pit();
	assert_int_equal(irqchip_reinject_control(&vm, &control), 0);
	out(0x21, 0xff);
	program(0, 0x30);
	start_pit();
	for (unsigned i = 0; i < 3; i++) {
		tick();
		expect_sent(1);
		assert_int_equal(last.level, LUV_TRIGGER_EDGE);
	}
	irqchip_eoi(&vm, 0x30);
	expect_sent(0);
}

/* Ticks that came while the guest had it masked are not made up for. */
static void test_masked_ticks(void **state)
{
	(void)state;
	create_pit();
	out(0x21, 0xff);
	start_pit();
	for (unsigned i = 0; i < 10; i++)
		tick();
	out(0x21, 0xfe);
	assert_int_equal(irqchip_extint_take(&vm), 0x20); /* one was latched */
	out(0x20, 0x20);
	assert_false(irqchip_extint_pending(&vm));
	tick();
	assert_int_equal(irqchip_extint_take(&vm), 0x20);
	out(0x20, 0x20);
	assert_false(irqchip_extint_pending(&vm));
}

static void test_pit_state(void **state)
{
	struct kvm_pit_state2 saved;

	(void)state;
	create_pit();
	start_pit();
	assert_int_equal(irqchip_get_pit(&vm, &saved), 0);
	assert_int_equal(saved.channels[0].count, 11932);
	saved.flags = KVM_PIT_FLAGS_HPET_LEGACY;
	assert_int_equal(irqchip_set_pit(&vm, &saved), 0);
	assert_int_equal(timer_due, 0);
	saved.flags = 0;
	assert_int_equal(irqchip_set_pit(&vm, &saved), 0);
	assert_true(timer_due);
}

#define TEST(function, begin) cmocka_unit_test_setup_teardown(function, begin, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_without, reset),
	    TEST(test_creation, reset),
	    TEST(test_pit_creation, setup),
	    TEST(test_whose_port, setup),
	    TEST(test_ioapic_window, setup),
	    TEST(test_both_chips, setup),
	    TEST(test_sources, setup),
	    TEST(test_resampling_by_the_pic, setup),
	    TEST(test_irqfd_edge, setup),
	    TEST(test_routing, setup),
	    TEST(test_signal_msi, setup),
	    TEST(test_split, setup_split),
	    TEST(test_state, setup),
	    TEST(test_reinjection_by_the_pic, setup),
	    TEST(test_reinjection_by_the_ioapic, setup),
	    TEST(test_no_reinjection, setup),
	    TEST(test_masked_ticks, setup),
	    TEST(test_pit_state, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
