/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMX instructions (SDM 3C chapter 31). Each says by CF or ZF that it failed; that is a bug of ours, so it ends in
 * a crash report with the instruction, the field, and the VM-instruction error in words.
 */
#ifndef VMX_INSTRUCTIONS_H
#define VMX_INSTRUCTIONS_H

#include "vmx/vmcs.h"

void vmx_on(hpa_t region);
void vmx_off(void);
void vmcs_clear(hpa_t vmcs);
void vmcs_use(hpa_t vmcs); /* VMPTRLD: what the functions below work on */
u64 vmcs_read(u32 field);
noreturn void vmcs_read_failed(u32 field);

/* The same, where each exit comes by. */
static inline u64 vmcs_read_inline(u32 field)
{
	u64 value;
	bool bad;

	__asm__ volatile("vmread %2, %0" : "=r"(value), "=@ccbe"(bad) : "r"((u64)field) : "memory");
	if (bad)
		vmcs_read_failed(field);
	return value;
}

void vmcs_write(u32 field, u64 value);

/* Writes 0 to every field that this CPU has: a new VMCS holds nothing that means anything (SDM 3C 25.11.3). */
void vmcs_zero(void);

/* The mappings that the CPU keeps of an EPT pointer, of a VPID; of all VPIDs. */
void ept_invalidate(u64 ept_pointer);
void vpid_invalidate(u16 vpid);
void vpid_invalidate_all(void);

/* What a VM-instruction error means (SDM 3C 31.4). */
const char *vmx_error_name(u64 error);

#endif
