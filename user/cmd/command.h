/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of the tool: one file each, one table in main.c. */
#ifndef CMD_COMMAND_H
#define CMD_COMMAND_H

/* Exit statuses, documented in `luvalley --help`. */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NO_LUVALLEY = 3,
};

/* argv[0] is "luvalley NAME"; the result is an exit status. */
struct command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
};

int status_command(int argc, char **argv);
int log_command(int argc, char **argv);
int install_command(int argc, char **argv);
int uninstall_command(int argc, char **argv);
int run_command(int argc, char **argv);
int apic_command(int argc, char **argv);
int crash_command(int argc, char **argv);

#endif
