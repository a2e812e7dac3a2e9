/* SPDX-License-Identifier: BSD-2-Clause */
#include "exit/run.h"

#include "cpu/crash.h"
#include "cpu/x86.h"
#include "exit/guest.h"
#include "vm/exit_policy.h"
#include "vm/guest.h"
#include "vm/virt_ops.h"
#include "vm/vm.h"

static const char *const exit_names[LUV_EXIT_COUNT] = {
	[LUV_EXIT_CPUID] = "CPUID",
	[LUV_EXIT_MSR] = "MSR",
	[LUV_EXIT_IO] = "I/O",
	[LUV_EXIT_MEMORY] = "memory",
	[LUV_EXIT_CALL] = "call",
	[LUV_EXIT_ILLEGAL] = "illegal",
	[LUV_EXIT_INVD] = "INVD",
	[LUV_EXIT_XSETBV] = "XSETBV",
	[LUV_EXIT_CR] = "CR",
	[LUV_EXIT_INTERRUPT] = "interrupt",
	[LUV_EXIT_NMI] = "NMI",
	[LUV_EXIT_INIT] = "INIT",
	[LUV_EXIT_STARTUP] = "STARTUP",
	[LUV_EXIT_SHUTDOWN] = "shutdown",
	[LUV_EXIT_EXCEPTION] = "exception",
	[LUV_EXIT_HLT] = "HLT",
	[LUV_EXIT_WINDOW] = "window",
	[LUV_EXIT_TASK_SWITCH] = "task switch",
	[LUV_EXIT_ENTRY_FAILED] = "entry failed",
	[LUV_EXIT_OTHER] = "other",
	[LUV_EXIT_DR] = "DR",
};

const char *exit_name(u32 reason)
{
	return reason < LUV_EXIT_COUNT ? exit_names[reason] : "?";
}

static inline void record(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;
	struct exit_record *place = &cpu->record[cpu->records++ % EXIT_RECORDS];
	u32 reason = vcpu->exit.reason;

	place->rip = vcpu->rip;
	place->info = vcpu->exit.info;
	place->code = vcpu->exit.code;
	place->reason = reason;
	vcpu->exits[reason]++;
}

noreturn void run_dom0(struct vcpu *vcpu)
{
	for (;;) {
		if (vcpu->dirty)
			vcpu->ops->store(vcpu);
		vcpu->ops->enter(vcpu);
		record(vcpu);
		if (crash_happened())
			break;
		vcpu->policy->on[vcpu->exit.reason](vcpu);
		/* An INIT that could not be let through to this CPU (dom0/apic.c). */
		if (__atomic_load_n(&vcpu->cpu->init, __ATOMIC_ACQUIRE))
			vcpu->policy->on[LUV_EXIT_INIT](vcpu);
	}
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* Most often nothing is to be delivered, opened or stepped. */
static inline bool events_wait(const struct vcpu *vcpu)
{
	const struct guest *guest = vcpu->guest;

	return vcpu->event | guest->queued | guest->request | guest->debug_flags |
	       (guest->vm->flags & LUV_VM_LAPIC) | guest->nmi_pending | guest->trap_cr8;
}

void run_guest(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;

	guest->leave = LEAVE_NOT;
	for (;;) {
		if (events_wait(vcpu))
			guest_deliver_events(vcpu);
		if (guest->leave != LEAVE_NOT)
			return;
		if (vcpu->dirty)
			vcpu->ops->store(vcpu);
		vcpu->ops->enter(vcpu);
		record(vcpu);
		vcpu->policy->on[vcpu->exit.reason](vcpu);
		if (guest->leave != LEAVE_NOT)
			return;
	}
}

void run_describe(void (*print)(const char *format, ...))
{
	struct cpu *cpu = this_cpu();
	u32 count = (u32)min_u64(cpu->records, EXIT_RECORDS);

	print("last exits on this CPU, newest first:");
	for (u32 i = 1; i <= count; i++) {
		const struct exit_record *r = &cpu->record[(cpu->records - i) % EXIT_RECORDS];

		print("  %-9s code 0x%x info 0x%llx guest rip 0x%llx", exit_name(r->reason),
		      (u32)r->code, (unsigned long long)r->info, (unsigned long long)r->rip);
	}
	if (!count)
		print("  none");
}
