/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/multiboot.h"

#include "lib/string.h"

/* Far more than any loader writes; keeps the loops below short whatever a size field says. */
#define INFO_SIZE_MAX (1 * MIB)

/* Multiboot 1, section 3.3 "Boot information format". */
struct info1 {
	u32 flags;
	u32 mem_lower, mem_upper;
	u32 boot_device; /* the BIOS drive in the top byte */
	u32 cmdline;
	u32 mods_count, mods_addr;
	u32 syms[4];
	u32 mmap_length, mmap_addr;
};
ASSERT_OFFSET(struct info1, mmap_addr, 48);

#define INFO1_BOOT_DEVICE BIT(1)
#define INFO1_CMDLINE	  BIT(2)
#define INFO1_MODULES	  BIT(3)
#define INFO1_MEMORY_MAP  BIT(6)

struct module1 {
	u32 start, end;
	u32 cmdline;
	u32 reserved;
};
ASSERT_SIZE(struct module1, 16);

struct map_entry1 {
	u32 size; /* of what follows */
	u64 base, length;
	u32 type;
} PACKED;
ASSERT_SIZE(struct map_entry1, 24);

/* Multiboot 2, section 3.6 "Boot information format". */
struct info2 {
	u32 total_size;
	u32 reserved;
};

struct tag {
	u32 type;
	u32 size; /* header included, padding to 8 bytes not */
};

enum tag_type {
	TAG_END = 0,
	TAG_CMDLINE = 1,
	TAG_MODULE = 3,
	TAG_BOOT_DEVICE = 5,
	TAG_MEMORY_MAP = 6,
};

struct tag_module {
	struct tag tag;
	u32 start, end;
	/* The command line follows. */
};

struct tag_boot_device {
	struct tag tag;
	u32 drive;
	/* The partition follows. */
};

struct tag_map {
	struct tag tag;
	u32 entry_size, entry_version;
	/* The entries follow. */
};

struct map_entry2 {
	u64 base, length;
	u32 type;
	u32 reserved;
};
ASSERT_SIZE(struct map_entry2, 24);

/* For a string that stands in no structure which would bound it. */
#define STRING_UNLIMITED BOOT_CMDLINE_MAX

static const char damaged_map[] = "the boot loader's memory map is damaged";
static const char damaged_tag[] = "the boot loader's information is damaged";

/* A terminated string of at most size bytes, the terminator included. */
static const char *read_string(const struct phys_view *view, u64 address, u64 size, char *to)
{
	for (u64 i = 0; i < min_u64(size, BOOT_CMDLINE_MAX); i++) {
		if (!phys_read(view, address + i, &to[i], 1))
			return "the boot loader's command line lies outside of memory";
		if (!to[i])
			return NULL;
	}
	if (size < BOOT_CMDLINE_MAX)
		return "the boot loader's command line has no end";
	return "the boot loader passed a command line of more than 1023 characters";
}

static void drop_front(char *s, size_t count)
{
	memmove(s, s + count, strlen(s + count) + 1);
}

static size_t word_length(const char *s)
{
	size_t n = 0;

	while (s[n] && s[n] != ' ')
		n++;
	return n;
}

static void drop_spaces(char *s)
{
	size_t n = 0;

	while (s[n] == ' ')
		n++;
	drop_front(s, n);
}

static bool is_image_name(const char *word, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (word[i] == '/')
			return true;
	}
	return length >= 4 && memcmp(word + length - 4, ".elf", 4) == 0;
}

static const char *read_cmdline(const struct phys_view *view, u64 address, u64 size,
				struct boot_info *boot)
{
	const char *error = read_string(view, address, size, boot->cmdline);
	size_t length;

	if (error)
		return error;
	drop_spaces(boot->cmdline);
	length = word_length(boot->cmdline);
	if (is_image_name(boot->cmdline, length)) {
		drop_front(boot->cmdline, length);
		drop_spaces(boot->cmdline);
	}
	return NULL;
}

static const char *add_module(struct boot_info *boot, u32 start, u32 end)
{
	struct boot_module *module = &boot->module[boot->module_count];

	if (boot->module_count == BOOT_MODULES_MAX)
		return "the boot loader passed more than 4 modules";
	if (start >= end)
		return "the boot loader passed an empty module";
	module->base = start;
	module->size = end - start;
	boot->module_count++;
	return NULL;
}
_Static_assert(BOOT_MODULES_MAX == 4 && BOOT_CMDLINE_MAX == 1024, "the sentences say so");

static char *last_module_cmdline(struct boot_info *boot)
{
	return boot->module[boot->module_count - 1].cmdline;
}

static const char *add_range(struct boot_info *boot, u64 base, u64 length, u32 type)
{
	if (!mem_map_add(&boot->map, base, length, type))
		return "the boot loader's memory map has more than 128 entries";
	return NULL;
}
_Static_assert(MEM_MAP_MAX == 128, "the sentences say so");

static void set_boot_drive(struct boot_info *boot, u32 drive)
{
	boot->has_boot_drive = drive < 0xff;
	boot->boot_drive = boot->has_boot_drive ? drive : 0;
}

/* --- Multiboot 1 -----------------------------------------------------------------------------
 */

static const char *parse_modules1(const struct phys_view *view, const struct info1 *info,
				  struct boot_info *boot)
{
	for (u32 i = 0; i < info->mods_count; i++) {
		struct module1 module;
		const char *error;

		if (!phys_read(view, info->mods_addr + i * sizeof(module), &module,
			     sizeof(module)))
			return "the boot loader's list of modules lies outside of memory";
		error = add_module(boot, module.start, module.end);
		if (!error && module.cmdline)
			error = read_string(view, module.cmdline, STRING_UNLIMITED,
					    last_module_cmdline(boot));
		if (error)
			return error;
	}
	return NULL;
}

static const char *parse_map1(const struct phys_view *view, const struct info1 *info,
			      struct boot_info *boot)
{
	u64 end = (u64)info->mmap_addr + info->mmap_length;
	u64 at = info->mmap_addr;

	if (info->mmap_length > INFO_SIZE_MAX)
		return damaged_map;
	while (at < end) {
		struct map_entry1 entry;
		const char *error;

		if (end - at < sizeof(entry) || !phys_read(view, at, &entry, sizeof(entry)) ||
		    entry.size < sizeof(entry) - sizeof(entry.size) ||
		    entry.size > end - at - sizeof(entry.size))
			return damaged_map;
		error = add_range(boot, entry.base, entry.length, entry.type);
		if (error)
			return error;
		at += sizeof(entry.size) + entry.size;
	}
	return NULL;
}

static const char *parse1(const struct phys_view *view, u64 address, struct boot_info *boot)
{
	struct info1 info;
	const char *error = NULL;

	if (!phys_read(view, address, &info, sizeof(info)))
		return "the boot loader's information lies outside of memory";
	if (!(info.flags & INFO1_MEMORY_MAP))
		return "the boot loader passed no memory map";
	if (info.flags & INFO1_BOOT_DEVICE)
		set_boot_drive(boot, info.boot_device >> 24);
	if (info.flags & INFO1_CMDLINE)
		error = read_cmdline(view, info.cmdline, STRING_UNLIMITED, boot);
	if (!error)
		error = parse_map1(view, &info, boot);
	if (!error && info.flags & INFO1_MODULES)
		error = parse_modules1(view, &info, boot);
	return error;
}

/* --- Multiboot 2 -----------------------------------------------------------------------------
 */

static const char *parse_module2(const struct phys_view *view, u64 address, u32 size,
				 struct boot_info *boot)
{
	struct tag_module tag;
	const char *error;

	if (size < sizeof(tag) || !phys_read(view, address, &tag, sizeof(tag)))
		return damaged_tag;
	error = add_module(boot, tag.start, tag.end);
	if (!error && size > sizeof(tag))
		error = read_string(view, address + sizeof(tag), size - sizeof(tag),
				    last_module_cmdline(boot));
	return error;
}

static const char *parse_map2(const struct phys_view *view, u64 address, u32 size,
			      struct boot_info *boot)
{
	struct tag_map tag;
	struct map_entry2 entry;
	const char *error;

	if (size < sizeof(tag) || !phys_read(view, address, &tag, sizeof(tag)) ||
	    tag.entry_size < sizeof(entry))
		return damaged_map;
	for (u64 at = sizeof(tag); at < size; at += tag.entry_size) {
		if (tag.entry_size > size - at ||
		    !phys_read(view, address + at, &entry, sizeof(entry)))
			return damaged_map;
		error = add_range(boot, entry.base, entry.length, entry.type);
		if (error)
			return error;
	}
	return NULL;
}

static const char *parse_boot_device2(const struct phys_view *view, u64 address, u32 size,
				      struct boot_info *boot)
{
	struct tag_boot_device tag;

	if (size < sizeof(tag) || !phys_read(view, address, &tag, sizeof(tag)))
		return damaged_tag;
	set_boot_drive(boot, tag.drive);
	return NULL;
}

/* `tag` is a copy; the tag lies at address. */
static const char *parse_tag(const struct phys_view *view, u64 address, const struct tag *tag,
			     struct boot_info *boot)
{
	switch (tag->type) {
	case TAG_CMDLINE:
		return read_cmdline(view, address + sizeof(*tag), tag->size - sizeof(*tag),
				    boot);
	case TAG_MODULE:
		return parse_module2(view, address, tag->size, boot);
	case TAG_BOOT_DEVICE:
		return parse_boot_device2(view, address, tag->size, boot);
	case TAG_MEMORY_MAP:
		return parse_map2(view, address, tag->size, boot);
	default:
		return NULL;
	}
}

static const char *parse2(const struct phys_view *view, u64 address, struct boot_info *boot)
{
	struct info2 info;
	struct tag tag;

	if (!phys_read(view, address, &info, sizeof(info)))
		return "the boot loader's information lies outside of memory";
	if (info.total_size > INFO_SIZE_MAX)
		return "the boot loader's information is damaged: it has an impossible size";
	/* Tags begin on 8-byte boundaries. */
	for (u64 at = sizeof(info); range_within(at, sizeof(tag), 0, info.total_size);
	     at = align_up(at + tag.size, 8)) {
		const char *error;

		if (!phys_read(view, address + at, &tag, sizeof(tag)) || tag.size < sizeof(tag) ||
		    tag.size > info.total_size - at)
			return damaged_tag;
		if (tag.type == TAG_END)
			return NULL;
		error = parse_tag(view, address + at, &tag, boot);
		if (error)
			return error;
	}
	return "the boot loader's information is damaged: it has no end";
}

/* --- both ------------------------------------------------------------------------------------
 */

static const char *check(struct boot_info *boot)
{
	if (!mem_map_normalise(&boot->map))
		return "the boot loader's memory map has too many overlapping entries";
	if (!mem_map_round_ram(&boot->map))
		return "the boot loader's memory map has too many entries";
	if (mem_map_ram_bytes(&boot->map) == 0)
		return "the boot loader's memory map is missing or lists no RAM";
	for (u32 i = 0; i < boot->module_count; i++) {
		if (!mem_map_all(&boot->map, boot->module[i].base, boot->module[i].size,
				 MEM_RAM))
			return "the boot loader passed a module that does not lie in RAM";
	}
	return NULL;
}

const char *multiboot_parse(u32 magic, u64 info, const struct phys_view *view,
			    struct boot_info *boot)
{
	const char *error;

	memset(boot, 0, sizeof(*boot));
	if (magic == MULTIBOOT1_BOOT_MAGIC)
		error = parse1(view, info, boot);
	else if (magic == MULTIBOOT2_BOOT_MAGIC)
		error = parse2(view, info, boot);
	else
		error = "started by something that is no Multiboot loader";
	return error ? error : check(boot);
}
