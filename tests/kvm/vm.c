/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/vm.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CPUID_ENTRIES 256u
#define GATES	      256u
#define THREADS	      8u

GUEST(handler_16, 16, "push %ax; mov $0x69, %al; out %al, $0x12; pop %ax; iret");
GUEST(handler_32, 32, "push %eax; mov $0x69, %al; out %al, $0x12; pop %eax; iret");
GUEST(handler_64, 64, "push %rax; mov $0x69, %al; out %al, $0x12; pop %rax; iretq");

int kvm_open(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0, "/dev/kvm: %s", strerror(errno));
	return fd;
}

void *pages(size_t size)
{
	void *memory =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED, "no memory");
	return memory;
}

int failure(int result)
{
	return result < 0 ? errno : 0;
}

int must(const char *file, int line, const char *what, int result)
{
	if (result < 0)
		fail(file, line, "%s: %s", what, strerror(errno));
	return result;
}

int require(const struct vm *vm, int capability, const char *name)
{
	static char why[80];
	int answer = MUST(ioctl(vm->fd, KVM_CHECK_EXTENSION, capability));

	if (answer == 0) {
		snprintf(why, sizeof(why), "no %s", name);
		skip(why);
	}
	return answer;
}

int vm_slot(const struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
	    const void *memory)
{
	const struct kvm_userspace_memory_region region = {
	    .slot = slot,
	    .flags = flags,
	    .guest_phys_addr = gpa,
	    .memory_size = size,
	    .userspace_addr = (uintptr_t)memory,
	};

	return failure(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region));
}

void vm_create_bare(struct vm *vm)
{
	*vm = (struct vm){.kvm = kvm_open(), .memory = pages(MEMORY)};
	vm->fd = MUST(ioctl(vm->kvm, KVM_CREATE_VM, 0));
	MUST(ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000));
	EXPECT(vm_slot(vm, 0, 0, 0, MEMORY, vm->memory), 0);
}

void vm_create(struct vm *vm)
{
	vm_create_bare(vm);
	vm_add_vcpu(vm, 0);
}

void vm_create_with_irqchip(struct vm *vm)
{
	vm_create_bare(vm);
	REQUIRE(vm, KVM_CAP_IRQCHIP);
	MUST(ioctl(vm->fd, KVM_CREATE_IRQCHIP));
	vm_add_vcpu(vm, 0);
}

void vm_add_vcpu(struct vm *vm, unsigned id)
{
	struct vcpu *vcpu = &vm->vcpu[id];
	struct kvm_cpuid2 *cpuid = cpuid_supported(vm->kvm);

	vcpu->fd = MUST(ioctl(vm->fd, KVM_CREATE_VCPU, id));
	vcpu->run_size = (size_t)MUST(ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	vcpu->run = mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	CHECK(vcpu->run != MAP_FAILED, "mmap of the vCPU: %s", strerror(errno));
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 1)
			cpuid->entries[i].ebx =
			    (cpuid->entries[i].ebx & 0xffffff) | (uint32_t)id << 24;
	MUST(ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid));
	free(cpuid);
}

void vm_close(struct vm *vm)
{
	for (unsigned id = 0; id < VCPUS; id++) {
		if (!vm->vcpu[id].run)
			continue;
		munmap(vm->vcpu[id].run, vm->vcpu[id].run_size);
		MUST(close(vm->vcpu[id].fd));
	}
	MUST(close(vm->fd));
	MUST(close(vm->kvm));
	munmap(vm->memory, MEMORY);
}

/* --- guests ----------------------------------------------------------------------------------
 */

void vm_put(struct vm *vm, uint64_t gpa, const struct guest *guest)
{
	static const uint8_t vmmcall[] = {0x0f, 0x01, 0xd9}, vmcall[] = {0x0f, 0x01, 0xc1};
	size_t size = (size_t)(guest->end - guest->begin);
	uint8_t *code = memcpy(vm->memory + gpa, guest->begin, size), *at = code;

	if (__builtin_cpu_is("intel"))
		while ((at = memmem(at, (size_t)(code + size - at), vmmcall, sizeof(vmmcall))))
			memcpy(at, vmcall, sizeof(vmcall));
}

static void put_word(struct vm *vm, uint64_t gpa, uint64_t word)
{
	memcpy(vm->memory + gpa, &word, sizeof(word));
}

static enum mode mode_of(const struct vm *vm)
{
	struct kvm_sregs sregs = vm_sregs(vm, 0);

	return sregs.efer ? LONG : sregs.cr0 & 1 ? PROTECTED : REAL;
}

static void put_gate(struct vm *vm, unsigned vector, uint64_t gpa, enum mode mode)
{
	const uint64_t gate = gpa | SELECTOR_CODE << 16 | 0x8e00ull << 32;
	const uint32_t far_pointer = (uint32_t)gpa;

	if (mode == REAL)
		memcpy(vm->memory + 4 * vector, &far_pointer, sizeof(far_pointer));
	else
		put_word(vm, IDT + (mode == LONG ? 16 : 8) * vector, gate);
}

void vm_gate(struct vm *vm, unsigned vector, uint64_t gpa)
{
	put_gate(vm, vector, gpa, mode_of(vm));
}

/* Four levels that map 4 GiB one to one in 2 MiB pages. */
static void put_page_tables(struct vm *vm)
{
	const uint64_t directories = TABLES + 2 * PAGE;

	put_word(vm, TABLES, (TABLES + PAGE) | 7);
	for (uint64_t i = 0; i < 4; i++)
		put_word(vm, TABLES + PAGE + 8 * i, (directories + PAGE * i) | 7);
	for (uint64_t i = 0; i < 2048; i++)
		put_word(vm, directories + 8 * i, i << 21 | 0x87);
}

static void put_tables(struct vm *vm, enum mode mode)
{
	static const struct guest *const handlers[] = {&handler_16, &handler_32, &handler_64};

	put_word(vm, GDT + 8, mode == LONG ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
	put_word(vm, GDT + 16, 0x00cf93000000ffff);
	vm_put(vm, HANDLER, handlers[mode]);
	for (unsigned i = 0; i < GATES; i++)
		put_gate(vm, i, HANDLER, mode);
	if (mode == LONG)
		put_page_tables(vm);
}

static void set_segments(struct kvm_sregs *sregs, enum mode mode)
{
	const struct kvm_segment code = {
	    .limit = mode == REAL ? 0xffff : 0xffffffff,
	    .selector = mode == REAL ? 0 : SELECTOR_CODE,
	    .type = 11,
	    .present = 1,
	    .db = mode == PROTECTED,
	    .s = 1,
	    .l = mode == LONG,
	    .g = mode != REAL,
	};
	struct kvm_segment data = code;

	data.selector = mode == REAL ? 0 : SELECTOR_DATA;
	data.type = 3;
	data.db = mode != REAL;
	data.l = 0;
	sregs->cs = code;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	if (mode == REAL) /* a segment that reaches MMIO, whose offset is in DI */
		sregs->es.base = MMIO;
	sregs->gdt = (struct kvm_dtable){.base = GDT, .limit = 23};
	sregs->idt = (struct kvm_dtable){.base = mode == REAL ? 0 : IDT, .limit = 0xfff};
}

static void set_control(struct kvm_sregs *sregs, enum mode mode)
{
	sregs->cr0 = mode == REAL ? 0x10 : mode == LONG ? 0x80000011 : 0x11;
	sregs->cr3 = mode == LONG ? TABLES : 0;
	sregs->cr4 = mode == LONG ? 0x620 : 0x600; /* OSFXSR, OSXMMEXCPT; PAE */
	sregs->efer = mode == LONG ? 0x500 : 0;
}

void vm_load(struct vm *vm, unsigned id, const struct guest *guest, enum mode mode)
{
	struct kvm_sregs sregs = vm_sregs(vm, id);
	const struct kvm_regs regs = {
	    .rip = CODE + CODE_SIZE * id,
	    .rflags = 2,
	    .rsi = DATA,
	    .rdi = mode == REAL ? 0 : MMIO,
	    .rsp = STACK - STACK_SIZE * id,
	};

	put_tables(vm, mode);
	vm_put(vm, regs.rip, guest);
	set_segments(&sregs, mode);
	set_control(&sregs, mode);
	MUST(ioctl(vm->vcpu[id].fd, KVM_SET_SREGS, &sregs));
	vm_set_regs(vm, id, &regs);
}

/* --- running ---------------------------------------------------------------------------------
 */

struct kvm_run *vm_run(struct vm *vm, unsigned id, uint32_t reason)
{
	struct kvm_run *run = vm->vcpu[id].run;

	MUST(ioctl(vm->vcpu[id].fd, KVM_RUN, 0));
	if (run->exit_reason != reason)
		fail(__FILE__, __LINE__,
		     "exit %u (%#" PRIx64 " %#" PRIx64 " %#" PRIx64 ") at rip %#llx, not %u",
		     run->exit_reason, ((uint64_t *)run->padding)[0],
		     ((uint64_t *)run->padding)[1], ((uint64_t *)run->padding)[2],
		     vm_regs(vm, id).rip, reason);
	return run;
}

uint8_t *io_data(struct kvm_run *run)
{
	return (uint8_t *)run + run->io.data_offset;
}

uint32_t vm_out(struct vm *vm, unsigned id, unsigned port)
{
	struct kvm_run *run = vm_run(vm, id, KVM_EXIT_IO);
	uint32_t value = 0;

	EXPECT(run->io.direction, KVM_EXIT_IO_OUT);
	EXPECT(run->io.port, port);
	EXPECT(run->io.count, 1);
	memcpy(&value, io_data(run), run->io.size);
	return value;
}

uint8_t *vm_mmio(struct vm *vm, unsigned id, uint64_t address, unsigned size, bool write)
{
	struct kvm_run *run = vm_run(vm, id, KVM_EXIT_MMIO);

	EXPECT(run->mmio.phys_addr, address);
	EXPECT(run->mmio.len, size);
	EXPECT(run->mmio.is_write, write);
	return run->mmio.data;
}

struct kvm_regs vm_regs(const struct vm *vm, unsigned id)
{
	struct kvm_regs regs;

	MUST(ioctl(vm->vcpu[id].fd, KVM_GET_REGS, &regs));
	return regs;
}

void vm_set_regs(const struct vm *vm, unsigned id, const struct kvm_regs *regs)
{
	MUST(ioctl(vm->vcpu[id].fd, KVM_SET_REGS, regs));
}

struct kvm_sregs vm_sregs(const struct vm *vm, unsigned id)
{
	struct kvm_sregs sregs;

	MUST(ioctl(vm->vcpu[id].fd, KVM_GET_SREGS, &sregs));
	return sregs;
}

/* --- MSRs, CPUID -----------------------------------------------------------------------------
 */

struct one_msr {
	struct kvm_msrs header;
	struct kvm_msr_entry entry;
};

static int one_msr(int fd, unsigned long request, struct one_msr *msr)
{
	int count = ioctl(fd, request, msr);

	return count == 1 ? 0 : count == 0 ? ENXIO : errno;
}

int msr_read(int fd, uint32_t index, uint64_t *value)
{
	struct one_msr msr = {.header.nmsrs = 1, .entry.index = index};
	int result = one_msr(fd, KVM_GET_MSRS, &msr);

	*value = msr.entry.data;
	return result;
}

int msr_write(int fd, uint32_t index, uint64_t value)
{
	struct one_msr msr = {.header.nmsrs = 1, .entry = {.index = index, .data = value}};

	return one_msr(fd, KVM_SET_MSRS, &msr);
}

struct kvm_cpuid2 *cpuid_supported(int kvm)
{
	struct kvm_cpuid2 *list =
	    calloc(1, sizeof(*list) + CPUID_ENTRIES * sizeof(list->entries[0]));

	list->nent = CPUID_ENTRIES;
	MUST(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, list));
	return list;
}

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *list, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < list->nent; i++)
		if (list->entries[i].function == leaf && list->entries[i].index == subleaf)
			return &list->entries[i];
	return NULL;
}

/* --- threads ---------------------------------------------------------------------------------
 */

static struct thread {
	pthread_t id;
	struct vm *vm;
	thread_function *function;
} threads[THREADS];
static unsigned thread_count;

static void *thread_body(void *argument)
{
	struct thread *thread = argument;

	thread->function(thread->vm);
	return NULL;
}

void thread_start(struct vm *vm, thread_function *function)
{
	struct thread *thread = &threads[thread_count++];

	CHECK(thread_count <= THREADS, "too many threads");
	*thread = (struct thread){.vm = vm, .function = function};
	EXPECT(pthread_create(&thread->id, NULL, thread_body, thread), 0);
}

void thread_join_all(void)
{
	while (thread_count)
		EXPECT(pthread_join(threads[--thread_count].id, NULL), 0);
}

void sleep_ms(unsigned milliseconds)
{
	const struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};

	nanosleep(&time, NULL);
}
