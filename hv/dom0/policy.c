/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/policy.h"

#include "cpu/desc.h"
#include "cpu/log.h"
#include "cpu/power.h"
#include "cpu/x86.h"
#include "dom0/apic.h"
#include "dom0/cpuid.h"
#include "dom0/launch.h"
#include "dom0/memory.h"
#include "dom0/msr.h"
#include "dom0/port.h"
#include "exit/instruction.h"
#include "hypercall/dispatch.h"

/* Virtualization instructions: as on a CPU where the firmware switched them off. */
static void illegal(struct vcpu *vcpu)
{
	vcpu_raise(vcpu, vcpu->exit.exception.vector, vcpu->exit.exception.has_error,
		   vcpu->exit.exception.error);
}

/* INVD would drop our dirty cache lines with dom0's; WBINVD is what it may mean by it. */
static void invd(struct vcpu *vcpu)
{
	if (!instruction_known(vcpu, OPCODE_INVD))
		return;
	wbinvd();
	instruction_retire(vcpu);
}

/* The vendor has done what there was to do. */
static void nothing(struct vcpu *vcpu)
{
}

/* XCR0 is dom0's own but for guests' runs. VT-x has no way to let it have XSETBV (SDM 3C 26.1.2). */
static void xsetbv_exit(struct vcpu *vcpu)
{
	u64 value = (u64)(u32)vcpu->gpr[GPR_RDX] << 32 | (u32)vcpu->gpr[GPR_RAX];

	if (!instruction_known(vcpu, OPCODE_XSETBV))
		return;
	if ((u32)vcpu->gpr[GPR_RCX] || !xsetbv_safe(value))
		vcpu_raise(vcpu, VECTOR_GP, true, 0);
	else
		instruction_retire(vcpu);
	vcpu->cpu->dom0_xcr0 = xgetbv();
}

/* A triple fault resets the machine, as it does bare. */
static void shutdown(struct vcpu *vcpu)
{
	hv_log("CPU %u: dom0's triple fault resets the machine", vcpu->cpu->index);
	power_reset();
}

/* A failed entry included: dom0 loaded state that no CPU accepts, or we have a bug. */
static void unexpected(struct vcpu *vcpu)
{
	hv_log("CPU %u: unexpected exit 0x%llx (info 0x%llx) at 0x%llx; the machine is reset",
	       vcpu->cpu->index, (unsigned long long)vcpu->exit.code,
	       (unsigned long long)vcpu->exit.info, (unsigned long long)vcpu->rip);
	power_reset();
}

const struct exit_policy dom0_policy = {
	.on = {
		[LUV_EXIT_CPUID] = dom0_cpuid_exit,
		[LUV_EXIT_MSR] = dom0_msr_exit,
		[LUV_EXIT_IO] = dom0_port_exit,
		[LUV_EXIT_MEMORY] = dom0_memory_exit,
		[LUV_EXIT_CALL] = hypercall_exit,
		[LUV_EXIT_ILLEGAL] = illegal,
		[LUV_EXIT_INVD] = invd,
		[LUV_EXIT_XSETBV] = xsetbv_exit,
		[LUV_EXIT_CR] = nothing,
		[LUV_EXIT_INTERRUPT] = unexpected,
		[LUV_EXIT_NMI] = nothing,
		[LUV_EXIT_INIT] = dom0_apic_init_exit,
		[LUV_EXIT_STARTUP] = launch_startup_exit,
		[LUV_EXIT_SHUTDOWN] = shutdown,
		[LUV_EXIT_EXCEPTION] = unexpected,
		[LUV_EXIT_HLT] = unexpected,
		[LUV_EXIT_WINDOW] = unexpected,
		[LUV_EXIT_TASK_SWITCH] = unexpected,
		[LUV_EXIT_ENTRY_FAILED] = unexpected,
		[LUV_EXIT_OTHER] = unexpected,
		[LUV_EXIT_DR] = unexpected,
	},
	.ports = dom0_ports,
	.for_each_msr = dom0_msr_for_each,
};
