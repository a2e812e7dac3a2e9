/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APICs of a VM in action: vm/lapic.c decides, this file delivers. */
#include "cpu/x86.h"
#include "exit/access.h"
#include "exit/guest.h"
#include "exit/insn.h"
#include "exit/instruction.h"
#include "vm/virt_ops.h"

static u64 guest_tsc(const struct guest *guest)
{
	return rdtsc() + guest->tsc_offset;
}

static bool is_apic_msr(u32 msr)
{
	return msr == MSR_LAPIC_BASE || msr == MSR_LAPIC_DEADLINE ||
	       (msr >= MSR_LAPIC_X2APIC && msr <= MSR_LAPIC_X2APIC + 0xff);
}

/* The hardware changes it without an exit: by CR8, or all of it. */
static void tpr_from_hardware(struct vcpu *vcpu)
{
	lapic_set_tpr(&vcpu->guest->lapic, vcpu->control.tpr);
}

static void tpr_to_hardware(struct vcpu *vcpu)
{
	u8 tpr = vcpu->guest->lapic.tpr;

	if (vcpu->control.tpr == tpr)
		return;
	vcpu_need(vcpu, VCPU_CONTROL);
	vcpu->control.tpr = tpr;
	vcpu->dirty |= VCPU_CONTROL;
}

/* --- messages ------------------------------------------------------------------------------- */

/* Something other than an interrupt. A STARTUP replaces one that nobody has taken yet. */
static void arrive(struct guest *guest, u64 what, u8 vector)
{
	u32 old = __atomic_load_n(&guest->arrived, __ATOMIC_RELAXED), new;

	do
		new = (u32)((what == GUEST_ARRIVED_SIPI ? (old & ~0xffu) | vector : old) | what);
	while (!__atomic_compare_exchange_n(&guest->arrived, &old, new, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED));
}

static void post(struct lapic *lapic, const struct icr *icr)
{
	if (icr->tell_eoi)
		lapic_tell_eoi(lapic, icr->vector);
	lapic_post(lapic, icr->vector, icr->level_triggered);
}

static void deliver_to(struct guest *guest, const struct icr *icr)
{
	switch (icr->delivery) {
	case ICR_FIXED:
	case ICR_LOWEST:
		post(&guest->lapic, icr);
		break;
	case ICR_NMI:
		arrive(guest, GUEST_ARRIVED_NMI, 0);
		break;
	case ICR_INIT:
		arrive(guest, GUEST_ARRIVED_INIT, 0);
		break;
	case ICR_STARTUP:
		arrive(guest, GUEST_ARRIVED_SIPI, icr->vector);
		break;
	default:
		break; /* SMI: guests have no SMM */
	}
}

static struct guest *guest_at(struct vm *vm, u32 index)
{
	struct vcpu *vcpu = __atomic_load_n(&vm->vcpu[index], __ATOMIC_ACQUIRE);

	return vcpu ? vcpu->guest : NULL;
}

static u64 send_lowest(struct vm *vm, const struct icr *icr, u32 sender)
{
	struct lapic *lapics[LUV_VCPUS_MAX];
	u32 turn = __atomic_fetch_add(&vm->lowest_turn, 1, __ATOMIC_RELAXED) % LUV_VCPUS_MAX;
	int chosen;

	for (u32 i = 0; i < LUV_VCPUS_MAX; i++) {
		struct guest *guest = guest_at(vm, i);

		lapics[i] = guest ? &guest->lapic : NULL;
	}
	chosen = lapic_arbitrate(lapics, LUV_VCPUS_MAX, icr, sender, turn);
	if (chosen < 0)
		return 0;
	post(lapics[chosen], icr);
	return BIT(chosen);
}

u64 guest_apic_send(struct vm *vm, const struct icr *icr, u32 sender)
{
	u32 first = 0, end = LUV_VCPUS_MAX;
	u64 kicks = 0;

	if (icr->delivery == ICR_LOWEST)
		return send_lowest(vm, icr, sender);
	if (icr_is_init_deassert(icr))
		return 0;
	/* A vCPU's index is its APIC's ID. */
	if (icr->shorthand == ICR_DESTINATION && !icr->logical && icr->destination < end) {
		first = (u32)index_nospec(icr->destination, LUV_VCPUS_MAX);
		end = first + 1;
	}
	for (u32 i = first; i < end; i++) {
		struct guest *guest = guest_at(vm, i);

		if (!guest || !lapic_reached(&guest->lapic, icr, sender))
			continue;
		deliver_to(guest, icr);
		kicks |= BIT(i);
	}
	return kicks;
}

void guest_apic_effect(struct vcpu *vcpu, const struct lapic_effect *effect, u64 *kind, u64 *value)
{
	struct guest *guest = vcpu->guest;

	*kind = LUV_APIC_NOTHING;
	*value = 0;
	switch (effect->kind) {
	case LAPIC_NOTHING:
		break;
	case LAPIC_BROADCAST_EOI:
		*kind = LUV_APIC_EOI;
		*value = effect->vector;
		break;
	case LAPIC_TIMER:
		if (guest->timed)
			break;
		*kind = LUV_APIC_TIMER;
		*value = guest->told_deadline = effect->deadline;
		break;
	case LAPIC_SEND:
		*value = guest_apic_send(guest->vm, &effect->icr, guest->index);
		*kind = *value ? LUV_APIC_KICK : LUV_APIC_NOTHING;
		break;
	}
}

/* --- registers ------------------------------------------------------------------------------ */

bool guest_apic_read(struct vcpu *vcpu, u32 msr, u64 *value, bool *ok)
{
	if (!is_apic_msr(msr))
		return false;
	tpr_from_hardware(vcpu);
	*ok = lapic_msr_read(&vcpu->guest->lapic, msr, guest_tsc(vcpu->guest), value);
	return true;
}

static void report(struct vcpu *vcpu, u64 kind, u64 value)
{
	struct luv_exit_record *record = guest_exit(vcpu, LUV_RUN_APIC);

	record->apic.kind = kind;
	record->apic.value = value;
}

/*
 * Behind a write of the guest's. The record is made before the instruction is completed, which then only owes a step. A
 * kick that names the vCPU itself: its LINT0 takes a PIC's interrupts from now on.
 */
static void written(struct vcpu *vcpu, const struct lapic_effect *effect, bool took_extint)
{
	struct guest *guest = vcpu->guest;
	u64 kind, what;

	tpr_to_hardware(vcpu);
	guest_apic_effect(vcpu, effect, &kind, &what);
	/* What it sent to itself is delivered at the next entry. */
	if (kind == LUV_APIC_KICK && !(what &= ~BIT(guest->index)))
		kind = LUV_APIC_NOTHING;
	if (kind == LUV_APIC_NOTHING && !took_extint && lapic_takes_extint(&guest->lapic)) {
		kind = LUV_APIC_KICK;
		what = BIT(guest->index);
	}
	if (kind != LUV_APIC_NOTHING)
		report(vcpu, kind, what);
}

bool guest_apic_write(struct vcpu *vcpu, u32 msr, u64 value, bool *ok)
{
	struct guest *guest = vcpu->guest;
	struct lapic_effect effect = {LAPIC_NOTHING, {0}};
	bool took_extint = lapic_takes_extint(&guest->lapic);

	if (!is_apic_msr(msr))
		return false;
	tpr_from_hardware(vcpu);
	*ok = lapic_msr_write(&guest->lapic, msr, value, guest_tsc(guest), &effect);
	if (*ok)
		written(vcpu, &effect, took_extint);
	return true;
}

/* While an event is delivered it is the CPU that stores, and not the instruction at RIP. */
bool guest_apic_store(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;
	u64 offset = vcpu->exit.memory.at.addr - align_down(guest->lapic.base, PAGE_SIZE);
	struct lapic_effect effect = {LAPIC_NOTHING, {0}};
	bool took_extint = lapic_takes_extint(&guest->lapic);
	struct mov_insn insn;
	u8 bytes[INSN_MAX];

	/* Registers are 32 bits wide and 16 bytes apart (SDM 3A 10.4.1.2). */
	if (!(guest->vm->flags & LUV_VM_LAPIC) || offset >= PAGE_SIZE || offset % 16 ||
	    !vcpu->exit.memory.write || vcpu->exit.memory.page_walk || vcpu->event)
		return false;
	if (!mov_decode(bytes, code_fetch(vcpu, bytes, sizeof(bytes)), instruction_code_size(vcpu), &insn) ||
	    insn.kind != MOV_STORE || insn.size != 4)
		return false;
	tpr_from_hardware(vcpu);
	if (!lapic_mmio_write(&guest->lapic, (u32)offset,
			      (u32)(insn.immediate ? insn.value : vcpu->gpr[insn.reg]), guest_tsc(guest), &effect))
		return false;
	vcpu->exit.length = insn.length;
	written(vcpu, &effect, took_extint);
	instruction_retire(vcpu);
	return true;
}

/* --- delivery ------------------------------------------------------------------------------- */

/* SDM 3A 10.4.7.3: the boot CPU starts at the reset vector, the others wait for STARTUP. */
static COLD void take_init(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;

	lapic_init(&guest->lapic);
	vcpu_init(vcpu);
	guest->queued = 0;
	guest->nmi_pending = guest->nmi_blocked = false;
	guest->finish = FINISH_NOTHING;
	guest->mp_state = guest->index ? LUV_MP_WAIT_SIPI : LUV_MP_RUNNABLE;
	vcpu->dirty |= VCPU_INTERCEPTS;
}

static COLD void take_arrived(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;
	u32 arrived = __atomic_exchange_n(&guest->arrived, 0, __ATOMIC_ACQUIRE);

	if (arrived & GUEST_ARRIVED_INIT)
		take_init(vcpu);
	if (arrived & GUEST_ARRIVED_SIPI && guest->mp_state == LUV_MP_WAIT_SIPI) {
		vcpu_need(vcpu, VCPU_SEGMENTS);
		vcpu_start_at(vcpu, (u8)arrived);
		guest->mp_state = LUV_MP_RUNNABLE;
	}
	if (arrived & GUEST_ARRIVED_NMI)
		guest->nmi_pending = true;
}

static void check_timer(struct guest *guest)
{
	u64 deadline = lapic_deadline(&guest->lapic), now = guest_tsc(guest);

	/* The client need not be told that a timer which has fired is stopped. */
	if (deadline && now >= deadline && !lapic_timer_expired(&guest->lapic, now))
		guest->told_deadline = 0;
}

/* Every deadline that the client does not know yet: it times what the CPU does not, a guest that is not entered. */
static void tell_deadline(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;
	u64 deadline = lapic_deadline(&guest->lapic);

	if (deadline == guest->told_deadline || (guest->timed && guest->mp_state == LUV_MP_RUNNABLE))
		return;
	guest->told_deadline = deadline;
	report(vcpu, LUV_APIC_TIMER, deadline);
	guest->page->exit.apic.halted = guest->timed;
}

static bool can_wake(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;

	return guest->nmi_pending || guest->queued || vcpu->event ||
	       (vcpu->rflags & RFLAGS_IF && lapic_highest(&guest->lapic) >= 0);
}

bool guest_apic_wake(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;

	if (__atomic_load_n(&guest->arrived, __ATOMIC_RELAXED))
		take_arrived(vcpu);
	tpr_from_hardware(vcpu);
	check_timer(guest);
	if (guest->mp_state == LUV_MP_HALTED && can_wake(vcpu))
		guest->mp_state = LUV_MP_RUNNABLE;
	tell_deadline(vcpu);
	if (guest->leave != LEAVE_NOT)
		return false;
	if (guest->mp_state == LUV_MP_RUNNABLE)
		return true;
	guest_exit(vcpu, LUV_RUN_HLT);
	return false;
}

void guest_trap_cr8(struct vcpu *vcpu, bool trap)
{
	if (vcpu->guest->trap_cr8 == trap)
		return;
	vcpu->guest->trap_cr8 = trap;
	vcpu->dirty |= VCPU_INTERCEPTS;
}

void guest_apic_deliver(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;
	int vector = lapic_requested(&guest->lapic);
	bool passes = lapic_passes(&guest->lapic, vector);

	/* Held back by TPR: writing CR8 may let it through. EOI always exits. */
	guest_trap_cr8(vcpu, vector >= 0 && !passes);
	if (!passes)
		return;
	if (vcpu->event || guest->queued || !guest_interruptible(vcpu)) {
		guest_open_window(vcpu);
		return;
	}
	lapic_accept(&guest->lapic, (u8)vector);
	vcpu->event = EVENT_VALID | EVENT_INTERRUPT | (u8)vector;
	if (lapic_highest(&guest->lapic) >= 0)
		guest_open_window(vcpu);
}
