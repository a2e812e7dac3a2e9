/* SPDX-License-Identifier: BSD-2-Clause */
/* luvalley install and uninstall: the work is a shell script's, which "make install" has put beside the images. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"

#define SETUP "/usr/local/lib/luvalley/setup"

static int run_setup(int argc, char **argv, const char *doc, const char *what)
{
	const struct argp argp = {.doc = doc};

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	execl(SETUP, SETUP, what, (char *)NULL);
	fprintf(stderr, "luvalley: %s: %s%s\n", SETUP, strerror(errno),
		errno == ENOENT ? "; run \"make install\" in Luvalley's source tree" : "");
	return EXIT_FAILED;
}

int install_command(int argc, char **argv)
{
	return run_setup(argc, argv,
			 "Makes Luvalley a boot entry of this system, and GRUB's default. A Luvalley that does not "
			 "come up is left out at the next start.",
			 "install");
}

int uninstall_command(int argc, char **argv)
{
	return run_setup(argc, argv,
			 "Takes away what \"luvalley install\" and \"make install\" have put into this system.",
			 "uninstall");
}
