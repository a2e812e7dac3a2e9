/* SPDX-License-Identifier: BSD-2-Clause */
/* guest-tests: runs in dom0 as root and speaks TAP; tests/tap.c has its arguments. */
#include "guest/test.h"
#include "lib/luvalley.h"

static const struct test *const groups[] = {exit_tests,	  misuse_tests, restart_tests,
					    switch_tests, lapic_tests,	lazy_tests, pin_tests};

static const char *missing(void)
{
	return luv_present() ? NULL : "no Luvalley";
}

int main(int argc, char **argv)
{
	static const struct suite suite = {groups, sizeof(groups) / sizeof(groups[0]), missing};

	(void)argc;
	return tap_main(&suite, argv);
}
