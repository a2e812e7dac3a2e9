/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole interface in one sitting: guest memory, a virtual CPU, the run loop, its exits.
 *
 * Two guests run one after the other, "real" in 16-bit real mode and "long" in 64-bit mode.
 * Their programs are the same but for the mode; each exit is one line of output.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/luvalley.h"
#include "lib/pin.h"

#define MEMORY	  0xa0000u /* what the guests have, from address 0 on */
#define HANDLER	  0x2000u
#define CODE	  0x1000u
#define STACK	  0x8000u
#define VECTOR	  0x20u
#define PORT_STEP 0x13u /* OUT to it begins single-stepping */

struct machine {
	const char *name;
	int vm;
	uint8_t *memory;
	struct luv_vcpu_page *cpu;
	unsigned halts, steps;
};

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "luvalley-loop: %s: %s\n", what, luv_strerror(result));
	exit(1);
}

/* Whole pages that stay where they are: the hypervisor uses them by physical address. */
static void *pages(size_t size)
{
	void *memory =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const char *why = "no memory is left";

	if (memory == MAP_FAILED || luv_pin(memory, size, &why) < 0) {
		fprintf(stderr, "luvalley-loop: %s\n", why);
		exit(1);
	}
	return memory;
}

static const uint8_t real_code[] = {
    0xb0, 0x41,		    /* mov $0x41, %al */
    0xe6, 0x10,		    /* out %al, $0x10 */
    0xe4, 0x11,		    /* in $0x11, %al */
    0xfe, 0xc0,		    /* inc %al */
    0x8e, 0xdb,		    /* mov %bx, %ds: the client has put a0000h / 16 into BX */
    0xbf, 0x10, 0x00,	    /* mov $0x10, %di */
    0x88, 0x05,		    /* mov %al, (%di): a write to where no memory is */
    0x8a, 0x05,		    /* mov (%di), %al: a read */
    0xe6, 0x10,		    /* out %al, $0x10 */
    0x0e, 0x1f,		    /* push %cs; pop %ds */
    0xfb,		    /* sti */
    0xf4,		    /* hlt: the client injects an interrupt, the handler runs */
    0xa2, 0x00, 0x30,	    /* mov %al, 0x3000: two pages for the dirty log */
    0xa2, 0x00, 0x50,	    /* mov %al, 0x5000 */
    0xe6, 0x13,		    /* out %al, $0x13: from here on, step by step */
    0x40, 0x40, 0x90, 0xf4, /* inc %ax; inc %ax; nop; hlt: the end */
};

static const uint8_t real_handler[] = {
    0xb0, 0x69, /* mov $0x69, %al */
    0xe6, 0x12, /* out %al, $0x12 */
    0xcf,	/* iret */
};

static const uint8_t long_code[] = {
    0xb0, 0x41,				      /* mov $0x41, %al */
    0xe6, 0x10,				      /* out %al, $0x10 */
    0xe4, 0x11,				      /* in $0x11, %al */
    0xfe, 0xc0,				      /* inc %al */
    0x48, 0x89, 0xdf,			      /* mov %rbx, %rdi: from the client */
    0x88, 0x07,				      /* mov %al, (%rdi) */
    0x8a, 0x07,				      /* mov (%rdi), %al */
    0xe6, 0x10,				      /* out %al, $0x10 */
    0xfb,				      /* sti */
    0xf4,				      /* hlt */
    0x88, 0x04, 0x25, 0x00, 0x30, 0x00, 0x00, /* mov %al, 0x3000 */
    0x88, 0x04, 0x25, 0x00, 0x50, 0x00, 0x00, /* mov %al, 0x5000 */
    0xe6, 0x13,				      /* out %al, $0x13 */
    0x48, 0xff, 0xc0,			      /* inc %rax */
    0x49, 0x89, 0xc0,			      /* mov %rax, %r8 */
    0x90, 0xf4,				      /* nop; hlt */
};

static const uint8_t long_handler[] = {
    0xb0, 0x69, /* mov $0x69, %al */
    0xe6, 0x12, /* out %al, $0x12 */
    0x48, 0xcf, /* iretq */
};

static void set_registers(struct luv_vcpu_page *cpu, struct luv_segment code,
			  struct luv_segment data, uint64_t rbx)
{
	for (int i = LUV_ES; i <= LUV_GS; i++)
		cpu->segment[i] = i == LUV_CS ? code : data;
	cpu->general[LUV_RBX] = rbx;
	cpu->general[LUV_RSP] = STACK;
	cpu->rip = CODE;
	cpu->rflags = 2;
	cpu->dirty = LUV_GROUP_GENERAL | LUV_GROUP_CONTROL | LUV_GROUP_SEGMENTS;
}

static void start_real(struct machine *machine)
{
	struct luv_vcpu_page *cpu = machine->cpu;
	const uint32_t vector = HANDLER; /* segment 0 */

	memcpy(machine->memory + CODE, real_code, sizeof(real_code));
	memcpy(machine->memory + HANDLER, real_handler, sizeof(real_handler));
	memcpy(machine->memory + 4 * VECTOR, &vector, sizeof(vector));
	cpu->idt_limit = 0x3ff;
	cpu->cr0 = 0x10; /* ET */
	set_registers(cpu, (struct luv_segment){.limit = 0xffff, .attributes = 0x9b},
		      (struct luv_segment){.limit = 0xffff, .attributes = 0x93}, 0xa000);
}

static void start_long(struct machine *machine)
{
	struct luv_vcpu_page *cpu = machine->cpu;
	static const uint64_t words[][2] = {
	    {0x10000, 0x11003}, /* page tables: two levels that lead to */
	    {0x11000, 0x12003},
	    {0x12000, 0x83},		  /* the first 2 MiB, and */
	    {0x12008, 0x200083},	  /* the next, where there is nothing */
	    {0x7008, 0x00af9b000000ffff}, /* GDT: 8 is 64-bit code, */
	    {0x7010, 0x00cf93000000ffff}, /* 16 is data */
	    /* IDT: a gate to 8:HANDLER */
	    {0x6000 + 16 * VECTOR, HANDLER | 8 << 16 | 0x8e00ull << 32},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		memcpy(machine->memory + words[i][0], &words[i][1], 8);
	memcpy(machine->memory + CODE, long_code, sizeof(long_code));
	memcpy(machine->memory + HANDLER, long_handler, sizeof(long_handler));
	cpu->idt_base = 0x6000;
	cpu->idt_limit = 0xfff;
	cpu->gdt_base = 0x7000;
	cpu->gdt_limit = 0x17;
	cpu->cr0 = 0x80000011; /* PG, ET, PE */
	cpu->cr3 = 0x10000;
	cpu->cr4 = 0x20;   /* PAE */
	cpu->efer = 0x500; /* LMA, LME */
	set_registers(
	    cpu, (struct luv_segment){.limit = ~0u, .selector = 8, .attributes = 0xa9b},
	    (struct luv_segment){.limit = ~0u, .selector = 16, .attributes = 0xc93}, 0x200010);
}

static void on_io(struct machine *machine)
{
	struct luv_exit_record *record = &machine->cpu->exit;

	if (record->io.flags & LUV_IO_IN)
		record->io.data = 0x50;
	printf("%s port %#" PRIx64 ", %" PRIu64 " byte: %#" PRIx64 "\n",
	       record->io.flags & LUV_IO_IN ? "in from" : "out to", record->io.port,
	       record->io.size, record->io.data);
	if (record->io.port == PORT_STEP)
		machine->cpu->debug_flags = LUV_DEBUG_SINGLE_STEP;
}

/* A real client decodes the instruction; these guests have two: 88h writes AL, 8Ah reads it. */
static void on_mmio(struct machine *machine)
{
	struct luv_exit_record *record = &machine->cpu->exit;
	uint64_t *rax = &machine->cpu->general[LUV_RAX];

	if (!record->mmio.write)
		*rax = (*rax & ~0xffull) | 0x77;
	printf("%s %#" PRIx64 ": %#" PRIx64 "\n", record->mmio.write ? "write to" : "read from",
	       record->mmio.gpa, *rax & 0xff);
	/* Registers that the client changes it marks; the next run takes them over. */
	machine->cpu->rip += 2;
	machine->cpu->dirty |= LUV_GROUP_GENERAL;
}

/* The guest waits with interrupts on: have the hypervisor say when it can take one. */
static void on_halt(struct machine *machine)
{
	puts("halted");
	machine->halts++;
	machine->cpu->request = LUV_REQUEST_INTERRUPT_WINDOW;
}

static void on_window(struct machine *machine)
{
	printf("interrupt window: injecting vector %#x\n", VECTOR);
	machine->cpu->request = 0;
	machine->cpu->inject.event = LUV_INJECT_VALID | LUV_INJECT_INTERRUPT | VECTOR;
}

static void on_exception(struct machine *machine)
{
	printf("exception %" PRIu64 ": rip %#" PRIx64 ", rax %#" PRIx64 "\n",
	       machine->cpu->exit.exception.vector, machine->cpu->rip,
	       machine->cpu->general[LUV_RAX]);
	if (++machine->steps == 3)
		machine->cpu->debug_flags = 0;
}

static void (*const exits[LUV_RUN_COUNT])(struct machine *machine) = {
    [LUV_RUN_IO] = on_io,
    [LUV_RUN_MMIO] = on_mmio,
    [LUV_RUN_HLT] = on_halt,
    [LUV_RUN_INTERRUPT_WINDOW] = on_window,
    [LUV_RUN_EXCEPTION] = on_exception,
};

static void run(struct machine *machine)
{
	machine->cpu->wanted = LUV_GROUP_GENERAL;
	while (machine->halts < 2) {
		uint64_t reason;

		check(luv_vcpu_run(machine->vm, 0, machine->cpu), "run");
		reason = machine->cpu->exit.reason;
		printf("%s: ", machine->name);
		if (reason >= LUV_RUN_COUNT || !exits[reason]) {
			printf("unexpected exit %" PRIu64 "\n", reason);
			exit(1);
		}
		exits[reason](machine);
	}
}

static void print_dirty(const struct machine *machine)
{
	uint64_t bitmap;

	check(luv_dirty_read(machine->vm, 0, 0, 64, &bitmap), "dirty log");
	for (unsigned i = 3; i <= 5; i++)
		printf("%s: page %u was %s\n", machine->name, i,
		       bitmap >> i & 1 ? "written" : "not written");
}

static void machine_run(int session, const char *name, void (*start)(struct machine *))
{
	struct machine machine = {.name = name, .memory = pages(MEMORY), .cpu = pages(4096)};
	uint8_t *others = pages(3 * 4096); /* owner page, FPU page, stop byte */
	const struct luv_slot slot = {
	    .flags = LUV_SLOT_LOG_DIRTY,
	    .size = MEMORY,
	    .address = (uintptr_t)machine.memory,
	};
	const struct luv_vcpu_create create = {
	    .page = (uintptr_t)machine.cpu,
	    .fpu_page = (uintptr_t)others + 4096,
	    .stop = (uintptr_t)others + 8192,
	};

	machine.vm =
	    luv_vm_create(session, &(struct luv_vm_create){.owner_page = (uintptr_t)others});
	check(machine.vm, "create the VM");
	check(luv_slot_set(machine.vm, &slot), "give it memory");
	check(luv_vcpu_create(machine.vm, &create), "create the vCPU");
	machine.cpu->wanted = LUV_GROUPS_ALL;
	check(luv_vcpu_sync(machine.vm, 0), "read the registers");
	start(&machine);
	run(&machine);
	print_dirty(&machine);
	check(luv_vm_destroy(machine.vm), "destroy the VM");
}

int main(void)
{
	uint32_t key[3];
	const char *why =
	    luv_present() ? luv_key_read(key) : "this system does not run under Luvalley";
	int session;

	if (why) {
		fprintf(stderr, "luvalley-loop: %s\n", why);
		return 1;
	}
	session = luv_session_open(key);
	check(session, "open a session");
	machine_run(session, "real", start_real);
	machine_run(session, "long", start_long);
	check(luv_session_close(session), "close the session");
	puts("done");
	return 0;
}
