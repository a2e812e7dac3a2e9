/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O ports that are not dom0's alone: those where the key is (key=port), and those that
 * put the machine to sleep. */
#ifndef DOM0_PORT_H
#define DOM0_PORT_H

#include "vm/exit_policy.h"

extern u8 dom0_ports[PORT_MAP_SIZE];

/* From now on accesses to them exit. At boot, before dom0 runs. */
void dom0_port_intercept(u32 first, u32 count);

void dom0_port_exit(struct vcpu *vcpu);

#endif
