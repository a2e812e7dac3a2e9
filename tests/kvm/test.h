/* SPDX-License-Identifier: BSD-2-Clause */
/* The tests of the KVM API; each file has a table. */
#ifndef KVM_TEST_H
#define KVM_TEST_H

#include "kvm/vm.h"

extern const struct test system_tests[], fd_tests[], memory_tests[], demand_tests[], register_tests[],
    msr_tests[], exit_tests[], event_tests[], debug_tests[], kick_tests[], irqchip_tests[],
    lapic_tests[], timer_tests[], route_tests[], smp_tests[], clock_tests[];

#endif
