/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu/apic.h"

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/layout.h"

/* An IPI is accepted within microseconds; never hang on an APIC that does not say so. */
#define SEND_TRIES 100000

static volatile u32 *apic_register(u32 offset)
{
	return (volatile u32 *)(MMIO_BASE + offset);
}

bool apic_is_x2apic(void)
{
	return rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC;
}

bool apic_is_xapic(void)
{
	return (rdmsr(MSR_APIC_BASE) & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_ENABLE;
}

hpa_t apic_page(void)
{
	return hpa(rdmsr(MSR_APIC_BASE) & ~(PAGE_SIZE - 1) & (BIT(52) - 1));
}

u32 apic_read(u32 offset)
{
	if (apic_is_x2apic())
		return (u32)rdmsr(MSR_X2APIC_FIRST + offset / 16);
	return *apic_register(offset);
}

void apic_write(u32 offset, u32 value)
{
	if (apic_is_x2apic())
		wrmsr(MSR_X2APIC_FIRST + offset / 16, value);
	else
		*apic_register(offset) = value;
}

static void wait_until_sent(void)
{
	for (u32 i = 0; i < SEND_TRIES && *apic_register(APIC_ICR_LOW) & APIC_ICR_PENDING; i++)
		cpu_relax();
}

void apic_send(u32 low, u32 destination)
{
	u32 high;

	if (apic_is_x2apic()) {
		/* WRMSR to x2APIC registers is not serializing (SDM 3A 10.12.3): earlier stores first. */
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC_ICR, (u64)destination << 32 | low);
		return;
	}
	wait_until_sent();
	high = *apic_register(APIC_ICR_HIGH);
	*apic_register(APIC_ICR_HIGH) = destination << 24;
	*apic_register(APIC_ICR_LOW) = low;
	wait_until_sent();
	*apic_register(APIC_ICR_HIGH) = high;
}

u32 apic_id_at_boot(u32 otherwise)
{
	hpa_t page = apic_page();

	if (apic_is_x2apic())
		return apic_read(APIC_ID);
	if (!apic_is_xapic() || page.addr >= 4 * GIB)
		return otherwise;
	return *(volatile u32 *)(DIRECT_BASE + page.addr + APIC_ID) >> 24;
}

static bool in_service(void)
{
	u32 bits = 0;

	for (u32 i = 0; i < 8; i++)
		bits |= apic_read(APIC_ISR(i));
	return bits;
}

void apic_reset(void)
{
	bool x2apic = apic_is_x2apic();

	if (!x2apic && !apic_is_xapic())
		return;
	for (u32 lvt = APIC_LVT_FIRST; lvt <= APIC_LVT_LAST; lvt += 0x10)
		apic_write(lvt, APIC_LVT_MASKED);
	apic_write(APIC_TIMER_COUNT, 0);
	/* One for each vector at most. */
	for (u32 i = 0; i < 256 && in_service(); i++)
		apic_write(APIC_EOI, 0);
	apic_write(APIC_TPR, 0);
	/* In x2APIC mode one is read-only and the other is not there (SDM 3A table 10-6). */
	if (!x2apic) {
		apic_write(APIC_LDR, 0);
		apic_write(APIC_DFR, APIC_DFR_FLAT);
	}
	apic_write(APIC_SVR, APIC_SVR_RESET);
}
