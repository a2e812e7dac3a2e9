/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/test.h"
const struct test smp_tests[] = {TESTS_END};
