/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmx/capability.h"

#include "cpu/desc.h"
#include "cpu/msr.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "vmx/vmcs.h"

/* MSR_VMX_BASIC, SDM 3D A.1. */
#define BASIC_REVISION(basic) ((u32)(basic) & 0x7fffffff)
#define BASIC_SIZE(basic)     ((u32)((basic) >> 32) & 0x1fff)
#define BASIC_TYPE(basic)     ((u32)((basic) >> 50) & 15)
#define BASIC_IO_INFO	      BIT(54)
#define BASIC_TRUE_CONTROLS   BIT(55)

/* MSR_VMX_EPT_VPID_CAP, SDM 3D A.10. */
#define EPT_WALK_4	BIT(6)
#define EPT_WB		BIT(14)
#define EPT_2M		BIT(16)
#define EPT_1G		BIT(17)
#define EPT_INVEPT	BIT(20)
#define EPT_DIRTY	BIT(21)
#define EPT_INVEPT_ONE	BIT(25)
#define VPID_INVVPID	BIT(32)
#define VPID_ONE	BIT(41)
#define VPID_ALL	BIT(42)
#define EPT_NEEDED                                                                                 \
	(EPT_WALK_4 | EPT_WB | EPT_2M | EPT_INVEPT | EPT_INVEPT_ONE | VPID_INVVPID | VPID_ONE |    \
	 VPID_ALL)

enum word { PIN, PRIMARY, SECONDARY, EXIT, ENTRY, WORD_COUNT };

static const struct {
	u32 msr, true_msr;
} capability_msr[WORD_COUNT] = {
	[PIN] = {MSR_VMX_PIN, MSR_VMX_TRUE_PIN},
	[PRIMARY] = {MSR_VMX_PRIMARY, MSR_VMX_TRUE_PRIMARY},
	[SECONDARY] = {MSR_VMX_SECONDARY, MSR_VMX_SECONDARY},
	[EXIT] = {MSR_VMX_EXIT, MSR_VMX_TRUE_EXIT},
	[ENTRY] = {MSR_VMX_ENTRY, MSR_VMX_TRUE_ENTRY},
};

#define MISSING(what)                                                                              \
	"this CPU's VT-x has no " what ", which Luvalley needs: start your system without Luvalley"

/*
 * In the order of what is asked for: the first that is missing is named. REQUIRED bits are set, WANTED ones where they
 * can be, FORBIDDEN ones are 0 and must be able to.
 */
static const struct rule {
	enum { REQUIRED, WANTED, FORBIDDEN } kind;
	enum word word;
	u64 dom0, guest;
	const char *missing;
} rules[] = {
	{REQUIRED, PRIMARY, PRIMARY_SECONDARY, PRIMARY_SECONDARY, MISSING("nested paging (EPT)")},
	{REQUIRED, SECONDARY, SECONDARY_EPT, SECONDARY_EPT, MISSING("nested paging (EPT)")},
	{REQUIRED, SECONDARY, SECONDARY_UNRESTRICTED, SECONDARY_UNRESTRICTED, MISSING("\"unrestricted guest\"")},
	{REQUIRED, SECONDARY, SECONDARY_VPID, SECONDARY_VPID, MISSING("VPIDs")},
	{REQUIRED, PRIMARY, PRIMARY_MSR_BITMAPS, PRIMARY_MSR_BITMAPS, MISSING("MSR bitmaps")},
	{REQUIRED, PRIMARY, PRIMARY_IO_BITMAPS, 0, MISSING("I/O bitmaps")},
	{REQUIRED, PRIMARY, 0, PRIMARY_TPR_SHADOW, MISSING("TPR shadow")},
	{REQUIRED, PRIMARY, 0,
	 PRIMARY_TSC_OFFSET | PRIMARY_HLT | PRIMARY_MWAIT | PRIMARY_RDPMC | PRIMARY_MOV_DR | PRIMARY_IO | PRIMARY_MONITOR,
	 MISSING("exits on I/O, HLT, MWAIT, RDPMC, MOV DR")},
	{REQUIRED, PIN, 0, PIN_INTERRUPTS | PIN_NMI | PIN_VIRTUAL_NMIS, MISSING("virtual NMIs")},
	{REQUIRED, EXIT, EXIT_SAVE_DEBUG | EXIT_HOST_64, EXIT_SAVE_DEBUG | EXIT_HOST_64, MISSING("64-bit mode")},
	{REQUIRED, EXIT, EXIT_SAVE_PAT | EXIT_LOAD_PAT, EXIT_SAVE_PAT | EXIT_LOAD_PAT, MISSING("switch of PAT")},
	{REQUIRED, EXIT, EXIT_SAVE_EFER | EXIT_LOAD_EFER, EXIT_SAVE_EFER | EXIT_LOAD_EFER, MISSING("switch of EFER")},
	{REQUIRED, ENTRY, ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER,
	 ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER, MISSING("switch of PAT and EFER")},

	/* dom0 is shown the instructions only where these are on (vmx_cpuid in vmx.c). */
	{WANTED, SECONDARY, SECONDARY_RDTSCP | SECONDARY_INVPCID | SECONDARY_XSAVES | SECONDARY_USER_WAIT,
	 SECONDARY_RDTSCP | SECONDARY_INVPCID | SECONDARY_XSAVES, NULL},
	{WANTED, SECONDARY, 0, SECONDARY_WBINVD | SECONDARY_X2APIC, NULL},

	/* The lists above are ours; these would make exits that nobody answers. */
	{FORBIDDEN, PIN, PIN_INTERRUPTS | PIN_NMI, 0, MISSING("way to leave interrupts to the guest")},
	{FORBIDDEN, PRIMARY, PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE | PRIMARY_CR8_LOAD | PRIMARY_HLT | PRIMARY_MOV_DR | PRIMARY_IO,
	 PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE, MISSING("way to leave CR3 to the guest")},
	{FORBIDDEN, EXIT, EXIT_ACK_INTERRUPT, EXIT_ACK_INTERRUPT, MISSING("way to leave interrupts pending")},
};

struct vmx_capability vmx_has;

static u64 read_or_zero(u32 msr)
{
	u64 value = 0;

	rdmsr_safe(msr, &value);
	return value;
}

static u32 *word_of(struct vmx_controls *controls, enum word word)
{
	switch (word) {
	case PIN:
		return &controls->pin;
	case PRIMARY:
		return &controls->primary;
	case SECONDARY:
		return &controls->secondary;
	case EXIT:
		return &controls->exit;
	default:
		return &controls->entry;
	}
}

/* Low half of the MSR: bits that must be 1; high half: bits that may be. */
static bool apply(const struct rule *rule, u64 capability, u64 bits, u32 *word)
{
	u64 may = capability >> 32, must = (u32)capability;

	switch (rule->kind) {
	case REQUIRED:
		*word |= (u32)bits;
		return !(bits & ~may);
	case WANTED:
		*word |= (u32)(bits & may);
		return true;
	default:
		return !(bits & must);
	}
}

/* Their preemption timers do not count at the rate that they name (Intel's errata AAT59, AAU65, AAX65, BA86, and of 306A8h). */
static bool miscounts(u32 signature)
{
	return signature == 0x20652 || signature == 0x20655 || signature == 0x206e6 || signature == 0x306a8;
}

static const char *choose_controls(struct vmx_capability *has, u64 basic)
{
	u64 capability[WORD_COUNT];

	for (u32 i = 0; i < WORD_COUNT; i++) {
		capability[i] = read_or_zero(basic & BASIC_TRUE_CONTROLS ? capability_msr[i].true_msr
									: capability_msr[i].msr);
		*word_of(&has->dom0, i) = *word_of(&has->guest, i) = (u32)capability[i];
	}
	for (u32 i = 0; i < ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];

		if (!apply(r, capability[r->word], r->dom0, word_of(&has->dom0, r->word)) ||
		    !apply(r, capability[r->word], r->guest, word_of(&has->guest, r->word)))
			return r->missing;
	}
	has->timer = capability[PIN] >> 32 & PIN_TIMER;
	has->timer_counts = has->timer && !miscounts(cpuid(1, 0).eax);
	has->timer_rate = rdmsr(MSR_VMX_MISC) & 31;
	return NULL;
}

const char *vmx_capability_read(void)
{
	struct vmx_capability has = {0};
	u64 basic = rdmsr(MSR_VMX_BASIC), ept = 0;
	const char *missing = choose_controls(&has, basic);

	if (missing)
		return missing;
	ept = rdmsr(MSR_VMX_EPT_VPID_CAP);
	if ((ept & EPT_NEEDED) != EPT_NEEDED)
		return MISSING("EPT or VPID of the kind");
	if (BASIC_SIZE(basic) > PAGE_SIZE || BASIC_TYPE(basic) != 6)
		return MISSING("VMCS in write-back memory");
	/* What vmx.c sets, and hides from the guest; "unrestricted guest" lets PE and PG go (SDM 3D A.7). */
	if (rdmsr(MSR_VMX_CR0_FIXED0) & ~(CR0_PE | CR0_NE | CR0_PG) || rdmsr(MSR_VMX_CR4_FIXED0) & ~CR4_VMXE)
		return MISSING("way to leave CR0 and CR4 to the guest");
	has.revision = BASIC_REVISION(basic);
	has.ept_dirty = ept & EPT_DIRTY;
	has.ept_1g = ept & EPT_1G;
	has.io_info = basic & BASIC_IO_INFO;
	if (!vmx_has.revision)
		vmx_has = has;
	else if (memcmp(&vmx_has, &has, sizeof(has)))
		return "its VT-x is not like the boot CPU's";
	return NULL;
}
