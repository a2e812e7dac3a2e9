/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/test.h"
const struct test msr_tests[] = {TESTS_END};
