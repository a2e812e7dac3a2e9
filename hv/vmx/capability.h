/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What of VT-x this CPU has, and which controls we use (SDM 3D appendix A). Every control is on one of
 * three lists: required, wanted, forbidden; what is on none is left at what the CPU prescribes.
 */
#ifndef VMX_CAPABILITY_H
#define VMX_CAPABILITY_H

#include "lib/types.h"

/* Control words; of dom0's VMCS, and of guests'. */
struct vmx_controls {
	u32 pin, primary, secondary, exit, entry;
};

struct vmx_capability {
	struct vmx_controls dom0, guest;
	u32 revision;	   /* of VMXON regions and VMCSs */
	bool ept_dirty;	   /* EPT entries have accessed and dirty bits */
	bool ept_1g;
	bool timer;	   /* the preemption timer */
	bool timer_counts; /* and it keeps to its rate */
	u8 timer_rate;	   /* it counts changes of this bit of the TSC */
	bool io_info;	   /* INS and OUTS exits describe the operand */
};

/* Of the boot CPU; valid after vmx_capability_read. */
extern struct vmx_capability vmx_has;

/* NULL, or a sentence on what is missing on this CPU. The first CPU's answers are kept. */
const char *vmx_capability_read(void);

#endif
