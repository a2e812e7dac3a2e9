/* SPDX-License-Identifier: BSD-2-Clause */
#include <argp.h>
#include <stdio.h>

#include "cmd/command.h"
#include "cmd/key.h"

static const struct argp_option options[] = {
    {"previous", 'p', NULL, 0,
     "what the boot before logged, and its crash report if it ended in one", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	unsigned *which = state->input;

	(void)arg;
	if (key != 'p')
		return ARGP_ERR_UNKNOWN;
	*which = LUV_LOG_PREVIOUS;
	return 0;
}

/* What is from before the last reset may hold anything; a terminal must not obey it. */
static void print_text(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		putchar((c >= ' ' && c <= '~') || c == '\n' || c == '\t' ? c : '?');
	}
}

static int print_log(int session, unsigned which)
{
	char buffer[LUV_LOG_READ_MAX];
	uint64_t position = 0;

	for (;;) {
		uint64_t lost;
		int got =
		    luv_log_read(session, which, &position, buffer, sizeof(buffer), &lost);

		if (got < 0)
			return got;
		if (lost)
			printf("[%llu bytes are overwritten]\n", (unsigned long long)lost);
		if (got == 0)
			return 0;
		print_text(buffer, (size_t)got);
	}
}

int log_command(int argc, char **argv)
{
	static const struct argp argp = {
	    .options = options,
	    .parser = parse,
	    .doc = "Prints what the hypervisor has logged since it was started.",
	};
	unsigned which = LUV_LOG_CURRENT;
	int session, status, result;

	argp_parse(&argp, argc, argv, 0, NULL, &which);
	status = session_open(&session);
	if (status != EXIT_DONE)
		return status;
	result = print_log(session, which);
	luv_session_close(session);
	if (result == LUV_ERR_NOENT && which == LUV_LOG_PREVIOUS) {
		fputs("luvalley: nothing has survived of what the boot before logged\n",
		      stderr);
		return EXIT_FAILED;
	}
	return result < 0 ? fail("cannot read the log", result) : EXIT_DONE;
}
