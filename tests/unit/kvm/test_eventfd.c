/* SPDX-License-Identifier: BSD-2-Clause */
/* irqfds, ioeventfds, the library's thread and coalesced writes, with real eventfds. */
#include "kvm/eventfd.c"
/* Both define it; each is a file of its own in the library. */
#undef _GNU_SOURCE
#include "kvm/timer.c"

#include "kvm/coalesced.c"

#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#define WAIT_MS 20000 /* how long a thread may be kept off its CPU before a test gives up */

static struct vm vm;
static struct kvm_coalesced_mmio_ring *ring;
static uint32_t signals, last_gsi, inside;
static bool last_resample, resampling;
static unsigned nudges, stops, resumes;
static int open_at_stop;

const struct real *real(void)
{
	static const struct real functions = {.open = open, .close = close, .fcntl = fcntl};

	return &functions;
}

int fds_keep(int descriptor)
{
	return descriptor;
}

void fds_close(int descriptor)
{
	close(descriptor);
}

/* How many descriptors are open, but for the two that the thread has for ever. */
static int open_descriptors_now(void)
{
	int count = loop.started ? -2 : 0;

	for (int i = 0; i < 1024; i++)
		count += fcntl(i, F_GETFD) >= 0;
	return count;
}

static int open_before;

enum irqchip_mode irqchip_mode(const struct vm *of)
{
	return of->mode;
}

void irqchip_irqfd_signal(struct vm *of, uint32_t gsi, bool resample)
{
	__atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
	assert_ptr_equal(of, &vm);
	last_gsi = gsi;
	last_resample = resample;
	/* As leave() of the real one does. */
	if (resample)
		irqfd_completed(of, gsi);
	__atomic_fetch_add(&signals, 1, __ATOMIC_RELEASE);
	sched_yield();
	__atomic_store_n(&inside, 0, __ATOMIC_RELEASE);
}

void irqchip_irqfd_resamples(struct vm *of, uint32_t gsi, bool any)
{
	(void)of;
	(void)gsi;
	resampling = any;
}

void vcpu_nudge(struct vcpu *vcpu)
{
	(void)vcpu;
	__atomic_fetch_add(&nudges, 1, __ATOMIC_RELEASE);
}

/* Vcpus are waited for when a bus has changed, and only then descriptors closed. */
void vm_stop(struct vm *of)
{
	assert_ptr_equal(of, &vm);
	stops++;
	open_at_stop = open_descriptors_now();
}

void vm_resume(struct vm *of)
{
	assert_ptr_equal(of, &vm);
	resumes++;
}

static void expect_count(uint32_t *counter, uint32_t count)
{
	for (unsigned i = 0; i < WAIT_MS && __atomic_load_n(counter, __ATOMIC_ACQUIRE) != count;
	     i++)
		poll(NULL, 0, 1);
	assert_int_equal(__atomic_load_n(counter, __ATOMIC_ACQUIRE), count);
}

static int setup(void **state)
{
	(void)state;
	memset(&vm, 0, sizeof(vm));
	vm.mode = IRQCHIP_FULL;
	vm.tsc_khz = 1000000;
	signals = nudges = stops = resumes = 0;
	resampling = false;
	open_before = open_descriptors_now();
	ring = calloc(1, 4096);
	assert_int_equal(eventfds_create(&vm), 0);
	assert_int_equal(coalesced_create(&vm, ring), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	eventfds_destroy(&vm);
	coalesced_destroy(&vm);
	free(ring);
	assert_int_equal(open_descriptors_now(), open_before);
	return 0;
}

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

/* How often it was signalled since the last time. */
static uint64_t taken(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static int irqfd_do(int fd, uint32_t gsi, uint32_t flags, int resamplefd)
{
	const struct kvm_irqfd request = {
	    .fd = (uint32_t)fd, .gsi = gsi, .flags = flags, .resamplefd = (uint32_t)resamplefd};

	return irqfd_ioctl(&vm, &request);
}

/* --- irqfd --- */

static void test_irqfd(void **state)
{
	int fd = new_eventfd(), copy = dup(fd);

	(void)state;
	assert_int_equal(irqfd_do(fd, 24, 0, 0), 0);
	eventfd_signal(fd);
	expect_count(&signals, 1);
	assert_int_equal(last_gsi, 24);
	assert_false(last_resample);
	/* It is the eventfd that counts, not the descriptor. */
	assert_int_equal(irqfd_do(copy, 25, 0, 0), -EBUSY);
	close(fd);
	eventfd_signal(copy);
	expect_count(&signals, 2);
	assert_int_equal(irqfd_do(copy, 25, KVM_IRQFD_FLAG_DEASSIGN, 0), 0); /* there is none */
	eventfd_signal(copy);
	expect_count(&signals, 3);
	assert_int_equal(irqfd_do(copy, 24, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	eventfd_signal(copy);
	assert_int_equal(taken(copy), 1); /* nobody else took it */
	assert_int_equal(signals, 3);
	/* What was signalled before is not lost. */
	eventfd_signal(copy);
	assert_int_equal(irqfd_do(copy, 25, 0, 0), 0);
	expect_count(&signals, 4);
	assert_int_equal(last_gsi, 25);
	close(copy);
}

static void test_irqfd_errors(void **state)
{
	int fd = new_eventfd(), pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(irqfd_do(fd, 0, 4, 0), -EINVAL);
	assert_int_equal(irqfd_do(-1, 0, 0, 0), -EBADF);
	assert_int_equal(irqfd_do(pipes[0], 0, 0, 0), -EINVAL);
	assert_int_equal(irqfd_do(pipes[0], 0, KVM_IRQFD_FLAG_DEASSIGN, 0), -EINVAL);
	assert_int_equal(irqfd_do(fd, 0, KVM_IRQFD_FLAG_RESAMPLE, -1), -EBADF);
	assert_int_equal(irqfd_do(fd, 0, KVM_IRQFD_FLAG_RESAMPLE, pipes[0]), -EINVAL);
	vm.mode = IRQCHIP_SPLIT;
	assert_int_equal(irqfd_do(fd, 0, KVM_IRQFD_FLAG_RESAMPLE, fd), -EINVAL);
	vm.mode = IRQCHIP_NONE;
	assert_int_equal(irqfd_do(fd, 0, 0, 0), -EINVAL);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_resample(void **state)
{
	int fds[2] = {new_eventfd(), new_eventfd()},
	    resample[2] = {new_eventfd(), new_eventfd()};

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(irqfd_do(fds[i], 10, KVM_IRQFD_FLAG_RESAMPLE, resample[i]), 0);
	assert_true(resampling);
	eventfd_signal(fds[0]);
	expect_count(&signals, 1);
	assert_true(last_resample);
	assert_int_equal(taken(resample[0]), 1);
	assert_int_equal(taken(resample[1]), 1); /* everybody on the line */
	irqfd_completed(&vm, 11);
	assert_int_equal(taken(resample[0]), 0);
	assert_int_equal(irqfd_do(fds[0], 10, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	assert_true(resampling);
	assert_int_equal(irqfd_do(fds[1], 10, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	assert_false(resampling);
	for (unsigned i = 0; i < 2; i++) {
		close(fds[i]);
		close(resample[i]);
	}
}

struct storm {
	int fd;
	uint32_t end;
};

static void *signal_all_the_time(void *argument)
{
	struct storm *storm = argument;

	while (!__atomic_load_n(&storm->end, __ATOMIC_ACQUIRE)) {
		eventfd_signal(storm->fd);
		sched_yield();
	}
	return NULL;
}

/* One end adds and removes while the other signals: nothing is used after it is gone. */
static void test_irqfd_race(void **state)
{
	struct storm storm = {.fd = new_eventfd()};
	int resample = new_eventfd();
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, signal_all_the_time, &storm), 0);
	for (unsigned i = 0; i < 500; i++) {
		assert_int_equal(irqfd_do(storm.fd, i, KVM_IRQFD_FLAG_RESAMPLE, resample), 0);
		if (i % 8 == 0)
			sched_yield();
		assert_int_equal(irqfd_do(storm.fd, i, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
		assert_int_equal(__atomic_load_n(&inside, __ATOMIC_ACQUIRE), 0);
	}
	__atomic_store_n(&storm.end, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	close(storm.fd);
	close(resample);
}

/* --- ioeventfd --- */

#define PIO   KVM_IOEVENTFD_FLAG_PIO
#define MATCH KVM_IOEVENTFD_FLAG_DATAMATCH
#define GONE  KVM_IOEVENTFD_FLAG_DEASSIGN

static int io_do(int fd, uint64_t address, uint32_t length, uint32_t flags, uint64_t match)
{
	const struct kvm_ioeventfd request = {
	    .fd = fd, .addr = address, .len = length, .flags = flags, .datamatch = match};

	return ioeventfd_ioctl(&vm, &request);
}

static void test_ioeventfd(void **state)
{
	int fd[4] = {new_eventfd(), new_eventfd(), new_eventfd(), new_eventfd()};

	(void)state;
	assert_false(ioeventfd_mmio(&vm, 0x1000, 4, 0));
	assert_int_equal(io_do(fd[0], 0x1000, 4, 0, 0), 0);
	assert_int_equal(io_do(fd[1], 0x1000, 2, MATCH, 7), 0);
	assert_int_equal(io_do(fd[2], 0x1004, 0, 0, 0), 0);
	assert_int_equal(io_do(fd[3], 0x1000, 1, PIO | MATCH, 0x80), 0);
	assert_true(ioeventfd_mmio(&vm, 0x1000, 4, 123));
	assert_false(ioeventfd_mmio(&vm, 0x1000, 1, 123));
	assert_false(ioeventfd_mmio(&vm, 0x1000, 8, 123));
	assert_false(ioeventfd_mmio(&vm, 0x1000, 2, 8));
	assert_true(ioeventfd_mmio(&vm, 0x1000, 2, 0xab0007)); /* two bytes of it */
	for (unsigned size = 1; size <= 8; size *= 2)
		assert_true(ioeventfd_mmio(&vm, 0x1004, size, size));
	assert_false(ioeventfd_mmio(&vm, 0x1005, 1, 0));
	assert_true(ioeventfd_pio(&vm, 0x1000, 1, 0x80));
	assert_false(ioeventfd_pio(&vm, 0x1000, 1, 0x81));
	assert_int_equal(taken(fd[0]), 1);
	assert_int_equal(taken(fd[1]), 1);
	assert_int_equal(taken(fd[2]), 4);
	assert_int_equal(taken(fd[3]), 1);
	assert_int_equal(io_do(fd[0], 0x1000, 4, GONE, 0), 0);
	assert_false(ioeventfd_mmio(&vm, 0x1000, 4, 123));
	for (unsigned i = 0; i < 4; i++)
		close(fd[i]);
}

static void test_ioeventfd_errors(void **state)
{
	int fd = new_eventfd(), other = new_eventfd(), pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	for (uint32_t length = 0; length < 40; length++) {
		bool good = !length || length == 1 || length == 2 || length == 4 || length == 8;

		assert_int_equal(io_do(fd, length * 16, length, 0, 0), good ? 0 : -EINVAL);
	}
	assert_int_equal(io_do(fd, 0x1000, 0, MATCH, 0), -EINVAL);
	assert_int_equal(io_do(fd, 0x1000, 4, 1u << 8, 0), -EINVAL);
	assert_int_equal(io_do(fd, ~0ull, 2, 0, 0), -EINVAL);
	assert_int_equal(io_do(-1, 0x1000, 4, 0, 0), -EBADF);
	assert_int_equal(io_do(pipes[0], 0x1000, 4, 0, 0), -EINVAL);
	assert_int_equal(io_do(fd, 0x1000, 4, GONE, 0), -ENOENT);
	assert_int_equal(io_do(fd, 0x1000, 4, MATCH, 1), 0);
	assert_int_equal(io_do(other, 0x1000, 4, MATCH, 2), 0);
	assert_int_equal(io_do(other, 0x1000, 4, MATCH, 1), -EEXIST);
	assert_int_equal(io_do(other, 0x1000, 4, 0, 0), -EEXIST);
	assert_int_equal(io_do(other, 0x1000, 0, 0, 0), -EEXIST);
	assert_int_equal(io_do(other, 0x1000, 2, 0, 0), 0);
	/* All that was said must be said again. */
	assert_int_equal(io_do(other, 0x1000, 4, GONE | MATCH, 1), -ENOENT);
	assert_int_equal(io_do(fd, 0x1000, 4, GONE | MATCH, 2), -ENOENT);
	assert_int_equal(io_do(fd, 0x1000, 4, GONE, 1), -ENOENT);
	assert_int_equal(io_do(fd, 0x1000, 4, GONE | MATCH | PIO, 1), -ENOENT);
	assert_int_equal(io_do(fd, 0x1000, 4, GONE | MATCH, 1), 0);
	assert_int_equal(io_do(fd, 0x1000, 4, GONE | MATCH, 1), -ENOENT);
	close(fd);
	close(other);
	close(pipes[0]);
	close(pipes[1]);
}

/* vCPUs may have the old table until they were stopped once; the descriptor that goes is open
 * until then. */
static void test_ioeventfd_waits(void **state)
{
	int fd = new_eventfd(), before;

	(void)state;
	assert_int_equal(vm.events, 0);
	assert_null(ioeventfds_of(&vm, BUS_MMIO));
	assert_int_equal(io_do(fd, 0x1000, 4, 0, 0), 0);
	assert_int_equal(io_do(fd, 0x1000, 1, PIO, 0), 0);
	assert_int_equal(vm.events, 2);
	assert_int_equal(stops, 0); /* there were no tables */
	assert_int_equal(io_do(fd, 0x2000, 4, 0, 0), 0);
	assert_int_equal(stops, 1);
	before = open_descriptors_now();
	assert_int_equal(io_do(fd, 0x1000, 4, GONE, 0), 0);
	assert_int_equal(stops, 2);
	assert_int_equal(open_at_stop, before);
	assert_int_equal(open_descriptors_now(), before - 1);
	assert_int_equal(io_do(fd, 0x2000, 4, GONE, 0), 0);
	assert_int_equal(stops, 3);
	assert_int_equal(open_at_stop, before - 1);
	assert_int_equal(resumes, 3);
	assert_null(ioeventfds_of(&vm, BUS_MMIO));
	assert_non_null(ioeventfds_of(&vm, BUS_PIO));
	assert_int_equal(vm.events, 1);
	assert_int_equal(io_do(fd, 0x2000, 4, GONE, 0), -ENOENT);
	assert_int_equal(stops, 3);
	close(fd);
}

/* In whatever order they come and go, each is found, and none that is gone. */
static void test_many_ioeventfds(void **state)
{
	enum { COUNT = 200 };
	int fd = new_eventfd();
	bool there[COUNT] = {false};
	uint64_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		unsigned which;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		which = (unsigned)(seed >> 40) % COUNT;
		if (seed >> 33 & 1 && i % 50 == 0) {
			assert_int_equal(io_do(fd, which * 4, 4, there[which] ? GONE : 0, 0),
					 0);
			there[which] = !there[which];
		}
		assert_int_equal(ioeventfd_mmio(&vm, which * 4, 4, 0), there[which]);
	}
	close(fd);
}

/* --- coalesced writes --- */

static int zone(uint64_t address, uint32_t size, uint32_t pio)
{
	const struct kvm_coalesced_mmio_zone z = {.addr = address, .size = size, .pio = pio};

	return coalesced_register(&vm, &z);
}

static int no_zone(uint64_t address, uint32_t size, uint32_t pio)
{
	const struct kvm_coalesced_mmio_zone z = {.addr = address, .size = size, .pio = pio};

	return coalesced_unregister(&vm, &z);
}

static void test_coalesced(void **state)
{
	(void)state;
	assert_false(coalesced_write(&vm, false, 0xa0000, 4, 1));
	assert_int_equal(zone(0xa0000, 0x1000, 2), -EINVAL);
	assert_int_equal(zone(0xa0000, 0x1000, 0), 0);
	assert_int_equal(zone(0x80, 2, 1), 0);
	assert_true(coalesced_write(&vm, false, 0xa0ffc, 4, 0x11223344));
	assert_false(coalesced_write(&vm, false, 0xa0ffd, 4, 1));
	assert_false(coalesced_write(&vm, false, 0x9ffff, 1, 1));
	assert_false(coalesced_write(&vm, true, 0xa0000, 4, 1));
	assert_true(coalesced_write(&vm, true, 0x80, 2, 0xabcd));
	assert_int_equal(ring->last, 2);
	assert_int_equal(ring->coalesced_mmio[0].phys_addr, 0xa0ffc);
	assert_int_equal(ring->coalesced_mmio[0].len, 4);
	assert_int_equal(ring->coalesced_mmio[0].pio, 0);
	assert_int_equal(ring->coalesced_mmio[0].data[3], 0x11);
	assert_int_equal(ring->coalesced_mmio[1].pio, 1);
	assert_int_equal(no_zone(0xa0000, 0x1001, 0), 0); /* held by none */
	assert_true(coalesced_write(&vm, false, 0xa0000, 1, 1));
	assert_int_equal(no_zone(0xa0800, 8, 0), 0);
	assert_false(coalesced_write(&vm, false, 0xa0000, 1, 1));
	assert_int_equal(no_zone(0, 0, 2), -EINVAL);
	assert_int_equal(zone(~0ull - 15, 16, 0), 0); /* up to the end */
	assert_true(coalesced_write(&vm, false, ~0ull - 7, 8, 1));
	assert_false(coalesced_write(&vm, false, ~0ull - 6, 8, 1));
}

/* The client's indices are not to be trusted. */
static void test_coalesced_ring(void **state)
{
	unsigned count = 0;

	(void)state;
	assert_int_equal(zone(0, 0x1000, 0), 0);
	while (coalesced_write(&vm, false, 0, 1, count))
		count++;
	assert_int_equal(count, 169); /* of 170 */
	ring->first = 5;
	assert_true(coalesced_write(&vm, false, 0, 1, 0));
	assert_int_equal(ring->last, 0);
	ring->last = 170;
	assert_false(coalesced_write(&vm, false, 0, 1, 0));
	ring->last = ~0u;
	assert_false(coalesced_write(&vm, false, 0, 1, 0));
	ring->last = 0;
	ring->first = ~0u;
	assert_true(coalesced_write(&vm, false, 0, 1, 0));
	for (count = 1; zone(0x10000, 1, 0) == 0; count++)
		continue;
	assert_int_equal(count, 1000);
}

/* --- the thread --- */

static uint32_t fired;

static void note_fired(struct timer *timer)
{
	(void)timer;
	__atomic_fetch_add(&fired, 1, __ATOMIC_RELEASE);
}

static void test_timers(void **state)
{
	struct timer timer[3] = {0};

	(void)state;
	fired = 0;
	for (unsigned i = 0; i < 3; i++)
		timer[i].expired = note_fired;
	assert_int_equal(timer_thread_start(), 0);
	timer_set(&timer[0], timer_now() + 3600 * NS_PER_S);
	timer_set(&timer[1], timer_now() + 1000000);
	timer_set(&timer[2], 1); /* long past */
	expect_count(&fired, 2);
	timer_set(&timer[0], timer_now()); /* earlier than it was */
	expect_count(&fired, 3);
	timer_set(&timer[0], timer_now() + 3600 * NS_PER_S);
	timer_set(&timer[1], timer_now() + 3600 * NS_PER_S);
	timer_cancel(&timer[0]);
	timer_cancel(&timer[0]);
	timer_cancel(&timer[1]);
	assert_null(loop.first);
	assert_int_equal(fired, 3);
}

static void test_apic_timers(void **state)
{
	static struct vcpu vcpu;
	uint64_t offset = 0 - __rdtsc();

	(void)state;
	vcpu.vm = &vm;
	timer_forget(&vcpu);	     /* never armed */
	timer_arm(&vcpu, 1, offset); /* past */
	expect_count(&nudges, 1);
	timer_arm(&vcpu, __rdtsc() + offset + 1000000, offset);
	expect_count(&nudges, 2);
	timer_arm(&vcpu, UINT64_MAX, offset);
	timer_arm(&vcpu, UINT64_MAX - 1, 12345);
	timer_arm(&vcpu, 0, offset);
	assert_null(loop.first);
	timer_arm(&vcpu, UINT64_MAX / 2, 0);
	timer_forget(&vcpu);
	assert_null(loop.first);
	assert_int_equal(nudges, 2);
}

/* One that only HLT looks at: nobody is interrupted. */
static void test_noted_deadlines(void **state)
{
	static struct vcpu vcpu;
	uint64_t offset = 0 - __rdtsc(), until;

	(void)state;
	vcpu.vm = &vm;
	timer_note(&vcpu, __rdtsc() + offset + (1ull << 40), offset);
	assert_true(timer_waits(&vcpu, &until));
	assert_true(until > timer_now());
	timer_note(&vcpu, UINT64_MAX, offset);
	assert_true(timer_waits(&vcpu, &until));
	timer_note(&vcpu, 1, offset); /* past: RUN is to look, once */
	assert_false(timer_waits(&vcpu, &until));
	assert_true(timer_waits(&vcpu, &until));
	assert_int_equal(until, 0);
	timer_note(&vcpu, __rdtsc() + offset + (1ull << 40), offset);
	timer_note(&vcpu, 0, offset);
	assert_true(timer_waits(&vcpu, &until));
	assert_int_equal(until, 0);
	assert_null(loop.first);
	assert_int_equal(nudges, 0);
	timer_forget(&vcpu);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_irqfd),		TEST(test_irqfd_errors),    TEST(test_resample),
	    TEST(test_irqfd_race),	TEST(test_ioeventfd),	    TEST(test_ioeventfd_errors),
	    TEST(test_ioeventfd_waits), TEST(test_many_ioeventfds), TEST(test_coalesced),
	    TEST(test_coalesced_ring),	TEST(test_timers),	    TEST(test_apic_timers),
	    TEST(test_noted_deadlines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
