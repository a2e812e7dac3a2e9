/* SPDX-License-Identifier: BSD-2-Clause */
/* Direct boot: module 1 is a Linux kernel, module 2 (if any) its initrd. */
#ifndef DOM0_LINUX_H
#define DOM0_LINUX_H

#include "dom0/low.h"
#include "mem/memmap.h"
#include "vm/vcpu.h"

struct linux_modules {
	struct mem_range kernel, initrd; /* where the loader put them; initrd.size 0: none */
	const char *cmdline;		 /* the kernel's module's */
};

#define LINUX_CMDLINE_MAX 2048

/*
 * Moves kernel and initrd to their places and makes the vCPU begin at the kernel's 32-bit entry.
 * rsdp: for boot_params; 0: the kernel searches. NULL, or a sentence that says what is wrong.
 */
const char *linux_prepare(struct vcpu *vcpu, const struct linux_modules *modules,
			  const struct low_memory *low, const struct mem_map *map, u64 rsdp);

#endif
