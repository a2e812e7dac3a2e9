/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/place.h"

#include "cpu/crash.h"

#define CPU_BYTES   (48 * KIB) /* slot, host save area, vCPU, VMCB, and the tables' share */
#define TABLE_BYTES MIB	       /* host and nested tables at boot */
#define MIN_POOL    (16 * MIB)
#define MAX_POOL    (512 * MIB) /* large servers have no more than some GiB below 4 GiB */

static u64 record_size(void)
{
	return align_up(sizeof(struct crash_record), PAGE_SIZE);
}

u64 hidden_size(u64 ram, u32 cpus, u64 pool, u64 image_size)
{
	u64 fixed = align_up(image_size, PAGE_SIZE) + record_size() + cpus * CPU_BYTES + TABLE_BYTES;

	if (!pool)
		pool = min_u64(MAX_POOL, max_u64(MIN_POOL, align_down(ram / 256, PAGE_SIZE)));
	return align_up(fixed + pool, HIDDEN_ALIGN);
}

void hidden_divide(struct placement *place, u64 image_size)
{
	place->pool = place->base + align_up(image_size, PAGE_SIZE);
	place->crash_record = place->base + place->size - record_size();
	place->pool_size = place->crash_record - place->pool;
}
