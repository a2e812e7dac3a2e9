/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/uefi/app/app.h"

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "luvalley/calls.h"

u64 switch_to_hypervisor(struct handoff *handoff);

/* LAR gives the attributes as the descriptor has them, in bits 23:8 (APM 3, LAR). The base stays. */
static void read_segment(struct segment *to, u16 selector)
{
	u32 rights = 0, limit = 0;

	/* Both leave the register alone where the selector is null. */
	__asm__("lar %1, %0" : "+r"(rights) : "r"((u32)selector) : "cc");
	__asm__("lsl %1, %0" : "+r"(limit) : "r"((u32)selector) : "cc");
	to->selector = selector;
	to->attributes = (u16)((rights >> 8 & 0xff) | (rights >> 12 & 0xf00));
	to->limit = limit;
}

#define READ_SEGMENT(to, instruction)                                                              \
	do {                                                                                       \
		u16 selector_;                                                                     \
		__asm__(instruction : "=r"(selector_));                                            \
		read_segment(to, selector_);                                                       \
	} while (0)

/* A system segment's descriptor has 16 bytes (SDM 3A 8.2.3). */
static void read_base(struct segment *s, const struct handoff_table *gdt)
{
	const u64 *descriptor = (const u64 *)(gdt->base + (s->selector & ~7u));

	if (s->attributes & SEGMENT_PRESENT)
		s->base = (descriptor[0] >> 16 & 0xffffff) | (descriptor[0] >> 32 & 0xff000000) |
			  descriptor[1] << 32;
}

static void read_segments(struct segment *seg, const struct handoff_table *gdt)
{
	READ_SEGMENT(&seg[SEG_ES], "mov %%es, %0");
	READ_SEGMENT(&seg[SEG_CS], "mov %%cs, %0");
	READ_SEGMENT(&seg[SEG_SS], "mov %%ss, %0");
	READ_SEGMENT(&seg[SEG_DS], "mov %%ds, %0");
	READ_SEGMENT(&seg[SEG_FS], "mov %%fs, %0");
	READ_SEGMENT(&seg[SEG_GS], "mov %%gs, %0");
	READ_SEGMENT(&seg[SEG_LDTR], "sldt %0");
	READ_SEGMENT(&seg[SEG_TR], "str %0");
	seg[SEG_FS].base = rdmsr(MSR_FS_BASE);
	seg[SEG_GS].base = rdmsr(MSR_GS_BASE);
	read_base(&seg[SEG_LDTR], gdt);
	read_base(&seg[SEG_TR], gdt);
}

static void read_state(struct handoff *handoff)
{
	handoff->cr0 = read_cr0();
	handoff->cr2 = read_cr2();
	handoff->cr3 = read_cr3();
	handoff->cr4 = read_cr4();
	handoff->efer = rdmsr(MSR_EFER);
	__asm__ volatile("mov %%db6, %0" : "=r"(handoff->dr6));
	__asm__ volatile("mov %%db7, %0" : "=r"(handoff->dr7));
	__asm__ volatile("sgdt %0" : "=m"(handoff->gdtr));
	__asm__ volatile("sidt %0" : "=m"(handoff->idtr));
	read_segments(handoff->seg, &handoff->gdtr);
}

bool in_guest_mode(void)
{
	struct cpuid id = cpuid(LUV_CPUID_BASE, 0);
	char signature[13] = "";

	memcpy(signature, &id.ebx, 4);
	memcpy(signature + 4, &id.ecx, 4);
	memcpy(signature + 8, &id.edx, 4);
	return strcmp(signature, LUV_CPUID_SIGNATURE) == 0;
}

/* The tables at cr3_between have 4 levels; the way back returns to where no shadow stack has it. */
const char *unfit_state(void)
{
	u64 cr4 = read_cr4();

	if (cr4 & CR4_LA57)
		return "the firmware runs with 5-level page tables, which this version of Luvalley cannot take over";
	if (cr4 & CR4_CET)
		return "the firmware runs with shadow stacks (CET), which this version of Luvalley cannot take over";
	return NULL;
}

bool enter_hypervisor(struct handoff *handoff)
{
	read_state(handoff);
	return switch_to_hypervisor(handoff);
}
