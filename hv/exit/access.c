/* SPDX-License-Identifier: BSD-2-Clause */
#include "exit/access.h"

#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/page.h"
#include "mem/ram.h"
#include "mem/walk.h"

#define ENTRY_PRESENT BIT(0) /* APM 2 5.4.1 */

struct memory {
	struct walk_memory walk; /* first */
	struct vcpu *vcpu;
};

/* A guest's memory is what its nested tables map: dom0's RAM, checked when it was mapped. */
static const void *guest_memory(struct vcpu *vcpu, gpa_t address, u64 size)
{
	struct nested_leaf leaf;

	nested_lookup(vcpu->nested, address, &leaf);
	if (!leaf.access || size > PAGE_SIZE - address.addr % PAGE_SIZE)
		return NULL;
	return hpa_to_virt(hpa(leaf.page.addr + (address.addr - leaf.base.addr)));
}

static bool read_entry(const struct walk_memory *walk_memory, gpa_t address, unsigned size,
		       u64 *entry)
{
	struct vcpu *vcpu = ((const struct memory *)walk_memory)->vcpu;
	const void *at = vcpu->guest ? guest_memory(vcpu, address, size) : ram_dom0(address, size);

	if (!at)
		return false;
	*entry = size == 4 ? __atomic_load_n((const u32 *)at, __ATOMIC_RELAXED)
			   : __atomic_load_n((const u64 *)at, __ATOMIC_RELAXED);
	return true;
}

static u8 physical_bits(void)
{
	static u8 bits;

	if (!bits)
		bits = (u8)cpuid(0x80000008, 0).eax;
	return bits;
}

static bool walk(struct vcpu *vcpu, gva_t at, u32 need, struct walk_result *result)
{
	const struct memory memory = {{read_entry}, vcpu};
	struct walk_cpu cpu;

	vcpu_need(vcpu, VCPU_CONTROL);
	cpu = (struct walk_cpu){
		.cr0 = vcpu->control.cr0,
		.cr3 = vcpu->control.cr3,
		.cr4 = vcpu->control.cr4,
		.efer = vcpu->control.efer,
		.physical_bits = physical_bits(),
	};
	return walk_gva(&memory.walk, &cpu, at, need, result) == WALK_OK;
}

bool user_page(struct vcpu *vcpu, gva_t at, bool write, gpa_t *address, u64 *page_size)
{
	struct walk_result result;

	if (!walk(vcpu, at, (u32)(WALK_USER | (write ? WALK_WRITE : 0)), &result))
		return false;
	*address = result.address;
	*page_size = result.page_size;
	return true;
}

bool address_space_reads(u64 cr3, gva_t at, const u64 *page, u64 value)
{
	struct vcpu *dom0 = this_cpu()->vcpu;
	const struct memory memory = {{read_entry}, dom0};
	struct walk_cpu cpu;
	struct walk_result result;

	vcpu_need(dom0, VCPU_CONTROL);
	cpu = (struct walk_cpu){
		.cr0 = dom0->control.cr0,
		.cr3 = cr3,
		.cr4 = dom0->control.cr4,
		.efer = dom0->control.efer,
		.physical_bits = physical_bits(),
	};
	switch (walk_gva(&memory.walk, &cpu, at, WALK_USER | WALK_COLD, &result)) {
	case WALK_OK:
		return ram_dom0(result.address, sizeof(value)) == page &&
		       __atomic_load_n(page, __ATOMIC_RELAXED) == value;
	case WALK_FAULT:
		return result.entry && !(result.entry & ENTRY_PRESENT);
	default:
		return false;
	}
}

static void *user_memory(struct vcpu *vcpu, gva_t at, u64 size, u32 need)
{
	struct walk_result result;

	if (size > PAGE_SIZE - at.addr % PAGE_SIZE || !walk(vcpu, at, need | WALK_USER, &result))
		return NULL;
	return ram_dom0(result.address, size);
}

bool user_read(struct vcpu *vcpu, gva_t from, void *to, u64 size)
{
	const void *at = user_memory(vcpu, from, size, 0);

	if (at)
		memcpy(to, at, size);
	return at;
}

bool user_write(struct vcpu *vcpu, gva_t to, const void *from, u64 size)
{
	void *at = user_memory(vcpu, to, size, WALK_WRITE);

	if (at)
		memcpy(at, from, size);
	return at;
}

static gva_t instruction_address(struct vcpu *vcpu)
{
	if (vcpu->code64)
		return gva(vcpu->rip);
	vcpu_need(vcpu, VCPU_SEGMENTS);
	return gva((u32)(vcpu->segments.seg[SEG_CS].base + vcpu->rip));
}

unsigned code_fetch(struct vcpu *vcpu, u8 *bytes, unsigned max)
{
	gva_t at = instruction_address(vcpu);
	unsigned count = 0;

	while (count < max) {
		u64 in_page = PAGE_SIZE - at.addr % PAGE_SIZE;
		unsigned part = (unsigned)min_u64(max - count, in_page);
		struct walk_result result;
		const void *code;

		if (!walk(vcpu, at, WALK_EXEC, &result))
			break;
		code = vcpu->guest ? guest_memory(vcpu, result.address, part)
				   : ram_dom0_code(result.address, part);
		if (!code)
			break;
		memcpy(bytes + count, code, part);
		count += part;
		at.addr += part;
	}
	return count;
}
