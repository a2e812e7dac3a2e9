/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The FPU page is an XSAVE area in the standard format (SDM 1 13.4): KVM_GET_XSAVE's. Parts
 * whose bit in XSTATE_BV is clear are in their initial state, whatever their bytes say.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "kvm/cpuid.h"
#include "kvm/state.h"
#include "kvm/vcpu.h"

#define XSTATE_X87  (1ull << 0)
#define XSTATE_SSE  (1ull << 1)

#define FCW_INITIAL 0x37f

struct fxsave {
	uint16_t fcw, fsw;
	uint8_t ftw, reserved;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16], xmm[16][16];
	uint8_t unused[96];
};
_Static_assert(sizeof(struct fxsave) == 512, "struct fxsave");

struct xsave {
	struct fxsave legacy;
	uint64_t xstate_bv, xcomp_bv, reserved[6];
	uint8_t extended[LUV_XSAVE_SIZE_MAX - 576];
};
_Static_assert(sizeof(struct xsave) == LUV_XSAVE_SIZE_MAX, "struct xsave");
_Static_assert(sizeof(struct kvm_xsave) == LUV_XSAVE_SIZE_MAX, "struct kvm_xsave");

static struct xsave *area(struct vcpu *vcpu)
{
	return vcpu->fpu;
}

/* Without XSAVE the page is FXSAVE's, and all of it counts. */
static uint64_t in_use(const struct xsave *x)
{
	return cpuid_has_xsave() ? x->xstate_bv : XSTATE_X87 | XSTATE_SSE;
}

static void clear_initial(struct xsave *x)
{
	uint64_t initial = ~in_use(x);

	if (initial & XSTATE_X87) {
		memset(&x->legacy, 0, offsetof(struct fxsave, mxcsr));
		memset(x->legacy.st, 0, sizeof(x->legacy.st));
		x->legacy.fcw = FCW_INITIAL;
	}
	if (initial & XSTATE_SSE)
		memset(x->legacy.xmm, 0, sizeof(x->legacy.xmm));
	for (unsigned part = 2; part < 64; part++) {
		unsigned offset, size;

		if (initial >> part & 1 && cpuid_xsave_part(part, &offset, &size))
			memset((uint8_t *)x + offset, 0, size);
	}
}

/* --- KVM_GET_FPU, KVM_SET_FPU ------------------------------------------------------------- */

int state_get_fpu(struct vcpu *vcpu, struct kvm_fpu *fpu)
{
	struct xsave copy = *area(vcpu);
	const struct fxsave *x = &copy.legacy;

	clear_initial(&copy);
	*fpu = (struct kvm_fpu){
	    .fcw = x->fcw,
	    .fsw = x->fsw,
	    .ftwx = x->ftw,
	    .last_opcode = x->fop,
	    .last_ip = x->fip,
	    .last_dp = x->fdp,
	    .mxcsr = x->mxcsr,
	};
	memcpy(fpu->fpr, x->st, sizeof(fpu->fpr));
	memcpy(fpu->xmm, x->xmm, sizeof(fpu->xmm));
	return 0;
}

int state_set_fpu(struct vcpu *vcpu, const struct kvm_fpu *fpu)
{
	struct xsave *to = area(vcpu);
	struct fxsave *x = &to->legacy;

	x->fcw = fpu->fcw;
	x->fsw = fpu->fsw;
	x->ftw = fpu->ftwx;
	x->fop = fpu->last_opcode;
	x->fip = fpu->last_ip;
	x->fdp = fpu->last_dp;
	/* XRSTOR and FXRSTOR refuse reserved bits. KVM's client may leave it 0. */
	x->mxcsr = fpu->mxcsr & cpuid_mxcsr_mask();
	memcpy(x->st, fpu->fpr, sizeof(fpu->fpr));
	memcpy(x->xmm, fpu->xmm, sizeof(fpu->xmm));
	if (cpuid_has_xsave())
		to->xstate_bv |= XSTATE_X87 | XSTATE_SSE;
	return 0;
}

/* --- KVM_GET_XSAVE, KVM_SET_XSAVE -----------------------------------------------------------
 */

int state_get_xsave(struct vcpu *vcpu, struct kvm_xsave *xsave)
{
	struct xsave *x = (struct xsave *)xsave;

	memcpy(x, vcpu->fpu, sizeof(*x));
	clear_initial(x);
	if (!cpuid_has_xsave())
		x->xstate_bv = XSTATE_X87 | XSTATE_SSE;
	x->legacy.mxcsr_mask = cpuid_mxcsr_mask();
	return 0;
}

int state_set_xsave(struct vcpu *vcpu, const struct kvm_xsave *xsave)
{
	const struct xsave *x = (const struct xsave *)xsave;
	struct xsave *to = area(vcpu);

	if (x->xstate_bv & ~(cpuid_xcr0() | XSTATE_X87 | XSTATE_SSE) || x->xcomp_bv ||
	    x->legacy.mxcsr & ~cpuid_mxcsr_mask())
		return -EINVAL;
	for (unsigned i = 0; i < 6; i++)
		if (x->reserved[i])
			return -EINVAL;
	*to = *x;
	return 0;
}

/* --- XCR0 -----------------------------------------------------------------------------------
 */

int state_get_xcrs(struct vcpu *vcpu, struct kvm_xcrs *xcrs)
{
	*xcrs = (struct kvm_xcrs){.nr_xcrs = 1};
	if (!cpuid_has_xsave())
		return -EINVAL;
	state_need(vcpu, LUV_GROUP_CONTROL);
	xcrs->xcrs[0].value = vcpu->page->xcr0;
	return 0;
}

int state_set_xcrs(struct vcpu *vcpu, const struct kvm_xcrs *xcrs)
{
	if (!cpuid_has_xsave() || xcrs->nr_xcrs > KVM_MAX_XCRS || xcrs->flags)
		return -EINVAL;
	for (unsigned i = 0; i < xcrs->nr_xcrs; i++) {
		if (xcrs->xcrs[i].xcr)
			continue;
		if (!cpuid_xcr0_valid(xcrs->xcrs[i].value))
			return -EINVAL;
		state_need(vcpu, LUV_GROUP_CONTROL);
		vcpu->page->xcr0 = xcrs->xcrs[i].value;
		state_changed(vcpu, LUV_GROUP_CONTROL);
		break;
	}
	return 0;
}
