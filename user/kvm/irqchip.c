/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/irqchip.h"

#include <errno.h>
#include <stdlib.h>

#include "kvm/device/ioapic.h"
#include "kvm/device/pic.h"
#include "kvm/device/pit.h"
#include "kvm/device/route.h"
#include "kvm/eventfd.h"
#include "kvm/timer.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

/* Who may hold a line: it is active while one of them does. */
enum { SOURCE_CLIENT = 1, SOURCE_RESAMPLE = 2, SOURCE_PIT = 4 };

#define PIT_GSI	      0u
#define SPEAKER_PORT  0x61u
#define PIT_PORT      0x40u
#define PINS_COMPLETE (PIC_LINES + IOAPIC_PINS)

struct irqchip {
	/* Guards all of it unless marked a (atomic), i (immutable) or f (fixed with the first
	 * vCPU). */
	pthread_mutex_t lock;
	struct vm *vm;		/* i */
	enum irqchip_mode mode; /* i */
	unsigned
	    reserved_pins; /* i: IRQCHIP_SPLIT: GSIs that are the client's I/O APIC's pins */
	struct message_bus bus; /* i */
	struct pic pic;		/* IRQCHIP_FULL, as all up to the routes */
	struct ioapic ioapic;	/* its base is a, too */
	uint8_t pic_sources[PIC_LINES];
	uint8_t ioapic_sources[IOAPIC_PINS];
	uint32_t output;  /* a: the PIC asks for an interrupt */
	uint32_t has_pit; /* a: goes from 0 to 1 once */
	bool has_speaker; /* i with has_pit */
	struct pit pit;
	struct timer pit_timer; /* due at pit_deadline */
	/* KVM_REINJECT_CONTROL: ticks that the guest has not completed are made up for. */
	bool reinject;
	bool pit_acknowledged;
	uint32_t pit_pending;

	struct routes *routes, *spare;
	uint64_t resampled[ROUTE_GSIS / 64]; /* GSIs with an irqfd that resamples */
	uint64_t eoi_vectors[4];	     /* a: IRQCHIP_SPLIT: EOIs for the client */

	/* What is to be done when the lock is free again. */
	bool kick;
	unsigned completed_count;
	uint32_t completed[PINS_COMPLETE];
};

static struct irqchip *chip_of(const struct vm *vm)
{
	return __atomic_load_n(&vm->irqchip, __ATOMIC_ACQUIRE);
}

enum irqchip_mode irqchip_mode(const struct vm *vm)
{
	const struct irqchip *chip = chip_of(vm);

	return chip ? chip->mode : IRQCHIP_NONE;
}

/* The PIC, I/O APIC and PIT, or NULL. */
static struct irqchip *full_chip(const struct vm *vm)
{
	struct irqchip *chip = chip_of(vm);

	return chip && chip->mode == IRQCHIP_FULL ? chip : NULL;
}

static struct irqchip *chip_with_pit(const struct vm *vm)
{
	struct irqchip *chip = full_chip(vm);

	return chip && __atomic_load_n(&chip->has_pit, __ATOMIC_ACQUIRE) ? chip : NULL;
}

/* --- messages and lines --- */

static unsigned send(void *context, const struct message *message)
{
	struct irqchip *chip = context;
	struct luv_interrupt interrupt = {
	    .destination = message->destination,
	    .logical = message->logical,
	    .delivery = message->delivery,
	    .vector = message->vector,
	    .level = message->level	 ? LUV_TRIGGER_LEVEL
		     : message->tell_eoi ? LUV_TRIGGER_TELL
					 : 0,
	};
	int reached = vm_send(chip->vm, &interrupt);

	return reached > 0 ? (unsigned)reached : 0;
}

static int add_status(int sum, int status)
{
	if (status < 0)
		return sum;
	return status + (sum < 0 ? 0 : sum);
}

static bool line_level(uint8_t *sources, unsigned source, bool level)
{
	*sources = (uint8_t)(level ? *sources | source : *sources & ~source);
	return *sources;
}

/* Sets the pins of a GSI, or sends its MSI. As KVM_IRQ_LINE_STATUS. */
static int set_gsi(struct irqchip *chip, uint32_t gsi, unsigned source, bool level)
{
	struct route route = {0};
	int status = -1;

	if (gsi < ROUTE_GSIS)
		route = chip->routes->gsi[gsi];
	if (route.pic) {
		unsigned pin = route.pic - 1u;
		bool high = line_level(&chip->pic_sources[pin], source, level);

		status = add_status(status, pic_set_line(&chip->pic, pin, high));
	}
	if (route.ioapic) {
		unsigned pin = route.ioapic - 1u;
		bool high = line_level(&chip->ioapic_sources[pin], source, level);

		status =
		    add_status(status, ioapic_set_line(&chip->ioapic, pin, high, &chip->bus));
	}
	if (route.msi && level) {
		struct message message =
		    route_msi(route.address_lo, route.address_hi, route.data);
		unsigned reached = send(chip, &message);

		status = reached ? (int)reached : -1;
	}
	return status;
}

/* --- the PIT's interrupt --- */

/* With reinjection the next tick waits until the guest has completed the one before. */
static void pit_inject(struct irqchip *chip)
{
	if (chip->reinject && !chip->pit_acknowledged)
		return;
	chip->pit_acknowledged = false;
	set_gsi(chip, PIT_GSI, SOURCE_PIT, true);
	set_gsi(chip, PIT_GSI, SOURCE_PIT, false);
}

static void pit_forget_lost_ticks(struct irqchip *chip)
{
	chip->pit_pending = 0;
	chip->pit_acknowledged = true;
}

static void pit_acknowledge(struct irqchip *chip)
{
	chip->pit_acknowledged = true;
	if (chip->pit_pending && --chip->pit_pending)
		pit_inject(chip);
}

static void pit_arm(struct irqchip *chip)
{
	timer_set(&chip->pit_timer, pit_deadline(&chip->pit));
}

/* --- the lock --- */

static void enter(struct irqchip *chip)
{
	pthread_mutex_lock(&chip->lock);
}

/* The guest has completed an interrupt: a line that resamples falls, and its owner is told. */
static void complete_gsi(struct irqchip *chip, int gsi)
{
	if (gsi < 0)
		return;
	if (gsi == PIT_GSI && chip->has_pit)
		pit_acknowledge(chip);
	if (!(chip->resampled[gsi / 64] >> gsi % 64 & 1))
		return;
	set_gsi(chip, (uint32_t)gsi, SOURCE_RESAMPLE, false);
	if (chip->completed_count < PINS_COMPLETE)
		chip->completed[chip->completed_count++] = (uint32_t)gsi;
}

/* Lines that the guest unmasked: ticks it could not have seen are no lost ones. */
static void note_unmasked(struct irqchip *chip)
{
	uint16_t pic = chip->pic.unmasked;
	uint32_t ioapic = chip->ioapic.unmasked;
	const struct route *route = &chip->routes->gsi[PIT_GSI];

	chip->pic.unmasked = 0;
	chip->ioapic.unmasked = 0;
	if ((route->pic && pic >> (route->pic - 1) & 1) ||
	    (route->ioapic && ioapic >> (route->ioapic - 1) & 1))
		pit_forget_lost_ticks(chip);
}

static void settle_pic(struct irqchip *chip)
{
	uint16_t completed = chip->pic.completed;
	bool output;

	chip->pic.completed = 0;
	for (unsigned line = 0; completed; line++, completed >>= 1)
		if (completed & 1)
			complete_gsi(chip, chip->routes->pic_gsi[line]);
	output = pic_output(&chip->pic);
	if (output && !chip->output)
		chip->kick = true;
	__atomic_store_n(&chip->output, output, __ATOMIC_RELEASE);
}

/* Unlocks, and does what is due without the lock. */
static void leave(struct irqchip *chip)
{
	uint32_t completed[PINS_COMPLETE];
	unsigned count;
	bool kick;

	if (chip->mode == IRQCHIP_FULL) {
		note_unmasked(chip);
		settle_pic(chip);
	}
	kick = chip->kick;
	count = chip->completed_count;
	for (unsigned i = 0; i < count; i++)
		completed[i] = chip->completed[i];
	chip->kick = false;
	chip->completed_count = 0;
	pthread_mutex_unlock(&chip->lock);

	for (unsigned i = 0; kick && i < LUV_VCPUS_MAX; i++) {
		struct vcpu *vcpu = vm_vcpu(chip->vm, i);

		if (vcpu)
			vcpu_kick(vcpu);
	}
	for (unsigned i = 0; i < count; i++)
		irqfd_completed(chip->vm, completed[i]);
}

/* --- the run loop's hooks --- */

/* The PIT's GSI must tell its EOIs: reinjection waits for them. */
static void update_tell_eoi(struct irqchip *chip)
{
	unsigned pin = chip->routes->gsi[PIT_GSI].ioapic;

	chip->ioapic.tell_eoi = 0;
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		int gsi = chip->routes->ioapic_gsi[i];

		if (gsi >= 0 && chip->resampled[gsi / 64] >> gsi % 64 & 1)
			chip->ioapic.tell_eoi |= 1u << i;
	}
	if (pin && chip->has_pit && chip->reinject)
		chip->ioapic.tell_eoi |= 1u << (pin - 1);
}

bool irqchip_eoi(struct vm *vm, uint8_t vector)
{
	struct irqchip *chip = chip_of(vm);
	uint32_t pins;

	if (!chip)
		return false;
	if (chip->mode == IRQCHIP_SPLIT)
		return __atomic_load_n(&chip->eoi_vectors[vector / 64], __ATOMIC_RELAXED) >>
			   vector % 64 &
		       1;
	enter(chip);
	pins = ioapic_eoi(&chip->ioapic, vector);
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		if (pins >> pin & 1)
			complete_gsi(chip, chip->routes->ioapic_gsi[pin]);
	ioapic_resend(&chip->ioapic, pins, &chip->bus);
	leave(chip);
	return false;
}

bool irqchip_extint_pending(const struct vm *vm)
{
	const struct irqchip *chip = full_chip(vm);

	return chip && __atomic_load_n(&chip->output, __ATOMIC_ACQUIRE);
}

int irqchip_extint_take(struct vm *vm)
{
	struct irqchip *chip = full_chip(vm);
	int vector = -1;

	if (!chip)
		return -1;
	enter(chip);
	if (pic_output(&chip->pic))
		vector = pic_acknowledge(&chip->pic);
	leave(chip);
	return vector;
}

/* The PIC takes bytes only: as with KVM, wider accesses read 0 and write nothing. */
static void access_pic(struct irqchip *chip, uint16_t port, unsigned size, bool write,
		       uint32_t *value)
{
	if (size != 1) {
		if (!write)
			*value = 0;
		return;
	}
	if (write)
		pic_write(&chip->pic, port, (uint8_t)*value);
	else
		*value = pic_read(&chip->pic, port);
}

static void access_pit(struct irqchip *chip, uint16_t port, bool write, uint32_t *value)
{
	uint64_t now = timer_now();

	if (!write) {
		*value = port == SPEAKER_PORT ? pit_speaker_read(&chip->pit, now)
					      : pit_read(&chip->pit, port, now);
	} else if (port == SPEAKER_PORT) {
		pit_speaker_write(&chip->pit, (uint8_t)*value, now);
	} else {
		uint64_t start = chip->pit.channel[0].start;

		pit_write(&chip->pit, port, (uint8_t)*value, now);
		if (chip->pit.channel[0].start != start)
			pit_forget_lost_ticks(chip);
		pit_arm(chip);
	}
}

static bool is_pit_port(const struct irqchip *chip, uint16_t port, unsigned size)
{
	if (!__atomic_load_n(&chip->has_pit, __ATOMIC_ACQUIRE))
		return false;
	if (port == SPEAKER_PORT)
		return size == 1 && chip->has_speaker;
	return port >= PIT_PORT && port + size <= PIT_PORT + 4;
}

static bool is_pic_port(uint16_t port, unsigned size)
{
	return pic_has_port(port) && (port & 1u) + size <= 2;
}

bool irqchip_has_port(const struct vm *vm, uint16_t port, unsigned size)
{
	const struct irqchip *chip = full_chip(vm);

	return chip && (is_pic_port(port, size) || is_pit_port(chip, port, size));
}

bool irqchip_pio(struct vm *vm, uint16_t port, unsigned size, bool write, uint32_t *value)
{
	struct irqchip *chip = full_chip(vm);
	bool pic;

	if (!chip)
		return false;
	pic = is_pic_port(port, size);
	if (!pic && !is_pit_port(chip, port, size))
		return false;
	enter(chip);
	if (pic)
		access_pic(chip, port, size, write, value);
	else
		access_pit(chip, port, write, value);
	leave(chip);
	return true;
}

bool irqchip_has_mmio(const struct vm *vm, uint64_t gpa)
{
	const struct irqchip *chip = full_chip(vm);

	return chip &&
	       gpa - __atomic_load_n(&chip->ioapic.base, __ATOMIC_RELAXED) < IOAPIC_SIZE;
}

bool irqchip_mmio(struct vm *vm, uint64_t gpa, unsigned size, bool write, uint64_t *value)
{
	struct irqchip *chip = full_chip(vm);
	uint64_t offset;

	if (!chip)
		return false;
	offset = gpa - __atomic_load_n(&chip->ioapic.base, __ATOMIC_RELAXED);
	if (offset >= IOAPIC_SIZE)
		return false;
	enter(chip);
	if (write)
		ioapic_write(&chip->ioapic, (uint32_t)offset,
			     (uint32_t)(size < 4 ? *value & ((1u << size * 8) - 1) : *value),
			     &chip->bus);
	else
		*value = ioapic_read(&chip->ioapic, (uint32_t)offset);
	leave(chip);
	return true;
}

/* --- lines, routes and messages of the client --- */

int irqchip_line(struct vm *vm, struct kvm_irq_level *line)
{
	struct irqchip *chip = chip_of(vm);
	uint32_t gsi = line->irq;

	if (!chip)
		return -ENXIO;
	enter(chip);
	line->status = set_gsi(chip, gsi, SOURCE_CLIENT, line->level);
	leave(chip);
	return 0;
}

int irqchip_signal_msi(struct vm *vm, const struct kvm_msi *msi)
{
	struct irqchip *chip = chip_of(vm);
	struct message message = route_msi(msi->address_lo, msi->address_hi, msi->data);
	unsigned reached;

	if (!chip || msi->flags & ~KVM_MSI_VALID_DEVID)
		return -EINVAL;
	reached = send(chip, &message);
	return reached ? (int)reached : -EPERM;
}

void irqchip_irqfd_signal(struct vm *vm, uint32_t gsi, bool resample)
{
	struct irqchip *chip = chip_of(vm);

	if (!chip)
		return;
	enter(chip);
	if (resample) {
		set_gsi(chip, gsi, SOURCE_RESAMPLE, true);
	} else {
		set_gsi(chip, gsi, SOURCE_CLIENT, true);
		set_gsi(chip, gsi, SOURCE_CLIENT, false);
	}
	leave(chip);
}

void irqchip_irqfd_resamples(struct vm *vm, uint32_t gsi, bool any)
{
	struct irqchip *chip = chip_of(vm);

	if (!chip || gsi >= ROUTE_GSIS)
		return;
	enter(chip);
	if (any) {
		chip->resampled[gsi / 64] |= 1ull << gsi % 64;
	} else {
		chip->resampled[gsi / 64] &= ~(1ull << gsi % 64);
		set_gsi(chip, gsi, SOURCE_RESAMPLE, false);
	}
	update_tell_eoi(chip);
	leave(chip);
}

static void publish_eoi_vectors(struct irqchip *chip)
{
	uint64_t vectors[4] = {0};

	routes_eoi_vectors(chip->routes, chip->reserved_pins, vectors);
	/* What is under way keeps the vector of the route before: no bit is taken back. */
	for (unsigned i = 0; i < 4; i++)
		__atomic_fetch_or(&chip->eoi_vectors[i], vectors[i], __ATOMIC_RELAXED);
}

int irqchip_set_routing(struct vm *vm, const struct kvm_irq_routing *header,
			const struct kvm_irq_routing_entry *entries)
{
	struct irqchip *chip = chip_of(vm);
	struct routes *next;
	bool good = true;

	if (!chip || header->nr > ROUTE_GSIS || header->flags)
		return -EINVAL;
	enter(chip);
	next = chip->spare;
	routes_clear(next);
	for (uint32_t i = 0; good && i < header->nr; i++)
		good = routes_add(next, &entries[i], chip->mode == IRQCHIP_FULL);
	if (good) {
		chip->spare = chip->routes;
		chip->routes = next;
		publish_eoi_vectors(chip);
		update_tell_eoi(chip);
	}
	leave(chip);
	return good ? 0 : -EINVAL;
}

/* --- state --- */

int irqchip_get(struct vm *vm, struct kvm_irqchip *state)
{
	struct irqchip *chip = full_chip(vm);
	int result = 0;

	if (!chip)
		return -ENXIO;
	enter(chip);
	switch (state->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
		state->chip.pic = chip->pic.chip[0];
		break;
	case KVM_IRQCHIP_PIC_SLAVE:
		state->chip.pic = chip->pic.chip[1];
		break;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_get_state(&chip->ioapic, &state->chip.ioapic);
		break;
	default:
		result = -EINVAL;
	}
	leave(chip);
	return result;
}

int irqchip_set(struct vm *vm, const struct kvm_irqchip *state)
{
	struct irqchip *chip = full_chip(vm);
	int result = 0;

	if (!chip)
		return -ENXIO;
	enter(chip);
	switch (state->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
		pic_set_state(&chip->pic, 0, &state->chip.pic);
		break;
	case KVM_IRQCHIP_PIC_SLAVE:
		pic_set_state(&chip->pic, 1, &state->chip.pic);
		break;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_set_state(&chip->ioapic, &state->chip.ioapic, &chip->bus);
		break;
	default:
		result = -EINVAL;
	}
	leave(chip);
	return result;
}

int irqchip_get_pit(struct vm *vm, struct kvm_pit_state2 *state)
{
	struct irqchip *chip = chip_with_pit(vm);

	if (!chip)
		return -ENXIO;
	enter(chip);
	pit_get_state(&chip->pit, state, timer_now());
	leave(chip);
	return 0;
}

int irqchip_set_pit(struct vm *vm, const struct kvm_pit_state2 *state)
{
	struct irqchip *chip = chip_with_pit(vm);

	if (!chip)
		return -ENXIO;
	enter(chip);
	pit_set_state(&chip->pit, state, timer_now());
	pit_forget_lost_ticks(chip);
	pit_arm(chip);
	leave(chip);
	return 0;
}

int irqchip_reinject_control(struct vm *vm, const struct kvm_reinject_control *control)
{
	struct irqchip *chip = chip_with_pit(vm);

	if (!chip)
		return -ENXIO;
	enter(chip);
	chip->reinject = control->pit_reinject;
	pit_forget_lost_ticks(chip);
	update_tell_eoi(chip);
	leave(chip);
	return 0;
}

/* --- life --- */

/* A vCPU exists: what the hypervisor's VM is like is decided. */
static bool has_vcpus(const struct vm *vm)
{
	for (unsigned i = 0; i < LUV_VCPUS_MAX; i++)
		if (__atomic_load_n(&vm->vcpu[i], __ATOMIC_RELAXED))
			return true;
	return false;
}

static struct irqchip *allocate(struct vm *vm, enum irqchip_mode mode)
{
	struct irqchip *chip = calloc(1, sizeof(*chip));
	struct routes *routes = calloc(1, sizeof(*routes)), *spare = calloc(1, sizeof(*spare));

	if (!chip || !routes || !spare) {
		free(chip);
		free(routes);
		free(spare);
		return NULL;
	}
	pthread_mutex_init(&chip->lock, NULL);
	chip->vm = vm;
	chip->mode = mode;
	chip->bus = (struct message_bus){send, chip};
	chip->routes = routes;
	chip->spare = spare;
	routes_clear(routes);
	return chip;
}

static int create(struct vm *vm, enum irqchip_mode mode, unsigned pins)
{
	struct irqchip *chip;

	if (vm->irqchip)
		return -EEXIST;
	if (has_vcpus(vm))
		return -EINVAL;
	chip = allocate(vm, mode);
	if (!chip)
		return -ENOMEM;
	chip->reserved_pins = pins;
	if (mode == IRQCHIP_FULL) {
		pic_reset(&chip->pic);
		ioapic_reset(&chip->ioapic);
		routes_default(chip->routes);
	}
	vm->mode = mode;
	__atomic_store_n(&vm->irqchip, chip, __ATOMIC_RELEASE);
	return 0;
}

int irqchip_create(struct vm *vm)
{
	return create(vm, IRQCHIP_FULL, 0);
}

int irqchip_create_split(struct vm *vm, uint64_t pins)
{
	return pins > ROUTE_GSIS ? -EINVAL : create(vm, IRQCHIP_SPLIT, (unsigned)pins);
}

/* In the library's thread. */
static void pit_expired(struct timer *timer)
{
	struct irqchip *chip =
	    (struct irqchip *)((char *)timer - offsetof(struct irqchip, pit_timer));
	uint64_t ticks;

	enter(chip);
	ticks = pit_expire(&chip->pit, timer_now());
	if (ticks) {
		if (chip->reinject)
			chip->pit_pending += ticks < INT32_MAX - chip->pit_pending
						 ? (uint32_t)ticks
						 : INT32_MAX - chip->pit_pending;
		pit_inject(chip);
	}
	pit_arm(chip);
	leave(chip);
}

int irqchip_create_pit(struct vm *vm, const struct kvm_pit_config *config)
{
	struct irqchip *chip = full_chip(vm);
	int result;

	if (config->flags & ~KVM_PIT_SPEAKER_DUMMY)
		return -EINVAL;
	if (!chip)
		return -ENOENT;
	if (chip->has_pit)
		return -EEXIST;
	result = timer_thread_start();
	if (result < 0)
		return result;
	enter(chip);
	pit_reset(&chip->pit, timer_now());
	chip->pit_timer.expired = pit_expired;
	chip->has_speaker = config->flags & KVM_PIT_SPEAKER_DUMMY;
	chip->reinject = true;
	pit_forget_lost_ticks(chip);
	__atomic_store_n(&chip->has_pit, 1, __ATOMIC_RELEASE);
	update_tell_eoi(chip);
	leave(chip);
	return 0;
}

void irqchip_destroy(struct vm *vm)
{
	struct irqchip *chip = vm->irqchip;

	if (!chip)
		return;
	vm->irqchip = NULL;
	timer_cancel(&chip->pit_timer);
	pthread_mutex_destroy(&chip->lock);
	free(chip->routes);
	free(chip->spare);
	free(chip);
}
