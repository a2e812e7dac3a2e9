/* SPDX-License-Identifier: BSD-2-Clause */
#include "exit/guest_memory.h"

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/ram.h"
#include "mem/walk.h"

static bool read_entry(const struct walk_memory *memory, gpa_t address, unsigned size, u64 *entry)
{
	const void *at = ram_dom0(address, size);

	(void)memory;
	if (!at)
		return false;
	*entry = size == 4 ? __atomic_load_n((const u32 *)at, __ATOMIC_RELAXED)
			   : __atomic_load_n((const u64 *)at, __ATOMIC_RELAXED);
	return true;
}

static const struct walk_memory dom0_memory = {.read_entry = read_entry};

static u8 physical_bits(void)
{
	static u8 bits;

	if (!bits)
		bits = (u8)cpuid(0x80000008, 0).eax;
	return bits;
}

static bool walk(struct vcpu *vcpu, gva_t at, u32 need, gpa_t *address)
{
	struct walk_cpu cpu;
	struct walk_result result;

	vcpu_need(vcpu, VCPU_CONTROL);
	cpu = (struct walk_cpu){
		.cr0 = vcpu->control.cr0,
		.cr3 = vcpu->control.cr3,
		.cr4 = vcpu->control.cr4,
		.efer = vcpu->control.efer,
		.physical_bits = physical_bits(),
	};
	if (walk_gva(&dom0_memory, &cpu, at, need, &result) != WALK_OK)
		return false;
	*address = result.address;
	return true;
}

static void *user_memory(struct vcpu *vcpu, gva_t at, u64 size, u32 need)
{
	gpa_t address;

	if (size > PAGE_SIZE - at.addr % PAGE_SIZE || !walk(vcpu, at, need | WALK_USER, &address))
		return NULL;
	return ram_dom0(address, size);
}

bool guest_read_user(struct vcpu *vcpu, gva_t from, void *to, u64 size)
{
	const void *at = user_memory(vcpu, from, size, 0);

	if (at)
		memcpy(to, at, size);
	return at;
}

bool guest_write_user(struct vcpu *vcpu, gva_t to, const void *from, u64 size)
{
	void *at = user_memory(vcpu, to, size, WALK_WRITE);

	if (at)
		memcpy(at, from, size);
	return at;
}

static gva_t instruction_address(struct vcpu *vcpu)
{
	const struct segment *cs = &vcpu->segments.seg[SEG_CS];

	vcpu_need(vcpu, VCPU_CONTROL | VCPU_SEGMENTS);
	if (vcpu->control.efer & EFER_LMA && cs->attributes & SEGMENT_LONG)
		return gva(vcpu->rip);
	return gva((u32)(cs->base + vcpu->rip));
}

unsigned guest_fetch(struct vcpu *vcpu, u8 *bytes, unsigned max)
{
	gva_t at = instruction_address(vcpu);
	unsigned count = 0;

	while (count < max) {
		u64 in_page = PAGE_SIZE - at.addr % PAGE_SIZE;
		unsigned part = (unsigned)min_u64(max - count, in_page);
		const void *code;
		gpa_t address;

		if (!walk(vcpu, at, WALK_EXEC, &address))
			break;
		code = ram_dom0_code(address, part);
		if (!code)
			break;
		memcpy(bytes + count, code, part);
		count += part;
		at.addr += part;
	}
	return count;
}
