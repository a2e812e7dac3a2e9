/* SPDX-License-Identifier: BSD-2-Clause */
/* Model-specific registers: the manuals' numbers and names (APM 2 appendix A, SDM 4). */
#ifndef CPU_MSR_H
#define CPU_MSR_H

#include "lib/types.h"

#define MSR_TSC		     0x10u
#define MSR_APIC_BASE	     0x1bu
#define APIC_BASE_BSP	     BIT(8)
#define APIC_BASE_X2APIC     BIT(10)
#define APIC_BASE_ENABLE     BIT(11)
#define APIC_BASE_FLAGS	     (APIC_BASE_BSP | APIC_BASE_X2APIC | APIC_BASE_ENABLE)
#define MSR_FEATURE_CONTROL  0x3au
#define FEATURE_CONTROL_LOCK BIT(0)
#define FEATURE_CONTROL_VMX  BIT(2) /* outside SMX */
#define MSR_SPEC_CTRL	     0x48u
#define MSR_PRED_CMD	     0x49u
#define MSR_MTRR_CAP	     0xfeu
#define MSR_MCG_STATUS	     0x17au
#define MCG_STATUS_RIPV	     BIT(0)
#define MSR_DEBUGCTL	     0x1d9u
#define DEBUGCTL_BTF	     BIT(1)
#define MSR_MTRR_BASE(n)     (0x200u + 2 * (n))
#define MSR_MTRR_MASK(n)     (0x201u + 2 * (n))
#define MSR_MTRR_FIX64K	     0x250u
#define MSR_MTRR_FIX16K(n)   (0x258u + (n))
#define MSR_MTRR_FIX4K(n)    (0x268u + (n))
#define MSR_PAT		     0x277u
#define MSR_MTRR_DEF_TYPE    0x2ffu
#define MSR_X2APIC_FIRST     0x800u
#define MSR_X2APIC_ICR	     0x830u
#define MSR_X2APIC_LAST	     0x8ffu

#define MSR_XSS	     0xda0u

#define MSR_TEST_CTRL	     0x33u
#define TEST_CTRL_SPLIT_LOCK BIT(29)
#define MSR_BIOS_UPDT_TRIG   0x79u
#define MSR_SMM_MONITOR_CTL  0x9bu
#define MSR_ARCH_CAPABILITIES 0x10au
#define ARCH_RDCL_NO	     BIT(0)
#define ARCH_SKIP_L1D_FLUSH  BIT(3)
#define ARCH_PSCHANGE_MC_NO  BIT(6)
#define MSR_FLUSH_CMD	     0x10bu
#define MSR_PERF_GLOBAL_CTRL 0x38fu
#define MSR_VMX_BASIC	     0x480u
#define MSR_VMX_PIN	     0x481u
#define MSR_VMX_PRIMARY	     0x482u
#define MSR_VMX_EXIT	     0x483u
#define MSR_VMX_ENTRY	     0x484u
#define MSR_VMX_MISC	     0x485u
#define MSR_VMX_CR0_FIXED0   0x486u
#define MSR_VMX_CR0_FIXED1   0x487u
#define MSR_VMX_CR4_FIXED0   0x488u
#define MSR_VMX_CR4_FIXED1   0x489u
#define MSR_VMX_SECONDARY    0x48bu
#define MSR_VMX_EPT_VPID_CAP 0x48cu
#define MSR_VMX_TRUE_PIN     0x48du
#define MSR_VMX_TRUE_PRIMARY 0x48eu
#define MSR_VMX_TRUE_EXIT    0x48fu
#define MSR_VMX_TRUE_ENTRY   0x490u
#define MSR_RTIT_CTL	     0x570u

#define MSR_STAR	   0xc0000081u
#define MSR_LSTAR	   0xc0000082u
#define MSR_CSTAR	   0xc0000083u
#define MSR_SFMASK	   0xc0000084u
#define MSR_FS_BASE	   0xc0000100u
#define MSR_GS_BASE	   0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX	   0xc0000103u
#define MSR_TSC_RATIO	   0xc0000104u
#define MSR_SYSENTER_CS	   0x174u
#define MSR_SYSENTER_ESP   0x175u
#define MSR_SYSENTER_EIP   0x176u

#define MSR_EFER      0xc0000080u
#define EFER_SCE      BIT(0)
#define EFER_LME      BIT(8)
#define EFER_LMA      BIT(10)
#define EFER_NXE      BIT(11)
#define EFER_SVME     BIT(12)
#define EFER_LMSLE    BIT(13)
#define EFER_FFXSR    BIT(14)
#define EFER_TCE      BIT(15)

#define MSR_SYSCFG	     0xc0010010u
#define SYSCFG_MTRR_FIX_DRAM_EN	    BIT(18)
#define SYSCFG_MTRR_FIX_DRAM_MOD_EN BIT(19)
#define SYSCFG_MTRR_TOM2_EN	    BIT(21)
#define SYSCFG_TOM2_FORCE_WB	    BIT(22)
#define MSR_HWCR	     0xc0010015u
#define HWCR_MC_STATUS_WR_EN BIT(18)
#define HWCR_CPB_DIS	     BIT(25)
#define HWCR_IR_PERF_EN	     BIT(30)
#define MSR_IORR_BASE0	     0xc0010016u
#define MSR_IORR_MASK1	     0xc0010019u
#define MSR_TOP_MEM	     0xc001001au
#define MSR_TOP_MEM2	     0xc001001du
#define MSR_PATCH_LOADER     0xc0010020u
#define MSR_SMI_ON_IO_TRAP0  0xc0010050u
#define MSR_SMI_ON_IO_TRAP_CTL 0xc0010054u
#define MSR_INT_PENDING	     0xc0010055u
#define MSR_SMI_TRIGGER	     0xc0010056u
#define MSR_MMIO_CFG_BASE    0xc0010058u
#define MSR_SMM_BASE	     0xc0010111u
#define MSR_SMM_ADDR	     0xc0010112u
#define MSR_SMM_MASK	     0xc0010113u
#define MSR_VM_CR	     0xc0010114u
#define VM_CR_R_INIT	     BIT(1)
#define VM_CR_LOCK	     BIT(3)
#define VM_CR_SVMDIS	     BIT(4)
#define MSR_IGNNE	     0xc0010115u
#define MSR_SMM_CTL	     0xc0010116u
#define MSR_VM_HSAVE_PA	     0xc0010117u
#define MSR_SVM_KEY	     0xc0010118u
#define MSR_SMM_KEY	     0xc0010119u
#define MSR_AVIC_DOORBELL    0xc001011bu
#define MSR_VMPAGE_FLUSH     0xc001011eu
#define MSR_GHCB	     0xc0010130u
#define MSR_SEV_LAST	     0xc0010137u /* SEV_STATUS, RMP_BASE, RMP_END, VIRTUAL_TOM lie between */
#define MSR_CPUID_7_FEATURES 0xc0011002u
#define MSR_CPUID_6_FEATURES 0xc0011003u
#define MSR_CPUID_1_FEATURES 0xc0011004u
#define MSR_CPUID_EXT_FEATURES 0xc0011005u

#endif
