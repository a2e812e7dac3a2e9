/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions of a guest's round trips on libluvalley itself, without the KVM face:
 *
 *     bench-luv [VMS VCPUS]        so many VMs exist, and vCPUs in each
 *     bench-luv spin ROW           one row for ever, for tools/bench/trace
 *     bench-luv trace ROW...       a few turns of each between breakpoints
 *
 * BENCH_ROWS=A,B: only these rows.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/guest.h"
#include "lib/luvalley.h"
#include "lib/pin.h"

#define BATCHES	    10
#define ITERATIONS  100
#define LOOPS	    2000
#define TRACE_WARM  20
#define TRACE_TURNS 4
#define FRESH_4K    (4u << 20)
#define FRESH_2M    (128u << 20)
#define FRESH_PAGES 16 /* in a batch, at least: so many may be mapped at once */

struct machine {
	int vm;
	uint8_t *memory;
	struct luv_vcpu_page *cpu;
};

struct row {
	const char *name;
	const uint8_t *program, *end;
	bool lapic;
};

#define ROW(row, code, ...)                                                                    \
	{                                                                                      \
		.name = (row), .program = guest_##code, .end = guest_##code##_end, __VA_ARGS__ \
	}

static const struct row rows[] = {
    ROW("luv-cpuid", cpuid),
    ROW("luv-rdmsr", rdmsr_efer),
    ROW("luv-out", out),
    ROW("luv-in", in),
    ROW("luv-hlt", halt),
    ROW("luv-x2apic-eoi", eoi, .lapic = true),
    ROW("luv-x2apic-tpr", tpr, .lapic = true),
    ROW("luv-x2apic-self-ipi", self_ipi, .lapic = true),
};

static unsigned batches, iterations; /* of a batch */
static double empty;
static int session;

static int must(int result, const char *what)
{
	if (result >= 0)
		return result;
	printf("@failed %s: %s\n", what, luv_strerror(result));
	exit(1);
}

static void *pages(size_t size, bool huge)
{
	const size_t align = 2u << 20;
	uint8_t *memory = mmap(NULL, size + align, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const char *why = "no memory is left";

	if (memory == MAP_FAILED)
		bench_fail("mmap");
	memory += align - (uintptr_t)memory % align;
	if (madvise(memory, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		bench_fail("madvise");
	memset(memory, 0, size);
	if (luv_pin(memory, size, &why) == 0)
		return memory;
	printf("@failed pin: %s\n", why);
	exit(1);
}

static void add_slot(int vm, unsigned number, uint64_t gpa, void *memory, size_t size)
{
	const struct luv_slot slot = {
	    .slot = number, .gpa = gpa, .size = size, .address = (uintptr_t)memory};

	must(luv_slot_set(vm, &slot), "luv_slot_set");
}

static void add_cpu(const struct machine *machine, unsigned index, struct luv_vcpu_page *page)
{
	uint8_t *others = pages(2 * 4096, false);
	const struct luv_vcpu_create create = {index, (uintptr_t)page, (uintptr_t)others,
					       (uintptr_t)others + 4096};
	/* Leaf 1 shows x2APIC and the TSC deadline. */
	static const struct luv_cpuid_entry table[] = {
	    {.leaf = 0, .eax = 1}, {.leaf = 1, .ecx = 1u << 21 | 1u << 24, .edx = 1u << 9}};

	must(luv_vcpu_create(machine->vm, &create), "luv_vcpu_create");
	must(luv_vcpu_cpuid(machine->vm, index, table, 2), "luv_vcpu_cpuid");
}

static void set_registers(struct luv_vcpu_page *cpu, bool lapic)
{
	const struct luv_segment code = {.limit = ~0u, .selector = 8, .attributes = 0xa9b},
				 data = {.limit = ~0u, .selector = 16, .attributes = 0xc93};

	for (int i = LUV_ES; i <= LUV_GS; i++)
		cpu->segment[i] = i == LUV_CS ? code : data;
	cpu->gdt_base = GUEST_GDT;
	cpu->gdt_limit = 23;
	cpu->idt_base = GUEST_IDT;
	cpu->idt_limit = 0x7ff;
	cpu->cr0 = 0x80000033;
	cpu->cr3 = GUEST_PML4;
	cpu->cr4 = 0x220;
	cpu->efer = 0x500;
	if (lapic)
		cpu->msr[LUV_MSR_APIC_BASE] |= 0xc00;
	cpu->dirty = LUV_GROUP_CONTROL | LUV_GROUP_SEGMENTS | LUV_GROUP_MSRS;
}

static void enable_apic(int vm)
{
	uint8_t registers[LUV_LAPIC_SIZE];
	const uint32_t spurious = 0x1ff;

	must(luv_vcpu_sync(vm, 0), "luv_vcpu_sync");
	must(luv_lapic_read(vm, 0, registers), "luv_lapic_read");
	memcpy(registers + 0xf0, &spurious, sizeof(spurious));
	must(luv_lapic_write(vm, 0, registers), "luv_lapic_write");
}

static void new_machine(struct machine *machine, bool lapic)
{
	const struct luv_vm_create create = {.flags = lapic ? LUV_VM_LAPIC : 0,
					     .owner_page = (uintptr_t)pages(4096, false)};

	machine->memory = pages(GUEST_MEMORY, false);
	machine->cpu = pages(4096, false);
	guest_prepare(machine->memory, 0);
	machine->vm = must(luv_vm_create(session, &create), "luv_vm_create");
	add_slot(machine->vm, 0, 0, machine->memory, GUEST_MEMORY);
	add_cpu(machine, 0, machine->cpu);
	machine->cpu->wanted = LUV_GROUPS_ALL;
	must(luv_vcpu_sync(machine->vm, 0), "luv_vcpu_sync");
	set_registers(machine->cpu, lapic);
	if (lapic)
		enable_apic(machine->vm);
}

/* The client's whole work for an exit. False at the guest's end. */
static bool answer(const struct machine *machine)
{
	const struct luv_exit_record *exit = &machine->cpu->exit;

	must(luv_vcpu_run(machine->vm, 0, machine->cpu), "luv_vcpu_run");
	switch (exit->reason) {
	case LUV_RUN_IO:
		return exit->io.port != GUEST_PORT_END;
	case LUV_RUN_HLT:
		return true;
	default:
		printf("@failed exit: reason %u\n", (unsigned)exit->reason);
		_Exit(1);
	}
}

static void set_start(const struct machine *machine, uint64_t count, uint64_t rdi, uint64_t r14,
		      bool interrupts)
{
	struct luv_vcpu_page *cpu = machine->cpu;

	/* Behind the last OUT, and with all of the group in the page. */
	cpu->wanted = LUV_GROUP_GENERAL;
	must(luv_vcpu_sync(machine->vm, 0), "luv_vcpu_sync");
	cpu->wanted = 0;
	memset(cpu->general, 0, sizeof(cpu->general));
	cpu->general[LUV_RSI] = count;
	cpu->general[LUV_RDI] = rdi;
	cpu->general[LUV_R14] = r14;
	cpu->general[LUV_RSP] = GUEST_STACK;
	cpu->rip = GUEST_CODE;
	cpu->rflags = interrupts ? 0x202 : 2;
	cpu->dirty |= LUV_GROUP_GENERAL;
}

static uint64_t run_program(const struct machine *machine, uint64_t count, uint64_t rdi,
			    uint64_t r14, bool interrupts)
{
	set_start(machine, count, rdi, r14, interrupts);
	while (answer(machine))
		;
	machine->cpu->wanted = LUV_GROUP_GENERAL;
	must(luv_vcpu_sync(machine->vm, 0), "luv_vcpu_sync");
	return machine->cpu->general[LUV_R9];
}

static double least(const struct machine *machine, const struct row *row)
{
	double best = 1e18;

	guest_load(machine->memory, row->program, row->end);
	for (unsigned i = 0; i < batches; i++) {
		double ticks =
		    (double)run_program(machine, iterations, 0, 0, row->lapic) / iterations;

		best = ticks < best ? ticks : best;
	}
	return best - empty;
}

static void measure_touch(const struct machine *machine, const char *name, unsigned slot,
			  uint64_t gpa, size_t size, size_t step)
{
	size_t count = step > 4096 ? FRESH_PAGES : iterations;
	double best = 1e18;

	if (!bench_wanted(name))
		return;
	add_slot(machine->vm, slot, gpa, pages(size, step > 4096), size);
	guest_load(machine->memory, guest_touch, guest_touch_end);
	/* The first page of each 2 MiB needs a table; a batch without is what a page costs. */
	for (size_t i = 0; i < batches && (i + 1) * count * step <= size; i++) {
		double each =
		    (double)run_program(machine, count, gpa + i * count * step, step, false) /
		    (double)count;

		best = each < best ? each : best;
	}
	bench_row(name, best - empty);
}

/* The bare call: into the hypervisor and back, with nothing to do there. */
static void measure_call(void)
{
	double best = 1e18;

	if (!bench_wanted("luv-call"))
		return;
	for (unsigned i = 0; i < batches; i++) {
		uint64_t start = __builtin_ia32_rdtsc();
		double each;

		for (unsigned n = 0; n < iterations; n++)
			luv_query(LUV_QUERY_CPUS);
		each = (double)(__builtin_ia32_rdtsc() - start) / iterations;
		best = each < best ? each : best;
	}
	bench_row("luv-call", best);
}

/* vCPUs that exist beside the one that runs. */
static void more_cpus(const struct machine *machine, unsigned cpus)
{
	for (unsigned cpu = 1; cpu < cpus; cpu++)
		add_cpu(machine, cpu, pages(4096, false));
}

/* VMs that exist and have run, while another is measured; each second has a local APIC. */
static void crowd(unsigned vms, unsigned cpus)
{
	for (unsigned i = 1; i < vms; i++) {
		struct machine other;
		bool lapic = i % 2;

		new_machine(&other, lapic);
		more_cpus(&other, cpus);
		guest_load(other.memory, guest_out, guest_out_end);
		run_program(&other, 1, 0, 0, lapic);
	}
}

static void measure(const struct machine *machine, bool lapic)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].lapic == lapic && bench_wanted(rows[i].name))
			bench_row(rows[i].name, least(machine, &rows[i]));
	}
}

static double run_loop(const struct machine *machine)
{
	double best = 1e18;

	guest_load(machine->memory, guest_empty, guest_empty_end);
	for (unsigned i = 0; i < batches; i++) {
		double each = (double)run_program(machine, LOOPS, 0, 0, false) / LOOPS;

		best = each < best ? each : best;
	}
	return best;
}

static void call(unsigned count)
{
	while (count--)
		luv_query(LUV_QUERY_CPUS);
}

static const struct row *find_row(const char *name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!strcmp(name, rows[i].name) && !rows[i].lapic)
			return &rows[i];
	}
	printf("@failed trace: no row %s\n", name);
	exit(1);
}

/* One program for ever. */
static void spin(const struct machine *machine, const char *name)
{
	const struct row *row = strcmp(name, "luv-call") ? find_row(name) : NULL;

	printf("@spinning\n");
	if (!row) {
		for (;;)
			call(1000);
	}
	guest_load(machine->memory, row->program, row->end);
	run_program(machine, ~0ull, 0, 0, false);
}

/* A few turns of each between two breakpoints. */
static void trace(const struct machine *machine, char **names)
{
	for (; *names; names++) {
		const struct row *row = strcmp(*names, "luv-call") ? find_row(*names) : NULL;

		if (row) {
			guest_load(machine->memory, row->program, row->end);
			run_program(machine, TRACE_WARM, 0, 0, false);
		} else {
			call(TRACE_WARM);
		}
		printf("@trace %s\n", *names);
		bench_break();
		if (row)
			run_program(machine, TRACE_TURNS, 0, 0, false);
		else
			call(TRACE_TURNS);
		bench_break();
	}
}

static void measure_all(unsigned vms, unsigned cpus)
{
	static const struct row nothing = ROW("empty", empty);
	struct machine machine, lapic;

	crowd(vms, cpus);
	new_machine(&machine, false);
	more_cpus(&machine, cpus);
	bench_loop(run_loop(&machine));
	empty = least(&machine, &nothing) - 1;
	measure(&machine, false);
	measure_call();
	measure_touch(&machine, "luv-touch-4k", 1, GUEST_FRESH, FRESH_4K, 4096);
	measure_touch(&machine, "luv-touch-2m", 2, GUEST_FRESH + FRESH_4K, FRESH_2M, 2u << 20);
	new_machine(&lapic, true);
	more_cpus(&lapic, cpus);
	measure(&lapic, true);
}

int main(int count, char **words)
{
	struct machine machine;
	uint32_t key[3];
	const char *why =
	    luv_present() ? luv_key_read(key) : "this system does not run under Luvalley";

	setvbuf(stdout, NULL, _IOLBF, 0);
	batches = bench_number("BENCH_BATCHES", BATCHES);
	iterations = bench_number("BENCH_TURNS", ITERATIONS);
	if (why) {
		printf("@failed key: %s\n", why);
		return 1;
	}
	session = must(luv_session_open(key), "luv_session_open");
	if (count > 2 && (!strcmp(words[1], "spin") || !strcmp(words[1], "trace"))) {
		new_machine(&machine, false);
		if (words[1][0] == 's')
			spin(&machine, words[2]);
		trace(&machine, words + 2);
		return 0;
	}
	if (count > 2)
		bench_many((unsigned)atoi(words[1]), (unsigned)atoi(words[2]));
	measure_all(count > 2 ? (unsigned)atoi(words[1]) : 1,
		    count > 2 ? (unsigned)atoi(words[2]) : 1);
	return 0;
}
