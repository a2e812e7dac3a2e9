/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtual machine for one test, made with the KVM API alone. */
#ifndef KVM_VM_H
#define KVM_VM_H

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "tap.h"

/* Guest physical addresses; in long mode the first 4 GiB are mapped one to one, writable. */
#define CODE	      0x1000u /* of vCPU 0; vCPU n's: n times CODE_SIZE higher */
#define CODE_SIZE     0x400u
#define HANDLER	      0x2000u /* of all interrupts and exceptions without a handler of their own */
#define IDT	      0x6000u
#define GDT	      0x7000u
#define DATA	      0xc000u
#define STACK	      0xf000u /* of vCPU n: n times STACK_SIZE lower */
#define STACK_SIZE    0x400u
#define TABLES	      0x10000u
#define MEMORY	      0x200000u /* bytes in slot 0, from address 0 on */
#define MMIO	      0x300000u /* no memory */
#define MORE	      0x400000u /* for slots that tests add */
#define PAGE	      4096u

#define PORT	      0x10u /* where guests report */
#define PORT_HANDLER  0x12u /* HANDLER writes 69h there and returns */

#define SELECTOR_CODE 8u
#define SELECTOR_DATA 16u

#define VCPUS	      4u

enum mode { REAL, PROTECTED, LONG };

/*
 * Code for guests, in the section of the test that runs it: GUEST(name, 16, "..."), for 16, 32
 * or 64 bits, position-independent. Of registers guests get RSI at DATA, RDI at MMIO, RSP;
 * interrupts are off.
 */
struct guest {
	const uint8_t *begin, *end;
};

#define GUEST(name, bits, text)                                                      \
	extern const uint8_t guest_code_##name[], guest_code_##name##_end[];         \
	__asm__(".pushsection .rodata\n.code" #bits "\nguest_code_" #name ":\n" text \
		"\nguest_code_" #name "_end:\n.code64\n.popsection");                \
	static const struct guest name = {guest_code_##name, guest_code_##name##_end}

struct vcpu {
	int fd;
	struct kvm_run *run;
	size_t run_size;
};

struct vm {
	int kvm, fd; /* /dev/kvm and the VM */
	uint8_t *memory;
	struct vcpu vcpu[VCPUS];
};

/* Opens /dev/kvm; with what open() says when it fails. */
int kvm_open(void);

/* Anonymous memory of whole pages. */
void *pages(size_t size);

/* errno of a call that failed, else 0. */
int failure(int result);

/* A result that must be no error; "what" names it. */
#define MUST(call) must(__FILE__, __LINE__, #call, (call))
int must(const char *file, int line, const char *what, int result);

/* Skips the test when KVM_CHECK_EXTENSION says 0; else its answer. */
int require(const struct vm *vm, int capability, const char *name);
#define REQUIRE(vm, capability) require(vm, capability, #capability)

/* A VM with memory and no vCPU; and one with vCPU 0 that has all supported CPUID leaves. */
void vm_create_bare(struct vm *vm);
void vm_create(struct vm *vm);
void vm_add_vcpu(struct vm *vm, unsigned id);
void vm_close(struct vm *vm);

/* KVM_SET_USER_MEMORY_REGION; errno or 0. */
int vm_slot(const struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
	    const void *memory);

/* With the in-kernel PIC, I/O APIC and local APICs; before any vCPU. */
void vm_create_with_irqchip(struct vm *vm);

/* Puts the guest's code in place and the vCPU before it. */
void vm_load(struct vm *vm, unsigned id, const struct guest *guest, enum mode mode);

/* Code at any address, its VMMCALL the one that the CPU has; a gate of the long mode IDT (or the real mode one) that leads there. */
void vm_put(struct vm *vm, uint64_t gpa, const struct guest *guest);
void vm_gate(struct vm *vm, unsigned vector, uint64_t gpa);

/* KVM_RUN, which must return 0 with this reason. */
struct kvm_run *vm_run(struct vm *vm, unsigned id, uint32_t reason);

/* It must be an OUT to the port; returns its value. */
uint32_t vm_out(struct vm *vm, unsigned id, unsigned port);

/* It must be an access of this width to MMIO space; returns its data. */
uint8_t *vm_mmio(struct vm *vm, unsigned id, uint64_t address, unsigned size, bool write);

/* The data of an exit for port I/O. */
uint8_t *io_data(struct kvm_run *run);

struct kvm_regs vm_regs(const struct vm *vm, unsigned id);
void vm_set_regs(const struct vm *vm, unsigned id, const struct kvm_regs *regs);
struct kvm_sregs vm_sregs(const struct vm *vm, unsigned id);

/* One MSR; errno or 0 (ENXIO when the vCPU refuses it). */
int msr_read(int fd, uint32_t index, uint64_t *value);
int msr_write(int fd, uint32_t index, uint64_t value);

/* The CPUID list of KVM_GET_SUPPORTED_CPUID; and an entry of it, NULL if there is none. */
struct kvm_cpuid2 *cpuid_supported(int kvm);
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *list, uint32_t leaf, uint32_t subleaf);

/* Calls the function on a thread of its own, and waits for it. */
typedef void thread_function(struct vm *vm);
void thread_start(struct vm *vm, thread_function *function);
void thread_join_all(void);

void sleep_ms(unsigned milliseconds);

#endif
