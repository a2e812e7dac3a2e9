/* SPDX-License-Identifier: BSD-2-Clause */
/* This process's way to the hypervisor: presence, session, owner page; and /dev/kvm itself. */
#ifndef KVM_SYSTEM_H
#define KVM_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

/* Does the system run under Luvalley? If not, /dev/kvm is not this library's. Cheap. */
bool system_present(void);

/* open("/dev/kvm"): a descriptor, or a negative errno value. */
int system_open(int flags);

/* A session of this process, with the key that system_open read; a negative errno value. */
int system_session(void);

/* A page of this process's that tells the hypervisor that it lives: pinned, never given back.
 * 0: there is none, *why says why not. */
uintptr_t system_owner_page(const char **why);

/* kHz of the TSC, measured once. */
uint32_t system_tsc_khz(void);

/* A sentence for the user, on standard error: for refusals that errno cannot tell. */
void system_complain(const char *what, const char *why);

/* What a negative result of libluvalley is in KVM's terms: a negative errno value. */
int system_errno(int result);

#endif
