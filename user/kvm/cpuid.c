/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/cpuid.h"

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/system.h"
#include "kvm/run.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define BIT(n) (1u << (n))

struct registers {
	uint32_t eax, ebx, ecx, edx;
};

static struct registers machine(uint32_t leaf, uint32_t subleaf)
{
	struct registers r;

	__cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
	return r;
}

/* --- what guests may have ---------------------------------------------------------------- */

/*
 * Bits of each register that a guest may see if the CPU has them. What is left out, and why:
 *
 * leaf 1 ECX       MONITOR 3 and VMX 5 are refused to guests; DS 2, 4; SMX 6, EIST 7, TM2 8 and
 *                  DCA 18 are the machine's; PDCM 15: no performance counters; TSC deadline 24
 *                  is KVM_CAP_TSC_DEADLINE_TIMER's; OSXSAVE 27 follows CR4.
 * leaf 1 EDX       PSN 18, DS 21, ACPI 22, HTT 28, TM 29, PBE 31: the machine's, or the
 * client's. leaf 7 EBX       SGX 2, RDT 12 and 15, PT 25; TSX 4 and 11: its MSRs; MPX 14:
 * removed from Linux and CPUs. leaf 7 ECX       OSPKE 4 follows CR4; WAITPKG 5, CET 7, bus lock
 * 24, ENQCMD 29, PKS 31 and others need MSRs that guests do not have. leaf 7 EDX       CET 20,
 * AMX 22, 24, 25, SPEC_CTRL and its kin 26 to 31: MSRs. leaf 80000001h   SVM 2, SKINIT 12, IBS
 * 10, LWP 15, counters 23, 24, 28, MONITORX 29. leaf 80000008h   RDPRU 4, WBNOINVD 9, IBRS and
 * its kin.
 */
#define ALLOW_1_ECX                                                                   \
	(BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | \
	 BIT(21) | BIT(22) | BIT(23) | BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30))
#define ALLOW_1_EDX                                                                     \
	(0x3ffu | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(15) | BIT(16) | BIT(17) | \
	 BIT(19) | BIT(23) | BIT(24) | BIT(25) | BIT(26) | BIT(27))
#define ALLOW_7_EBX                                                                         \
	(BIT(0) | BIT(3) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(13) | \
	 BIT(16) | BIT(17) | BIT(18) | BIT(19) | BIT(20) | BIT(21) | BIT(23) | BIT(24) |    \
	 BIT(26) | BIT(27) | BIT(28) | BIT(29) | BIT(30) | BIT(31))
#define ALLOW_7_ECX                                                                          \
	(BIT(1) | BIT(2) | BIT(3) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | \
	 BIT(14) | BIT(16) | BIT(22) | BIT(25) | BIT(27) | BIT(28))
#define ALLOW_7_EDX   (BIT(2) | BIT(3) | BIT(4) | BIT(8) | BIT(10) | BIT(14) | BIT(23))
#define ALLOW_7_1_EAX (BIT(4) | BIT(5))
#define ALLOW_D_1_EAX (BIT(0) | BIT(1) | BIT(2)) /* not XSAVES: IA32_XSS */
#define ALLOW_81_ECX                                                                        \
	(BIT(0) | BIT(1) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(16) | \
	 BIT(21) | BIT(22))
#define ALLOW_81_EDX                                                                     \
	(0x3ffu | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(15) | BIT(16) | BIT(17) |  \
	 BIT(20) | BIT(22) | BIT(23) | BIT(24) | BIT(25) | BIT(26) | BIT(27) | BIT(29) | \
	 BIT(30) | BIT(31))
#define ALLOW_88_EBX  (BIT(0) | BIT(2) | BIT(12)) /* IBPB is a command: it has no state */
#define ALLOW_821_EAX (BIT(2) | BIT(6))

/* Offered whatever the CPU has: x2APIC 21 and the hypervisor bit 31; TSC_ADJUST 1. */
#define ALWAYS_1_ECX  (BIT(21) | BIT(31))
#define ALWAYS_7_EBX  BIT(1)

#define LEAF_XSAVE    0xdu
#define LEAF_KVM      0x40000000u
#define LEAF_EXTENDED 0x80000000u
#define BASIC_LAST    0xdu
#define EXTENDED_LAST 0x80000021u
#define XCR0_KNOWN    0x2e7u /* x87, SSE, AVX, AVX-512's three, PKRU */
#define AVX512	      0xe0u
#define ARAT	      BIT(2) /* leaf 6: the APIC timer never stops */
#define INVARIANT_TSC BIT(8)

/* --- what follows ------------------------------------------------------------------------ */

static uint32_t highest(uint32_t base)
{
	uint32_t last = machine(base, 0).eax;

	return last >= base ? last : 0;
}

/* Zero for leaves that the CPU does not have: it answers them with others' values. */
static struct registers leaf_of(uint32_t leaf, uint32_t subleaf)
{
	if (leaf > highest(leaf & 0x80000000u))
		return (struct registers){0, 0, 0, 0};
	return machine(leaf, subleaf);
}

bool cpuid_has_xsave(void)
{
	return machine(1, 0).ecx & BIT(26);
}

bool cpuid_xsave_part(unsigned part, unsigned *offset, unsigned *size)
{
	struct registers r;

	if (!cpuid_has_xsave() || part < 2 || part > 63)
		return false;
	r = leaf_of(LEAF_XSAVE, part);
	*offset = r.ebx;
	*size = r.eax;
	return r.eax && !(r.ecx & 1) && r.ebx + r.eax <= LUV_XSAVE_SIZE_MAX;
}

/* As the hypervisor reckons: known parts that fit its page. */
uint64_t cpuid_xcr0(void)
{
	uint64_t xcr0 = cpuid_has_xsave() ? leaf_of(LEAF_XSAVE, 0).eax & XCR0_KNOWN : 1;
	unsigned offset, size;

	for (unsigned part = 2; part < 32; part++)
		if (xcr0 >> part & 1 && !cpuid_xsave_part(part, &offset, &size))
			xcr0 &= ~(1ull << part);
	return xcr0;
}

/* SDM 1 13.3: x87 always; AVX needs SSE; AVX-512's parts come together and need AVX. */
bool cpuid_xcr0_valid(uint64_t xcr0)
{
	if (!(xcr0 & 1) || xcr0 & ~cpuid_xcr0() || (xcr0 & 4 && !(xcr0 & 2)))
		return false;
	return !(xcr0 & AVX512) || ((xcr0 & AVX512) == AVX512 && xcr0 & 4);
}

unsigned cpuid_physical_bits(void)
{
	unsigned bits = leaf_of(0x80000008, 0).eax & 0xff;

	if (!bits)
		bits = 36;
	return bits < LUV_GPA_BITS ? bits : LUV_GPA_BITS;
}

uint64_t cpuid_cr4_bits(void)
{
	struct registers basic = machine(1, 0), more = leaf_of(7, 0);
	uint64_t bits = 0x7ff; /* VME PVI TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT */

	bits |= more.ecx & BIT(2) ? 1u << 11 : 0;   /* UMIP */
	bits |= more.ecx & BIT(16) ? 1u << 12 : 0;  /* LA57 */
	bits |= more.ebx & BIT(0) ? 1u << 16 : 0;   /* FSGSBASE */
	bits |= basic.ecx & BIT(17) ? 1u << 17 : 0; /* PCIDE */
	bits |= basic.ecx & BIT(26) ? 1u << 18 : 0; /* OSXSAVE */
	bits |= more.ebx & BIT(7) ? 1u << 20 : 0;   /* SMEP */
	bits |= more.ebx & BIT(20) ? 1u << 21 : 0;  /* SMAP */
	bits |= more.ecx & BIT(3) ? 1u << 22 : 0;   /* PKE */
	return bits;
}

/* SDM 1 11.6.6: FXSAVE tells; 0 stands for FFBFh. */
uint32_t cpuid_mxcsr_mask(void)
{
	_Alignas(16) uint8_t area[512] = {0};
	uint32_t mask;

	__asm__ volatile("fxsave64 %0" : "=m"(area));
	memcpy(&mask, area + 28, sizeof(mask));
	return mask ? mask : 0xffbf;
}

/* --- KVM_GET_SUPPORTED_CPUID ------------------------------------------------------------- */

struct list {
	struct kvm_cpuid_entry2 *entries;
	unsigned room, count;
};

static void add(struct list *list, uint32_t leaf, uint32_t subleaf, bool has_subleaves,
		struct registers r)
{
	if (list->count < list->room)
		list->entries[list->count] = (struct kvm_cpuid_entry2){
		    .function = leaf,
		    .index = subleaf,
		    .flags = has_subleaves ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		    .eax = r.eax,
		    .ebx = r.ebx,
		    .ecx = r.ecx,
		    .edx = r.edx,
		};
	list->count++;
}

static void add_plain(struct list *list, uint32_t leaf)
{
	add(list, leaf, 0, false, leaf_of(leaf, 0));
}

static void add_features(struct list *list)
{
	struct registers r = machine(1, 0);

	r.ebx &= 0xff00; /* CLFLUSH's size; APIC ID and count are the client's */
	r.ecx = (r.ecx & ALLOW_1_ECX) | ALWAYS_1_ECX;
	r.edx &= ALLOW_1_EDX;
	add(list, 1, 0, false, r);
}

/* Leaf 4, and 8000001Dh: caches, and the one of type 0 that ends them. */
static void add_caches(struct list *list, uint32_t leaf)
{
	for (uint32_t i = 0; i < 8; i++) {
		struct registers r = leaf_of(leaf, i);

		add(list, leaf, i, true, r);
		if (!(r.eax & 0x1f))
			break;
	}
}

static void add_structured(struct list *list)
{
	struct registers r = leaf_of(7, 0), next = leaf_of(7, 1);

	if (r.eax < 1)
		next.eax = 0;
	r.eax = r.eax ? 1 : 0;
	r.ebx = (r.ebx & ALLOW_7_EBX) | ALWAYS_7_EBX;
	r.ecx &= ALLOW_7_ECX;
	r.edx &= ALLOW_7_EDX;
	add(list, 7, 0, true, r);
	if (r.eax)
		add(list, 7, 1, true, (struct registers){next.eax & ALLOW_7_1_EAX, 0, 0, 0});
}

static void add_xsave(struct list *list)
{
	uint64_t xcr0 = cpuid_xcr0();
	unsigned offset, size, end = 576;

	if (!cpuid_has_xsave())
		return;
	for (unsigned part = 2; part < 32; part++)
		if (xcr0 >> part & 1 && cpuid_xsave_part(part, &offset, &size) &&
		    offset + size > end)
			end = offset + size;
	add(list, LEAF_XSAVE, 0, true, (struct registers){(uint32_t)xcr0, end, end, 0});
	add(list, LEAF_XSAVE, 1, true,
	    (struct registers){leaf_of(LEAF_XSAVE, 1).eax & ALLOW_D_1_EAX, 0, 0, 0});
	for (unsigned part = 2; part < 32; part++)
		if (xcr0 >> part & 1)
			add(list, LEAF_XSAVE, part, true, leaf_of(LEAF_XSAVE, part));
}

static void add_basic(struct list *list)
{
	struct registers r = machine(0, 0);

	r.eax = r.eax < BASIC_LAST ? r.eax : BASIC_LAST;
	add(list, 0, 0, false, r);
	add_features(list);
	if (highest(0) >= 2)
		add_plain(list, 2);
	if (highest(0) >= 4)
		add_caches(list, 4);
	add(list, 5, 0, false, (struct registers){0, 0, 0, 0});
	add(list, 6, 0, false, (struct registers){ARAT, 0, 0, 0});
	if (highest(0) >= 7)
		add_structured(list);
	if (highest(0) >= LEAF_XSAVE)
		add_xsave(list);
}

static void add_kvm(struct list *list)
{
	static const char name[12] = "KVMKVMKVM\0\0";
	struct registers r = {LEAF_KVM + 1, 0, 0, 0};

	memcpy(&r.ebx, name, 4);
	memcpy(&r.ecx, name + 4, 4);
	memcpy(&r.edx, name + 8, 4);
	add(list, LEAF_KVM, 0, false, r);
	add(list, LEAF_KVM + 1, 0, false,
	    (struct registers){BIT(0) | BIT(1) | BIT(3) | BIT(24), 0, 0, 0});
}

static void add_sizes(struct list *list)
{
	struct registers r = leaf_of(0x80000008, 0);

	r.eax = (r.eax & 0xff00) | cpuid_physical_bits();
	r.ebx &= ALLOW_88_EBX;
	r.ecx = r.edx = 0;
	add(list, 0x80000008, 0, false, r);
}

static void add_extended(struct list *list)
{
	struct registers r = machine(LEAF_EXTENDED, 0);

	if (r.eax < 0x80000008)
		return;
	r.eax = r.eax < EXTENDED_LAST ? r.eax : EXTENDED_LAST;
	add(list, LEAF_EXTENDED, 0, false, r);
	r = machine(0x80000001, 0);
	r.ecx &= ALLOW_81_ECX;
	r.edx &= ALLOW_81_EDX;
	add(list, 0x80000001, 0, false, r);
	for (uint32_t leaf = 0x80000002; leaf <= 0x80000006; leaf++)
		add_plain(list, leaf);
	add(list, 0x80000007, 0, false,
	    (struct registers){0, 0, 0, machine(0x80000007, 0).edx & INVARIANT_TSC});
	add_sizes(list);
	if (highest(LEAF_EXTENDED) >= 0x80000019)
		add_plain(list, 0x80000019);
	if (highest(LEAF_EXTENDED) >= 0x8000001a)
		add_plain(list, 0x8000001a);
	if (highest(LEAF_EXTENDED) >= 0x8000001d)
		add_caches(list, 0x8000001d);
	if (highest(LEAF_EXTENDED) >= EXTENDED_LAST)
		add(list, EXTENDED_LAST, 0, false,
		    (struct registers){machine(EXTENDED_LAST, 0).eax & ALLOW_821_EAX, 0, 0, 0});
}

unsigned cpuid_supported(struct kvm_cpuid_entry2 *entries, unsigned room)
{
	struct list list = {entries, room, 0};

	add_basic(&list);
	add_kvm(&list);
	add_extended(&list);
	return list.count;
}

/* --- a vCPU's table ---------------------------------------------------------------------- */

int cpuid_set(struct vcpu *vcpu, const struct kvm_cpuid_entry2 *entries, unsigned count)
{
	struct luv_cpuid_entry table[LUV_CPUID_MAX];
	struct kvm_cpuid_entry2 *copy;
	int result;

	if (count > LUV_CPUID_MAX)
		return -E2BIG;
	copy = malloc(count * sizeof(*copy) + 1);
	if (!copy)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++)
		table[i] = (struct luv_cpuid_entry){
		    .leaf = entries[i].function,
		    .subleaf = entries[i].index,
		    .flags = entries[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX
				 ? LUV_CPUID_SUBLEAF
				 : 0,
		    .eax = entries[i].eax,
		    .ebx = entries[i].ebx,
		    .ecx = entries[i].ecx,
		    .edx = entries[i].edx,
		};
	result = luv_vcpu_cpuid(vcpu->vm->handle, vcpu->index, table, count);
	if (result < 0) {
		free(copy);
		return system_errno(result);
	}
	memcpy(copy, entries, count * sizeof(*copy));
	free(vcpu->cpuid);
	vcpu->cpuid = copy;
	vcpu->cpuid_count = count;
	debug_choose_exceptions(vcpu);
	return 0;
}

uint32_t cpuid_guest(const struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	for (unsigned i = 0; i < vcpu->cpuid_count; i++) {
		const struct kvm_cpuid_entry2 *e = &vcpu->cpuid[i];
		const uint32_t value[4] = {e->eax, e->ebx, e->ecx, e->edx};

		if (e->function == leaf &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf))
			return value[reg & 3];
	}
	return 0;
}
