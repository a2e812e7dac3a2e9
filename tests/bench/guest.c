/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench/guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const uint8_t guest_pong[], guest_pong_end[];
extern const uint8_t guest_handler[], guest_handler_end[];
extern const uint8_t guest_mmio_handler[], guest_mmio_handler_end[];
extern const uint8_t guest_pong_handler[], guest_pong_handler_end[];

static void copy(uint8_t *to, const uint8_t *from, const uint8_t *end)
{
	memcpy(to, from, (size_t)(end - from));
}

static void put(uint8_t *memory, uint64_t at, uint64_t word)
{
	memcpy(memory + at, &word, sizeof(word));
}

/* A 64-bit interrupt gate at vector n of the IDT. */
static void gate(uint8_t *memory, uint64_t idt, unsigned vector, uint64_t handler)
{
	put(memory, idt + 16 * vector,
	    (handler & 0xffff) | 8 << 16 | 0x8e00ull << 32 | (handler >> 16) << 48);
}

void guest_prepare(uint8_t *memory, int xapic)
{
	put(memory, GUEST_PML4, 0x2003);
	put(memory, 0x2000, 0x3003);
	for (uint64_t i = 0; i < 512; i++)
		put(memory, 0x3000 + 8 * i, i << 21 | 0x83);
	put(memory, 0x2018, 0x4003); /* 3 GiB to 4 GiB: the APIC's page */
	put(memory, 0x4000 + 8 * (GUEST_APIC >> 21 & 511), (uint64_t)GUEST_APIC | 0x83);
	put(memory, GUEST_GDT + 8, 0x00af9b000000ffff);
	put(memory, GUEST_GDT + 16, 0x00cf93000000ffff);
	/* vCPU 1's table is the second half of the page. */
	gate(memory, GUEST_IDT, GUEST_VECTOR, GUEST_HANDLER);
	gate(memory, GUEST_IDT + 0x800, GUEST_VECTOR, GUEST_PONG_HANDLER);
	copy(memory + GUEST_PONG, guest_pong, guest_pong_end);
	copy(memory + GUEST_PONG_HANDLER, guest_pong_handler, guest_pong_handler_end);
	if (xapic)
		copy(memory + GUEST_HANDLER, guest_mmio_handler, guest_mmio_handler_end);
	else
		copy(memory + GUEST_HANDLER, guest_handler, guest_handler_end);
}

void guest_load(uint8_t *memory, const uint8_t *program, const uint8_t *end)
{
	copy(memory + GUEST_CODE, program, end);
}

static char suffix[40];

void bench_many(unsigned vms, unsigned cpus)
{
	snprintf(suffix, sizeof(suffix), "/%uvm/%uvcpu", vms, cpus);
}

bool bench_wanted(const char *name)
{
	const char *list = getenv("BENCH_ROWS");
	size_t length = strlen(name);

	while (list && (strncmp(list, name, length) || (list[length] && list[length] != ','))) {
		list = strchr(list, ',');
		if (!list)
			return false;
		list++;
	}
	return true;
}

unsigned bench_number(const char *variable, unsigned most)
{
	const char *wanted = getenv(variable);
	int number = wanted ? atoi(wanted) : 0;

	return number > 0 && (unsigned)number < most ? (unsigned)number : most;
}

void bench_row(const char *name, double value)
{
	printf("@row %s%s %.1f\n", name, suffix, value);
}

void bench_missing(const char *name, const char *why)
{
	printf("@missing %s%s %s\n", name, suffix, why);
}

void bench_loop(double ticks)
{
	printf("@row loop%s %.3f\n", suffix, ticks);
	if (ticks > 2.9 && ticks < 3.1)
		return;
	printf("@failed loop: a tick is no instruction here: %.3f for three\n", ticks);
	exit(1);
}

void bench_fail(const char *what)
{
	printf("@failed %s: %s\n", what, strerror(errno));
	exit(1);
}
