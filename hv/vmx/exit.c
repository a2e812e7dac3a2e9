/* SPDX-License-Identifier: BSD-2-Clause */
/* From the CPU's words for an exit to ours (SDM 3C chapter 28). */
#include "cpu/desc.h"
#include "cpu/x86.h"
#include "vm/guest.h"
#include "vmx/capability.h"
#include "vmx/instructions.h"
#include "vmx/vmx.h"

#define DR6_BD BIT(13)
#define DR7_GD BIT(13)

/* Executing it is refused with the given exception. */
static void decode_refused(struct vcpu_exit *exit, u8 vector)
{
	exit->reason = LUV_EXIT_ILLEGAL;
	exit->exception.vector = vector;
	exit->exception.has_error = vector == VECTOR_GP;
	exit->exception.error = 0;
}

static void decode_io(struct vcpu_exit *exit)
{
	u64 q = exit->info;
	u32 operand;

	exit->reason = LUV_EXIT_IO;
	exit->io.port = (u16)IO_PORT(q);
	exit->io.size = (u8)IO_SIZE(q);
	exit->io.in = q & IO_IN;
	exit->io.string = q & IO_STRING;
	exit->io.rep = q & IO_REP;
	exit->io.address_size = 0;
	if (!exit->io.string || !vmx_has.io_info)
		return;
	operand = (u32)vmcs_read(EXIT_INSTRUCTION_INFO);
	exit->io.segment = (u8)min_u64(IO_SEGMENT(operand), SEG_GS);
	exit->io.address_size = (u8)IO_ADDRESS(operand);
}

/*
 * What the CPU would have done to DR6 and DR7 in delivering #DB (SDM 3C 28.1). B3 to B0 may also tell of breakpoints that are not
 * enabled (SDM 3C table 28-1): dom0's, where the guest's are not in the CPU.
 */
static void take_debug_exit(struct vcpu *vcpu)
{
	const u64 bits = DR6_BS | DR6_BD | DR6_HITS;
	u64 seen = vcpu->exit.info & (vcpu->debug_live ? bits : bits & ~DR6_HITS);

	vcpu->control.dr6 = (vcpu->control.dr6 & ~bits) | seen;
	vcpu->control.dr7 &= ~DR7_GD;
	vcpu->dirty |= VCPU_CONTROL;
}

static void decode_exception(struct vcpu *vcpu)
{
	struct vcpu_exit *exit = &vcpu->exit;
	u64 event = vmcs_read(EXIT_EVENT);

	if (EVENT_TYPE_OF(event) == EVENT_NMI) {
		/* It is used up: dom0 gets one of ours (cpu/percpu.h). */
		exit->reason = LUV_EXIT_NMI;
		__atomic_fetch_or(&vcpu->cpu->pending, CPU_PENDING_NMI, __ATOMIC_RELAXED);
		return;
	}
	exit->reason = LUV_EXIT_EXCEPTION;
	exit->exception.vector = (u8)event;
	exit->exception.has_error = event & EVENT_ERROR_VALID;
	exit->exception.error = (u32)vmcs_read(EXIT_EVENT_ERROR);
	exit->exception.address = exit->info;
	if ((u8)event != VECTOR_DB)
		return;
	vcpu_need(vcpu, VCPU_CONTROL);
	take_debug_exit(vcpu);
}

static void decode_memory(struct vcpu_exit *exit)
{
	u64 q = exit->info;

	exit->reason = LUV_EXIT_MEMORY;
	exit->info = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	exit->memory.at = gpa(exit->info);
	exit->memory.present = q & EPT_PRESENT;
	exit->memory.write = q & EPT_WRITE;
	exit->memory.exec = q & EPT_EXEC;
	exit->memory.page_walk = (q & EPT_LINEAR) != EPT_LINEAR;
	exit->memory.fetched = 0;
}

/*
 * A write that would change a bit of ours. The shadow takes the bit over, and the instruction is executed again: it
 * exits no more, and the CPU does all the rest of it. A guest's CR4 is guest_cr_exit's.
 */
static void decode_cr(struct vcpu *vcpu)
{
	struct vcpu_exit *exit = &vcpu->exit;
	u64 value = vcpu->gpr[CR_GPR(exit->info)];

	exit->reason = LUV_EXIT_CR;
	if (CR_TYPE(exit->info) || CR_NUMBER(exit->info) == 8)
		return;
	if (!vcpu->code64)
		value = (u32)value;
	if (CR_NUMBER(exit->info) == 0) {
		if (value & CR0_NW && !(value & CR0_CD))
			decode_refused(exit, VECTOR_GP);
		else
			vmcs_write(CR0_SHADOW, value);
	} else if (!vcpu->guest) {
		vmcs_write(CR4_SHADOW, value);
	}
}

static void decode_msr(struct vcpu *vcpu, bool write)
{
	vcpu->exit.reason = LUV_EXIT_MSR;
	vcpu->exit.msr.write = write;
	vcpu->exit.msr.index = (u32)vcpu->gpr[GPR_RCX];
}

/* The INIT is used up with its exit; one that meets a guest is left to dom0's vCPU. */
static void decode_init(struct vcpu *vcpu)
{
	vcpu->exit.reason = LUV_EXIT_INIT;
	if (vcpu->guest)
		__atomic_store_n(&vcpu->cpu->init, true, __ATOMIC_RELEASE);
	else
		vmcs_write(GUEST_ACTIVITY, ACTIVITY_ACTIVE);
}

static void decode_startup(struct vcpu *vcpu)
{
	vcpu->exit.reason = LUV_EXIT_STARTUP;
	vcpu->exit.startup_vector = (u8)vcpu->exit.info;
	vmcs_write(GUEST_ACTIVITY, ACTIVITY_ACTIVE);
}

static void decode_machine_check(struct vcpu *vcpu)
{
	vcpu->exit.reason = LUV_EXIT_NMI;
	__atomic_fetch_or(&vcpu->cpu->pending, CPU_PENDING_MC, __ATOMIC_RELAXED);
}

/* Reasons that need nothing but a word: the exit's number, and one. */
static const u8 simple[] = {
	[REASON_INTERRUPT] = LUV_EXIT_INTERRUPT + 1,
	[REASON_TIMER] = LUV_EXIT_WINDOW + 1, /* vmx/guest.c; dom0's is taken in vmx_enter */
	[REASON_TRIPLE_FAULT] = LUV_EXIT_SHUTDOWN + 1,
	[REASON_INTERRUPT_WINDOW] = LUV_EXIT_WINDOW + 1,
	[REASON_NMI_WINDOW] = LUV_EXIT_WINDOW + 1,
	[REASON_TASK_SWITCH] = LUV_EXIT_TASK_SWITCH + 1,
	[REASON_CPUID] = LUV_EXIT_CPUID + 1,
	[REASON_DR] = LUV_EXIT_DR + 1,
	[REASON_HLT] = LUV_EXIT_HLT + 1,
	[REASON_INVD] = LUV_EXIT_INVD + 1,
	[REASON_WBINVD] = LUV_EXIT_INVD + 1,
	[REASON_VMCALL] = LUV_EXIT_CALL + 1,
	[REASON_XSETBV] = LUV_EXIT_XSETBV + 1,
};

static void decode_other(struct vcpu_exit *exit, u32 reason)
{
	if (reason < ARRAY_SIZE(simple) && simple[reason]) {
		exit->reason = simple[reason] - 1u;
		return;
	}
	exit->reason = LUV_EXIT_OTHER;
	/* VMX instructions: as on a CPU where the firmware switched VT-x off. */
	if ((reason >= REASON_VMCLEAR && reason <= REASON_VMXON) || reason == REASON_GETSEC ||
	    reason == REASON_INVEPT || reason == REASON_INVVPID || reason == REASON_MWAIT ||
	    reason == REASON_MONITOR)
		decode_refused(exit, VECTOR_UD);
	else if (reason == REASON_RDPMC)
		decode_refused(exit, VECTOR_GP);
}

/* Exits because of an instruction have its length (SDM 3C 28.2.5). */
static bool has_length(u32 reason)
{
	return (reason >= REASON_CPUID && reason <= REASON_MONITOR) || reason >= REASON_INVEPT;
}

/* The frequent ones of those that have none (SDM 3C 28.2.1). */
static bool has_qualification(u32 reason)
{
	const u64 without = BIT(REASON_INTERRUPT) | BIT(REASON_INTERRUPT_WINDOW) | BIT(REASON_CPUID) |
			    BIT(REASON_HLT) | BIT(REASON_VMCALL) | BIT(REASON_RDMSR) |
			    BIT(REASON_WRMSR) | BIT(REASON_TIMER);

	return reason >= 64 || !(without & BIT(reason));
}

void vmx_decode(struct vcpu *vcpu, u32 reason)
{
	struct vcpu_exit *exit = &vcpu->exit;

	exit->code = reason;
	exit->info = has_qualification(reason) ? vmcs_read_inline(EXIT_QUALIFICATION) : 0;
	exit->length = has_length(reason) ? (u8)vmcs_read_inline(EXIT_INSTRUCTION_LENGTH) : 0;
	switch (reason) {
	case REASON_EXCEPTION_OR_NMI:
		decode_exception(vcpu);
		break;
	case REASON_INIT:
		decode_init(vcpu);
		break;
	case REASON_STARTUP:
		decode_startup(vcpu);
		break;
	case REASON_CR:
		decode_cr(vcpu);
		break;
	case REASON_IO:
		decode_io(exit);
		break;
	case REASON_RDMSR:
	case REASON_WRMSR:
		decode_msr(vcpu, reason == REASON_WRMSR);
		break;
	case REASON_MACHINE_CHECK:
		decode_machine_check(vcpu);
		break;
	case REASON_EPT_VIOLATION:
		decode_memory(exit);
		break;
	default:
		decode_other(exit, reason);
		break;
	}
}
