/* SPDX-License-Identifier: BSD-2-Clause */
/* Debugging a guest from outside: KVM_SET_GUEST_DEBUG, KVM_EXIT_DEBUG. */
#include <errno.h>
#include <string.h>

#include "kvm/run.h"
#include "kvm/state.h"
#include "kvm/syscall.h"
#include "kvm/vcpu.h"

#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_UD 6

#define DR6_FIXED 0xffff0ff0ull /* SDM 3B 17.2.3: bits that read as 1, RTM among them */
#define DR6_STEP  (1ull << 14)
#define DR7_FIXED 0x400ull

#define INJECT	  (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)

static bool wants_db(const struct vcpu *vcpu)
{
	return vcpu->debug.control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP);
}

static bool hardware(const struct vcpu *vcpu)
{
	return vcpu->debug.control & KVM_GUESTDBG_USE_HW_BP;
}

/* --- KVM_SET_GUEST_DEBUG ----------------------------------------------------------------- */

/* The debugger's breakpoints are in the CPU's registers, the guest's are kept meanwhile. */
static void switch_registers(struct vcpu *vcpu, bool to_debugger)
{
	uint64_t *dr = vcpu->page->dr;

	state_need(vcpu, LUV_GROUP_DEBUG);
	if (to_debugger && !hardware(vcpu))
		memcpy(vcpu->guest_dr, dr, sizeof(vcpu->guest_dr));
	if (!to_debugger && hardware(vcpu))
		memcpy(dr, vcpu->guest_dr, sizeof(vcpu->guest_dr));
	state_changed(vcpu, LUV_GROUP_DEBUG);
}

static int inject(struct vcpu *vcpu, uint32_t control)
{
	uint64_t vector = control & KVM_GUESTDBG_INJECT_DB ? VECTOR_DB : VECTOR_BP;

	state_need(vcpu, LUV_GROUP_EVENTS);
	if (vcpu->page->events.pending & LUV_INJECT_VALID)
		return -EBUSY;
	state_inject(vcpu, LUV_INJECT_VALID | LUV_INJECT_EXCEPTION | vector, 0);
	return 0;
}

int debug_set(struct vcpu *vcpu, const struct kvm_guest_debug *debug)
{
	const uint32_t known = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
			       KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP | INJECT;
	struct luv_vcpu_page *page = vcpu->page;
	struct kvm_guest_debug new = *debug;
	int result = debug->control & INJECT ? inject(vcpu, debug->control) : 0;

	if (result < 0)
		return result;
	new.control = debug->control &KVM_GUESTDBG_ENABLE ? debug->control &known : 0;
	switch_registers(vcpu, new.control &KVM_GUESTDBG_USE_HW_BP);
	vcpu->debug = new;
	if (hardware(vcpu)) {
		memcpy(page->dr, debug->arch.debugreg, 4 * sizeof(page->dr[0]));
		page->dr[7] = (debug->arch.debugreg[7] & 0xffffffff) | DR7_FIXED;
	}
	page->debug_flags = new.control &KVM_GUESTDBG_SINGLESTEP ? LUV_DEBUG_SINGLE_STEP : 0;
	debug_choose_exceptions(vcpu);
	return 0;
}

void debug_choose_exceptions(struct vcpu *vcpu)
{
	vcpu->page->debug_exceptions = (wants_db(vcpu) ? 1u << VECTOR_DB : 0) |
				       (vcpu->debug.control & KVM_GUESTDBG_USE_SW_BP ? 1u << VECTOR_BP : 0) |
				       (syscall_missing(vcpu) ? 1u << VECTOR_UD : 0);
}

/* --- KVM_EXIT_DEBUG ---------------------------------------------------------------------- */

static int give(struct vcpu *vcpu, uint32_t vector, uint64_t dr6)
{
	const struct luv_vcpu_page *page = vcpu->page;
	struct kvm_debug_exit_arch *arch = &vcpu->run->debug.arch;

	state_need(vcpu, LUV_GROUP_GENERAL | LUV_GROUP_SEGMENTS | LUV_GROUP_DEBUG);
	*arch = (struct kvm_debug_exit_arch){
	    .exception = vector,
	    .pc = page->segment[LUV_CS].base + page->rip,
	    .dr6 = dr6,
	    .dr7 = page->dr[7],
	};
	vcpu->run->exit_reason = KVM_EXIT_DEBUG;
	return 0;
}

int debug_exit(struct vcpu *vcpu)
{
	const struct luv_exit_record *exit = &vcpu->page->exit;
	uint64_t dr6 = exit->exception.dr6 | DR6_FIXED;

	if (exit->exception.vector == VECTOR_UD)
		return syscall_exit(vcpu);
	if (exit->exception.vector != VECTOR_DB)
		return give(vcpu, VECTOR_BP, 0);
	return give(vcpu, VECTOR_DB, dr6);
}

bool debug_stepped(struct vcpu *vcpu, bool guest_trap)
{
	struct luv_vcpu_page *page = vcpu->page;

	if (vcpu->debug.control & KVM_GUESTDBG_SINGLESTEP)
		return give(vcpu, VECTOR_DB, DR6_FIXED | DR6_STEP) == 0;
	if (!guest_trap)
		return false;
	if (hardware(vcpu))
		return give(vcpu, VECTOR_DB, DR6_FIXED | DR6_STEP) == 0;
	state_need(vcpu, LUV_GROUP_DEBUG);
	page->dr[6] |= DR6_STEP;
	state_changed(vcpu, LUV_GROUP_DEBUG);
	state_inject(vcpu, LUV_INJECT_VALID | LUV_INJECT_EXCEPTION | VECTOR_DB, 0);
	return false;
}
