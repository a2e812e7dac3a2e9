/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/test.h"
const struct test kick_tests[] = {TESTS_END};
