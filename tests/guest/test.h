/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of virtual machines that run in dom0. */
#ifndef GUEST_TEST_H
#define GUEST_TEST_H

#include "tap.h"

extern const struct test exit_tests[], misuse_tests[], restart_tests[], switch_tests[], pin_tests[],
	lazy_tests[], lapic_tests[];

#endif
