/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls that a good client does not make, each with the answer that it must get. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/machine.h"

#define PAGE	       4096u
#define NON_CANONICAL  0x8000000000000000ull
#define KERNEL_ADDRESS 0xffffffff81000000ull

PAYLOAD(spin);
PAYLOAD(io);

static struct machine machine;

/* Past the library, which retries and copies. */
static int call(unsigned long number, unsigned long a, unsigned long b, unsigned long c)
{
	unsigned long rax = number;

	if (luv_query(LUV_QUERY_VENDOR) == LUV_VENDOR_SVM)
		__asm__ volatile("vmmcall" : "+a"(rax) : "D"(a), "S"(b), "d"(c) : "memory");
	else
		__asm__ volatile("vmcall" : "+a"(rax) : "D"(a), "S"(b), "d"(c) : "memory");
	return (int)rax;
}

/* Touched, so that only what is tested can be wrong. */
static void *structure_page(void)
{
	char *page = plain_pages(2 * PAGE);

	page[0] = page[PAGE] = 1;
	page[0] = page[PAGE] = 0;
	return page;
}

/* --- handles ------------------------------------------------------------------------------- */

static void expect_all_refused(unsigned long handle, void *structure)
{
	for (unsigned long number = LUV_CALL_VM_CREATE; number < LUV_CALL_COUNT; number++) {
		int result = call(number, handle, (unsigned long)structure,
				  (unsigned long)structure);

		CHECK(result == LUV_ERR_PERM, "call %lu with handle %#lx: %d", number, handle,
		      result);
	}
}

static void test_no_key(int argument)
{
	const uint32_t wrong[3] = {1, 2, 3};
	void *structure = structure_page();

	(void)argument;
	EXPECT(luv_session_open(wrong), LUV_ERR_PERM);
	expect_all_refused(0, structure);
	expect_all_refused(1, structure);
	expect_all_refused(~0ul, structure);
}

static void test_wrong_handles(int argument)
{
	void *structure = structure_page();

	(void)argument;
	machine_create(&machine, 0);
	expect_all_refused((unsigned long)machine.vm ^ 0x100, structure);
	expect_all_refused((unsigned long)machine.vm | 1ul << 32, structure);
	expect_all_refused(0, structure);
	/* A session is no VM, a VM is no session. */
	EXPECT(luv_vm_destroy(machine.session), LUV_ERR_PERM);
	EXPECT(luv_vcpu_sync(machine.session, 0), LUV_ERR_PERM);
	EXPECT(create_vm(machine.vm, 0, machine.owner), LUV_ERR_PERM);
	EXPECT(luv_session_close(machine.vm), LUV_ERR_PERM);
	machine_destroy(&machine);
	expect_all_refused((unsigned long)machine.vm, structure);
	expect_all_refused((unsigned long)machine.session, structure);
}

static void in_child(void (*action)(void))
{
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		action();
		_exit(0);
	}
	CHECK(child > 0 && waitpid(child, &status, 0) == child, "no child");
	EXPECT(status, 0);
}

static void use_everything(void)
{
	void *structure = structure_page();

	expect_all_refused((unsigned long)machine.vm, structure);
	expect_all_refused((unsigned long)machine.session, structure);
}

static void use_with_own_session(void)
{
	int session = open_session();

	use_everything();
	EXPECT(luv_session_close(session), 0);
}

/* A child has neither session nor VM, and what it tries does not disturb the parent. */
static void test_forked(int argument)
{
	(void)argument;
	machine_create(&machine, 0);
	machine_load(&machine, &io, LONG);
	in_child(use_everything);
	in_child(use_with_own_session);
	machine_expect_out(&machine, 0x10, 1, 0x41);
	machine_destroy(&machine);
}

/* --- pointers ------------------------------------------------------------------------------ */

/* The calls that take a structure; index is their second argument where the third is a pointer. */
static const struct structure_call {
	enum luv_call number;
	bool session, third;
	bool out; /* it writes to the structure */
} structure_calls[] = {
	{LUV_CALL_VM_CREATE, true, false, false},
	{LUV_CALL_SLOT_SET, false, false, false},
	{LUV_CALL_DIRTY_READ, false, false, false},
	{LUV_CALL_VCPU_CREATE, false, false, false},
	{LUV_CALL_VCPU_STATISTICS, false, false, true},
	{LUV_CALL_VCPU_CPUID, false, true, false},
	{LUV_CALL_LAPIC_READ, false, true, true},
	{LUV_CALL_LAPIC_WRITE, false, true, false},
};

#define STRUCTURE_CALLS (sizeof(structure_calls) / sizeof(structure_calls[0]))

static int call_structure(const struct structure_call *c, unsigned long pointer)
{
	unsigned long handle = (unsigned long)(c->session ? machine.session : machine.vm);

	return c->third ? call(c->number, handle, 0, pointer) : call(c->number, handle, pointer, 0);
}

static void expect_refused(unsigned long pointer, int wanted, const char *what)
{
	for (size_t i = 0; i < STRUCTURE_CALLS; i++) {
		int result = call_structure(&structure_calls[i], pointer);

		/* A VM without local APICs refuses their calls whatever the pointer. */
		if (structure_calls[i].number > LUV_CALL_INTERRUPT && result == LUV_ERR_INVAL)
			continue;
		CHECK(result == wanted, "%s, call %d: %d", what, (int)structure_calls[i].number,
		      result);
	}
}

static void test_pointers(int argument)
{
	char *memory = structure_page();

	(void)argument;
	machine_create(&machine, 0);
	expect_refused(0, LUV_ERR_FAULT, "no structure");
	expect_refused(KERNEL_ADDRESS, LUV_ERR_FAULT, "a structure in the kernel");
	expect_refused(NON_CANONICAL, LUV_ERR_FAULT, "a non-canonical structure");
	expect_refused(~0ul - 7, LUV_ERR_INVAL, "a structure at the end of everything");
	expect_refused((unsigned long)memory + 4, LUV_ERR_INVAL, "an odd structure");
	expect_refused((unsigned long)memory + PAGE - 8, LUV_ERR_INVAL,
		       "a structure over two pages");
	mprotect(memory, PAGE, PROT_NONE);
	expect_refused((unsigned long)memory, LUV_ERR_FAULT, "a structure without rights");
	munmap(memory, PAGE);
	expect_refused((unsigned long)memory, LUV_ERR_FAULT, "a structure that is gone");
	machine_destroy(&machine);
}

/* Read-only memory may be read; it is never written through the hypervisor. */
static void test_read_only(int argument)
{
	struct luv_vcpu_statistics *page = structure_page();

	(void)argument;
	machine_create(&machine, 0);
	page->runs = 12345;
	mprotect(page, PAGE, PROT_READ);
	EXPECT(call(LUV_CALL_VCPU_STATISTICS, (unsigned long)machine.vm, (unsigned long)page, 0),
	       LUV_ERR_FAULT);
	EXPECT(page->runs, 12345);
	machine_destroy(&machine);
}

/* --- memory slots -------------------------------------------------------------------------- */

static int set(uint64_t slot, uint64_t flags, uint64_t gpa, uint64_t size, uint64_t address)
{
	return luv_slot_set(machine.vm, &(struct luv_slot){slot, flags, gpa, size, address});
}

static void test_slots(int argument)
{
	const uint64_t address = (uintptr_t)pinned_pages(2 * PAGE);
	const uint64_t top = 1ull << LUV_GPA_BITS;

	(void)argument;
	machine_create(&machine, 0);
	EXPECT(set(LUV_SLOTS_MAX, 0, MORE, PAGE, address), LUV_ERR_INVAL);
	EXPECT(set(~0ull, 0, MORE, PAGE, address), LUV_ERR_INVAL);
	EXPECT(set(1ull << 32, 0, MORE, PAGE, address), LUV_ERR_INVAL);
	EXPECT(set(1, 8, MORE, PAGE, address), LUV_ERR_INVAL);
	EXPECT(set(1, 1ull << 63, MORE, PAGE, address), LUV_ERR_INVAL);
	EXPECT(set(1, 0, MORE + 8, PAGE, address), LUV_ERR_INVAL);
	EXPECT(set(1, 0, MORE, PAGE + 8, address), LUV_ERR_INVAL);
	EXPECT(set(1, 0, MORE, PAGE, address + 8), LUV_ERR_INVAL);
	EXPECT(set(1, 0, top, PAGE, address), LUV_ERR_INVAL);
	EXPECT(set(1, 0, top - PAGE, 2 * PAGE, address), LUV_ERR_INVAL);
	EXPECT(set(1, 0, 0ull - PAGE, PAGE, address), LUV_ERR_INVAL);
	EXPECT(set(1, 0, PAGE, 0ull - PAGE, address), LUV_ERR_INVAL);
	EXPECT(set(1, 0, 2 * PAGE, 0ull - PAGE, address), LUV_ERR_INVAL);
	EXPECT(set(1, 0, MORE, 2 * PAGE, 0ull - PAGE), LUV_ERR_INVAL);
	EXPECT(set(1, 0, MEMORY - PAGE, 2 * PAGE, address), LUV_ERR_EXIST);
	EXPECT(set(1, 0, 0, PAGE, address), LUV_ERR_EXIST);
	EXPECT(set(1, 0, 0, 1ull << 40, address), LUV_ERR_EXIST);
	EXPECT(set(1, 0, 0, 0, 0), LUV_ERR_NOENT);
	EXPECT(set(1, 0, MORE, PAGE, address), 0);
	EXPECT(set(2, 0, MORE, PAGE, address), LUV_ERR_EXIST);
	EXPECT(set(1, LUV_SLOT_READ_ONLY, MORE, 2 * PAGE, address), 0);
	EXPECT(set(1, 0, 0, 0, 0), 0);
	EXPECT(set(LUV_SLOTS_MAX - 1, 0, top - PAGE, PAGE, address), 0);
	machine_destroy(&machine);
}

/* The kernel's memory, and addresses that mean nothing, are no guest memory. */
static void test_foreign_memory(int argument)
{
	static const uint64_t addresses[] = {KERNEL_ADDRESS & ~4095ull, NON_CANONICAL, 0};

	(void)argument;
	machine_create(&machine, 0);
	machine_load(&machine, &spin, REAL);
	for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct luv_vcpu_page *page = machine.vcpu[0].page;
		int result = set(1, 0, MORE, PAGE, addresses[i]);

		if (result == LUV_ERR_INVAL)
			continue;
		EXPECT(result, 0);
		page->segment[LUV_CS].base = MORE;
		page->rip = 0;
		page->dirty |= LUV_GROUP_SEGMENTS | LUV_GROUP_GENERAL;
		EXPECT(call(LUV_CALL_VCPU_RUN, (unsigned long)machine.vm, 0, 0), 0);
		EXPECT(page->exit.reason, LUV_RUN_FAULT_IN);
		EXPECT(page->exit.fault_in.address, addresses[i]);
	}
	machine_destroy(&machine);
}

static void test_dirty(int argument)
{
	uint64_t bitmap[LUV_DIRTY_PAGES_MAX / 64];
	_Alignas(64) struct luv_dirty_read read = {.count = 64, .bitmap = KERNEL_ADDRESS};

	(void)argument;
	machine_create(&machine, LUV_SLOT_LOG_DIRTY);
	EXPECT(luv_dirty_read(machine.vm, LUV_SLOTS_MAX, 0, 64, bitmap), LUV_ERR_INVAL);
	EXPECT(luv_dirty_read(machine.vm, 1, 0, 64, bitmap), LUV_ERR_NOENT);
	EXPECT(luv_dirty_read(machine.vm, 0, 1, 64, bitmap), LUV_ERR_INVAL);
	EXPECT(luv_dirty_read(machine.vm, 0, 0, 0, bitmap), LUV_ERR_INVAL);
	EXPECT(luv_dirty_read(machine.vm, 0, MEMORY / PAGE, 64, bitmap), LUV_ERR_INVAL);
	EXPECT(luv_dirty_read(machine.vm, 0, 0ull - 64, 128, bitmap), LUV_ERR_INVAL);
	EXPECT(call(LUV_CALL_DIRTY_READ, (unsigned long)machine.vm, (unsigned long)&read, 0),
	       LUV_ERR_FAULT);
	read.count = LUV_DIRTY_PAGES_MAX + 1;
	EXPECT(call(LUV_CALL_DIRTY_READ, (unsigned long)machine.vm, (unsigned long)&read, 0),
	       LUV_ERR_INVAL);
	EXPECT(set(0, 0, 0, MEMORY, (uintptr_t)machine.memory), 0);
	EXPECT(luv_dirty_read(machine.vm, 0, 0, 64, bitmap), LUV_ERR_NOENT);
	machine_destroy(&machine);
}

/* --- VMs and vCPUs ------------------------------------------------------------------------- */

static void test_vm_create(int argument)
{
	uint8_t *owner = pinned_pages(PAGE), *read_only = structure_page();
	int session = open_session(), vm;

	(void)argument;
	mprotect(read_only, PAGE, PROT_READ);
	EXPECT(create_vm(session, 1u << 31, owner), LUV_ERR_INVAL);
	EXPECT(create_vm(session, 0, owner + 8), LUV_ERR_INVAL);
	_Alignas(16) struct luv_vm_create bad = {.owner_page = (uintptr_t)read_only};
	EXPECT(call(LUV_CALL_VM_CREATE, (unsigned long)session, (unsigned long)&bad, 0),
	       LUV_ERR_FAULT);
	bad.owner_page = KERNEL_ADDRESS & ~4095ull;
	EXPECT(call(LUV_CALL_VM_CREATE, (unsigned long)session, (unsigned long)&bad, 0),
	       LUV_ERR_FAULT);
	vm = create_vm(session, 0, owner);
	CHECK(vm > 0, "a good one: %d", vm);
	EXPECT(luv_vm_destroy(vm), 0);
	EXPECT(luv_vm_destroy(vm), LUV_ERR_PERM);
}

static int create_vcpu(uint64_t index, uint64_t page, uint64_t fpu, uint64_t stop)
{
	_Alignas(32) struct luv_vcpu_create create = {index, page, fpu, stop};

	return call(LUV_CALL_VCPU_CREATE, (unsigned long)machine.vm, (unsigned long)&create, 0);
}

static void test_vcpu_create(int argument)
{
	const uint64_t page = (uintptr_t)pinned_pages(4 * PAGE), fpu = page + PAGE,
		       stop = fpu + PAGE;
	char *read_only = structure_page();

	(void)argument;
	machine_create(&machine, 0);
	mprotect(read_only, PAGE, PROT_READ);
	EXPECT(create_vcpu(0, page, fpu, stop), LUV_ERR_EXIST);
	EXPECT(create_vcpu(LUV_VCPUS_MAX, page, fpu, stop), LUV_ERR_INVAL);
	EXPECT(create_vcpu(1ull << 32, page, fpu, stop), LUV_ERR_INVAL);
	EXPECT(create_vcpu(1, page + 64, fpu, stop), LUV_ERR_INVAL);
	EXPECT(create_vcpu(1, page, fpu + 64, stop), LUV_ERR_INVAL);
	EXPECT(create_vcpu(1, (uintptr_t)read_only, fpu, stop), LUV_ERR_FAULT);
	EXPECT(create_vcpu(1, page, (uintptr_t)read_only, stop), LUV_ERR_FAULT);
	EXPECT(create_vcpu(1, KERNEL_ADDRESS & ~4095ull, fpu, stop), LUV_ERR_FAULT);
	EXPECT(create_vcpu(1, page, 0, stop), LUV_ERR_FAULT);
	EXPECT(create_vcpu(1, page, fpu, KERNEL_ADDRESS), LUV_ERR_FAULT);
	EXPECT(create_vcpu(1, page, fpu, NON_CANONICAL), LUV_ERR_FAULT);
	EXPECT(create_vcpu(1, page, fpu, stop + PAGE - 1), 0);
	EXPECT(call(LUV_CALL_VCPU_RUN, (unsigned long)machine.vm, LUV_VCPUS_MAX, 0),
	       LUV_ERR_NOENT);
	EXPECT(call(LUV_CALL_VCPU_RUN, (unsigned long)machine.vm, ~0ul, 0), LUV_ERR_NOENT);
	EXPECT(luv_vcpu_sync(machine.vm, 2), LUV_ERR_NOENT);
	EXPECT(luv_vcpu_cpuid(machine.vm, 2, NULL, 0), LUV_ERR_NOENT);
	machine_destroy(&machine);
}

/* --- nonsense for registers ---------------------------------------------------------------- */

/* Each changes one thing in a sound state; the CPU must not be asked to run it. */
static const struct nonsense {
	const char *what;
	size_t field;
	uint64_t value, group;
} nonsense[] = {
	{"CR0 with NW but not CD", offsetof(struct luv_vcpu_page, cr0), 0xa0000011,
	 LUV_GROUP_CONTROL},
	{"CR0 with PG but not PE", offsetof(struct luv_vcpu_page, cr0), 0x80000010,
	 LUV_GROUP_CONTROL},
	{"CR0 with high bits", offsetof(struct luv_vcpu_page, cr0), 0x180000011,
	 LUV_GROUP_CONTROL},
	{"CR4 with reserved bits", offsetof(struct luv_vcpu_page, cr4), 0x80000020,
	 LUV_GROUP_CONTROL},
	{"CR4 with VMXE", offsetof(struct luv_vcpu_page, cr4), 0x2020, LUV_GROUP_CONTROL},
	{"long mode without PAE", offsetof(struct luv_vcpu_page, cr4), 0, LUV_GROUP_CONTROL},
	{"EFER with reserved bits", offsetof(struct luv_vcpu_page, efer), 0x80000500,
	 LUV_GROUP_CONTROL},
	{"EFER with SVME", offsetof(struct luv_vcpu_page, efer), 0x1500, LUV_GROUP_CONTROL},
	{"CR3 with reserved bits", offsetof(struct luv_vcpu_page, cr3), 1ull << 60,
	 LUV_GROUP_CONTROL},
	{"XCR0 without x87", offsetof(struct luv_vcpu_page, xcr0), 2, LUV_GROUP_CONTROL},
	{"XCR0 with AVX but not SSE", offsetof(struct luv_vcpu_page, xcr0), 5, LUV_GROUP_CONTROL},
	{"XCR0 with all bits", offsetof(struct luv_vcpu_page, xcr0), ~0ull, LUV_GROUP_CONTROL},
	{"CS with L and D", offsetof(struct luv_vcpu_page, segment[LUV_CS].attributes), 0xe9b,
	 LUV_GROUP_SEGMENTS},
	{"a non-canonical FS base", offsetof(struct luv_vcpu_page, segment[LUV_FS].base),
	 NON_CANONICAL, LUV_GROUP_SEGMENTS},
	{"a non-canonical IDT", offsetof(struct luv_vcpu_page, idt_base), NON_CANONICAL,
	 LUV_GROUP_SEGMENTS},
	{"a non-canonical LSTAR", offsetof(struct luv_vcpu_page, msr[LUV_MSR_LSTAR]),
	 NON_CANONICAL, LUV_GROUP_MSRS},
	{"a PAT of reserved types", offsetof(struct luv_vcpu_page, msr[LUV_MSR_PAT]), 2,
	 LUV_GROUP_MSRS},
};

static void try_nonsense(const struct nonsense *n)
{
	struct luv_vcpu_page *page = machine.vcpu[0].page;
	int result;

	*(uint64_t *)((char *)page + n->field) = n->value;
	page->dirty |= n->group;
	for (unsigned tries = 0; tries < 2; tries++) {
		result = luv_vcpu_run(machine.vm, 0, page);
		CHECK(result == LUV_ERR_INVAL, "%s: %d, exit %" PRIu64, n->what, result,
		      page->exit.reason);
	}
}

/* After each, a sound state cures it. */
static void test_nonsense(int argument)
{
	struct luv_vcpu_page *page;

	(void)argument;
	machine_create(&machine, 0);
	machine_load(&machine, &io, LONG);
	page = machine.vcpu[0].page;
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		try_nonsense(&nonsense[i]);
		machine_start(&machine, 0, LONG);
		page->xcr0 = 1;
		page->msr[LUV_MSR_PAT] = 0x0007040600070406;
		page->msr[LUV_MSR_LSTAR] = 0;
		page->dirty |= LUV_GROUP_MSRS;
		machine_expect_out(&machine, 0x10, 1, 0x41);
	}
	machine_destroy(&machine);
}

/* Whatever lies in the FPU page, an XRSTOR of it must not fault in the hypervisor. */
static void test_fpu_nonsense(int argument)
{
	(void)argument;
	machine_create(&machine, 0);
	machine_load(&machine, &io, LONG);
	for (unsigned round = 0; round < 8; round++) {
		int result;

		for (unsigned i = 0; i < PAGE; i++)
			machine.vcpu[0].fpu[i] = round ? (uint8_t)rand() : 0xff;
		machine.vcpu[0].page->dirty |= LUV_GROUP_FPU;
		machine_start(&machine, 0, LONG);
		machine.vcpu[0].page->dirty |= LUV_GROUP_FPU;
		result = luv_vcpu_run(machine.vm, 0, machine.vcpu[0].page);
		CHECK(result == 0 || result == LUV_ERR_INVAL, "RUN: %d", result);
	}
	machine_destroy(&machine);
}

/* --- at the same time ---------------------------------------------------------------------- */

#define TRIES 100000u

static void *run_until_stopped(void *argument)
{
	int *result = argument;

	__atomic_store_n(result, luv_vcpu_run(machine.vm, 0, machine.vcpu[0].page), __ATOMIC_RELAXED);
	return NULL;
}

static int try_slot(void)
{
	return set(1, 0, MORE, PAGE, (uintptr_t)machine.owner);
}

static int try_dirty(void)
{
	uint64_t bitmap;

	return luv_dirty_read(machine.vm, 0, 0, 64, &bitmap);
}

static int try_sync(void)
{
	return luv_vcpu_sync(machine.vm, 0);
}

static int try_cpuid(void)
{
	return luv_vcpu_cpuid(machine.vm, 0, NULL, 0);
}

/* While dom0 has an interrupt, or runs somebody else, nobody is in RUN: then the call succeeds. */
static void expect_busy(int (*action)(void), const char *what)
{
	int result = 0;

	for (unsigned i = 0; i < TRIES && result == 0; i++)
		result = action();
	CHECK(result == LUV_ERR_BUSY, "%s: %d", what, result);
}

static void test_concurrent(int argument)
{
	int result[2] = {1, 1};
	pthread_t thread[2];

	(void)argument;
	/* On one CPU a caller only runs while the other is not in RUN. */
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip("one CPU");
	machine_create(&machine, LUV_SLOT_LOG_DIRTY);
	machine_load(&machine, &spin, LONG);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, run_until_stopped, &result[i]);
	expect_busy(try_sync, "sync");
	expect_busy(try_cpuid, "CPUID");
	expect_busy(try_slot, "a slot");
	expect_busy(try_dirty, "the dirty log");
	/* One finds the other there; it may have begun much later. */
	while (__atomic_load_n(&result[0], __ATOMIC_RELAXED) == 1 && __atomic_load_n(&result[1], __ATOMIC_RELAXED) == 1)
		usleep(1000);
	*machine.vcpu[0].stop = 1;
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT(result[0] + result[1], LUV_ERR_INTR + LUV_ERR_BUSY);
	machine_destroy(&machine);
}

/* Other calls hold the vCPU for a moment: RUN, begun anew in just that moment, waits for them. */
static void test_sync_beside_run(int argument)
{
	unsigned synced = 0;
	pthread_t thread;
	int result = 1;

	(void)argument;
	machine_create(&machine, 0);
	machine_load(&machine, &spin, LONG);
	pthread_create(&thread, NULL, run_until_stopped, &result);
	for (unsigned i = 0; i < TRIES / 4; i++) {
		int sync = luv_vcpu_sync(machine.vm, 0);

		CHECK(sync == 0 || sync == LUV_ERR_BUSY, "sync: %d", sync);
		synced += sync == 0;
	}
	*machine.vcpu[0].stop = 1;
	pthread_join(thread, NULL);
	EXPECT(result, LUV_ERR_INTR);
	CHECK(synced, "no call came between");
	machine_destroy(&machine);
}

/* VMs come and go in four threads; the table and the pool stay whole. */
static void *create_many(void *argument)
{
	uint8_t *owner = pinned_pages(PAGE);
	const int session = *(int *)argument;

	for (unsigned i = 0; i < 50; i++) {
		int vm = create_vm(session, 0, owner);

		CHECK(vm > 0, "VM %u: %d", i, vm);
		EXPECT(luv_vm_destroy(vm), 0);
	}
	return NULL;
}

static void test_many_vms(int argument)
{
	int session = open_session(), before = luv_query(LUV_QUERY_POOL_FREE);
	pthread_t thread[4];

	(void)argument;
	for (unsigned i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, create_many, &session);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	EXPECT(luv_query(LUV_QUERY_POOL_FREE), before);
}

/* The pool's end is an error, and everything comes back. */
static void test_exhaustion(int argument)
{
	static int vm[LUV_VMS_MAX + 1];
	uint8_t *owners = pinned_pages((LUV_VMS_MAX + 1) * PAGE);
	int session = open_session(), before = luv_query(LUV_QUERY_POOL_FREE);
	unsigned count = 0;

	(void)argument;
	while (count <= LUV_VMS_MAX &&
	       (vm[count] = create_vm(session, 0, owners + count * PAGE)) > 0)
		count++;
	CHECK(count >= 16 && count <= LUV_VMS_MAX, "%u VMs", count);
	EXPECT(vm[count], LUV_ERR_NOMEM);
	for (unsigned i = 0; i < count; i++)
		EXPECT(luv_vm_destroy(vm[i]), 0);
	/* More, when dead owners' VMs made room. */
	CHECK(luv_query(LUV_QUERY_POOL_FREE) >= before, "pages are missing");
}

const struct test misuse_tests[] = {
	{.name = "calls without a key", .run = test_no_key},
	{.name = "calls with wrong handles", .run = test_wrong_handles},
	{.name = "calls of a forked child", .run = test_forked},
	{.name = "bad pointers", .run = test_pointers},
	{.name = "a read-only structure", .run = test_read_only},
	{.name = "bad slots", .run = test_slots},
	{.name = "slots over memory that is not the client's", .run = test_foreign_memory},
	{.name = "bad dirty log requests", .run = test_dirty},
	{.name = "bad VMs", .run = test_vm_create},
	{.name = "bad vCPUs", .run = test_vcpu_create},
	{.name = "nonsense in the registers", .run = test_nonsense},
	{.name = "nonsense in the FPU page", .run = test_fpu_nonsense},
	{.name = "calls while a vCPU runs", .run = test_concurrent},
	{.name = "calls between a RUN's restarts", .run = test_sync_beside_run},
	{.name = "VMs in four threads", .run = test_many_vms},
	{.name = "more VMs than there is memory for", .run = test_exhaustion},
	{0},
};
