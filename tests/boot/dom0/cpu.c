/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a CPU answers in dom0, for tests/boot/checks.py. Prints one line a fact.
 *
 *   cpu cpuid LEAF            EAX EBX ECX EDX
 *   cpu spin CPU COUNT        executes CPUID COUNT times on that CPU; prints its APIC ID
 *   cpu x87 CPU COUNT         executes FXRSTOR COUNT times on that CPU (docs/machine.md)
 *   cpu read CPU MSR          the value, or the error's name
 *   cpu write CPU MSR VALUE   "written", or the error's name
 *   cpu illegal               each SVM or VMX instruction, and the signal it got
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int usage(void)
{
	fputs(
	    "cpu cpuid LEAF | spin CPU COUNT | x87 CPU COUNT | read CPU MSR | write CPU MSR VALUE | illegal\n",
	    stderr);
	return 2;
}

static int show_cpuid(uint32_t leaf)
{
	uint32_t eax, ebx, ecx, edx;

	__cpuid_count(leaf, 0, eax, ebx, ecx, edx);
	printf("%08x %08x %08x %08x\n", eax, ebx, ecx, edx);
	return 0;
}

static void stay_on(int cpu)
{
	cpu_set_t only;

	CPU_ZERO(&only);
	CPU_SET(cpu, &only);
	if (sched_setaffinity(0, sizeof(only), &only) != 0) {
		perror("sched_setaffinity");
		exit(1);
	}
}

static int load_x87(int cpu, unsigned long count)
{
	static _Alignas(16) unsigned char area[512];

	stay_on(cpu);
	__asm__ volatile("fxsave (%0)" : : "r"(area) : "memory");
	for (unsigned long i = 0; i < count; i++)
		__asm__ volatile("fxrstor (%0)" : : "r"(area) : "memory");
	return 0;
}

static int spin(int cpu, unsigned long count)
{
	uint32_t eax, ebx = 0, ecx, edx;

	stay_on(cpu);
	for (unsigned long i = 0; i < count; i++)
		__cpuid(1, eax, ebx, ecx, edx);
	printf("%u\n", ebx >> 24);
	return 0;
}

static int open_msr(int cpu, int mode)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/dev/cpu/%d/msr", cpu);
	fd = open(path, mode);
	if (fd < 0)
		perror(path);
	return fd;
}

static int read_msr(int cpu, off_t msr)
{
	int fd = open_msr(cpu, O_RDONLY);
	uint64_t value;

	if (fd < 0)
		return 1;
	if (pread(fd, &value, sizeof(value), msr) == sizeof(value))
		printf("%#llx\n", (unsigned long long)value);
	else
		puts(strerrorname_np(errno));
	return 0;
}

static int write_msr(int cpu, off_t msr, uint64_t value)
{
	int fd = open_msr(cpu, O_WRONLY);

	if (fd < 0)
		return 1;
	if (pwrite(fd, &value, sizeof(value), msr) == sizeof(value))
		puts("written");
	else
		puts(strerrorname_np(errno));
	return 0;
}

static void vmrun(void)
{
	__asm__ volatile("vmrun" : : "a"(0ul) : "memory");
}

static void vmload(void)
{
	__asm__ volatile("vmload" : : "a"(0ul) : "memory");
}

static void vmsave(void)
{
	__asm__ volatile("vmsave" : : "a"(0ul) : "memory");
}

static void stgi(void)
{
	__asm__ volatile("stgi" : : : "memory");
}

static void clgi(void)
{
	__asm__ volatile("clgi" : : : "memory");
}

static void skinit(void)
{
	__asm__ volatile("skinit" : : "a"(0ul) : "memory");
}

static void invlpga(void)
{
	__asm__ volatile("invlpga" : : "a"(0ul), "c"(0ul) : "memory");
}

static uint64_t nothing[2] __attribute__((aligned(16)));

static void vmxon(void)
{
	__asm__ volatile("vmxon %0" : "+m"(nothing));
}

static void vmclear(void)
{
	__asm__ volatile("vmclear %0" : "+m"(nothing));
}

static void vmptrld(void)
{
	__asm__ volatile("vmptrld %0" : "+m"(nothing));
}

static void vmlaunch(void)
{
	__asm__ volatile("vmlaunch" : : : "memory");
}

static void vmread(void)
{
	uint64_t value;

	__asm__ volatile("vmread %1, %0" : "=r"(value) : "r"(0ull));
}

static void vmwrite(void)
{
	__asm__ volatile("vmwrite %0, %0" : : "r"(0ull));
}

static void invept(void)
{
	__asm__ volatile("invept %0, %1" : "+m"(nothing) : "r"(2ull));
}

static void invvpid(void)
{
	__asm__ volatile("invvpid %0, %1" : "+m"(nothing) : "r"(2ull));
}

static void getsec(void)
{
	__asm__ volatile(".byte 0x0f, 0x37" : : "a"(0ul) : "rbx", "rcx", "memory");
}

struct instruction {
	const char *name;
	void (*execute)(void);
};

static const struct instruction svm_instructions[] = {
    {"vmrun", vmrun}, {"vmload", vmload}, {"vmsave", vmsave},	{"stgi", stgi},
    {"clgi", clgi},   {"skinit", skinit}, {"invlpga", invlpga},
};

static const struct instruction vmx_instructions[] = {
    {"vmxon", vmxon},	{"vmclear", vmclear}, {"vmptrld", vmptrld}, {"vmlaunch", vmlaunch}, {"vmread", vmread},
    {"vmwrite", vmwrite}, {"invept", invept}, {"invvpid", invvpid}, {"getsec", getsec},
};

static const struct instruction *choose(size_t *count)
{
	uint32_t eax, ebx, ecx, edx;

	__cpuid(0, eax, ebx, ecx, edx);
	if (ebx == signature_INTEL_ebx) {
		*count = sizeof(vmx_instructions) / sizeof(vmx_instructions[0]);
		return vmx_instructions;
	}
	*count = sizeof(svm_instructions) / sizeof(svm_instructions[0]);
	return svm_instructions;
}

static int illegal(void)
{
	size_t count;
	const struct instruction *instructions = choose(&count);

	for (size_t i = 0; i < count; i++) {
		pid_t child = fork();
		int status;

		if (child == 0) {
			instructions[i].execute();
			_exit(0);
		}
		if (child < 0 || waitpid(child, &status, 0) < 0) {
			perror("fork");
			return 1;
		}
		printf("%s %s\n", instructions[i].name,
		       WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : "executed");
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	unsigned long number[3] = {0};

	for (int i = 2; i < argc && i < 5; i++)
		number[i - 2] = strtoul(argv[i], NULL, 0);
	if (strcmp(what, "cpuid") == 0 && argc == 3)
		return show_cpuid((uint32_t)number[0]);
	if (strcmp(what, "spin") == 0 && argc == 4)
		return spin((int)number[0], number[1]);
	if (strcmp(what, "x87") == 0 && argc == 4)
		return load_x87((int)number[0], number[1]);
	if (strcmp(what, "read") == 0 && argc == 4)
		return read_msr((int)number[0], (off_t)number[1]);
	if (strcmp(what, "write") == 0 && argc == 5)
		return write_msr((int)number[0], (off_t)number[1], number[2]);
	if (strcmp(what, "illegal") == 0 && argc == 2)
		return illegal();
	return usage();
}
