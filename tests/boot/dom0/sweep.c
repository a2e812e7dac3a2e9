/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What dom0's root can do to the machine below it, for tests/boot/checks.py: whatever comes of
 * it is dom0's own trouble.
 *
 *   sweep msr CPU     reads each MSR; writes what it read, all ones, zeros, and what it read again
 *   sweep ports read  reads each I/O port, 1, 2 and 4 bytes wide
 *   sweep ports write likewise, and writes there what it read, and all ones
 *   sweep microcode   asks CPU 0 to load zeros as microcode: first from a huge page, then from memory
 *                     whose second page is not there. Prints both addresses
 *
 *   sweep rules       MSRs whose writes are looked at: one line each, "kept" or "changed", with what a change
 *                     of it came to; as it was before it ends
 *
 * What would end dom0 at once (the MSRs that its kernel stands on, the ports that reset the
 * machine or switch it off) gets only what is there already, or nothing. Prints how many could
 * be read and written.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct range {
	uint32_t first, last;
} msr_ranges[] =
    {
	{0, 0x1fff},
	{0x40000000, 0x400001ff},
	{0xc0000000, 0xc0001fff},
	{0xc0010000, 0xc0011fff},
},
  kernels_msrs[] =
      {
	  {0x10, 0x10},		    /* TSC */
	  {0x1b, 0x1b},		    /* APIC_BASE */
	  {0x48, 0x49},		    /* SPEC_CTRL, PRED_CMD */
	  {0x174, 0x176},	    /* SYSENTER */
	  {0x17a, 0x17b},	    /* MCG_STATUS, MCG_CTL */
	  {0x1d9, 0x1d9},	    /* DEBUGCTL */
	  {0x277, 0x277},	    /* PAT */
	  {0x2ff, 0x2ff},	    /* MTRRs off: memory uncached */
	  {0x6e0, 0x6e0},	    /* TSC_DEADLINE */
	  {0x800, 0x8ff},	    /* x2APIC */
	  {0xc0000080, 0xc0000084}, /* EFER, system calls */
	  {0xc0000100, 0xc0000103}, /* FS, GS, TSC_AUX */
},
  fatal_ports[] =
      {
	  {0x60, 0x64},			      /* keyboard controller: reset */
	  {0x92, 0x92},			      /* fast reset, A20 */
	  {0xb2, 0xb3},			      /* SMI */
	  {0xe9, 0xe9},			      /* the debug console */
	  {0x3e8, 0x3ef},		      /* COM3: this program's output */
	  {0x501, 0x501},		      /* isa-debug-exit */
	  {0x600, 0x63f},		      /* ACPI: sleep, power off */
	  {0xb000, 0xb03f}, {0x8900, 0x8900}, /* Bochs: power off */
	  {0xcf8, 0xcff},		      /* PCI configuration; CF9h: reset */
	  {0x510, 0x51b},		      /* QEMU's fw_cfg DMA: would write to memory */
},
  narrow_ports[] = {
      {0x2e8,
       0x2ff}, /* serial ports: QEMU 7.2 aborts when an access of 2 or 4 bytes meets one */
      {0x3e8, 0x3ff},
};

static bool contains(const struct range *ranges, size_t count, uint32_t first, uint32_t last)
{
	for (size_t i = 0; i < count; i++) {
		if (first <= ranges[i].last && last >= ranges[i].first)
			return true;
	}
	return false;
}
#define CONTAINS(ranges, first, last) \
	contains(ranges, sizeof(ranges) / sizeof((ranges)[0]), first, last)

static bool write_msr(int fd, uint32_t msr, uint64_t value)
{
	return pwrite(fd, &value, sizeof(value), msr) == sizeof(value);
}

static int sweep_msrs(const char *cpu)
{
	unsigned read = 0, written = 0;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/cpu/%s/msr", cpu);
	fd = open(path, O_RDWR);
	if (fd < 0) {
		perror(path);
		return 1;
	}
	for (size_t i = 0; i < sizeof(msr_ranges) / sizeof(msr_ranges[0]); i++) {
		for (uint32_t msr = msr_ranges[i].first; msr <= msr_ranges[i].last; msr++) {
			uint64_t value = 0;
			bool readable = pread(fd, &value, sizeof(value), msr) == sizeof(value);

			read += readable;
			if (CONTAINS(kernels_msrs, msr, msr)) {
				written += readable && msr != 0x10 && write_msr(fd, msr, value);
				continue;
			}
			written += write_msr(fd, msr, value);
			write_msr(fd, msr, UINT64_MAX);
			write_msr(fd, msr, 0);
			write_msr(fd, msr, value);
		}
	}
	printf("%u MSRs read, %u written\n", read, written);
	return 0;
}

static uint32_t in(unsigned port, int size)
{
	switch (size) {
	case 1:
		return inb((unsigned short)port);
	case 2:
		return inw((unsigned short)port);
	default:
		return inl((unsigned short)port);
	}
}

static void out(unsigned port, int size, uint32_t value)
{
	switch (size) {
	case 1:
		outb((unsigned char)value, (unsigned short)port);
		break;
	case 2:
		outw((unsigned short)value, (unsigned short)port);
		break;
	default:
		outl(value, (unsigned short)port);
		break;
	}
}

static int sweep_ports(bool writes)
{
	unsigned ports = 0;

	if (iopl(3) != 0) {
		perror("iopl");
		return 1;
	}
	for (unsigned port = 0; port <= 0xffff; port++) {
		for (int size = 1; size <= 4; size *= 2) {
			uint32_t value;

			if (port + (unsigned)size > 0x10000 ||
			    (size > 1 &&
			     CONTAINS(narrow_ports, port, port + (unsigned)size - 1)))
				continue;
			value = in(port, size);
			if (!writes || CONTAINS(fatal_ports, port, port + (unsigned)size - 1))
				continue;
			out(port, size, value);
			out(port, size, UINT32_MAX);
			out(port, size, value);
		}
		ports++;
	}
	printf("%u ports\n", ports);
	return 0;
}

static const struct change {
	const char *name;
	uint32_t msr;
	uint64_t bits; /* that are turned over */
	bool amd;
} changes[] = {
    {"APIC_BASE's address", 0x1b, 1ull << 20, false},
    {"APIC_BASE's enable bit again", 0x1b, 0, false},
    {"PAT's entry 7", 0x277, 1ull << 56, false},
    {"MTRR 7's base", 0x20e, 1ull << 30, false},
    {"SYSCFG's MtrrFixDramModEn", 0xc0010010, 1ull << 19, true},
    {"SYSCFG's MtrrTom2En", 0xc0010010, 1ull << 21, true},
    {"TOP_MEM", 0xc001001a, 1ull << 30, true},
    {"HWCR's SmmLock", 0xc0010015, 1ull << 0, true},
};

static int try_rules(void)
{
	bool amd = __builtin_cpu_is("amd");
	int fd = open("/dev/cpu/0/msr", O_RDWR);

	if (fd < 0) {
		perror("/dev/cpu/0/msr");
		return 1;
	}
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const struct change *c = &changes[i];
		uint64_t before = 0, after = 0;
		bool taken;

		if (c->amd && !amd)
			continue;
		if (pread(fd, &before, sizeof(before), c->msr) != sizeof(before)) {
			printf("%s: unreadable\n", c->name);
			continue;
		}
		taken = write_msr(fd, c->msr, before ^ c->bits);
		pread(fd, &after, sizeof(after), c->msr);
		write_msr(fd, c->msr, before);
		printf("%s: %s, %s\n", c->name, taken ? "taken" : "refused",
		       after == before ? "kept" : "changed");
	}
	return 0;
}

#define HUGE (2ul << 20)

/* On the CPU itself the msr driver writes behind this process's page tables. */
static int load_microcode(void)
{
	uint32_t msr = __builtin_cpu_is("intel") ? 0x79 : 0xc0010020;
	cpu_set_t cpu_0;
	char *map, *huge, *torn;
	int fd = open("/dev/cpu/0/msr", O_RDWR);

	CPU_ZERO(&cpu_0);
	CPU_SET(0, &cpu_0);
	map = mmap(NULL, 3 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fd < 0 || map == MAP_FAILED || sched_setaffinity(0, sizeof(cpu_0), &cpu_0) != 0) {
		perror("sweep microcode");
		return 1;
	}
	huge = (char *)(((uintptr_t)map + HUGE - 1) & ~(HUGE - 1));
	madvise(huge, HUGE, MADV_HUGEPAGE);
	memset(huge, 0, HUGE);
	torn = huge + HUGE;
	memset(torn, 0, 4096);
	munmap(torn + 4096, 4096);
	/* The CPU may say #GP to zeros. */
	write_msr(fd, msr, (uintptr_t)huge + 48);
	write_msr(fd, msr, (uintptr_t)torn + 48 + 3072);
	printf("together %#lx torn %#lx\n", (uintptr_t)huge + 48, (uintptr_t)torn + 48 + 3072);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "msr") == 0)
		return sweep_msrs(argv[2]);
	if (argc == 3 && strcmp(argv[1], "ports") == 0)
		return sweep_ports(strcmp(argv[2], "write") == 0);
	if (argc == 2 && strcmp(argv[1], "microcode") == 0)
		return load_microcode();
	if (argc == 2 && strcmp(argv[1], "rules") == 0)
		return try_rules();
	fputs("sweep msr CPU | ports read | ports write | microcode | rules\n", stderr);
	return 2;
}
