/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/launch.h"

#include "cpu/crash.h"
#include "cpu/desc.h"
#include "cpu/log.h"
#include "cpu/smp.h"
#include "cpu/x86.h"
#include "dom0/apic.h"
#include "dom0/memory.h"
#include "dom0/policy.h"
#include "dom0/sleep.h"
#include "exit/run.h"
#include "mem/page.h"
#include "vm/guest.h"
#include "vm/virt_ops.h"
#include "vm/vm.h"
#include "vm/world.h"

static const struct virt_ops *ops; /* immutable after launch_set_ops */

void launch_set_ops(const struct virt_ops *chosen)
{
	ops = chosen;
}

bool launch_cpu_on(struct cpu *cpu, const struct virt_ops *vendor)
{
	struct vcpu *vcpu;

	vendor->cpu_on(cpu->host_save);
	vcpu = cpu->vcpu ? cpu->vcpu : page_alloc();
	if (!vcpu || !world_cpu_init(cpu))
		return false;
	vcpu->cpu = cpu;
	vcpu->ops = vendor;
	vcpu->policy = &dom0_policy;
	vcpu->nested = dom0_memory();
	if (!vendor->vcpu_create_dom0(vcpu))
		return false;
	__atomic_store_n(&cpu->vcpu, vcpu, __ATOMIC_RELEASE);
	return true;
}

static void started(struct cpu *cpu)
{
	cpu->starts++;
	__atomic_store_n(&cpu->state, CPU_IN_DOM0, __ATOMIC_RELEASE);
	dom0_apic_cpu_started(cpu);
}

static noreturn void run(struct cpu *cpu)
{
	started(cpu);
	run_dom0(cpu->vcpu);
}

void launch_startup_exit(struct vcpu *vcpu)
{
	u32 sipi = __atomic_load_n(&vcpu->cpu->sipi, __ATOMIC_ACQUIRE);
	u8 vector = vcpu->exit.startup_vector;

	/* dom0's own, or with the trap ours in its place (dom0/apic.c). */
	if (vector == smp_startup_vector() && sipi != CPU_NO_SIPI)
		vector = (u8)sipi;
	dom0_apic_after_init(vcpu);
	vcpu_start_at(vcpu, vector);
	started(vcpu->cpu);
}

noreturn void launch_boot_cpu(struct cpu *cpu)
{
	run(cpu);
}

/* An INIT tore this CPU out of a guest: nothing of that RUN goes on. */
static void abandon_guest(struct cpu *cpu)
{
	struct vcpu *guest = cpu->guest;

	cpu->guest = NULL;
	if (!guest)
		return;
	guest->active = false;
	world_abandon(cpu->vcpu);
	vm_vcpu_release(guest);
}

/* A CPU that cannot run us stays CPU_ABSENT: dom0's INIT and STARTUP never reach it. */
static noreturn void stay_out(struct cpu *cpu, const char *why)
{
	hv_log("CPU %u is not used: %s", cpu->index, why);
	__atomic_store_n(&cpu->state, CPU_ABSENT, __ATOMIC_RELEASE);
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* Or the first after it had lost its power. */
static void first_start(struct cpu *cpu)
{
	const char *wrong = ops->probe();

	if (wrong)
		stay_out(cpu, wrong);
	if (!launch_cpu_on(cpu, ops))
		stay_out(cpu, "the pool is too small");
}

/* The firmware has woken the boot CPU, and perhaps others; those wait for us as they did at boot. */
static noreturn void wake(struct cpu *cpu)
{
	for (u32 i = 1; i < cpu_count; i++) {
		cpu_slot(i)->sipi = CPU_NO_SIPI;
		cpu_slot(i)->by_firmware = cpu_slot(i)->init = false;
		__atomic_store_n(&cpu_slot(i)->state, CPU_ABSENT, __ATOMIC_RELEASE);
	}
	cpu->init = false;
	cpu->pending = 0;
	first_start(cpu);
	dom0_apic_wake(ops);
	if (smp_start_all() < cpu_count - 1)
		dom0_apic_init(ops, true, true);
	vcpu_reset(cpu->vcpu);
	sleep_resume(cpu->vcpu);
	run(cpu);
}

void launch_ap(struct cpu *cpu)
{
	u32 sipi = __atomic_load_n(&cpu->sipi, __ATOMIC_ACQUIRE);

	desc_load();
	if (!cpu->index)
		wake(cpu);
	if (!cpu->vcpu || __atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) == CPU_ABSENT) {
		__atomic_store_n(&cpu->state, CPU_ARRIVED, __ATOMIC_RELEASE);
		first_start(cpu);
	} else {
		ops->cpu_on(cpu->host_save);
		ASSERT(world_cpu_init(cpu));
		abandon_guest(cpu);
	}
	if (sipi == CPU_NO_SIPI) {
		vcpu_init(cpu->vcpu);
		__atomic_store_n(&cpu->state, CPU_WAITING, __ATOMIC_RELEASE);
		/* S3 may take the power, and what is only in caches. Not behind an INIT: root mode would lose the STARTUPs. */
		wbinvd();
		ops->park(cpu->vcpu);
		run_dom0(cpu->vcpu);
	}
	vcpu_init(cpu->vcpu);
	vcpu_start_at(cpu->vcpu, (u8)sipi);
	run(cpu);
}
