/* SPDX-License-Identifier: BSD-2-Clause */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <luvalley/calls.h>

#include "cmd/command.h"

static const struct command commands[] = {
    {"status", "what the hypervisor holds, and how often dom0 needed it", status_command},
    {"log", "print the hypervisor's log", log_command},
    {"run", "run a program that uses /dev/kvm, as qemu-system-x86_64", run_command},
    {"apic", "how this system reaches its local APICs: trap or direct", apic_command},
    {"install", "make Luvalley a boot entry of this system", install_command},
    {"uninstall", "take it away again", uninstall_command},
    {"crash", "crash the hypervisor (for tests only)", crash_command},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

struct choice {
	const struct command *command;
	int first; /* its index in argv */
};

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct choice *choice = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		choice->command = command_find(arg);
		if (!choice->command)
			argp_error(state, "no command '%s'", arg);
		/* The rest is the command's. */
		choice->first = state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static char *help_filter(int key, const char *text, void *input)
{
	char *list = NULL;
	size_t size = 0;
	FILE *out;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)(uintptr_t)text;
	out = open_memstream(&list, &size);
	if (!out)
		return NULL;
	fputs("Commands:\n", out);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fprintf(out,
		"\n'luvalley COMMAND --help' tells more. Exit status: %d done, %d failed, %d "
		"usage, %d "
		"not under Luvalley.",
		EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_NO_LUVALLEY);
	fclose(out);
	return list;
}

static void print_version(FILE *out, struct argp_state *state)
{
	(void)state;
	fprintf(out, "luvalley %u.%u.%u\n", LUV_VERSION >> 16, LUV_VERSION >> 8 & 0xff,
		LUV_VERSION & 0xff);
}

static int run(const struct command *command, int argc, char **argv)
{
	char name[32];

	/* argp's messages begin with argv[0]. */
	snprintf(name, sizeof(name), "luvalley %s", command->name);
	argv[0] = name;
	return command->run(argc, argv);
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
	    .parser = parse,
	    .args_doc = "COMMAND [ARGUMENT...]",
	    .doc = "Asks Luvalley, the hypervisor that this system runs under.\v",
	    .help_filter = help_filter,
	};
	struct choice choice = {NULL, 0};
	int status;

	argp_err_exit_status = EXIT_USAGE;
	argp_program_version_hook = print_version;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &choice);

	/* Commands have no versions of their own. */
	argp_program_version_hook = NULL;
	status = run(choice.command, argc - choice.first, argv + choice.first);
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE) {
		fputs("luvalley: cannot write to standard output\n", stderr);
		status = EXIT_FAILED;
	}
	return status;
}
