/* SPDX-License-Identifier: BSD-2-Clause */
/* What a vendor's virtualization can do: verbs, no register accessors. One table per vendor. */
#ifndef VM_VIRT_OPS_H
#define VM_VIRT_OPS_H

#include "cpu/x86.h"
#include "vm/vcpu.h"

struct virt_ops {
	const char *name; /* "AMD-V" */
	u32 vendor;	  /* enum luv_vendor */
	/* True when the CPU is this vendor's. */
	bool (*ident)(void);
	/* NULL, or a sentence that says what is missing on this CPU and what the user can do. */
	const char *(*probe)(void);
	/* False where an INIT to a CPU in guest mode is lost or resets it (known emulators). */
	bool (*init_exits)(void);
	/* True where a STARTUP to a CPU that waits in guest mode exits: dom0's may reach it as they are. */
	bool (*startup_exits)(void);
	/* The format of nested tables on this CPU, for dom0 or for a guest. */
	const struct nested_format *(*nested_format)(bool guest);
	/* Puts this CPU into root mode with host_save (a zeroed page) as the vendor's area. */
	void (*cpu_on)(hpa_t host_save);
	/* Gives the vCPU its control structure for dom0, or makes the one it has anew: everything passes but
	 * policy's intercepts. False: out of pages. */
	bool (*vcpu_create_dom0)(struct vcpu *vcpu);
	/* The same for a guest: everything is intercepted but what the hardware switches. */
	bool (*vcpu_create_guest)(struct vcpu *vcpu);
	void (*vcpu_destroy)(struct vcpu *vcpu);
	/* Takes the one vCPU's state that entry and exit do not switch (FS, GS, LDTR, TR, system call MSRs) out of
	 * this CPU's registers, unless it is NULL, and puts the other's there. */
	void (*switch_worlds)(struct vcpu *from, struct vcpu *to);
	/* Reads groups of registers into the vCPU. */
	void (*load)(struct vcpu *vcpu, u32 groups);
	/* Writes back dirty groups; before enter. */
	void (*store)(struct vcpu *vcpu);
	/* Runs the guest until it exits; fills exit, gpr, rip, rflags, shadow, event. */
	void (*enter)(struct vcpu *vcpu);
	/* The vCPU's CPU waits for STARTUP: at the next entry, where startup_exits, whatever its state is; else here and now, for a
	 * real INIT and STARTUP, and it never returns. */
	void (*park)(struct vcpu *vcpu);
	/* The vCPU's IA32_DEBUGCTL; dom0's vCPU, active. */
	u64 (*debugctl)(struct vcpu *vcpu);
	/* Takes away from what the CPU answers dom0 what guest mode cannot do here; NULL: it can do everything. */
	void (*cpuid)(u32 leaf, u32 subleaf, struct cpuid *r);
	/* From now on dom0's writes to the MSR exit, or need not any more: each CPU learns of it at its next
	 * such exit, or by VCPU_FLUSH. */
	void (*msr_write_exits)(u32 msr, bool exits);
	/* Takes an INIT that an exit reported and left pending. */
	void (*take_init)(void);
};

extern const struct virt_ops svm_ops, vmx_ops;

#endif
