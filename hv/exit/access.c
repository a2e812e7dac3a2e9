/* SPDX-License-Identifier: BSD-2-Clause */
#include "exit/access.h"

#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/page.h"
#include "mem/ram.h"
#include "mem/walk.h"
#include "vm/guest.h"
#include "vm/vm.h"

#define ENTRY_PRESENT BIT(0) /* APM 2 5.4.1 */

/* Where entries are noted. */
struct trail {
	struct code_entry *next, *end;
};

struct memory {
	struct walk_memory walk; /* first */
	struct vcpu *vcpu;
	struct trail *trail; /* or NULL */
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
	const struct memory *memory = (const struct memory *)walk_memory;
	struct vcpu *vcpu = memory->vcpu;
	struct trail *trail = memory->trail;
	const void *at = vcpu->guest ? guest_memory(vcpu, address, size) : ram_dom0(address, size);

	if (!at)
		return false;
	*entry = size == 4 ? __atomic_load_n((const u32 *)at, __ATOMIC_RELAXED)
			   : __atomic_load_n((const u64 *)at, __ATOMIC_RELAXED);
	if (trail && trail->next < trail->end)
		*trail->next++ = (struct code_entry){at, *entry};
	return true;
}

static u8 physical_bits(void)
{
	static u8 bits;

	if (!bits)
		bits = (u8)cpuid(0x80000008, 0).eax;
	return bits;
}

static struct walk_cpu paging_of(struct vcpu *vcpu)
{
	vcpu_need(vcpu, VCPU_CONTROL);
	return (struct walk_cpu){
		.cr0 = vcpu->control.cr0,
		.cr3 = vcpu->control.cr3,
		.cr4 = vcpu->control.cr4,
		.efer = vcpu->control.efer,
		.physical_bits = physical_bits(),
	};
}

static bool walk(struct vcpu *vcpu, gva_t at, u32 need, struct walk_result *result, struct trail *trail)
{
	const struct memory memory = {{read_entry}, vcpu, trail};
	const struct walk_cpu cpu = paging_of(vcpu);

	return walk_gva(&memory.walk, &cpu, at, need, result) == WALK_OK;
}

bool user_page(struct vcpu *vcpu, gva_t at, bool write, gpa_t *address, u64 *page_size, struct code_entry *leaf)
{
	struct code_entry entries[5]; /* a table of each level */
	struct trail trail = {entries, entries + ARRAY_SIZE(entries)};
	struct walk_result result;

	if (!walk(vcpu, at, (u32)(WALK_USER | (write ? WALK_WRITE : 0)), &result, leaf ? &trail : NULL))
		return false;
	*address = result.address;
	*page_size = result.page_size;
	if (leaf)
		*leaf = vcpu->control.efer & EFER_LMA ? trail.next[-1] : (struct code_entry){0};
	return true;
}

/* They are in the same table as the leaf that the walk has checked: what is like it needs no other check. */
void user_pages_near(const struct code_entry *leaf, gva_t at, u64 size, u64 frames[NEAR_PAGES])
{
	const u64 *table = leaf->at - at.addr / size % NEAR_PAGES;
	const u64 address = (BIT(physical_bits()) - 1) & ~(size - 1);

	for (u32 i = 0; i < NEAR_PAGES; i++) {
		u64 entry = __atomic_load_n(&table[i], __ATOMIC_RELAXED), frame = entry & address;

		frames[i] = (entry ^ leaf->value) & ~address || !ram_is_dom0(frame, size) ? 0 : frame;
	}
}

const void *dom0_linear(struct vcpu *vcpu, gva_t at, u64 size)
{
	struct walk_result first, next;

	if (!walk(vcpu, at, 0, &first, NULL))
		return NULL;
	for (u64 done = PAGE_SIZE - at.addr % PAGE_SIZE; done < size; done += PAGE_SIZE) {
		if (!walk(vcpu, gva(at.addr + done), 0, &next, NULL) || next.address.addr != first.address.addr + done)
			return NULL;
	}
	return ram_dom0(first.address, size);
}

bool address_space_reads(u64 cr3, gva_t at, const u64 *page, u64 value)
{
	struct vcpu *dom0 = this_cpu()->vcpu;
	const struct memory memory = {{read_entry}, dom0, NULL};
	struct walk_cpu cpu = paging_of(dom0);
	struct walk_result result;

	cpu.cr3 = cr3;
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

	if (size > PAGE_SIZE - at.addr % PAGE_SIZE || !walk(vcpu, at, need | WALK_USER, &result, NULL))
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

static bool long_mode(struct vcpu *vcpu)
{
	if (vcpu->code64)
		return true;
	vcpu_need(vcpu, VCPU_CONTROL);
	return vcpu->control.efer & EFER_LMA;
}

/* As code_known, after a walk; and remembers. */
static const u8 *find_code(struct vcpu *vcpu, gva_t at, u64 size)
{
	static const u64 nothing;
	struct code_page *known = &vcpu->code[CODE_PLACE(at.addr)];
	struct trail trail = {known->entry, known->entry + ARRAY_SIZE(known->entry)};
	u64 offset = at.addr % PAGE_SIZE;
	struct walk_result result;
	gpa_t page;

	vcpu_need(vcpu, VCPU_CONTROL);
	*known = (struct code_page){
		.page = at.addr - offset,
		.cr3 = vcpu->control.cr3,
		.cr4 = vcpu->control.cr4,
	};
	if (vcpu->guest)
		*trail.next++ = (struct code_entry){&vcpu->guest->vm->flushes, vcpu->guest->vm->flushes};
	if (!walk(vcpu, at, WALK_EXEC, &result, &trail))
		return NULL;
	while (trail.next < &known->entry[4])
		*trail.next++ = (struct code_entry){&nothing, 0};
	page = gpa(result.address.addr - offset);
	/* Entries of 4 bytes are not worth it. */
	if (vcpu->control.efer & EFER_LMA)
		known->code = vcpu->guest ? guest_memory(vcpu, page, PAGE_SIZE) : ram_dom0(page, PAGE_SIZE);
	if (known->code)
		return known->code + offset;
	return vcpu->guest ? guest_memory(vcpu, result.address, size) : ram_dom0_code(result.address, size);
}

unsigned code_fetch(struct vcpu *vcpu, u8 *bytes, unsigned max)
{
	gva_t at = instruction_address(vcpu);
	unsigned count = 0;

	vcpu_need(vcpu, VCPU_NEAR);
	while (count < max) {
		unsigned part = (unsigned)min_u64(max - count, PAGE_SIZE - at.addr % PAGE_SIZE);
		const u8 *code = long_mode(vcpu) ? code_known(vcpu, at.addr, part) : NULL;

		if (!code)
			code = find_code(vcpu, at, part);
		if (!code)
			break;
		memcpy(bytes + count, code, part);
		count += part;
		at.addr += part;
	}
	return count;
}
