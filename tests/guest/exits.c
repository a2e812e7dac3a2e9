/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything that ends RUN, in every mode. */
#include <cpuid.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest/machine.h"

#define PAGE 4096u

#define VECTOR_DE 0
#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_UD 6
#define VECTOR_PF 14

#define BIT(n) (1ull << (n))

#define MSR_NOBODYS 0x4b564dffu

PAYLOAD(io);
PAYLOAD(string);
PAYLOAD(mmio);
PAYLOAD(cpuid);
PAYLOAD(rdtscp);
PAYLOAD(exceptions);
PAYLOAD(int3);
PAYLOAD(breakpoint);
PAYLOAD(debug_registers);
PAYLOAD(fault);
PAYLOAD(msr);
PAYLOAD(vmmcall);
PAYLOAD(vmcall);
PAYLOAD(triple);
PAYLOAD(window);
PAYLOAD(step);
PAYLOAD(spin);
PAYLOAD(add);
PAYLOAD(dirty);
PAYLOAD(sse);

static struct machine machine;

static struct luv_vcpu_page *begin(const struct payload *payload, int mode)
{
	machine_create(&machine, 0);
	machine_load(&machine, payload, (enum mode)mode);
	return machine.vcpu[0].page;
}

static void finish(void)
{
	machine_run(&machine, 0, LUV_RUN_HLT);
	machine_destroy(&machine);
}

static void expect_in(unsigned port, unsigned size, uint64_t answer)
{
	struct luv_exit_record *exit = machine_run(&machine, 0, LUV_RUN_IO);

	EXPECT(exit->io.flags, LUV_IO_IN);
	EXPECT(exit->io.port, port);
	EXPECT(exit->io.size, size);
	exit->io.data = answer;
}

/* More bits than the width: the guest sees as many as it asked for. */
static void test_io(int mode)
{
	begin(&io, mode);
	machine_expect_out(&machine, 0x10, 1, 0x41);
	machine_expect_out(&machine, 0x1234, 4, 0x89abcdef);
	machine_expect_out(&machine, 0x1234, 2, 0xcdef);
	expect_in(0x11, 1, 0xffffffffffffff5a);
	machine_expect_out(&machine, 0x1234, 4, 0x89abcd5a);
	expect_in(0x1234, 2, 0xffffffffffff7777);
	machine_expect_out(&machine, 0x1234, 4, 0x89ab7777);
	expect_in(0x1234, 4, 0xffffffff11223344);
	machine_expect_out(&machine, 0x1234, 4, 0x11223344);
	finish();
}

static void expect_string(int mode, uint64_t flags, unsigned length)
{
	static const unsigned bits[MODE_COUNT] = {16, 32, 32, 64};
	const uint64_t rip = machine.vcpu[0].page->rip;
	const struct luv_exit_record *exit = machine_run(&machine, 0, LUV_RUN_IO);

	EXPECT(exit->io.flags, LUV_IO_STRING | flags);
	EXPECT(exit->io.port, 0x77);
	EXPECT(exit->io.size, 1);
	EXPECT(exit->io.address_bits, bits[mode]);
	EXPECT(exit->io.segment, flags & LUV_IO_IN ? LUV_ES : LUV_DS);
	EXPECT(machine.vcpu[0].page->rip, rip);
	CHECK(exit->instruction_length == 0 || exit->instruction_length == length,
	      "length %" PRIu64 ", not %u", exit->instruction_length, length);
	machine_skip(&machine, length);
}

static void test_string(int mode)
{
	struct luv_vcpu_page *page = begin(&string, mode);

	page->general[LUV_RDX] = 0x77;
	page->general[LUV_RCX] = 3;
	expect_string(mode, LUV_IO_REP, 2);
	expect_string(mode, 0, 1);
	expect_string(mode, LUV_IO_REP | LUV_IO_IN, 2);
	expect_string(mode, LUV_IO_IN, 1);
	finish();
}

static void expect_mmio(uint64_t gpa, uint64_t write, unsigned length)
{
	const uint64_t rip = machine.vcpu[0].page->rip;
	const struct luv_exit_record *exit = machine_run(&machine, 0, LUV_RUN_MMIO);

	EXPECT(exit->mmio.gpa, gpa);
	EXPECT(exit->mmio.write, write);
	CHECK(machine.vcpu[0].page->rip >= rip, "rip went back");
	CHECK(exit->mmio.byte_count >= length && exit->mmio.byte_count <= 16,
	      "%" PRIu64 " bytes of the instruction", exit->mmio.byte_count);
	CHECK(memcmp(exit->mmio.bytes, machine.memory + machine.vcpu[0].page->rip, length) == 0,
	      "other bytes than those at rip");
	machine_skip(&machine, length);
}

static void test_mmio(int mode)
{
	static const unsigned length[MODE_COUNT] = {5, 3, 3, 4};
	struct luv_vcpu_page *page = begin(&mmio, mode);

	expect_mmio(MMIO, 1, length[mode]);
	expect_mmio(MMIO, 0, length[mode]);
	page->general[LUV_RAX] = 0x55667788;
	machine_expect_out(&machine, 0x10, 4, 0x55667788);
	finish();
}

/* The client has executed it: RIP moves on, other registers stay, the shadow of STI ends. */
static void test_rip_alone(int mode)
{
	static const unsigned length[MODE_COUNT] = {5, 3, 3, 4};
	struct luv_vcpu_page *page = begin(&mmio, mode);
	uint64_t rax;

	EXPECT(machine_run(&machine, 0, LUV_RUN_MMIO)->mmio.flags,
	       mode == LONG ? LUV_MMIO_CODE64 : 0);
	page->events.shadow = 1;
	page->dirty = LUV_GROUP_EVENTS;
	EXPECT(luv_vcpu_sync(machine.vm, 0), 0);
	EXPECT(page->events.shadow, 1);
	rax = page->general[LUV_RAX];
	page->general[LUV_RAX] = ~rax;
	page->rip += length[mode];
	page->dirty = LUV_GROUP_RIP;
	EXPECT(luv_vcpu_sync(machine.vm, 0), 0);
	EXPECT(page->events.shadow, 0);
	EXPECT(page->general[LUV_RAX], rax);
	expect_mmio(MMIO, 0, length[mode]);
	page->general[LUV_RAX] = 0x55667788;
	machine_expect_out(&machine, 0x10, 4, 0x55667788);
	finish();
}

/* Reads go to the memory, writes to the client. */
static void test_read_only(int mode)
{
	static const unsigned length[MODE_COUNT] = {5, 3, 3, 4};
	struct luv_vcpu_page *page = begin(&mmio, mode);
	uint32_t *memory = pinned_pages(PAGE);

	memory[0] = 0x12345678;
	machine_map_more(&machine, memory, PAGE, LUV_SLOT_READ_ONLY);
	page->segment[LUV_ES].base = mode == REAL ? MORE : 0;
	page->general[LUV_RDI] = mode == REAL ? 0 : MORE;
	expect_mmio(MORE, 1, length[mode]);
	machine_expect_out(&machine, 0x10, 4, 0x12345678);
	EXPECT(memory[0], 0x12345678);
	finish();
}

static void test_cpuid(int mode)
{
	const struct luv_cpuid_entry entries[] = {
		{.leaf = 0, .eax = 7, .ebx = 1, .ecx = 2, .edx = 3},
		{.leaf = 7, .subleaf = 0, .flags = LUV_CPUID_SUBLEAF, .eax = 11},
		{.leaf = 7,
		 .subleaf = 1,
		 .flags = LUV_CPUID_SUBLEAF,
		 .eax = 21,
		 .ebx = 22,
		 .ecx = 23,
		 .edx = 0xffffffff},
	};
	struct luv_vcpu_page *page = begin(&cpuid, mode);

	EXPECT(luv_vcpu_cpuid(machine.vm, 0, entries, 3), 0);
	page->general[LUV_RAX] = 7;
	page->general[LUV_RCX] = 1;
	machine_expect_out(&machine, 0x10, 4, 21);
	machine_expect_out(&machine, 0x10, 4, 22);
	machine_expect_out(&machine, 0x10, 4, 23);
	machine_expect_out(&machine, 0x10, 4, 0xffffffff);
	finish();
}

static const struct luv_exit_record *expect_exception(unsigned vector)
{
	const struct luv_exit_record *exit = machine_run(&machine, 0, LUV_RUN_EXCEPTION);

	EXPECT(exit->exception.vector, vector);
	return exit;
}

/* Before a table of CPUID is set the guest has what the CPU has. */
static void test_rdtscp(int mode)
{
	const struct luv_cpuid_entry without = {.leaf = 0, .eax = 1};
	unsigned eax, ebx, ecx, edx = 0;
	struct luv_vcpu_page *page;

	if (!__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) || !(edx & BIT(27)))
		skip("the CPU has no RDTSCP");
	page = begin(&rdtscp, mode);
	page->debug_exceptions = BIT(VECTOR_UD);
	machine_expect_out(&machine, 0x10, 1, 0x42);
	EXPECT(luv_vcpu_cpuid(machine.vm, 0, &without, 1), 0);
	/* TCG does not intercept it. */
	if (under_tcg())
		machine_expect_out(&machine, 0x10, 1, 0x42);
	else
		expect_exception(VECTOR_UD);
	machine_destroy(&machine);
}

static void test_exceptions(int mode)
{
	struct luv_vcpu_page *page = begin(&exceptions, mode);

	page->debug_exceptions = BIT(VECTOR_UD) | BIT(VECTOR_DE);
	expect_exception(VECTOR_UD);
	EXPECT(page->rip, CODE);
	machine_skip(&machine, 2);
	EXPECT(expect_exception(VECTOR_DE)->exception.has_error, 0);
	machine_skip(&machine, mode == REAL ? 3 : 2);
	finish();
}

/* What debuggers plant. */
static void test_int3(int mode)
{
	struct luv_vcpu_page *page;

	if (under_tcg())
		skip("TCG does not intercept INT3 as #BP");
	page = begin(&int3, mode);
	page->debug_exceptions = BIT(VECTOR_BP);
	expect_exception(VECTOR_BP);
	EXPECT(page->rip, CODE);
	machine_skip(&machine, 1);
	finish();
}

/* What the client does not ask for reaches the guest's handler. */
static void test_own_exceptions(int mode)
{
	begin(&triple, mode);
	machine_expect_out(&machine, PORT_HANDLER, 1, 0x69);
	machine_expect_out(&machine, PORT_HANDLER, 1, 0x69);
	machine_destroy(&machine);
}

static void test_page_fault(int mode)
{
	struct luv_vcpu_page *page = begin(&fault, mode);
	const struct luv_exit_record *exit;

	page->debug_exceptions = BIT(VECTOR_PF);
	page->general[LUV_RSI] = UNMAPPED + 4;
	exit = expect_exception(VECTOR_PF);
	EXPECT(exit->exception.has_error, 1);
	EXPECT(exit->exception.error, 0);
	EXPECT(exit->exception.address, UNMAPPED + 4);
	machine_skip(&machine, mode == LONG ? 3 : 2);
	finish();
}

static void test_msr(int mode)
{
	struct luv_vcpu_page *page = begin(&msr, mode);
	struct luv_exit_record *exit;

	page->general[LUV_RCX] = MSR_NOBODYS;
	exit = machine_run(&machine, 0, LUV_RUN_RDMSR);
	EXPECT(exit->msr.index, MSR_NOBODYS);
	exit->msr.value = 0x1122334455667788;
	machine_expect_out(&machine, 0x10, 4, 0x55667788);
	machine_expect_out(&machine, 0x10, 4, 0x11223344);
	exit = machine_run(&machine, 0, LUV_RUN_WRMSR);
	EXPECT(exit->msr.index, MSR_NOBODYS);
	EXPECT(exit->msr.value, 0x1122334411223344);
	exit = machine_run(&machine, 0, LUV_RUN_WRMSR);
	exit->msr.refuse = 1;
	/* #GP, to the guest's handler. */
	machine_expect_out(&machine, PORT_HANDLER, 1, 0x69);
	EXPECT(page->general[LUV_RSP] < STACK, 1);
	machine_destroy(&machine);
}

static void test_call(int mode)
{
	bool amd = luv_query(LUV_QUERY_VENDOR) == LUV_VENDOR_SVM;
	struct luv_vcpu_page *page = begin(amd ? &vmmcall : &vmcall, mode);

	machine_run(&machine, 0, LUV_RUN_CALL);
	EXPECT(page->rip, CODE);
	machine_skip(&machine, 3);
	finish();
}

static void test_shutdown(int mode)
{
	struct luv_vcpu_page *page = begin(&triple, mode);

	page->idt_limit = 0;
	machine_run(&machine, 0, LUV_RUN_SHUTDOWN);
	machine_destroy(&machine);
}

static struct luv_vcpu_page *run_to_window(int mode)
{
	struct luv_vcpu_page *page = begin(&window, mode);

	machine_expect_out(&machine, 0x10, 1, 0);
	EXPECT(page->ready & (LUV_READY_INTERRUPT | LUV_READY_IF), 0);
	page->request = LUV_REQUEST_INTERRUPT_WINDOW;
	machine_run(&machine, 0, LUV_RUN_INTERRUPT_WINDOW);
	EXPECT(page->ready & (LUV_READY_INTERRUPT | LUV_READY_IF),
	       LUV_READY_INTERRUPT | LUV_READY_IF);
	return page;
}

static void test_interrupt(int mode)
{
	struct luv_vcpu_page *page = run_to_window(mode);

	/* Where an interrupt of dom0's ends the guest in the shadow, TCG forgets it: not again and again. */
	for (unsigned tries = 0; page->rip < CODE + 4 && tries < 3; tries++) {
		machine_destroy(&machine);
		page = run_to_window(mode);
	}
	CHECK(page->rip >= CODE + 4, "rip %#" PRIx64 ": in the shadow of STI", page->rip);
	page->request = 0;
	page->inject.event = LUV_INJECT_VALID | LUV_INJECT_INTERRUPT | 0x20;
	machine_expect_out(&machine, PORT_HANDLER, 1, 0x69);
	EXPECT(page->ready & LUV_READY_IF, 0);
	EXPECT(page->inject.event, 0);
	page->request = LUV_REQUEST_INTERRUPT_WINDOW;
	machine_run(&machine, 0, LUV_RUN_INTERRUPT_WINDOW);
	machine_destroy(&machine);
}

/* An interrupt given to a guest that cannot take it waits until it can. */
static void test_early_interrupt(int mode)
{
	struct luv_vcpu_page *page = begin(&window, mode);

	page->inject.event = LUV_INJECT_VALID | LUV_INJECT_INTERRUPT | 0x20;
	machine_expect_out(&machine, 0x10, 1, 0);
	machine_expect_out(&machine, PORT_HANDLER, 1, 0x69);
	machine_destroy(&machine);
}

static void test_nmi(int mode)
{
	struct luv_vcpu_page *page = begin(&window, mode);

	page->inject.event = LUV_INJECT_VALID | LUV_INJECT_NMI | 2;
	machine_expect_out(&machine, PORT_HANDLER, 1, 0x69);
	EXPECT(page->events.nmi_blocked, 1);
	EXPECT(page->ready & LUV_READY_NMI, 0);
	page->request = LUV_REQUEST_NMI_WINDOW;
	machine_run(&machine, 0, LUV_RUN_NMI_WINDOW);
	EXPECT(page->events.nmi_blocked, 0);
	EXPECT(page->rip, CODE);
	machine_destroy(&machine);
}

static void test_step(int mode)
{
	struct luv_vcpu_page *page = begin(&step, mode);

	page->debug_flags = LUV_DEBUG_SINGLE_STEP;
	for (unsigned i = 1; i <= 3; i++) {
		expect_exception(VECTOR_DB);
		EXPECT(page->rip, CODE + i);
		EXPECT(page->rflags & 0x100, 0);
	}
	page->debug_flags = 0;
	finish();
}

/* The guest sets it, the client gets it. (QEMU's TCG arms what MOV writes, not what VMRUN loads.) */
static void test_breakpoint(int mode)
{
	struct luv_vcpu_page *page = begin(&breakpoint, mode);
	const unsigned length = 6; /* of the two MOV */

	page->general[LUV_RSI] = CODE + length + 1;
	page->general[LUV_RAX] = 0x401;
	page->debug_exceptions = BIT(VECTOR_DB);
	page->wanted |= LUV_GROUP_DEBUG;
	EXPECT(expect_exception(VECTOR_DB)->exception.dr6 & 0xf, 1);
	EXPECT(page->rip, CODE + length + 1);
	EXPECT(page->dr[0], CODE + length + 1);
	EXPECT(page->dr[7], 0x401);
	machine_skip(&machine, 1);
	finish();
}

static uint64_t debug_exits(void)
{
	struct luv_vcpu_statistics statistics;

	EXPECT(luv_vcpu_statistics(machine.vm, 0, &statistics), 0);
	return statistics.exits[LUV_EXIT_DR];
}

/* They exit once after each entry from dom0, unless a breakpoint is enabled: then they are the guest's from the start. */
static void test_debug_registers(int mode)
{
	struct luv_vcpu_page *page = begin(&debug_registers, mode);
	uint64_t exits;

	page->wanted |= LUV_GROUP_DEBUG;
	EXPECT(luv_vcpu_sync(machine.vm, 0), 0);
	for (unsigned i = 0; i < 4; i++)
		page->dr[i] = 0x1230 + i;
	page->dirty = LUV_GROUP_DEBUG;
	machine_expect_out(&machine, 0x10, 1, 0);
	EXPECT(debug_exits(), 0);
	for (unsigned i = 0; i < 4; i++) {
		exits = debug_exits();
		machine_expect_out(&machine, 0x10, 4, 0x1230 + i);
		/* An interrupt, or memory that the library has to touch, is an entry more. */
		exits = debug_exits() - exits;
		CHECK(i == 2 ? !exits : exits == 1 || exits == 2, "%" PRIu64 " exits", exits);
		EXPECT(page->dr[i], DATA);
		page->dr[7] = i == 1 ? 0x402 : 0x400;
		page->dr[0] = i == 1 ? UNMAPPED : DATA;
		page->dirty = LUV_GROUP_DEBUG;
	}
	finish();
}

static void test_stop(int mode)
{
	struct luv_vcpu_page *page = begin(&spin, mode);

	*machine.vcpu[0].stop = 1;
	EXPECT(luv_vcpu_run(machine.vm, 0, page), LUV_ERR_INTR);
	*machine.vcpu[0].stop = 0;
	page->signal = 1;
	EXPECT(luv_vcpu_run(machine.vm, 0, page), LUV_ERR_INTR);
	EXPECT(page->rip, CODE);
	machine_destroy(&machine);
}

/* Tables that lie where no memory is: nobody emulates that. */
static void test_walk(int mode)
{
	const uint64_t table = UNMAPPED | (mode == PAE ? 1 : 3);

	begin(&spin, mode);
	memcpy(machine.memory + TABLES, &table, sizeof(table));
	machine_run(&machine, 0, LUV_RUN_WALK);
	machine_destroy(&machine);
}

static void test_dirty(int mode)
{
	uint64_t bitmap[2];
	struct luv_vcpu_page *page;

	machine_create(&machine, LUV_SLOT_LOG_DIRTY);
	machine_load(&machine, &dirty, (enum mode)mode);
	page = machine.vcpu[0].page;
	page->general[LUV_RCX] = 2;
	machine_run(&machine, 0, LUV_RUN_HLT);
	EXPECT(luv_dirty_read(machine.vm, 0, 0, 128, bitmap), 0);
	/* With paging, the tables' accessed bits count as well. */
	EXPECT(bitmap[0] & ~(7ull << TABLES / PAGE), 3ull << DATA / PAGE);
	EXPECT(bitmap[1], 0);
	EXPECT(luv_dirty_read(machine.vm, 0, 0, 128, bitmap), 0);
	EXPECT(bitmap[0], 0);
	page->rip = CODE;
	page->general[LUV_RCX] = 1;
	page->general[LUV_RSI] = DATA;
	page->dirty |= LUV_GROUP_GENERAL;
	finish();
}

static void test_sse(int mode)
{
	struct luv_vcpu_page *page = begin(&sse, mode);
	uint8_t *data = machine.memory + DATA;

	(void)page;
	for (unsigned i = 0; i < 16; i++)
		data[i] = (uint8_t)(i * 17);
	machine_expect_out(&machine, 0x10, 1, 0);
	memset(data, 0, 16);
	machine_run(&machine, 0, LUV_RUN_HLT);
	for (unsigned i = 0; i < 16; i++)
		EXPECT(data[16 + i], i * 17);
	machine_destroy(&machine);
}

/* What is written comes back, in every group. */
static void test_registers(int mode)
{
	struct luv_vcpu_page *page = begin(&step, mode), wanted;

	page->wanted = LUV_GROUPS_ALL & ~LUV_GROUP_FPU;
	EXPECT(luv_vcpu_sync(machine.vm, 0), 0);
	for (unsigned i = 0; i < LUV_GENERAL_COUNT; i++)
		page->general[i] = 0x1111111111111111ull * i;
	for (unsigned i = 0; i < 4; i++)
		page->dr[i] = 0x1000 + i;
	for (unsigned i = LUV_MSR_STAR; i <= LUV_MSR_SYSENTER_EIP; i++)
		page->msr[i] = 0x1000 + i;
	page->cr2 = 0x123456789;
	page->cr8 = 5;
	page->segment[LUV_FS].base = 0x12345000;
	page->events.nmi_blocked = 1;
	wanted = *page;
	page->dirty = LUV_GROUPS_ALL & ~LUV_GROUP_FPU;
	EXPECT(luv_vcpu_sync(machine.vm, 0), 0);
	EXPECT(page->dirty, 0);
	memset(page->general, 0, offsetof(struct luv_vcpu_page, debug_flags) -
					 offsetof(struct luv_vcpu_page, general));
	EXPECT(luv_vcpu_sync(machine.vm, 0), 0);
	EXPECT(page->valid, LUV_GROUPS_ALL & ~LUV_GROUP_FPU);
	for (size_t i = offsetof(struct luv_vcpu_page, general) / 8;
	     i < offsetof(struct luv_vcpu_page, debug_flags) / 8; i++)
		CHECK(((const uint64_t *)page)[i] == ((const uint64_t *)&wanted)[i],
		      "word %zu of the page: %#" PRIx64 ", not %#" PRIx64, i,
		      ((const uint64_t *)page)[i], ((const uint64_t *)&wanted)[i]);
	machine_destroy(&machine);
}

static void test_statistics(int mode)
{
	struct luv_vcpu_statistics statistics;

	begin(&io, mode);
	machine_expect_out(&machine, 0x10, 1, 0x41);
	machine_expect_out(&machine, 0x1234, 4, 0x89abcdef);
	EXPECT(luv_vcpu_statistics(machine.vm, 0, &statistics), 0);
	EXPECT(statistics.exits[LUV_EXIT_IO], 2);
	/* The library runs again after memory was touched. */
	CHECK(statistics.runs >= 2 && statistics.runs < 50, "%" PRIu64 " runs", statistics.runs);
	EXPECT(luv_vcpu_statistics(machine.vm, 1, &statistics), LUV_ERR_NOENT);
	machine_destroy(&machine);
}

/* --- several vCPUs ------------------------------------------------------------------------- */

#define ADDITIONS 200000u

static void *run_vcpu(void *argument)
{
	machine_run(&machine, *(unsigned *)argument, LUV_RUN_HLT);
	return NULL;
}

static void test_smp(int mode)
{
	static unsigned index[MACHINE_VCPUS];
	const unsigned vcpus = 4;
	pthread_t thread[MACHINE_VCPUS];
	uint32_t sum;

	begin(&add, mode);
	for (unsigned i = 0; i < vcpus; i++) {
		index[i] = i;
		if (i)
			machine_add_vcpu(&machine, i);
		machine_start(&machine, i, (enum mode)mode);
		machine.vcpu[i].page->general[LUV_RCX] = ADDITIONS;
	}
	for (unsigned i = 0; i < vcpus; i++)
		pthread_create(&thread[i], NULL, run_vcpu, &index[i]);
	for (unsigned i = 0; i < vcpus; i++)
		pthread_join(thread[i], NULL);
	memcpy(&sum, machine.memory + DATA, sizeof(sum));
	EXPECT(sum, vcpus * ADDITIONS);
	machine_destroy(&machine);
}

#define IN_MODE(what, function, mode, mode_name) {what " (" mode_name ")", function, mode, 0, false}
#define PAGED(what, function) \
	IN_MODE(what, function, PAE, "PAE"), IN_MODE(what, function, LONG, "long mode")
#define ALL(what, function) \
	IN_MODE(what, function, REAL, "real mode"), \
		IN_MODE(what, function, PROTECTED, "protected mode"), PAGED(what, function)

const struct test exit_tests[] = {
	ALL("port I/O", test_io),
	ALL("string I/O", test_string),
	ALL("MMIO", test_mmio),
	ALL("RIP alone", test_rip_alone),
	ALL("read-only memory", test_read_only),
	ALL("CPUID", test_cpuid),
	ALL("RDTSCP", test_rdtscp),
	ALL("exceptions to the client", test_exceptions),
	ALL("breakpoint instruction to the client", test_int3),
	ALL("exceptions to the guest", test_own_exceptions),
	PAGED("page fault to the client", test_page_fault),
	ALL("unknown MSR", test_msr),
	ALL("call from a guest", test_call),
	ALL("triple fault", test_shutdown),
	ALL("interrupt window", test_interrupt),
	ALL("interrupt before its window", test_early_interrupt),
	ALL("NMI window", test_nmi),
	ALL("single step", test_step),
	ALL("hardware breakpoint", test_breakpoint),
	ALL("debug registers", test_debug_registers),
	ALL("stop byte and signal word", test_stop),
	PAGED("page tables without memory", test_walk),
	ALL("dirty log", test_dirty),
	ALL("SSE state", test_sse),
	ALL("register groups", test_registers),
	ALL("statistics", test_statistics),
	ALL("4 vCPUs", test_smp),
	{0},
};
