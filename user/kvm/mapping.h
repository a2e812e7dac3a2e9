/* SPDX-License-Identifier: BSD-2-Clause */
/* What this process has mapped where: /proc/self/maps. */
#ifndef KVM_MAPPING_H
#define KVM_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mapping {
	uintptr_t begin, end;
	uint64_t offset;	/* in the file */
	uint64_t device, inode; /* inode 0: anonymous */
	bool shared;
};

/* The first mapping that holds a byte at or behind `address`; false: there is none. */
bool mapping_next(uintptr_t address, struct mapping *found);

/* The first at or behind `address` of that file. */
bool mapping_of_file(uintptr_t address, uint64_t device, uint64_t inode, struct mapping *found);

#endif
