/* SPDX-License-Identifier: BSD-2-Clause */
/* Nested page faults of guests: memory on demand, MMIO for the client. */
#include "cpu/x86.h"
#include "exit/access.h"
#include "exit/guest.h"
#include "exit/insn.h"
#include "lib/string.h"
#include "mem/ram.h"
#include "vm/guest.h"
#include "vm/vm.h"

static void fetch_instruction(struct vcpu *vcpu, struct luv_exit_record *record)
{
	unsigned count = vcpu->exit.memory.fetched;

	if (count)
		memcpy(record->mmio.bytes, vcpu->exit.memory.bytes, count);
	else
		count = code_fetch(vcpu, record->mmio.bytes, INSN_MAX);
	record->mmio.byte_count = count;
}

static void to_client(struct vcpu *vcpu)
{
	bool walk = vcpu->exit.memory.page_walk;
	struct luv_exit_record *record = guest_exit(vcpu, walk ? LUV_RUN_WALK : LUV_RUN_MMIO);

	record->mmio.gpa = vcpu->exit.memory.at.addr;
	record->mmio.write = vcpu->exit.memory.write;
	record->mmio.flags = (vcpu->code64 ? LUV_MMIO_CODE64 : 0) | (vcpu->event ? LUV_MMIO_DELIVERING : 0);
	if (!walk)
		fetch_instruction(vcpu, record);
}

/*
 * Does the client say that this part of the slot's memory is pinned? A slot is removed before its memory is unpinned,
 * and that is a flush.
 */
static bool is_pinned(const struct guest *guest, const struct vm_slot *slot, u64 base, u64 size)
{
	u64 address = slot->address + (base - slot->gpa);

	return !(slot->flags & LUV_SLOT_LAZY) ||
	       (guest->pinned.flushes == guest->vm->flushes && address >= guest->pinned.begin &&
		address + size <= guest->pinned.end);
}

static void ask_pin(struct vcpu *vcpu, const struct vm_slot *slot, u64 address)
{
	struct guest *guest = vcpu->guest;

	guest_exit(vcpu, LUV_RUN_PIN)->pin.address = address;
	guest->finish = FINISH_PIN;
	guest->pinned.begin = slot->address;
	guest->pinned.end = slot->address + slot->size;
	guest->pinned.flushes = guest->vm->flushes;
}

/* Whatever it says, it is within the slot that was asked for. */
void guest_memory_pinned(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;
	const struct luv_exit_record *record = &guest->page->exit;

	guest->pinned.begin = max_u64(guest->pinned.begin, __atomic_load_n(&record->pin.begin, __ATOMIC_RELAXED));
	guest->pinned.end = min_u64(guest->pinned.end, __atomic_load_n(&record->pin.end, __ATOMIC_RELAXED));
}

/*
 * The largest page that covers the fault and is one page on both sides: the client's mapping, what of the
 * slot is pinned and the machine's RAM.
 */
static u64 leaf_size(const struct guest *guest, const struct vm_slot *slot, gpa_t at, gpa_t backing, u64 backing_size)
{
	for (u64 size = GIB; size > PAGE_SIZE; size /= 512) {
		u64 base = align_down(at.addr, size), host = align_down(backing.addr, size);

		if (size <= backing_size && !(slot->flags & LUV_SLOT_LOG_DIRTY) &&
		    (at.addr - base) == (backing.addr - host) && range_within(base, size, slot->gpa, slot->size) &&
		    is_pinned(guest, slot, base, size) && ram_is_dom0(host, size))
			return size;
	}
	return PAGE_SIZE;
}

/* What is executed of a large page gets a small one when it is (mem/nested.h, small_exec). */
static u32 slot_access(const struct nested *nested, const struct vm_slot *slot, u64 size)
{
	u64 access = NESTED_READ | NESTED_EXEC;

	if (nested->format->small_exec && size > PAGE_SIZE)
		access &= ~NESTED_EXEC;
	if (!(slot->flags & LUV_SLOT_READ_ONLY))
		access |= NESTED_WRITE;
	if (slot->flags & LUV_SLOT_LOG_DIRTY)
		access |= NESTED_CLEAN;
	return (u32)access;
}

/* The client must touch and pin this address. */
static void fault_in(struct vcpu *vcpu, u64 address, bool write)
{
	struct luv_exit_record *record = guest_exit(vcpu, LUV_RUN_FAULT_IN);

	record->fault_in.address = address;
	record->fault_in.write = write;
}

/* What is near a page that was mapped saves the guest its faults there: it may have many. */
static void map_near(struct vcpu *vcpu, const struct vm_slot *slot, gpa_t at, u64 size, const struct code_entry *leaf)
{
	u64 address = slot->address + (at.addr - slot->gpa), frames[NEAR_PAGES];
	u64 index = address / size % NEAR_PAGES, first = align_down(at.addr, size) - index * size;

	user_pages_near(leaf, gva(address), size, frames);
	for (u32 i = 0; i < NEAR_PAGES; i++) {
		if (!range_within(first + i * size, size, slot->gpa, slot->size) ||
		    !is_pinned(vcpu->guest, slot, first + i * size, size))
			frames[i] = 0;
	}
	vm_map_near(vcpu->guest->vm, at, size, frames, NEAR_PAGES, (u32)index, slot_access(vcpu->nested, slot, size));
}

/* The client's page tables are dom0's current ones: RUN is one of its own threads' calls. */
static void map_slot(struct vcpu *vcpu, const struct vm_slot *slot)
{
	gpa_t at = gpa(align_down(vcpu->exit.memory.at.addr, PAGE_SIZE)), backing;
	u64 address = slot->address + (at.addr - slot->gpa), size, leaf;
	bool write = !(slot->flags & LUV_SLOT_READ_ONLY), there;
	struct code_entry entry;

	if (!is_pinned(vcpu->guest, slot, at.addr, PAGE_SIZE)) {
		ask_pin(vcpu, slot, address);
		return;
	}
	if (!user_page(vcpu->cpu->vcpu, gva(address), write, &backing, &size, &entry) ||
	    !ram_dom0(backing, PAGE_SIZE)) {
		fault_in(vcpu, address, write);
		return;
	}
	leaf = leaf_size(vcpu->guest, slot, at, backing, size);
	if (!vm_map(vcpu->guest->vm, at, hpa(backing.addr), leaf, slot_access(vcpu->nested, slot, leaf), &there))
		guest_exit(vcpu, LUV_RUN_NO_MEMORY);
	/* What was not present is in no TLB (SDM 3A 4.10.2.3). */
	else if (there)
		vcpu->dirty |= VCPU_FLUSH;
	else if (leaf == size && entry.at)
		map_near(vcpu, slot, at, size, &entry);
}

void guest_memory_exit(struct vcpu *vcpu)
{
	struct vm_slot slot;

	if (!vm_slot_find(vcpu->guest->vm, vcpu->exit.memory.at, &slot)) {
		if (!guest_apic_store(vcpu))
			to_client(vcpu);
		return;
	}
	if (vcpu->exit.memory.present) {
		if (vcpu->exit.memory.write && slot.flags & LUV_SLOT_READ_ONLY)
			to_client(vcpu);
		else if (vcpu->exit.memory.exec && !vm_make_executable(vcpu->guest->vm, vcpu->exit.memory.at))
			guest_exit(vcpu, LUV_RUN_NO_MEMORY);
		else
			vcpu->dirty |= VCPU_FLUSH; /* another vCPU mapped it meanwhile */
		return;
	}
	if (vcpu->exit.memory.write && slot.flags & LUV_SLOT_READ_ONLY)
		to_client(vcpu);
	else
		map_slot(vcpu, &slot);
}
