/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm-tests: tests of the KVM API, as Linux's Documentation/virt/kvm/api.rst has it.
 *
 * They pass on Linux's own kvm_amd, which is how we know that they ask for the right thing, and
 * under "luvalley run". TAP; tests/tap.c has the arguments.
 */
#include <fcntl.h>
#include <unistd.h>

#include "kvm/test.h"

static const struct test *const groups[] = {
    system_tests, fd_tests,    memory_tests, demand_tests, register_tests, msr_tests,
    exit_tests,	  event_tests, debug_tests,  kick_tests,   irqchip_tests,  lapic_tests,
    timer_tests,  route_tests, smp_tests,    clock_tests,
};

static const char *missing(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return "no /dev/kvm";
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct suite suite = {groups, sizeof(groups) / sizeof(groups[0]), missing};

	(void)argc;
	return tap_main(&suite, argv);
}
