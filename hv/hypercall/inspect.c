/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls on the hypervisor itself: query, log, statistics, the APIC's mode; and the one that tests its end. */
#include "cpu/crash.h"
#include "cpu/log.h"
#include "cpu/x86.h"
#include "exit/access.h"
#include "hypercall/argument.h"
#include "hypercall/call.h"
#include "lib/string.h"
#include "mem/page.h"
#include "mem/ram.h"
#include "vm/virt_ops.h"
#include "vm/world.h"

static struct call_facts facts;

void call_set_facts(const struct call_facts *new_facts)
{
	facts = *new_facts;
}

static u32 cpus_in_dom0(void)
{
	u32 count = 0;

	for (u32 i = 0; i < cpu_count; i++)
		count += __atomic_load_n(&cpu_slot(i)->state, __ATOMIC_ACQUIRE) == CPU_IN_DOM0;
	return count;
}

static u32 cpus_held(void)
{
	u32 count = 0;

	for (u32 i = 0; i < cpu_count; i++)
		count += __atomic_load_n(&cpu_slot(i)->state, __ATOMIC_ACQUIRE) != CPU_ABSENT;
	return count;
}

s64 call_query(struct vcpu *vcpu, const u64 argument[3])
{
	switch (argument[0]) {
	case LUV_QUERY_ABI_VERSION:
		return LUV_ABI_VERSION;
	case LUV_QUERY_VERSION:
		return LUV_VERSION;
	case LUV_QUERY_VENDOR:
		return vcpu->ops->vendor;
	case LUV_QUERY_CPUS:
		return cpus_held();
	case LUV_QUERY_CPUS_IN_DOM0:
		return cpus_in_dom0();
	case LUV_QUERY_MEMORY_HELD:
		return (s64)(ram_hidden_bytes() / KIB);
	case LUV_QUERY_POOL_SIZE:
		return (s64)(page_pool_size() / KIB);
	case LUV_QUERY_POOL_FREE:
		return (s64)(page_pool_free() / KIB);
	case LUV_QUERY_APIC_MODE:
		return facts.apic_mode();
	case LUV_QUERY_HIDDEN_TOUCHES:
		return (s64)ram_touches();
	case LUV_QUERY_HIDDEN_BASE:
		return (s64)(facts.hidden_base / PAGE_SIZE);
	case LUV_QUERY_MITIGATIONS:
		return world_mitigations();
	default:
		return LUV_ERR_NOENT;
	}
}

static size_t read_previous(u64 position, char *to, size_t size)
{
	size_t length;
	const char *text = crash_previous(&length);

	if (!text || position >= length)
		return 0;
	size = min_u64(size, length - position);
	memcpy(to, text + position, size);
	return size;
}

/* At most one page of the caller's buffer in a call: bounded work, and one walk. */
static s64 copy_log(struct vcpu *vcpu, struct luv_log_read *read)
{
	char piece[512];
	size_t length;
	u64 room = PAGE_SIZE - read->buffer % PAGE_SIZE;

	length = min_u64(min_u64(sizeof(piece), read->size), room);
	read->lost = 0;
	if (read->which == LUV_LOG_CURRENT)
		length = log_read(read->position, piece, length, &read->lost);
	else
		length = read_previous(read->position, piece, length);
	if (length && !user_write(vcpu, gva(read->buffer), piece, length))
		return LUV_ERR_FAULT;
	read->got = length;
	read->position += read->lost + length;
	return 0;
}

s64 call_log_read(struct vcpu *vcpu, const u64 argument[3])
{
	struct luv_log_read read;
	s64 result = argument_read(vcpu, argument[1], &read, sizeof(read));

	if (result)
		return result;
	if (read.which > LUV_LOG_PREVIOUS || !read.size || read.size > LUV_LOG_READ_MAX)
		return LUV_ERR_INVAL;
	if (read.which == LUV_LOG_PREVIOUS && !crash_previous(&(size_t){0}))
		return LUV_ERR_NOENT;
	result = copy_log(vcpu, &read);
	if (result)
		return result;
	return argument_write(vcpu, argument[1], &read, sizeof(read));
}

s64 call_cpu_statistics(struct vcpu *vcpu, const u64 argument[3])
{
	struct luv_cpu_statistics statistics;
	s64 result = argument_read(vcpu, argument[1], &statistics, sizeof(statistics));
	const struct cpu *cpu;
	const struct vcpu *vcpu_of_cpu;

	if (result)
		return result;
	if (statistics.cpu >= cpu_count)
		return LUV_ERR_NOENT;
	cpu = cpu_slot((u32)index_nospec(statistics.cpu, cpu_count));
	statistics.apic_id = cpu->apic_id;
	statistics.in_dom0 = __atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) == CPU_IN_DOM0;
	statistics.starts = cpu->starts;
	/* A CPU that never came up has none. */
	vcpu_of_cpu = __atomic_load_n(&cpu->vcpu, __ATOMIC_ACQUIRE);
	for (u32 i = 0; i < LUV_EXIT_COUNT; i++)
		statistics.exits[i] =
			vcpu_of_cpu ? __atomic_load_n(&vcpu_of_cpu->exits[i], __ATOMIC_RELAXED) : 0;
	return argument_write(vcpu, argument[1], &statistics, sizeof(statistics));
}

s64 call_apic_mode(struct vcpu *vcpu, const u64 argument[3])
{
	return argument[1] > 1 ? LUV_ERR_INVAL : facts.set_apic_mode(vcpu, argument[1]);
}

s64 call_debug_crash(struct vcpu *vcpu, const u64 argument[3])
{
	if (!facts.may_crash)
		return LUV_ERR_PERM;
	crash("dom0 asked for it on CPU %u (debug=crash)", vcpu->cpu->index);
}
