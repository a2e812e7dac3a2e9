/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/syscall.h"

#include <cpuid.h>
#include <linux/kvm.h>
#include <stdint.h>

#include "kvm/cpuid.h"
#include "kvm/memory.h"
#include "kvm/run.h"
#include "kvm/state.h"
#include "kvm/vcpu.h"

#define VECTOR_UD    6
#define PAGE_SIZE    4096u
#define CR0_PE	     (1ull << 0)
#define EFER_SCE     (1ull << 0)
#define EFER_LMA     (1ull << 10)
#define RFLAGS_FIXED (1ull << 1)
#define RFLAGS_TF    (1ull << 8)
#define RFLAGS_IF    (1ull << 9)
#define RFLAGS_RF    (1ull << 16)
#define RFLAGS_VM    (1ull << 17)
#define SEGMENT_LONG (1ull << 9)
#define CODE_64	     0xa9bu /* flat, present, accessed, privilege 0 */
#define CODE_32	     0xc9bu
#define DATA_32	     0xc93u
#define LENGTH	     2u

bool syscall_missing(const struct vcpu *vcpu)
{
	uint32_t eax, ebx = 0, ecx, edx;

	__get_cpuid(0, &eax, &ebx, &ecx, &edx);
	return ebx == signature_INTEL_ebx && cpuid_guest(vcpu, 0, 0, 1) == signature_AMD_ebx;
}

/* One byte of code; -1 where it is in no RAM. */
static int code_byte(struct vcpu *vcpu, uint64_t linear)
{
	struct kvm_translation translation = {.linear_address = linear};
	const uint8_t *page = NULL;
	int byte = -1;

	if (translate(vcpu, &translation) != 0 || !translation.valid)
		return -1;
	memory_lock(vcpu->vm);
	page = memory_page(vcpu->vm, translation.physical_address & ~(PAGE_SIZE - 1ull), false);
	if (page)
		byte = page[translation.physical_address % PAGE_SIZE];
	memory_unlock(vcpu->vm);
	return byte;
}

/* 64-bit code has it on every CPU: that #UD is the guest's. */
static bool is_syscall(struct vcpu *vcpu)
{
	const struct luv_vcpu_page *page = vcpu->page;
	const struct luv_segment *cs = &page->segment[LUV_CS];
	uint64_t linear = (uint32_t)(cs->base + page->rip);

	if (!(page->cr0 & CR0_PE) || page->rflags & RFLAGS_VM || !(page->efer & EFER_SCE) ||
	    (page->efer & EFER_LMA && cs->attributes & SEGMENT_LONG))
		return false;
	return code_byte(vcpu, linear) == 0x0f && code_byte(vcpu, (uint32_t)(linear + 1)) == 0x05;
}

static struct luv_segment flat(uint64_t selector, uint64_t attributes)
{
	return (struct luv_segment){.limit = UINT32_MAX, .selector = selector, .attributes = attributes};
}

/* APM 3, SYSCALL: the legacy and the compatibility mode form. */
static void execute(struct vcpu *vcpu)
{
	struct luv_vcpu_page *page = vcpu->page;
	uint64_t star = page->msr[LUV_MSR_STAR], selector = star >> 32 & 0xfffc;
	bool lma = page->efer & EFER_LMA;

	page->general[LUV_RCX] = (uint32_t)(page->rip + LENGTH);
	if (lma) {
		page->general[LUV_R11] = page->rflags & ~RFLAGS_RF;
		page->rip = page->msr[LUV_MSR_CSTAR];
		page->rflags &= ~(page->msr[LUV_MSR_SFMASK] | RFLAGS_RF);
		page->rflags |= RFLAGS_FIXED;
	} else {
		page->rip = (uint32_t)star;
		page->rflags &= ~(RFLAGS_IF | RFLAGS_RF);
	}
	page->segment[LUV_CS] = flat(selector, lma ? CODE_64 : CODE_32);
	page->segment[LUV_SS] = flat(selector + 8, DATA_32);
	state_changed(vcpu, LUV_GROUP_GENERAL | LUV_GROUP_SEGMENTS);
}

int syscall_exit(struct vcpu *vcpu)
{
	state_need(vcpu, LUV_GROUP_GENERAL | LUV_GROUP_CONTROL | LUV_GROUP_SEGMENTS | LUV_GROUP_MSRS);
	if (!is_syscall(vcpu)) {
		state_inject(vcpu, LUV_INJECT_VALID | LUV_INJECT_EXCEPTION | VECTOR_UD, 0);
		return RUN_AGAIN;
	}
	execute(vcpu);
	/* The trap flag counts as SFMASK left it. */
	return debug_stepped(vcpu, vcpu->page->rflags & RFLAGS_TF) ? 0 : RUN_AGAIN;
}
