/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/key.h"

#include <stdio.h>

#include "cmd/command.h"

int fail(const char *what, int error)
{
	fprintf(stderr, "luvalley: %s: %s\n", what, luv_strerror(error));
	return EXIT_FAILED;
}

int luvalley_check(void)
{
	int version;

	if (!luv_present()) {
		fputs("luvalley: this system does not run under Luvalley: boot luvalley.elf "
		      "from the "
		      "boot loader, and let it start this system\n",
		      stderr);
		return EXIT_NO_LUVALLEY;
	}
	version = luv_query(LUV_QUERY_ABI_VERSION);
	if (version < 0)
		return fail("the hypervisor does not tell its interface version", version);
	if (version != LUV_ABI_VERSION) {
		fprintf(stderr,
			"luvalley: the hypervisor has interface version %d, this program needs "
			"%d: use "
			"the program that was built with it\n",
			version, LUV_ABI_VERSION);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

int session_open(int *session)
{
	uint32_t key[3];
	const char *fault;
	int status = luvalley_check();

	if (status != EXIT_DONE)
		return status;
	fault = luv_key_read(key);
	if (fault) {
		fprintf(stderr, "luvalley: %s\n", fault);
		return EXIT_FAILED;
	}
	*session = luv_session_open(key);
	return *session < 0 ? fail("cannot open a session", *session) : EXIT_DONE;
}
