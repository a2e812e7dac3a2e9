/* SPDX-License-Identifier: BSD-2-Clause */
/* What guests may see of the CPU: KVM_GET_SUPPORTED_CPUID, and what follows from it. */
#ifndef KVM_CPUID_H
#define KVM_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/* At most `room` entries; the number that there are. */
unsigned cpuid_supported(struct kvm_cpuid_entry2 *entries, unsigned room);

/* KVM_SET_CPUID2. 0 or a negative errno value: E2BIG. Entries are copied. */
int cpuid_set(struct vcpu *vcpu, const struct kvm_cpuid_entry2 *entries, unsigned count);

/* A register of the guest's leaf (0 to 3: EAX to EDX), as the client set it; 0: no such leaf.
 */
uint32_t cpuid_guest(const struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf, unsigned reg);

/* Guest-physical address bits; CR4 bits that the CPU has; XCR0 bits that guests may set. */
unsigned cpuid_physical_bits(void);
uint64_t cpuid_cr4_bits(void);
uint64_t cpuid_xcr0(void);
bool cpuid_xcr0_valid(uint64_t xcr0);
bool cpuid_has_xsave(void);

/* MXCSR bits that XRSTOR accepts. */
uint32_t cpuid_mxcsr_mask(void);

/* Where a part of XCR0's lies in the XSAVE area; false: it has no place. */
bool cpuid_xsave_part(unsigned part, unsigned *offset, unsigned *size);

#endif
