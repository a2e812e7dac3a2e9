/* SPDX-License-Identifier: BSD-2-Clause */
#include <argp.h>
#include <stdbool.h>
#include <stdio.h>

#include "cmd/command.h"
#include "cmd/key.h"

#define OPTION_YES 256

static const struct argp_option options[] = {
    {"yes", OPTION_YES, NULL, 0, "really: the machine goes down at once, unsaved data is lost",
     0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	bool *sure = state->input;

	(void)arg;
	switch (key) {
	case OPTION_YES:
		*sure = true;
		return 0;
	case ARGP_KEY_END:
		if (!*sure)
			argp_error(state, "this crashes the machine; it wants --yes");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int crash_command(int argc, char **argv)
{
	static const struct argp argp = {
	    .options = options,
	    .parser = parse,
	    .doc = "Crashes the hypervisor, and the machine with it, to test the crash report. "
		   "The "
		   "hypervisor refuses unless it was booted with debug=crash.",
	};
	bool sure = false;
	int session, status, result;

	argp_parse(&argp, argc, argv, 0, NULL, &sure);
	status = session_open(&session);
	if (status != EXIT_DONE)
		return status;
	result = luv_debug_crash(session);
	luv_session_close(session);
	if (result == LUV_ERR_PERM) {
		fputs("luvalley: the hypervisor refuses to crash: it was booted without "
		      "debug=crash\n",
		      stderr);
		return EXIT_FAILED;
	}
	return fail("the hypervisor did not crash", result);
}
