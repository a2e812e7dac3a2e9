/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu/smp.h"

#include "cpu/apic.h"
#include "cpu/x86.h"
#include "lib/string.h"

#define ICR_INIT_ASSERT (5u << 8 | (u32)APIC_ICR_ASSERT)
#define ICR_STARTUP	(6u << 8 | (u32)APIC_ICR_ASSERT)

/*
 * Time without a clock: no CPU's TSC runs faster than this, so so many ticks are at least the time
 * that was asked for. Longer does no harm.
 */
#define TSC_TICKS_PER_US 6000ull

struct PACKED trampoline_data { /* the end of trampoline.S */
	u32 cr3;
	u16 gdt_limit;
	u32 gdt_base;
	u32 far_offset;
	u16 far_selector;
};

extern const u8 trampoline_start[], trampoline_end[];
extern const u8 trampoline_data[], trampoline_gdt[], trampoline_long[];

u32 cpu_count = 1;
u32 smp_apic_ids[CPU_MAX];
smp_entry_t smp_entry;
static u8 startup_vector;

void smp_delay_us(u64 us)
{
	u64 start = rdtsc();

	while (rdtsc() - start < us * TSC_TICKS_PER_US)
		cpu_relax();
}

void smp_trampoline_install(void *page, u32 address, u64 cr3, smp_entry_t entry)
{
	struct trampoline_data *data;

	memcpy(page, trampoline_start, (size_t)(trampoline_end - trampoline_start));
	data = (struct trampoline_data *)((u8 *)page + (trampoline_data - trampoline_start));
	data->cr3 = (u32)cr3;
	data->gdt_limit = 15;
	data->gdt_base = address + (u32)(trampoline_gdt - trampoline_start);
	data->far_offset = address + (u32)(trampoline_long - trampoline_start);
	data->far_selector = 8;
	smp_entry = entry;
	startup_vector = (u8)(address >> PAGE_SHIFT);
}

u8 smp_startup_vector(void)
{
	return startup_vector;
}

/* As ap_entry in trampoline.S finds it. */
u32 smp_initial_apic_id(void)
{
	if (cpuid(0, 0).eax >= 0xb) {
		struct cpuid topology = cpuid(0xb, 0);

		if (topology.ebx)
			return topology.edx;
	}
	return cpuid(1, 0).ebx >> 24;
}

static u32 count_waiting(void)
{
	u32 waiting = 0;

	for (u32 i = 1; i < cpu_count; i++)
		waiting += __atomic_load_n(&cpu_slot(i)->state, __ATOMIC_ACQUIRE) == CPU_WAITING;
	return waiting;
}

static void send_to_absent(u32 low)
{
	for (u32 i = 1; i < cpu_count; i++) {
		if (__atomic_load_n(&cpu_slot(i)->state, __ATOMIC_ACQUIRE) == CPU_ABSENT)
			apic_send(low, cpu_slot(i)->apic_id);
	}
}

/*
 * SDM 3A 8.4.4.1 gives the order; its 10 ms after INIT are for CPUs older than any that has hardware virtualization. Those
 * that did not arrive are started again: SeaBIOS, waking up, lets them run into the void, and QEMU may lose one INIT of two.
 */
u32 smp_start_all(void)
{
	for (u32 tries = 0; tries < 3 && count_waiting() < cpu_count - 1; tries++) {
		send_to_absent(ICR_INIT_ASSERT);
		smp_delay_us(200);
		send_to_absent(ICR_STARTUP | startup_vector);
		smp_delay_us(200);
		send_to_absent(ICR_STARTUP | startup_vector);
		for (u32 ms = 0; ms < 400 && count_waiting() < cpu_count - 1; ms++)
			smp_delay_us(1000);
	}
	return count_waiting();
}
