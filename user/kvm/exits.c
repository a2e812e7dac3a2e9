/* SPDX-License-Identifier: BSD-2-Clause */
/* Why the hypervisor's RUN returned, and what is done about it. */
#include <errno.h>
#include <string.h>

#include "kvm/coalesced.h"
#include "kvm/cpuid.h"
#include "kvm/emulate.h"
#include "kvm/eventfd.h"
#include "kvm/hypercall.h"
#include "kvm/irqchip.h"
#include "kvm/memory.h"
#include "kvm/msr.h"
#include "kvm/run.h"
#include "kvm/state.h"
#include "kvm/timer.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define IO_OFFSET      LUV_PAGE_SIZE /* of port data in the vCPU's mapping */
#define APIC_BASE_PAGE 0xfffffffffffff000ull
#define APIC_TPR       0x80u

static int to_client(struct vcpu *vcpu, uint32_t reason)
{
	vcpu->run->exit_reason = reason;
	return 0;
}

/* --- the local APIC ---------------------------------------------------------------------- */

/* What LUV_RUN_APIC and LAPIC_ACCESS ask for. */
static int apic_effect(struct vcpu *vcpu, uint64_t kind, uint64_t value)
{
	switch (kind) {
	case LUV_APIC_EOI:
		if (!irqchip_eoi(vcpu->vm, (uint8_t)value))
			return RUN_AGAIN;
		vcpu->run->eoi.vector = (uint8_t)value;
		return to_client(vcpu, KVM_EXIT_IOAPIC_EOI);
	case LUV_APIC_TIMER:
		__atomic_store_n(&vcpu->deadline, value, __ATOMIC_RELAXED);
		timer_arm(vcpu, value, vcpu_tsc_offset(vcpu));
		return RUN_AGAIN;
	case LUV_APIC_KICK:
		vm_nudge(vcpu->vm, value & ~(1ull << vcpu->index));
		return RUN_AGAIN;
	default:
		return RUN_AGAIN;
	}
}

/* HLT with a deadline, for which the CPU ends RUN by itself. */
static int apic_halted(struct vcpu *vcpu, uint64_t deadline)
{
	__atomic_store_n(&vcpu->deadline, deadline, __ATOMIC_RELAXED);
	timer_note(vcpu, deadline, vcpu_tsc_offset(vcpu));
	return RUN_HALTED;
}

/* The xAPIC page. False: the address is another's. */
static bool apic_mmio(struct vcpu *vcpu, struct emulate_access *access)
{
	uint64_t base = vcpu_apic_base(vcpu);
	struct luv_lapic_access request = {
	    .index = vcpu->index,
	    .offset = access->gpa & 0xfff,
	    .write = access->write,
	};
	uint32_t value;

	if ((access->gpa ^ base) & APIC_BASE_PAGE)
		return false;
	/* SDM 3A 10.4.1.2: 32 bits, aligned to 128. Parts of a register are read as such. */
	memcpy(&value, access->data, sizeof(value));
	request.value = value;
	if (access->write && (access->size != 4 || request.offset & 15))
		return true;
	request.offset &= ~15ull;
	if (luv_lapic_access(vcpu->vm->handle, &request) < 0)
		return false;
	if (!access->write) {
		uint64_t wide = request.value >> 8 * (access->gpa & 3);

		memcpy(access->data, &wide, sizeof(access->data));
	} else if (request.offset == APIC_TPR) {
		vcpu->page->valid &= ~LUV_GROUP_CONTROL; /* CR8 follows */
		state_need(vcpu, LUV_GROUP_CONTROL);
	}
	vcpu->apic_exit = apic_effect(vcpu, request.kind, request.effect);
	return true;
}

/* --- what the emulator asks for ---------------------------------------------------------- */

static void *emulate_memory(void *context, uint64_t gpa, bool write)
{
	return memory_page(((struct vcpu *)context)->vm, gpa, write);
}

/* Is there an eventfd or a ring that might take what the guest writes? */
static bool others_write(const struct vm *vm)
{
	return __atomic_load_n(&vm->events, __ATOMIC_RELAXED) |
	       __atomic_load_n(&vm->zones, __ATOMIC_RELAXED);
}

static bool coalesced(struct vm *vm, bool pio, uint64_t address, unsigned size, uint64_t value)
{
	return __atomic_load_n(&vm->zones, __ATOMIC_ACQUIRE) &&
	       coalesced_write(vm, pio, address, size, value);
}

static bool emulate_access_mmio(void *context, struct emulate_access *access)
{
	struct vcpu *vcpu = context;
	uint64_t value = 0;

	if (vcpu->vm->mode == IRQCHIP_NONE && !(access->write && others_write(vcpu->vm)))
		return false;
	if (vcpu->vm->mode != IRQCHIP_NONE && apic_mmio(vcpu, access))
		return true;
	if (access->write)
		memcpy(&value, access->data, access->size);
	if (irqchip_mmio(vcpu->vm, access->gpa, access->size, access->write, &value)) {
		if (!access->write)
			memcpy(access->data, &value, sizeof(access->data));
		return true;
	}
	return access->write && (ioeventfd_mmio(vcpu->vm, access->gpa, access->size, value) ||
				 coalesced(vcpu->vm, false, access->gpa, access->size, value));
}

/* Does this library answer any port? */
static inline bool has_ports(const struct vm *vm)
{
	return vm->mode == IRQCHIP_FULL || others_write(vm);
}

/* True: one access to a port was answered here. */
static bool port(struct vm *vm, uint16_t number, unsigned size, bool write, uint32_t *value)
{
	if (vm->mode == IRQCHIP_FULL && irqchip_pio(vm, number, size, write, value))
		return true;
	return write && (ioeventfd_pio(vm, number, size, *value) ||
			 coalesced(vm, true, number, size, *value));
}

/* All elements or none: the first says whose the port is. What then is not taken is dropped, as
 * by a device that has no more room. */
static bool emulate_port(void *context, struct emulate_io *io)
{
	struct vcpu *vcpu = context;

	for (uint32_t i = 0; i < io->count; i++) {
		uint8_t *at = io->data + i * io->size;
		uint32_t value = 0;

		memcpy(&value, at, io->size);
		if (!port(vcpu->vm, io->port, io->size, !io->in, &value) && i == 0)
			return false;
		if (io->in)
			memcpy(at, &value, io->size);
	}
	return true;
}

static bool emulate_groups(void *context, uint64_t groups)
{
	state_need(context, groups);
	return true;
}

static const struct emulate_ops emulate_ops = {
    .memory = emulate_memory,
    .mmio = emulate_access_mmio,
    .port = emulate_port,
    .groups = emulate_groups,
};

static uint16_t part_offset(unsigned part)
{
	unsigned offset, size;

	return cpuid_xcr0() >> part & 1 && cpuid_xsave_part(part, &offset, &size)
		   ? (uint16_t)offset
		   : 0;
}

void exit_prepare(struct vcpu *vcpu)
{
	uint32_t bits;
	struct emulate_setup setup;

	bits = cpuid_guest(vcpu, 0x80000008, 0, 0) & 0xff;
	setup = (struct emulate_setup){
	    .ops = &emulate_ops,
	    .context = vcpu,
	    .page = vcpu->page,
	    .xsave = vcpu->fpu,
	    .zmm_offset = part_offset(6),
	    .pkru_offset = part_offset(9),
	    .physical_bits = bits >= 32 && bits <= 52 ? (uint8_t)bits : 36,
	};
	emulate_init(vcpu->emulate, &setup);
	if (vcpu->vm->mode == IRQCHIP_NONE)
		vcpu->page->request |= LUV_REQUEST_CR8;
	vcpu->wanted = WANTED_ALL;
	vcpu->emulate_ready = true;
}

/* --- what the emulator found ------------------------------------------------------------- */

static int give_mmio(struct vcpu *vcpu)
{
	const struct emulate_access *access = &vcpu->emulate->access;
	struct kvm_run *run = vcpu->run;

	run->mmio.phys_addr = access->gpa;
	run->mmio.len = access->size;
	run->mmio.is_write = access->write;
	memcpy(run->mmio.data, access->data, sizeof(run->mmio.data));
	return to_client(vcpu, KVM_EXIT_MMIO);
}

static inline int give_io(struct vcpu *vcpu, uint16_t number, uint8_t size, bool in,
			  uint32_t count)
{
	struct kvm_run *run = vcpu->run;

	run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = size;
	run->io.port = number;
	run->io.count = count;
	run->io.data_offset = IO_OFFSET;
	return to_client(vcpu, KVM_EXIT_IO);
}

static int give_strings(struct vcpu *vcpu)
{
	const struct emulate_io *io = &vcpu->emulate->io;

	vcpu->pending = PENDING_IO_STRING;
	if (!io->in)
		memcpy((uint8_t *)vcpu->run + IO_OFFSET, io->data,
		       (size_t)io->size * io->count);
	return give_io(vcpu, io->port, io->size, io->in, io->count);
}

static int give_fault(struct vcpu *vcpu)
{
	const struct emulate_fault *fault = &vcpu->emulate->fault;
	uint64_t event = LUV_INJECT_VALID | LUV_INJECT_EXCEPTION | fault->vector;

	if (fault->vector == 14) {
		state_need(vcpu, LUV_GROUP_CONTROL);
		vcpu->page->cr2 = fault->cr2;
		state_changed(vcpu, LUV_GROUP_CONTROL);
	}
	state_inject(vcpu, fault->has_error ? event | LUV_INJECT_ERROR : event, fault->error);
	return RUN_AGAIN;
}

/* KVM's record of an instruction that it cannot emulate: the bytes, as far as they are known.
 */
static int give_unknown(struct vcpu *vcpu)
{
	const struct luv_exit_record *exit = &vcpu->page->exit;
	struct kvm_run *run = vcpu->run;
	uint64_t count = exit->reason == LUV_RUN_MMIO ? exit->mmio.byte_count : 0;

	memset(&run->emulation_failure, 0, sizeof(run->emulation_failure));
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	if (count) {
		run->emulation_failure.ndata = 3;
		run->emulation_failure.flags =
		    KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = (uint8_t)(count < 15 ? count : 15);
		memcpy(run->emulation_failure.insn_bytes, exit->mmio.bytes, 15);
	}
	return to_client(vcpu, KVM_EXIT_INTERNAL_ERROR);
}

static int emulated(struct vcpu *vcpu, enum emulate_result result)
{
	int effect = vcpu->apic_exit;

	vcpu->apic_exit = RUN_AGAIN;
	switch (result) {
	case EMULATE_DONE:
		if (debug_stepped(vcpu, vcpu->emulate->step))
			return 0;
		return effect;
	case EMULATE_MMIO:
		vcpu->pending = PENDING_MMIO;
		return give_mmio(vcpu);
	case EMULATE_IO:
		return give_strings(vcpu);
	case EMULATE_FAULT:
		return give_fault(vcpu);
	case EMULATE_UNKNOWN:
		break;
	}
	return give_unknown(vcpu);
}

/* With the memory's lock held, which it gives back. */
static int emulate_locked(struct vcpu *vcpu, enum emulate_result (*step)(struct emulate *))
{
	enum emulate_result result;

	vcpu->apic_exit = RUN_AGAIN;
	state_need(vcpu, LUV_GROUP_GENERAL | LUV_GROUP_CONTROL | LUV_GROUP_SEGMENTS |
			     LUV_GROUP_EVENTS);
	result = step(vcpu->emulate);
	memory_unlock(vcpu->vm);
	return emulated(vcpu, result);
}

static int emulate(struct vcpu *vcpu, enum emulate_result (*step)(struct emulate *))
{
	memory_lock(vcpu->vm);
	return emulate_locked(vcpu, step);
}

int exit_complete(struct vcpu *vcpu)
{
	enum vcpu_pending pending = (enum vcpu_pending)vcpu->pending;
	const uint8_t *data = (const uint8_t *)vcpu->run + IO_OFFSET;
	struct emulate *e = vcpu->emulate;

	vcpu->pending = PENDING_NONE;
	switch (pending) {
	case PENDING_IO: /* the hypervisor finishes IN */
		memcpy(&vcpu->page->exit.io.data, data, sizeof(uint32_t));
		return RUN_AGAIN;
	case PENDING_MMIO:
		if (!e->access.write)
			memcpy(e->access.data, vcpu->run->mmio.data, sizeof(e->access.data));
		return emulate(vcpu, emulate_resume);
	case PENDING_PLAIN:
		state_need(vcpu, LUV_GROUP_GENERAL);
		memcpy(e->access.data, vcpu->run->mmio.data, sizeof(e->access.data));
		emulate_plain_done(e);
		return debug_stepped(vcpu, false) ? 0 : RUN_AGAIN; /* asked for meanwhile */
	case PENDING_IO_STRING:
		if (e->io.in)
			memcpy(e->io.data, data, (size_t)e->io.size * e->io.count);
		return emulate(vcpu, emulate_resume);
	case PENDING_NONE:
		break;
	}
	return RUN_AGAIN;
}

/* --- records ----------------------------------------------------------------------------- */

static inline int io_to_client(struct vcpu *vcpu)
{
	const struct luv_exit_record *exit = &vcpu->page->exit;
	bool in = exit->io.flags & LUV_IO_IN;
	uint32_t value = (uint32_t)exit->io.data;

	/* One store for each size: what is behind the element is nobody's. */
	memcpy((uint8_t *)vcpu->run + IO_OFFSET, &value, sizeof(value));
	vcpu->pending = in ? PENDING_IO : PENDING_NONE;
	return give_io(vcpu, (uint16_t)exit->io.port, (uint8_t)exit->io.size, in, 1);
}

static int io_exit(struct vcpu *vcpu)
{
	struct luv_exit_record *exit = &vcpu->page->exit;
	bool in = exit->io.flags & LUV_IO_IN;
	uint32_t value = (uint32_t)exit->io.data;

	if (exit->io.flags & LUV_IO_STRING)
		return emulate(vcpu, emulate_string_io);
	if (!port(vcpu->vm, (uint16_t)exit->io.port, (unsigned)exit->io.size, !in, &value))
		return io_to_client(vcpu);
	if (in)
		exit->io.data = value;
	return RUN_AGAIN;
}

/* Slots change while the vCPUs are stopped: what is in none now is so until the next time. */
static bool in_no_slot(struct vcpu *vcpu, uint64_t gpa)
{
	uint64_t stops = __atomic_load_n(&vcpu->vm->stops, __ATOMIC_ACQUIRE);
	bool found, stopped;

	if (vcpu->no_slot_stops == stops && vcpu->no_slot == gpa / LUV_PAGE_SIZE)
		return true;
	memory_lock(vcpu->vm);
	found = memory_has(vcpu->vm, gpa, false);
	stopped = __atomic_load_n(&vcpu->vm->stopped, __ATOMIC_SEQ_CST);
	memory_unlock(vcpu->vm);
	if (found || stopped)
		return false;
	vcpu->no_slot = gpa / LUV_PAGE_SIZE;
	vcpu->no_slot_stops = stops;
	return true;
}

/* As emulate(), for what emulate_plain takes. */
static bool plain_mmio(struct vcpu *vcpu, int *result)
{
	const struct luv_exit_record *exit = &vcpu->page->exit;
	struct emulate *e = vcpu->emulate;

	if (exit->mmio.flags != LUV_MMIO_CODE64 || vcpu->debug.control ||
	    !in_no_slot(vcpu, exit->mmio.gpa))
		return false;
	if (!(vcpu->page->valid & LUV_GROUP_GENERAL))
		state_need(vcpu, LUV_GROUP_GENERAL);
	if (!emulate_plain(e))
		return false;
	if (e->access.write)
		emulate_plain_done(e);
	vcpu->apic_exit = RUN_AGAIN;
	if (!emulate_access_mmio(vcpu, &e->access)) {
		vcpu->pending = e->access.write ? PENDING_NONE : PENDING_PLAIN;
		*result = give_mmio(vcpu);
		return true;
	}
	if (!e->access.write)
		emulate_plain_done(e);
	*result = vcpu->apic_exit;
	vcpu->apic_exit = RUN_AGAIN;
	return true;
}

static int mmio_exit(struct vcpu *vcpu)
{
	const struct luv_exit_record *exit = &vcpu->page->exit;
	int result;

	vcpu->plain = plain_mmio(vcpu, &result);
	vcpu->wanted = vcpu->plain ? WANTED_PLAIN : WANTED_ALL;
	if (vcpu->plain)
		return result;
	memory_lock(vcpu->vm);
	if (memory_has(vcpu->vm, exit->mmio.gpa, exit->mmio.write)) {
		memory_unlock(vcpu->vm);
		result = memory_revive(vcpu->vm, exit->mmio.gpa, exit->mmio.write);
		return result < 0 ? result : RUN_AGAIN;
	}
	/* The CPU pushed to a stack, or read a table, that is no memory: nobody can do that for
	 * it. */
	if (exit->reason == LUV_RUN_WALK || exit->mmio.flags & LUV_MMIO_DELIVERING) {
		memory_unlock(vcpu->vm);
		return give_unknown(vcpu);
	}
	return emulate_locked(vcpu, emulate_mmio);
}

/* --- eventfds, within RUN ---------------------------------------------------------------- */

static inline bool is_port_event(struct vcpu *vcpu)
{
	const struct luv_exit_record *exit = &vcpu->page->exit;
	const struct ioeventfds *bus = ioeventfds_of(vcpu->vm, BUS_PIO);
	uint16_t number = (uint16_t)exit->io.port;
	unsigned size = (unsigned)exit->io.size;
	int fd;

	if (!bus || exit->io.flags & (LUV_IO_IN | LUV_IO_STRING))
		return false;
	fd = ioeventfd_find(bus, number, size, exit->io.data);
	if (fd < 0 || (vcpu->vm->irqchip && irqchip_has_port(vcpu->vm, number, size)))
		return false;
	eventfd_signal(fd);
	return true;
}

/* Does mmio_exit find this page known, and ask for no more than plain_mmio needs? */
static bool is_plain_write(const struct vcpu *vcpu)
{
	const struct luv_exit_record *exit = &vcpu->page->exit;

	return exit->mmio.write && exit->mmio.flags == LUV_MMIO_CODE64 && vcpu->plain &&
	       !vcpu->debug.control && vcpu->page->valid & LUV_GROUP_GENERAL &&
	       vcpu->no_slot == exit->mmio.gpa / LUV_PAGE_SIZE &&
	       vcpu->no_slot_stops == __atomic_load_n(&vcpu->vm->stops, __ATOMIC_ACQUIRE);
}

static bool is_apic_page(const struct vcpu *vcpu, uint64_t gpa)
{
	return vcpu->vm->mode != IRQCHIP_NONE &&
	       !((gpa ^ vcpu_apic_base(vcpu)) & APIC_BASE_PAGE);
}

static __attribute__((noinline)) bool is_mmio_event(struct vcpu *vcpu)
{
	const struct ioeventfds *bus = ioeventfds_of(vcpu->vm, BUS_MMIO);
	uint64_t gpa = vcpu->page->exit.mmio.gpa, value;
	struct emulate *e = vcpu->emulate;
	int fd;

	if (!bus || !ioeventfd_there(bus, gpa) || !is_plain_write(vcpu) ||
	    is_apic_page(vcpu, gpa) || (vcpu->vm->irqchip && irqchip_has_mmio(vcpu->vm, gpa)) ||
	    !emulate_plain(e))
		return false;
	memcpy(&value, e->access.data, sizeof(value));
	fd = ioeventfd_find(bus, gpa, e->access.size, value);
	if (fd < 0)
		return false;
	emulate_plain_done(e);
	eventfd_signal(fd);
	return true;
}

bool exit_is_event(struct vcpu *vcpu)
{
	switch (vcpu->page->exit.reason) {
	case LUV_RUN_IO:
		return is_port_event(vcpu);
	case LUV_RUN_MMIO:
		return is_mmio_event(vcpu);
	default:
		return false;
	}
}

/* --- the other records ------------------------------------------------------------------- */

static int msr_exit(struct vcpu *vcpu)
{
	struct luv_exit_record *exit = &vcpu->page->exit;
	uint32_t index = (uint32_t)exit->msr.index;
	uint64_t value = exit->msr.value;
	bool ok;

	if (exit->reason == LUV_RUN_WRMSR)
		ok = msr_write(vcpu, index, value, MSR_BY_GUEST);
	else
		ok = msr_read(vcpu, index, &value, MSR_BY_GUEST);
	exit->msr.value = value;
	exit->msr.refuse = !ok;
	return RUN_AGAIN;
}

/* What is pinned when the hypervisor looks is what counts: a slot that has changed by then
 * makes it ask again. */
static int pin_exit(struct vcpu *vcpu)
{
	struct luv_exit_record *exit = &vcpu->page->exit;
	uintptr_t begin, end;
	int result = memory_pin(vcpu->vm, (uintptr_t)exit->pin.address, &begin, &end);

	if (result < 0)
		return result;
	exit->pin.begin = begin;
	exit->pin.end = end;
	return RUN_AGAIN;
}

static int window_exit(struct vcpu *vcpu)
{
	vcpu->page->request &= ~LUV_REQUEST_INTERRUPT_WINDOW;
	if (!extint_window_open(vcpu))
		return RUN_AGAIN;
	return to_client(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
}

/* The client's APIC wants to hear of a lower TPR: something may be deliverable now. */
static int cr8_exit(struct vcpu *vcpu)
{
	uint64_t before = vcpu->cr8;

	vcpu->cr8 = vcpu_cr8(vcpu);
	return vcpu->cr8 < before ? to_client(vcpu, KVM_EXIT_SET_TPR) : RUN_AGAIN;
}

static int failed_exit(struct vcpu *vcpu)
{
	uint64_t code = vcpu->page->exit.unknown.code;

	if (vcpu->page->exit.reason == LUV_RUN_ENTRY_FAILED) {
		vcpu->run->fail_entry.hardware_entry_failure_reason = code;
		vcpu->run->fail_entry.cpu = 0;
		return to_client(vcpu, KVM_EXIT_FAIL_ENTRY);
	}
	vcpu->run->hw.hardware_exit_reason = code;
	return to_client(vcpu, KVM_EXIT_UNKNOWN);
}

static __attribute__((noinline)) int handle(struct vcpu *vcpu)
{
	const struct luv_exit_record *exit = &vcpu->page->exit;

	switch ((enum luv_run)exit->reason) {
	case LUV_RUN_IO:
		return io_exit(vcpu);
	case LUV_RUN_MMIO:
	case LUV_RUN_WALK:
		return mmio_exit(vcpu);
	case LUV_RUN_HLT:
		return vcpu->vm->mode == IRQCHIP_NONE ? to_client(vcpu, KVM_EXIT_HLT)
						      : RUN_HALTED;
	case LUV_RUN_SHUTDOWN:
		return to_client(vcpu, KVM_EXIT_SHUTDOWN);
	case LUV_RUN_INTERRUPT_WINDOW:
		return window_exit(vcpu);
	case LUV_RUN_EXCEPTION:
		return debug_exit(vcpu);
	case LUV_RUN_RDMSR:
	case LUV_RUN_WRMSR:
		return msr_exit(vcpu);
	case LUV_RUN_CALL:
		hypercall(vcpu);
		return RUN_AGAIN;
	case LUV_RUN_APIC:
		if (exit->apic.halted)
			return apic_halted(vcpu, exit->apic.value);
		return apic_effect(vcpu, exit->apic.kind, exit->apic.value);
	case LUV_RUN_CR8:
		return cr8_exit(vcpu);
	case LUV_RUN_PIN:
		return pin_exit(vcpu);
	case LUV_RUN_NO_MEMORY:
		return -ENOMEM;
	case LUV_RUN_NOTHING:
	case LUV_RUN_NMI_WINDOW:
	case LUV_RUN_FAULT_IN:
		return RUN_AGAIN;
	case LUV_RUN_ENTRY_FAILED:
	case LUV_RUN_UNKNOWN:
	case LUV_RUN_COUNT:
		break;
	}
	return failed_exit(vcpu);
}

int exit_handle(struct vcpu *vcpu)
{
	const struct luv_exit_record *exit = &vcpu->page->exit;

	switch (exit->reason) {
	case LUV_RUN_IO: /* so often that it comes first */
		if (!(exit->io.flags & LUV_IO_STRING) && !has_ports(vcpu->vm))
			return io_to_client(vcpu);
		break;
	case LUV_RUN_HLT:
		if (vcpu->vm->mode == IRQCHIP_NONE)
			return to_client(vcpu, KVM_EXIT_HLT);
		break;
	default:
		break;
	}
	return handle(vcpu);
}
