/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual machine control block (APM 2 appendix B) and what its fields hold (APM 2 chapter 15). */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include "lib/types.h"

struct vmcb_segment { /* APM 2 table B-2 */
	u16 selector;
	u16 attributes;
	u32 limit;
	u64 base;
};
ASSERT_SIZE(struct vmcb_segment, 16);

struct vmcb {
	/* Control area, APM 2 table B-1. */
	u32 intercept_cr;	 /* 000h: reads in 15:0, writes in 31:16 */
	u32 intercept_dr;	 /* 004h */
	u32 intercept_exception; /* 008h: by vector */
	u32 intercept_1;	 /* 00Ch: VMCB_INTERCEPT_1_ */
	u32 intercept_2;	 /* 010h: VMCB_INTERCEPT_2_ */
	u32 intercept_3;	 /* 014h: VMCB_INTERCEPT_3_ */
	u8 reserved_18[0x3c - 0x18];
	u16 pause_threshold; /* 03Ch */
	u16 pause_count;     /* 03Eh */
	u64 iopm_base;	     /* 040h */
	u64 msrpm_base;	     /* 048h */
	u64 tsc_offset;	     /* 050h */
	u32 asid;	     /* 058h */
	u8 tlb_control;	     /* 05Ch: VMCB_TLB_ */
	u8 reserved_5d[3];
	u64 v_intr;	      /* 060h: V_TPR, V_IRQ, V_INTR_MASKING ... */
	u64 interrupt_shadow; /* 068h: bit 0 */
	u64 exit_code;	      /* 070h */
	u64 exit_info_1;      /* 078h */
	u64 exit_info_2;      /* 080h */
	u64 exit_int_info;    /* 088h: as event_inject */
	u64 np_enable;	      /* 090h: bit 0 */
	u8 reserved_98[0xa8 - 0x98];
	u64 event_inject;  /* 0A8h: EVENT_ */
	u64 nested_cr3;	   /* 0B0h */
	u64 lbr_enable;	   /* 0B8h */
	u32 clean;	   /* 0C0h: VMCB_CLEAN_ */
	u32 reserved_c4;
	u64 next_rip;	   /* 0C8h: 0 without NRIP save */
	u8 fetched_count;  /* 0D0h */
	u8 fetched[15];
	u8 reserved_e0[0x3e0 - 0xe0];
	u64 self; /* 3E0h, reserved for the host: where the VMCB is, physically */
	u8 reserved_3e8[0x400 - 0x3e8];

	/* State save area, APM 2 table B-2. */
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr; /* 400h */
	u8 reserved_4a0[0x4cb - 0x4a0];
	u8 cpl; /* 4CBh */
	u32 reserved_4cc;
	u64 efer; /* 4D0h */
	u8 reserved_4d8[0x548 - 0x4d8];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip; /* 548h */
	u8 reserved_580[0x5d8 - 0x580];
	u64 rsp; /* 5D8h */
	u64 s_cet, ssp, isst_addr;
	u64 rax;				     /* 5F8h */
	u64 star, lstar, cstar, sfmask;		     /* 600h */
	u64 kernel_gs_base;			     /* 620h */
	u64 sysenter_cs, sysenter_esp, sysenter_eip; /* 628h */
	u64 cr2;				     /* 640h */
	u8 reserved_648[0x668 - 0x648];
	u64 g_pat; /* 668h */
	u8 reserved_670[0x1000 - 0x670];
};
ASSERT_SIZE(struct vmcb, 4096);
ASSERT_OFFSET(struct vmcb, iopm_base, 0x40);
ASSERT_OFFSET(struct vmcb, asid, 0x58);
ASSERT_OFFSET(struct vmcb, exit_code, 0x70);
ASSERT_OFFSET(struct vmcb, event_inject, 0xa8);
ASSERT_OFFSET(struct vmcb, clean, 0xc0);
ASSERT_OFFSET(struct vmcb, next_rip, 0xc8);
ASSERT_OFFSET(struct vmcb, self, 0x3e0);
ASSERT_OFFSET(struct vmcb, es, 0x400);
ASSERT_OFFSET(struct vmcb, tr, 0x490);
ASSERT_OFFSET(struct vmcb, cpl, 0x4cb);
ASSERT_OFFSET(struct vmcb, efer, 0x4d0);
ASSERT_OFFSET(struct vmcb, cr4, 0x548);
ASSERT_OFFSET(struct vmcb, rip, 0x578);
ASSERT_OFFSET(struct vmcb, rsp, 0x5d8);
ASSERT_OFFSET(struct vmcb, rax, 0x5f8);
ASSERT_OFFSET(struct vmcb, cr2, 0x640);
ASSERT_OFFSET(struct vmcb, g_pat, 0x668);

/* intercept_cr, 000h. */
#define VMCB_INTERCEPT_CR4_WRITE BIT(16 + 4)
#define VMCB_INTERCEPT_CR8_WRITE BIT(16 + 8)

/* intercept_dr, 004h: DR0 to DR3, and writes of DR7, which is DR5, too. DR6 and DR7 are in the VMCB. */
#define VMCB_INTERCEPT_DR 0x00af000fu

/* intercept_1, 00Ch. */
#define VMCB_INTERCEPT_1_INTR	  BIT(0)
#define VMCB_INTERCEPT_1_NMI	  BIT(1)
#define VMCB_INTERCEPT_1_SMI	  BIT(2)
#define VMCB_INTERCEPT_1_INIT	  BIT(3)
#define VMCB_INTERCEPT_1_VINTR	  BIT(4)
#define VMCB_INTERCEPT_1_RDPMC	  BIT(15)
#define VMCB_INTERCEPT_1_CPUID	  BIT(18)
#define VMCB_INTERCEPT_1_IRET	  BIT(20)
#define VMCB_INTERCEPT_1_INVD	  BIT(22)
#define VMCB_INTERCEPT_1_HLT	  BIT(24)
#define VMCB_INTERCEPT_1_INVLPGA  BIT(26)
#define VMCB_INTERCEPT_1_IO	  BIT(27)
#define VMCB_INTERCEPT_1_MSR	  BIT(28)
#define VMCB_INTERCEPT_1_FERR	  BIT(30)
#define VMCB_INTERCEPT_1_SHUTDOWN BIT(31)

/* intercept_2, 010h. */
#define VMCB_INTERCEPT_2_VMRUN	 BIT(0)
#define VMCB_INTERCEPT_2_VMMCALL BIT(1)
#define VMCB_INTERCEPT_2_VMLOAD	 BIT(2)
#define VMCB_INTERCEPT_2_VMSAVE	 BIT(3)
#define VMCB_INTERCEPT_2_STGI	 BIT(4)
#define VMCB_INTERCEPT_2_CLGI	 BIT(5)
#define VMCB_INTERCEPT_2_SKINIT	 BIT(6)
#define VMCB_INTERCEPT_2_RDTSCP	 BIT(7)
#define VMCB_INTERCEPT_2_WBINVD	 BIT(9)
#define VMCB_INTERCEPT_2_MONITOR BIT(10)
#define VMCB_INTERCEPT_2_MWAIT	 BIT(11)
#define VMCB_INTERCEPT_2_XSETBV	 BIT(13)
#define VMCB_INTERCEPT_2_RDPRU	 BIT(14)

/* intercept_3, 014h. */
#define VMCB_INTERCEPT_3_INVLPGB BIT(0)
#define VMCB_INTERCEPT_3_INVPCID BIT(2)
#define VMCB_INTERCEPT_3_MCOMMIT BIT(3)
#define VMCB_INTERCEPT_3_TLBSYNC BIT(4)

/* v_intr, 060h (APM 2 15.21.1, 15.21.4). */
#define VMCB_V_TPR_MASK	    0xfull
#define VMCB_V_IRQ	    BIT(8)
#define VMCB_V_IGN_TPR	    BIT(20)
#define VMCB_V_INTR_MASKING BIT(24)

/* tlb_control, APM 2 table 15-9. */
#define VMCB_TLB_KEEP	   0u
#define VMCB_TLB_FLUSH_ALL 1u

/* clean, APM 2 15.15.3. */
#define VMCB_CLEAN_I    BIT(0)
#define VMCB_CLEAN_MAPS BIT(1)
#define VMCB_CLEAN_ASID BIT(2)
#define VMCB_CLEAN_TPR  BIT(3)
#define VMCB_CLEAN_NP  BIT(4)
#define VMCB_CLEAN_CRX BIT(5)
#define VMCB_CLEAN_DRX BIT(6)
#define VMCB_CLEAN_DT  BIT(7)
#define VMCB_CLEAN_SEG BIT(8)
#define VMCB_CLEAN_CR2 BIT(9)
#define VMCB_CLEAN_ALL (BIT(10) - 1)

/* exit_code, APM 2 appendix C. */
enum vmexit_code {
	VMEXIT_CR4_WRITE = 0x14,
	VMEXIT_CR8_WRITE = 0x18,
	VMEXIT_DR = 0x20, /* + number, + 10h: a write */
	VMEXIT_EXCEPTION = 0x40, /* + vector */
	VMEXIT_EXCEPTION_LAST = 0x5f,
	VMEXIT_INTR = 0x60,
	VMEXIT_NMI = 0x61,
	VMEXIT_SMI = 0x62,
	VMEXIT_INIT = 0x63,
	VMEXIT_VINTR = 0x64,
	VMEXIT_RDPMC = 0x6f,
	VMEXIT_CPUID = 0x72,
	VMEXIT_IRET = 0x74,
	VMEXIT_INVD = 0x76,
	VMEXIT_HLT = 0x78,
	VMEXIT_INVLPGA = 0x7a,
	VMEXIT_IO = 0x7b,
	VMEXIT_MSR = 0x7c,
	VMEXIT_SHUTDOWN = 0x7f,
	VMEXIT_VMRUN = 0x80,
	VMEXIT_VMMCALL = 0x81,
	VMEXIT_VMLOAD = 0x82,
	VMEXIT_VMSAVE = 0x83,
	VMEXIT_STGI = 0x84,
	VMEXIT_CLGI = 0x85,
	VMEXIT_SKINIT = 0x86,
	VMEXIT_RDTSCP = 0x87,
	VMEXIT_WBINVD = 0x89,
	VMEXIT_MONITOR = 0x8a,
	VMEXIT_MWAIT = 0x8b,
	VMEXIT_MWAIT_ARMED = 0x8c,
	VMEXIT_XSETBV = 0x8d,
	VMEXIT_RDPRU = 0x8e,
	VMEXIT_INVLPGB = 0xa0,
	VMEXIT_INVPCID = 0xa2,
	VMEXIT_MCOMMIT = 0xa3,
	VMEXIT_TLBSYNC = 0xa4,
	VMEXIT_NPF = 0x400,
};

/* A failed entry; TCG stores the lower half alone. */
#define VMEXIT_INVALID	   UINT64_MAX
#define VMEXIT_INVALID_TCG 0xffffffffull

/* exit_info_1 of VMEXIT_IO, APM 2 15.10.2. */
#define IO_IN		   BIT(0)
#define IO_STRING	   BIT(2)
#define IO_REP		   BIT(3)
#define IO_SIZE(info)	   ((u32)(info) >> 4 & 7)  /* 1, 2 or 4 */
#define IO_ADDRESS(info)   ((u32)(info) >> 7 & 7)  /* 1: 16, 2: 32, 4: 64 bits */
#define IO_SEGMENT(info)   ((u32)(info) >> 10 & 7) /* enum segment_name */
#define IO_PORT(info)	   ((u32)(info) >> 16)

/* exit_info_1 of VMEXIT_NPF, APM 2 15.25.6. */
#define NPF_PRESENT BIT(0)
#define NPF_WRITE   BIT(1)
#define NPF_EXEC    BIT(4)
#define NPF_WALK    BIT(33)

#endif
