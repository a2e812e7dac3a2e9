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

/* Sorted by address. It never changes once others see it: a change makes another. */
struct ioeventfds {
	unsigned count;
	struct ioeventfd at[];
};

/*
 * irqfd_lock is held while the irqchip's is taken, not the other way round; nobody waits for
 * the library's thread with it. bus_lock is innermost.
 *
 * A bus is read by two kinds of readers. Those within RUN (exit_is_event) take no lock: they
 * have in_run set from before they load the pointer until after the last write to a descriptor
 * of that table. The others hold bus_lock. So whoever has put another table there holds
 * bus_lock meanwhile, and then lets vm_stop wait until each vCPU was outside of RUN once:
 * behind both nobody has the old table, and only then are the descriptor that it alone names
 * closed, and its memory freed. Without the wait a vCPU might write to a number that is another
 * file's by then.
 */
struct eventfds {
	const struct ioeventfds *bus[BUSES]; /* a: NULL: none */
	pthread_mutex_t change_lock; /* one changes the buses at a time; outside of vm_stop */
	pthread_rwlock_t bus_lock;
	pthread_mutex_t irqfd_lock;
	struct irqfd *irqfd;
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

void eventfd_signal(int fd)
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
			eventfd_signal(irqfd->resample);
	pthread_mutex_unlock(&e->irqfd_lock);
}

/* --- ioeventfd -------------------------------------------------------------------------------
 */

/* The first at this address or behind it. */
static inline unsigned lower_bound(const struct ioeventfds *bus, uint64_t address)
{
	unsigned low = 0, high = bus ? bus->count : 0;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (bus->at[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct ioeventfds *ioeventfds_of(const struct vm *vm, enum ioeventfd_bus bus)
{
	return __atomic_load_n(&vm->eventfds->bus[bus], __ATOMIC_ACQUIRE);
}

bool ioeventfd_there(const struct ioeventfds *bus, uint64_t address)
{
	unsigned place = lower_bound(bus, address);

	return place < bus->count && bus->at[place].address == address;
}

static bool fits(const struct ioeventfd *at, unsigned size, uint64_t value)
{
	return !at->length ||
	       (at->length == size &&
		(!at->matches ||
		 at->datamatch == (size < 8 ? value & ((1ull << size * 8) - 1) : value)));
}

int ioeventfd_find(const struct ioeventfds *bus, uint64_t address, unsigned size,
		   uint64_t value)
{
	const struct ioeventfd *end = &bus->at[bus->count];

	for (const struct ioeventfd *at = &bus->at[lower_bound(bus, address)];
	     at < end && at->address == address; at++)
		if (fits(at, size, value))
			return at->fd;
	return -1;
}

/* Would a write find both? */
static bool collides(const struct ioeventfd *a, const struct ioeventfd *b)
{
	if (!a->length || !b->length)
		return true;
	return a->length == b->length &&
	       (!a->matches || !b->matches || a->datamatch == b->datamatch);
}

/* A table with `count` of `old`, and room for one more. */
static struct ioeventfds *copy_table(const struct ioeventfds *old, unsigned count)
{
	struct ioeventfds *new = malloc(sizeof(*new) + (count + 1) * sizeof(new->at[0]));

	if (!new)
		return NULL;
	new->count = count;
	if (count)
		memcpy(new->at, old->at, count * sizeof(new->at[0]));
	return new;
}

/* Under change_lock, as the next two: bus_lock is for readers, for as long as they read. */
static void publish(struct vm *vm, enum ioeventfd_bus which, struct ioeventfds *new)
{
	struct eventfds *e = vm->eventfds;
	const struct ioeventfds *old = e->bus[which];

	pthread_rwlock_wrlock(&e->bus_lock);
	__atomic_store_n(&e->bus[which], new, __ATOMIC_RELEASE);
	pthread_rwlock_unlock(&e->bus_lock);
	__atomic_fetch_add(&vm->events, (new ? new->count : 0) - (old ? old->count : 0),
			   __ATOMIC_RELAXED);
	if (!old)
		return;
	vm_stop(vm);
	vm_resume(vm);
	free((void *)(uintptr_t)old);
}

static int add_ioeventfd(struct vm *vm, enum ioeventfd_bus which, const struct ioeventfd *added)
{
	const struct ioeventfds *old = vm->eventfds->bus[which];
	unsigned place = lower_bound(old, added->address), count = old ? old->count : 0;
	struct ioeventfds *new;

	for (unsigned i = place; i < count && old->at[i].address == added->address; i++)
		if (collides(&old->at[i], added))
			return -EEXIST;
	if (count == IOEVENTFDS_MAX)
		return -ENOSPC;
	new = copy_table(old, count);
	if (!new)
		return -ENOMEM;
	memmove(&new->at[place + 1], &new->at[place], (count - place) * sizeof(new->at[0]));
	new->at[place] = *added;
	new->count++;
	publish(vm, which, new);
	return 0;
}

static int remove_ioeventfd(struct vm *vm, enum ioeventfd_bus which,
			    const struct ioeventfd *removed)
{
	const struct ioeventfds *old = vm->eventfds->bus[which];
	unsigned count = old ? old->count : 0;
	struct ioeventfds *new;
	int fd;

	for (unsigned i = lower_bound(old, removed->address);
	     i < count && old->at[i].address == removed->address; i++) {
		const struct ioeventfd *e = &old->at[i];

		if (e->id != removed->id || e->length != removed->length ||
		    e->matches != removed->matches ||
		    (e->matches && e->datamatch != removed->datamatch))
			continue;
		new = count > 1 ? copy_table(old, count) : NULL;
		if (count > 1 && !new)
			return -ENOMEM;
		fd = e->fd;
		if (new)
			memmove(&new->at[i], &new->at[i + 1], (--new->count - i) * sizeof(*e));
		publish(vm, which, new);
		fds_close(fd);
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
	enum ioeventfd_bus bus = request->flags & KVM_IOEVENTFD_FLAG_PIO ? BUS_PIO : BUS_MMIO;
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
	pthread_mutex_lock(&e->change_lock);
	result = remove ? remove_ioeventfd(vm, bus, &named) : add_ioeventfd(vm, bus, &named);
	pthread_mutex_unlock(&e->change_lock);
	if (result < 0 && !remove)
		fds_close(named.fd);
	return result;
}

static bool find_and_signal(const struct vm *vm, enum ioeventfd_bus which, uint64_t address,
			    unsigned size, uint64_t value)
{
	struct eventfds *e = vm->eventfds;
	const struct ioeventfds *bus;
	int fd = -1;

	if (!ioeventfds_of(vm, which))
		return false;
	pthread_rwlock_rdlock(&e->bus_lock);
	bus = e->bus[which];
	if (bus)
		fd = ioeventfd_find(bus, address, size, value);
	if (fd >= 0)
		eventfd_signal(fd);
	pthread_rwlock_unlock(&e->bus_lock);
	return fd >= 0;
}

bool ioeventfd_pio(struct vm *vm, uint16_t port, unsigned size, uint32_t value)
{
	return find_and_signal(vm, BUS_PIO, port, size, value);
}

bool ioeventfd_mmio(struct vm *vm, uint64_t gpa, unsigned size, uint64_t value)
{
	return find_and_signal(vm, BUS_MMIO, gpa, size, value);
}

/* --- life ------------------------------------------------------------------------------------
 */

int eventfds_create(struct vm *vm)
{
	struct eventfds *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	pthread_mutex_init(&e->irqfd_lock, NULL);
	pthread_mutex_init(&e->change_lock, NULL);
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
		for (unsigned j = 0; e->bus[i] && j < e->bus[i]->count; j++)
			fds_close(e->bus[i]->at[j].fd);
		free((void *)(uintptr_t)e->bus[i]);
	}
	pthread_mutex_destroy(&e->irqfd_lock);
	pthread_mutex_destroy(&e->change_lock);
	pthread_rwlock_destroy(&e->bus_lock);
	free(e);
	vm->eventfds = NULL;
}
