/* SPDX-License-Identifier: BSD-2-Clause */
/* Intel VT-x: a vCPU's side of it. */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include "vm/vcpu.h"
#include "vmx/instructions.h"

struct vmx {
	/* Guests: the virtual-APIC page is this one, of which the CPU uses only the TPR, at 80h. */
	u32 virtual_apic[256];
	hpa_t vmcs; /* immutable */
	bool launched;
	bool flush;	    /* before the next entry: what the CPU caches of the vCPU is void */
	bool load_pdptes;   /* before the next entry: PAE's four, from memory */
	bool unchecked;	    /* a guest's state was set since its last check (vmx/check.h) */
	bool syscalls;	    /* a guest's EFER.SCE is set; else it cannot see what SYSCALL's MSRs are */
	bool event;	    /* ENTRY_EVENT is valid: an exit clears it (SDM 3C 25.8.3) */
	u32 vpid;
	/* What the VMCS has in these fields, so that only changes are written; an exit changes the first four. */
	u64 rsp, rip, rflags, interruptibility;
	u64 pin, primary, secondary, exceptions, host_rsp;
	u64 ept_pointer;    /* immutable */
	u64 cr0_mask, cr4_mask; /* bits that the guest sees in the shadow */
	u64 cr2; /* entry and exit do not switch it; the register has it while the vCPU is active */
};
_Static_assert(sizeof(struct vmx) <= PAGE_SIZE, "a struct vmx is one page");
ASSERT_OFFSET(struct vmx, virtual_apic, 0);

#define VIRTUAL_TPR (0x80 / 4)

/* Allocates both pages, makes the VMCS current and writes what does not depend on whose it is. */
struct vmx *vmx_create(struct vcpu *vcpu);

/* Writes the field unless it has the value; `has` is its place above. */
static inline void vmx_put(u32 field, u64 *has, u64 value)
{
	if (*has == value)
		return;
	*has = value;
	vmcs_write(field, value);
}

/* Done with a VMCS that was current for a moment: this CPU's own vCPU gets its place back. */
void vmx_give_back(const struct vcpu *vcpu);

/* --- guests (guest.c) ----------------------------------------------------------------------- */

void vmx_guest_init(void); /* once, before the first guest */
bool vmx_guest_create(struct vcpu *vcpu);

/*
 * Before each entry. False: the guest cannot be entered so, and vcpu->exit says why: its state is invalid, or
 * its PDPTEs lie in memory that is not mapped yet.
 */
bool vmx_guest_prepare(struct vcpu *vcpu);

/* After each exit. */
void vmx_guest_exited(struct vcpu *vcpu);

/* --- exits (exit.c) ------------------------------------------------------------------------- */

/* Fills in vcpu->exit. */
void vmx_decode(struct vcpu *vcpu, u32 reason);

#endif
