/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/chain.h"

#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/page.h"

/* The BIOS data area and interrupt vectors (physical addresses). */
#define IVT_INT15 0x54u
/* Intra-application communication area: 16 bytes that the firmware leaves alone. */
#define BDA_MARK 0x4f0u

struct PACKED chain_data { /* chain.S */
	u32 old_int15;
	u16 serial;
	u8 drive;
	u8 partition; /* 1 to 4; 0: none */
	u16 below_16m; /* KiB from 1 MiB to 16 MiB */
	u16 above_16m; /* 64 KiB blocks from 16 MiB */
	u16 extended;  /* KiB from 1 MiB */
	u16 count;
	struct e820_entry range[];
};

extern const u8 chain_start[], chain_end[], chain_data[], chain_int15[];

static void write_u16(u32 at, u16 value)
{
	memcpy(hpa_to_virt(hpa(at)), &value, sizeof(value));
}

static void write_u32(u32 at, u32 value)
{
	memcpy(hpa_to_virt(hpa(at)), &value, sizeof(value));
}

static u32 read_u32(u32 at)
{
	u32 value;

	memcpy(&value, hpa_to_virt(hpa(at)), sizeof(value));
	return value;
}

/* RAM without a gap from an address on, at most limit bytes. */
static u64 ram_from(const struct mem_map *map, u64 at, u64 limit)
{
	for (u32 i = 0; i < map->count; i++) {
		const struct mem_range *r = &map->range[i];

		if (r->type == MEM_RAM && at >= r->base && at - r->base < r->size)
			return min_u64(limit, r->base + r->size - at);
	}
	return 0;
}

static void describe_memory(struct chain_data *data, const struct mem_map *map)
{
	data->below_16m = (u16)(ram_from(map, MIB, 15 * MIB) / KIB);
	data->above_16m = (u16)(ram_from(map, 16 * MIB, 0xffffull * 64 * KIB) / (64 * KIB));
	data->extended = (u16)(ram_from(map, MIB, 0xffffull * KIB) / KIB);
	data->count = (u16)map->count;
	for (u32 i = 0; i < map->count; i++) {
		data->range[i] = (struct e820_entry){map->range[i].base, map->range[i].size,
						     map->range[i].type};
	}
}

bool chain_prepare(struct vcpu *vcpu, const struct low_memory *low, const struct mem_map *map,
		   u8 drive, u8 partition, u16 serial_port)
{
	hpa_t stub = low_page(low, LOW_STUB);
	u16 segment = (u16)(stub.addr >> 4);
	u8 *page = hpa_to_virt(stub);
	struct chain_data *data = (struct chain_data *)(page + (chain_data - chain_start));

	if ((u64)(chain_end - chain_start) + map->count * sizeof(struct e820_entry) > PAGE_SIZE)
		return false;
	memcpy(page, chain_start, (size_t)(chain_end - chain_start));
	data->old_int15 = read_u32(IVT_INT15);
	data->serial = serial_port;
	data->drive = drive;
	data->partition = partition;
	describe_memory(data, map);

	write_u32(IVT_INT15, (u32)segment << 16 | (u32)(chain_int15 - chain_start));
	write_u16(BDA_BASE_MEMORY, (u16)(low->base / KIB));
	write_u32(BDA_MARK, 0x5956554c); /* "LUVY" */

	vcpu_reset(vcpu);
	vcpu->segments.seg[SEG_CS].selector = segment;
	vcpu->segments.seg[SEG_CS].base = stub.addr;
	vcpu->segments.idt_limit = 0x3ff;
	vcpu->control.cr0 = CR0_ET;
	vcpu->rip = 0;
	return true;
}
