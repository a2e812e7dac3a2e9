/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_RUN and why it returns: port I/O, MMIO of all kinds, HLT, SHUTDOWN. */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/test.h"

static struct vm vm;

/* The same code for each mode, of which "modes" takes one. */
#define GUESTS(name, text)          \
	GUEST(name##_16, 16, text); \
	GUEST(name##_32, 32, text); \
	GUEST(name##_64, 64, text); \
	static const struct guest *const name[] = {&name##_16, &name##_32, &name##_64}

GUESTS(out, "mov $0x89abcdef, %eax; out %al, $0x10; out %ax, $0x10; out %eax, $0x10\n"
	    "mov $0x1234, %dx; out %al, %dx; hlt");
GUESTS(in, "mov $0x55555555, %eax; in $0x11, %al; out %eax, $0x10; mov $0x8765, %dx\n"
	   "in %dx, %ax; out %eax, $0x10; in %dx, %eax; out %eax, $0x10; hlt");
GUESTS(halt, "hlt; mov $7, %al; out %al, $0x10; hlt");
GUESTS(triple_fault, "ud2");
GUEST(string, 64,
      "mov $5, %ecx; mov $0x10, %dx; cld; rep outsb\n"
      "lea 0xfb(%rsi), %rdi; mov $3, %ecx; mov $0x11, %dx; rep insw\n"
      "mov %rdi, %rax; out %eax, $0x12; hlt");
GUEST(string_many, 64,
      "lea 0x800(%rsi), %rdi; mov $0x480, %ecx; mov $0x11, %dx; cld; rep insl\n"
      "mov %edi, %eax; out %eax, $0x12; hlt");

static void expect_io(unsigned direction, unsigned port, unsigned size, uint32_t value)
{
	struct kvm_run *run = vm_run(&vm, 0, KVM_EXIT_IO);
	uint32_t seen = 0;

	EXPECT(run->io.direction, direction);
	EXPECT(run->io.port, port);
	EXPECT(run->io.size, size);
	EXPECT(run->io.count, 1);
	if (direction == KVM_EXIT_IO_IN) {
		memcpy(io_data(run), &value, size);
		return;
	}
	memcpy(&seen, io_data(run), size);
	EXPECT(seen, value);
}

static void test_out(int mode)
{
	vm_create(&vm);
	vm_load(&vm, 0, out[mode], (enum mode)mode);
	expect_io(KVM_EXIT_IO_OUT, PORT, 1, 0xef);
	expect_io(KVM_EXIT_IO_OUT, PORT, 2, 0xcdef);
	expect_io(KVM_EXIT_IO_OUT, PORT, 4, 0x89abcdef);
	expect_io(KVM_EXIT_IO_OUT, 0x1234, 1, 0xef);
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

static void test_in(int mode)
{
	vm_create(&vm);
	vm_load(&vm, 0, in[mode], (enum mode)mode);
	expect_io(KVM_EXIT_IO_IN, 0x11, 1, 0x42);
	expect_io(KVM_EXIT_IO_OUT, PORT, 4, 0x55555542);
	expect_io(KVM_EXIT_IO_IN, 0x8765, 2, 0xface);
	expect_io(KVM_EXIT_IO_OUT, PORT, 4, 0x5555face);
	expect_io(KVM_EXIT_IO_IN, 0x8765, 4, 0x89abcdef);
	expect_io(KVM_EXIT_IO_OUT, PORT, 4, 0x89abcdef);
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

/* How many elements an exit carries is KVM's choice; their order is not. */
static void string_io(unsigned direction, unsigned port, unsigned size, unsigned total,
		      uint8_t *data)
{
	while (total) {
		struct kvm_run *run = vm_run(&vm, 0, KVM_EXIT_IO);
		unsigned bytes = run->io.size * run->io.count;

		EXPECT(run->io.direction, direction);
		EXPECT(run->io.port, port);
		EXPECT(run->io.size, size);
		CHECK(bytes && bytes <= total, "%u bytes, with %u to go", bytes, total);
		CHECK(run->io.data_offset + bytes <= vm.vcpu[0].run_size,
		      "data behind the pages");
		if (direction == KVM_EXIT_IO_IN)
			memcpy(io_data(run), data, bytes);
		else
			memcpy(data, io_data(run), bytes);
		data += bytes;
		total -= bytes;
	}
}

static void test_string(int argument)
{
	uint8_t data[8] = "";

	(void)argument;
	vm_create(&vm);
	vm_load(&vm, 0, &string, LONG);
	memcpy(vm.memory + DATA, "hello", 5);
	string_io(KVM_EXIT_IO_OUT, 0x10, 1, 5, data);
	CHECK(memcmp(data, "hello", 5) == 0, "%.5s", data);
	memcpy(data, "abcdef", 6);
	string_io(KVM_EXIT_IO_IN, 0x11, 2, 6, data);
	EXPECT(vm_out(&vm, 0, 0x12), DATA + 0x106);
	CHECK(memcmp(vm.memory + DATA + 0x100, "abcdef", 6) == 0, "memory is wrong");
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

/* 4.5 KiB across three pages. */
static void test_string_many(int argument)
{
	static uint8_t data[0x1200];

	(void)argument;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
	vm_create(&vm);
	vm_load(&vm, 0, &string_many, LONG);
	string_io(KVM_EXIT_IO_IN, 0x11, 4, sizeof(data), data);
	EXPECT(vm_out(&vm, 0, 0x12), DATA + 0x800 + sizeof(data));
	CHECK(memcmp(vm.memory + DATA + 0x800, data, sizeof(data)) == 0, "memory is wrong");
}

static void test_halt(int mode)
{
	vm_create(&vm);
	vm_load(&vm, 0, halt[mode], (enum mode)mode);
	vm_run(&vm, 0, KVM_EXIT_HLT);
	EXPECT(vm_regs(&vm, 0).rip, CODE + 1);
	EXPECT(vm_out(&vm, 0, PORT), 7);
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

static void test_triple_fault(int mode)
{
	struct kvm_sregs sregs;

	vm_create(&vm);
	vm_load(&vm, 0, triple_fault[mode], (enum mode)mode);
	sregs = vm_sregs(&vm, 0);
	sregs.idt.limit = 0;
	MUST(ioctl(vm.vcpu[0].fd, KVM_SET_SREGS, &sregs));
	vm_run(&vm, 0, KVM_EXIT_SHUTDOWN);
}

/* --- MMIO ------------------------------------------------------------------------------------
 */

GUEST(mmio_widths, 64,
      "mov $0x1122334455667788, %rax\n"
      "mov %al, (%rdi); mov %ax, 2(%rdi); mov %eax, 4(%rdi); mov %rax, 8(%rdi)\n"
      "mov (%rdi), %al; out %eax, $0x10; mov 2(%rdi), %ax; out %eax, $0x10\n"
      "mov 4(%rdi), %eax; out %eax, $0x10; mov 8(%rdi), %rax; out %eax, $0x10\n"
      "shr $32, %rax; out %eax, $0x10; hlt");
GUEST(mmio_real, 16,
      "mov $0x1234, %ax; mov %ax, %es:(%di); mov %es:2(%di), %al; out %al, $0x10; hlt");
GUEST(mmio_protected, 32,
      "movl $0x12345678, (%edi); movb 5(%edi), %ah; movb %ah, %al; out %al, $0x10; hlt");
GUEST(mmio_extend, 64,
      "movzbl (%rdi), %eax; out %eax, $0x10; movsbl (%rdi), %eax; out %eax, $0x10\n"
      "movswq (%rdi), %rax; shr $32, %rax; out %eax, $0x10; hlt");
GUEST(
    mmio_modify, 64,
    "mov $3, %eax; add %eax, (%rdi); orb $0x80, 1(%rdi); xchg %eax, 4(%rdi); out %eax, $0x10\n"
    "incl (%rdi); lock btsl $4, (%rdi); setc %al; out %al, $0x10; hlt");
GUEST(mmio_test, 64,
      "cmpl $5, (%rdi); sete %al; out %al, $0x10; testb $1, (%rdi); setnz %al; out %al, $0x10; "
      "hlt");
GUEST(mmio_copy, 64,
      "cld; mov $2, %ecx; xchg %rsi, %rdi; rep movsl\n" /* from MMIO to memory */
      "mov $2, %ecx; lea -8(%rdi), %rbx; lea 0x80(%rsi), %rdi; mov %rbx, %rsi; rep movsl\n"
      "mov $0x5a5a, %eax; mov $3, %ecx; rep stosw; mov %rdi, %rax; out %eax, $0x10; hlt");
GUEST(mmio_crossing, 64,
      "mov $0x1122334455667788, %rax; mov %rax, 0xffc(%rdi); mov 0xffe(%rdi), %eax\n"
      "out %eax, $0x10; hlt");
GUEST(mmio_boundary, 64,
      "mov $0x1122334455667788, %rax; mov $0x1ffffc, %ebx; mov %rax, (%rbx)\n"
      "mov (%rbx), %rax; out %eax, $0x10; shr $32, %rax; out %eax, $0x10; hlt");
GUEST(mmio_stack, 64, "push (%rdi); pop %rax; out %eax, $0x10; push %rax; pop 8(%rdi); hlt");
GUEST(mmio_vector, 64, "movdqu (%rsi), %xmm0; movdqu %xmm0, (%rdi); hlt");
GUEST(mmio_fetch, 64, "jmp *%rdi");
GUEST(mmio_locked, 64,
      "mov $1, %eax; mov $9, %ecx; lock cmpxchg %ecx, (%rdi); out %eax, $0x10; hlt");

static void mmio_start(const struct guest *guest, enum mode mode)
{
	vm_create(&vm);
	vm_load(&vm, 0, guest, mode);
}

static void expect_write(uint64_t address, unsigned size, uint64_t value)
{
	uint64_t seen = 0;

	memcpy(&seen, vm_mmio(&vm, 0, address, size, true), size);
	EXPECT(seen, value);
}

static void give_read(uint64_t address, unsigned size, uint64_t value)
{
	memcpy(vm_mmio(&vm, 0, address, size, false), &value, size);
}

static void test_mmio_widths(int argument)
{
	(void)argument;
	mmio_start(&mmio_widths, LONG);
	expect_write(MMIO, 1, 0x88);
	expect_write(MMIO + 2, 2, 0x7788);
	expect_write(MMIO + 4, 4, 0x55667788);
	expect_write(MMIO + 8, 8, 0x1122334455667788);
	give_read(MMIO, 1, 0x01);
	EXPECT(vm_out(&vm, 0, PORT), 0x55667701);
	give_read(MMIO + 2, 2, 0x0203);
	EXPECT(vm_out(&vm, 0, PORT), 0x55660203);
	give_read(MMIO + 4, 4, 0x89abcdef);
	EXPECT(vm_out(&vm, 0, PORT), 0x89abcdef);
	give_read(MMIO + 8, 8, 0xfedcba9876543210);
	EXPECT(vm_out(&vm, 0, PORT), 0x76543210);
	EXPECT(vm_out(&vm, 0, PORT), 0xfedcba98);
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

static void test_mmio_real(int argument)
{
	(void)argument;
	mmio_start(&mmio_real, REAL);
	expect_write(MMIO, 2, 0x1234);
	give_read(MMIO + 2, 1, 0x77);
	EXPECT(vm_out(&vm, 0, PORT), 0x77);
}

static void test_mmio_protected(int argument)
{
	(void)argument;
	mmio_start(&mmio_protected, PROTECTED);
	expect_write(MMIO, 4, 0x12345678);
	give_read(MMIO + 5, 1, 0x99);
	EXPECT(vm_out(&vm, 0, PORT), 0x99);
}

static void test_mmio_extend(int argument)
{
	(void)argument;
	mmio_start(&mmio_extend, LONG);
	give_read(MMIO, 1, 0x85);
	EXPECT(vm_out(&vm, 0, PORT), 0x85);
	give_read(MMIO, 1, 0x85);
	EXPECT(vm_out(&vm, 0, PORT), 0xffffff85);
	give_read(MMIO, 2, 0x8001);
	EXPECT(vm_out(&vm, 0, PORT), 0xffffffff);
}

/* A read and a write exit each, of one instruction. */
static void test_mmio_modify(int argument)
{
	(void)argument;
	mmio_start(&mmio_modify, LONG);
	give_read(MMIO, 4, 0x100);
	expect_write(MMIO, 4, 0x103);
	give_read(MMIO + 1, 1, 0x01);
	expect_write(MMIO + 1, 1, 0x81);
	give_read(MMIO + 4, 4, 0xdeadbeef);
	expect_write(MMIO + 4, 4, 3);
	EXPECT(vm_out(&vm, 0, PORT), 0xdeadbeef);
	give_read(MMIO, 4, 0xffffffff);
	expect_write(MMIO, 4, 0);
	give_read(MMIO, 4, 0x10);
	expect_write(MMIO, 4, 0x10);
	EXPECT(vm_out(&vm, 0, PORT), 1);
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

static void test_mmio_test(int argument)
{
	(void)argument;
	mmio_start(&mmio_test, LONG);
	give_read(MMIO, 4, 5);
	EXPECT(vm_out(&vm, 0, PORT), 1);
	give_read(MMIO, 1, 2);
	EXPECT(vm_out(&vm, 0, PORT), 0);
}

static void test_mmio_copy(int argument)
{
	(void)argument;
	mmio_start(&mmio_copy, LONG);
	give_read(MMIO, 4, 0x11111111);
	give_read(MMIO + 4, 4, 0x22222222);
	expect_write(MMIO + 0x88, 4, 0x11111111);
	expect_write(MMIO + 0x8c, 4, 0x22222222);
	expect_write(MMIO + 0x90, 2, 0x5a5a);
	expect_write(MMIO + 0x92, 2, 0x5a5a);
	expect_write(MMIO + 0x94, 2, 0x5a5a);
	EXPECT(vm_out(&vm, 0, PORT), MMIO + 0x96);
	EXPECT(memcmp(vm.memory + DATA, "\x11\x11\x11\x11\x22\x22\x22\x22", 8), 0);
}

/* Each page's part is an exit of its own. */
static void test_mmio_crossing(int argument)
{
	(void)argument;
	mmio_start(&mmio_crossing, LONG);
	expect_write(MMIO + 0xffc, 4, 0x55667788);
	expect_write(MMIO + 0x1000, 4, 0x11223344);
	give_read(MMIO + 0xffe, 2, 0x1122);
	give_read(MMIO + 0x1000, 2, 0x3344);
	EXPECT(vm_out(&vm, 0, PORT), 0x33441122);
}

/* Half in memory, half not. */
static void test_mmio_boundary(int argument)
{
	(void)argument;
	mmio_start(&mmio_boundary, LONG);
	expect_write(MEMORY, 4, 0x11223344);
	give_read(MEMORY, 4, 0xcafef00d);
	EXPECT(vm_out(&vm, 0, PORT), 0x55667788);
	EXPECT(vm_out(&vm, 0, PORT), 0xcafef00d);
	EXPECT(memcmp(vm.memory + MEMORY - 4, "\x88\x77\x66\x55", 4), 0);
}

static void test_mmio_stack(int argument)
{
	(void)argument;
	mmio_start(&mmio_stack, LONG);
	give_read(MMIO, 8, 0x1234567890abcdef);
	EXPECT(vm_out(&vm, 0, PORT), 0x90abcdef);
	expect_write(MMIO + 8, 8, 0x1234567890abcdef);
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

static void test_mmio_vector(int argument)
{
	(void)argument;
	mmio_start(&mmio_vector, LONG);
	memcpy(vm.memory + DATA, "0123456789abcdef", 16);
	CHECK(memcmp(vm_mmio(&vm, 0, MMIO, 8, true), "01234567", 8) == 0, "the lower half");
	CHECK(memcmp(vm_mmio(&vm, 0, MMIO + 8, 8, true), "89abcdef", 8) == 0, "the upper half");
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

static void test_mmio_locked(int argument)
{
	(void)argument;
	mmio_start(&mmio_locked, LONG);
	give_read(MMIO, 4, 1);
	expect_write(MMIO, 4, 9);
	EXPECT(vm_out(&vm, 0, PORT), 1);
}

static void test_mmio_fetch(int argument)
{
	struct kvm_run *run;

	(void)argument;
	mmio_start(&mmio_fetch, LONG);
	run = vm_run(&vm, 0, KVM_EXIT_INTERNAL_ERROR);
	EXPECT(run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	EXPECT(vm_regs(&vm, 0).rip, MMIO);
}

/* Hypervisors remember instructions: the second and third time must be as the first. */
GUEST(
    plain, 64,
    "1: mov $0x1122334455667788, %rax; mov %al, (%rdi); mov %ax, 2(%rdi); mov %eax, 4(%rdi)\n"
    "mov %rax, 8(%rdi); mov %ah, 1(%rdi); movb $0x7f, 3(%rdi); movw $-2, 2(%rdi)\n"
    "movl $-3, 4(%rdi); movq $-4, 8(%rdi); mov %r14b, (%rdi); mov %sil, (%rdi)\n"
    "mov %eax, -2(%rdi); mov $-8, %rcx; mov %eax, 32(%rdi, %rcx, 4); addr32 mov %eax, (%edi)\n"
    "xchg %eax, (%rdi); jmp 1b");
GUEST(
    plain_loads, 64,
    "1: mov $-1, %rbx; mov (%rdi), %bl; call 2f; mov 1(%rdi), %bx; call 2f\n"
    "mov 2(%rdi), %ebx; call 2f; mov -1(%rdi), %rbx; call 2f; mov $-1, %rbx\n"
    "movzbw (%rdi), %bx; call 2f; movzwl (%rdi), %ebx; call 2f; movzbq (%rdi), %rbx; call 2f\n"
    "movsbl (%rdi), %ebx; call 2f; mov (%rdi), %bh; call 2f; jmp 1b\n"
    "2: mov %rbx, %rax; out %eax, $0x10; shr $32, %rax; out %eax, $0x10; ret");

static void expect_store(uint64_t address, unsigned size, uint64_t value)
{
	uint64_t seen = 0;

	memcpy(&seen, vm_mmio(&vm, 0, address, size, true), size);
	EXPECT(seen, value);
}

/* With RAM before the device: a write that begins there is partly its own. */
static void test_stores_again(int argument)
{
	uint8_t *before = pages(PAGE);

	(void)argument;
	mmio_start(&plain, LONG);
	EXPECT(vm_slot(&vm, 1, 0, MMIO - PAGE, PAGE, before), 0);
	for (int i = 0; i < 3; i++) {
		before[PAGE - 2] = before[PAGE - 1] = 0;
		expect_store(MMIO, 1, 0x88);
		expect_store(MMIO + 2, 2, 0x7788);
		expect_store(MMIO + 4, 4, 0x55667788);
		expect_store(MMIO + 8, 8, 0x1122334455667788);
		expect_store(MMIO + 1, 1, 0x77);
		expect_store(MMIO + 3, 1, 0x7f);
		expect_store(MMIO + 2, 2, 0xfffe);
		expect_store(MMIO + 4, 4, 0xfffffffd);
		expect_store(MMIO + 8, 8, -4ull);
		expect_store(MMIO, 1, 0);
		expect_store(MMIO, 1, DATA & 0xff);
		expect_store(MMIO, 2, 0x5566);
		EXPECT(before[PAGE - 2], 0x88);
		EXPECT(before[PAGE - 1], 0x77);
		expect_store(MMIO, 4, 0x55667788);
		expect_store(MMIO, 4, 0x55667788);
		memcpy(vm_mmio(&vm, 0, MMIO, 4, false), "\1\2\3\4", 4);
		expect_store(MMIO, 4, 0x55667788);
	}
}

static void expect_load(uint64_t address, unsigned size, uint64_t value)
{
	uint64_t data = 0x8182838485868788;

	memcpy(vm_mmio(&vm, 0, address, size, false), &data, size);
	EXPECT(vm_out(&vm, 0, PORT), (uint32_t)value);
	EXPECT(vm_out(&vm, 0, PORT), value >> 32);
}

static void test_loads_again(int argument)
{
	uint8_t *before = pages(PAGE);

	(void)argument;
	mmio_start(&plain_loads, LONG);
	before[PAGE - 1] = 0x99;
	EXPECT(vm_slot(&vm, 1, 0, MMIO - PAGE, PAGE, before), 0);
	for (int i = 0; i < 3; i++) {
		expect_load(MMIO, 1, 0xffffffffffffff88);
		expect_load(MMIO + 1, 2, 0xffffffffffff8788);
		expect_load(MMIO + 2, 4, 0x85868788);
		expect_load(MMIO, 7, 0x8283848586878899);
		expect_load(MMIO, 1, 0xffffffffffff0088);
		expect_load(MMIO, 2, 0x8788);
		expect_load(MMIO, 1, 0x88);
		expect_load(MMIO, 1, 0xffffff88);
		expect_load(MMIO, 1, 0xffff8888);
	}
}

/* --- what else the page says, hypercalls, memory between two runs
 * ----------------------------- */

GUEST(flags, 64,
      "sti; out %al, $0x10; cli; out %al, $0x10; mov $5, %eax; mov %rax, %cr8; out %al, $0x10; "
      "hlt");
GUEST(registers, 64,
      "out %eax, $0x10; mov $5, %al; mov %rax, %cr8; sti; nop; nop; in $0x11, %al; cli\n"
      "mov %ebx, (%rdi); mov (%rdi), %edx; hlt; mov %ebx, %eax; out %eax, $0x10\n"
      "hlt");
GUEST(hypercall, 64, "mov $0x7777, %eax; vmmcall; out %eax, $0x10; hlt");
GUEST(syscall_32, 32, "syscall; hlt; hlt; mov %ecx, %eax; out %eax, $0x10; ud2");
GUEST(loads, 64, "1: mov (%rsi), %eax; out %eax, $0x10; incl (%rsi); jmp 1b");
GUEST(patched, 64, "1: mov $1, %eax; out %eax, $0x10; jmp 1b");

static void test_page_fields(int argument)
{
	struct kvm_run *run;

	(void)argument;
	vm_create(&vm);
	run = vm.vcpu[0].run;
	vm_load(&vm, 0, &flags, LONG);
	vm_out(&vm, 0, PORT);
	EXPECT(run->if_flag, 1);
	EXPECT(run->apic_base & 0xfffff000, 0xfee00000);
	EXPECT(run->cr8, 0);
	vm_out(&vm, 0, PORT);
	EXPECT(run->if_flag, 0);
	EXPECT(run->ready_for_interrupt_injection, 0);
	run->cr8 = 0;
	vm_out(&vm, 0, PORT);
	EXPECT(run->cr8, 5);
}

static void set_rbx(uint64_t rbx)
{
	struct kvm_regs regs = vm_regs(&vm, 0);

	regs.rbx = rbx;
	vm_set_regs(&vm, 0, &regs);
}

/* KVM_GET_REGS and KVM_GET_SREGS say what the page says. */
static void agree(bool interrupts, uint64_t cr8, uint64_t rbx)
{
	const struct kvm_run *run = vm.vcpu[0].run;
	struct kvm_regs regs = vm_regs(&vm, 0);
	struct kvm_sregs sregs = vm_sregs(&vm, 0);

	EXPECT(regs.rflags >> 9 & 1, interrupts);
	EXPECT(run->if_flag, interrupts);
	EXPECT(sregs.cr8, cr8);
	EXPECT(run->cr8, cr8);
	EXPECT(run->apic_base, sregs.apic_base);
	EXPECT(regs.rbx, rbx);
}

/* What is set at an exit is there afterwards; but Linux forgets a read that waits for its data.
 */
static void test_registers(int argument)
{
	(void)argument;
	vm_create(&vm);
	vm_load(&vm, 0, &registers, LONG);
	set_rbx(0x10);
	vm_out(&vm, 0, PORT);
	agree(false, 0, 0x10);
	set_rbx(0x11);
	expect_io(KVM_EXIT_IO_IN, 0x11, 1, 0x77);
	agree(true, 5, 0x11);
	EXPECT(vm_regs(&vm, 0).rip, CODE + 11);
	set_rbx(0x12);
	EXPECT(memcmp(vm_mmio(&vm, 0, MMIO, 4, true), "\x12\0\0\0", 4), 0);
	agree(false, 5, 0x12);
	EXPECT(vm_regs(&vm, 0).rip, CODE + 16);
	set_rbx(0x13);
	memcpy(vm_mmio(&vm, 0, MMIO, 4, false), "\x78\x56\x34\x12", 4);
	agree(false, 5, 0x13);
	vm_run(&vm, 0, KVM_EXIT_HLT);
	agree(false, 5, 0x13);
	EXPECT(vm_regs(&vm, 0).rip, CODE + 19);
	EXPECT(vm_regs(&vm, 0).rdx, 0x12345678);
	EXPECT(vm_regs(&vm, 0).rax & 0xff, 0x77);
	set_rbx(0x14);
	vm.vcpu[0].run->immediate_exit = 1;
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_RUN, 0)), EINTR);
	vm.vcpu[0].run->immediate_exit = 0;
	agree(false, 5, 0x14);
	EXPECT(vm_out(&vm, 0, PORT), 0x14);
}

static void test_hypercall(int argument)
{
	(void)argument;
	vm_create(&vm);
	vm_load(&vm, 0, &hypercall, LONG);
	EXPECT((int32_t)vm_out(&vm, 0, PORT), -1000); /* -KVM_ENOSYS */
	vm_run(&vm, 0, KVM_EXIT_HLT);
}

/* Intel's CPUs have it in 64-bit code only; a guest whose CPUID says AMD may use it all the
 * same. */
static void test_syscall_32(int argument)
{
	struct kvm_cpuid2 *list;
	struct kvm_cpuid_entry2 *vendor;
	struct kvm_regs regs;

	(void)argument;
	vm_create(&vm);
	list = cpuid_supported(vm.kvm);
	vendor = cpuid_find(list, 0, 0);
	vendor->ebx = signature_AMD_ebx;
	vendor->ecx = signature_AMD_ecx;
	vendor->edx = signature_AMD_edx;
	MUST(ioctl(vm.vcpu[0].fd, KVM_SET_CPUID2, list));
	free(list);
	vm_load(&vm, 0, &syscall_32, PROTECTED);
	EXPECT(msr_write(vm.vcpu[0].fd, 0xc0000080, 1), 0);			  /* EFER.SCE */
	EXPECT(msr_write(vm.vcpu[0].fd, 0xc0000081, 8ull << 32 | (CODE + 4)), 0); /* STAR */
	EXPECT(vm_out(&vm, 0, PORT), CODE + 2);
	regs = vm_regs(&vm, 0);
	EXPECT(regs.rcx, CODE + 2);
	EXPECT(vm_sregs(&vm, 0).ss.selector, 16);
	vm_out(&vm, 0, PORT_HANDLER); /* UD2, which is none */
}

static void test_memory_between(int argument)
{
	(void)argument;
	vm_create(&vm);
	vm_load(&vm, 0, &loads, LONG);
	EXPECT(vm_out(&vm, 0, PORT), 0);
	for (uint32_t i = 1; i < 20; i++) {
		memcpy(vm.memory + DATA, &i, sizeof(i));
		EXPECT(vm_out(&vm, 0, PORT), i + 1);
		EXPECT(vm.memory[DATA], i + 1);
	}
}

static void test_code_between(int argument)
{
	(void)argument;
	vm_create(&vm);
	vm_load(&vm, 0, &patched, LONG);
	for (uint8_t i = 1; i < 20; i++) {
		vm.memory[CODE + 1] = i;
		EXPECT(vm_out(&vm, 0, PORT), i);
	}
}

const struct test exit_tests[] = {
    TEST_OF("exit: OUT of each width, real mode", test_out, REAL),
    TEST_OF("exit: OUT of each width, protected mode", test_out, PROTECTED),
    TEST_OF("exit: OUT of each width, long mode", test_out, LONG),
    TEST_OF("exit: IN of each width, real mode", test_in, REAL),
    TEST_OF("exit: IN of each width, protected mode", test_in, PROTECTED),
    TEST_OF("exit: IN of each width, long mode", test_in, LONG),
    TEST("exit: REP OUTS and REP INS", test_string),
    TEST("exit: REP INS over three pages", test_string_many),
    TEST_OF("exit: HLT, real mode", test_halt, REAL),
    TEST_OF("exit: HLT, protected mode", test_halt, PROTECTED),
    TEST_OF("exit: HLT, long mode", test_halt, LONG),
    TEST_OF("exit: SHUTDOWN, real mode", test_triple_fault, REAL),
    TEST_OF("exit: SHUTDOWN, protected mode", test_triple_fault, PROTECTED),
    TEST_OF("exit: SHUTDOWN, long mode", test_triple_fault, LONG),
    TEST("exit: MMIO of each width", test_mmio_widths),
    TEST("exit: MMIO in real mode", test_mmio_real),
    TEST("exit: MMIO in protected mode", test_mmio_protected),
    TEST("exit: MMIO loads that extend", test_mmio_extend),
    TEST("exit: MMIO read-modify-write", test_mmio_modify),
    TEST("exit: MMIO compared and tested", test_mmio_test),
    TEST("exit: MMIO by string instructions", test_mmio_copy),
    TEST("exit: MMIO across a page", test_mmio_crossing),
    TEST("exit: MMIO across the end of memory", test_mmio_boundary),
    TEST("exit: MMIO by PUSH and POP", test_mmio_stack),
    TEST("exit: MMIO of 16 bytes", test_mmio_vector),
    TEST("exit: MMIO by LOCK CMPXCHG", test_mmio_locked),
    TEST("exit: code in MMIO space is an emulation error", test_mmio_fetch),
    TEST("exit: MMIO stores, again and again", test_stores_again),
    TEST("exit: MMIO loads, again and again", test_loads_again),
    TEST("exit: fields of kvm_run", test_page_fields),
    TEST("exit: registers, and fields of kvm_run, at each exit", test_registers),
    TEST("exit: an unknown hypercall returns to the guest", test_hypercall),
    TEST("exit: SYSCALL in 32-bit code, with AMD's CPUID", test_syscall_32),
    TEST("exit: client and guest see each other's writes", test_memory_between),
    TEST("exit: the client changes the guest's code", test_code_between),
    TESTS_END,
};
