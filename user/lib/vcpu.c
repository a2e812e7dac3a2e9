/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/luvalley.h"

#include <string.h>

#include "lib/call.h"

static const struct luv_span nothing = {NULL, 0};

int luv_vcpu_create(int vm, const struct luv_vcpu_create *create)
{
	_Alignas(32) struct luv_vcpu_create copy = *create;
	_Static_assert(sizeof(copy) <= 32, "struct luv_vcpu_create");
	const uintptr_t argument[3] = {(uintptr_t)vm, (uintptr_t)&copy, 0};

	return luv_call_with(LUV_CALL_VCPU_CREATE, argument,
			     (struct luv_span){&copy, sizeof(copy)}, nothing);
}

/* What is seldom: the call must be made again, or memory be touched first. */
static __attribute__((noinline)) int run_on(int vm, unsigned index, struct luv_vcpu_page *page, int result)
{
	uint64_t last = 0;
	unsigned touches = 0;

	if (result == LUV_ERR_AGAIN)
		result = luv_call_plain(LUV_CALL_VCPU_RUN, (uintptr_t)vm, index, 0);
	while (result >= 0 && page->exit.reason == LUV_RUN_FAULT_IN) {
		uint64_t address = page->exit.fault_in.address;

		touches = address / LUV_PAGE_SIZE == last / LUV_PAGE_SIZE ? touches + 1 : 0;
		if (touches == LUV_TOUCHES_MAX)
			return LUV_ERR_FAULT;
		last = address;
		luv_touch((uintptr_t)address, page->exit.fault_in.write != 0);
		result = luv_call_plain(LUV_CALL_VCPU_RUN, (uintptr_t)vm, index, 0);
	}
	return result;
}

int luv_vcpu_run(int vm, unsigned index, struct luv_vcpu_page *page)
{
	int result = luv_call_quick(LUV_CALL_VCPU_RUN, (uintptr_t)vm, index, 0);

	if (result >= 0 && page->exit.reason != LUV_RUN_FAULT_IN)
		return result;
	return run_on(vm, index, page, result);
}

int luv_vcpu_sync(int vm, unsigned index)
{
	return luv_call_plain(LUV_CALL_VCPU_SYNC, (uintptr_t)vm, index, 0);
}

int luv_vcpu_cpuid(int vm, unsigned index, const struct luv_cpuid_entry *entries,
		   unsigned count)
{
	_Alignas(LUV_PAGE_SIZE) struct luv_cpuid_entry table[LUV_CPUID_MAX] = {{0}};
	const uintptr_t argument[3] = {(uintptr_t)vm, index, (uintptr_t)table};

	if (count > LUV_CPUID_MAX)
		return LUV_ERR_INVAL;
	memcpy(table, entries, count * sizeof(*entries));
	return luv_call_with(LUV_CALL_VCPU_CPUID, argument,
			     (struct luv_span){table, sizeof(table)}, nothing);
}

int luv_vcpu_statistics(int vm, unsigned index, struct luv_vcpu_statistics *statistics)
{
	_Alignas(256) struct luv_vcpu_statistics copy = {.index = index};
	_Static_assert(sizeof(copy) <= 256, "struct luv_vcpu_statistics");
	const uintptr_t argument[3] = {(uintptr_t)vm, (uintptr_t)&copy, 0};
	int result = luv_call_with(LUV_CALL_VCPU_STATISTICS, argument,
				   (struct luv_span){&copy, sizeof(copy)}, nothing);

	if (result >= 0)
		*statistics = copy;
	return result;
}
