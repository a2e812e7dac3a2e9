/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starts luvalley.efi with next=firmware, which comes back in guest mode, or, where it cannot run, outside; and compares what
 * the CPU was before with what it is then. TAP on COM1, then power-off. With a file \locked VT-x is switched off before (SDM 3C 24.7).
 */
#include "boot/uefi/program.h"

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/printf.h"
#include "lib/string.h"

#define COM1 0x3f8u

/* What registers are marked with: a canonical address, and nothing of the firmware's. */
#define MARK	0x123456789000ull
#define GDT_MAX 0x200u

struct PACKED table {
	u16 limit;
	u64 base;
};

static const u32 msrs[] = {
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_TSC_AUX, MSR_EFER, MSR_PAT, MSR_DEBUGCTL, MSR_APIC_BASE,
	MSR_MTRR_DEF_TYPE, MSR_MTRR_BASE(0), MSR_MTRR_MASK(0), MSR_MTRR_BASE(1), MSR_MTRR_MASK(1), MSR_MTRR_FIX64K,
};
#define MARKED 11u /* of them */

/* Zeroed before it is filled in, so that it can be compared as bytes. */
static struct state {
	u64 control[3]; /* CR0, CR3, CR4 */
	u64 rflags;
	struct table gdtr, idtr;
	u8 gdt[GDT_MAX];
	struct segment seg[SEG_COUNT]; /* without bases */
	u64 debug[6];
	u64 msr[ARRAY_SIZE(msrs)];
} before, after;

static u64 gdt[GDT_MAX / 8] ALIGNED(16);
static u32 tss[32], ldt[4];
static u32 tests;

/* --- reporting ------------------------------------------------------------------------------ */

static void print(const char *format, ...)
{
	char line[160];
	va_list args;

	va_start(args, format);
	hv_vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (const char *c = line; *c; c++) {
		while (!(inb(COM1 + 5) & 0x20))
			cpu_relax();
		outb(COM1, (u8)*c);
	}
}

static void report(bool passed, const char *what)
{
	print("%sok %u - %s\r\n", passed ? "" : "not ", ++tests, what);
}

static void same(const void *a, const void *b, size_t size, const char *what)
{
	const u8 *x = a, *y = b;

	report(memcmp(a, b, size) == 0, what);
	for (size_t i = 0; i < size; i++) {
		if (x[i] != y[i]) {
			print("# byte %u: 0x%x, then 0x%x\r\n", (u32)i, x[i], y[i]);
			return;
		}
	}
}

/* --- the state ------------------------------------------------------------------------------ */

/* In 64-bit mode descriptors of the system's have 16 bytes (SDM 3A 8.2.3). */
static void add_system_segment(u32 at, const void *base, u64 limit, u64 type)
{
	u64 address = (u64)base;

	gdt[at] = limit | (address & 0xffffff) << 16 | (0x80 | type) << 40 | (address >> 24 & 0xff) << 56;
	gdt[at + 1] = address >> 32;
}

/* What the firmware leaves alone gets values of its own, LDTR and TR included. */
static void mark(void)
{
	struct table table;
	u32 end;

	for (u32 i = 0; i < MARKED; i++)
		wrmsr(msrs[i], msrs[i] == MSR_SYSENTER_CS || msrs[i] == MSR_TSC_AUX ? 0x40 + i : MARK + i * 0x100);
	write_dr0(MARK);
	write_dr3(MARK + 3);
	__asm__ volatile("sgdt %0" : "=m"(table));
	end = (table.limit + 8u) / 8u;
	if ((end + 4) * 8 > GDT_MAX)
		return;
	memcpy(gdt, (const void *)table.base, end * 8u);
	add_system_segment(end, tss, sizeof(tss) - 1, 9);
	add_system_segment(end + 2, ldt, sizeof(ldt) - 1, 2);
	table = (struct table){(u16)((end + 4) * 8 - 1), (u64)gdt};
	__asm__ volatile("lgdt %0" : : "m"(table));
	__asm__ volatile("ltr %0" : : "r"((u16)(end * 8)));
	__asm__ volatile("lldt %0" : : "r"((u16)((end + 2) * 8)));
}

static void read_segment(struct segment *s, u16 selector)
{
	u32 rights = 0;

	__asm__("lar %1, %0" : "+r"(rights) : "r"((u32)selector) : "cc");
	__asm__("lsl %1, %0" : "+r"(s->limit) : "r"((u32)selector) : "cc");
	s->selector = selector;
	s->attributes = (u16)(rights >> 8);
}

#define READ_SEGMENT(to, instruction)                                                              \
	do {                                                                                       \
		u16 selector_;                                                                     \
		__asm__ volatile(instruction : "=r"(selector_));                                   \
		read_segment(to, selector_);                                                       \
	} while (0)

static void read_state(struct state *s)
{
	memset(s, 0, sizeof(*s));
	s->control[0] = read_cr0();
	s->control[1] = read_cr3();
	s->control[2] = read_cr4();
	__asm__ volatile("pushfq; popq %0" : "=r"(s->rflags));
	s->rflags &= ~(RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF);
	__asm__ volatile("sgdt %0" : "=m"(s->gdtr));
	__asm__ volatile("sidt %0" : "=m"(s->idtr));
	memcpy(s->gdt, (const void *)s->gdtr.base, s->gdtr.limit + 1u);
	READ_SEGMENT(&s->seg[SEG_ES], "mov %%es, %0");
	READ_SEGMENT(&s->seg[SEG_CS], "mov %%cs, %0");
	READ_SEGMENT(&s->seg[SEG_SS], "mov %%ss, %0");
	READ_SEGMENT(&s->seg[SEG_DS], "mov %%ds, %0");
	READ_SEGMENT(&s->seg[SEG_FS], "mov %%fs, %0");
	READ_SEGMENT(&s->seg[SEG_GS], "mov %%gs, %0");
	READ_SEGMENT(&s->seg[SEG_LDTR], "sldt %0");
	READ_SEGMENT(&s->seg[SEG_TR], "str %0");
	s->debug[0] = read_dr0();
	s->debug[1] = read_dr1();
	s->debug[2] = read_dr2();
	s->debug[3] = read_dr3();
	s->debug[4] = read_dr6();
	__asm__ volatile("mov %%db7, %0" : "=r"(s->debug[5]));
	for (u32 i = 0; i < ARRAY_SIZE(msrs); i++)
		s->msr[i] = rdmsr(msrs[i]);
}

static void compare(void)
{
	same(before.control, after.control, sizeof(before.control), "state: CR0, CR3, CR4");
	same(&before.rflags, &after.rflags, sizeof(before.rflags), "state: RFLAGS");
	same(&before.gdtr, &after.gdtr, sizeof(before.gdtr), "state: GDTR");
	same(&before.idtr, &after.idtr, sizeof(before.idtr), "state: IDTR");
	same(before.gdt, after.gdt, sizeof(before.gdt), "state: the GDT");
	same(before.seg, after.seg, sizeof(before.seg), "state: segments, LDTR, TR");
	same(before.debug, after.debug, sizeof(before.debug), "state: debug registers");
	same(before.msr, after.msr, sizeof(before.msr), "state: MSRs");
}

/* --- the firmware --------------------------------------------------------------------------- */

static u64 reserved_pages(void)
{
	static u8 map[0x10000] ALIGNED(8);
	u64 size = sizeof(map), key, step, pages = 0;
	u32 version;

	if (efi_boot->get_memory_map(&size, map, &key, &step, &version) & EFI_ERROR)
		return 0;
	for (u64 at = 0; at < size; at += step) {
		const struct efi_memory_descriptor *d = (const struct efi_memory_descriptor *)(map + at);

		if (d->type == EFI_RESERVED)
			pages += d->pages;
	}
	return pages;
}

/* UEFI 2.10, 7.1. A timer's event is signalled by the firmware's interrupt handler. */
static bool timer_runs(void)
{
	efi_status(EFIAPI *create)(u32 type, u64 tpl, void *notify, void *context, void **event) =
		efi_boot->create_event;
	efi_status(EFIAPI *set)(void *event, u32 relative, u64 hundred_ns) = efi_boot->set_timer;
	efi_status(EFIAPI *check)(void *event) = efi_boot->check_event;
	void *event;

	if (create(0x80000000, 0, NULL, NULL, &event) & EFI_ERROR || set(event, 2, 200000) & EFI_ERROR)
		return false;
	for (u32 ms = 0; ms < 2000; ms++) {
		if (!(check(event) & EFI_ERROR))
			return true;
		efi_boot->stall(1000);
	}
	return false;
}

/* UEFI 2.10, 8.5.1. */
static void power_off(void)
{
	void(EFIAPI *reset)(u32 type, efi_status status, u64 size, void *data);

	memcpy(&reset, (const u8 *)efi->runtime_services + 104, sizeof(reset));
	reset(2, 0, 0, NULL);
}

static void test_cpus(void)
{
	u32 others, first = visit_other_cpus(&others), both = visit_other_cpus(&others);

	report(others && first == others, "guest mode: the firmware starts the other CPUs there");
	report(others && both == 2 * others, "guest mode: and again");
}

/* As systems write MTRRs (SDM 3A 11.11.8). */
static void test_caches(void)
{
	const u64 cr0 = read_cr0(), type = rdmsr(MSR_MTRR_DEF_TYPE), enabled = BIT(11);
	u64 without, with_nw, off;

	__asm__ volatile("cli");
	write_cr0(cr0 | CR0_CD);
	without = read_cr0();
	wrmsr(MSR_MTRR_DEF_TYPE, type & ~enabled);
	off = rdmsr(MSR_MTRR_DEF_TYPE);
	wrmsr(MSR_MTRR_DEF_TYPE, type);
	write_cr0(cr0 | CR0_CD | CR0_NW);
	with_nw = read_cr0();
	write_cr0(cr0);
	__asm__ volatile("sti");
	report(without == (cr0 | CR0_CD) && with_nw == (cr0 | CR0_CD | CR0_NW) && read_cr0() == cr0,
	       "state: CR0.CD and NW are set and cleared");
	report(off == (type & ~enabled) && rdmsr(MSR_MTRR_DEF_TYPE) == type,
	       "state: MTRRs are switched off and on");
}

efi_status run(efi_handle self, const struct efi_loaded_image *image)
{
	u64 reserved = reserved_pages();
	struct efi_file *volume = open_volume(image);

	if (volume && file_exists(volume, "\\locked"))
		wrmsr(MSR_FEATURE_CONTROL, FEATURE_CONTROL_LOCK);
	print("\r\n1..15\r\n");
	mark();
	read_state(&before);
	start_next(self, image, "\\EFI\\luvalley\\luvalley.efi");
	read_state(&after);
	compare();
	report(before.rflags & RFLAGS_IF && timer_runs(), "state: interrupts go on");
	report(in_guest_mode(), "guest mode: CPUID's leaf 40000000h answers");
	report(reserved_pages() - reserved >= 16 * MIB / PAGE_SIZE, "guest mode: memory is reserved in the firmware's map");
	test_caches();
	test_cpus();
	power_off();
	return EFI_ABORTED;
}
