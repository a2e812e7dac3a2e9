/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/test.h"
const struct test register_tests[] = {TESTS_END};
