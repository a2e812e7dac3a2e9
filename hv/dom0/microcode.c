/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/microcode.h"

#include "cpu/desc.h"
#include "cpu/log.h"
#include "exit/access.h"
#include "lib/string.h"

/* An AMD update says nowhere how long it is; none that is known is longer. */
#define AMD_SIZE 16384u

/* SDM 3A 9.11.1: the header before the data; its data size is 0 for the default. */
#define INTEL_HEADER	   48u
#define INTEL_DATA_SIZE	   28u
#define INTEL_DEFAULT_SIZE 2000u
#define INTEL_MAX_SIZE	   (16 * MIB)

static bool load(struct vcpu *vcpu, u32 msr, u64 address, u64 size)
{
	const void *update = size ? dom0_linear(vcpu, gva(address), size) : NULL;

	if (update)
		return wrmsr_safe(msr, (u64)update);
	hv_log_first("CPU %u: dom0's microcode update at 0x%llx was not loaded: it does not lie together in RAM",
		     vcpu->cpu->index, (unsigned long long)address);
	return true;
}

bool microcode_load_amd(struct vcpu *vcpu, u32 msr, u64 address)
{
	u64 size = AMD_SIZE;

	/* A kernel that maps its memory as it goes may not have what lies behind the update. The CPU checks a signature. */
	while (size > PAGE_SIZE && !dom0_linear(vcpu, gva(address + size - 1), 1))
		size -= PAGE_SIZE;
	return load(vcpu, msr, address, size);
}

bool microcode_load_intel(struct vcpu *vcpu, u32 msr, u64 address)
{
	const u8 *header = dom0_linear(vcpu, gva(address - INTEL_HEADER), INTEL_HEADER);
	u32 size = 0;

	if (header)
		memcpy(&size, header + INTEL_DATA_SIZE, sizeof(size));
	if (header && !size)
		size = INTEL_DEFAULT_SIZE;
	return load(vcpu, msr, address, size <= INTEL_MAX_SIZE ? size : 0);
}
