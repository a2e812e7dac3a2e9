/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/luvalley.h"

#include "lib/call.h"

int luv_query(enum luv_query item)
{
	return luv_call_plain(LUV_CALL_QUERY, item, 0, 0);
}

int luv_session_open(const uint32_t key[3])
{
	return luv_call_plain(LUV_CALL_SESSION_OPEN, key[0], key[1], key[2]);
}

int luv_session_close(int session)
{
	return luv_call_plain(LUV_CALL_SESSION_CLOSE, (uintptr_t)session, 0, 0);
}

int luv_log_read(int session, unsigned which, uint64_t *position, void *buffer, size_t size,
		 uint64_t *lost)
{
	/* Aligned to a power of two not below its size, a structure lies in one page. */
	_Alignas(64) struct luv_log_read read = {
	    .which = which,
	    .position = *position,
	    .buffer = (uintptr_t)buffer,
	    .size = size < LUV_LOG_READ_MAX ? size : LUV_LOG_READ_MAX,
	};
	_Static_assert(sizeof(read) <= 64, "struct luv_log_read");
	const uintptr_t argument[3] = {(uintptr_t)session, (uintptr_t)&read, 0};
	int result =
	    luv_call_with(LUV_CALL_LOG_READ, argument, (struct luv_span){&read, sizeof(read)},
			  (struct luv_span){buffer, (size_t)read.size});

	if (result < 0)
		return result;
	if (read.got > read.size)
		return LUV_ERR_INVAL;
	*position = read.position;
	*lost = read.lost;
	return (int)read.got;
}

int luv_cpu_statistics_get(int session, unsigned cpu, struct luv_cpu_statistics *statistics)
{
	_Alignas(256) struct luv_cpu_statistics copy = {.cpu = cpu};
	_Static_assert(sizeof(copy) <= 256, "struct luv_cpu_statistics");
	const uintptr_t argument[3] = {(uintptr_t)session, (uintptr_t)&copy, 0};
	int result =
	    luv_call_with(LUV_CALL_CPU_STATISTICS, argument,
			  (struct luv_span){&copy, sizeof(copy)}, (struct luv_span){NULL, 0});

	if (result >= 0)
		*statistics = copy;
	return result;
}

int luv_apic_mode_set(int session, bool trap)
{
	return luv_call_plain(LUV_CALL_APIC_MODE, (uintptr_t)session, trap, 0);
}

int luv_debug_crash(int session)
{
	return luv_call_plain(LUV_CALL_DEBUG_CRASH, (uintptr_t)session, 0, 0);
}
