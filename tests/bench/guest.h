/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guests that are measured, and the memory that they run in: identity-mapped, 64-bit, at
 * most 1 GiB, with a GDT and an IDT. The same code runs on KVM's API (kvm.c) and on libluvalley
 * (luv.c).
 */
#ifndef BENCH_GUEST_H
#define BENCH_GUEST_H

#define GUEST_PORT	   0x510
#define GUEST_PORT_EVENT   0x520 /* answered by an ioeventfd */
#define GUEST_PORT_IRQ	   0x530 /* answered by an interrupt */
#define GUEST_PORT_END	   0x501
#define GUEST_VECTOR	   0x40
#define GUEST_TIMER_TICKS  200000

#define GUEST_MEMORY	   0x200000
#define GUEST_PML4	   0x1000
#define GUEST_GDT	   0x5000
#define GUEST_IDT	   0x6000
#define GUEST_CODE	   0x8000
#define GUEST_PONG	   0x9000
#define GUEST_HANDLER	   0xa000
#define GUEST_PONG_HANDLER 0xb000
#define GUEST_STACK	   0x20000 /* vCPU 0's top; vCPU 1's is the double */
#define GUEST_MMIO	   0x30000000
#define GUEST_MMIO_EVENT   0x30001000
#define GUEST_FRESH	   0x10000000 /* memory that nothing has touched yet */
#define GUEST_APIC	   0xfee00000

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_PROGRAM(name) extern const uint8_t guest_##name[], guest_##name##_end[]
GUEST_PROGRAM(empty);
GUEST_PROGRAM(cpuid);
GUEST_PROGRAM(out);
GUEST_PROGRAM(in);
GUEST_PROGRAM(out_event);
GUEST_PROGRAM(store);
GUEST_PROGRAM(fetch);
GUEST_PROGRAM(touch);
GUEST_PROGRAM(halt);
GUEST_PROGRAM(rdmsr_efer);
GUEST_PROGRAM(eoi);
GUEST_PROGRAM(tpr);
GUEST_PROGRAM(self_ipi);
GUEST_PROGRAM(arm_timer);
GUEST_PROGRAM(timer);
GUEST_PROGRAM(client_irq);
GUEST_PROGRAM(ping);
GUEST_PROGRAM(ping_spin);
GUEST_PROGRAM(mmio_eoi);
GUEST_PROGRAM(mmio_tpr);
GUEST_PROGRAM(mmio_self_ipi);

/* Page tables, descriptor tables, handlers and vCPU 1's code, in memory of GUEST_MEMORY bytes.
 */
void guest_prepare(uint8_t *memory, int xapic);

/* One of the programs above to GUEST_CODE. */
void guest_load(uint8_t *memory, const uint8_t *program, const uint8_t *end);

/* Rows of now on are "NAME/8vm/1vcpu": so many VMs exist, with so many vCPUs in each. */
void bench_many(unsigned vms, unsigned cpus);
/* BENCH_ROWS in the environment, "NAME,NAME": only these rows. Without it all. */
bool bench_wanted(const char *name);
/* A variable of the environment, BENCH_BATCHES or BENCH_TURNS, at most `most`; without it
 * `most`. */
unsigned bench_number(const char *variable, unsigned most);
/* Result lines, "@row NAME VALUE": instructions of one round trip. */
void bench_row(const char *name, double value);
/* Why a row has no value: a row that is missing without a reason fails the run. */
void bench_missing(const char *name, const char *why);
/* A turn of the loop of three instructions, guest_empty: fails unless that is three ticks. */
void bench_loop(double ticks);
/* Stops under Bochs' debugger; elsewhere it does nothing. */
static inline void bench_break(void)
{
	__asm__ volatile("xchgw %bx, %bx");
}
_Noreturn void bench_fail(const char *what);

#endif
#endif
