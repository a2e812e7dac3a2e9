/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual machine control structure: its fields (SDM 3D appendix B) and what they hold (SDM 3C chapter 25). */
#ifndef VMX_VMCS_H
#define VMX_VMCS_H

#include "lib/types.h"

/* Encoding: width 14:13 (16, 64, 32 bits, natural), type 11:10 (control, read-only, guest, host), index 9:1. */
#define VMCS_FIELDS(F)                                                                             \
	F(VPID, 0x0000)                                                                            \
	F(GUEST_ES_SELECTOR, 0x0800) /* and the others in the order of enum segment_name */        \
	F(HOST_ES_SELECTOR, 0x0c00)                                                                \
	F(HOST_CS_SELECTOR, 0x0c02)                                                                \
	F(HOST_SS_SELECTOR, 0x0c04)                                                                \
	F(HOST_DS_SELECTOR, 0x0c06)                                                                \
	F(HOST_FS_SELECTOR, 0x0c08)                                                                \
	F(HOST_GS_SELECTOR, 0x0c0a)                                                                \
	F(HOST_TR_SELECTOR, 0x0c0c)                                                                \
	F(IO_BITMAP_A, 0x2000) /* and B */                                                         \
	F(MSR_BITMAPS, 0x2004)                                                                     \
	F(TSC_OFFSET, 0x2010)                                                                      \
	F(VIRTUAL_APIC_ADDRESS, 0x2012)                                                            \
	F(EPT_POINTER, 0x201a)                                                                     \
	F(XSS_EXITING_BITMAP, 0x202c)                                                              \
	F(GUEST_PHYSICAL_ADDRESS, 0x2400)                                                          \
	F(VMCS_LINK_POINTER, 0x2800)                                                               \
	F(GUEST_DEBUGCTL, 0x2802)                                                                  \
	F(GUEST_PAT, 0x2804)                                                                       \
	F(GUEST_EFER, 0x2806)                                                                      \
	F(GUEST_PDPTE0, 0x280a) /* and three more */                                               \
	F(HOST_PAT, 0x2c00)                                                                        \
	F(HOST_EFER, 0x2c02)                                                                       \
	F(PIN_CONTROLS, 0x4000)                                                                    \
	F(PRIMARY_CONTROLS, 0x4002)                                                                \
	F(EXCEPTION_BITMAP, 0x4004)                                                                \
	F(PAGE_FAULT_MASK, 0x4006)                                                                 \
	F(PAGE_FAULT_MATCH, 0x4008)                                                                \
	F(CR3_TARGET_COUNT, 0x400a)                                                                \
	F(EXIT_CONTROLS, 0x400c)                                                                   \
	F(EXIT_MSR_STORE_COUNT, 0x400e)                                                            \
	F(EXIT_MSR_LOAD_COUNT, 0x4010)                                                             \
	F(ENTRY_CONTROLS, 0x4012)                                                                  \
	F(ENTRY_MSR_LOAD_COUNT, 0x4014)                                                            \
	F(ENTRY_EVENT, 0x4016)                                                                     \
	F(ENTRY_EVENT_ERROR, 0x4018)                                                               \
	F(ENTRY_INSTRUCTION_LENGTH, 0x401a)                                                        \
	F(TPR_THRESHOLD, 0x401c)                                                                   \
	F(SECONDARY_CONTROLS, 0x401e)                                                              \
	F(INSTRUCTION_ERROR, 0x4400)                                                               \
	F(EXIT_REASON, 0x4402)                                                                     \
	F(EXIT_EVENT, 0x4404)                                                                      \
	F(EXIT_EVENT_ERROR, 0x4406)                                                                \
	F(VECTORING_EVENT, 0x4408)                                                                 \
	F(VECTORING_EVENT_ERROR, 0x440a)                                                           \
	F(EXIT_INSTRUCTION_LENGTH, 0x440c)                                                         \
	F(EXIT_INSTRUCTION_INFO, 0x440e)                                                           \
	F(GUEST_ES_LIMIT, 0x4800)                                                                  \
	F(GUEST_GDTR_LIMIT, 0x4810)                                                                \
	F(GUEST_IDTR_LIMIT, 0x4812)                                                                \
	F(GUEST_ES_RIGHTS, 0x4814)                                                                 \
	F(GUEST_CS_RIGHTS, 0x4816)                                                                 \
	F(GUEST_SS_RIGHTS, 0x4818)                                                                 \
	F(GUEST_INTERRUPTIBILITY, 0x4824)                                                          \
	F(GUEST_ACTIVITY, 0x4826)                                                                  \
	F(GUEST_SYSENTER_CS, 0x482a)                                                               \
	F(PREEMPTION_TIMER, 0x482e)                                                                \
	F(HOST_SYSENTER_CS, 0x4c00)                                                                \
	F(CR0_MASK, 0x6000)                                                                        \
	F(CR4_MASK, 0x6002)                                                                        \
	F(CR0_SHADOW, 0x6004)                                                                      \
	F(CR4_SHADOW, 0x6006)                                                                      \
	F(EXIT_QUALIFICATION, 0x6400)                                                              \
	F(GUEST_CR0, 0x6800)                                                                       \
	F(GUEST_CR3, 0x6802)                                                                       \
	F(GUEST_CR4, 0x6804)                                                                       \
	F(GUEST_ES_BASE, 0x6806)                                                                   \
	F(GUEST_GDTR_BASE, 0x6816)                                                                 \
	F(GUEST_IDTR_BASE, 0x6818)                                                                 \
	F(GUEST_DR7, 0x681a)                                                                       \
	F(GUEST_RSP, 0x681c)                                                                       \
	F(GUEST_RIP, 0x681e)                                                                       \
	F(GUEST_RFLAGS, 0x6820)                                                                    \
	F(GUEST_PENDING_DEBUG, 0x6822)                                                             \
	F(GUEST_SYSENTER_ESP, 0x6824)                                                              \
	F(GUEST_SYSENTER_EIP, 0x6826)                                                              \
	F(HOST_CR0, 0x6c00)                                                                        \
	F(HOST_CR3, 0x6c02)                                                                        \
	F(HOST_CR4, 0x6c04)                                                                        \
	F(HOST_FS_BASE, 0x6c06)                                                                    \
	F(HOST_GS_BASE, 0x6c08)                                                                    \
	F(HOST_TR_BASE, 0x6c0a)                                                                    \
	F(HOST_GDTR_BASE, 0x6c0c)                                                                  \
	F(HOST_IDTR_BASE, 0x6c0e)                                                                  \
	F(HOST_SYSENTER_ESP, 0x6c10)                                                               \
	F(HOST_SYSENTER_EIP, 0x6c12)                                                               \
	F(HOST_RSP, 0x6c14) /* entry.S */                                                          \
	F(HOST_RIP, 0x6c16)

#define VMCS_FIELD_ENUM(name, encoding) name = encoding,
enum vmcs_field { VMCS_FIELDS(VMCS_FIELD_ENUM) };
#undef VMCS_FIELD_ENUM

#define VMCS_FIELD_STEP 2u /* from a field to its neighbour */

/* Pin-based controls, SDM 3C 25.6.1. */
#define PIN_INTERRUPTS	   BIT(0)
#define PIN_NMI		   BIT(3)
#define PIN_VIRTUAL_NMIS   BIT(5)
#define PIN_TIMER	   BIT(6)

/* Primary processor-based controls, SDM 3C 25.6.2. */
#define PRIMARY_INTERRUPT_WINDOW BIT(2)
#define PRIMARY_TSC_OFFSET	 BIT(3)
#define PRIMARY_HLT		 BIT(7)
#define PRIMARY_MWAIT		 BIT(10)
#define PRIMARY_RDPMC		 BIT(11)
#define PRIMARY_CR3_LOAD	 BIT(15)
#define PRIMARY_CR3_STORE	 BIT(16)
#define PRIMARY_CR8_LOAD	 BIT(19)
#define PRIMARY_TPR_SHADOW	 BIT(21)
#define PRIMARY_NMI_WINDOW	 BIT(22)
#define PRIMARY_MOV_DR		 BIT(23)
#define PRIMARY_IO		 BIT(24)
#define PRIMARY_IO_BITMAPS	 BIT(25)
#define PRIMARY_MSR_BITMAPS	 BIT(28)
#define PRIMARY_MONITOR		 BIT(29)
#define PRIMARY_SECONDARY	 BIT(31)

/* Secondary processor-based controls. */
#define SECONDARY_EPT	       BIT(1)
#define SECONDARY_RDTSCP       BIT(3)
#define SECONDARY_X2APIC       BIT(4)
#define SECONDARY_VPID	       BIT(5)
#define SECONDARY_WBINVD       BIT(6)
#define SECONDARY_UNRESTRICTED BIT(7)
#define SECONDARY_INVPCID      BIT(12)
#define SECONDARY_XSAVES       BIT(20)
#define SECONDARY_USER_WAIT    BIT(26)

/* VM-exit controls, SDM 3C 25.7.1. */
#define EXIT_SAVE_DEBUG	     BIT(2)
#define EXIT_HOST_64	     BIT(9)
#define EXIT_ACK_INTERRUPT   BIT(15)
#define EXIT_SAVE_PAT	     BIT(18)
#define EXIT_LOAD_PAT	     BIT(19)
#define EXIT_SAVE_EFER	     BIT(20)
#define EXIT_LOAD_EFER	     BIT(21)

/* VM-entry controls, SDM 3C 25.8.1. */
#define ENTRY_LOAD_DEBUG BIT(2)
#define ENTRY_GUEST_64	 BIT(9)
#define ENTRY_LOAD_PAT	 BIT(14)
#define ENTRY_LOAD_EFER	 BIT(15)

/* EXIT_EVENT, SDM 3C 25.9.2, beside what every event has (vm/vcpu.h). */
#define EVENT_IRET_UNBLOCKED BIT(12) /* EXIT_EVENT: the IRET that faulted had unblocked NMIs */

/* GUEST_INTERRUPTIBILITY, SDM 3C table 25-3. */
#define BLOCKED_BY_STI	  BIT(0)
#define BLOCKED_BY_MOV_SS BIT(1)
#define BLOCKED_BY_NMI	  BIT(3)

/* GUEST_ACTIVITY. */
#define ACTIVITY_ACTIVE	   0u
#define ACTIVITY_HLT	   1u
#define ACTIVITY_WAIT_SIPI 3u

/* Access rights, SDM 3C table 25-2: descriptor bits 47:40 in 7:0, 55:52 in 15:12. */
#define RIGHTS_UNUSABLE BIT(16)

/* EXIT_REASON, SDM 3D appendix C. */
#define REASON_ENTRY_FAILED BIT(31)
enum vmx_reason {
	REASON_EXCEPTION_OR_NMI = 0,
	REASON_INTERRUPT = 1,
	REASON_TRIPLE_FAULT = 2,
	REASON_INIT = 3,
	REASON_STARTUP = 4,
	REASON_INTERRUPT_WINDOW = 7,
	REASON_NMI_WINDOW = 8,
	REASON_TASK_SWITCH = 9,
	REASON_CPUID = 10,
	REASON_GETSEC = 11,
	REASON_HLT = 12,
	REASON_INVD = 13,
	REASON_RDPMC = 15,
	REASON_VMCALL = 18,
	REASON_VMCLEAR = 19,
	REASON_VMXON = 27,
	REASON_CR = 28,
	REASON_DR = 29,
	REASON_IO = 30,
	REASON_RDMSR = 31,
	REASON_WRMSR = 32,
	REASON_INVALID_STATE = 33,
	REASON_MSR_LOAD = 34,
	REASON_MWAIT = 36,
	REASON_MONITOR = 39,
	REASON_MACHINE_CHECK = 41,
	REASON_EPT_VIOLATION = 48,
	REASON_EPT_MISCONFIGURED = 49,
	REASON_INVEPT = 50,
	REASON_TIMER = 52,
	REASON_INVVPID = 53,
	REASON_WBINVD = 54,
	REASON_XSETBV = 55,
};

/* EXIT_QUALIFICATION of an I/O instruction, SDM 3C table 28-5. */
#define IO_SIZE(q)   (((u32)(q) & 7) + 1)
#define IO_IN	     BIT(3)
#define IO_STRING    BIT(4)
#define IO_REP	     BIT(5)
#define IO_PORT(q)   ((u32)(q) >> 16 & 0xffff)
/* EXIT_INSTRUCTION_INFO of INS and OUTS, SDM 3C table 28-8. */
#define IO_ADDRESS(i) (2u << ((u32)(i) >> 7 & 3)) /* bytes */
#define IO_SEGMENT(i) ((u32)(i) >> 15 & 7)	  /* enum segment_name */

/* EXIT_QUALIFICATION of an access to a control register, SDM 3C table 28-3. */
#define CR_NUMBER(q) ((u32)(q) & 15)
#define CR_TYPE(q)   ((u32)(q) >> 4 & 3) /* 0: MOV to CR */
#define CR_GPR(q)    ((u32)(q) >> 8 & 15)

/* EXIT_QUALIFICATION of an EPT violation, SDM 3C table 28-7. */
#define EPT_READ	   BIT(0)
#define EPT_WRITE	   BIT(1)
#define EPT_EXEC	   BIT(2)
#define EPT_PRESENT	   (BIT(3) | BIT(4) | BIT(5))
#define EPT_LINEAR	   (BIT(7) | BIT(8)) /* both: the translation of a linear address, not a walk */
#define EPT_IRET_UNBLOCKED BIT(12)

#endif
