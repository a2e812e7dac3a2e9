/* SPDX-License-Identifier: BSD-2-Clause */
#include "hypercall/session.h"

#include "cpu/spinlock.h"
#include "cpu/x86.h"
#include "cpu/random.h"
#include "lib/string.h"

#define SESSIONS	  256
#define WRONG_HANDLES_MAX 64

struct session {
	u64 address_space; /* CR3's frame */
	u32 handle;	   /* 0: free */
	u32 wrong_handles; /* tries from this address space */
	u64 opened;	   /* order of opening */
};

static struct spinlock lock;
static struct session table[SESSIONS]; /* lock */
static u64 openings;		       /* lock */
static u32 secret[3];		       /* immutable after session_init */
static bool in_table, at_port;	       /* where it is; immutable after session_init */

void session_init(bool shown_in_table, bool shown_at_port)
{
	in_table = shown_in_table;
	at_port = shown_at_port;
	for (u32 i = 0; i < ARRAY_SIZE(secret); i++)
		secret[i] = (u32)random_u64();
}

void session_describe(struct luv_acpi_table *acpi)
{
	if (at_port)
		acpi->flags |= LUV_ACPI_KEY_AT_PORT;
	if (!in_table)
		return;
	acpi->flags |= LUV_ACPI_HAS_KEY;
	memcpy(acpi->key, secret, sizeof(acpi->key));
}

bool session_key_is_at(u16 port)
{
	return at_port && port - LUV_KEY_PORT < sizeof(secret);
}

u32 session_key_read(u16 port)
{
	u32 at = port - LUV_KEY_PORT, value = UINT32_MAX;

	memcpy(&value, (const u8 *)secret + at, min_u64(sizeof(value), sizeof(secret) - at));
	return value;
}

/*
 * lock is held. Address spaces are reused by the kernel, and a session may outlive its process: whoever
 * tries handles loses what it might have found.
 */
static struct session *find(u64 space, u64 handle)
{
	for (u32 i = 0; i < SESSIONS && handle; i++) {
		if (table[i].handle == handle && table[i].address_space == space)
			return &table[i];
	}
	for (u32 i = 0; i < SESSIONS; i++) {
		if (table[i].handle && table[i].address_space == space &&
		    ++table[i].wrong_handles >= WRONG_HANDLES_MAX)
			table[i].handle = 0;
	}
	return NULL;
}

static struct session *free_or_oldest(void)
{
	struct session *best = &table[0];

	for (u32 i = 0; i < SESSIONS; i++) {
		if (!table[i].handle)
			return &table[i];
		if (table[i].opened < best->opened)
			best = &table[i];
	}
	return best;
}

/* All words are compared whatever the first ones were: the time tells nothing. */
static bool key_matches(const u64 key[3])
{
	u64 difference = 0;

	for (u32 i = 0; i < ARRAY_SIZE(secret); i++)
		difference |= key[i] ^ secret[i];
	return (in_table || at_port) && !difference;
}

s64 session_open(struct vcpu *vcpu, const u64 key[3])
{
	u64 space = session_address_space(vcpu);
	struct session *session;
	u32 handle;

	if (!key_matches(key))
		return LUV_ERR_PERM;
	do
		handle = (u32)random_u64() & INT32_MAX;
	while (!handle);
	spin_lock(&lock);
	session = free_or_oldest();
	*session = (struct session){
		.address_space = space,
		.handle = handle,
		.opened = ++openings,
	};
	spin_unlock(&lock);
	return handle;
}

s64 session_close(struct vcpu *vcpu, const u64 handle[3])
{
	u64 space = session_address_space(vcpu);
	struct session *session;

	spin_lock(&lock);
	session = find(space, handle[0]);
	if (session)
		session->handle = 0;
	spin_unlock(&lock);
	return session ? 0 : LUV_ERR_PERM;
}

bool session_valid(struct vcpu *vcpu, u64 handle)
{
	u64 space = session_address_space(vcpu);
	bool valid;

	spin_lock(&lock);
	valid = find(space, handle);
	spin_unlock(&lock);
	return valid;
}
