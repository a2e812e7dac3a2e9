/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptor tables of root mode, and what happens when it faults. */
#ifndef CPU_DESC_H
#define CPU_DESC_H

#include "lib/types.h"

#define SELECTOR_CODE 8

/* Loads GDT and IDT on this CPU. */
void desc_load(void);

/* Their addresses. */
u64 desc_gdt(void);
u64 desc_idt(void);

/*
 * For vendors whose root mode takes NMIs and machine checks: from now on they are noted in cpu->pending, and code in a
 * window (the section .window: begin, end, where to go on) is left, so that it looks there again.
 */
void desc_keep_events(void);

/* Fills the IDT; once, before the first desc_load. */
void desc_init(void);

/* WRMSR of a value that somebody else chose: false where the CPU answers #GP. */
bool wrmsr_safe(u32 msr, u64 value);
/* The same for XSETBV of XCR0. */
bool xsetbv_safe(u64 value);
/* RDMSR of a register that may not exist. */
bool rdmsr_safe(u32 msr, u64 *value);

#endif
