/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/test.h"
const struct test debug_tests[] = {TESTS_END};
