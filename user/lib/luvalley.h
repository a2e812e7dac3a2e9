/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libluvalley: Luvalley's call interface for C, one function for each call of luvalley/calls.h.
 *
 * Functions return what the call returns: a number >= 0, or a negative LUV_ERR_ code. Without
 * Luvalley they return LUV_ERR_NOSYS. "Busy" and "touch the memory" answers are retried here,
 * some hundred times; what is returned then is meant for the caller. Safe in every thread; a
 * session serves all threads of its process, but not a forked child.
 */
#ifndef LIB_LUVALLEY_H
#define LIB_LUVALLEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <luvalley/calls.h>

/* Does this system run under Luvalley? The one question that is always safe to ask. */
bool luv_present(void);

/* One of the numbers of enum luv_query. Needs no session. */
int luv_query(enum luv_query item);

/* A session for this address space; the key comes from the ACPI table LUVY (luvalley/acpi.h).
 */
int luv_session_open(const uint32_t key[3]);
int luv_session_close(int session);

/*
 * Up to size bytes of a log (LUV_LOG_) from *position on, which is moved behind them. *lost =
 * how many bytes the ring had already overwritten there. Returns how many were copied; 0 at the
 * end.
 */
int luv_log_read(int session, unsigned which, uint64_t *position, void *buffer, size_t size,
		 uint64_t *lost);

/* dom0's exits on the CPU with that index, 0 to luv_query(LUV_QUERY_CPUS) - 1. */
int luv_cpu_statistics_get(int session, unsigned cpu, struct luv_cpu_statistics *statistics);

/* Crashes the hypervisor, and with it the machine. LUV_ERR_PERM unless booted with debug=crash.
 */
int luv_debug_crash(int session);

/* A sentence for a negative result. */
const char *luv_strerror(int error);

#endif
