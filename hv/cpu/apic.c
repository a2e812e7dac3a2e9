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

void apic_send(u32 low, u32 destination)
{
	if (apic_is_x2apic()) {
		/* WRMSR to x2APIC registers is not serializing (SDM 3A 10.12.3): earlier stores first. */
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC_ICR, (u64)destination << 32 | low);
		return;
	}
	for (u32 i = 0; i < SEND_TRIES && *apic_register(APIC_ICR_LOW) & APIC_ICR_PENDING; i++)
		cpu_relax();
	*apic_register(APIC_ICR_HIGH) = destination << 24;
	*apic_register(APIC_ICR_LOW) = low;
}

u32 apic_id(void)
{
	u32 id = apic_read(APIC_ID);

	return apic_is_x2apic() ? id : id >> 24;
}
