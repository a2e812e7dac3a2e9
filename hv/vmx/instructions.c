/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmx/instructions.h"

#include "cpu/crash.h"

/* SDM 3C 31.3: INVEPT and INVVPID types. */
#define SINGLE_CONTEXT 1u
#define ALL_CONTEXTS   2u

struct invalidation { /* the 128-bit descriptor */
	u64 what, address;
};

static const struct {
	u32 encoding;
	const char *name;
} fields[] = { /* ascending */
#define VMCS_FIELD_NAME(name, encoding) {encoding, #name},
	VMCS_FIELDS(VMCS_FIELD_NAME)
#undef VMCS_FIELD_NAME
};

static const char *field_name(u32 field)
{
	const char *found = "?";

	/* Neighbours of segments and PDPTEs have no names of their own. */
	for (u32 i = 0; i < ARRAY_SIZE(fields) && fields[i].encoding <= field; i++)
		found = fields[i].name;
	return found;
}

const char *vmx_error_name(u64 error)
{
	static const char *const names[] = {
		[1] = "VMCALL in root mode",
		[2] = "VMCLEAR of an invalid address",
		[3] = "VMCLEAR of the VMXON region",
		[4] = "VMLAUNCH of a VMCS that is not clear",
		[5] = "VMRESUME of a VMCS that was not launched",
		[6] = "VMRESUME after VMXOFF",
		[7] = "VM entry with invalid control fields",
		[8] = "VM entry with invalid host-state fields",
		[9] = "VMPTRLD of an invalid address",
		[10] = "VMPTRLD of the VMXON region",
		[11] = "VMPTRLD of a VMCS with another revision",
		[12] = "no such VMCS field",
		[13] = "VMWRITE to a read-only field",
		[15] = "VMXON in root mode",
		[26] = "VM entry with events blocked by MOV SS",
		[28] = "INVEPT or INVVPID with an invalid operand",
	};

	return error < ARRAY_SIZE(names) && names[error] ? names[error] : "unknown error";
}

/* 0 where there is no current VMCS to hold it (CF). */
static u64 read_error(void)
{
	u64 error;
	bool none;

	__asm__ volatile("vmread %2, %0" : "=r"(error), "=@ccc"(none) : "r"((u64)INSTRUCTION_ERROR));
	return none ? 0 : error;
}

static noreturn void failed(const char *instruction, const char *operand, u64 value)
{
	u64 error = read_error();

	crash("%s %s (0x%llx) failed: error %llu, %s", instruction, operand,
	      (unsigned long long)value, (unsigned long long)error, vmx_error_name(error));
}

#define VMX_WITH_ADDRESS(mnemonic, address)                                                        \
	do {                                                                                       \
		u64 at_ = (address);                                                               \
		__asm__ goto(mnemonic " %0\n\tjbe %l[bad]" : : "m"(at_) : "cc", "memory" : bad);   \
		return;                                                                            \
	bad:                                                                                       \
		failed(mnemonic, "", at_);                                                         \
	} while (0)

void vmx_on(hpa_t region)
{
	u64 at = region.addr;

	/* There is no error number before VMX operation. */
	__asm__ goto("vmxon %0\n\tjbe %l[bad]" : : "m"(at) : "cc", "memory" : bad);
	return;
bad:
	crash("VMXON (0x%llx) failed", (unsigned long long)at);
}

void vmx_off(void)
{
	__asm__ goto("vmxoff\n\tjbe %l[bad]" : : : "cc", "memory" : bad);
	return;
bad:
	failed("VMXOFF", "", 0);
}

void vmcs_clear(hpa_t vmcs)
{
	VMX_WITH_ADDRESS("vmclear", vmcs.addr);
}

void vmcs_use(hpa_t vmcs)
{
	VMX_WITH_ADDRESS("vmptrld", vmcs.addr);
}

noreturn void vmcs_read_failed(u32 field)
{
	failed("VMREAD", field_name(field), field);
}

u64 vmcs_read(u32 field)
{
	return vmcs_read_inline(field);
}

void vmcs_write(u32 field, u64 value)
{
	__asm__ goto("vmwrite %1, %0\n\tjbe %l[bad]" : : "r"((u64)field), "r"(value) : "cc", "memory" : bad);
	return;
bad:
	failed("VMWRITE", field_name(field), value);
}

void vmcs_zero(void)
{
	for (u32 i = 0; i < ARRAY_SIZE(fields); i++)
		__asm__ volatile("vmwrite %1, %0" : : "r"((u64)fields[i].encoding), "r"(0ull) : "cc", "memory");
}

void ept_invalidate(u64 ept_pointer)
{
	struct invalidation what = {ept_pointer, 0};

	__asm__ goto("invept %0, %1\n\tjbe %l[bad]"
		     :
		     : "m"(what), "r"((u64)SINGLE_CONTEXT)
		     : "cc", "memory"
		     : bad);
	return;
bad:
	failed("INVEPT", "", ept_pointer);
}

static void invvpid(u64 type, u64 vpid)
{
	struct invalidation what = {vpid, 0};

	__asm__ goto("invvpid %0, %1\n\tjbe %l[bad]" : : "m"(what), "r"(type) : "cc", "memory" : bad);
	return;
bad:
	failed("INVVPID", "", vpid);
}

void vpid_invalidate(u16 vpid)
{
	invvpid(SINGLE_CONTEXT, vpid);
}

void vpid_invalidate_all(void)
{
	invvpid(ALL_CONTEXTS, 0);
}
