/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "kvm/fds.h"
#include "kvm/real.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define NS_PER_S    1000000000ull
#define WATCHES_MAX 1024u
#define LATE_NS	    100000u /* how much later than its timerfd a vCPU is nudged */
/* What epoll says of the timer; a watch's number is below WATCHES_MAX. */
#define THE_TIMER WATCHES_MAX

/* lock: all of it, unless marked i (set before the thread starts). Nothing is locked under it.
 */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t called; /* a callback has returned */
	bool started;	       /* a (atomic), too */
	bool follows_forks;
	int epoll, timerfd;  /* i */
	pthread_t thread;    /* i */
	struct timer *first; /* by time due */
	uint64_t set_to;     /* what timerfd is set to; 0: nothing */
	struct watch *watch[WATCHES_MAX];
	struct watch *running; /* its callback is being called */
	unsigned waiters;      /* for `called` */
} loop = {.lock = PTHREAD_MUTEX_INITIALIZER, .called = PTHREAD_COND_INITIALIZER};

uint64_t timer_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* --- the list --------------------------------------------------------------------------------
 */

static void unlink_timer(struct timer *timer)
{
	if (!timer->due)
		return;
	if (timer->next)
		timer->next->before = timer->before;
	if (timer->before)
		timer->before->next = timer->next;
	else
		loop.first = timer->next;
	timer->next = timer->before = NULL;
	timer->due = 0;
}

static void link_timer(struct timer *timer, uint64_t due)
{
	struct timer *before = NULL, *next = loop.first;

	while (next && next->due <= due) {
		before = next;
		next = next->next;
	}
	timer->due = due;
	timer->before = before;
	timer->next = next;
	if (next)
		next->before = timer;
	if (before)
		before->next = timer;
	else
		loop.first = timer;
}

static void set_descriptor(int timerfd, uint64_t due)
{
	const struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due / NS_PER_S),
						     .tv_nsec = (long)(due % NS_PER_S)}};

	timerfd_settime(timerfd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* The descriptor is set for the first timer. One that fires too early costs less than setting
 * it again each time: timers are moved more often than they fire. But not one that would fire
 * before `soon`. */
static void set_timerfd(uint64_t soon)
{
	uint64_t due = loop.first ? loop.first->due : 0;

	if (!due || due == loop.set_to ||
	    (loop.set_to && loop.set_to < due && loop.set_to >= soon))
		return;
	loop.set_to = due;
	set_descriptor(loop.timerfd, due);
}

static void set(struct timer *timer, uint64_t due, uint64_t soon)
{
	pthread_mutex_lock(&loop.lock);
	unlink_timer(timer);
	if (due) {
		link_timer(timer, due);
		set_timerfd(soon);
	}
	pthread_mutex_unlock(&loop.lock);
}

void timer_set(struct timer *timer, uint64_t due)
{
	set(timer, due, 0);
}

/* From within its callback: whoever has set it meanwhile knows better. */
static void set_again(struct timer *timer, uint64_t due)
{
	pthread_mutex_lock(&loop.lock);
	if (!timer->due) {
		link_timer(timer, due);
		set_timerfd(0);
	}
	pthread_mutex_unlock(&loop.lock);
}

static void wait_for_callback(void)
{
	loop.waiters++;
	pthread_cond_wait(&loop.called, &loop.lock);
	loop.waiters--;
}

/* A callback may cancel its own timer: it does not wait for itself. */
void timer_cancel(struct timer *timer)
{
	pthread_mutex_lock(&loop.lock);
	unlink_timer(timer);
	while (timer->running && !pthread_equal(pthread_self(), loop.thread)) {
		wait_for_callback();
		unlink_timer(timer);
	}
	pthread_mutex_unlock(&loop.lock);
}

/* --- watches ---------------------------------------------------------------------------------
 */

int watch_add(struct watch *watch)
{
	struct epoll_event event = {.events = EPOLLIN};
	int result = timer_thread_start();
	unsigned number = 0;

	if (result < 0)
		return result;
	pthread_mutex_lock(&loop.lock);
	while (number < WATCHES_MAX && loop.watch[number])
		number++;
	event.data.u32 = number;
	if (number == WATCHES_MAX)
		result = -ENOSPC;
	else if (epoll_ctl(loop.epoll, EPOLL_CTL_ADD, watch->fd, &event) < 0)
		result = -errno;
	else
		loop.watch[number] = watch;
	pthread_mutex_unlock(&loop.lock);
	return result;
}

void watch_remove(struct watch *watch)
{
	pthread_mutex_lock(&loop.lock);
	for (unsigned i = 0; i < WATCHES_MAX; i++) {
		if (loop.watch[i] != watch)
			continue;
		loop.watch[i] = NULL;
		epoll_ctl(loop.epoll, EPOLL_CTL_DEL, watch->fd, NULL);
	}
	while (loop.running == watch && !pthread_equal(pthread_self(), loop.thread))
		wait_for_callback();
	pthread_mutex_unlock(&loop.lock);
}

/* --- the thread ------------------------------------------------------------------------------
 */

static void callback_done(void)
{
	if (loop.waiters)
		pthread_cond_broadcast(&loop.called);
}

/* Those that are due now; what becomes due meanwhile has its turn after the descriptors. */
static void run_timers(void)
{
	uint64_t now = timer_now(), count;

	if (read(loop.timerfd, &count, sizeof(count)) < 0)
		count = 0;
	pthread_mutex_lock(&loop.lock);
	loop.set_to = 0;
	while (loop.first && loop.first->due <= now) {
		struct timer *timer = loop.first;

		unlink_timer(timer);
		timer->running = 1;
		pthread_mutex_unlock(&loop.lock);
		timer->expired(timer);
		pthread_mutex_lock(&loop.lock);
		timer->running = 0;
		callback_done();
	}
	set_timerfd(0);
	pthread_mutex_unlock(&loop.lock);
}

/* An event of a watch that was removed meanwhile finds nobody, or a new one with its number,
 * which finds nothing to read. */
static void run_watch(unsigned number)
{
	pthread_mutex_lock(&loop.lock);
	loop.running = loop.watch[number];
	if (loop.running) {
		pthread_mutex_unlock(&loop.lock);
		loop.running->readable(loop.running);
		pthread_mutex_lock(&loop.lock);
		loop.running = NULL;
		callback_done();
	}
	pthread_mutex_unlock(&loop.lock);
}

static void *thread_main(void *unused)
{
	struct epoll_event event[16];

	(void)unused;
	for (;;) {
		int count = epoll_wait(loop.epoll, event, 16, -1);

		for (int i = 0; i < count; i++) {
			if (event[i].data.u32 == THE_TIMER)
				run_timers();
			else
				run_watch(event[i].data.u32);
		}
	}
	return NULL;
}

static int open_descriptors(void)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = THE_TIMER};

	loop.epoll = fds_keep(epoll_create1(EPOLL_CLOEXEC));
	if (loop.epoll < 0)
		return -errno;
	loop.timerfd = fds_keep(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (loop.timerfd >= 0 &&
	    epoll_ctl(loop.epoll, EPOLL_CTL_ADD, loop.timerfd, &event) == 0)
		return 0;
	if (loop.timerfd >= 0)
		fds_close(loop.timerfd);
	fds_close(loop.epoll);
	return -EMFILE;
}

/* The thread is not in a forked child, whose own VMs need another. */
static void forked(void)
{
	if (loop.started) {
		fds_close(loop.timerfd);
		fds_close(loop.epoll);
	}
	memset(&loop, 0, sizeof(loop));
	pthread_mutex_init(&loop.lock, NULL);
	pthread_cond_init(&loop.called, NULL);
	loop.follows_forks = true;
}

/* The client's signals are for the client's threads. */
static int start(void)
{
	sigset_t all, before;
	int result = open_descriptors();

	if (result < 0)
		return result;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&loop.thread, NULL, thread_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!result) {
		pthread_detach(loop.thread);
		return 0;
	}
	fds_close(loop.timerfd);
	fds_close(loop.epoll);
	return -result;
}

int timer_thread_start(void)
{
	int result = 0;

	if (__atomic_load_n(&loop.started, __ATOMIC_ACQUIRE))
		return 0;
	pthread_mutex_lock(&loop.lock);
	if (!loop.follows_forks)
		loop.follows_forks = pthread_atfork(NULL, NULL, forked) == 0;
	if (!loop.started) {
		result = start();
		__atomic_store_n(&loop.started, result == 0, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&loop.lock);
	return result;
}

/* --- local APICs -----------------------------------------------------------------------------
 */

static void apic_expired(struct timer *timer);

static uint64_t tsc_to_ns(const struct vcpu *vcpu, uint64_t ticks)
{
	unsigned __int128 ns = (unsigned __int128)ticks * 1000000u / vcpu->vm->tsc_khz;

	/* A century is for ever. */
	return ns > NS_PER_S * 86400 * 36500 ? NS_PER_S * 86400 * 36500 : (uint64_t)ns;
}

/*
 * timerfds of nohz_full CPUs run on others (Linux, get_nohz_timer_target): there an interrupt
 * must be sent from outside.
 */
static bool cpus_have_timers(void)
{
	char first = 0;
	int file = real()->open("/sys/devices/system/cpu/nohz_full", O_RDONLY | O_CLOEXEC);

	if (file < 0)
		return true;
	if (read(file, &first, 1) != 1)
		first = 0;
	real()->close(file);
	return first < '0' || first > '9';
}

static void prepare(struct apic_timer *apic, struct vcpu *vcpu)
{
	apic->vcpu = vcpu;
	apic->late.expired = apic_expired;
	apic->timerfd =
	    cpus_have_timers() ? fds_keep(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)) : -1;
}

static uint64_t due(const struct vcpu *vcpu, uint64_t deadline, uint64_t tsc, uint64_t now)
{
	return now + 1 + tsc_to_ns(vcpu, deadline > tsc ? deadline - tsc : 0);
}

/* `late` follows the timerfd. When it is about to fire, it is set again rather than let fire.
 */
static void arm(struct apic_timer *apic)
{
	uint64_t deadline = __atomic_load_n(&apic->deadline, __ATOMIC_RELAXED);
	uint64_t now = timer_now(), at = due(apic->vcpu, deadline, __rdtsc(), now);

	if (apic->timerfd >= 0) {
		set_descriptor(apic->timerfd, at);
		at += LATE_NS;
	}
	set(&apic->late, at, now + 2 * LATE_NS);
}

/* In the library's thread. The clocks may differ a little: too early is not yet. */
static void apic_expired(struct timer *timer)
{
	struct apic_timer *apic =
	    (struct apic_timer *)((char *)timer - offsetof(struct apic_timer, late));
	uint64_t deadline = __atomic_load_n(&apic->deadline, __ATOMIC_RELAXED), tsc = __rdtsc();

	if (deadline > tsc)
		set_again(timer, due(apic->vcpu, deadline, tsc, timer_now()));
	else if (deadline)
		vcpu_nudge(apic->vcpu);
}

void timer_note(struct vcpu *vcpu, uint64_t deadline, uint64_t tsc_offset)
{
	uint64_t now = __rdtsc(), left = 0;

	if (deadline > now + tsc_offset)
		left = deadline - (now + tsc_offset);
	if (deadline)
		deadline = left > UINT64_MAX - now ? UINT64_MAX : now + left;
	__atomic_store_n(&vcpu->apic_timer.deadline, deadline, __ATOMIC_RELAXED);
}

void timer_arm(struct vcpu *vcpu, uint64_t deadline, uint64_t tsc_offset)
{
	struct apic_timer *apic = &vcpu->apic_timer;

	timer_note(vcpu, deadline, tsc_offset);
	if (!deadline) {
		if (apic->vcpu)
			timer_set(&apic->late, 0);
		return;
	}
	if (!apic->vcpu)
		prepare(apic, vcpu);
	/* Without the thread it looks now, and whenever something else makes it look. */
	if (timer_thread_start() < 0)
		vcpu_nudge(vcpu);
	else
		arm(apic);
}

bool timer_waits(struct vcpu *vcpu, uint64_t *until)
{
	struct apic_timer *apic = &vcpu->apic_timer;
	uint64_t deadline = __atomic_load_n(&apic->deadline, __ATOMIC_RELAXED), tsc = __rdtsc();

	*until = 0;
	if (!deadline)
		return true;
	if (deadline <= tsc) {
		__atomic_store_n(&apic->deadline, 0, __ATOMIC_RELAXED);
		return false;
	}
	*until = due(vcpu, deadline, tsc, timer_now());
	return true;
}

void timer_forget(struct vcpu *vcpu)
{
	struct apic_timer *apic = &vcpu->apic_timer;

	if (!apic->vcpu)
		return;
	timer_cancel(&apic->late);
	if (apic->timerfd >= 0)
		fds_close(apic->timerfd);
}
