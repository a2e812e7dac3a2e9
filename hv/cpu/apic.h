/* SPDX-License-Identifier: BSD-2-Clause */
/* This CPU's local APIC, in whichever mode dom0 or the firmware put it (APM 2 chapter 16). */
#ifndef CPU_APIC_H
#define CPU_APIC_H

#include "lib/types.h"

/* Offsets in the xAPIC page; the x2APIC MSR is 800h + offset / 16. */
#define APIC_ID	      0x020u
#define APIC_TPR      0x080u
#define APIC_EOI      0x0b0u
#define APIC_LDR      0x0d0u
#define APIC_DFR      0x0e0u
#define APIC_SVR      0x0f0u
#define APIC_SVR_RESET 0xffu /* switched off */
#define APIC_ISR(n)   (0x100u + 0x10u * (n))
#define APIC_ICR_LOW  0x300u
#define APIC_ICR_HIGH 0x310u
#define APIC_LVT_FIRST 0x320u
#define APIC_LVT_LAST  0x370u
#define APIC_TIMER_COUNT 0x380u

#define APIC_DFR_FLAT 0xffffffffu /* the state after reset (APM 2 16.6.1) */

#define APIC_ICR_PENDING BIT(12) /* xAPIC: delivery status */
#define APIC_ICR_ASSERT	 BIT(14)
#define APIC_LVT_MASKED	 0x10000u

bool apic_is_x2apic(void);
bool apic_is_xapic(void); /* switched on, and its registers are in the page */

/* The page's address from APIC_BASE, for mapping at MMIO_BASE (mem/host.c). */
hpa_t apic_page(void);

u32 apic_read(u32 offset);
void apic_write(u32 offset, u32 value);

/* Writes the ICR, waiting (bounded) for the one before: low is the register's low half, destination an
 * APIC ID (or logical, as low says). An xAPIC's high half is dom0's, and kept. */
void apic_send(u32 low, u32 destination);

/*
 * This CPU's APIC ID by the APIC itself, under the boot tables (boot/entry.S); the given one where the
 * APIC is off or cannot be read.
 */
u32 apic_id_at_boot(u32 otherwise);

/* What an INIT does to the registers (APM 2 16.3), as far as software can: requests in the IRR stay. */
void apic_reset(void);

#endif
