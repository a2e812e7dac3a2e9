/* SPDX-License-Identifier: BSD-2-Clause */
#include "exit/guest.h"

#include "cpu/x86.h"
#include "exit/access.h"
#include "exit/insn.h"
#include "exit/instruction.h"
#include "vm/guest.h"
#include "vm/valid.h"
#include "vm/virt_ops.h"
#include "vm/world.h"

struct luv_exit_record *guest_exit(struct vcpu *vcpu, u64 reason)
{
	struct luv_exit_record *record = &vcpu->guest->page->exit;

	vcpu->guest->leave = LEAVE_TO_CLIENT;
	record->reason = reason;
	record->instruction_length = vcpu->exit.length;
	/* As many as any reason has. */
	for (u32 i = 0; i < 6; i++)
		record->word[i] = 0;
	return record;
}

void guest_exit_exception(struct vcpu *vcpu, u8 vector, bool has_error, u32 error)
{
	struct luv_exit_record *record = guest_exit(vcpu, LUV_RUN_EXCEPTION);

	vcpu_need(vcpu, VCPU_CONTROL);
	record->exception.vector = vector;
	record->exception.error = error;
	record->exception.has_error = has_error;
	record->exception.dr6 = vcpu->control.dr6;
	if (vcpu->exit.reason == LUV_EXIT_EXCEPTION)
		record->exception.address = vcpu->exit.exception.address;
}

void guest_step_done(struct vcpu *vcpu)
{
	vcpu->guest->step_owed = vcpu->guest->leave != LEAVE_NOT;
	if (vcpu->guest->step_owed)
		return;
	guest_exit_exception(vcpu, VECTOR_DB, false, 0);
	vcpu->guest->page->exit.exception.dr6 |= DR6_BS;
}

void guest_raise(struct vcpu *vcpu, u8 vector, bool has_error, u32 error)
{
	if (vcpu->guest->debug_exceptions & BIT(vector))
		guest_exit_exception(vcpu, vector, has_error, error);
	else
		vcpu_raise(vcpu, vector, has_error, error);
}

static void exception_exit(struct vcpu *vcpu)
{
	u8 vector = vcpu->exit.exception.vector;
	bool has_error = vcpu->exit.exception.has_error;
	bool step = vector == VECTOR_DB && vcpu->guest->stepping;
	u32 error = vcpu->exit.exception.error;

	/* The machine's, not the guest's: it reaches dom0, which has interrupts on. */
	if (vector == VECTOR_MC) {
		vcpu->guest->leave = LEAVE_TO_DOM0;
		vcpu_raise(vcpu->cpu->vcpu, VECTOR_MC, false, 0);
		return;
	}
	if (step || vcpu->guest->debug_exceptions & BIT(vector)) {
		guest_exit_exception(vcpu, vector, has_error, error);
		/* The client has been told: the guest's DR6 knows nothing of its steps. */
		if (step) {
			vcpu->control.dr6 &= ~DR6_BS;
			vcpu->dirty |= VCPU_CONTROL;
		}
		return;
	}
	if (vector == VECTOR_AC && world_allow_split_locks(vcpu->cpu))
		return;
	if (vector == VECTOR_PF) {
		vcpu_need(vcpu, VCPU_CONTROL);
		vcpu->control.cr2 = vcpu->exit.exception.address;
		vcpu->dirty |= VCPU_CONTROL;
	}
	vcpu_raise(vcpu, vector, has_error, error);
}

/* Without decode assists the CPU does not report a string instruction's operand (APM 2 15.10.2). */
static COLD void find_string_operand(struct vcpu *vcpu)
{
	struct insn_prefixes prefixes;
	u8 bytes[INSN_MAX], size = (u8)(2u << instruction_code_size(vcpu));

	insn_prefixes(bytes, code_fetch(vcpu, bytes, sizeof(bytes)), &prefixes);
	if (prefixes.address_size)
		size = size == 4 ? (u8)2 : (u8)4;
	vcpu->exit.io.address_size = size;
	vcpu->exit.io.segment =
		prefixes.segment == INSN_NO_SEGMENT ? (u8)SEG_DS : prefixes.segment;
}

/* The client moves the data. */
static COLD void string_io(struct vcpu *vcpu, struct luv_exit_record *record)
{
	if (!vcpu->exit.io.address_size)
		find_string_operand(vcpu);
	record->io.flags |= LUV_IO_STRING | (vcpu->exit.io.rep ? LUV_IO_REP : 0);
	record->io.segment = vcpu->exit.io.in ? SEG_ES : vcpu->exit.io.segment;
	record->io.address_bits = vcpu->exit.io.address_size * 8;
}

static void io_exit(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;
	struct luv_exit_record *record = guest_exit(vcpu, LUV_RUN_IO);
	u8 size = vcpu->exit.io.size;

	record->io.port = vcpu->exit.io.port;
	record->io.size = size;
	record->io.flags = vcpu->exit.io.in ? LUV_IO_IN : 0;
	if (vcpu->exit.io.string) {
		string_io(vcpu, record);
	} else if (vcpu->exit.io.in) {
		guest->finish = FINISH_IN;
		guest->finish_size = size;
		guest->finish_length = vcpu->exit.length;
	} else {
		record->io.data = vcpu->gpr[GPR_RAX] & (BIT(8 * size) - 1);
		instruction_retire(vcpu);
	}
}

static void finish_in(struct vcpu *vcpu, u64 value)
{
	switch (vcpu->guest->finish_size) {
	case 1:
		vcpu->gpr[GPR_RAX] = (vcpu->gpr[GPR_RAX] & ~0xffull) | (u8)value;
		break;
	case 2:
		vcpu->gpr[GPR_RAX] = (vcpu->gpr[GPR_RAX] & ~0xffffull) | (u16)value;
		break;
	default:
		vcpu->gpr[GPR_RAX] = (u32)value;
		break;
	}
}

void guest_finish(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;
	enum guest_finish finish = guest->finish;
	const struct luv_exit_record *record = &guest->page->exit;

	guest->finish = FINISH_NOTHING;
	switch (finish) {
	case FINISH_NOTHING:
		return;
	case FINISH_PIN:
		guest_memory_pinned(vcpu);
		return;
	case FINISH_IN:
		finish_in(vcpu, __atomic_load_n(&record->io.data, __ATOMIC_RELAXED));
		break;
	case FINISH_RDMSR:
	case FINISH_WRMSR:
		if (__atomic_load_n(&record->msr.refuse, __ATOMIC_RELAXED)) {
			guest_raise(vcpu, VECTOR_GP, true, 0);
			return;
		}
		if (finish == FINISH_RDMSR) {
			u64 value = __atomic_load_n(&record->msr.value, __ATOMIC_RELAXED);

			vcpu->gpr[GPR_RAX] = (u32)value;
			vcpu->gpr[GPR_RDX] = value >> 32;
		}
		break;
	}
	vcpu->exit.length = guest->finish_length;
	instruction_retire(vcpu);
}

static void hlt_exit(struct vcpu *vcpu)
{
	if (!instruction_known(vcpu, OPCODE_HLT))
		return;
	instruction_retire(vcpu);
	if (vcpu->guest->leave != LEAVE_NOT)
		return;
	/* With an APIC of its own it may have an interrupt already (guest_apic_wake). */
	if (vcpu->guest->vm->flags & LUV_VM_LAPIC)
		vcpu->guest->mp_state = LUV_MP_HALTED;
	else
		guest_exit(vcpu, LUV_RUN_HLT);
}

/* The guest's RIP stays on the instruction: its client decides. */
static void call_exit(struct vcpu *vcpu)
{
	if (instruction_known(vcpu, OPCODE_VMMCALL))
		guest_exit(vcpu, LUV_RUN_CALL);
}

/* The state is undefined then (APM 2 15.14.3). */
static void shutdown_exit(struct vcpu *vcpu)
{
	vcpu->guest->unchecked = true;
	guest_exit(vcpu, LUV_RUN_SHUTDOWN);
}

static void refused_exit(struct vcpu *vcpu)
{
	guest_raise(vcpu, vcpu->exit.exception.vector, vcpu->exit.exception.has_error,
		   vcpu->exit.exception.error);
}

/* Caches are coherent with everything that a guest can reach: there is nothing to write back. */
static void invd_exit(struct vcpu *vcpu)
{
	if (instruction_known(vcpu, OPCODE_INVD) || instruction_known(vcpu, OPCODE_WBINVD))
		instruction_retire(vcpu);
}

static void xsetbv_exit(struct vcpu *vcpu)
{
	u64 value = (u64)(u32)vcpu->gpr[GPR_RDX] << 32 | (u32)vcpu->gpr[GPR_RAX];

	if (!instruction_known(vcpu, OPCODE_XSETBV))
		return;
	vcpu_need(vcpu, VCPU_CONTROL);
	if ((u32)vcpu->gpr[GPR_RCX] || vcpu->control.cpl || !xcr0_is_valid(value, world_xcr0())) {
		guest_raise(vcpu, VECTOR_GP, true, 0);
		return;
	}
	/* While the guest is on the CPU, XCR0 is the guest's. */
	vcpu->guest->xcr0 = value;
	xsetbv(value);
	instruction_retire(vcpu);
}

/* It is pending still, and dom0 takes it as soon as it is entered. */
static void physical_exit(struct vcpu *vcpu)
{
	vcpu->guest->leave = LEAVE_TO_DOM0;
}

static void window_exit(struct vcpu *vcpu)
{
	vcpu->guest->window_open = false;
	vcpu->dirty |= VCPU_INTERCEPTS;
}

static COLD void unknown_exit(struct vcpu *vcpu)
{
	bool failed = vcpu->exit.reason == LUV_EXIT_ENTRY_FAILED;
	struct luv_exit_record *record =
		guest_exit(vcpu, failed ? LUV_RUN_ENTRY_FAILED : LUV_RUN_UNKNOWN);

	record->unknown.code = vcpu->exit.code;
	record->unknown.info_1 = vcpu->exit.info;
}

const struct exit_policy guest_policy = {
	.on = {
		[LUV_EXIT_CPUID] = guest_cpuid_exit,
		[LUV_EXIT_MSR] = guest_msr_exit,
		[LUV_EXIT_IO] = io_exit,
		[LUV_EXIT_MEMORY] = guest_memory_exit,
		[LUV_EXIT_CALL] = call_exit,
		[LUV_EXIT_ILLEGAL] = refused_exit,
		[LUV_EXIT_INVD] = invd_exit,
		[LUV_EXIT_XSETBV] = xsetbv_exit,
		[LUV_EXIT_CR] = guest_cr_exit,
		[LUV_EXIT_INTERRUPT] = physical_exit,
		[LUV_EXIT_NMI] = physical_exit,
		[LUV_EXIT_INIT] = physical_exit,
		[LUV_EXIT_STARTUP] = physical_exit,
		[LUV_EXIT_SHUTDOWN] = shutdown_exit,
		[LUV_EXIT_EXCEPTION] = exception_exit,
		[LUV_EXIT_HLT] = hlt_exit,
		[LUV_EXIT_WINDOW] = window_exit,
		[LUV_EXIT_TASK_SWITCH] = unknown_exit,
		[LUV_EXIT_ENTRY_FAILED] = unknown_exit,
		[LUV_EXIT_OTHER] = unknown_exit,
		[LUV_EXIT_DR] = world_load_debug,
	},
};
