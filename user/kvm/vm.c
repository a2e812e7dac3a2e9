/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/clock.h"
#include "kvm/coalesced.h"
#include "kvm/eventfd.h"
#include "kvm/fds.h"
#include "kvm/futex.h"
#include "kvm/irqchip.h"
#include "kvm/memory.h"
#include "kvm/real.h"
#include "kvm/system.h"
#include "kvm/vcpu.h"

/* --- life -------------------------------------------------------------------------------- */

static int make_ring(struct vm *vm)
{
	void *page;

	vm->ring_descriptor = fds_keep(memfd_create("kvm-coalesced", MFD_CLOEXEC));
	if (vm->ring_descriptor < 0)
		return -errno;
	if (real()->ftruncate(vm->ring_descriptor, LUV_PAGE_SIZE) < 0)
		return -errno;
	page = real()->mmap(NULL, LUV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			    vm->ring_descriptor, 0);
	if (page == MAP_FAILED)
		return -errno;
	vm->ring = page;
	return 0;
}

/* Whatever there is of it. The order: who may still call whom. */
static void vm_destroy(struct vm *vm)
{
	int handle = __atomic_load_n(&vm->handle, __ATOMIC_RELAXED);

	if (vm->eventfds)
		eventfds_destroy(vm);
	for (unsigned i = 0; i < LUV_VCPUS_MAX; i++)
		if (vm->vcpu[i])
			timer_forget(vm->vcpu[i]);
	irqchip_destroy(vm);
	if (handle >= 0)
		(void)luv_vm_destroy(handle);
	for (unsigned i = 0; i < LUV_VCPUS_MAX; i++)
		if (vm->vcpu[i])
			vcpu_destroy(vm->vcpu[i]);
	if (vm->memory)
		memory_destroy(vm);
	if (vm->clock)
		clock_destroy(vm);
	if (vm->coalesced)
		coalesced_destroy(vm);
	if (vm->ring)
		real()->munmap(vm->ring, LUV_PAGE_SIZE);
	if (vm->ring_descriptor >= 0)
		fds_close(vm->ring_descriptor);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

int vm_create(struct vm **made)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int result = barrier_prepare();

	if (!vm)
		return -ENOMEM;
	vm->handle = vm->ring_descriptor = -1;
	vm->references = 1;
	vm->stops = 1;
	vm->vcpu_limit = LUV_VCPUS_MAX;
	vm->tsc_khz = system_tsc_khz();
	pthread_mutex_init(&vm->lock, NULL);
	if (result < 0)
		system_complain("no virtual machine without membarrier", strerror(-result));
	if (result == 0)
		result = make_ring(vm);
	if (result == 0)
		result = memory_create(vm);
	if (result == 0)
		result = coalesced_create(vm, vm->ring);
	if (result == 0)
		result = eventfds_create(vm);
	if (result == 0)
		result = clock_create(vm);
	if (result == 0)
		*made = vm;
	else
		vm_destroy(vm);
	return result;
}

void vm_put(struct vm *vm)
{
	if (__atomic_sub_fetch(&vm->references, 1, __ATOMIC_ACQ_REL) == 0)
		vm_destroy(vm);
}

int vm_realize(struct vm *vm)
{
	const char *why = "";
	struct luv_vm_create create = {
	    .flags = vm->mode == IRQCHIP_NONE ? 0 : LUV_VM_LAPIC,
	    .tsc_khz = vm->tsc_khz,
	};
	int session, handle;

	if (vm->handle >= 0)
		return 0;
	create.owner_page = system_owner_page(&why);
	if (!create.owner_page) {
		system_complain("no virtual machine", why);
		return -ENOMEM;
	}
	session = system_session();
	if (session < 0)
		return session;
	handle = luv_vm_create(session, &create);
	if (handle < 0) {
		system_complain("the hypervisor refuses a virtual machine",
				luv_strerror(handle));
		return system_errno(handle);
	}
	__atomic_store_n(&vm->handle, handle, __ATOMIC_RELEASE);
	return memory_attach(vm);
}

/* --- vCPUs ------------------------------------------------------------------------------- */

struct vcpu *vm_vcpu(struct vm *vm, unsigned index)
{
	return index < LUV_VCPUS_MAX ? __atomic_load_n(&vm->vcpu[index], __ATOMIC_ACQUIRE)
				     : NULL;
}

static void wait_outside(struct vcpu *vcpu)
{
	while (__atomic_load_n(&vcpu->in_run, __ATOMIC_SEQ_CST))
		futex_wait(&vcpu->in_run, 1);
}

void vm_stop(struct vm *vm)
{
	bool any = false;

	/* In this order: who sees the new `stops` sees `stopped` (in_no_slot). */
	__atomic_fetch_add(&vm->stopped, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&vm->stops, 1, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < LUV_VCPUS_MAX; i++) {
		struct vcpu *vcpu = vm_vcpu(vm, i);

		if (!vcpu)
			continue;
		__atomic_fetch_or(&vcpu->page->signal, SIGNAL_STOP, __ATOMIC_SEQ_CST);
		any = true;
	}
	if (!any)
		return;
	/* Behind it each thread's in_run is seen, or the thread sees `stopped` (enter_gate). */
	barrier_everywhere();
	for (unsigned i = 0; i < LUV_VCPUS_MAX; i++)
		if (vm_vcpu(vm, i))
			wait_outside(vm_vcpu(vm, i));
}

void vm_resume(struct vm *vm)
{
	if (__atomic_sub_fetch(&vm->stopped, 1, __ATOMIC_SEQ_CST) == 0)
		futex_wake(&vm->stopped);
}

/* --- messages ---------------------------------------------------------------------------- */

/* True: the vCPU's CPU must be interrupted. */
static bool wake(struct vcpu *vcpu)
{
	__atomic_fetch_add(&vcpu->wake, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&vcpu->sleeping, __ATOMIC_SEQ_CST))
		futex_wake(&vcpu->wake);
	return __atomic_load_n(&vcpu->in_run, __ATOMIC_SEQ_CST);
}

void vcpu_nudge(struct vcpu *vcpu)
{
	if (wake(vcpu))
		barrier_everywhere();
}

void vcpu_kick(struct vcpu *vcpu)
{
	__atomic_fetch_or(&vcpu->page->signal, SIGNAL_KICK, __ATOMIC_SEQ_CST);
	vcpu_nudge(vcpu);
}

void vm_nudge(struct vm *vm, uint64_t vcpus)
{
	bool interrupt = false;

	for (; vcpus; vcpus &= vcpus - 1) {
		struct vcpu *vcpu = vm_vcpu(vm, (unsigned)__builtin_ctzll(vcpus));

		if (vcpu && wake(vcpu))
			interrupt = true;
	}
	if (interrupt)
		barrier_everywhere();
}

int vm_send(struct vm *vm, struct luv_interrupt *message)
{
	int handle = __atomic_load_n(&vm->handle, __ATOMIC_ACQUIRE);
	int result = handle < 0 ? 0 : luv_interrupt(handle, message);

	if (result < 0 || handle < 0)
		return result;
	vm_nudge(vm, message->kick);
	return result;
}

uint64_t vcpu_tsc(struct vcpu *vcpu)
{
	return __builtin_ia32_rdtsc() + vcpu_tsc_offset(vcpu);
}
