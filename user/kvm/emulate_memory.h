/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's memory as an instruction sees it: segment, linear address, page, RAM or device.
 * Internal to user/kvm/emulate*.c; failures as in emulate_state.h.
 */
#ifndef KVM_EMULATE_MEMORY_H
#define KVM_EMULATE_MEMORY_H

#include "kvm/emulate_state.h"

#define EMULATE_OPERAND_MAX 32u /* bytes: a YMM register */

/* Forgets what was translated: whenever others have run. */
void memory_forget(struct emulate *e);

/*
 * Reads and writes of up to EMULATE_OPERAND_MAX bytes at an offset in a segment. access:
 * ACCESS_WRITE for a read that the instruction's own write follows, so that it faults as a
 * write.
 *
 * A write is only handed in, and forgotten if the instruction fails behind it; but not that of
 * a locked instruction, which must be its last step.
 */
bool memory_read(struct emulate *e, unsigned segment, uint64_t offset, void *data,
		 unsigned size, unsigned access);
bool memory_write(struct emulate *e, unsigned segment, uint64_t offset, const void *data,
		  unsigned size);

/* Descriptor tables, at a linear address: the CPU's own accesses, whatever the privilege. */
bool memory_read_system(struct emulate *e, uint64_t linear, void *data, unsigned size);
bool memory_write_system(struct emulate *e, uint64_t linear, const void *data, unsigned size);

/* Little-endian numbers of 1 to 8 bytes. */
bool memory_read_number(struct emulate *e, unsigned segment, uint64_t offset, uint64_t *value,
			unsigned size, unsigned access);
bool memory_write_number(struct emulate *e, unsigned segment, uint64_t offset, uint64_t value,
			 unsigned size);

/*
 * The host's view of size bytes, if they lie in one page of RAM; *host = NULL where they do
 * not. All checks are made as for the access itself.
 */
bool memory_direct(struct emulate *e, unsigned segment, uint64_t offset, unsigned size,
		   unsigned access, uint8_t **host);

/* Is the linear address a multiple of that power of two? */
bool memory_is_aligned(const struct emulate *e, unsigned segment, uint64_t offset,
		       unsigned alignment);

/* The instruction is complete: makes those writes that go to RAM. */
void memory_commit(struct emulate *e);

/* Makes the others. False: one is the client's (emulate.access). */
bool memory_drain(struct emulate *e);

/* Up to size bytes of code at CS:offset. *count: how many there are before a page that faults.
 */
bool memory_fetch(struct emulate *e, uint64_t offset, uint8_t *bytes, unsigned size,
		  unsigned *count);

/* The instruction's memory operand. */
uint64_t operand_offset(const struct emulate *e);

/* Operands by number; memory, registers and immediates alike. */
bool operand_read(struct emulate *e, unsigned number, uint64_t *value);
bool operand_write(struct emulate *e, unsigned number, uint64_t value);

/* Linear to guest physical, one page; access: ACCESS_. */
bool walk_translate(struct emulate *e, uint64_t linear, unsigned access, uint64_t *gpa);

#endif
