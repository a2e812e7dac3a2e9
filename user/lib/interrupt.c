/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/luvalley.h"

#include <string.h>

#include "lib/call.h"

static const struct luv_span nothing = {NULL, 0};

int luv_interrupt(int vm, struct luv_interrupt *interrupt)
{
	uintptr_t message = interrupt->vector | (uintptr_t)interrupt->delivery << 8 |
			    (interrupt->logical ? LUV_MESSAGE_LOGICAL : 0) |
			    (uintptr_t)(interrupt->level * LUV_MESSAGE_TRIGGER);
	int result =
	    luv_call_plain(LUV_CALL_INTERRUPT, (uintptr_t)vm, interrupt->destination, message);
	int reached = result & 0xff;

	interrupt->kick = 0;
	if (result <= 0)
		return result;
	interrupt->kick = reached == 1 ? 1ull << (result >> 8) : ~0ull;
	return reached;
}

int luv_lapic_read(int vm, unsigned index, uint8_t registers[LUV_LAPIC_SIZE])
{
	_Alignas(LUV_LAPIC_SIZE) uint8_t copy[LUV_LAPIC_SIZE];
	const uintptr_t argument[3] = {(uintptr_t)vm, index, (uintptr_t)copy};
	int result = luv_call_with(LUV_CALL_LAPIC_READ, argument,
				   (struct luv_span){copy, sizeof(copy)}, nothing);

	if (result >= 0)
		memcpy(registers, copy, sizeof(copy));
	return result;
}

int luv_lapic_write(int vm, unsigned index, const uint8_t registers[LUV_LAPIC_SIZE])
{
	_Alignas(LUV_LAPIC_SIZE) uint8_t copy[LUV_LAPIC_SIZE];
	const uintptr_t argument[3] = {(uintptr_t)vm, index, (uintptr_t)copy};

	memcpy(copy, registers, sizeof(copy));
	return luv_call_with(LUV_CALL_LAPIC_WRITE, argument,
			     (struct luv_span){copy, sizeof(copy)}, nothing);
}

int luv_lapic_access(int vm, struct luv_lapic_access *access)
{
	_Alignas(64) struct luv_lapic_access copy = *access;
	_Static_assert(sizeof(copy) <= 64, "struct luv_lapic_access");
	const uintptr_t argument[3] = {(uintptr_t)vm, (uintptr_t)&copy, 0};
	int result = luv_call_with(LUV_CALL_LAPIC_ACCESS, argument,
				   (struct luv_span){&copy, sizeof(copy)}, nothing);

	if (result >= 0)
		*access = copy;
	return result;
}
