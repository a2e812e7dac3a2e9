/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/test.h"
const struct test memory_tests[] = {TESTS_END};
