/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bringing the other CPUs into root mode. An AP comes through the trampoline twice and more often: once when
 * we start it at boot, and each time dom0 starts it, because its STARTUP IPI is redirected here
 * (dom0/apic.c). docs/boot.md draws the protocol.
 */
#ifndef CPU_SMP_H
#define CPU_SMP_H

#include "cpu/percpu.h"

#define TRAMPOLINE_SIZE PAGE_SIZE

/* Where an AP goes from the trampoline: on its own stack, interrupts off, never returns. */
typedef void (*smp_entry_t)(struct cpu *cpu);

/*
 * Puts the trampoline into the page at address (below 1 MiB, identity-mapped executable in the
 * tables at cr3, which lie below 4 GiB; `page` is where we can write it).
 */
void smp_trampoline_install(void *page, u32 address, u64 cr3, smp_entry_t entry);

/* The STARTUP vector of the trampoline. */
u8 smp_startup_vector(void);

/* Sends INIT, STARTUP, STARTUP to every CPU but this one and waits (bounded) for CPU_WAITING. Returns how
 * many came up. */
u32 smp_start_all(void);

/* At least so many microseconds. */
void smp_delay_us(u64 us);

/* This CPU's APIC ID by CPUID, before the APIC is mapped. */
u32 smp_initial_apic_id(void);

/* Finds this AP's slot by its APIC ID; ap_entry in trampoline.S reads them. */
extern u32 smp_apic_ids[CPU_MAX];

#endif
