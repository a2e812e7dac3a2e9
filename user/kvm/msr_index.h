/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers of MSRs (SDM 4, APM 2 appendix A), and of KVM's own (Linux's asm/kvm_para.h). */
#ifndef KVM_MSR_INDEX_H
#define KVM_MSR_INDEX_H

#define MSR_P5_MC_ADDR	       0x0u
#define MSR_P5_MC_TYPE	       0x1u
#define MSR_TSC		       0x10u
#define MSR_KVM_WALL_OLD       0x11u
#define MSR_KVM_SYSTEM_OLD     0x12u
#define MSR_APIC_BASE	       0x1bu
#define MSR_EBL_CR_POWERON     0x2au
#define MSR_EBC_FREQUENCY_ID   0x2cu
#define MSR_TSC_ADJUST	       0x3bu
#define MSR_SPEC_CTRL	       0x48u
#define MSR_BIOS_UPDATE	       0x79u
#define MSR_BIOS_SIGN	       0x8bu
#define MSR_FSB_FREQ	       0xcdu
#define MSR_MTRR_CAP	       0xfeu
#define MSR_SYSENTER_CS	       0x174u
#define MSR_SYSENTER_ESP       0x175u
#define MSR_SYSENTER_EIP       0x176u
#define MSR_MCG_CAP	       0x179u
#define MSR_MCG_STATUS	       0x17au
#define MSR_MCG_CTL	       0x17bu
#define MSR_PERF_STATUS	       0x198u
#define MSR_PERF_CTL	       0x199u
#define MSR_MISC_ENABLE	       0x1a0u
#define MSR_DEBUGCTL	       0x1d9u
#define MSR_MTRR_VARIABLE      0x200u
#define MSR_PAT		       0x277u
#define MSR_MTRR_DEFAULT       0x2ffu
#define MSR_MC0_CTL	       0x400u
#define MSR_RAPL_POWER_UNIT    0x606u
#define MSR_PKG_ENERGY_STATUS  0x611u
#define MSR_DRAM_ENERGY_STATUS 0x619u
#define MSR_PP0_ENERGY_STATUS  0x639u
#define MSR_PP1_ENERGY_STATUS  0x641u
#define MSR_TSC_DEADLINE       0x6e0u
#define MSR_KVM_WALL_CLOCK     0x4b564d00u
#define MSR_KVM_SYSTEM_TIME    0x4b564d01u
#define MSR_EFER	       0xc0000080u
#define MSR_STAR	       0xc0000081u
#define MSR_LSTAR	       0xc0000082u
#define MSR_CSTAR	       0xc0000083u
#define MSR_SFMASK	       0xc0000084u
#define MSR_FS_BASE	       0xc0000100u
#define MSR_GS_BASE	       0xc0000101u
#define MSR_KERNEL_GS_BASE     0xc0000102u
#define MSR_TSC_AUX	       0xc0000103u
#define MSR_K7_EVNTSEL0	       0xc0010000u
#define MSR_K7_PERFCTR0	       0xc0010004u
#define MSR_SYSCFG	       0xc0010010u
#define MSR_HWCR	       0xc0010015u
#define MSR_PATCH_LOADER       0xc0010020u
#define MSR_NB_CFG	       0xc001001fu
#define MSR_INT_PENDING	       0xc0010055u
#define MSR_MMIO_CONF_BASE     0xc0010058u
#define MSR_TSEG_ADDR	       0xc0010112u
#define MSR_TSEG_MASK	       0xc0010113u
#define MSR_LS_CFG	       0xc0011020u
#define MSR_DC_CFG	       0xc0011022u
#define MSR_DE_CFG	       0xc0011029u
#define MSR_BU_CFG2	       0xc001102au
#define MSR_EX_CFG	       0xc001102cu

/* SCE, LME, LMA, NXE, FFXSR */
#define EFER_KNOWN (1ull << 0 | 1ull << 8 | 1ull << 10 | 1ull << 11 | 1ull << 14)

#endif
