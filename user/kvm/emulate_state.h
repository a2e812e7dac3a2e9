/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest CPU's state as the emulator's files see it. Internal to user/kvm/emulate*.c.
 *
 * Every function that can fail returns false and leaves the reason in emulate.result; its
 * caller returns false at once. Nothing of the guest's has changed then: an instruction first
 * reads what it needs, then hands in its memory write (which can still fault), and only then
 * sets registers.
 */
#ifndef KVM_EMULATE_STATE_H
#define KVM_EMULATE_STATE_H

#include "kvm/emulate.h"

/* SDM 3A 2.3, 2.5; APM 2 3.1. */
#define RFLAGS_CF     (1ull << 0)
#define RFLAGS_PF     (1ull << 2)
#define RFLAGS_AF     (1ull << 4)
#define RFLAGS_ZF     (1ull << 6)
#define RFLAGS_SF     (1ull << 7)
#define RFLAGS_TF     (1ull << 8)
#define RFLAGS_IF     (1ull << 9)
#define RFLAGS_DF     (1ull << 10)
#define RFLAGS_OF     (1ull << 11)
#define RFLAGS_IOPL   (3ull << 12)
#define RFLAGS_NT     (1ull << 14)
#define RFLAGS_RF     (1ull << 16)
#define RFLAGS_VM     (1ull << 17)
#define RFLAGS_AC     (1ull << 18)
#define RFLAGS_VIF    (1ull << 19)
#define RFLAGS_VIP    (1ull << 20)
#define RFLAGS_ID     (1ull << 21)
#define RFLAGS_STATUS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

#define CR0_PE	      (1ull << 0)
#define CR0_MP	      (1ull << 1)
#define CR0_EM	      (1ull << 2)
#define CR0_TS	      (1ull << 3)
#define CR0_WP	      (1ull << 16)
#define CR0_AM	      (1ull << 18)
#define CR0_PG	      (1ull << 31)

#define CR4_PSE	      (1ull << 4)
#define CR4_PAE	      (1ull << 5)
#define CR4_OSFXSR    (1ull << 9)
#define CR4_UMIP      (1ull << 11)
#define CR4_LA57      (1ull << 12)
#define CR4_OSXSAVE   (1ull << 18)
#define CR4_SMEP      (1ull << 20)
#define CR4_SMAP      (1ull << 21)
#define CR4_PKE	      (1ull << 22)

#define EFER_LMA      (1ull << 10)
#define EFER_NXE      (1ull << 11)

/* struct luv_segment's attributes. */
#define SEGMENT_TYPE_WRITE (1u << 1) /* data: writable; code: readable */
#define SEGMENT_TYPE_DOWN  (1u << 2) /* data: expands down */
#define SEGMENT_TYPE_CODE  (1u << 3)
#define SEGMENT_S	   (1u << 4)
#define SEGMENT_P	   (1u << 7)
#define SEGMENT_L	   (1u << 9)
#define SEGMENT_BIG	   (1u << 10)

enum {
	VECTOR_DE = 0,
	VECTOR_UD = 6,
	VECTOR_NM = 7,
	VECTOR_NP = 11,
	VECTOR_SS = 12,
	VECTOR_GP = 13,
	VECTOR_PF = 14,
	VECTOR_MF = 16,
	VECTOR_AC = 17,
};

/* What an access is for: bits. */
#define ACCESS_WRITE  (1u << 0)
#define ACCESS_FETCH  (1u << 1)
#define ACCESS_SYSTEM (1u << 2) /* the CPU's own, of a descriptor table */

static inline uint64_t size_mask(unsigned size)
{
	return ~0ull >> (64 - 8 * size);
}

static inline uint64_t sign_bit(unsigned size)
{
	return 1ull << (8 * size - 1);
}

static inline uint64_t sign_extend(uint64_t value, unsigned size)
{
	uint64_t sign = sign_bit(size);

	return ((value & size_mask(size)) ^ sign) - sign;
}

/* --- the mode --- */

/* Of the code segment: 16, 32, 64. */
static inline unsigned code_bits(const struct luv_vcpu_page *page)
{
	uint64_t attributes = page->segment[LUV_CS].attributes;

	if (!(page->cr0 & CR0_PE) || (page->rflags & RFLAGS_VM))
		return 16;
	if ((page->efer & EFER_LMA) && (attributes & SEGMENT_L))
		return 64;
	return attributes & SEGMENT_BIG ? 32 : 16;
}

/* Selectors mean descriptors: neither real mode nor virtual-8086 mode. */
static inline bool has_descriptors(const struct luv_vcpu_page *page)
{
	return (page->cr0 & CR0_PE) && !(page->rflags & RFLAGS_VM);
}

static inline unsigned current_privilege(const struct luv_vcpu_page *page)
{
	if (!(page->cr0 & CR0_PE))
		return 0;
	if (page->rflags & RFLAGS_VM)
		return 3;
	return page->segment[LUV_SS].attributes >> 5 & 3;
}

static inline bool is_canonical(const struct luv_vcpu_page *page, uint64_t linear)
{
	unsigned unused = page->cr4 & CR4_LA57 ? 64 - 57 : 64 - 48;

	return (uint64_t)((int64_t)(linear << unused) >> unused) == linear;
}

/* --- results --- */

static inline bool fail_fault(struct emulate *e, unsigned vector)
{
	e->fault = (struct emulate_fault){.vector = (uint8_t)vector};
	e->result = EMULATE_FAULT;
	return false;
}

static inline bool fail_fault_error(struct emulate *e, unsigned vector, uint32_t error)
{
	fail_fault(e, vector);
	e->fault.has_error = true;
	e->fault.error = error;
	return false;
}

static inline bool fail_unknown(struct emulate *e)
{
	e->result = EMULATE_UNKNOWN;
	return false;
}

/* The CPU shall execute it itself, or try again: what we saw is no longer there. */
static inline bool fail_again(struct emulate *e)
{
	e->result = EMULATE_DONE;
	return false;
}

/* --- general registers --- */

static inline uint64_t general_read(const struct emulate *e, unsigned reg, unsigned size)
{
	return e->setup.page->general[reg & 15] & size_mask(size);
}

/* 4 bytes clear the upper half, 1 and 2 keep the rest (SDM 1 3.4.1.1). */
static inline void general_write(struct emulate *e, unsigned reg, unsigned size, uint64_t value)
{
	uint64_t *at = &e->setup.page->general[reg & 15];

	if (size >= 4)
		*at = value & size_mask(size);
	else
		*at = (*at & ~size_mask(size)) | (value & size_mask(size));
}

/* As an address register of `size` bytes: elsewhere than in 64-bit mode the rest stays. */
static inline void general_add(struct emulate *e, unsigned reg, unsigned size, uint64_t delta)
{
	general_write(e, reg, size, general_read(e, reg, size) + delta);
}

#endif
