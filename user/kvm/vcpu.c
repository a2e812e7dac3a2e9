/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/vcpu.h"

#include <errno.h>
#include <stdlib.h>

#include "kvm/fds.h"
#include "kvm/msr.h"
#include "kvm/real.h"
#include "kvm/state.h"
#include "kvm/system.h"
#include "kvm/user.h"
#include "kvm/vcpu_map.h"
#include "kvm/vm.h"
#include "lib/pin.h"

#define PAGE_SIZE LUV_PAGE_SIZE
#define RUN_SIZE  (VCPU_RUN_PAGES * PAGE_SIZE)
#define OWN_SIZE  (2 * PAGE_SIZE) /* struct luv_vcpu_page and the FPU page */

/* --- the pages --------------------------------------------------------------------------- */

static void *map_pinned(int descriptor, size_t size)
{
	int flags = descriptor < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *at = real()->mmap(NULL, size, PROT_READ | PROT_WRITE, flags, descriptor, 0);
	const char *why = "";

	if (at == MAP_FAILED)
		return NULL;
	if (luv_pin(at, size, &why) == 0)
		return at;
	system_complain("no virtual CPU", why);
	real()->munmap(at, size);
	return NULL;
}

static void unmap_pinned(void *at, size_t size)
{
	if (!at)
		return;
	(void)luv_unpin(at, size);
	real()->munmap(at, size);
}

static int make_pages(struct vcpu *vcpu)
{
	vcpu->run_descriptor = memfd_create("kvm-vcpu", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (vcpu->run_descriptor < 0)
		return -errno;
	if (real()->ftruncate(vcpu->run_descriptor, RUN_SIZE) < 0)
		return -errno;
	(void)real()->fcntl(vcpu->run_descriptor, F_ADD_SEALS,
			    F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	vcpu->run = map_pinned(vcpu->run_descriptor, RUN_SIZE);
	vcpu->page = map_pinned(-1, OWN_SIZE);
	if (!vcpu->run || !vcpu->page)
		return -ENOMEM;
	vcpu->fpu = (uint8_t *)vcpu->page + PAGE_SIZE;
	return 0;
}

void *vcpu_map(void *address, size_t size, int rights, int flags, int descriptor, off_t offset)
{
	struct object *object = fds_get(descriptor);
	struct vcpu *vcpu = object && object->kind == OBJECT_VCPU ? object->self : NULL;
	void *at = MAP_FAILED;
	size_t ring = RUN_SIZE - (size_t)offset;

	if (!vcpu)
		errno = ENODEV;
	else if (offset < 0 || (size_t)offset > RUN_SIZE || offset % PAGE_SIZE)
		errno = EINVAL;
	else
		at = real()->mmap(address, size, rights, flags, descriptor, offset);
	if (at != MAP_FAILED && size > ring &&
	    real()->mmap((uint8_t *)at + ring, PAGE_SIZE, rights,
			 (flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED, vcpu->vm->ring_descriptor,
			 0) == MAP_FAILED) {
		int error = errno;

		real()->munmap(at, size);
		errno = error;
		at = MAP_FAILED;
	}
	if (object)
		object_put(object);
	return at;
}

/* --- life -------------------------------------------------------------------------------- */

void vcpu_destroy(struct vcpu *vcpu)
{
	unmap_pinned(vcpu->page, OWN_SIZE);
	unmap_pinned(vcpu->run, RUN_SIZE);
	msr_destroy(vcpu);
	free(vcpu->emulate);
	free(vcpu->cpuid);
	free(vcpu);
}

static void descriptor_end(void *self)
{
	struct vcpu *vcpu = self;

	vm_put(vcpu->vm);
}

static int prepare(struct vcpu *vcpu)
{
	struct luv_vcpu_create create;
	int result = make_pages(vcpu);

	if (result == 0)
		result = msr_create(vcpu);
	vcpu->emulate = calloc(1, sizeof(*vcpu->emulate));
	if (result < 0 || !vcpu->emulate)
		return result < 0 ? result : -ENOMEM;
	create = (struct luv_vcpu_create){
	    .index = vcpu->index,
	    .page = (uintptr_t)vcpu->page,
	    .fpu_page = (uintptr_t)vcpu->fpu,
	    .stop = (uintptr_t)&vcpu->run->immediate_exit,
	};
	return system_errno(luv_vcpu_create(vcpu->vm->handle, &create));
}

/* The descriptor is the client's from here on; the memory behind `run` lives with it. */
static int publish(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	int descriptor;

	state_reset(vcpu);
	__atomic_store_n(&vm->vcpu[vcpu->index], vcpu, __ATOMIC_RELEASE);
	__atomic_fetch_add(&vm->references, 1, __ATOMIC_RELAXED);
	descriptor = fds_create(OBJECT_VCPU, NULL, vcpu->run_descriptor, vcpu, descriptor_end);
	if (descriptor < 0) {
		__atomic_fetch_sub(&vm->references, 1, __ATOMIC_RELAXED);
		real()->close(vcpu->run_descriptor);
	}
	return descriptor;
}

/* A vCPU that the hypervisor has stays, also when its descriptor could not be made. */
static int create_locked(struct vm *vm, unsigned index)
{
	struct vcpu *vcpu;
	int result;

	if (vm_vcpu(vm, index))
		return -EEXIST;
	result = vm_realize(vm);
	if (result < 0)
		return result;
	vcpu = calloc(1, sizeof(*vcpu));
	if (!vcpu)
		return -ENOMEM;
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->handle = vm->handle;
	vcpu->run_descriptor = -1;
	result = prepare(vcpu);
	if (result == 0)
		return publish(vcpu);
	if (vcpu->run_descriptor >= 0)
		real()->close(vcpu->run_descriptor);
	vcpu_destroy(vcpu);
	return result;
}

int vcpu_create(struct vm *vm, unsigned index)
{
	int result;

	user_know_stack();
	pthread_mutex_lock(&vm->lock);
	result = index < vm->vcpu_limit ? create_locked(vm, index) : -EINVAL;
	pthread_mutex_unlock(&vm->lock);
	return result;
}
