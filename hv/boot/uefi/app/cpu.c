/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/uefi/app/app.h"

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "luvalley/calls.h"

u64 switch_to_hypervisor(struct handoff *handoff);

/* LAR gives the attributes as the descriptor has them, in bits 23:8 (APM 3, LAR). */
static void read_segment(struct handoff_segment *to, u16 selector)
{
	u32 rights = 0, limit = 0;

	/* Both leave the register alone where the selector is null. */
	__asm__("lar %1, %0" : "+r"(rights) : "r"((u32)selector) : "cc");
	__asm__("lsl %1, %0" : "+r"(limit) : "r"((u32)selector) : "cc");
	to->selector = selector;
	to->attributes = (u16)((rights >> 8 & 0xff) | (rights >> 12 & 0xf00));
	to->limit = limit;
}

#define READ_SEGMENT(handoff, name)                                                                \
	do {                                                                                       \
		u16 selector_;                                                                     \
		__asm__("mov %%" #name ", %0" : "=r"(selector_));                                  \
		read_segment(&(handoff)->name, selector_);                                         \
	} while (0)

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
	READ_SEGMENT(handoff, cs);
	READ_SEGMENT(handoff, ds);
	READ_SEGMENT(handoff, es);
	READ_SEGMENT(handoff, ss);
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

bool enter_hypervisor(struct handoff *handoff)
{
	read_state(handoff);
	return switch_to_hypervisor(handoff);
}
