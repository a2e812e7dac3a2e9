/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/msr.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "kvm/clock.h"
#include "kvm/cpuid.h"
#include "kvm/irqchip.h"
#include "kvm/msr_index.h"
#include "kvm/state.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define COUNT(array)	   (sizeof(array) / sizeof((array)[0]))

#define APIC_BASE_RESET	   0xfee00000ull
#define APIC_BASE_BSP	   (1ull << 8)
#define APIC_BASE_X2APIC   (1ull << 10)
#define APIC_BASE_ENABLE   (1ull << 11)
#define CPUID_1_ECX_X2APIC (1u << 21)

#define MTRR_FIXED	   11u
#define MTRR_VARIABLE	   8u
#define MTRR_CAP	   (MTRR_VARIABLE | 1u << 8 | 1u << 10) /* fixed ranges, write combining */

#define MCG_CTL_P	   (1ull << 8)	/* MCG_CTL is there */
#define MCG_SER_P	   (1ull << 24) /* software error recovery */
#define MCG_MCIP	   (1ull << 2)	/* MCG_STATUS: a machine check is being handled */
#define MCI_VAL		   (1ull << 63)
#define MCI_OVER	   (1ull << 62)
#define MCI_UC		   (1ull << 61)

#define MISC_ENABLE_RESET  (1ull << 11 | 1ull << 12) /* no BTS, no PEBS */
#define PATCH_LEVEL_AMD	   0x01000065ull	     /* as KVM's: no guest minds it */
#define DECFG_LFENCE	   (1ull << 1)		     /* LFENCE serializes */
/* What KVM's HWCR takes and drops: TLBCACHEDIS, IGNNE, FFDIS (APM 2 3.2.10). */
#define HWCR_DROPPED	     (1ull << 3 | 1ull << 6 | 1ull << 8)
#define HWCR_MC_STATUS_WRITE (1ull << 18)

#define TSC_SAME_NS	     1000000000ull

struct msr_state {
	uint64_t misc_enable, bios_sign, hwcr, decfg;
	uint64_t mtrr_default, mtrr_fixed[MTRR_FIXED], mtrr_variable[2 * MTRR_VARIABLE];
	uint64_t mcg_cap, mcg_status, mcg_ctl;
	uint64_t mc[4 * MSR_BANKS_MAX]; /* CTL, STATUS, ADDR, MISC of each bank */
	uint64_t tsc_adjust;
	uint64_t tsc_offset; /* as last seen: a guest's write to its TSC goes into TSC_ADJUST */
};

/* --- lists ----------------------------------------------------------------------------- */

static const uint32_t listed[] = {
    MSR_TSC,
    MSR_SYSENTER_CS,
    MSR_SYSENTER_ESP,
    MSR_SYSENTER_EIP,
    MSR_STAR,
    MSR_LSTAR,
    MSR_CSTAR,
    MSR_SFMASK,
    MSR_KERNEL_GS_BASE,
    MSR_PAT,
    MSR_TSC_AUX,
    MSR_TSC_ADJUST,
    MSR_MISC_ENABLE,
    MSR_MCG_STATUS,
    MSR_MCG_CTL,
    MSR_BIOS_SIGN,
    MSR_HWCR,
    MSR_TSC_DEADLINE,
    MSR_KVM_WALL_OLD,
    MSR_KVM_SYSTEM_OLD,
    MSR_KVM_WALL_CLOCK,
    MSR_KVM_SYSTEM_TIME,
};

static const uint32_t features[] = {MSR_DE_CFG};

unsigned msr_list(const uint32_t **list)
{
	*list = listed;
	return COUNT(listed);
}

unsigned msr_feature_list(const uint32_t **list)
{
	*list = features;
	return COUNT(features);
}

bool msr_feature_read(uint32_t index, uint64_t *value)
{
	struct kvm_cpuid_entry2 entries[LUV_CPUID_MAX];
	unsigned count = cpuid_supported(entries, LUV_CPUID_MAX);

	if (index != MSR_DE_CFG)
		return false;
	*value = 0;
	for (unsigned i = 0; i < count && i < LUV_CPUID_MAX; i++)
		if (entries[i].function == 0x80000021 && entries[i].eax & 1u << 2)
			*value = DECFG_LFENCE;
	return true;
}

/* --- life ------------------------------------------------------------------------------ */

int msr_create(struct vcpu *vcpu)
{
	struct msr_state *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->misc_enable = MISC_ENABLE_RESET;
	m->bios_sign = PATCH_LEVEL_AMD;
	(void)msr_feature_read(MSR_DE_CFG, &m->decfg);
	m->mcg_cap = MSR_BANKS_MAX;
	vcpu->msrs = m;
	return 0;
}

void msr_destroy(struct vcpu *vcpu)
{
	free(vcpu->msrs);
}

/* --- the TSC --------------------------------------------------------------------------- */

/*
 * Clients set the TSCs of all vCPUs to the same time, one after the other. As KVM does, a write
 * that is within a second of where the last one's clock now stands, or of 0, means that clock.
 */
static uint64_t tsc_offset_for(struct vm *vm, uint64_t value)
{
	uint64_t now = __rdtsc(), expected, window = (uint64_t)vm->tsc_khz * 1000;
	struct vm_tsc *tsc = &vm->tsc;

	expected = tsc->written + (now - tsc->at);
	if (tsc->known &&
	    (value == 0 || (value < expected + window && value + window > expected)))
		return tsc->offset;
	*tsc =
	    (struct vm_tsc){.written = value, .at = now, .offset = value - now, .known = true};
	return tsc->offset;
}

static void set_offset(struct vcpu *vcpu, uint64_t offset)
{
	uint64_t deadline = __atomic_load_n(&vcpu->deadline, __ATOMIC_RELAXED);

	vcpu->page->msr[LUV_MSR_TSC_OFFSET] = offset;
	vcpu->msrs->tsc_offset = offset;
	state_changed(vcpu, LUV_GROUP_MSRS);
	/* The APIC's deadline is a time of this clock. */
	if (deadline)
		timer_arm(vcpu, deadline, offset);
}

/* The client's writes leave TSC_ADJUST alone. Its lock is the VM's but at creation, which has
 * it. */
static void write_tsc(struct vcpu *vcpu, uint64_t value)
{
	uint64_t offset;

	pthread_mutex_lock(&vcpu->vm->lock);
	offset = tsc_offset_for(vcpu->vm, value);
	pthread_mutex_unlock(&vcpu->vm->lock);
	set_offset(vcpu, offset);
}

/* What the guest has written to its TSC since the last look. */
static void follow_tsc(struct vcpu *vcpu)
{
	uint64_t offset = vcpu->page->msr[LUV_MSR_TSC_OFFSET];

	vcpu->msrs->tsc_adjust += offset - vcpu->msrs->tsc_offset;
	vcpu->msrs->tsc_offset = offset;
}

static void write_tsc_adjust(struct vcpu *vcpu, uint64_t value, enum msr_by by)
{
	uint64_t change;

	follow_tsc(vcpu);
	change = value - vcpu->msrs->tsc_adjust;
	if (by == MSR_BY_GUEST)
		set_offset(vcpu, vcpu->page->msr[LUV_MSR_TSC_OFFSET] + change);
	vcpu->msrs->tsc_adjust = value;
}

void msr_reset(struct vcpu *vcpu)
{
	uint64_t base = APIC_BASE_RESET | APIC_BASE_ENABLE;

	state_need(vcpu, LUV_GROUP_MSRS);
	vcpu->page->msr[LUV_MSR_APIC_BASE] = base | (vcpu->index ? 0 : APIC_BASE_BSP);
	set_offset(vcpu, tsc_offset_for(vcpu->vm, 0));
}

/* --- APIC_BASE ------------------------------------------------------------------------- */

/* SDM 3A 10.12.5: x2APIC needs the APIC enabled, and is left only by disabling it. */
static bool apic_base_valid(const struct vcpu *vcpu, uint64_t new, enum msr_by by)
{
	uint64_t old = vcpu->page->msr[LUV_MSR_APIC_BASE];
	unsigned bits = cpuid_guest(vcpu, 0x80000008, 0, 0) & 0xff;
	uint64_t known = APIC_BASE_BSP | APIC_BASE_X2APIC | APIC_BASE_ENABLE |
			 (((1ull << cpuid_physical_bits()) - 1) & ~0xfffull);

	if (vcpu->cpuid_count && !(cpuid_guest(vcpu, 1, 0, 2) & CPUID_1_ECX_X2APIC))
		known &= ~APIC_BASE_X2APIC;
	if (bits >= 32 && bits < 64)
		known &= (1ull << bits) - 1;
	if (new & ~known || (new &APIC_BASE_X2APIC && !(new &APIC_BASE_ENABLE)))
		return false;
	if (by == MSR_BY_CLIENT)
		return true;
	return !(old & APIC_BASE_X2APIC) || new &APIC_BASE_X2APIC || !(new &APIC_BASE_ENABLE);
}

static bool write_apic_base(struct vcpu *vcpu, uint64_t value, enum msr_by by)
{
	uint64_t *base = &vcpu->page->msr[LUV_MSR_APIC_BASE];

	if (!apic_base_valid(vcpu, value, by))
		return false;
	if (*base != value) {
		*base = value;
		state_changed(vcpu, LUV_GROUP_MSRS);
	}
	return true;
}

int msr_set_apic_base(struct vcpu *vcpu, uint64_t value)
{
	state_need(vcpu, LUV_GROUP_MSRS);
	return write_apic_base(vcpu, value, MSR_BY_CLIENT) ? 0 : -EINVAL;
}

/* --- MTRRs ----------------------------------------------------------------------------- */

/* SDM 3A 11.11: they are kept, and nothing follows from them. */
static uint64_t *mtrr(struct msr_state *m, uint32_t index)
{
	static const uint32_t fixed[MTRR_FIXED] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
						   0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

	if (index == MSR_MTRR_DEFAULT)
		return &m->mtrr_default;
	if (index >= MSR_MTRR_VARIABLE && index < MSR_MTRR_VARIABLE + 2 * MTRR_VARIABLE)
		return &m->mtrr_variable[index - MSR_MTRR_VARIABLE];
	for (unsigned i = 0; i < MTRR_FIXED; i++)
		if (fixed[i] == index)
			return &m->mtrr_fixed[i];
	return NULL;
}

static bool memory_type_valid(uint64_t type)
{
	return type <= 6 && type != 2 && type != 3;
}

static bool mtrr_valid(uint32_t index, uint64_t value)
{
	uint64_t beyond = ~((1ull << cpuid_physical_bits()) - 1);

	if (index == MSR_MTRR_DEFAULT)
		return !(value & ~0xcffull) && memory_type_valid(value & 0xff);
	if (index >= MSR_MTRR_VARIABLE && index < MSR_MTRR_VARIABLE + 2 * MTRR_VARIABLE)
		return index & 1
			   ? !(value & (beyond | 0x7ff))
			   : !(value & (beyond | 0xf00)) && memory_type_valid(value & 0xff);
	for (unsigned i = 0; i < 8; i++)
		if (!memory_type_valid(value >> 8 * i & 0xff))
			return false;
	return true;
}

/* --- machine checks -------------------------------------------------------------------- */

uint64_t msr_mce_capabilities(void)
{
	return MCG_CTL_P | MCG_SER_P;
}

int msr_setup_mce(struct vcpu *vcpu, uint64_t mcg_cap)
{
	unsigned banks = mcg_cap & 0xff;
	struct msr_state *m = vcpu->msrs;

	if (!banks || banks > MSR_BANKS_MAX ||
	    mcg_cap & ~(msr_mce_capabilities() | 0xff | 0xff0000))
		return -EINVAL;
	m->mcg_cap = mcg_cap;
	m->mcg_ctl = mcg_cap & MCG_CTL_P ? ~0ull : 0;
	for (unsigned i = 0; i < banks; i++)
		m->mc[4 * i] = ~0ull;
	return 0;
}

/* SDM 3B 15.3.2: the guest writes all ones or 0 to CTL, and 0 to STATUS unless HWCR lets it. */
static bool bank_valid(const struct msr_state *m, unsigned offset, uint64_t value,
		       enum msr_by by)
{
	/* Linux clears bit 10 of bank 4's on some AMD CPUs, and all but bit 0 on old Intels. */
	if (offset % 4 == 0 && value && (value | 1ull << 10 | 1) != ~0ull)
		return false;
	return by == MSR_BY_CLIENT || offset % 4 != 1 || !value ||
	       m->hwcr & HWCR_MC_STATUS_WRITE;
}

static uint64_t *bank(struct msr_state *m, uint32_t index)
{
	unsigned offset = index - MSR_MC0_CTL;

	return index >= MSR_MC0_CTL && offset < 4 * (m->mcg_cap & 0xff) ? &m->mc[offset] : NULL;
}

int msr_inject_mce(struct vcpu *vcpu, const struct kvm_x86_mce *mce)
{
	struct msr_state *m = vcpu->msrs;
	uint64_t *to = &m->mc[4 * mce->bank];
	bool uncorrected = mce->status & MCI_UC;

	if (mce->bank >= (m->mcg_cap & 0xff) || !(mce->status & MCI_VAL))
		return -EINVAL;
	/* The bank or all of them may be switched off. */
	if (uncorrected && ((m->mcg_cap & MCG_CTL_P && m->mcg_ctl != ~0ull) || to[0] != ~0ull))
		return 0;
	if (uncorrected) {
		state_need(vcpu, LUV_GROUP_CONTROL);
		if (m->mcg_status & MCG_MCIP || !(vcpu->page->cr4 & 1u << 6)) {
			vcpu->triple_fault = true;
			return 0;
		}
		m->mcg_status = mce->mcg_status;
		state_inject(vcpu, LUV_INJECT_VALID | LUV_INJECT_EXCEPTION | 18, 0);
	} else if (to[1] & MCI_VAL && to[1] & MCI_UC) {
		to[1] |= MCI_OVER;
		return 0;
	}
	to[1] = mce->status | (to[1] & MCI_VAL ? MCI_OVER : 0);
	to[2] = mce->addr;
	to[3] = mce->misc;
	return 0;
}

/* --- MSRs that are in the page --------------------------------------------------------- */

static uint64_t *in_page(struct vcpu *vcpu, uint32_t index)
{
	static const uint32_t names[LUV_MSR_COUNT] = {
	    [LUV_MSR_STAR] = MSR_STAR,
	    [LUV_MSR_LSTAR] = MSR_LSTAR,
	    [LUV_MSR_CSTAR] = MSR_CSTAR,
	    [LUV_MSR_SFMASK] = MSR_SFMASK,
	    [LUV_MSR_KERNEL_GS_BASE] = MSR_KERNEL_GS_BASE,
	    [LUV_MSR_SYSENTER_CS] = MSR_SYSENTER_CS,
	    [LUV_MSR_SYSENTER_ESP] = MSR_SYSENTER_ESP,
	    [LUV_MSR_SYSENTER_EIP] = MSR_SYSENTER_EIP,
	    [LUV_MSR_PAT] = MSR_PAT,
	    [LUV_MSR_TSC_AUX] = MSR_TSC_AUX,
	};

	for (unsigned i = 0; i < LUV_MSR_COUNT; i++)
		if (names[i] && names[i] == index)
			return &vcpu->page->msr[i];
	return NULL;
}

static bool canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 7) >> 7) == address;
}

/* PAT holds types 0, 1, 4, 5, 6, 7 (SDM 3A 11.12.2). */
static bool page_value_valid(uint32_t index, uint64_t value)
{
	switch (index) {
	case MSR_PAT:
		for (unsigned i = 0; i < 8; i++)
			if ((value >> 8 * i & 0xff) > 7 || (value >> 8 * i & 6) == 2)
				return false;
		return true;
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_KERNEL_GS_BASE:
	case MSR_SYSENTER_ESP:
	case MSR_SYSENTER_EIP:
		return canonical(value);
	case MSR_TSC_AUX:
		return !(value >> 32);
	default:
		return true;
	}
}

static bool control_read(struct vcpu *vcpu, uint32_t index, uint64_t *value)
{
	struct luv_vcpu_page *page = vcpu->page;

	switch (index) {
	case MSR_EFER:
		state_need(vcpu, LUV_GROUP_CONTROL);
		*value = page->efer;
		return true;
	case MSR_FS_BASE:
	case MSR_GS_BASE:
		state_need(vcpu, LUV_GROUP_SEGMENTS);
		*value = page->segment[index == MSR_FS_BASE ? LUV_FS : LUV_GS].base;
		return true;
	case MSR_TSC:
		*value = vcpu_tsc(vcpu);
		return true;
	case MSR_APIC_BASE:
		*value = page->msr[LUV_MSR_APIC_BASE];
		return true;
	default:
		return false;
	}
}

static bool control_write(struct vcpu *vcpu, uint32_t index, uint64_t value, enum msr_by by,
			  bool *ok)
{
	struct luv_vcpu_page *page = vcpu->page;

	*ok = true;
	switch (index) {
	case MSR_EFER:
		*ok = !(value & ~EFER_KNOWN);
		state_need(vcpu, LUV_GROUP_CONTROL);
		if (*ok)
			page->efer = value;
		state_changed(vcpu, LUV_GROUP_CONTROL);
		return true;
	case MSR_FS_BASE:
	case MSR_GS_BASE:
		*ok = canonical(value);
		state_need(vcpu, LUV_GROUP_SEGMENTS);
		if (*ok)
			page->segment[index == MSR_FS_BASE ? LUV_FS : LUV_GS].base = value;
		state_changed(vcpu, LUV_GROUP_SEGMENTS);
		return true;
	case MSR_TSC:
		follow_tsc(vcpu);
		write_tsc(vcpu, value);
		return true;
	case MSR_APIC_BASE:
		*ok = write_apic_base(vcpu, value, by);
		return true;
	default:
		return false;
	}
}

/* --- MSRs that are kept here ----------------------------------------------------------- */

static uint64_t *kept(struct msr_state *m, uint32_t index)
{
	switch (index) {
	case MSR_MISC_ENABLE:
		return &m->misc_enable;
	case MSR_HWCR:
		return &m->hwcr;
	case MSR_DE_CFG:
		return &m->decfg;
	case MSR_MCG_CAP:
		return &m->mcg_cap;
	case MSR_MCG_STATUS:
		return &m->mcg_status;
	case MSR_MCG_CTL:
		return &m->mcg_ctl;
	default:
		return mtrr(m, index) ? mtrr(m, index) : bank(m, index);
	}
}

static bool kept_write(struct msr_state *m, uint32_t index, uint64_t value, enum msr_by by)
{
	uint64_t *to = kept(m, index);
	bool ok;

	switch (index) {
	case MSR_MISC_ENABLE:
		ok = true;
		break;
	case MSR_HWCR:
		value &= ~HWCR_DROPPED;
		ok = !(value & ~HWCR_MC_STATUS_WRITE);
		break;
	case MSR_DE_CFG:
		ok = !(value & ~DECFG_LFENCE) && (by == MSR_BY_CLIENT || value == m->decfg);
		break;
	case MSR_MCG_CAP:
		return false;
	case MSR_MCG_STATUS:
		ok = by == MSR_BY_CLIENT || !value;
		break;
	case MSR_MCG_CTL:
		ok = m->mcg_cap & MCG_CTL_P ? !value || value == ~0ull
					    : by == MSR_BY_CLIENT && (!value || value == ~0ull);
		break;
	default:
		ok = mtrr(m, index) ? mtrr_valid(index, value)
				    : bank_valid(m, index - MSR_MC0_CTL, value, by);
		break;
	}
	if (ok)
		*to = value;
	return ok;
}

/* Registers of the machine that systems read without asking first, and what KVM says there. */
static bool answered(uint32_t index, uint64_t *value)
{
	static const struct {
		uint32_t index;
		uint64_t value;
	} fixed[] = {
	    {MSR_MTRR_CAP, MTRR_CAP},
	    {MSR_P5_MC_ADDR, 0},
	    {MSR_P5_MC_TYPE, 0},
	    {MSR_EBL_CR_POWERON, 0},
	    {MSR_EBC_FREQUENCY_ID, 1u << 24},
	    {MSR_FSB_FREQ, 3},
	    {MSR_PERF_STATUS, 1000ull | 4ull << 40},
	    {MSR_PERF_CTL, 0},
	    {MSR_DEBUGCTL, 0},
	    {MSR_RAPL_POWER_UNIT, 0},
	    {MSR_PKG_ENERGY_STATUS, 0},
	    {MSR_DRAM_ENERGY_STATUS, 0},
	    {MSR_PP0_ENERGY_STATUS, 0},
	    {MSR_PP1_ENERGY_STATUS, 0},
	    {MSR_SYSCFG, 0},
	    {MSR_TSEG_ADDR, 0},
	    {MSR_TSEG_MASK, 0},
	    {MSR_NB_CFG, 0},
	    {MSR_INT_PENDING, 0},
	    {MSR_MMIO_CONF_BASE, 0},
	    {MSR_LS_CFG, 0},
	    {MSR_DC_CFG, 0},
	    {MSR_BU_CFG2, 0},
	    {MSR_EX_CFG, 0},
	    {MSR_K7_EVNTSEL0, 0},
	    {MSR_K7_EVNTSEL0 + 1, 0},
	    {MSR_K7_EVNTSEL0 + 2, 0},
	    {MSR_K7_EVNTSEL0 + 3, 0},
	    {MSR_K7_PERFCTR0, 0},
	    {MSR_K7_PERFCTR0 + 1, 0},
	    {MSR_K7_PERFCTR0 + 2, 0},
	    {MSR_K7_PERFCTR0 + 3, 0},
	};

	for (unsigned i = 0; i < COUNT(fixed); i++) {
		if (fixed[i].index != index)
			continue;
		*value = fixed[i].value;
		return true;
	}
	return false;
}

/* Writes that do nothing. 0 is what the counters and DEBUGCTL hold. */
static bool swallowed(uint32_t index, uint64_t value)
{
	switch (index) {
	case MSR_BIOS_UPDATE:
	case MSR_PATCH_LOADER:
	case MSR_NB_CFG:
	case MSR_DC_CFG:
	case MSR_BU_CFG2:
	case MSR_LS_CFG:
		return true;
	case MSR_DEBUGCTL:
	case MSR_SYSCFG:
		return !value;
	default:
		return index >= MSR_K7_EVNTSEL0 && index < MSR_K7_EVNTSEL0 + 8 && !value;
	}
}

/* --- the local APIC's timer -------------------------------------------------------------- */

/* Without a local APIC here it is a register without a timer behind it, as in KVM. */
static uint64_t read_deadline(struct vcpu *vcpu)
{
	if (vcpu->vm->mode == IRQCHIP_NONE)
		return 0;
	vcpu->page->valid &= ~LUV_GROUP_DEADLINE;
	state_need(vcpu, LUV_GROUP_DEADLINE);
	return vcpu->page->tsc_deadline;
}

static void write_deadline(struct vcpu *vcpu, uint64_t value)
{
	vcpu->page->tsc_deadline = value;
	if (vcpu->vm->mode != IRQCHIP_NONE)
		state_changed(vcpu, LUV_GROUP_DEADLINE);
}

/* --- all of them ----------------------------------------------------------------------- */

/* Microcode's revision: the guest may write it before it reads it, and changes nothing. */
static bool bios_sign_write(struct msr_state *m, uint64_t value, enum msr_by by)
{
	if (by == MSR_BY_CLIENT)
		m->bios_sign = value;
	return true;
}

bool msr_read(struct vcpu *vcpu, uint32_t index, uint64_t *value, enum msr_by by)
{
	struct msr_state *m = vcpu->msrs;
	const uint64_t *from;
	bool ok = true;

	state_need(vcpu, LUV_GROUP_MSRS);
	from = in_page(vcpu, index);
	if (!from)
		from = kept(m, index);
	if (from) {
		*value = *from;
		return index != MSR_MCG_CTL || m->mcg_cap & MCG_CTL_P || by == MSR_BY_CLIENT;
	}
	if (control_read(vcpu, index, value))
		return true;
	if (clock_msr_read(vcpu, index, value, &ok))
		return ok;
	switch (index) {
	case MSR_TSC_ADJUST:
		follow_tsc(vcpu);
		*value = m->tsc_adjust;
		return true;
	case MSR_TSC_DEADLINE:
		*value = read_deadline(vcpu);
		return true;
	case MSR_BIOS_SIGN:
		*value = m->bios_sign;
		return true;
	default:
		return answered(index, value);
	}
}

bool msr_write(struct vcpu *vcpu, uint32_t index, uint64_t value, enum msr_by by)
{
	struct msr_state *m = vcpu->msrs;
	uint64_t *to;
	bool ok = true;

	state_need(vcpu, LUV_GROUP_MSRS);
	to = in_page(vcpu, index);
	if (to) {
		if (!page_value_valid(index, value))
			return false;
		*to = value;
		state_changed(vcpu, LUV_GROUP_MSRS);
		return true;
	}
	if (kept(m, index))
		return kept_write(m, index, value, by);
	if (control_write(vcpu, index, value, by, &ok) ||
	    clock_msr_write(vcpu, index, value, &ok))
		return ok;
	switch (index) {
	case MSR_TSC_ADJUST:
		write_tsc_adjust(vcpu, value, by);
		return true;
	case MSR_TSC_DEADLINE:
		write_deadline(vcpu, value);
		return true;
	case MSR_BIOS_SIGN:
		return bios_sign_write(m, value, by);
	default:
		return swallowed(index, value);
	}
}
