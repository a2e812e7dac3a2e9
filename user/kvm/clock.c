/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest computes its time from its TSC: system_time + (TSC - tsc_timestamp) * mul, with the
 * numbers that lie in its memory. As dom0's TSC is one clock for all CPUs, one pair of times
 * serves the whole VM until the client sets the clock. Linux,
 * Documentation/virt/kvm/x86/msr.rst.
 */
#include "kvm/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define NS_PER_S	    1000000000ull

#define MSR_WALL_CLOCK_OLD  0x11u
#define MSR_SYSTEM_TIME_OLD 0x12u
#define MSR_WALL_CLOCK	    0x4b564d00u
#define MSR_SYSTEM_TIME	    0x4b564d01u
#define SYSTEM_TIME_ENABLED 1ull

#define FLAG_TSC_STABLE	    1u
#define FLAG_GUEST_STOPPED  2u

/* In guest memory. An odd version: it is being written. */
struct system_time {
	uint32_t version;
	uint32_t reserved;
	uint64_t tsc_timestamp;
	uint64_t system_time; /* ns */
	uint32_t mul;
	int8_t shift;
	uint8_t flags;
	uint8_t reserved_2[2];
};
_Static_assert(sizeof(struct system_time) == 32, "struct pvclock_vcpu_time_info");

struct wall_clock {
	uint32_t version;
	uint32_t sec, nsec; /* when system_time was 0 */
};
_Static_assert(sizeof(struct wall_clock) == 12, "struct pvclock_wall_clock");

struct clock {
	pthread_mutex_t lock; /* all of it, unless marked; innermost */
	uint32_t mul;	      /* i: set before others see it */
	int8_t shift;	      /* i */
	uint64_t tsc, ns;     /* the clock showed ns at this TSC of dom0 */
	uint32_t generation;  /* a: counts their changes, from 1 */
	uint64_t wall_msr;
	bool has_offset; /* of the vCPU that had a clock first */
	uint64_t tsc_offset;
	bool unstable; /* another vCPU had another offset */
};

/* --- arithmetic ------------------------------------------------------------------------------
 */

/* 32 significant bits of ns per tick: ns = (ticks << shift) * mul >> 32. */
static void set_scale(struct clock *clock, uint32_t tsc_khz)
{
	unsigned __int128 ratio = ((unsigned __int128)1000000u << 64) / tsc_khz;
	int bits = 0;

	while (bits < 128 && ratio >> bits)
		bits++;
	clock->mul = (uint32_t)(ratio >> (bits - 32));
	clock->shift = (int8_t)(bits - 64);
}

static uint64_t scale(const struct clock *clock, uint64_t ticks)
{
	ticks = clock->shift < 0 ? ticks >> -clock->shift : ticks << clock->shift;
	return (uint64_t)((unsigned __int128)ticks * clock->mul >> 32);
}

static uint64_t clock_at(const struct clock *clock, uint64_t tsc)
{
	return clock->ns + scale(clock, tsc - clock->tsc);
}

static uint64_t real_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* --- the client's ----------------------------------------------------------------------------
 */

int clock_get(struct vm *vm, struct kvm_clock_data *data)
{
	struct clock *clock = vm->clock;

	pthread_mutex_lock(&clock->lock);
	*data = (struct kvm_clock_data){
	    .flags = KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC |
		     (clock->unstable ? 0 : KVM_CLOCK_TSC_STABLE),
	    .realtime = real_time(),
	    .host_tsc = __rdtsc(),
	};
	data->clock = clock_at(clock, data->host_tsc);
	pthread_mutex_unlock(&clock->lock);
	return 0;
}

/* The vCPUs tell their guest at their next entry. */
static void changed(struct clock *clock)
{
	uint32_t next = clock->generation + 1;

	__atomic_store_n(&clock->generation, next ? next : 1, __ATOMIC_RELEASE);
}

static void kick_all(struct vm *vm)
{
	for (unsigned i = 0; i < LUV_VCPUS_MAX; i++)
		if (vm_vcpu(vm, i))
			vcpu_kick(vm_vcpu(vm, i));
}

int clock_set(struct vm *vm, const struct kvm_clock_data *data)
{
	struct clock *clock = vm->clock;
	uint64_t ns = data->clock, now;

	if (data->flags & ~(uint32_t)CLOCK_CAP_ADJUST)
		return -EINVAL;
	pthread_mutex_lock(&clock->lock);
	/* The time since the value was taken has passed for the guest, too. */
	now = real_time();
	if (data->flags & KVM_CLOCK_REALTIME && now > data->realtime)
		ns += now - data->realtime;
	clock->tsc = __rdtsc();
	clock->ns = ns;
	changed(clock);
	pthread_mutex_unlock(&clock->lock);
	kick_all(vm);
	return 0;
}

int clock_paused(struct vcpu *vcpu)
{
	if (!(vcpu->clock.msr & SYSTEM_TIME_ENABLED))
		return -EINVAL;
	vcpu->clock.paused = true;
	return 0;
}

/* --- guest memory ----------------------------------------------------------------------------
 */

/* The version goes odd, the rest is written, the version goes even: others may be reading. */
static void publish(struct vm *vm, uint64_t gpa, void *record, size_t size)
{
	uint32_t version, *first = record;

	if (!vm_read(vm, gpa, &version, sizeof(version)))
		return;
	*first = version | 1;
	if (!vm_write(vm, gpa, first, sizeof(*first)))
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	vm_write(vm, gpa + sizeof(version), (const uint8_t *)record + sizeof(version),
		 size - sizeof(version));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	++*first;
	vm_write(vm, gpa, first, sizeof(*first));
}

static void write_wall_clock(struct vm *vm, uint64_t gpa)
{
	struct clock *clock = vm->clock;
	struct wall_clock wall = {0};
	uint64_t start;

	pthread_mutex_lock(&clock->lock);
	clock->wall_msr = gpa;
	start = real_time() - clock_at(clock, __rdtsc());
	pthread_mutex_unlock(&clock->lock);
	wall.sec = (uint32_t)(start / NS_PER_S);
	wall.nsec = (uint32_t)(start % NS_PER_S);
	if (gpa)
		publish(vm, gpa, &wall, sizeof(wall));
}

/* One vCPU's numbers serve the others, too, as long as all TSCs show the same. */
static bool note_offset(struct vm *vm, uint64_t offset)
{
	struct clock *clock = vm->clock;
	bool others = false;

	if (!clock->has_offset) {
		clock->has_offset = true;
		clock->tsc_offset = offset;
	} else if (clock->tsc_offset != offset && !clock->unstable) {
		clock->unstable = others = true;
		changed(clock);
	}
	return others;
}

static void write_system_time(struct vcpu *vcpu, uint64_t offset)
{
	struct clock *clock = vcpu->vm->clock;
	struct system_time time = {.mul = clock->mul, .shift = clock->shift}, before;
	uint64_t gpa = vcpu->clock.msr & ~SYSTEM_TIME_ENABLED;
	bool others;

	pthread_mutex_lock(&clock->lock);
	others = note_offset(vcpu->vm, offset);
	time.tsc_timestamp = clock->tsc + offset;
	time.system_time = clock->ns;
	time.flags = clock->unstable ? 0 : FLAG_TSC_STABLE;
	vcpu->clock.generation = clock->generation;
	pthread_mutex_unlock(&clock->lock);
	vcpu->clock.tsc_offset = offset;
	if (others)
		kick_all(vcpu->vm);
	/* The guest clears the flag when it has noticed. */
	if (!vm_read(vcpu->vm, gpa, &before, sizeof(before)))
		return;
	time.flags |= before.flags & FLAG_GUEST_STOPPED;
	if (vcpu->clock.paused)
		time.flags |= FLAG_GUEST_STOPPED;
	vcpu->clock.paused = false;
	publish(vcpu->vm, gpa, &time, sizeof(time));
}

void clock_update(struct vcpu *vcpu)
{
	const struct vcpu_clock *own = &vcpu->clock;
	uint32_t generation = __atomic_load_n(&vcpu->vm->clock->generation, __ATOMIC_ACQUIRE);
	uint64_t offset = vcpu_tsc_offset(vcpu);

	if (!(own->msr & SYSTEM_TIME_ENABLED))
		return;
	if (own->generation != generation || own->tsc_offset != offset || own->paused)
		write_system_time(vcpu, offset);
}

/* --- MSRs ------------------------------------------------------------------------------------
 */

bool clock_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value, bool *ok)
{
	struct clock *clock = vcpu->vm->clock;

	*ok = true;
	switch (msr) {
	case MSR_WALL_CLOCK_OLD:
	case MSR_WALL_CLOCK:
		pthread_mutex_lock(&clock->lock);
		*value = clock->wall_msr;
		pthread_mutex_unlock(&clock->lock);
		return true;
	case MSR_SYSTEM_TIME_OLD:
	case MSR_SYSTEM_TIME:
		*value = vcpu->clock.msr;
		return true;
	default:
		return false;
	}
}

bool clock_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value, bool *ok)
{
	*ok = true;
	switch (msr) {
	case MSR_WALL_CLOCK_OLD:
	case MSR_WALL_CLOCK:
		write_wall_clock(vcpu->vm, value);
		return true;
	case MSR_SYSTEM_TIME_OLD:
	case MSR_SYSTEM_TIME:
		vcpu->clock = (struct vcpu_clock){.msr = value};
		return true;
	default:
		return false;
	}
}

/* --- life ------------------------------------------------------------------------------------
 */

int clock_create(struct vm *vm)
{
	struct clock *clock = calloc(1, sizeof(*clock));

	if (!clock)
		return -ENOMEM;
	pthread_mutex_init(&clock->lock, NULL);
	set_scale(clock, vm->tsc_khz);
	clock->tsc = __rdtsc();
	clock->generation = 1;
	vm->clock = clock;
	return 0;
}

void clock_destroy(struct vm *vm)
{
	if (!vm->clock)
		return;
	pthread_mutex_destroy(&vm->clock->lock);
	free(vm->clock);
	vm->clock = NULL;
}
