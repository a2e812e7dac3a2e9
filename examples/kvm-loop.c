/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's basic loop in one sitting: a VM, memory, a virtual CPU, KVM_RUN, its exits. No library and
 * nothing of Luvalley's: the same program runs on Linux's own /dev/kvm, and as "luvalley run kvm-loop".
 *
 * Two guests run one after the other, "real" in 16-bit real mode and "long" in 64-bit mode.
 * Their programs are the same but for the mode; each exit is one line of output.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY	  0xa0000u /* what the guests have, from address 0 on */
#define CODE	  0x1000u
#define HANDLER	  0x2000u
#define STACK	  0x8000u
#define VECTOR	  0x20u
#define PORT_STEP 0x13u /* OUT to it begins three single steps */

struct machine {
	const char *name;
	int kvm, vm, vcpu;
	uint8_t *memory;
	struct kvm_run *run;
	unsigned halts, steps;
};

static int check(int result, const char *what)
{
	if (result >= 0)
		return result;
	fprintf(stderr, "kvm-loop: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *map(size_t size, int flags, int fd)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED)
		check(-1, "mmap");
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

static void set_registers(struct machine *machine, struct kvm_sregs *sregs,
			  struct kvm_segment code, struct kvm_segment data, uint64_t rbx)
{
	const struct kvm_regs regs = {.rip = CODE, .rsp = STACK, .rbx = rbx, .rflags = 2};

	sregs->cs = code;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	check(ioctl(machine->vcpu, KVM_SET_SREGS, sregs), "KVM_SET_SREGS");
	check(ioctl(machine->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void start_real(struct machine *machine, struct kvm_sregs *sregs)
{
	const uint32_t vector = HANDLER; /* segment 0 */
	const struct kvm_segment code = {.limit = 0xffff, .type = 11, .present = 1, .s = 1};
	const struct kvm_segment data = {.limit = 0xffff, .type = 3, .present = 1, .s = 1};

	memcpy(machine->memory + CODE, real_code, sizeof(real_code));
	memcpy(machine->memory + HANDLER, real_handler, sizeof(real_handler));
	memcpy(machine->memory + 4 * VECTOR, &vector, sizeof(vector));
	sregs->idt.limit = 0x3ff;
	set_registers(machine, sregs, code, data, 0xa000);
}

static void start_long(struct machine *machine, struct kvm_sregs *sregs)
{
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
	const struct kvm_segment code = {
	    .limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
	const struct kvm_segment data = {
	    .limit = ~0u, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		memcpy(machine->memory + words[i][0], &words[i][1], 8);
	memcpy(machine->memory + CODE, long_code, sizeof(long_code));
	memcpy(machine->memory + HANDLER, long_handler, sizeof(long_handler));
	sregs->idt = (struct kvm_dtable){.base = 0x6000, .limit = 0xfff};
	sregs->gdt = (struct kvm_dtable){.base = 0x7000, .limit = 0x17};
	sregs->cr0 = 0x80000011; /* PG, ET, PE */
	sregs->cr3 = 0x10000;
	sregs->cr4 = 0x20;   /* PAE */
	sregs->efer = 0x500; /* LMA, LME */
	set_registers(machine, sregs, code, data, 0x200010);
}

static void set_stepping(struct machine *machine, uint32_t control)
{
	const struct kvm_guest_debug debug = {.control = control};

	check(ioctl(machine->vcpu, KVM_SET_GUEST_DEBUG, &debug), "KVM_SET_GUEST_DEBUG");
}

/* What an exit began the next KVM_RUN completes; with immediate_exit it does no more than that. */
static void complete(struct machine *machine)
{
	machine->run->immediate_exit = 1;
	if (ioctl(machine->vcpu, KVM_RUN, 0) < 0 && errno != EINTR)
		check(-1, "KVM_RUN");
	machine->run->immediate_exit = 0;
}

static void on_io(struct machine *machine)
{
	struct kvm_run *run = machine->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	int in = run->io.direction == KVM_EXIT_IO_IN;

	if (in)
		*data = 0x50; /* the next KVM_RUN takes it */
	printf("%s port %#x, %u byte: %#x\n", in ? "in from" : "out to", run->io.port,
	       run->io.size, *data);
	if (run->io.port == PORT_STEP) {
		complete(machine);
		set_stepping(machine, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	}
}

static void on_mmio(struct machine *machine)
{
	struct kvm_run *run = machine->run;

	if (!run->mmio.is_write)
		run->mmio.data[0] = 0x77;
	printf("%s %#llx: %#x\n", run->mmio.is_write ? "write to" : "read from",
	       run->mmio.phys_addr, run->mmio.data[0]);
}

/* The guest waits with interrupts on: have KVM say when it can take one. */
static void on_halt(struct machine *machine)
{
	puts("halted");
	machine->halts++;
	machine->run->request_interrupt_window = 1;
}

static void on_window(struct machine *machine)
{
	const struct kvm_interrupt interrupt = {.irq = VECTOR};

	printf("interrupt window: injecting vector %#x\n", VECTOR);
	machine->run->request_interrupt_window = 0;
	check(ioctl(machine->vcpu, KVM_INTERRUPT, &interrupt), "KVM_INTERRUPT");
}

static void on_debug(struct machine *machine)
{
	struct kvm_regs regs;

	check(ioctl(machine->vcpu, KVM_GET_REGS, &regs), "KVM_GET_REGS");
	printf("exception %u: rip %#llx, rax %#llx\n", machine->run->debug.arch.exception,
	       regs.rip, regs.rax);
	if (++machine->steps == 3)
		set_stepping(machine, 0);
}

static void (*const exits[])(struct machine *machine) = {
    [KVM_EXIT_IO] = on_io,
    [KVM_EXIT_MMIO] = on_mmio,
    [KVM_EXIT_HLT] = on_halt,
    [KVM_EXIT_IRQ_WINDOW_OPEN] = on_window,
    [KVM_EXIT_DEBUG] = on_debug,
};

static void run(struct machine *machine)
{
	while (machine->halts < 2) {
		uint32_t reason;

		check(ioctl(machine->vcpu, KVM_RUN, 0), "KVM_RUN");
		reason = machine->run->exit_reason;
		printf("%s: ", machine->name);
		if (reason >= sizeof(exits) / sizeof(exits[0]) || !exits[reason]) {
			printf("unexpected exit %u\n", reason);
			exit(1);
		}
		exits[reason](machine);
	}
}

static void print_dirty(const struct machine *machine)
{
	uint64_t bitmap[(MEMORY / 4096 + 63) / 64] = {0};
	struct kvm_dirty_log log = {.dirty_bitmap = bitmap};

	check(ioctl(machine->vm, KVM_GET_DIRTY_LOG, &log), "KVM_GET_DIRTY_LOG");
	for (unsigned i = 3; i <= 5; i++)
		printf("%s: page %u was %s\n", machine->name, i,
		       bitmap[0] >> i & 1 ? "written" : "not written");
}

static void machine_run(int kvm, const char *name,
			void (*start)(struct machine *, struct kvm_sregs *))
{
	struct machine machine = {.name = name, .kvm = kvm};
	struct kvm_userspace_memory_region slot = {.flags = KVM_MEM_LOG_DIRTY_PAGES,
						   .memory_size = MEMORY};
	size_t size = (size_t)check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "mmap size");
	struct kvm_sregs sregs;

	machine.memory = map(MEMORY, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	slot.userspace_addr = (uintptr_t)machine.memory;
	machine.vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	check(ioctl(machine.vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
	check(ioctl(machine.vm, KVM_SET_USER_MEMORY_REGION, &slot), "give it memory");
	machine.vcpu = check(ioctl(machine.vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	machine.run = map(size, MAP_SHARED, machine.vcpu);
	check(ioctl(machine.vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	start(&machine, &sregs);
	run(&machine);
	print_dirty(&machine);
	munmap(machine.run, size);
	close(machine.vcpu);
	close(machine.vm);
	munmap(machine.memory, MEMORY);
}

int main(void)
{
	int kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");

	if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return 1;
	machine_run(kvm, "real", start_real);
	machine_run(kvm, "long", start_long);
	close(kvm);
	puts("done");
	return 0;
}
