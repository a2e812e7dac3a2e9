/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID and MSRs as a guest sees them: the client's table, and the few registers that we keep. */
#include "cpu/desc.h"
#include "cpu/msr.h"
#include "cpu/x86.h"
#include "exit/access.h"
#include "exit/guest.h"
#include "exit/insn.h"
#include "exit/instruction.h"
#include "lib/string.h"
#include "vm/guest.h"
#include "vm/valid.h"
#include "vm/virt_ops.h"
#include "vm/world.h"

#define SPEC_CTRL_BITS (BIT(0) | BIT(1) | BIT(2)) /* IBRS, STIBP, SSBD */

static bool is_zero(const struct luv_cpuid_entry *e)
{
	return !(e->leaf | e->flags | e->eax | e->ebx | e->ecx | e->edx);
}

static u8 *first_place(struct guest *guest, u32 leaf)
{
	return &guest->cpuid_first[(leaf ^ leaf >> 27) % ARRAY_SIZE(guest->cpuid_first)];
}

static const struct luv_cpuid_entry *find_entry(struct guest *guest, u32 leaf, u32 subleaf)
{
	for (u32 place = *first_place(guest, leaf); place; place = guest->cpuid_next[place - 1]) {
		const struct luv_cpuid_entry *e = &guest->cpuid[place - 1];

		if (e->leaf == leaf && (!(e->flags & LUV_CPUID_SUBLEAF) || e->subleaf == subleaf))
			return e;
	}
	return NULL;
}

/* Zeros end the table. From its end on, so that of two entries that fit the first is found. */
static COLD void index_entries(struct guest *guest)
{
	u32 place = 0;

	while (place < LUV_CPUID_MAX && !is_zero(&guest->cpuid[place]))
		place++;
	memset(guest->cpuid_first, 0, sizeof(guest->cpuid_first));
	for (; place; place--) {
		u8 *first = first_place(guest, guest->cpuid[place - 1].leaf);

		guest->cpuid_next[place - 1] = *first;
		*first = (u8)place;
	}
}

static u32 mirror(u32 reg, u64 bit, bool set)
{
	return (u32)(set ? reg | bit : reg & ~bit);
}

/* The bits that follow the guest's own registers (APM 3 E.3). */
static NOINLINE void follow_state(struct vcpu *vcpu, u32 leaf, u32 subleaf)
{
	u64 *gpr = vcpu->gpr;

	vcpu_need(vcpu, VCPU_NEAR);
	if (leaf == 1) {
		gpr[GPR_RCX] = mirror((u32)gpr[GPR_RCX], BIT(27), vcpu->control.cr4 & CR4_OSXSAVE);
		if (lapic_mode(&vcpu->guest->lapic) == LAPIC_DISABLED)
			gpr[GPR_RDX] &= ~BIT(9);
	}
	if (leaf == 7 && !subleaf)
		gpr[GPR_RCX] = mirror((u32)gpr[GPR_RCX], BIT(4), vcpu->control.cr4 & CR4_PKE);
	/* The size of the area for what XCR0 enables: XCR0 is the guest's now. */
	if (leaf == 0xd && !subleaf && gpr[GPR_RBX])
		gpr[GPR_RBX] = cpuid(0xd, 0).ebx;
}

void guest_cpuid_exit(struct vcpu *vcpu)
{
	static const struct luv_cpuid_entry none;
	u32 leaf = (u32)vcpu->gpr[GPR_RAX], subleaf = (u32)vcpu->gpr[GPR_RCX];
	const struct luv_cpuid_entry *entry;

	if (!instruction_known(vcpu, OPCODE_CPUID))
		return;
	entry = find_entry(vcpu->guest, leaf, subleaf);
	if (!entry)
		entry = &none;
	vcpu->gpr[GPR_RAX] = entry->eax;
	vcpu->gpr[GPR_RBX] = entry->ebx;
	vcpu->gpr[GPR_RCX] = entry->ecx;
	vcpu->gpr[GPR_RDX] = entry->edx;
	if (leaf == 1 || leaf == 7 || leaf == 0xd)
		follow_state(vcpu, leaf, subleaf);
	instruction_retire(vcpu);
}

COLD void guest_cpuid_changed(struct vcpu *vcpu)
{
	const struct luv_cpuid_entry *basic, *more, *extended;

	index_entries(vcpu->guest);
	basic = find_entry(vcpu->guest, 1, 0);
	more = find_entry(vcpu->guest, 7, 0);
	extended = find_entry(vcpu->guest, 0x80000001, 0);
	vcpu->guest->invpcid = more && more->ebx & BIT(10);
	vcpu->guest->rdtscp = (extended && extended->edx & BIT(27)) || (more && more->ecx & BIT(22));
	vcpu_need(vcpu, VCPU_CONTROL);
	vcpu->guest->cr4 = world_limits()->cr4 & world_cr4_bits(basic ? basic->ecx : 0, more ? more->ebx : 0,
								more ? more->ecx : 0);
	vcpu->dirty |= VCPU_CONTROL | VCPU_INTERCEPTS;
}

/* --- MSRs ----------------------------------------------------------------------------------- */

enum answer {
	ANSWERED,
	REFUSED, /* #GP */
	UNKNOWN, /* the client's */
};

static enum answer read_msr(struct vcpu *vcpu, u32 msr, u64 *value)
{
	struct guest *guest = vcpu->guest;

	switch (msr) {
	case MSR_TSC:
		*value = rdtsc() + guest->tsc_offset;
		return ANSWERED;
	case MSR_EFER:
		vcpu_need(vcpu, VCPU_CONTROL);
		*value = vcpu->control.efer;
		return ANSWERED;
	case MSR_TSC_AUX:
		*value = guest->tsc_aux;
		return ANSWERED;
	case MSR_STAR ... MSR_SFMASK: /* VT-x */
		*value = vcpu->msrs.syscall[msr - MSR_STAR];
		return ANSWERED;
	case MSR_SPEC_CTRL:
		*value = guest->spec_ctrl;
		return ANSWERED;
	default:
		return UNKNOWN;
	}
}

static COLD enum answer write_efer(struct vcpu *vcpu, u64 value)
{
	struct vcpu_control *c = &vcpu->control;

	vcpu_need(vcpu, VCPU_CONTROL);
	if (value & ~world_limits()->efer || ((value ^ c->efer) & EFER_LME && c->cr0 & CR0_PG))
		return REFUSED;
	c->efer = (value & ~EFER_LMA) | (c->efer & EFER_LMA);
	vcpu->dirty |= VCPU_CONTROL | VCPU_FLUSH;
	return ANSWERED;
}

static enum answer write_spec_ctrl(struct guest *guest, u64 value)
{
	if (value & ~SPEC_CTRL_BITS || !wrmsr_safe(MSR_SPEC_CTRL, value))
		return REFUSED;
	guest->spec_ctrl = value;
	return ANSWERED;
}

static enum answer write_msr(struct vcpu *vcpu, u32 msr, u64 value)
{
	struct guest *guest = vcpu->guest;

	switch (msr) {
	case MSR_TSC:
		vcpu_need(vcpu, VCPU_MSRS);
		state_set_tsc_offset(guest, value - rdtsc());
		vcpu->dirty |= VCPU_MSRS;
		return ANSWERED;
	case MSR_EFER:
		return write_efer(vcpu, value);
	case MSR_TSC_AUX:
		if (value >> 32)
			return REFUSED;
		guest->tsc_aux = value;
		return wrmsr_safe(MSR_TSC_AUX, value) ? ANSWERED : REFUSED;
	case MSR_STAR ... MSR_SFMASK:
		return vcpu_write_syscall_msr(vcpu, msr, value) ? ANSWERED : REFUSED;
	case MSR_SPEC_CTRL:
		return write_spec_ctrl(guest, value);
	case MSR_PRED_CMD:
		return value & ~1ull || !wrmsr_safe(msr, value) ? REFUSED : ANSWERED;
	default:
		return UNKNOWN;
	}
}

static void ask_client(struct vcpu *vcpu, u32 msr, bool write, u64 value)
{
	struct luv_exit_record *record =
		guest_exit(vcpu, write ? LUV_RUN_WRMSR : LUV_RUN_RDMSR);

	record->msr.index = msr;
	record->msr.value = write ? value : 0;
	vcpu->guest->finish = write ? FINISH_WRMSR : FINISH_RDMSR;
	vcpu->guest->finish_length = vcpu->exit.length;
}

static void finish(struct vcpu *vcpu, bool write, u64 value)
{
	if (!write) {
		vcpu->gpr[GPR_RAX] = (u32)value;
		vcpu->gpr[GPR_RDX] = value >> 32;
	}
	instruction_retire(vcpu);
}

/* What the guest's CPUID lacks: x2APIC mode, higher physical addresses. */
static COLD bool lacks_base(struct guest *guest, u64 base)
{
	const struct luv_cpuid_entry *basic = find_entry(guest, 1, 0), *sizes = find_entry(guest, 0x80000008, 0);

	return (base & APIC_BASE_X2APIC && basic && !(basic->ecx & BIT(21))) || (sizes && base >> (sizes->eax & 63));
}

/* The local APIC's registers; false for any other. */
static bool apic_msr(struct vcpu *vcpu, u32 msr, bool write, u64 value)
{
	bool refused = write && msr == MSR_APIC_BASE && lacks_base(vcpu->guest, value);
	bool ok = false;

	if (!refused && !(write ? guest_apic_write(vcpu, msr, value, &ok)
				: guest_apic_read(vcpu, msr, &value, &ok)))
		return false;
	if (ok)
		finish(vcpu, write, value);
	else
		guest_raise(vcpu, VECTOR_GP, true, 0);
	return true;
}

void guest_msr_exit(struct vcpu *vcpu)
{
	bool write = vcpu->exit.msr.write;
	u32 msr = vcpu->exit.msr.index;
	u64 value = (u64)(u32)vcpu->gpr[GPR_RDX] << 32 | (u32)vcpu->gpr[GPR_RAX];
	enum answer answer;

	if (!instruction_known(vcpu, write ? OPCODE_WRMSR : OPCODE_RDMSR))
		return;
	if (vcpu->guest->vm->flags & LUV_VM_LAPIC && apic_msr(vcpu, msr, write, value))
		return;
	answer = write ? write_msr(vcpu, msr, value) : read_msr(vcpu, msr, &value);
	switch (answer) {
	case UNKNOWN:
		ask_client(vcpu, msr, write, value);
		return;
	case REFUSED:
		guest_raise(vcpu, VECTOR_GP, true, 0);
		return;
	case ANSWERED:
		break;
	}
	finish(vcpu, write, value);
}

/* --- control registers ----------------------------------------------------------------------- */

static bool set_cr8(struct vcpu *vcpu, u64 value)
{
	if (value >> 4)
		return false;
	vcpu->control.tpr = (u8)(value << 4);
	if (vcpu->guest->request & LUV_REQUEST_CR8)
		guest_exit(vcpu, LUV_RUN_CR8);
	return true;
}

/* APM 2 3.1.3, 5.5.1: what long mode stands on stays; PCIDs begin with PCID 0. */
static bool set_cr4(struct vcpu *vcpu, u64 value)
{
	struct vcpu_control *c = &vcpu->control;
	u64 changed = value ^ c->cr4, fixed = c->efer & EFER_LMA ? CR4_PAE | CR4_LA57 : 0;

	if (value & ~vcpu->guest->cr4 || changed & fixed ||
	    (changed & value & CR4_PCIDE && (!fixed || c->cr3 & 0xfff)))
		return false;
	c->cr4 = value;
	vcpu->dirty |= VCPU_FLUSH;
	return true;
}

/* Of CR4 with VT-x only writes that change what the guest may not have. */
void guest_cr_exit(struct vcpu *vcpu)
{
	u8 bytes[INSN_MAX], cr = 0, gpr = 0;
	unsigned length = insn_mov_to_cr(bytes, code_fetch(vcpu, bytes, sizeof(bytes)),
					 vcpu->code64, &cr, &gpr);
	u64 value;

	if (!length || (cr != 4 && cr != 8))
		return; /* changed meanwhile: executed again */
	value = vcpu->code64 ? vcpu->gpr[gpr] : (u32)vcpu->gpr[gpr];
	vcpu_need(vcpu, VCPU_CONTROL);
	if (!(cr == 4 ? set_cr4(vcpu, value) : set_cr8(vcpu, value))) {
		guest_raise(vcpu, VECTOR_GP, true, 0);
		return;
	}
	vcpu->dirty |= VCPU_CONTROL;
	vcpu->exit.length = (u8)length;
	instruction_retire(vcpu);
}
