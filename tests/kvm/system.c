/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/test.h"
const struct test system_tests[] = {TESTS_END};
