/* SPDX-License-Identifier: BSD-2-Clause */
#include "hypercall/argument.h"

#include "exit/access.h"

static bool well_placed(u64 address, u64 size)
{
	return address % 8 == 0 && size <= PAGE_SIZE - address % PAGE_SIZE;
}

s64 argument_read(struct vcpu *caller, u64 from, void *to, u64 size)
{
	if (!well_placed(from, size))
		return LUV_ERR_INVAL;
	return user_read(caller, gva(from), to, size) ? 0 : LUV_ERR_FAULT;
}

s64 argument_write(struct vcpu *caller, u64 to, const void *from, u64 size)
{
	if (!well_placed(to, size))
		return LUV_ERR_INVAL;
	return user_write(caller, gva(to), from, size) ? 0 : LUV_ERR_FAULT;
}
