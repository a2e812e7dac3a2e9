/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DOM0_POLICY_H
#define DOM0_POLICY_H

#include "vm/exit_policy.h"

/* What dom0's exits lead to. */
extern const struct exit_policy dom0_policy;

#endif
