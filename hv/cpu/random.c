/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu/random.h"

#include "cpu/x86.h"

#define CPUID_1_ECX_RDRAND BIT(30)
#define RDRAND_TRIES	   10 /* SDM 1 7.3.17.1 */
#define JITTER_ROUNDS	   64

static u64 state; /* atomic: what came before goes into what comes next */

/* The finalizer of splitmix64: every input bit reaches every output bit. */
static u64 mix(u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static u64 rdrand(void)
{
	u64 value = 0;
	bool ok = false;

	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND))
		return 0;
	for (u32 i = 0; i < RDRAND_TRIES && !ok; i++)
		__asm__ volatile("rdrand %0" : "=r"(value), "=@ccc"(ok));
	return ok ? value : 0;
}

u64 random_u64(void)
{
	u64 x = __atomic_load_n(&state, __ATOMIC_RELAXED);

	for (u32 i = 0; i < JITTER_ROUNDS; i++)
		x = mix(x + rdtsc());
	x = mix(x ^ rdrand());
	__atomic_store_n(&state, x + 0x9e3779b97f4a7c15ull, __ATOMIC_RELAXED);
	return x;
}
