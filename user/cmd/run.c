/* SPDX-License-Identifier: BSD-2-Clause */
/* luvalley run COMMAND...: the KVM face. Everything that can be missing is said before. */
#define _GNU_SOURCE
#include <argp.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cmd/command.h"
#include "cmd/key.h"
#include "lib/pin.h"

#define LIBRARY	       "libluvalley-kvm.so"
#define SEGMENTS_MAX   64u
#define PAGE_SIZE      4096u
#define INTERPRETERS   4 /* how many "#!" follow each other at most */
#define EXIT_NOT_RUN   126
#define EXIT_NOT_FOUND 127

static int refuse(const char *what, const char *why)
{
	fprintf(stderr, "luvalley: %s: %s\n", what, why);
	return EXIT_FAILED;
}

/* --- the library ------------------------------------------------------------------------- */

/* Beside the tool (a build folder), or where it is installed: bin, sbin and lib are neighbours.
 */
static bool find_library(char path[PATH_MAX])
{
	static const char *const folders[] = {".", "../lib"};
	char own[PATH_MAX], place[2 * PATH_MAX];

	if (!realpath("/proc/self/exe", own))
		return false;
	*strrchr(own, '/') = 0;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(place, sizeof(place), "%s/%s/%s", own, folders[i], LIBRARY);
		if (realpath(place, path) && access(path, R_OK) == 0)
			return true;
	}
	return false;
}

/* The library must come first; what was there stays behind it. */
static int preload(const char *library)
{
	const char *before = getenv("LD_PRELOAD");
	char *value;
	int result;

	if (strpbrk(library, ": "))
		return refuse(library,
			      "LD_PRELOAD takes no path with a blank or a colon in it");
	if (asprintf(&value, "%s%s%s", library, before && *before ? ":" : "",
		     before ? before : "") < 0)
		return refuse(library, "no memory is left");
	result = setenv("LD_PRELOAD", value, 1);
	free(value);
	return result ? refuse(library, strerror(errno)) : EXIT_DONE;
}

/* --- the program ------------------------------------------------------------------------- */

/* As execvp looks it up. */
static bool find_program(const char *name, char path[PATH_MAX])
{
	const char *list = getenv("PATH");

	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		return access(path, X_OK) == 0;
	}
	for (list = list ? list : "/bin:/usr/bin"; *list; list += *list == ':') {
		size_t length = strcspn(list, ":");

		snprintf(path, PATH_MAX, "%.*s/%s", (int)length, list, name);
		if (length && access(path, X_OK) == 0)
			return true;
		list += length;
	}
	return false;
}

static bool has_interpreter(int file, const Elf64_Ehdr *head)
{
	Elf64_Phdr segment;

	for (unsigned i = 0; i < head->e_phnum && i < SEGMENTS_MAX; i++) {
		off_t at = (off_t)(head->e_phoff + i * sizeof(segment));

		if (pread(file, &segment, sizeof(segment), at) != sizeof(segment))
			return false;
		if (segment.p_type == PT_INTERP)
			return true;
	}
	return false;
}

/* NULL: the library will be loaded into it. */
static const char *elf_refusal(int file)
{
	Elf64_Ehdr head;

	if (pread(file, &head, sizeof(head), 0) != sizeof(head) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
		return NULL; /* the kernel says what it thinks of it */
	if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_machine != EM_X86_64)
		return "it is no 64-bit x86 program; the KVM face is one, and is loaded into "
		       "it";
	if (!has_interpreter(file, &head))
		return "it is linked statically: nothing can be loaded into it. Use a build of "
		       "it "
		       "that is linked dynamically with glibc";
	return NULL;
}

/* Where the kernel gives more rights than the caller has, the loader ignores LD_PRELOAD. */
static const char *rights_refusal(int file)
{
	struct stat status;

	if (fstat(file, &status) < 0)
		return strerror(errno);
	if ((status.st_mode & S_ISUID && status.st_uid != getuid()) ||
	    (status.st_mode & S_ISGID && status.st_gid != getgid()))
		return "it is set-user-ID or set-group-ID: the loader ignores LD_PRELOAD there";
	if (getuid() != 0 && fgetxattr(file, "security.capability", NULL, 0) > 0)
		return "it has file capabilities: the loader ignores LD_PRELOAD there";
	return NULL;
}

/* "#!": the program is the interpreter. */
static bool script_interpreter(int file, char path[PATH_MAX])
{
	char line[256] = {0};
	const char *begin;

	if (pread(file, line, sizeof(line) - 1, 0) < 3 || line[0] != '#' || line[1] != '!')
		return false;
	begin = line + 2 + strspn(line + 2, " \t");
	snprintf(path, PATH_MAX, "%.*s", (int)strcspn(begin, " \t\n"), begin);
	return true;
}

static int check_program(char path[PATH_MAX])
{
	for (int depth = 0; depth < INTERPRETERS; depth++) {
		int file = open(path, O_RDONLY | O_CLOEXEC);
		const char *why;
		bool script;

		if (file < 0)
			return EXIT_DONE; /* executable, not readable: the loader will see */
		why = rights_refusal(file);
		script = !why && script_interpreter(file, path);
		if (!why && !script)
			why = elf_refusal(file);
		close(file);
		if (why)
			return refuse(path, why);
		if (!script)
			return EXIT_DONE;
	}
	return EXIT_DONE;
}

/* --- the machine ------------------------------------------------------------------------- */

static int check_pinning(void)
{
	void *page =
	    mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const char *why = "no memory is left";

	if (page == MAP_FAILED || luv_pin(page, PAGE_SIZE, &why) < 0)
		return refuse("guests cannot run", why);
	(void)luv_unpin(page, PAGE_SIZE);
	return EXIT_DONE;
}

static int check_machine(void)
{
	int session, status = session_open(&session);

	if (status != EXIT_DONE)
		return status;
	luv_session_close(session);
	return check_pinning();
}

static int start(char **command)
{
	char library[PATH_MAX], program[PATH_MAX];
	int status = check_machine(), error;

	if (status != EXIT_DONE)
		return status;
	if (!find_library(library))
		return refuse(LIBRARY, "it is neither beside this tool nor installed");
	if (!find_program(command[0], program)) {
		refuse(command[0], "there is no such program");
		return EXIT_NOT_FOUND;
	}
	status = check_program(program);
	if (status != EXIT_DONE)
		return status;
	status = preload(library);
	if (status != EXIT_DONE)
		return status;
	execvp(command[0], command);
	error = errno;
	refuse(command[0], strerror(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
	char ***command = state->input;

	(void)argument;
	switch (key) {
	case ARGP_KEY_ARG:
		*command = state->argv + state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int run_command(int argc, char **argv)
{
	static const struct argp argp = {
	    .parser = parse,
	    .args_doc = "PROGRAM [ARGUMENT...]",
	    .doc = "Runs a program that uses /dev/kvm, such as qemu-system-x86_64, with "
		   "Luvalley's guests behind it. Its exit status is the program's; 126 and 127 "
		   "as a shell's.",
	};
	char **command = NULL;

	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &command);
	return start(command);
}
