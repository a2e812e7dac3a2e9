/* SPDX-License-Identifier: BSD-2-Clause */
/* Local APICs that the hypervisor keeps (LUV_VM_LAPIC): interrupts, priorities, timer, IPIs. */
#include <string.h>
#include <x86intrin.h>
#include <unistd.h>

#include "guest/machine.h"

#define AP_CODE	      0x5000u
#define VECTOR_CLIENT 0x43u

extern const uint8_t payload_lapic[], payload_lapic_end[], payload_ap[], payload_ap_end[];
extern const uint8_t payload_far[], payload_far_end[];
extern const uint8_t payload_xapic[], payload_xapic_end[];

static struct machine machine;

static uint32_t apic_register(unsigned offset)
{
	uint8_t registers[LUV_LAPIC_SIZE];
	uint32_t value;

	EXPECT(luv_lapic_read(machine.vm, 0, registers), 0);
	memcpy(&value, registers + offset, sizeof(value));
	return value;
}

static void expect_said(unsigned value)
{
	machine_expect_out(&machine, 0x10, 1, value);
}

static void expect_handler(void)
{
	machine_expect_out(&machine, PORT_HANDLER, 1, 0x69);
}

static uint64_t expect_apic(uint64_t kind)
{
	const struct luv_exit_record *exit = machine_run(&machine, 0, LUV_RUN_APIC);

	EXPECT(exit->apic.kind, kind);
	return exit->apic.value;
}

static void start(void)
{
	const struct payload payload = {.code[2] = {payload_lapic, payload_lapic_end}};

	machine_create_with(&machine, LUV_VM_LAPIC, 0);
	machine_load(&machine, &payload, LONG);
	memcpy(machine.memory + AP_CODE, payload_ap, (size_t)(payload_ap_end - payload_ap));
	machine_add_vcpu(&machine, 1);
}

static void test_tpr(void)
{
	expect_said(0x25);
	EXPECT(apic_register(0x80), 0x25);
	EXPECT(LUV_READY_CR8(machine.vcpu[0].page->ready), 2);
	expect_said(0x30);
}

static void test_self(void)
{
	expect_handler();
	expect_said(1);
	expect_said(2);
	expect_handler();
	expect_said(3);
}

/* The client times it; the interrupt waits in the hypervisor. */
static void test_timer(void)
{
	CHECK(expect_apic(LUV_APIC_TIMER) != 0, "no deadline");
	machine_run(&machine, 0, LUV_RUN_HLT);
	/* 2^29 ticks: long enough for HLT to come first. In Bochs a TSC takes half a minute for it. */
	for (uint64_t start = __rdtsc(); __rdtsc() - start < 1u << 29;)
		usleep(10000);
	expect_handler();
	expect_said(4);
}

static void test_ipis(void)
{
	struct luv_interrupt message = {.vector = VECTOR_CLIENT};

	EXPECT(machine_run(&machine, 1, LUV_RUN_HLT)->reason, LUV_RUN_HLT);
	EXPECT(expect_apic(LUV_APIC_KICK), 1 << 1);
	EXPECT(expect_apic(LUV_APIC_KICK), 1 << 1);
	expect_said(5);
	EXPECT(machine_run(&machine, 1, LUV_RUN_IO)->io.data, 0x77);
	EXPECT(machine.vcpu[1].page->segment[LUV_CS].base, AP_CODE);
	machine_run(&machine, 1, LUV_RUN_HLT);

	machine_run(&machine, 0, LUV_RUN_HLT);
	EXPECT(luv_interrupt(machine.vm, &message), 1);
	EXPECT(message.kick, 1);
	message.destination = 0xff;
	message.delivery = 2; /* SMI: ignored, but it reaches both */
	EXPECT(luv_interrupt(machine.vm, &message), 2);
	EXPECT(message.kick & 3, 3);
	message.delivery = 3;
	EXPECT(luv_interrupt(machine.vm, &message), LUV_ERR_INVAL);
	message.delivery = 0;
	message.level = 3;
	EXPECT(luv_interrupt(machine.vm, &message), LUV_ERR_INVAL);
	expect_handler();
	/* The other's APIC is software-disabled: nobody is reached. */
	expect_said(6);
	expect_handler(); /* #GP */
}

/* Nothing was posted to the second; what is read can be written back. */
static void test_registers(void)
{
	uint8_t registers[LUV_LAPIC_SIZE];
	uint32_t requested;

	EXPECT(luv_lapic_read(machine.vm, 1, registers), 0);
	memcpy(&requested, registers + 0x200 + 0x10 * (0x42 / 32), sizeof(requested));
	EXPECT(requested, 0);
	EXPECT(luv_lapic_write(machine.vm, 1, registers), 0);
}

static void test_lapic(int argument)
{
	(void)argument;
	start();
	test_tpr();
	test_self();
	test_timer();
	test_ipis();
	test_registers();
	machine_destroy(&machine);
}

static const struct luv_exit_record *run(void)
{
	EXPECT(luv_vcpu_run(machine.vm, 0, machine.vcpu[0].page), 0);
	return &machine.vcpu[0].page->exit;
}

static uint64_t windows(void)
{
	struct luv_vcpu_statistics statistics;

	EXPECT(luv_vcpu_statistics(machine.vm, 0, &statistics), 0);
	return statistics.exits[LUV_EXIT_WINDOW];
}

/*
 * Deadlines that bring nothing, so that nothing else exits. True: the client is told of them. Not
 * each can meet a CPU that is in the guest.
 */
static bool near(void)
{
	const struct luv_exit_record *exit;
	bool told = false;

	while ((exit = run())->reason == LUV_RUN_APIC) {
		EXPECT(exit->apic.kind, LUV_APIC_TIMER);
		EXPECT(exit->apic.halted, 0);
		told = true;
	}
	EXPECT(exit->reason, LUV_RUN_IO);
	EXPECT(exit->io.data, 0);
	CHECK(told || windows(), "nobody times them");
	return told;
}

/*
 * The client is told of a deadline when it is set, or the CPU times it. Then it is told before
 * it would wait; and it moves the guest's TSC to where the deadline has passed.
 */
static void test_far(int argument)
{
	const struct payload payload = {.code[2] = {payload_far, payload_far_end}};
	struct luv_vcpu_page *page;
	uint64_t told = 0, before;
	bool at_once;

	(void)argument;
	machine_create_with(&machine, LUV_VM_LAPIC, 0);
	machine_load(&machine, &payload, LONG);
	page = machine.vcpu[0].page;
	page->wanted |= LUV_GROUP_MSRS;
	at_once = near();
	before = windows();
	if (at_once)
		told = expect_apic(LUV_APIC_TIMER);
	expect_said(1);
	EXPECT(windows(), before);
	if (!at_once) {
		told = expect_apic(LUV_APIC_TIMER);
		EXPECT(page->exit.apic.halted, 1);
	}
	CHECK(told >> 32, "a deadline at %#" PRIx64, told);
	machine_run(&machine, 0, LUV_RUN_HLT);
	page->msr[LUV_MSR_TSC_OFFSET] += 1ull << 33;
	page->dirty |= LUV_GROUP_MSRS;
	expect_handler();
	expect_said(2);
	if (at_once)
		expect_apic(LUV_APIC_TIMER);
	CHECK(expect_apic(LUV_APIC_TIMER) != 0, "no deadline");
	machine_run(&machine, 0, LUV_RUN_HLT);
	page->msr[LUV_MSR_TSC_OFFSET] += 1ull << 33;
	page->dirty |= LUV_GROUP_MSRS;
	expect_handler();
	expect_handler(); /* #GP */
	machine_destroy(&machine);
}

/* A plain store to the page is the hypervisor's, everything else the client's. */
static void test_xapic(int argument)
{
	const struct payload payload = {.code[1] = {payload_xapic, payload_xapic_end}};

	(void)argument;
	machine_create_with(&machine, LUV_VM_LAPIC, 0);
	machine_load(&machine, &payload, PROTECTED);
	expect_said(1);
	EXPECT(apic_register(0xf0), 0x1ff);
	EXPECT(apic_register(0x80), 0x40);
	EXPECT(machine.vcpu[0].page->cr8, 4);
	EXPECT(machine_run(&machine, 0, LUV_RUN_MMIO)->mmio.gpa, 0xfee00010);
	machine_skip(&machine, 3);
	EXPECT(machine_run(&machine, 0, LUV_RUN_MMIO)->mmio.gpa, 0xfee00080);
	EXPECT(apic_register(0x80), 0x40);
	machine_skip(&machine, 7);
	expect_said(2);
	machine_destroy(&machine);
}

const struct test lapic_tests[] = {
	{.name = "local APICs", .run = test_lapic, .seconds = 90},
	{.name = "a deadline that is far away", .run = test_far},
	{.name = "the xAPIC page", .run = test_xapic},
	{0},
};
