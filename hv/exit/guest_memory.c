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
 * The largest page that covers the fault and is one page on both sides: the client's mapping, the
 * slot and the machine's RAM.
 */
static u64 leaf_size(const struct vm_slot *slot, gpa_t at, gpa_t backing, u64 backing_size)
{
	for (u64 size = GIB; size > PAGE_SIZE; size /= 512) {
		u64 base = align_down(at.addr, size), host = align_down(backing.addr, size);

		if (size <= backing_size && !(slot->flags & LUV_SLOT_LOG_DIRTY) &&
		    (at.addr - base) == (backing.addr - host) &&
		    range_within(base, size, slot->gpa, slot->size) && ram_is_dom0(host, size))
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

/* The client's page tables are dom0's current ones: RUN is one of its own threads' calls. */
static void map_slot(struct vcpu *vcpu, const struct vm_slot *slot)
{
	gpa_t at = gpa(align_down(vcpu->exit.memory.at.addr, PAGE_SIZE)), backing;
	u64 address = slot->address + (at.addr - slot->gpa), size;
	bool write = !(slot->flags & LUV_SLOT_READ_ONLY), there;

	if (!user_page(vcpu->cpu->vcpu, gva(address), write, &backing, &size) ||
	    !ram_dom0(backing, PAGE_SIZE)) {
		fault_in(vcpu, address, write);
		return;
	}
	size = leaf_size(slot, at, backing, size);
	if (!vm_map(vcpu->guest->vm, at, hpa(backing.addr), size, slot_access(vcpu->nested, slot, size), &there))
		guest_exit(vcpu, LUV_RUN_NO_MEMORY);
	/* What was not present is in no TLB (SDM 3A 4.10.2.3). */
	else if (there)
		vcpu->dirty |= VCPU_FLUSH;
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
