/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/bzimage.h"

#include "lib/string.h"

#define SECTOR		    512ull
#define VERSION_MIN	    0x020a
#define BOOT_FLAG	    0xaa55
#define HEADER_MAGIC	    0x53726448 /* "HdrS" */
#define LOADED_HIGH	    0x01u
#define CAN_USE_HEAP	    0x80u /* of the 16-bit setup code, which does not run */
#define LOADER_UNDEFINED    0xff
#define PAYLOAD_PARAGRAPH   16ull
#define LOWEST_LOAD	    (1 * MIB)
#define DEFAULT_SETUP_SECTS 4

/* boot.rst, "The Real-Mode Kernel Header": from 0x1f1 in the image, the same in boot_params. */
struct setup_header {
	u8 setup_sects;
	u16 root_flags;
	u32 syssize;
	u16 ram_size;
	u16 vid_mode;
	u16 root_dev;
	u16 boot_flag;
	u8 jump;
	u8 jump_offset; /* the header ends so many bytes behind this one */
	u32 header;
	u16 version;
	u32 realmode_swtch;
	u16 start_sys_seg;
	u16 kernel_version;
	u8 type_of_loader;
	u8 loadflags;
	u16 setup_move_size;
	u32 code32_start;
	u32 ramdisk_image;
	u32 ramdisk_size;
	u32 bootsect_kludge;
	u16 heap_end_ptr;
	u8 ext_loader_ver;
	u8 ext_loader_type;
	u32 cmd_line_ptr;
	u32 initrd_addr_max; /* the highest byte */
	u32 kernel_alignment;
	u8 relocatable_kernel;
	u8 min_alignment;
	u16 xloadflags;
	u32 cmdline_size;
	u32 hardware_subarch;
	u64 hardware_subarch_data;
	u32 payload_offset;
	u32 payload_length;
	u64 setup_data;
	u64 pref_address;
	u32 init_size; /* the last that we need; later versions append */
	u8 later[0x290 - 0x264];
} PACKED;
#define SETUP_HEADER_AT 0x1f1
ASSERT_OFFSET(struct setup_header, boot_flag, 0x1fe - SETUP_HEADER_AT);
ASSERT_OFFSET(struct setup_header, version, 0x206 - SETUP_HEADER_AT);
ASSERT_OFFSET(struct setup_header, cmd_line_ptr, 0x228 - SETUP_HEADER_AT);
ASSERT_OFFSET(struct setup_header, init_size, 0x260 - SETUP_HEADER_AT);

/* Documentation/arch/x86/zero-page.rst; the screen as in struct screen_info. */
struct boot_params {
	u8 screen_x, screen_y;
	u16 screen_ext_mem_k;
	u16 screen_page;
	u8 screen_mode, screen_columns;
	u8 screen_flags, screen_unused2;
	u16 screen_ega_bx;
	u16 screen_unused3;
	u8 screen_lines, screen_is_vga;
	u16 screen_points;
	u8 unused_012[0x70 - 0x12];
	u64 acpi_rsdp_addr;
	u8 unused_078[0x1e8 - 0x78];
	u8 e820_entries;
	u8 unused_1e9[SETUP_HEADER_AT - 0x1e9];
	struct setup_header header;
	u8 unused_290[0x2d0 - 0x290];
	struct e820_entry e820[128];
	u8 unused_cd0[0x1000 - 0xcd0];
} PACKED;
ASSERT_OFFSET(struct boot_params, acpi_rsdp_addr, 0x070);
ASSERT_OFFSET(struct boot_params, e820_entries, 0x1e8);
ASSERT_OFFSET(struct boot_params, header, SETUP_HEADER_AT);
ASSERT_OFFSET(struct boot_params, e820, 0x2d0);
ASSERT_SIZE(struct boot_params, BZIMAGE_BOOT_PARAMS_SIZE);
_Static_assert(MEM_MAP_MAX <= 128, "every map fits into boot_params");

/* Copies the header as far as the image has one; the rest is zero. */
static const char *read_header(const void *image, u64 image_size, struct setup_header *header)
{
	u64 end;

	memset(header, 0, sizeof(*header));
	if (image_size < SETUP_HEADER_AT + sizeof(*header))
		return "module 1 is no Linux kernel: it is too small";
	memcpy(header, (const u8 *)image + SETUP_HEADER_AT, sizeof(*header));
	if (header->boot_flag != BOOT_FLAG || header->header != HEADER_MAGIC)
		return "module 1 is no Linux kernel: it lacks the signature of a bzImage";
	if (header->version < VERSION_MIN)
		return "module 1 is a Linux kernel from before 2.6.31, which cannot be booted "
		       "directly";
	if (!(header->loadflags & LOADED_HIGH))
		return "module 1 is a zImage; only a bzImage can be booted directly";

	end = offsetof(struct setup_header, header) + header->jump_offset;
	if (end < offsetof(struct setup_header, later))
		return "module 1 is a damaged Linux kernel: its header is cut short";
	if (end < sizeof(*header))
		memset((u8 *)header + end, 0, sizeof(*header) - end);
	return NULL;
}

static const char *locate_payload(const struct setup_header *header, u64 image_size,
				  struct bzimage_plan *plan)
{
	u64 sectors = header->setup_sects ? header->setup_sects : DEFAULT_SETUP_SECTS;

	plan->payload_offset = (1 + sectors) * SECTOR; /* 1: the boot sector */
	plan->payload_size = header->syssize * PAYLOAD_PARAGRAPH;
	if (plan->payload_size == 0)
		return "module 1 is a damaged Linux kernel: it has no code";
	if (!range_within(plan->payload_offset, plan->payload_size, 0, image_size))
		return "module 1 is a damaged Linux kernel: the file is cut short";
	return NULL;
}

/* The first MiB is left to the caller: dom0's boot_params, firmware data. */
static bool kernel_fits(const struct mem_map *map, u64 base, u64 size)
{
	return range_within(base, size, LOWEST_LOAD, 4 * GIB - LOWEST_LOAD) &&
	       mem_map_all(map, base, size, MEM_RAM);
}

/* False when no aligned place is big enough. */
static bool find_lowest(const struct mem_map *map, u64 size, u64 align, u64 *base)
{
	for (u32 i = 0; i < map->count && map->range[i].base < 4 * GIB; i++) {
		*base = align_up(max_u64(map->range[i].base, LOWEST_LOAD), align);
		if (kernel_fits(map, *base, size))
			return true;
	}
	return false;
}

static const char *place_kernel(const struct setup_header *header, const struct mem_map *map,
				struct bzimage_plan *plan)
{
	u64 align = header->kernel_alignment;

	plan->run_size = max_u64(header->init_size, plan->payload_size);
	plan->load_address = header->pref_address;
	if (align == 0 || align & (align - 1) || header->pref_address & (align - 1))
		return "module 1 is a damaged Linux kernel: its alignment is impossible";
	if (kernel_fits(map, header->pref_address, plan->run_size))
		return NULL;
	if (!header->relocatable_kernel)
		return "Linux is not relocatable, and the memory at its address is not free";
	if (!find_lowest(map, plan->run_size, align, &plan->load_address))
		return "there is not enough memory below 4 GiB for Linux";
	return NULL;
}

static const char *place_initrd(const struct setup_header *header, u64 initrd_size,
				const struct mem_map *map, const struct mem_range *avoid,
				u32 avoid_count, struct bzimage_plan *plan)
{
	struct mem_range taken[BZIMAGE_AVOID_MAX + 1];
	u64 limit = header->initrd_addr_max + 1ull;

	plan->initrd_address = 0;
	plan->initrd_size = initrd_size;
	if (initrd_size == 0)
		return NULL;
	if (avoid_count > BZIMAGE_AVOID_MAX)
		return "too many memory ranges are in use for placing an initrd";
	for (u32 i = 0; i < avoid_count; i++)
		taken[i] = avoid[i];
	taken[avoid_count] =
	    (struct mem_range){.base = plan->load_address, .size = plan->run_size};
	if (!mem_map_find_top(map, initrd_size, PAGE_SIZE, limit, taken, avoid_count + 1,
			      &plan->initrd_address) ||
	    plan->initrd_address < LOWEST_LOAD)
		return "there is not enough memory below 4 GiB for the initrd";
	return NULL;
}

const char *bzimage_plan(const void *image, u64 image_size, u64 initrd_size,
			 const struct mem_map *map, const struct mem_range *avoid,
			 u32 avoid_count, struct bzimage_plan *plan)
{
	struct setup_header header;
	const char *error = read_header(image, image_size, &header);

	if (!error)
		error = locate_payload(&header, image_size, plan);
	if (!error)
		error = place_kernel(&header, map, plan);
	if (!error)
		error = place_initrd(&header, initrd_size, map, avoid, avoid_count, plan);
	if (!error)
		plan->cmdline_max = header.cmdline_size;
	return error;
}

static void set_screen(struct boot_params *params)
{
	params->screen_mode = 3;
	params->screen_columns = 80;
	params->screen_lines = 25;
	params->screen_points = 16;
	params->screen_is_vga = 1;
	params->screen_ega_bx = 3; /* INT 10h, AH 12h, BL 10h: color, 256 KiB */
}

static void set_header(struct setup_header *header, const struct bzimage_plan *plan,
		       u64 cmdline_address)
{
	header->type_of_loader = LOADER_UNDEFINED;
	header->loadflags &= ~CAN_USE_HEAP;
	header->code32_start = plan->load_address;
	header->ramdisk_image = plan->initrd_address;
	header->ramdisk_size = plan->initrd_size;
	header->cmd_line_ptr = cmdline_address;
	header->setup_data = 0;
}

const char *bzimage_boot_params(const void *image, u64 image_size,
				const struct bzimage_plan *plan, const struct mem_map *map,
				u64 cmdline_address, u64 rsdp, void *boot_params)
{
	struct boot_params *params = boot_params;
	const char *error;

	memset(params, 0, sizeof(*params));
	error = read_header(image, image_size, &params->header);
	if (error)
		return error;
	if (cmdline_address >= 4 * GIB)
		return "the kernel's command line lies above 4 GiB";
	set_header(&params->header, plan, cmdline_address);
	set_screen(params);
	params->acpi_rsdp_addr = rsdp;
	params->e820_entries = map->count;
	for (u32 i = 0; i < map->count; i++) {
		const struct mem_range *range = &map->range[i];

		params->e820[i] = (struct e820_entry){range->base, range->size, range->type};
	}
	return NULL;
}

const char *bzimage_cmdline(const char *module_cmdline)
{
	const char *end = module_cmdline;
	bool is_file_name = false;

	for (; *end && *end != ' '; end++) {
		if (*end == '=')
			return module_cmdline;
		is_file_name |= *end == '/';
	}
	if (!is_file_name)
		return module_cmdline;
	while (*end == ' ')
		end++;
	return end;
}
