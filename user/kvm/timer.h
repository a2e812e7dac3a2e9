/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library's thread: deadlines of local APICs and PITs, and irqfds. It is started by the
 * first who needs it, takes no signal of the client's, and lives as long as the process.
 *
 * Every function may be called by any thread at any time, but from within a callback only
 * timer_set.
 */
#ifndef KVM_TIMER_H
#define KVM_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/* --- for the library's own devices -----------------------------------------------------------
 */

/* Its members are the thread's. All zero: not armed. */
struct timer {
	uint64_t due;			 /* CLOCK_MONOTONIC in ns; 0: not armed */
	void (*expired)(struct timer *); /* in the thread; no lock of the thread's is held */
	struct timer *next, *before;
	int running; /* expired is being called */
};

/* 0 or a negative errno value: the thread could not be started. */
int timer_thread_start(void);

/* due 0: stop. */
void timer_set(struct timer *timer, uint64_t due);

/* As timer_set(timer, 0), and expired is not being called any more when it returns. */
void timer_cancel(struct timer *timer);

/* CLOCK_MONOTONIC in ns. */
uint64_t timer_now(void);

/* The thread waits for these descriptors to be readable, too. */
struct watch {
	int fd;
	void (*readable)(struct watch *); /* in the thread; no lock of the thread's is held */
};

/* 0 or a negative errno value. */
int watch_add(struct watch *watch);

/* readable is not being called any more when it returns. The caller holds no lock that readable
 * takes. */
void watch_remove(struct watch *watch);

/* --- local APICs
 * ------------------------------------------------------------------------------ */

/*
 * Where the CPU does not end RUN at a deadline, all that it needs is an interrupt of dom0's on
 * the CPU that executes RUN: RUN begins anew, and the hypervisor looks at the time. The vCPU's
 * thread has a timerfd that nobody reads: its interrupt comes on the CPU where it was armed.
 * When the thread has moved, the library's thread nudges the vCPU a little later. A vCPU in HLT
 * waits no longer than to its deadline.
 *
 * Lies in struct vcpu. Its members are timer.c's; all zero: not armed.
 */
struct apic_timer {
	struct timer late; /* in the library's thread */
	struct vcpu *vcpu; /* NULL: never armed */
	uint64_t deadline; /* a: in the TSC of dom0; 0: none, or HLT has seen it pass */
	int timerfd;	   /* -1: `late` alone, and not later than the deadline */
};

/*
 * LUV_APIC_TIMER, in the vCPU's thread: makes the vCPU look when its TSC + offset
 * (LUV_MSR_TSC_OFFSET) reaches the deadline. 0: no more. A new deadline replaces the one before.
 */
void timer_arm(struct vcpu *vcpu, uint64_t deadline, uint64_t tsc_offset);

/* The same when nobody needs to be interrupted for it: HLT alone looks at it. One that was
 * armed stays so. */
void timer_note(struct vcpu *vcpu, uint64_t deadline, uint64_t tsc_offset);

/*
 * In the vCPU's thread, in HLT: when the deadline is (CLOCK_MONOTONIC in ns; 0: there is none).
 * False: it has passed, and RUN is to look.
 */
bool timer_waits(struct vcpu *vcpu, uint64_t *until);

/* The vCPU ends. When this returns, the thread neither uses it nor will. */
void timer_forget(struct vcpu *vcpu);

#endif
