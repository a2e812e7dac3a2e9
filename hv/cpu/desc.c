/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu/desc.h"

#include "cpu/crash.h"
#include "cpu/log.h"
#include "cpu/msr.h"
#include "cpu/percpu.h"
#include "cpu/x86.h"

struct gate { /* APM 2 figure 4-24 */
	u16 offset_low;
	u16 selector;
	u16 type; /* IST in bits 2:0, which stays 0: TR may be dom0's (cpu/percpu.h) */
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
};
ASSERT_SIZE(struct gate, 16);

struct PACKED table_register {
	u16 limit;
	u64 base;
};

struct fixup {
	u64 from, to;
};

struct window {
	u64 from, end, to;
};

#define GATE_INTERRUPT_64 0x8e00u
#define VECTORS		  32

/* Stacks' SS is null, as 64-bit mode allows at CPL 0; no data segment is needed. */
static const u64 gdt[] = {0, 0x00af9b000000ffff};
static struct gate idt[VECTORS];
static bool keeps_events; /* set before the first event can come */

extern const u64 fault_entries[VECTORS];
extern const struct fixup fixup_start[], fixup_end[];
extern const struct window window_start[], window_end[];

void fault_dispatch(struct fault_frame *frame);

void desc_init(void)
{
	for (u32 i = 0; i < VECTORS; i++) {
		u64 at = fault_entries[i];

		idt[i] = (struct gate){
			.offset_low = (u16)at,
			.selector = SELECTOR_CODE,
			.type = GATE_INTERRUPT_64,
			.offset_middle = (u16)(at >> 16),
			.offset_high = (u32)(at >> 32),
		};
	}
}

u64 desc_gdt(void)
{
	return (u64)gdt;
}

u64 desc_idt(void)
{
	return (u64)idt;
}

void desc_keep_events(void)
{
	keeps_events = true;
}

void desc_load(void)
{
	struct table_register gdtr = {sizeof(gdt) - 1, (u64)gdt};
	struct table_register idtr = {sizeof(idt) - 1, (u64)idt};

	__asm__ volatile("lgdt %0" : : "m"(gdtr));
	__asm__ volatile("lidt %0" : : "m"(idtr));
	__asm__ volatile("push %0\n\t"
			 "lea 1f(%%rip), %%rax\n\t"
			 "push %%rax\n\t"
			 "lretq\n"
			 "1:"
			 :
			 : "i"(SELECTOR_CODE)
			 : "rax", "memory");
}

static bool fixed_up(struct fault_frame *frame)
{
	for (const struct fixup *f = fixup_start; f < fixup_end; f++) {
		if (f->from == frame->rip) {
			frame->rip = f->to;
			return true;
		}
	}
	return false;
}

/* The CPU that waits in root mode on this stack; NULL when it does something else. */
static struct cpu *waiting_cpu(const struct fault_frame *frame)
{
	struct cpu *cpu;

	if ((u64)frame < CPU_SLOTS) /* the boot stack */
		return NULL;
	cpu = this_cpu();
	return __atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) == CPU_WAITING ? cpu : NULL;
}

/*
 * A machine check in a CPU that only waits breaks nothing of ours; what the banks say is left for dom0.
 * GIF=0 holds one, or shuts the CPU down, so elsewhere none should arrive (APM 2 15.17).
 */
static bool machine_check_ignored(const struct fault_frame *frame)
{
	const struct cpu *cpu = waiting_cpu(frame);

	if (!cpu)
		return false;
	/* With MCIP set the next one would shut the CPU down (APM 2 9.3). */
	wrmsr_safe(MSR_MCG_STATUS, 0);
	hv_log_first("CPU %u: a machine check while it waited for dom0 was ignored", cpu->index);
	return true;
}

/* False where nobody would look there. */
static bool kept(struct fault_frame *frame, u32 event)
{
	if (!keeps_events || (u64)frame < CPU_SLOTS || waiting_cpu(frame))
		return false;
	__atomic_fetch_or(&this_cpu()->pending, event, __ATOMIC_RELAXED);
	for (const struct window *w = window_start; w < window_end; w++) {
		if (frame->rip >= w->from && frame->rip < w->end)
			frame->rip = w->to;
	}
	return true;
}

/* Only where the interrupted code can go on (SDM 3B 16.3.1.2: RIPV). */
static bool machine_check_kept(struct fault_frame *frame)
{
	u64 status = 0;

	return rdmsr_safe(MSR_MCG_STATUS, &status) && status & MCG_STATUS_RIPV &&
	       kept(frame, CPU_PENDING_MC);
}

void fault_dispatch(struct fault_frame *frame)
{
	/*
	 * AMD's root mode runs with GIF=0, and these two arrive only where it opens a window on purpose: a
	 * waiting CPU ignores NMIs as a CPU in wait-for-SIPI would, and #SX is an INIT that
	 * VM_CR.R_INIT turned into an exception (APM 2 15.21.8, 15.30.1). Intel's takes NMIs.
	 */
	if (frame->vector == VECTOR_NMI)
		kept(frame, CPU_PENDING_NMI);
	if (frame->vector == VECTOR_NMI || frame->vector == VECTOR_SX)
		return;
	if (frame->vector == VECTOR_GP && fixed_up(frame))
		return;
	if (frame->vector == VECTOR_MC && (machine_check_ignored(frame) || machine_check_kept(frame)))
		return;
	crash_on_fault(frame);
}

bool wrmsr_safe(u32 msr, u64 value)
{
	__asm__ goto("1: wrmsr\n\t"
		     ".pushsection .fixup, \"a\"\n\t"
		     ".quad 1b, %l[fault]\n\t"
		     ".popsection"
		     :
		     : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32))
		     : "memory"
		     : fault);
	return true;
fault:
	return false;
}

bool xsetbv_safe(u64 value)
{
	__asm__ goto("1: xsetbv\n\t"
		     ".pushsection .fixup, \"a\"\n\t"
		     ".quad 1b, %l[fault]\n\t"
		     ".popsection"
		     :
		     : "c"(0), "a"((u32)value), "d"((u32)(value >> 32))
		     : "memory"
		     : fault);
	return true;
fault:
	return false;
}

bool rdmsr_safe(u32 msr, u64 *value)
{
	u32 low = 0, high = 0, failed = 1;

	__asm__ volatile("1: rdmsr\n\t"
			 "xor %2, %2\n"
			 "2:\n\t"
			 ".pushsection .fixup, \"a\"\n\t"
			 ".quad 1b, 2b\n\t"
			 ".popsection"
			 : "+a"(low), "+d"(high), "+r"(failed)
			 : "c"(msr)
			 : "memory", "cc");
	*value = (u64)high << 32 | low;
	return !failed;
}
