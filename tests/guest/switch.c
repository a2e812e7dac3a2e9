/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two guests and two dom0 programs that check all their registers, on one CPU: what one of them has in a
 * register must never reach another, nor get lost.
 */
#define _GNU_SOURCE
#include "guest/switch.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "guest/machine.h"

#define CR4_OSXSAVE 0x40000u
#define EFER_SCE    1u
#define CPU	    0 /* all of them */

/* Only the 64-bit code exists. */
extern const uint8_t payload_switch_a_64[], payload_switch_a_64_end[], payload_switch_b_64[],
	payload_switch_b_64_end[];
int check_dom0_a(void);
int check_dom0_b(void);
extern uint8_t check_dom0_a_block[], check_dom0_b_block[];

static struct machine machine;
static uint64_t dr7; /* of the guests */

static uint32_t xsave_mask(void)
{
	uint32_t eax, ebx, ecx, edx, high;

	__cpuid(1, eax, ebx, ecx, edx);
	if (!(ecx & 1u << 27))
		skip("no XSAVE");
	__asm__ volatile("xgetbv" : "=a"(eax), "=d"(high) : "c"(0));
	return eax & 7;
}

/* Values that follow from the seed: MXCSR with another rounding mode, 8 numbers, all vectors. */
static void fill_image(uint8_t *image, uint32_t seed, uint32_t mask)
{
	const uint16_t control = 0x37f;
	const uint32_t mxcsr = 0x1f80 | (seed >> 4 & 3) << 13;
	const uint64_t present = mask;

	memcpy(image, &control, sizeof(control));
	image[4] = 0xff; /* the abridged tag word: no register is empty */
	memcpy(image + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
	memcpy(image + XSAVE_BV, &present, sizeof(present));
	for (unsigned i = 0; i < 8; i++) {
		const uint64_t mantissa = 1ull << 63 | (uint64_t)seed << 8 | i;
		const uint16_t exponent = 0x3fff;

		memcpy(image + XSAVE_ST + 16 * i, &mantissa, sizeof(mantissa));
		memcpy(image + XSAVE_ST + 16 * i + 8, &exponent, sizeof(exponent));
	}
	for (unsigned i = 0; i < 256; i++) {
		image[XSAVE_XMM + i] = (uint8_t)(seed + i);
		if (mask & 4)
			image[XSAVE_YMM + i] = (uint8_t)(seed * 3 + i);
	}
}

/* Also the bits of MXCSR_MASK, which XSAVE writes: those of this CPU. */
static void fill_block(uint8_t *block, uint32_t seed)
{
	static _Alignas(64) uint8_t own[1024];
	const uint32_t mask = xsave_mask(), mxcsr = 0x1f80;
	const uint16_t control = 0x37f;

	__asm__ volatile("xsave %0" : "+m"(own) : "a"(1), "d"(0));
	memcpy(block + BLOCK_MASK, &mask, sizeof(mask));
	fill_image(block + BLOCK_IMAGE, seed, mask);
	memcpy(block + BLOCK_INITIAL, &control, sizeof(control));
	memcpy(block + BLOCK_INITIAL + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
	__asm__ volatile("fxsave %0" : "=m"(own));
	memcpy(block + BLOCK_IMAGE + XSAVE_MXCSR + 4, own + XSAVE_MXCSR + 4, 4);
}

static bool time_is_up(void)
{
	static time_t end;
	time_t now = time(NULL);

	if (!end)
		end = now + (time_t)watch_seconds;
	return now >= end;
}

/* --- a guest ------------------------------------------------------------------------------- */

static void start_guest(uint32_t seed)
{
	struct luv_vcpu_page *page = machine.vcpu[0].page;
	uint8_t *block = machine.memory + DATA;

	fill_block(block, seed);
	page->wanted = LUV_GROUPS_ALL & ~LUV_GROUP_FPU;
	EXPECT(luv_vcpu_sync(machine.vm, 0), 0);
	page->cr4 |= CR4_OSXSAVE;
	page->efer |= EFER_SCE;
	page->xcr0 = xsave_mask() | 1;
	page->segment[LUV_FS].base = DATA + BLOCK_SEGMENTS;
	page->segment[LUV_GS].base = DATA + BLOCK_SEGMENTS + 8;
	page->msr[LUV_MSR_KERNEL_GS_BASE] = DATA + BLOCK_SEGMENTS + 16;
	for (unsigned i = LUV_MSR_STAR; i <= LUV_MSR_SFMASK; i++)
		page->msr[i] = (seed >> 8) + i;
	page->msr[LUV_MSR_TSC_AUX] = seed;
	for (unsigned i = 0; i < 4; i++) {
		page->dr[i] = seed + 0x1000 * i;
		memcpy(block + BLOCK_DR + 8 * i, &page->dr[i], sizeof(uint64_t));
	}
	page->dr[7] = dr7;
	for (unsigned i = 0; i < 3; i++) {
		const uint64_t value = seed + i;

		memcpy(block + BLOCK_SEGMENTS + 8 * i, &value, sizeof(value));
	}
	page->dirty = LUV_GROUPS_ALL & ~(LUV_GROUP_FPU | LUV_GROUP_EVENTS);
	page->wanted = LUV_GROUP_MSRS | LUV_GROUP_GENERAL;
}

static void run_guest(const struct payload *payload, uint32_t seed)
{
	struct luv_vcpu_page *page;
	unsigned rounds = 0;

	machine_create(&machine, 0);
	page = machine.vcpu[0].page;
	machine_load(&machine, payload, LONG);
	start_guest(seed);
	while (!time_is_up()) {
		const struct luv_exit_record *exit = machine_run(&machine, 0, LUV_RUN_IO);

		CHECK(exit->io.port == PORT_ROUND, "a guest's register changed at rip %#" PRIx64,
		      page->rip);
		for (unsigned i = LUV_MSR_STAR; i <= LUV_MSR_SFMASK; i++)
			EXPECT(page->msr[i], (seed >> 8) + i);
		EXPECT(page->msr[LUV_MSR_TSC_AUX], seed);
		rounds++;
	}
	printf("# a guest: %u rounds\n", rounds);
	CHECK(rounds > 0, "a guest got nowhere");
	machine_destroy(&machine);
}

/* --- a dom0 program ------------------------------------------------------------------------ */

static volatile uint64_t watched;

/* A breakpoint register that counts writes to `watched`; -1: the system has none to give. */
static int open_breakpoint(void)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attributes),
		.bp_type = HW_BREAKPOINT_W,
		.bp_addr = (uintptr_t)&watched,
		.bp_len = HW_BREAKPOINT_LEN_8,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	return (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void check_system_registers(uint64_t fs, uint64_t gs)
{
	uint64_t value;
	unsigned aux;

	EXPECT(syscall(SYS_arch_prctl, ARCH_GET_FS, &value), 0);
	EXPECT(value, fs);
	EXPECT(syscall(SYS_arch_prctl, ARCH_GET_GS, &value), 0);
	EXPECT(value, gs);
	__rdtscp(&aux);
	EXPECT(aux & 0xfff, CPU);
}

static void run_program(int (*check)(void), uint8_t *block, uint32_t seed)
{
	const uint64_t gs = (uint64_t)seed << 4;
	uint64_t fs, hits = 0;
	unsigned rounds = 0;
	int breakpoint = open_breakpoint();

	fill_block(block, seed);
	EXPECT(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs), 0);
	EXPECT(syscall(SYS_arch_prctl, ARCH_SET_GS, gs), 0);
	while (!time_is_up()) {
		EXPECT(check(), 0);
		check_system_registers(fs, gs);
		watched++;
		rounds++;
	}
	if (breakpoint >= 0) {
		EXPECT(read(breakpoint, &hits, sizeof(hits)), sizeof(hits));
		EXPECT(hits, rounds);
	}
	printf("# a dom0 program: %u rounds%s\n", rounds,
	       breakpoint >= 0 ? "" : ", without a breakpoint");
	CHECK(rounds > 0, "a dom0 program got nowhere");
}

/* ------------------------------------------------------------------------------------------- */

static void be(unsigned which)
{
	const struct payload a = {.code[2] = {payload_switch_a_64, payload_switch_a_64_end}};
	const struct payload b = {.code[2] = {payload_switch_b_64, payload_switch_b_64_end}};
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(CPU, &set);
	EXPECT(sched_setaffinity(0, sizeof(set), &set), 0);
	switch (which) {
	case 0:
		run_guest(&a, SEED_GUEST_A);
		break;
	case 1:
		run_guest(&b, SEED_GUEST_B);
		break;
	case 2:
		run_program(check_dom0_a, check_dom0_a_block, SEED_DOM0_A);
		break;
	default:
		run_program(check_dom0_b, check_dom0_b_block, SEED_DOM0_B);
		break;
	}
	fflush(stdout);
	_exit(0);
}

/* Bit n of the argument: the n-th takes part. Bit 4: no guest has a breakpoint that is enabled. */
static void test_switch(int argument)
{
	unsigned children = 0, wrong = 0;

	/* Global, on instructions that are never executed. */
	dr7 = argument & 16 ? 0x400 : 0x4aa;
	fflush(stdout);
	for (unsigned i = 0; i < 4; i++) {
		pid_t child;

		if (!(argument >> i & 1))
			continue;
		child = fork();
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			be(i);
		}
		CHECK(child > 0, "no child");
		children++;
	}
	while (children--) {
		int status = -1;

		wait(&status);
		wrong += status != 0;
	}
	EXPECT(wrong, 0);
}

const struct test switch_tests[] = {
	{.name = "state: two dom0 programs", .run = test_switch, .argument = 12, .without = true},
	{.name = "state: one guest", .run = test_switch, .argument = 1},
	{.name = "state: two guests", .run = test_switch, .argument = 3},
	{.name = "state: two guests and two dom0 programs", .run = test_switch, .argument = 15},
	{.name = "state: two guests without breakpoints and two dom0 programs", .run = test_switch, .argument = 31},
	{0},
};
