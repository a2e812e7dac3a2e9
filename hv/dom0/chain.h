/* SPDX-License-Identifier: BSD-2-Clause */
/* Chain boot: dom0 begins in real mode and boots the way the firmware would have booted it. */
#ifndef DOM0_CHAIN_H
#define DOM0_CHAIN_H

#include "dom0/low.h"
#include "mem/memmap.h"
#include "vm/vcpu.h"

/*
 * Installs the stub: hooks INT 15h so that it reports dom0's map, lowers the size of base memory, and leaves the
 * mark "LUVY" in the BIOS data area for boot loaders' scripts. Then makes the vCPU begin there: it
 * reads sector 0 of the drive, or (1 to 4) of a partition of its MBR, to 0:7C00 and jumps to it. serial_port: where the stub repeats its error
 * messages; 0: nowhere. False when the map has more ranges than the stub can hold.
 */
bool chain_prepare(struct vcpu *vcpu, const struct low_memory *low, const struct mem_map *map,
		   u8 drive, u8 partition, u16 serial_port);

#endif
