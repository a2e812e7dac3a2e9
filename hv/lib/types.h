/* SPDX-License-Identifier: BSD-2-Clause */
/* Fixed-width types, the four address types, and the few macros that everything uses. */
#ifndef LIB_TYPES_H
#define LIB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

/*
 * Addresses of different worlds must not mix, so each is a type of its own:
 *   hpa_t  host physical: what the memory controller sees
 *   gpa_t  guest physical: what a guest (dom0 included) believes is physical
 *   gva_t  guest virtual: what a guest's instruction names
 * A host virtual address is simply a C pointer.
 */
typedef struct {
	u64 addr;
} hpa_t;
typedef struct {
	u64 addr;
} gpa_t;
typedef struct {
	u64 addr;
} gva_t;

static inline hpa_t hpa(u64 addr)
{
	return (hpa_t){addr};
}

static inline gpa_t gpa(u64 addr)
{
	return (gpa_t){addr};
}

static inline gva_t gva(u64 addr)
{
	return (gva_t){addr};
}

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ull

#define BIT(n) (1ull << (n))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* align must be a power of two. */
static inline u64 align_down(u64 value, u64 align)
{
	return value & ~(align - 1);
}

static inline u64 align_up(u64 value, u64 align)
{
	return align_down(value + align - 1, align);
}

static inline u64 min_u64(u64 a, u64 b)
{
	return a < b ? a : b;
}

static inline u64 max_u64(u64 a, u64 b)
{
	return a > b ? a : b;
}

/* True when [base, base+size) lies in [outer_base, outer_base+outer_size), without overflow. */
static inline bool range_within(u64 base, u64 size, u64 outer_base, u64 outer_size)
{
	return base >= outer_base && size <= outer_size && base - outer_base <= outer_size - size;
}

/* True when the two ranges share a byte. Neither may wrap around 2^64. */
static inline bool range_overlaps(u64 a, u64 a_size, u64 b, u64 b_size)
{
	return a_size && b_size && a < b + b_size && b < a + a_size;
}

#define ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " has the wrong size")
#define ASSERT_OFFSET(type, field, offset)                                                         \
	_Static_assert(offsetof(type, field) == (offset), #type "." #field " is misplaced")

#define PACKED       __attribute__((packed))
#define ALIGNED(n)   __attribute__((aligned(n)))
#define COLD	 __attribute__((cold, noinline)) /* small rather than fast, and out of the way */
#define NOINLINE     __attribute__((noinline)) /* a rare path next to a frequent one */
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

#endif
