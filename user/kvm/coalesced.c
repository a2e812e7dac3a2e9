/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/coalesced.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/vm.h"

#define ZONES_MAX 1000u /* KVM's NR_IOBUS_DEVS */
#define RING_SIZE 4096u
/* KVM_COALESCED_MMIO_MAX, without the system's PAGE_SIZE. */
#define ENTRIES                                                 \
	((RING_SIZE - sizeof(struct kvm_coalesced_mmio_ring)) / \
	 sizeof(struct kvm_coalesced_mmio))

_Static_assert(sizeof(struct kvm_coalesced_mmio) == 24, "struct kvm_coalesced_mmio");

struct coalesced {
	/* Guards all of it, and vm->zones; vCPUs write to the ring under it. */
	pthread_mutex_t lock;
	struct kvm_coalesced_mmio_ring *ring; /* shared with the client, which owns `first` */
	struct kvm_coalesced_mmio_zone zone[ZONES_MAX];
};

static bool holds(const struct kvm_coalesced_mmio_zone *zone, uint64_t address, uint64_t size)
{
	return address >= zone->addr && size <= zone->size &&
	       address - zone->addr <= zone->size - size;
}

int coalesced_register(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct coalesced *c = vm->coalesced;
	int result = -ENOSPC;

	if (zone->pio > 1)
		return -EINVAL;
	pthread_mutex_lock(&c->lock);
	if (vm->zones < ZONES_MAX) {
		c->zone[vm->zones] = *zone;
		__atomic_store_n(&vm->zones, vm->zones + 1, __ATOMIC_RELEASE);
		result = 0;
	}
	pthread_mutex_unlock(&c->lock);
	return result;
}

int coalesced_unregister(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct coalesced *c = vm->coalesced;
	unsigned kept = 0;

	if (zone->pio > 1)
		return -EINVAL;
	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < vm->zones; i++)
		if (c->zone[i].pio != zone->pio || !holds(&c->zone[i], zone->addr, zone->size))
			c->zone[kept++] = c->zone[i];
	__atomic_store_n(&vm->zones, kept, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

static bool in_a_zone(const struct vm *vm, bool pio, uint64_t address, unsigned size)
{
	const struct coalesced *c = vm->coalesced;

	for (unsigned i = 0; i < vm->zones; i++)
		if (c->zone[i].pio == pio && holds(&c->zone[i], address, size))
			return true;
	return false;
}

/* Both indices are in memory that the client writes to: read once, checked. */
static bool append(struct kvm_coalesced_mmio_ring *ring, const struct kvm_coalesced_mmio *entry)
{
	uint32_t last = __atomic_load_n(&ring->last, __ATOMIC_RELAXED), next;

	if (last >= ENTRIES)
		return false;
	next = (last + 1) % ENTRIES;
	if (next == __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE))
		return false;
	ring->coalesced_mmio[last] = *entry;
	__atomic_store_n(&ring->last, next, __ATOMIC_RELEASE);
	return true;
}

bool coalesced_write(struct vm *vm, bool pio, uint64_t address, unsigned size, uint64_t value)
{
	struct coalesced *c = vm->coalesced;
	struct kvm_coalesced_mmio entry;
	bool taken;

	if (!__atomic_load_n(&vm->zones, __ATOMIC_ACQUIRE) || size > sizeof(entry.data))
		return false;
	entry = (struct kvm_coalesced_mmio){.phys_addr = address, .len = size, .pio = pio};
	memcpy(entry.data, &value, size);
	pthread_mutex_lock(&c->lock);
	taken = in_a_zone(vm, pio, address, size) && append(c->ring, &entry);
	pthread_mutex_unlock(&c->lock);
	return taken;
}

int coalesced_create(struct vm *vm, struct kvm_coalesced_mmio_ring *ring)
{
	struct coalesced *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	c->ring = ring;
	vm->coalesced = c;
	return 0;
}

void coalesced_destroy(struct vm *vm)
{
	if (!vm->coalesced)
		return;
	pthread_mutex_destroy(&vm->coalesced->lock);
	free(vm->coalesced);
	vm->coalesced = NULL;
}
