/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/apic.h"

#include "cpu/apic.h"
#include "cpu/desc.h"
#include "cpu/log.h"
#include "cpu/msr.h"
#include "cpu/smp.h"
#include "cpu/spinlock.h"
#include "cpu/x86.h"
#include "dom0/memory.h"
#include "exit/access.h"
#include "exit/instruction.h"
#include "exit/mov.h"
#include "vm/icr.h"
#include "vm/virt_ops.h"

#define BOOT_CPU 0u

static hpa_t page;	/* immutable after dom0_apic_init */
static bool keep_trap;	/* trap_lock once dom0 runs */
static bool has_foreign; /* CPUs that are not ours; immutable after dom0_apic_init */
static u64 firmware_cr3; /* immutable; 0: no firmware runs in guest mode */
static bool reached;	/* immutable after dom0_apic_init: a STARTUP reaches a CPU that waits in guest mode */
static bool trapped;	/* atomic; written under trap_lock */
/* Between the trap's end and a CPU's decision to wait for STARTUP again. */
static struct spinlock trap_lock;

/* What each CPU's APIC answers to: its own fields, written by itself while the page is trapped. */
static struct {
	u32 ldr, dfr;
} logical[CPU_MAX];

/* trap_lock is held, or this CPU is alone. */
static void set_trap(const struct virt_ops *ops, bool on)
{
	__atomic_store_n(&trapped, on, __ATOMIC_RELEASE);
	dom0_memory_writable(gpa(page.addr), !on);
	ops->msr_write_exits(MSR_X2APIC_ICR, on);
}

void dom0_apic_init(const struct virt_ops *ops, bool keep, bool foreign)
{
	page = apic_page();
	keep_trap = keep || foreign;
	has_foreign = foreign;
	reached = ops->startup_exits();
	set_trap(ops, !reached || keep_trap);
}

void dom0_apic_wake(const struct virt_ops *ops)
{
	set_trap(ops, !reached || keep_trap);
}

void dom0_apic_expect_firmware(const struct virt_ops *ops, u64 cr3)
{
	firmware_cr3 = align_down(cr3, PAGE_SIZE);
	set_trap(ops, true);
}

bool dom0_apic_traps(gpa_t at)
{
	return align_down(at.addr, PAGE_SIZE) == page.addr &&
	       __atomic_load_n(&trapped, __ATOMIC_ACQUIRE);
}

u32 dom0_apic_mode(void)
{
	return __atomic_load_n(&trapped, __ATOMIC_ACQUIRE);
}

/* The firmware may have set them, and INIT resets them. */
static void read_logical(u32 index)
{
	if (!apic_is_xapic())
		return;
	logical[index].ldr = apic_read(APIC_LDR);
	logical[index].dfr = apic_read(APIC_DFR);
}

/* One that the firmware started will be started again, at a vector that is not known yet. */
static bool all_in_dom0(void)
{
	for (u32 i = 0; i < cpu_count; i++) {
		const struct cpu *cpu = cpu_slot(i);
		u32 state = __atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE);

		if (state != CPU_IN_DOM0 && !(reached && state == CPU_WAITING))
			return false;
		if (__atomic_load_n(&cpu->by_firmware, __ATOMIC_ACQUIRE))
			return false;
	}
	return true;
}

void dom0_apic_cpu_started(struct cpu *cpu)
{
	read_logical(cpu->index);
	spin_lock(&trap_lock);
	if (!keep_trap && dom0_apic_mode() && all_in_dom0())
		set_trap(cpu->vcpu->ops, false);
	spin_unlock(&trap_lock);
}

/* What this CPU caches of the page's and the ICR's rights goes; so does what it knew of its logical IDs. */
s64 dom0_apic_set_mode(struct vcpu *vcpu, bool trap)
{
	if (reached)
		return LUV_ERR_NOENT;
	if (!trap && has_foreign)
		return LUV_ERR_BUSY;
	spin_lock(&trap_lock);
	keep_trap = trap;
	if (trap && !dom0_apic_mode())
		set_trap(vcpu->ops, true);
	spin_unlock(&trap_lock);
	dom0_apic_cpu_started(vcpu->cpu);
	vcpu->dirty |= VCPU_FLUSH;
	return 0;
}

static struct apic_identity identity(u32 index)
{
	return (struct apic_identity){
		.id = cpu_slot(index)->apic_id,
		.ldr = logical[index].ldr,
		.dfr = logical[index].dfr,
	};
}

static bool reaches(const struct icr *icr, const struct vcpu *vcpu, u32 index)
{
	struct apic_identity self = identity(vcpu->cpu->index), cpu = identity(index);

	return icr_reaches(icr, &self, &cpu);
}

static void send_init(u32 index)
{
	__atomic_store_n(&cpu_slot(index)->init_sent, true, __ATOMIC_RELEASE);
	apic_send((u32)ICR_INIT << 8 | (u32)APIC_ICR_ASSERT, cpu_slot(index)->apic_id);
}

/*
 * INIT goes to each addressed CPU by itself. An AP gets the real one: it waits for STARTUP then, as
 * on bare hardware, and the STARTUP is ours. The boot CPU would jump to the firmware outside guest
 * mode: where a CPU in guest mode exits on INIT it may have it, else it finds a note at its next exit.
 */
static void forward_init(struct vcpu *vcpu, const struct icr *icr)
{
	for (u32 i = 0; i < cpu_count; i++) {
		if (!reaches(icr, vcpu, i) ||
		    __atomic_load_n(&cpu_slot(i)->state, __ATOMIC_ACQUIRE) == CPU_ABSENT)
			continue;
		if (i == BOOT_CPU && (i == vcpu->cpu->index || !vcpu->ops->init_exits()))
			__atomic_store_n(&cpu_slot(i)->init, true, __ATOMIC_RELEASE);
		else
			send_init(i);
	}
}

/* The firmware has page tables of its own from beginning to end. */
static bool is_firmware(struct vcpu *vcpu)
{
	vcpu_need(vcpu, VCPU_CONTROL);
	return firmware_cr3 && align_down(vcpu->control.cr3, PAGE_SIZE) == firmware_cr3;
}

/*
 * A STARTUP that meets root mode is lost (SDM 3C 26.2), and systems send both theirs within 20 microseconds of the INIT: a CPU
 * that the INIT has to wake from deep sleep is not so far by then. Bounded: it may not have been in guest mode at all.
 */
static void await_init(struct cpu *cpu)
{
	for (u32 us = 0; us < 2000 && __atomic_load_n(&cpu->init_sent, __ATOMIC_ACQUIRE) &&
			 __atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) == CPU_IN_DOM0;
	     us += 10)
		smp_delay_us(10);
	if (__atomic_exchange_n(&cpu->init_sent, false, __ATOMIC_ACQ_REL))
		return;
	smp_delay_us(10); /* it says so shortly before it waits */
}

/*
 * The vector is our trampoline's: a CPU outside guest mode comes in there, and one that waits in guest mode exits, and goes on at the
 * recorded one, too (launch_startup_exit). A CPU that waits for no STARTUP ignores ours as it would have ignored dom0's.
 */
static void forward_startup(struct vcpu *vcpu, const struct icr *icr)
{
	for (u32 i = 0; i < cpu_count; i++) {
		if (i == BOOT_CPU || !reaches(icr, vcpu, i) ||
		    __atomic_load_n(&cpu_slot(i)->state, __ATOMIC_ACQUIRE) == CPU_ABSENT)
			continue;
		await_init(cpu_slot(i));
		__atomic_store_n(&cpu_slot(i)->by_firmware, is_firmware(vcpu), __ATOMIC_RELEASE);
		__atomic_store_n(&cpu_slot(i)->sipi, icr->vector, __ATOMIC_RELEASE);
		apic_send((u32)ICR_STARTUP << 8 | (u32)APIC_ICR_ASSERT | smp_startup_vector(),
			  cpu_slot(i)->apic_id);
	}
}

/* False when the command is an ordinary one that goes to the hardware as it is. */
static bool command(struct vcpu *vcpu, const struct icr *icr)
{
	if (icr->delivery == ICR_INIT && !icr_is_init_deassert(icr)) {
		forward_init(vcpu, icr);
		return true;
	}
	if (icr->delivery == ICR_STARTUP) {
		forward_startup(vcpu, icr);
		return true;
	}
	return false;
}

bool dom0_apic_write_icr64(struct vcpu *vcpu, u64 value)
{
	struct icr icr;

	if (!apic_is_x2apic())
		return false;
	icr_decode_x2apic(value, &icr);
	if (command(vcpu, &icr))
		return true;
	return wrmsr_safe(MSR_X2APIC_ICR, value);
}

static void write_register(struct vcpu *vcpu, u32 offset, u32 value)
{
	struct icr icr;

	switch (offset) {
	case APIC_LDR:
		logical[vcpu->cpu->index].ldr = value;
		break;
	case APIC_DFR:
		logical[vcpu->cpu->index].dfr = value;
		break;
	case APIC_ICR_LOW:
		icr_decode_xapic(apic_read(APIC_ICR_HIGH), value, &icr);
		if (command(vcpu, &icr))
			return;
		break;
	default:
		break;
	}
	apic_write(offset, value);
}

static u64 source(const struct vcpu *vcpu, const struct mov_insn *insn)
{
	if (insn->immediate)
		return insn->value;
	return vcpu->gpr[insn->reg] >> (insn->high_byte ? 8 : 0);
}

static u64 arithmetic_flags(u32 a, u32 b, u32 result, bool subtract, bool add)
{
	u64 flags = 0;

	if (!result)
		flags |= RFLAGS_ZF;
	if (result >> 31)
		flags |= RFLAGS_SF;
	if (!__builtin_parity(result & 0xff))
		flags |= RFLAGS_PF;
	if ((add && result < a) || (subtract && a < b))
		flags |= RFLAGS_CF;
	if ((add && ((a ^ result) & (b ^ result)) >> 31) ||
	    (subtract && ((a ^ b) & (a ^ result)) >> 31))
		flags |= RFLAGS_OF;
	if ((add || subtract) && (a ^ b ^ result) & 0x10)
		flags |= RFLAGS_AF;
	return flags;
}

/* The new value of a 32-bit register that held `now`; sets the guest's flags. */
static u32 modify(struct vcpu *vcpu, enum mov_kind kind, u32 now, u32 operand)
{
	const u64 all = RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF;
	bool add = kind == MOV_ADD, subtract = kind == MOV_SUB;
	u32 result = now;

	switch (kind) {
	case MOV_STORE:
	case MOV_EXCHANGE:
		return operand;
	case MOV_ADD:
		result = now + operand;
		break;
	case MOV_SUB:
		result = now - operand;
		break;
	case MOV_OR:
		result = now | operand;
		break;
	case MOV_AND:
		result = now & operand;
		break;
	case MOV_XOR:
		result = now ^ operand;
		break;
	}
	vcpu->rflags = (vcpu->rflags & ~all) | arithmetic_flags(now, operand, result, subtract, add);
	return result;
}

/* Registers are 32 bits wide and 16 bytes apart; other accesses are undefined (APM 2 16.3.2). */
void dom0_apic_write(struct vcpu *vcpu)
{
	u32 offset = (u32)vcpu->exit.memory.at.addr % PAGE_SIZE;
	u8 bytes[15];
	struct mov_insn insn;
	u32 now = 0;

	if (!mov_decode(bytes, code_fetch(vcpu, bytes, sizeof(bytes)), instruction_code_size(vcpu), &insn) ||
	    insn.size != 4 || offset % 16) {
		hv_log_first("CPU %u: dom0 wrote to its APIC (register 0x%x) with an instruction "
			     "that cannot be followed (at 0x%llx); it gets #GP. apic=direct may help",
			     vcpu->cpu->index, offset, (unsigned long long)vcpu->rip);
		vcpu_raise(vcpu, VECTOR_GP, true, 0);
		return;
	}
	/* Off or in x2APIC mode, no register is in the page (APM 2 16.9): nothing happens. */
	if (apic_is_xapic()) {
		if (insn.kind != MOV_STORE)
			now = apic_read(offset);
		write_register(vcpu, offset,
			       modify(vcpu, insn.kind, now, (u32)source(vcpu, &insn)));
		if (insn.kind == MOV_EXCHANGE)
			vcpu->gpr[insn.reg] = now;
	}
	vcpu->exit.length = insn.length;
	instruction_retire(vcpu);
}

/* True: the STARTUP that follows exits, or the trap is there and it comes through the trampoline. */
static bool waits_for_startup(struct cpu *cpu)
{
	bool waits;

	spin_lock(&trap_lock);
	waits = cpu->index != BOOT_CPU && (reached || dom0_apic_mode());
	if (waits) {
		/* In this order: await_init. */
		__atomic_store_n(&cpu->init_sent, false, __ATOMIC_RELEASE);
		__atomic_store_n(&cpu->state, CPU_WAITING, __ATOMIC_RELEASE);
	}
	spin_unlock(&trap_lock);
	return waits;
}

/*
 * One that was sent before the STARTUP that has just ended the wait: in that state INIT is blocked (SDM 3C 26.2), and no
 * manual says whether it is dropped or held. Nothing has been executed since.
 */
static bool is_late(const struct vcpu *vcpu)
{
	const struct cpu *cpu = vcpu->cpu;

	return vcpu->exit.reason == LUV_EXIT_INIT && !vcpu->rip &&
	       cpu->record[(cpu->records - 2) % EXIT_RECORDS].reason == LUV_EXIT_STARTUP;
}

/*
 * What a real INIT would have done. An NMI that take_init lets through is lost, as on bare hardware
 * either one that came just before the INIT, or on an AP one that finds it waiting for STARTUP.
 */
void dom0_apic_after_init(struct vcpu *vcpu)
{
	apic_reset();
	read_logical(vcpu->cpu->index);
	vcpu_init(vcpu);
}

void dom0_apic_init_exit(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;
	bool real = vcpu->exit.reason == LUV_EXIT_INIT && vcpu->ops->init_exits();

	if (is_late(vcpu))
		return;
	__atomic_store_n(&cpu->init, false, __ATOMIC_RELEASE);
	/* At once: a STARTUP that meets root mode is lost, and systems send theirs within microseconds. The rest is for then. */
	if (waits_for_startup(cpu)) {
		apic_write(APIC_SVR, APIC_SVR_RESET);
		vcpu->ops->park(vcpu);
		return;
	}
	if (real)
		vcpu->ops->take_init();
	dom0_apic_after_init(vcpu);
	if (cpu->index != BOOT_CPU)
		vcpu_start_at(vcpu, (u8)__atomic_load_n(&cpu->sipi, __ATOMIC_ACQUIRE));
}
