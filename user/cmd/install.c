/* SPDX-License-Identifier: BSD-2-Clause */
/* luvalley install and uninstall: the work is a shell script's, which "make install" has put
 * beside the images. */
#include <argp.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"

#define SETUP "/usr/local/lib/luvalley/setup"

static const struct argp_option install_options[] = {
    {"boot-next", 'n', NULL, 0,
     "with UEFI: the firmware starts Luvalley, by BootNext; for systems without GRUB, or where "
     "GRUB cannot write",
     0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	bool *boot_next = state->input;

	(void)arg;
	if (key != 'n')
		return ARGP_ERR_UNKNOWN;
	*boot_next = true;
	return 0;
}

static int run_setup(const char *what, const char *option)
{
	execl(SETUP, SETUP, what, option, (char *)NULL);
	fprintf(stderr, "luvalley: %s: %s%s\n", SETUP, strerror(errno),
		errno == ENOENT ? "; run \"make install\" in Luvalley's source tree" : "");
	return EXIT_FAILED;
}

int install_command(int argc, char **argv)
{
	static const struct argp argp = {
	    .options = install_options,
	    .parser = parse,
	    .doc = "Makes Luvalley a boot entry of this system, and the default. A Luvalley "
		   "that does not come up is left out at "
		   "the next start.",
	};
	bool boot_next = false;

	argp_parse(&argp, argc, argv, 0, NULL, &boot_next);
	return run_setup("install", boot_next ? "--boot-next" : NULL);
}

int uninstall_command(int argc, char **argv)
{
	static const struct argp argp = {
	    .doc = "Takes away what \"luvalley install\" and \"make install\" have put into "
		   "this system.",
	};

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	return run_setup("uninstall", NULL);
}
