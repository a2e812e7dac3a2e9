/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/luvalley.h"

#include <string.h>

#include "lib/call.h"

static const struct luv_span nothing = {NULL, 0};

int luv_vm_create(int session, const struct luv_vm_create *create)
{
	_Alignas(32) struct luv_vm_create copy = *create;
	_Static_assert(sizeof(copy) <= 32, "struct luv_vm_create");
	const uintptr_t argument[3] = {(uintptr_t)session, (uintptr_t)&copy, 0};

	return luv_call_with(LUV_CALL_VM_CREATE, argument,
			     (struct luv_span){&copy, sizeof(copy)}, nothing);
}

int luv_vm_destroy(int vm)
{
	return luv_call_plain(LUV_CALL_VM_DESTROY, (uintptr_t)vm, 0, 0);
}

int luv_slot_set(int vm, const struct luv_slot *slot)
{
	_Alignas(64) struct luv_slot copy = *slot;
	_Static_assert(sizeof(copy) <= 64, "struct luv_slot");
	const uintptr_t argument[3] = {(uintptr_t)vm, (uintptr_t)&copy, 0};

	return luv_call_with(LUV_CALL_SLOT_SET, argument,
			     (struct luv_span){&copy, sizeof(copy)}, nothing);
}

int luv_dirty_read(int vm, unsigned slot, uint64_t first, unsigned count, uint64_t *bitmap)
{
	/* The caller's bitmap may cross a page; bits are cleared as they are read, so none may
	 * get lost. */
	_Alignas(LUV_DIRTY_PAGES_MAX / 8) uint64_t bits[LUV_DIRTY_PAGES_MAX / 64];
	_Alignas(32) struct luv_dirty_read read = {
	    .slot = slot,
	    .first = first,
	    .count = count,
	    .bitmap = (uintptr_t)bits,
	};
	_Static_assert(sizeof(read) <= 32, "struct luv_dirty_read");
	const uintptr_t argument[3] = {(uintptr_t)vm, (uintptr_t)&read, 0};
	int result;

	if (count > LUV_DIRTY_PAGES_MAX)
		return LUV_ERR_INVAL;
	result =
	    luv_call_with(LUV_CALL_DIRTY_READ, argument, (struct luv_span){&read, sizeof(read)},
			  (struct luv_span){bits, sizeof(bits)});
	if (result >= 0)
		memcpy(bitmap, bits, (count + 63) / 64 * sizeof(*bitmap));
	return result;
}
