/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Switching a physical CPU between dom0 and a guest: everything that entry and exit leave in the CPU's registers.
 * Eager: whatever the guest or dom0 does, neither ever finds the other's values.
 */
#ifndef VM_WORLD_H
#define VM_WORLD_H

#include "vm/state.h"
#include "vm/vcpu.h"

enum mitigation_mode {
	MITIGATE_AUTO, /* default: what this CPU needs */
	MITIGATE_ALL,  /* all that this CPU can do */
	MITIGATE_OFF,
};

/* Before anybody asks for one. */
void world_set_mitigations(enum mitigation_mode mode);

/* Whether LUV_MITIGATION_ `which` is to be done where the CPU can do it, and needs it; notes it for world_mitigations. */
bool world_mitigate(u32 which, bool can, bool needed);
u32 world_mitigations(void);

/* What this machine has to switch; once, on the boot CPU. */
void world_init(void);

/* Prepares this CPU's root mode (CR4); and a page for dom0's FPU: false when there is none. */
bool world_cpu_init(struct cpu *cpu);

/* What guests' registers may hold. */
const struct state_limits *world_limits(void);

/* The CR4 bits that CPUID leaves 1 and 7 announce (APM 2 3.1.3). */
u64 world_cr4_bits(u32 ecx_1, u32 ebx_7, u32 ecx_7);

/*
 * From dom0 to the guest; false when the client's FPU page holds what XRSTOR refuses (dom0's state is
 * back then). world_leave stores the guest's FPU into that page.
 */
bool world_enter(struct vcpu *dom0, struct vcpu *guest);
void world_leave(struct vcpu *dom0, struct vcpu *guest);

/*
 * Intel: where dom0 has #AC raised for split locks (IA32_TEST_CTRL bit 29; SDM 4, 3A 10.1.2.3), not in this guest, which knows nothing of that:
 * until world_leave. True: the instruction that raised #AC may go on.
 */
bool world_allow_split_locks(struct cpu *cpu);

/* After an INIT that tore this CPU out of a guest: dom0's registers, the FPU's contents excepted. */
void world_abandon(struct vcpu *dom0);

/* The bits of XCR0 that guests may set. */
u64 world_xcr0(void);

#endif
