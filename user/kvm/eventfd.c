/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kvm/irqchip.h"
#include "kvm/fds.h"
#include "kvm/real.h"
#include "kvm/timer.h"
#include "kvm/vm.h"

#define IOEVENTFDS_MAX 4096u /* of one bus */

struct irqfd {
	struct watch watch; /* its fd is a duplicate */
	struct vm *vm;
	uint32_t gsi;
	int64_t id;
	int resample; /* a duplicate, or -1 */
	struct irqfd *next;
};

struct ioeventfd {
	uint64_t address;
	uint64_t datamatch;
	uint32_t length; /* 0: any */
	bool matches;	 /* datamatch counts */
	int fd;		 /* a duplicate */
	int64_t id;
};

/* Sorted by address. */
struct bus {
	struct ioeventfd *at;
	unsigned count; /* a, too: 0 is looked for without the lock */
	unsigned space;
};

enum { BUS_MMIO, BUS_PIO, BUSES };

/*
 * irqfd_lock is held while the irqchip's is taken, not the other way round; nobody waits for
 * the library's thread with it. bus_lock is innermost.
 */
struct eventfds {
	pthread_mutex_t irqfd_lock;
	struct irqfd *irqfd;
	pthread_rwlock_t bus_lock;
	struct bus bus[BUSES];
};

/* --- which eventfd ---------------------------------------------------------------------------
 */

/*
 * The kernel's number of the eventfd (Linux 5.2). Where /proc does not say, the descriptor
 * stands for it. -EBADF, or -EINVAL: no eventfd.
 */
static int64_t eventfd_id(int fd)
{
	char path[40], text[512], *line;
	ssize_t size;
	int info;

	if (real()->fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = real()->open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return fd;
	size = read(info, text, sizeof(text) - 1);
	fds_close(info);
	text[size > 0 ? size : 0] = '\0';
	if (!strstr(text, "eventfd-count:"))
		return -EINVAL;
	line = strstr(text, "eventfd-id:");
	return line ? strtol(line + strlen("eventfd-id:"), NULL, 10) : fd;
}

static int duplicate(int fd)
{
	int copy = real()->fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : fds_keep(copy);
}

static void signal_eventfd(int fd)
{
	const uint64_t one = 1;
	long result = SYS_write;

	/* Only a counter that is full refuses, and that is a signal, too. It is no point where
	 * a thread is cancelled. */
	__asm__ volatile("syscall"
			 : "+a"(result)
			 : "D"(fd), "S"(&one), "d"(sizeof(one))
			 : "rcx", "r11", "memory");
}

/* Empties the counter. It never waits: somebody else may have been faster. */
static bool take_eventfd(int fd)
{
	uint64_t count;
	struct iovec to = {&count, sizeof(count)};

	return preadv2(fd, &to, 1, -1, RWF_NOWAIT) == sizeof(count);
}

/* --- irqfd -----------------------------------------------------------------------------------
 */

/* In the library's thread. */
static void irqfd_readable(struct watch *watch)
{
	struct irqfd *irqfd = (struct irqfd *)((char *)watch - offsetof(struct irqfd, watch));

	if (take_eventfd(watch->fd))
		irqchip_irqfd_signal(irqfd->vm, irqfd->gsi, irqfd->resample >= 0);
}

static void free_irqfd(struct irqfd *irqfd)
{
	if (irqfd->watch.fd >= 0)
		fds_close(irqfd->watch.fd);
	if (irqfd->resample >= 0)
		fds_close(irqfd->resample);
	free(irqfd);
}

static int open_irqfd(struct irqfd *irqfd, const struct kvm_irqfd *request)
{
	bool resamples = request->flags & KVM_IRQFD_FLAG_RESAMPLE;
	int64_t id;

	irqfd->watch.fd = irqfd->resample = -1;
	irqfd->watch.readable = irqfd_readable;
	irqfd->gsi = request->gsi;
	irqfd->id = eventfd_id((int)request->fd);
	if (irqfd->id < 0)
		return (int)irqfd->id;
	irqfd->watch.fd = duplicate((int)request->fd);
	if (irqfd->watch.fd < 0 || !resamples)
		return irqfd->watch.fd < 0 ? irqfd->watch.fd : 0;
	id = eventfd_id((int)request->resamplefd);
	if (id < 0)
		return (int)id;
	irqfd->resample = duplicate((int)request->resamplefd);
	return irqfd->resample < 0 ? irqfd->resample : 0;
}

/* Under irqfd_lock. */
static bool has_eventfd(const struct eventfds *e, int64_t id)
{
	for (const struct irqfd *irqfd = e->irqfd; irqfd; irqfd = irqfd->next)
		if (irqfd->id == id)
			return true;
	return false;
}

static bool resamples(const struct eventfds *e, uint32_t gsi)
{
	for (const struct irqfd *irqfd = e->irqfd; irqfd; irqfd = irqfd->next)
		if (irqfd->gsi == gsi && irqfd->resample >= 0)
			return true;
	return false;
}

static int link_irqfd(struct vm *vm, struct irqfd *irqfd)
{
	struct eventfds *e = vm->eventfds;
	int result = -EBUSY;

	pthread_mutex_lock(&e->irqfd_lock);
	if (!has_eventfd(e, irqfd->id)) {
		result = watch_add(&irqfd->watch);
		if (result == 0) {
			irqfd->next = e->irqfd;
			e->irqfd = irqfd;
			if (irqfd->resample >= 0)
				irqchip_irqfd_resamples(vm, irqfd->gsi, true);
		}
	}
	pthread_mutex_unlock(&e->irqfd_lock);
	return result;
}

static int assign_irqfd(struct vm *vm, const struct kvm_irqfd *request)
{
	struct irqfd *irqfd = calloc(1, sizeof(*irqfd));
	int result;

	if (!irqfd)
		return -ENOMEM;
	irqfd->vm = vm;
	result = open_irqfd(irqfd, request);
	if (result == 0)
		result = link_irqfd(vm, irqfd);
	if (result < 0)
		free_irqfd(irqfd);
	return result;
}

/* Takes the first that fits (id < 0: any) out of the list. */
static struct irqfd *unlink_irqfd(struct vm *vm, int64_t id, uint32_t gsi)
{
	struct eventfds *e = vm->eventfds;
	struct irqfd **at, *found;

	pthread_mutex_lock(&e->irqfd_lock);
	for (at = &e->irqfd; *at; at = &(*at)->next)
		if (id < 0 || ((*at)->id == id && (*at)->gsi == gsi))
			break;
	found = *at;
	if (found) {
		*at = found->next;
		if (found->resample >= 0 && !resamples(e, found->gsi))
			irqchip_irqfd_resamples(vm, found->gsi, false);
	}
	pthread_mutex_unlock(&e->irqfd_lock);
	return found;
}

/* Its callback may want irqfd_lock, which is free when this waits for it. */
static bool remove_irqfd(struct vm *vm, int64_t id, uint32_t gsi)
{
	struct irqfd *irqfd = unlink_irqfd(vm, id, gsi);

	if (!irqfd)
		return false;
	watch_remove(&irqfd->watch);
	free_irqfd(irqfd);
	return true;
}

int irqfd_ioctl(struct vm *vm, const struct kvm_irqfd *request)
{
	enum irqchip_mode mode = irqchip_mode(vm);
	int64_t id;

	if (request->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (request->flags & KVM_IRQFD_FLAG_DEASSIGN) {
		id = eventfd_id((int)request->fd);
		if (id < 0)
			return (int)id;
		while (remove_irqfd(vm, id, request->gsi))
			continue;
		return 0;
	}
	if (mode == IRQCHIP_NONE ||
	    (mode != IRQCHIP_FULL && request->flags & KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	return assign_irqfd(vm, request);
}

void irqfd_completed(struct vm *vm, uint32_t gsi)
{
	struct eventfds *e = vm->eventfds;

	pthread_mutex_lock(&e->irqfd_lock);
	for (const struct irqfd *irqfd = e->irqfd; irqfd; irqfd = irqfd->next)
		if (irqfd->gsi == gsi && irqfd->resample >= 0)
			signal_eventfd(irqfd->resample);
	pthread_mutex_unlock(&e->irqfd_lock);
}

/* --- ioeventfd -------------------------------------------------------------------------------
 */

/* The first at this address or behind it. */
static unsigned lower_bound(const struct bus *bus, uint64_t address)
{
	unsigned low = 0, high = bus->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (bus->at[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Would a write find both? */
static bool collides(const struct ioeventfd *a, const struct ioeventfd *b)
{
	if (!a->length || !b->length)
		return true;
	return a->length == b->length &&
	       (!a->matches || !b->matches || a->datamatch == b->datamatch);
}

static bool has_room(struct bus *bus)
{
	unsigned space = bus->space ? 2 * bus->space : 16;
	struct ioeventfd *at;

	if (bus->count < bus->space)
		return true;
	at = realloc(bus->at, space * sizeof(*at));
	if (!at)
		return false;
	bus->at = at;
	bus->space = space;
	return true;
}

/* Under bus_lock, for writing. */
static int add_ioeventfd(struct bus *bus, const struct ioeventfd *new)
{
	unsigned place = lower_bound(bus, new->address);

	for (unsigned i = place; i < bus->count && bus->at[i].address == new->address; i++)
		if (collides(&bus->at[i], new))
			return -EEXIST;
	if (bus->count == IOEVENTFDS_MAX)
		return -ENOSPC;
	if (!has_room(bus))
		return -ENOMEM;
	memmove(&bus->at[place + 1], &bus->at[place], (bus->count - place) * sizeof(*new));
	bus->at[place] = *new;
	__atomic_store_n(&bus->count, bus->count + 1, __ATOMIC_RELEASE);
	return 0;
}

static int remove_ioeventfd(struct bus *bus, const struct ioeventfd *old)
{
	for (unsigned i = lower_bound(bus, old->address);
	     i < bus->count && bus->at[i].address == old->address; i++) {
		const struct ioeventfd *e = &bus->at[i];

		if (e->id != old->id || e->length != old->length ||
		    e->matches != old->matches ||
		    (e->matches && e->datamatch != old->datamatch))
			continue;
		fds_close(e->fd);
		memmove(&bus->at[i], &bus->at[i + 1], (bus->count - i - 1) * sizeof(*e));
		__atomic_store_n(&bus->count, bus->count - 1, __ATOMIC_RELEASE);
		return 0;
	}
	return -ENOENT;
}

static int check_ioeventfd(const struct kvm_ioeventfd *request)
{
	const uint32_t known =
	    KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN;
	const uint32_t lengths = 1u << 0 | 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8;

	if (request->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		return 0;
	if (request->len > 8 || !(lengths >> request->len & 1) ||
	    request->addr + request->len < request->addr || request->flags & ~known ||
	    (!request->len && request->flags & KVM_IOEVENTFD_FLAG_DATAMATCH))
		return -EINVAL;
	return 0;
}

int ioeventfd_ioctl(struct vm *vm, const struct kvm_ioeventfd *request)
{
	struct eventfds *e = vm->eventfds;
	struct bus *bus = &e->bus[request->flags & KVM_IOEVENTFD_FLAG_PIO ? BUS_PIO : BUS_MMIO];
	bool remove = request->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	struct ioeventfd named = {
	    .address = request->addr,
	    .datamatch = request->datamatch,
	    .length = request->len,
	    .matches = request->flags & KVM_IOEVENTFD_FLAG_DATAMATCH,
	    .fd = -1,
	};
	int result = check_ioeventfd(request);

	if (result < 0)
		return result;
	named.id = eventfd_id(request->fd);
	if (named.id < 0)
		return (int)named.id;
	if (!remove) {
		named.fd = duplicate(request->fd);
		if (named.fd < 0)
			return named.fd;
	}
	pthread_rwlock_wrlock(&e->bus_lock);
	result = remove ? remove_ioeventfd(bus, &named) : add_ioeventfd(bus, &named);
	pthread_rwlock_unlock(&e->bus_lock);
	if (result < 0 && !remove)
		fds_close(named.fd);
	return result;
}

static bool find_and_signal(struct eventfds *e, struct bus *bus, uint64_t address,
			    unsigned size, uint64_t value)
{
	bool found = false;

	if (!__atomic_load_n(&bus->count, __ATOMIC_ACQUIRE))
		return false;
	if (size < 8)
		value &= (1ull << size * 8) - 1;
	pthread_rwlock_rdlock(&e->bus_lock);
	for (unsigned i = lower_bound(bus, address);
	     !found && i < bus->count && bus->at[i].address == address; i++) {
		const struct ioeventfd *at = &bus->at[i];

		found = !at->length ||
			(at->length == size && (!at->matches || at->datamatch == value));
		if (found)
			signal_eventfd(at->fd);
	}
	pthread_rwlock_unlock(&e->bus_lock);
	return found;
}

bool ioeventfd_pio(struct vm *vm, uint16_t port, unsigned size, uint32_t value)
{
	return find_and_signal(vm->eventfds, &vm->eventfds->bus[BUS_PIO], port, size, value);
}

bool ioeventfd_mmio(struct vm *vm, uint64_t gpa, unsigned size, uint64_t value)
{
	return find_and_signal(vm->eventfds, &vm->eventfds->bus[BUS_MMIO], gpa, size, value);
}

/* --- life ------------------------------------------------------------------------------------
 */

int eventfds_create(struct vm *vm)
{
	struct eventfds *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	pthread_mutex_init(&e->irqfd_lock, NULL);
	pthread_rwlock_init(&e->bus_lock, NULL);
	vm->eventfds = e;
	return 0;
}

void eventfds_destroy(struct vm *vm)
{
	struct eventfds *e = vm->eventfds;

	if (!e)
		return;
	while (remove_irqfd(vm, -1, 0))
		continue;
	for (unsigned i = 0; i < BUSES; i++) {
		for (unsigned j = 0; j < e->bus[i].count; j++)
			fds_close(e->bus[i].at[j].fd);
		free(e->bus[i].at);
	}
	pthread_mutex_destroy(&e->irqfd_lock);
	pthread_rwlock_destroy(&e->bus_lock);
	free(e);
	vm->eventfds = NULL;
}
