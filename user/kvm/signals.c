/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/signals.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "kvm/export.h"
#include "kvm/real.h"
#include "kvm/vcpu.h"

typedef void handler(int number, siginfo_t *info, void *context);

/* The client's handlers, for as long as the system's is the wrapper. Of two threads that change
 * the same signal's, one wins in both places. */
static struct {
	handler *function; /* a */
	int flags;	   /* a: whether the client said SA_SIGINFO */
} handlers[NSIG];

__thread struct vcpu *signals_running __attribute__((tls_model("initial-exec")));
static __thread sigset_t mask_before __attribute__((tls_model("initial-exec")));
static __thread uint64_t postponed __attribute__((tls_model("initial-exec"))); /* bit n - 1 */

/*
 * KVM_SET_SIGNAL_MASK lets a signal end KVM_RUN that is blocked outside: it is pending
 * afterwards, and its handler does not run.
 */
static bool only_ends_run(const struct vcpu *vcpu, int number)
{
	return vcpu->has_sigmask && sigismember(&mask_before, number) == 1;
}

static void wrapper(int number, siginfo_t *info, void *context)
{
	struct vcpu *vcpu = signals_running;

	if (vcpu) {
		__atomic_fetch_or(&vcpu->page->signal, SIGNAL_HANDLER, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&vcpu->wake, 1, __ATOMIC_SEQ_CST);
		if (only_ends_run(vcpu, number)) {
			postponed |= 1ull << (number - 1);
			return;
		}
	}
	__atomic_load_n(&handlers[number].function, __ATOMIC_ACQUIRE)(number, info, context);
}

void signals_unmask(struct vcpu *vcpu)
{
	sigset_t mask;

	/* The kernel's signal sets are the first 8 bytes of the C library's. */
	sigemptyset(&mask);
	memcpy(&mask, &vcpu->sigmask, sizeof(vcpu->sigmask));
	pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
	signals_running = vcpu;
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

void signals_mask(void)
{
	pthread_sigmask(SIG_SETMASK, &mask_before, NULL);
	for (; postponed; postponed &= postponed - 1)
		(void)pthread_kill(pthread_self(), __builtin_ctzll(postponed) + 1);
}

/* --- what the client calls --------------------------------------------------------------- */

static bool is_function(const struct sigaction *action)
{
	return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

/* What the client would have read: its own handler for our wrapper. */
static void unwrap(struct sigaction *action, handler *function, int flags)
{
	if (action->sa_sigaction != wrapper)
		return;
	action->sa_sigaction = function;
	action->sa_flags = (action->sa_flags & ~SA_SIGINFO) | (flags & SA_SIGINFO);
}

static int wrapped_sigaction(int number, const struct sigaction *new, struct sigaction *old)
{
	handler *before = __atomic_load_n(&handlers[number].function, __ATOMIC_ACQUIRE);
	int flags = __atomic_load_n(&handlers[number].flags, __ATOMIC_RELAXED), result;
	struct sigaction wrapped, previous;

	/* Not so for SIG_DFL: a child of vfork, which shares this table, resets its own
	 * signals. */
	if (new &&is_function(new)) {
		wrapped = *new;
		wrapped.sa_sigaction = wrapper;
		wrapped.sa_flags |= SA_SIGINFO;
		__atomic_store_n(&handlers[number].flags, new->sa_flags, __ATOMIC_RELAXED);
		__atomic_store_n(&handlers[number].function, new->sa_sigaction,
				 __ATOMIC_RELEASE);
	}
	result = real()->sigaction(number, new &&is_function(new) ? &wrapped : new, &previous);
	if (result < 0 && new &&is_function(new)) {
		__atomic_store_n(&handlers[number].flags, flags, __ATOMIC_RELAXED);
		__atomic_store_n(&handlers[number].function, before, __ATOMIC_RELEASE);
	}
	if (result == 0 && old) {
		*old = previous;
		unwrap(old, before, flags);
	}
	return result;
}

EXPORT int sigaction(int number, const struct sigaction *new, struct sigaction *old)
{
	if (number <= 0 || number >= NSIG)
		return real()->sigaction(number, new, old);
	return wrapped_sigaction(number, new, old);
}

/* BSD's, as the C library's: the handler stays, calls are restarted. */
EXPORT sighandler_t signal(int number, sighandler_t function)
{
	struct sigaction new = {.sa_handler = function, .sa_flags = SA_RESTART}, old;

	if (number <= 0 || number >= NSIG || function == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	sigemptyset(&new.sa_mask);
	sigaddset(&new.sa_mask, number);
	return sigaction(number, &new, &old) < 0 ? SIG_ERR : old.sa_handler;
}
