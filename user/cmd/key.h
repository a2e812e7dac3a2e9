/* SPDX-License-Identifier: BSD-2-Clause */
/* From "may this user ask the hypervisor?" to an open session. */
#ifndef CMD_KEY_H
#define CMD_KEY_H

#include <stdbool.h>

#include "lib/luvalley.h"

/*
 * Is there a Luvalley, and one that this program understands? Otherwise says so on standard
 * error. An exit status.
 */
int luvalley_check(void);

/* luvalley_check, then a session with the key of the ACPI table. An exit status. */
int session_open(int *session);

/* "luvalley: what: why" on standard error. Returns EXIT_FAILED. */
int fail(const char *what, int error);

#endif
