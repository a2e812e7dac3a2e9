/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session: the proof that an address space has shown the key. It belongs to the caller's CR3 and an
 * unguessable handle; a forked child has another CR3. Nobody tells us when a process dies, so when the
 * table is full the oldest session makes room.
 */
#ifndef HYPERCALL_SESSION_H
#define HYPERCALL_SESSION_H

#include "luvalley/acpi.h"
#include "vm/vm.h"

/* Makes this boot's key, which is in the ACPI table, or behind LUV_KEY_PORT, or nowhere. Once. */
void session_init(bool in_table, bool at_port);

/* With the key at LUV_KEY_PORT: whether an access that begins at the port reads it, and the bytes from there on (FFh behind
 * the last). */
bool session_key_is_at(u16 port);
u32 session_key_read(u16 port);

/* Copies the key and the flags into the ACPI table. */
void session_describe(struct luv_acpi_table *table);

/* The caller's: CR3's frame. */
static inline u64 session_address_space(const struct vcpu *vcpu)
{
	return vcpu->control.cr3 & CR3_FRAME;
}

/* The calls. Negative results are enum luv_error. */
s64 session_open(struct vcpu *vcpu, const u64 key[3]);
s64 session_close(struct vcpu *vcpu, const u64 handle[3]);

/* True when the handle is an open session of the caller's address space. */
bool session_valid(struct vcpu *vcpu, u64 handle);

#endif
