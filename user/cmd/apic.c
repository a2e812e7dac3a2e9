/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include <argp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"
#include "cmd/key.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
	const char **mode = state->input;

	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	if (*mode || (strcmp(arg, "trap") != 0 && strcmp(arg, "direct") != 0))
		argp_error(state, "it takes trap or direct");
	*mode = arg;
	return 0;
}

/* On every CPU that is online: each drops what it caches of the APIC's rights. */
static int set_everywhere(int session, bool trap)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	for (long cpu = 0; cpu < cpus; cpu++) {
		cpu_set_t only;
		int result;

		CPU_ZERO(&only);
		CPU_SET((size_t)cpu, &only);
		if (sched_setaffinity(0, sizeof(only), &only) != 0)
			continue;
		result = luv_apic_mode_set(session, trap);
		if (result < 0)
			return result;
	}
	return 0;
}

int apic_command(int argc, char **argv)
{
	static const struct argp argp = {
	    .parser = parse,
	    .args_doc = "[trap|direct]",
	    .doc = "Prints whether writes to the local APICs are trapped, or changes it. Do "
		   "not take CPUs "
		   "offline or online meanwhile.",
	};
	const char *mode = NULL;
	int session, status, result;

	argp_parse(&argp, argc, argv, 0, NULL, &mode);
	status = mode ? session_open(&session) : luvalley_check();
	if (status != EXIT_DONE)
		return status;
	if (mode) {
		result = set_everywhere(session, strcmp(mode, "trap") == 0);
		luv_session_close(session);
		if (result == LUV_ERR_BUSY)
			fputs("luvalley: some CPUs of this machine are not the hypervisor's, "
			      "so the trap stays\n",
			      stderr);
		if (result == LUV_ERR_NOENT)
			fputs("luvalley: this CPU needs no trap\n", stderr);
		if (result < 0)
			return fail("cannot change the APIC mode", result);
	}
	puts(luv_query(LUV_QUERY_APIC_MODE) ? "trap" : "direct");
	return EXIT_DONE;
}
