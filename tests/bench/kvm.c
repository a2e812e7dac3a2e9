/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions of a guest's round trips on KVM's API, for whoever stands behind /dev/kvm:
 *
 *     bench-kvm [VMS VCPUS]      so many VMs exist, and vCPUs in each
 *     bench-kvm spin ROW         one row for ever, for tools/bench/trace
 *     bench-kvm trace ROW...     a few turns of each between breakpoints
 *
 * BENCH_ROWS=A,B: only these rows.
 *
 * Times are read by RDTSC in the guest: under QEMU's -icount a tick is an instruction. Each row
 * is the least of some batches, so that no timer interrupt of dom0's is in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/guest.h"

#define BATCHES	    10
#define ITERATIONS  100
#define LOOPS	    2000
#define TRACE_WARM  20
#define TRACE_TURNS 4
#define FRESH_4K    (4u << 20)
#define FRESH_2M    (128u << 20)
#define FRESH_PAGES 16 /* in a batch, at least: so many may be mapped at once */

struct machine {
	int vm, cpu, cpu1;
	uint8_t *memory, *fresh;
	struct kvm_run *run, *run1;
	bool lapic, xapic;
};

struct row {
	const char *name;
	const uint8_t *program, *end;
	uint64_t rdi;
	unsigned less; /* ticks that are no work of anybody's */
};

#define ROW(row, code, ...)                                                                    \
	{                                                                                      \
		.name = (row), .program = guest_##code, .end = guest_##code##_end, __VA_ARGS__ \
	}

static const struct row plain_rows[] = {
    ROW("cpuid", cpuid),
    ROW("out", out),
    ROW("hlt", halt),
    ROW("rdmsr", rdmsr_efer),
    ROW("in", in),
    ROW("mmio-write", store, .rdi = GUEST_MMIO),
    ROW("mmio-read", fetch, .rdi = GUEST_MMIO),
};

static const struct row event_rows[] = {
    ROW("out-event", out_event),
    ROW("mmio-event", store, .rdi = GUEST_MMIO_EVENT),
};

static const struct row apic_rows[] = {
    ROW("x2apic-eoi", eoi),
    ROW("x2apic-tpr", tpr),
    ROW("x2apic-self-ipi", self_ipi),
    ROW("x2apic-arm-timer", arm_timer),
    ROW("x2apic-timer", timer, .less = GUEST_TIMER_TICKS),
    ROW("x2apic-client-irq", client_irq),
    ROW("x2apic-wake", ping),
    ROW("x2apic-ipi", ping_spin),
};

static const struct row xapic_rows[] = {
    ROW("xapic-eoi", mmio_eoi, .rdi = GUEST_APIC),
    ROW("xapic-tpr", mmio_tpr, .rdi = GUEST_APIC),
    ROW("xapic-self-ipi", mmio_self_ipi, .rdi = GUEST_APIC),
};

static int kvm;
static unsigned batches, iterations; /* of a batch */
static double empty;		     /* ticks of the loop itself */

static int must(int result, const char *what)
{
	if (result < 0)
		bench_fail(what);
	return result;
}

static void *memory_of(size_t size, bool huge)
{
	const size_t align = 2u << 20;
	uint8_t *memory = mmap(NULL, size + align, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		bench_fail("mmap");
	memory += align - (uintptr_t)memory % align;
	must(madvise(memory, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE), "madvise");
	memset(memory, 1, size);
	return memory;
}

static void add_slot(const struct machine *machine, unsigned slot, uint64_t gpa, void *memory,
		     size_t size)
{
	struct kvm_userspace_memory_region region = {
	    .slot = slot,
	    .guest_phys_addr = gpa,
	    .memory_size = size,
	    .userspace_addr = (uintptr_t)memory,
	};

	must(ioctl(machine->vm, KVM_SET_USER_MEMORY_REGION, &region),
	     "KVM_SET_USER_MEMORY_REGION");
}

static void set_cpuid(int cpu)
{
	struct kvm_cpuid2 *table = calloc(1, sizeof(*table) + 256 * sizeof(table->entries[0]));

	table->nent = 256;
	must(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, table), "KVM_GET_SUPPORTED_CPUID");
	for (unsigned i = 0; i < table->nent; i++) {
		if (table->entries[i].function == 1) /* x2APIC, the TSC deadline timer */
			table->entries[i].ecx |= 1u << 21 | 1u << 24;
	}
	must(ioctl(cpu, KVM_SET_CPUID2, table), "KVM_SET_CPUID2");
	free(table);
}

static void set_registers(const struct machine *machine, int cpu, unsigned index)
{
	const struct kvm_segment code = {
	    .limit = ~0u, .selector = 8, .present = 1, .type = 11, .s = 1, .l = 1, .g = 1};
	struct kvm_segment data = code;
	struct kvm_sregs s;

	data.type = 3;
	data.selector = 16;
	data.l = 0;
	data.db = 1;
	must(ioctl(cpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.gdt.base = GUEST_GDT;
	s.gdt.limit = 23;
	s.idt.base = GUEST_IDT + 0x800 * index;
	s.idt.limit = 0x7ff;
	s.cr3 = GUEST_PML4;
	s.cr4 = 0x220;
	s.cr0 = 0x80000033;
	s.efer = 0x500;
	if (machine->lapic && !machine->xapic)
		s.apic_base |= 0xc00;
	must(ioctl(cpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
}

static int new_cpu(const struct machine *machine, unsigned index, struct kvm_run **run)
{
	int cpu = must(ioctl(machine->vm, KVM_CREATE_VCPU, index), "KVM_CREATE_VCPU");
	int size = must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");

	*run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	if (*run == MAP_FAILED)
		bench_fail("mmap of kvm_run");
	set_cpuid(cpu);
	set_registers(machine, cpu, index);
	return cpu;
}

/* The software-enable bit of the spurious vector register, in KVM_SET_LAPIC's layout. */
static void enable_apic(int cpu)
{
	struct kvm_lapic_state state;
	uint32_t svr = 0x1ff, lvtt = 0x40000 | GUEST_VECTOR; /* TSC deadline */

	must(ioctl(cpu, KVM_GET_LAPIC, &state), "KVM_GET_LAPIC");
	memcpy(state.regs + 0xf0, &svr, sizeof(svr));
	memcpy(state.regs + 0x320, &lvtt, sizeof(lvtt));
	must(ioctl(cpu, KVM_SET_LAPIC, &state), "KVM_SET_LAPIC");
}

static void add_event(const struct machine *machine, uint64_t at, unsigned size, unsigned flags)
{
	struct kvm_ioeventfd event = {.addr = at, .len = size, .flags = flags};

	event.fd = must(eventfd(0, EFD_NONBLOCK), "eventfd");
	must(ioctl(machine->vm, KVM_IOEVENTFD, &event), "KVM_IOEVENTFD");
}

static void split_irqchip(const struct machine *machine)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};

	must(ioctl(machine->vm, KVM_ENABLE_CAP, &cap), "KVM_CAP_SPLIT_IRQCHIP");
}

static void new_machine(struct machine *machine, bool lapic, bool xapic)
{
	*machine = (struct machine){.lapic = lapic, .xapic = xapic, .cpu1 = -1};
	machine->vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	if (lapic)
		split_irqchip(machine);
	machine->memory = memory_of(GUEST_MEMORY, false);
	memset(machine->memory, 0, GUEST_MEMORY);
	guest_prepare(machine->memory, xapic);
	add_slot(machine, 0, 0, machine->memory, GUEST_MEMORY);
	machine->cpu = new_cpu(machine, 0, &machine->run);
	if (lapic)
		enable_apic(machine->cpu);
}

/* One KVM_RUN; false at the guest's end. */
static bool answer(const struct machine *machine)
{
	const struct kvm_run *run = machine->run;

	if (ioctl(machine->cpu, KVM_RUN, 0) < 0) {
		if (errno == EINTR)
			return true;
		bench_fail("KVM_RUN");
	}
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (run->io.port == GUEST_PORT_IRQ) {
			struct kvm_msi msi = {.address_lo = GUEST_APIC, .data = GUEST_VECTOR};

			must(ioctl(machine->vm, KVM_SIGNAL_MSI, &msi), "KVM_SIGNAL_MSI");
		}
		return run->io.port != GUEST_PORT_END;
	case KVM_EXIT_MMIO:
	case KVM_EXIT_HLT:
		return true;
	default:
		errno = 0;
		printf("exit reason %u\n", run->exit_reason);
		bench_fail("an exit that was not asked for");
	}
}

/* Ticks of one run of the program. */
static uint64_t run_program(const struct machine *machine, uint64_t count, uint64_t rdi,
			    uint64_t r14)
{
	struct kvm_regs r = {.rip = GUEST_CODE,
			     .rflags = 2,
			     .rsi = count,
			     .rdi = rdi,
			     .r14 = r14,
			     .rsp = GUEST_STACK};

	if (machine->lapic)
		r.rflags |= 0x200;
	must(ioctl(machine->cpu, KVM_SET_REGS, &r), "KVM_SET_REGS");
	while (answer(machine))
		;
	must(ioctl(machine->cpu, KVM_GET_REGS, &r), "KVM_GET_REGS");
	return r.r9;
}

static double least(const struct machine *machine, const struct row *row)
{
	double best = 1e18;

	guest_load(machine->memory, row->program, row->end);
	for (unsigned i = 0; i < batches; i++) {
		double ticks =
		    (double)run_program(machine, iterations, row->rdi, 0) / iterations;

		best = ticks < best ? ticks : best;
	}
	return best - empty - row->less;
}

static void measure(const struct machine *machine, const struct row *rows, size_t count)
{
	static const struct row nothing = ROW("empty", empty);

	empty = 0;
	empty = least(machine, &nothing) - 1;
	for (size_t i = 0; i < count; i++) {
		if (bench_wanted(rows[i].name))
			bench_row(rows[i].name, least(machine, &rows[i]));
	}
}

static double run_loop(const struct machine *machine)
{
	double best = 1e18;

	guest_load(machine->memory, guest_empty, guest_empty_end);
	for (unsigned i = 0; i < batches; i++) {
		double each = (double)run_program(machine, LOOPS, 0, 0) / LOOPS;

		best = each < best ? each : best;
	}
	return best;
}

/* Rows that need what this KVM says it has not. */
static bool lacks(int capability, const char *what, const struct row *rows, size_t count)
{
	if (ioctl(kvm, KVM_CHECK_EXTENSION, capability) > 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (bench_wanted(rows[i].name))
			bench_missing(rows[i].name, what);
	}
	return true;
}

/* Memory that the client has and the guest has not touched. */
static void measure_touch(const struct machine *machine, const char *name, unsigned slot,
			  uint64_t gpa, size_t size, size_t step)
{
	size_t pages = step > 4096 ? FRESH_PAGES : iterations;
	double best = 1e18;

	if (!bench_wanted(name))
		return;
	add_slot(machine, slot, gpa, memory_of(size, step > 4096), size);
	guest_load(machine->memory, guest_touch, guest_touch_end);
	/* The first page of each 2 MiB needs a table; a batch without is what a page costs. */
	for (size_t i = 0; i < batches && (i + 1) * pages * step <= size; i++) {
		uint64_t ticks = run_program(machine, pages, gpa + i * pages * step, step);

		best =
		    (double)ticks / (double)pages < best ? (double)ticks / (double)pages : best;
	}
	bench_row(name, best - empty);
}

static void *second_cpu(void *argument)
{
	const struct machine *machine = argument;

	for (;;) {
		if (ioctl(machine->cpu1, KVM_RUN, 0) < 0 && errno != EINTR)
			bench_fail("KVM_RUN of vCPU 1");
	}
	return NULL;
}

static void start_second(struct machine *machine)
{
	struct kvm_regs r = {.rip = GUEST_PONG, .rflags = 2, .rsp = 2 * GUEST_STACK};
	struct kvm_mp_state runnable = {KVM_MP_STATE_RUNNABLE};
	pthread_t thread;

	machine->cpu1 = new_cpu(machine, 1, &machine->run1);
	enable_apic(machine->cpu1);
	must(ioctl(machine->cpu1, KVM_SET_REGS, &r), "KVM_SET_REGS of vCPU 1");
	must(ioctl(machine->cpu1, KVM_SET_MP_STATE, &runnable), "KVM_SET_MP_STATE");
	if (pthread_create(&thread, NULL, second_cpu, machine))
		bench_fail("pthread_create");
}

/* vCPUs that exist beside those that run. */
static void more_cpus(struct machine *machine, unsigned from, unsigned cpus)
{
	struct kvm_run *run;

	for (unsigned cpu = from; cpu < cpus; cpu++)
		new_cpu(machine, cpu, &run);
}

/* VMs that exist and have run, while another is measured; each second has an armed timer. */
static void crowd(unsigned vms, unsigned cpus)
{
	bool apic = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP) > 0;

	for (unsigned i = 1; i < vms; i++) {
		struct machine *other = calloc(1, sizeof(*other));
		bool timer = apic && i % 2;

		new_machine(other, timer, false);
		more_cpus(other, 1, cpus);
		if (timer)
			guest_load(other->memory, guest_arm_timer, guest_arm_timer_end);
		else
			guest_load(other->memory, guest_out, guest_out_end);
		run_program(other, 1, 0, 0);
	}
}

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void add_events(const struct machine *machine)
{
	add_event(machine, GUEST_PORT_EVENT, 1, KVM_IOEVENTFD_FLAG_PIO);
	add_event(machine, GUEST_MMIO_EVENT, 0, 0);
}

static void measure_events(const struct machine *machine)
{
	if (lacks(KVM_CAP_IOEVENTFD, "no KVM_CAP_IOEVENTFD", event_rows, COUNT(event_rows)))
		return;
	add_events(machine);
	measure(machine, event_rows, COUNT(event_rows));
}

static void measure_apic(unsigned cpus)
{
	static struct machine x2apic, xapic;
	const char *what = "no KVM_CAP_SPLIT_IRQCHIP";
	bool lacking = lacks(KVM_CAP_SPLIT_IRQCHIP, what, apic_rows, COUNT(apic_rows));

	lacking |= lacks(KVM_CAP_SPLIT_IRQCHIP, what, xapic_rows, COUNT(xapic_rows));
	if (lacking)
		return;
	new_machine(&x2apic, true, false);
	start_second(&x2apic);
	more_cpus(&x2apic, 2, cpus);
	measure(&x2apic, apic_rows, COUNT(apic_rows));
	new_machine(&xapic, true, true);
	more_cpus(&xapic, 1, cpus);
	measure(&xapic, xapic_rows, COUNT(xapic_rows));
}

static void print_maps(void)
{
	char line[400];
	FILE *maps = fopen("/proc/self/maps", "r");

	while (maps && fgets(line, sizeof(line), maps))
		printf("@map %s", line);
	if (maps)
		fclose(maps);
}

static const struct row *find_row(const char *name)
{
	for (size_t i = 0; i < COUNT(plain_rows); i++) {
		if (!strcmp(name, plain_rows[i].name))
			return &plain_rows[i];
	}
	for (size_t i = 0; i < COUNT(event_rows); i++) {
		if (!strcmp(name, event_rows[i].name))
			return &event_rows[i];
	}
	printf("@failed trace: no row %s\n", name);
	exit(1);
}

/* The same memory again and again: without its slot it counts as not touched. */
static void spin_touch(const struct machine *machine)
{
	const uint64_t step = 2u << 20;
	void *memory = memory_of(FRESH_2M, true);

	guest_load(machine->memory, guest_touch, guest_touch_end);
	puts("@spinning");
	for (;;) {
		add_slot(machine, 1, GUEST_FRESH, memory, FRESH_2M);
		run_program(machine, FRESH_2M / step / FRESH_PAGES, GUEST_FRESH,
			    FRESH_PAGES * step);
		add_slot(machine, 1, GUEST_FRESH, memory, 0);
	}
}

/* One program for ever. */
static void spin(const struct machine *machine, const char *name)
{
	const struct row *row;

	if (!strcmp(name, "touch-2m"))
		spin_touch(machine);
	row = find_row(name);
	if (row >= event_rows && row < event_rows + COUNT(event_rows))
		add_events(machine);
	guest_load(machine->memory, row->program, row->end);
	puts("@spinning");
	run_program(machine, ~0ull, row->rdi, 0);
}

/* As many turns of touch-2m, each of pages that are new. */
static void trace_touch(const struct machine *machine)
{
	const uint64_t step = FRESH_PAGES * (2u << 20), size = (1 + TRACE_TURNS) * step;

	add_slot(machine, 1, GUEST_FRESH, memory_of(size, true), size);
	guest_load(machine->memory, guest_touch, guest_touch_end);
	run_program(machine, 1, GUEST_FRESH, step);
	puts("@trace touch-2m");
	bench_break();
	run_program(machine, TRACE_TURNS, GUEST_FRESH + step, step);
	bench_break();
}

/* A few turns of each between two breakpoints. */
static void trace(const struct machine *machine, char **names)
{
	add_events(machine);
	for (; *names; names++) {
		const struct row *row;

		if (!strcmp(*names, "touch-2m")) {
			trace_touch(machine);
			continue;
		}
		row = find_row(*names);
		guest_load(machine->memory, row->program, row->end);
		run_program(machine, TRACE_WARM, row->rdi, 0);
		printf("@trace %s\n", row->name);
		bench_break();
		run_program(machine, TRACE_TURNS, row->rdi, 0);
		bench_break();
	}
}

static void measure_all(unsigned vms, unsigned cpus)
{
	struct machine machine;

	crowd(vms, cpus);
	new_machine(&machine, false, false);
	more_cpus(&machine, 1, cpus);
	bench_loop(run_loop(&machine));
	measure(&machine, plain_rows, COUNT(plain_rows));
	measure_events(&machine);
	measure_touch(&machine, "touch-4k", 1, GUEST_FRESH, FRESH_4K, 4096);
	measure_touch(&machine, "touch-2m", 2, GUEST_FRESH + FRESH_4K, FRESH_2M, 2u << 20);
	measure_apic(cpus);
}

int main(int count, char **words)
{
	struct machine machine;

	setvbuf(stdout, NULL, _IOLBF, 0);
	batches = bench_number("BENCH_BATCHES", BATCHES);
	iterations = bench_number("BENCH_TURNS", ITERATIONS);
	kvm = must(open("/dev/kvm", O_RDWR), "open /dev/kvm");
	if (count > 2 && (!strcmp(words[1], "spin") || !strcmp(words[1], "trace"))) {
		print_maps();
		new_machine(&machine, false, false);
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
