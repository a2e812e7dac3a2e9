/* SPDX-License-Identifier: BSD-2-Clause */
/* Each way to get and set registers: what was set is there, and the guest sees it. */
#include <stdlib.h>
#include <string.h>

#include "kvm/test.h"

#define XSAVE_FCW    0
#define XSAVE_MXCSR  24
#define XSAVE_ST0    32
#define XSAVE_XMM0   160
#define XSAVE_HEADER 512
#define XSAVE_YMM0   576
#define XSAVE_SIZE   4096u

static struct vm vm;

#define GET(request, value) MUST(ioctl(vm.vcpu[0].fd, request, value))
#define SET(request, value) MUST(ioctl(vm.vcpu[0].fd, request, value))
#define REFUSED(request, value, error) \
	EXPECT(failure(ioctl(vm.vcpu[0].fd, request, value)), error)

/* --- general registers -----------------------------------------------------------------------
 */

GUEST(save_all, 64,
      "mov %rsp, 0xc080; mov $0xc080, %rsp\n"
      "push %rax; push %rbx; push %rcx; push %rdx; push %rsi; push %rdi; push %rbp\n"
      "push %r8; push %r9; push %r10; push %r11; push %r12; push %r13; push %r14; push %r15\n"
      "mov $0xf000, %rsp; pushfq; pop 0xc088; out %al, $0x10\n"
      "mov $1, %rax; mov $2, %rbx; mov $3, %rcx; mov $4, %rdx; mov $5, %rsi; mov $6, %rdi\n"
      "mov $7, %rbp; mov $8, %r8; mov $9, %r9; mov $10, %r10; mov $11, %r11; mov $12, %r12\n"
      "mov $13, %r13; mov $14, %r14; mov $15, %r15; mov $16, %rsp; stc; out %al, $0x10");

static const struct kvm_regs pattern = {
    .rax = 0x1111111111111101,
    .rbx = 0x1111111111111102,
    .rcx = 0x1111111111111103,
    .rdx = 0x1111111111111104,
    .rsi = 0x1111111111111105,
    .rdi = 0x1111111111111106,
    .rbp = 0x1111111111111107,
    .r8 = 0x1111111111111108,
    .r9 = 0x1111111111111109,
    .r10 = 0x1111111111111110,
    .r11 = 0x1111111111111111,
    .r12 = 0x1111111111111112,
    .r13 = 0x1111111111111113,
    .r14 = 0x1111111111111114,
    .r15 = 0x1111111111111115,
    .rsp = 0x1111111111111116,
    .rip = CODE,
    .rflags = 0x8d7,
};

static void test_regs(int argument)
{
	struct kvm_regs regs;
	uint64_t saved[18];

	(void)argument;
	vm_create(&vm);
	vm_load(&vm, 0, &save_all, LONG);
	vm_set_regs(&vm, 0, &pattern);
	regs = vm_regs(&vm, 0);
	EXPECT(memcmp(&regs, &pattern, sizeof(regs)), 0);
	vm_out(&vm, 0, PORT);
	memcpy(saved, vm.memory + 0xc080 - 15 * 8, sizeof(saved));
	const uint64_t seen[] = {
	    pattern.r15, pattern.r14, pattern.r13, pattern.r12, pattern.r11,   pattern.r10,
	    pattern.r9,	 pattern.r8,  pattern.rbp, pattern.rdi, pattern.rsi,   pattern.rdx,
	    pattern.rcx, pattern.rbx, pattern.rax, pattern.rsp, pattern.rflags};
	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++)
		CHECK(saved[i] == seen[i], "register %zu is %#" PRIx64 ", not %#" PRIx64, i,
		      saved[i], seen[i]);
	vm_out(&vm, 0, PORT);
	regs = vm_regs(&vm, 0);
	EXPECT(regs.rax, 1);
	EXPECT(regs.rbx, 2);
	EXPECT(regs.rcx, 3);
	EXPECT(regs.rdx, 4);
	EXPECT(regs.rsi, 5);
	EXPECT(regs.rdi, 6);
	EXPECT(regs.rbp, 7);
	EXPECT(regs.r8, 8);
	EXPECT(regs.r15, 15);
	EXPECT(regs.rsp, 16);
	EXPECT(regs.rflags & 1, 1);
}

static void test_regs_after_reset(int argument)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	(void)argument;
	vm_create(&vm);
	regs = vm_regs(&vm, 0);
	sregs = vm_sregs(&vm, 0);
	EXPECT(regs.rip, 0xfff0);
	EXPECT(regs.rflags, 2);
	EXPECT(sregs.cs.selector, 0xf000);
	EXPECT(sregs.cs.base, 0xffff0000);
	EXPECT(sregs.cr0, 0x60000010);
	EXPECT(sregs.efer, 0);
	EXPECT(sregs.idt.limit, 0xffff);
	EXPECT(sregs.apic_base & 0xfffff100, 0xfee00100);
}

/* A register changed between an exit for IN and its completion keeps both changes. */
GUEST(in_then_out, 64, "in $0x11, %al; mov %rbx, %rcx; out %eax, $0x10; hlt");

static void test_regs_during_io(int argument)
{
	struct kvm_run *run;
	struct kvm_regs regs;

	(void)argument;
	vm_create(&vm);
	vm_load(&vm, 0, &in_then_out, LONG);
	run = vm_run(&vm, 0, KVM_EXIT_IO);
	*io_data(run) = 0x42;
	regs = vm_regs(&vm, 0);
	regs.rbx = 0x77;
	vm_set_regs(&vm, 0, &regs);
	vm_out(&vm, 0, PORT);
	EXPECT(vm_regs(&vm, 0).rcx, 0x77);
}

/* --- segments, control registers -------------------------------------------------------------
 */

GUEST(
    read_system, 64,
    "mov %cr0, %rax; mov %rax, (%rsi); mov %cr2, %rax; mov %rax, 8(%rsi); mov %cr3, %rax\n"
    "mov %rax, 16(%rsi); mov %cr4, %rax; mov %rax, 24(%rsi); mov %cr8, %rax; mov %rax, "
    "32(%rsi)\n"
    "mov $0xc0000080, %ecx; rdmsr; mov %eax, 40(%rsi); sgdt 48(%rsi); sidt 64(%rsi); str "
    "80(%rsi)\n"
    "sldt 84(%rsi); mov %fs:4, %eax; mov %eax, 88(%rsi); mov %gs:4, %eax; mov %eax, 92(%rsi)\n"
    "mov %ds, 96(%rsi); mov %fs, 98(%rsi); out %al, $0x10");

static struct kvm_sregs system_pattern(void)
{
	struct kvm_sregs sregs = vm_sregs(&vm, 0);

	sregs.cr2 = 0x1234567890;
	sregs.cr8 = 6;
	sregs.fs.base = 0xd000;
	sregs.fs.selector = 0x13;
	sregs.gs.base = 0xd100;
	sregs.tr = (struct kvm_segment){
	    .base = 0x5000, .limit = 0x67, .selector = 0x28, .type = 11, .present = 1};
	sregs.ldt = (struct kvm_segment){
	    .base = 0x5100, .limit = 0x17, .selector = 0x30, .type = 2, .present = 1};
	sregs.gdt = (struct kvm_dtable){.base = GDT, .limit = 0x57};
	sregs.idt = (struct kvm_dtable){.base = IDT, .limit = 0x9ff};
	return sregs;
}

static void expect_same_system(const struct kvm_sregs *got, const struct kvm_sregs *wanted)
{
	EXPECT(got->cr0, wanted->cr0);
	EXPECT(got->cr2, wanted->cr2);
	EXPECT(got->cr3, wanted->cr3);
	EXPECT(got->cr4, wanted->cr4);
	EXPECT(got->cr8, wanted->cr8);
	EXPECT(got->efer, wanted->efer);
	EXPECT(got->apic_base, wanted->apic_base);
	EXPECT(memcmp(&got->cs, &wanted->cs, sizeof(got->cs)), 0);
	EXPECT(memcmp(&got->fs, &wanted->fs, sizeof(got->fs)), 0);
	EXPECT(memcmp(&got->ss, &wanted->ss, sizeof(got->ss)), 0);
	EXPECT(memcmp(&got->tr, &wanted->tr, sizeof(got->tr)), 0);
	EXPECT(memcmp(&got->ldt, &wanted->ldt, sizeof(got->ldt)), 0);
	EXPECT(got->gdt.base, wanted->gdt.base);
	EXPECT(got->gdt.limit, wanted->gdt.limit);
	EXPECT(got->idt.base, wanted->idt.base);
	EXPECT(got->idt.limit, wanted->idt.limit);
}

static uint64_t data_at(unsigned offset, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, vm.memory + DATA + offset, size);
	return value;
}

static void expect_guest_sees(const struct kvm_sregs *sregs)
{
	vm_out(&vm, 0, PORT);
	EXPECT(data_at(0, 8), sregs->cr0);
	EXPECT(data_at(8, 8), sregs->cr2);
	EXPECT(data_at(16, 8), sregs->cr3);
	EXPECT(data_at(24, 8), sregs->cr4);
	EXPECT(data_at(32, 8), 6);
	EXPECT(data_at(40, 4), sregs->efer);
	EXPECT(data_at(48, 2), sregs->gdt.limit);
	EXPECT(data_at(50, 8), sregs->gdt.base);
	EXPECT(data_at(64, 2), sregs->idt.limit);
	EXPECT(data_at(66, 8), sregs->idt.base);
	EXPECT(data_at(80, 2), sregs->tr.selector);
	EXPECT(data_at(84, 2), sregs->ldt.selector);
	EXPECT(data_at(88, 4), 0x11111111);
	EXPECT(data_at(92, 4), 0x22222222);
	EXPECT(data_at(96, 2), sregs->ds.selector);
	EXPECT(data_at(98, 2), 0x13);
}

static void start_system(void)
{
	vm_create(&vm);
	vm_load(&vm, 0, &read_system, LONG);
	memset(vm.memory + 0xd004, 0x11, 4);
	memset(vm.memory + 0xd104, 0x22, 4);
}

static void test_sregs(int argument)
{
	struct kvm_sregs wanted, got;

	(void)argument;
	start_system();
	wanted = system_pattern();
	vm.vcpu[0].run->cr8 = 6; /* without an in-kernel APIC each RUN takes CR8 from here */
	SET(KVM_SET_SREGS, &wanted);
	got = vm_sregs(&vm, 0);
	expect_same_system(&got, &wanted);
	expect_guest_sees(&wanted);
}

static void test_sregs2(int argument)
{
	struct kvm_sregs2 all = {0};
	struct kvm_sregs wanted, got;

	(void)argument;
	start_system();
	REQUIRE(&vm, KVM_CAP_SREGS2);
	wanted = system_pattern();
	vm.vcpu[0].run->cr8 = 6;
	/* Up to the interrupt bitmap of the older one both are the same. */
	memcpy(&all, &wanted, offsetof(struct kvm_sregs, interrupt_bitmap));
	SET(KVM_SET_SREGS2, &all);
	memset(&all, 0xff, sizeof(all));
	GET(KVM_GET_SREGS2, &all);
	memset(&got, 0, sizeof(got));
	memcpy(&got, &all, offsetof(struct kvm_sregs, interrupt_bitmap));
	expect_same_system(&got, &wanted);
	EXPECT(all.flags, 0);
	expect_guest_sees(&wanted);
	all.flags = 0x80;
	REFUSED(KVM_SET_SREGS2, &all, EINVAL);
}

/* PAE paging, whose four entries travel with SREGS2. */
static void test_sregs2_pdptrs(int argument)
{
	struct kvm_sregs2 all;
	const uint64_t entry = 0x11000 | 1;

	(void)argument;
	vm_create(&vm);
	REQUIRE(&vm, KVM_CAP_SREGS2);
	vm_load(&vm, 0, &read_system, PROTECTED);
	GET(KVM_GET_SREGS2, &all);
	EXPECT(all.flags, 0);
	for (unsigned i = 0; i < 4; i++)
		memcpy(vm.memory + 0x10000 + 8 * i, &entry, 8);
	all.cr3 = 0x10000;
	all.cr4 |= 0x20;
	all.cr0 |= 0x80000000;
	SET(KVM_SET_SREGS2, &all);
	GET(KVM_GET_SREGS2, &all);
	if (!(all.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID))
		return;
	EXPECT(all.pdptrs[0], entry);
	EXPECT(all.pdptrs[3], entry);
}

static void test_sregs_refused(int argument)
{
	struct kvm_sregs good, bad;

	(void)argument;
	vm_create(&vm);
	vm_load(&vm, 0, &read_system, LONG);
	good = bad = vm_sregs(&vm, 0);
	bad.cr4 &= ~0x20ull; /* long mode without PAE */
	REFUSED(KVM_SET_SREGS, &bad, EINVAL);
	bad = good;
	bad.cr4 |= 1ull << 40;
	REFUSED(KVM_SET_SREGS, &bad, EINVAL);
	bad = good;
	bad.efer = 0; /* 64-bit code outside long mode */
	REFUSED(KVM_SET_SREGS, &bad, EINVAL);
	bad = good;
	bad.cr3 = 1ull << 60;
	REFUSED(KVM_SET_SREGS, &bad, EINVAL);
	vm_out(&vm, 0, PORT);
	EXPECT(data_at(24, 8), good.cr4);
}

/* --- FPU -------------------------------------------------------------------------------------
 */

GUEST(fpu, 64,
      "fld1; fstp %st; pcmpeqd %xmm7, %xmm7; out %al, $0x10; fnstcw (%rsi); stmxcsr 4(%rsi); "
      "movdqu %xmm0, 16(%rsi); movdqu %xmm15, 32(%rsi)\n"
      "fstpt 48(%rsi); out %al, $0x10\n"
      "fninit; fld1; pcmpeqd %xmm3, %xmm3; out %al, $0x10");
GUEST(
    ymm, 64,
    "vmovdqu %ymm1, (%rsi); out %al, $0x10; vmovdqu (%rsi), %ymm2; vpaddd %ymm2, %ymm2, %ymm4\n"
    "out %al, $0x10");

/* MXCSR is not asked: Linux neither sets nor gets it here. */
static void test_fpu(int argument)
{
	struct kvm_fpu state = {.fcw = 0x27f, .mxcsr = 0x1f80};

	(void)argument;
	vm_create(&vm);
	vm_load(&vm, 0, &fpu, LONG);
	vm_out(&vm, 0, PORT);
	memset(state.xmm[0], 0x5a, 16);
	memset(state.xmm[15], 0x5b, 16);
	memcpy(state.fpr[0], "\0\0\0\0\0\0\0\x80\xff\x3f", 10); /* 1.0 */
	state.ftwx = 1;
	SET(KVM_SET_FPU, &state);
	vm_out(&vm, 0, PORT);
	EXPECT(data_at(0, 2), 0x27f);
	EXPECT(data_at(16, 8), 0x5a5a5a5a5a5a5a5a);
	EXPECT(data_at(40, 8), 0x5b5b5b5b5b5b5b5b);
	EXPECT(data_at(48, 8), 0x8000000000000000);
	EXPECT(data_at(56, 2), 0x3fff);
	vm_out(&vm, 0, PORT);
	GET(KVM_GET_FPU, &state);
	EXPECT(state.fcw, 0x37f);
	EXPECT(state.xmm[3][15], 0xff);
	EXPECT(memcmp(state.fpr[0], "\0\0\0\0\0\0\0\x80\xff\x3f", 10), 0);
}

static size_t xsave_size(void)
{
	int size = MUST(ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2));

	return (size_t)size > XSAVE_SIZE ? (size_t)size : XSAVE_SIZE;
}

static bool has_avx(void)
{
	struct kvm_cpuid2 *list = cpuid_supported(vm.kvm);
	struct kvm_cpuid_entry2 *entry = cpuid_find(list, 0xd, 0);

	return entry && entry->eax & 4;
}

static void test_xsave(int argument)
{
	unsigned long get = argument ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;
	uint8_t *area;
	uint64_t bits = 3;

	(void)argument;
	vm_create(&vm);
	if (argument)
		REQUIRE(&vm, KVM_CAP_XSAVE2);
	vm_load(&vm, 0, &fpu, LONG);
	area = calloc(1, xsave_size());
	vm_out(&vm, 0, PORT);
	GET(get, area);
	EXPECT(area[XSAVE_XMM0 + 7 * 16], 0xff);
	EXPECT(*(uint16_t *)(void *)(area + XSAVE_FCW), 0x37f);
	EXPECT(*(uint32_t *)(void *)(area + XSAVE_MXCSR), 0x1f80);
	memcpy(area + XSAVE_HEADER, &bits, 8);
	memset(area + XSAVE_XMM0, 0x6a, 16);
	memset(area + XSAVE_XMM0 + 15 * 16, 0x6b, 16);
	area[XSAVE_FCW + 1] = 2;
	area[XSAVE_MXCSR] = 0xa0;
	SET(KVM_SET_XSAVE, area);
	vm_out(&vm, 0, PORT);
	EXPECT(data_at(0, 2), 0x27f);
	EXPECT(data_at(4, 4), 0x1fa0);
	EXPECT(data_at(16, 8), 0x6a6a6a6a6a6a6a6a);
	EXPECT(data_at(32, 8), 0x6b6b6b6b6b6b6b6b);
	vm_out(&vm, 0, PORT);
	memset(area, 0, xsave_size());
	GET(get, area);
	EXPECT(area[XSAVE_XMM0 + 3 * 16], 0xff);
	EXPECT(area[XSAVE_XMM0], 0x6a);
	EXPECT(memcmp(area + XSAVE_ST0, "\0\0\0\0\0\0\0\x80\xff\x3f", 10), 0);
}

static void set_xcr0(unsigned id, uint64_t value)
{
	struct kvm_sregs sregs = vm_sregs(&vm, id);
	struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0] = {.xcr = 0, .value = value}};

	sregs.cr4 |= 1 << 18; /* OSXSAVE */
	EXPECT(ioctl(vm.vcpu[id].fd, KVM_SET_SREGS, &sregs), 0);
	EXPECT(ioctl(vm.vcpu[id].fd, KVM_SET_XCRS, &xcrs), 0);
}

static void test_xsave_avx(int argument)
{
	uint8_t *area;
	uint64_t bits = 7;

	(void)argument;
	vm_create(&vm);
	if (!has_avx())
		skip("no AVX");
	vm_load(&vm, 0, &ymm, LONG);
	set_xcr0(0, 7);
	area = calloc(1, xsave_size());
	GET(KVM_GET_XSAVE, area);
	memcpy(area + XSAVE_HEADER, &bits, 8);
	memset(area + XSAVE_XMM0 + 16, 0x11, 16);
	memset(area + XSAVE_YMM0 + 16, 0x22, 16);
	SET(KVM_SET_XSAVE, area);
	vm_out(&vm, 0, PORT);
	EXPECT(data_at(8, 8), 0x1111111111111111);
	EXPECT(data_at(24, 8), 0x2222222222222222);
	vm_out(&vm, 0, PORT);
	GET(KVM_GET_XSAVE, area);
	EXPECT(area[XSAVE_HEADER] & 4, 4);
	EXPECT(area[XSAVE_XMM0 + 4 * 16], 0x22);
	EXPECT(area[XSAVE_YMM0 + 4 * 16], 0x44);
}

static void test_xsave_refused(int argument)
{
	uint8_t *area;

	(void)argument;
	vm_create(&vm);
	area = calloc(1, xsave_size());
	GET(KVM_GET_XSAVE, area);
	area[XSAVE_HEADER + 7] = 0x40; /* a component that no CPU has */
	REFUSED(KVM_SET_XSAVE, area, EINVAL);
	area[XSAVE_HEADER + 7] = 0;
	area[XSAVE_HEADER] = 3;
	area[XSAVE_MXCSR + 3] = 0xff;
	REFUSED(KVM_SET_XSAVE, area, EINVAL);
}

GUEST(xgetbv, 64, "xor %ecx, %ecx; xgetbv; out %eax, $0x10; hlt");
GUEST(xsetbv, 64, "xor %ecx, %ecx; xor %edx, %edx; mov $3, %eax; xsetbv; out %eax, $0x10; hlt");

static void test_xcrs(int argument)
{
	struct kvm_xcrs xcrs = {0};

	(void)argument;
	vm_create(&vm);
	vm_load(&vm, 0, &xgetbv, LONG);
	GET(KVM_GET_XCRS, &xcrs);
	EXPECT(xcrs.nr_xcrs, 1);
	EXPECT(xcrs.xcrs[0].xcr, 0);
	EXPECT(xcrs.xcrs[0].value, 1);
	set_xcr0(0, has_avx() ? 7 : 3);
	EXPECT(vm_out(&vm, 0, PORT), has_avx() ? 7 : 3);
	xcrs.xcrs[0].value = 2; /* without x87 */
	REFUSED(KVM_SET_XCRS, &xcrs, EINVAL);
	xcrs.nr_xcrs = 77;
	REFUSED(KVM_SET_XCRS, &xcrs, EINVAL);
	xcrs.nr_xcrs = 1;
	xcrs.flags = 1;
	REFUSED(KVM_SET_XCRS, &xcrs, EINVAL);
}

static void test_xsetbv(int argument)
{
	struct kvm_xcrs xcrs = {0};

	(void)argument;
	/* There XSETBV is not intercepted: Linux's kvm_amd then runs with the guest's XCR0
	 * itself. */
	if (under_tcg())
		skip("TCG does not intercept XSETBV");
	vm_create(&vm);
	vm_load(&vm, 0, &xsetbv, LONG);
	set_xcr0(0, 1);
	vm_out(&vm, 0, PORT);
	GET(KVM_GET_XCRS, &xcrs);
	EXPECT(xcrs.xcrs[0].value, 3);
}

/* Sets what DATA says, unless that is 0, and says what there is. */
GUEST(xcr0, 64,
      "1: xor %ecx, %ecx; xor %edx, %edx; mov (%rsi), %eax; test %eax, %eax; jz 2f; xsetbv\n"
      "2: xgetbv; out %eax, $0x10; jmp 1b");

static uint32_t xcr0_after(unsigned id, uint32_t set)
{
	uint32_t low, high, seen, own;

	memcpy(vm.memory + DATA, &set, sizeof(set));
	__asm__ volatile("xgetbv" : "=a"(own), "=d"(high) : "c"(0));
	seen = vm_out(&vm, id, PORT);
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	EXPECT(low, own);
	return seen;
}

/* #GP, and no change. */
static void xcr0_is_refused(void)
{
	struct kvm_xcrs xcrs = {0};
	const uint32_t without_x87 = 2;

	memcpy(vm.memory + DATA, &without_x87, sizeof(without_x87));
	vm_out(&vm, 0, PORT_HANDLER);
	GET(KVM_GET_XCRS, &xcrs);
	EXPECT(xcrs.xcrs[0].value, 1);
}

/* By turns, on one CPU, whose own is another still. */
static void test_xcr0_apart(int argument)
{
	(void)argument;
	vm_create(&vm);
	vm_add_vcpu(&vm, 1);
	for (unsigned id = 0; id < 2; id++) {
		vm_load(&vm, id, &xcr0, LONG);
		set_xcr0(id, id ? 1 : 3);
	}
	EXPECT(xcr0_after(0, 0), 3);
	EXPECT(xcr0_after(1, 0), 1);
	EXPECT(xcr0_after(0, 0), 3);
	if (under_tcg()) /* test_xsetbv */
		return;
	EXPECT(xcr0_after(0, 1), 1);
	EXPECT(xcr0_after(1, 3), 3);
	EXPECT(xcr0_after(0, 0), 1);
	EXPECT(xcr0_after(1, 0), 3);
	xcr0_is_refused();
}

/* --- debug registers, events, multiprocessing state
 * ------------------------------------------- */

GUEST(debug_registers, 64,
      "mov %dr0, %rax; out %eax, $0x10; mov %dr3, %rax; out %eax, $0x10; mov %dr7, %rax\n"
      "out %eax, $0x10; mov %dr6, %rax; out %eax, $0x10; mov $0x4444, %eax; mov %rax, %dr2; "
      "out %al, $0x10");

static void test_debugregs(int argument)
{
	struct kvm_debugregs set = {
	    .db = {0x1000, 0x2000, 0x3000, 0x7000}, .dr6 = 0xffff0ff0, .dr7 = 0x400};
	struct kvm_debugregs got;

	(void)argument;
	vm_create(&vm);
	vm_load(&vm, 0, &debug_registers, LONG);
	SET(KVM_SET_DEBUGREGS, &set);
	GET(KVM_GET_DEBUGREGS, &got);
	EXPECT(memcmp(&got, &set, sizeof(got)), 0);
	EXPECT(vm_out(&vm, 0, PORT), 0x1000);
	EXPECT(vm_out(&vm, 0, PORT), 0x7000);
	EXPECT(vm_out(&vm, 0, PORT), 0x400);
	EXPECT(vm_out(&vm, 0, PORT), 0xffff0ff0);
	vm_out(&vm, 0, PORT);
	GET(KVM_GET_DEBUGREGS, &got);
	EXPECT(got.db[2], 0x4444);
	got.dr7 = 1ull << 40;
	REFUSED(KVM_SET_DEBUGREGS, &got, EINVAL);
	got.dr7 = 0x400;
	got.flags = 1;
	REFUSED(KVM_SET_DEBUGREGS, &got, EINVAL);
}

GUEST(wait_for_shadow, 64, "sti; hlt");

static void test_events(int argument)
{
	struct kvm_vcpu_events events, got;

	(void)argument;
	vm_create(&vm);
	vm_load(&vm, 0, &wait_for_shadow, LONG);
	GET(KVM_GET_VCPU_EVENTS, &events);
	EXPECT(events.exception.injected, 0);
	EXPECT(events.nmi.pending, 0);
	events.exception = (typeof(events.exception)){
	    .injected = 1, .nr = 13, .has_error_code = 1, .error_code = 0x18};
	events.nmi.masked = 1;
	events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	events.flags |= KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING;
	SET(KVM_SET_VCPU_EVENTS, &events);
	GET(KVM_GET_VCPU_EVENTS, &got);
	EXPECT(got.exception.injected, 1);
	EXPECT(got.exception.nr, 13);
	EXPECT(got.exception.has_error_code, 1);
	EXPECT(got.exception.error_code, 0x18);
	EXPECT(got.nmi.masked, 1);
	CHECK(got.interrupt.shadow, "the interrupt shadow is gone");
	events.exception = (typeof(events.exception)){0};
	events.interrupt.injected = 1;
	events.interrupt.nr = 0x33;
	events.interrupt.shadow = 0;
	events.nmi.masked = 0;
	SET(KVM_SET_VCPU_EVENTS, &events);
	GET(KVM_GET_VCPU_EVENTS, &got);
	EXPECT(got.interrupt.injected, 1);
	EXPECT(got.interrupt.nr, 0x33);
	EXPECT(got.interrupt.shadow, 0);
	EXPECT(got.nmi.masked, 0);
	events.flags = 0x80000000;
	REFUSED(KVM_SET_VCPU_EVENTS, &events, EINVAL);
	events.flags = 0;
	events.exception.injected = 1;
	events.exception.nr = 2; /* NMI is no exception here */
	REFUSED(KVM_SET_VCPU_EVENTS, &events, EINVAL);
	events.exception.nr = 32;
	REFUSED(KVM_SET_VCPU_EVENTS, &events, EINVAL);
}

static void test_mp_state(int argument)
{
	struct kvm_mp_state state = {.mp_state = 77};

	(void)argument;
	vm_create(&vm);
	GET(KVM_GET_MP_STATE, &state);
	EXPECT(state.mp_state, KVM_MP_STATE_RUNNABLE);
	SET(KVM_SET_MP_STATE, &state);
	/* Without a local APIC in the kernel a vCPU is always runnable. */
	state.mp_state = KVM_MP_STATE_HALTED;
	REFUSED(KVM_SET_MP_STATE, &state, EINVAL);
	state.mp_state = 77;
	REFUSED(KVM_SET_MP_STATE, &state, EINVAL);
}

static void test_mp_state_irqchip(int argument)
{
	struct kvm_mp_state state;

	(void)argument;
	vm_create_with_irqchip(&vm);
	vm_add_vcpu(&vm, 1);
	GET(KVM_GET_MP_STATE, &state);
	EXPECT(state.mp_state, KVM_MP_STATE_RUNNABLE);
	MUST(ioctl(vm.vcpu[1].fd, KVM_GET_MP_STATE, &state));
	EXPECT(state.mp_state, KVM_MP_STATE_UNINITIALIZED);
	state.mp_state = KVM_MP_STATE_HALTED;
	SET(KVM_SET_MP_STATE, &state);
	GET(KVM_GET_MP_STATE, &state);
	EXPECT(state.mp_state, KVM_MP_STATE_HALTED);
}

/* --- CPUID -----------------------------------------------------------------------------------
 */

GUEST(cpuid, 64,
      "1: mov (%rsi), %eax; mov 4(%rsi), %ecx; cpuid; mov %eax, 8(%rsi); mov %ebx, 12(%rsi)\n"
      "mov %ecx, 16(%rsi); mov %edx, 20(%rsi); out %al, $0x10; jmp 1b");

static void expect_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx,
			 uint32_t ecx, uint32_t edx)
{
	const uint32_t question[] = {leaf, subleaf}, wanted[] = {eax, ebx, ecx, edx};

	memcpy(vm.memory + DATA, question, sizeof(question));
	vm_out(&vm, 0, PORT);
	for (unsigned i = 0; i < 4; i++) {
		uint32_t got = (uint32_t)data_at(8 + 4 * i, 4);

		CHECK(got == wanted[i], "leaf %#x.%u, E%cX is %#x, not %#x", leaf, subleaf,
		      "ABCD"[i], got, wanted[i]);
	}
}

static void test_cpuid(int argument)
{
	struct {
		struct kvm_cpuid2 list;
		struct kvm_cpuid_entry2 entries[8];
	} set = {.entries = {
		     {.function = 0,
		      .eax = 0xd,
		      .ebx = 0x68747541,
		      .ecx = 0x444d4163,
		      .edx = 0x69746e65},
		     {.function = 4, .index = 0, .flags = 1, .eax = 40, .ebx = 41},
		     {.function = 4, .index = 1, .flags = 1, .eax = 50, .ebx = 51},
		     {.function = 0x40000000, .eax = 0x40000001, .ebx = 1, .ecx = 2, .edx = 3},
		     {.function = 0x80000000, .eax = 0x80000008},
		     {.function = 0x80000002, .eax = 0x61616161, .ebx = 5, .ecx = 6, .edx = 7},
		     {.function = 0x80000001, .edx = 1 << 29 | 1 << 20},
		     {.function = 0x80000008, .eax = 0x3028},
		 }};
	struct kvm_cpuid2 *got = calloc(1, 4096);

	(void)argument;
	set.list.nent = 8;
	vm_create(&vm);
	SET(KVM_SET_CPUID2, &set);
	got->nent = 50;
	GET(KVM_GET_CPUID2, got);
	EXPECT(cpuid_find(got, 4, 1)->eax, 50);
	got->nent = 3;
	REFUSED(KVM_GET_CPUID2, got, E2BIG);
	vm_load(&vm, 0, &cpuid, LONG);
	expect_cpuid(0, 0, 0xd, 0x68747541, 0x444d4163, 0x69746e65);
	expect_cpuid(4, 0, 40, 41, 0, 0);
	expect_cpuid(4, 1, 50, 51, 0, 0);
	expect_cpuid(4, 2, 0, 0, 0, 0);
	expect_cpuid(0x40000000, 0, 0x40000001, 1, 2, 3);
	expect_cpuid(0x80000002, 0, 0x61616161, 5, 6, 7);
	expect_cpuid(5, 0, 0, 0, 0, 0); /* below the maximum, not in the list */
}

/* OSXSAVE follows CR4, whatever the list says. */
static void test_cpuid_dynamic(int argument)
{
	struct kvm_cpuid2 *list;
	const uint32_t question[] = {1, 0};

	(void)argument;
	vm_create(&vm);
	list = cpuid_supported(vm.kvm);
	if (!(cpuid_find(list, 1, 0)->ecx & 1 << 26))
		skip("no XSAVE");
	vm_load(&vm, 0, &cpuid, LONG);
	memcpy(vm.memory + DATA, question, sizeof(question));
	vm_out(&vm, 0, PORT);
	EXPECT(data_at(16, 4) >> 27 & 1, 0);
	set_xcr0(0, 3);
	vm_out(&vm, 0, PORT);
	EXPECT(data_at(16, 4) >> 27 & 1, 1);
}

static void test_cpuid_refused(int argument)
{
	struct kvm_cpuid2 many = {.nent = 1000};

	(void)argument;
	vm_create(&vm);
	REFUSED(KVM_SET_CPUID2, &many, E2BIG);
}

/* --- CR4 -------------------------------------------------------------------------------- */

#define CR4_FSGSBASE (1ull << 16)
#define CR4_PCIDE    (1ull << 17)

/* Sets in CR4 what DATA has; a MOV to CR4 that raises #GP ends at the other port. */
GUEST(sets_cr4, 64,
      "1: mov %cr4, %rax; or (%rsi), %rax; mov %rax, %cr4; out %al, $0x10; jmp 1b");
GUEST(clears_pae, 64, "mov %cr4, %rax; and $~0x20, %rax; mov %rax, %cr4; out %al, $0x10");
GUEST(over_cr4, 64,
      "addq $3, 8(%rsp); add $8, %rsp; mov 16(%rsp), %rax; out %eax, $0x12; iretq");

#define CPUID_RDTSCP (1u << 27) /* 80000001h EDX */
#define CPUID_RDPID  (1u << 22) /* 7 ECX */
GUEST(rdtscp, 64, "rdtscp; out %al, $0x10");

static void start_cr4(const struct guest *guest, uint32_t without_ebx_7)
{
	struct kvm_cpuid2 *list;
	struct kvm_cpuid_entry2 *features;

	vm_create(&vm);
	list = cpuid_supported(vm.kvm);
	features = cpuid_find(list, 7, 0);
	if (features)
		features->ebx &= ~without_ebx_7;
	cpuid_find(list, 1, 0)->ecx &= ~(1u << 17);
	SET(KVM_SET_CPUID2, list);
	free(list);
	vm_load(&vm, 0, guest, LONG);
	vm_put(&vm, HANDLER + 0x100, &over_cr4);
	vm_gate(&vm, 13, HANDLER + 0x100);
}

static void expect_cr4(uint64_t bits, unsigned port)
{
	uint64_t before = vm_sregs(&vm, 0).cr4;
	uint32_t flags;

	memcpy(vm.memory + DATA, &bits, sizeof(bits));
	flags = vm_out(&vm, 0, port);
	if (port == PORT_HANDLER) {
		EXPECT(flags >> 16 & 1, 1); /* RF: a fault (APM 2 8.2) */
		EXPECT(vm_sregs(&vm, 0).cr4, before);
		vm_out(&vm, 0, PORT); /* the handler has returned */
	}
	EXPECT(vm_sregs(&vm, 0).cr4, port == PORT ? before | bits : before);
}

static void test_cr4(int argument)
{
	(void)argument;
	start_cr4(&sets_cr4, 0);
	expect_cr4(1 << 2, PORT); /* TSD */
	expect_cr4(1 << 15, PORT_HANDLER);
	expect_cr4(1ull << 31, PORT_HANDLER);
	expect_cr4(1 << 7, PORT); /* PGE */
}

static void test_cr4_hidden(int argument)
{
	struct kvm_cpuid2 *list = cpuid_supported(kvm_open());
	struct kvm_cpuid_entry2 *features = cpuid_find(list, 7, 0);

	(void)argument;
	if (!features || !(features->ebx & 1))
		skip("the CPU has no FSGSBASE");
	start_cr4(&sets_cr4, 0);
	expect_cr4(CR4_FSGSBASE, PORT);
	vm_close(&vm);
	start_cr4(&sets_cr4, 1);
	expect_cr4(CR4_FSGSBASE, PORT_HANDLER);
	expect_cr4(CR4_PCIDE, PORT_HANDLER);
}

/* #UD where its CPUID does not have it. */
static void test_rdtscp_hidden(int argument)
{
	const unsigned ports[] = {PORT, PORT_HANDLER};

	(void)argument;
	if (under_tcg())
		skip("TCG does not intercept RDTSCP");
	for (unsigned hidden = 0; hidden < 2; hidden++) {
		struct kvm_cpuid2 *list;
		struct kvm_cpuid_entry2 *more;

		vm_create(&vm);
		list = cpuid_supported(vm.kvm);
		more = cpuid_find(list, 7, 0);
		if (!(cpuid_find(list, 0x80000001, 0)->edx & CPUID_RDTSCP))
			skip("the CPU has no RDTSCP");
		if (hidden)
			cpuid_find(list, 0x80000001, 0)->edx &= ~CPUID_RDTSCP;
		if (hidden && more)
			more->ecx &= ~CPUID_RDPID;
		SET(KVM_SET_CPUID2, list);
		free(list);
		vm_load(&vm, 0, &rdtscp, LONG);
		vm_out(&vm, 0, ports[hidden]);
		vm_close(&vm);
	}
}

/* Long mode stands on it (APM 2 3.1.3). */
static void test_cr4_pae(int argument)
{
	(void)argument;
	start_cr4(&clears_pae, 0);
	vm_out(&vm, 0, PORT_HANDLER);
	vm_out(&vm, 0, PORT);
	EXPECT(vm_sregs(&vm, 0).cr4 >> 5 & 1, 1);
}

const struct test register_tests[] = {
    TEST("register: REGS", test_regs),
    TEST("register: after reset", test_regs_after_reset),
    TEST("register: REGS set while an IN is incomplete", test_regs_during_io),
    TEST("register: SREGS", test_sregs),
    TEST("register: SREGS2", test_sregs2),
    TEST("register: SREGS2 with PAE's entries", test_sregs2_pdptrs),
    TEST("register: SREGS that no CPU can have", test_sregs_refused),
    TEST("register: CR4 bits that no CPU has", test_cr4),
    TEST("register: CR4 bits that CPUID does not have", test_cr4_hidden),
    TEST("register: CR4 keeps what long mode needs", test_cr4_pae),
    TEST("register: RDTSCP that CPUID does not have", test_rdtscp_hidden),
    TEST("register: FPU", test_fpu),
    TEST_OF("register: XSAVE", test_xsave, 0),
    TEST_OF("register: XSAVE2", test_xsave, 1),
    TEST("register: XSAVE with AVX", test_xsave_avx),
    TEST("register: XSAVE areas that no CPU loads", test_xsave_refused),
    TEST("register: XCRS", test_xcrs),
    TEST("register: XSETBV in the guest", test_xsetbv),
    TEST("register: each vCPU has its own XCR0", test_xcr0_apart),
    TEST("register: DEBUGREGS", test_debugregs),
    TEST("register: VCPU_EVENTS", test_events),
    TEST("register: MP_STATE", test_mp_state),
    TEST("register: MP_STATE with local APICs", test_mp_state_irqchip),
    TEST("register: CPUID2", test_cpuid),
    TEST("register: CPUID follows CR4", test_cpuid_dynamic),
    TEST("register: too long CPUID lists", test_cpuid_refused),
    TESTS_END,
};
