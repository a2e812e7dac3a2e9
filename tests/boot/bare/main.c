/* SPDX-License-Identifier: BSD-2-Clause */
/* 32-bit code: protected mode without paging, then each kind of page tables; compatibility
 * mode, too. */
#include "bare.h"

#include <luvalley/acpi.h>

#define CR0_PG	  0x80000000u
#define CR0_WP	  0x00010000u
#define CR4_PSE	  0x10u
#define CR4_PAE	  0x20u
#define CR4_LA57  0x1000u
#define MSR_EFER  0xc0000080u
#define EFER_LME  0x100u
#define IDENTITY  0x400000u /* mapped 1:1 by small pages */
#define ALIAS	  5u	    /* the upper tables' entry that repeats entry 0 for 64-bit code */
#define FADT_PM1A 64u

struct mode {
	const char *name, *name_64; /* name_64: it has 64-bit code */
	u32 levels, entry_size, cr4;
};

static const struct mode modes[] = {
    {"no paging", 0, 0, 0, 0},
    {"32-bit paging", 0, 2, 4, CR4_PSE},
    {"PAE paging", 0, 3, 8, CR4_PAE},
    {"4-level paging, compatibility mode", "4-level paging, 64-bit mode", 4, 8, CR4_PAE},
    {"5-level paging, compatibility mode", "5-level paging, 64-bit mode", 5, 8,
     CR4_PAE | CR4_LA57},
};

void main(void);
void call_64(void); /* entry.S */
extern uint8_t gdt[];
extern const uint8_t program64[];

static u32 idt[VECTORS * 4];
static u32 task[26];
static uint8_t trap_stack[STACK_SIZE];

/* --- page tables ---------------------------------------------------------------------- */

static u32 shift_of(u32 level)
{
	return 12 + (shared.entry_size == 4 ? 10 : 9) * (level - 1);
}

static u64 entry_read(const void *entry)
{
	return shared.entry_size == 4 ? *(const u32 *)entry : *(const u64 *)entry;
}

static void entry_write(void *entry, u64 value)
{
	if (shared.entry_size == 4)
		*(u32 *)entry = (u32)value;
	else
		*(u64 *)entry = value;
}

/* Where the table's entry for a linear address is, at a level; tables are made on the way. */
static void *entry_of(u64 linear, u32 level)
{
	u32 table = (u32)shared.root;

	for (u32 l = (u32)shared.levels;; l--) {
		u32 index =
		    (u32)(linear >> shift_of(l)) & (0x1000 / (u32)shared.entry_size - 1);
		void *entry = (void *)(table + index * (u32)shared.entry_size);
		/* A PDPTE of PAE paging has no rights (SDM 3A 4.4.1). */
		u32 rights = shared.levels == 3 && l == 3 ? 0 : PAGE_W | PAGE_U;

		if (l == level)
			return entry;
		if (!entry_read(entry)) {
			entry_write(entry, shared.next_table | PAGE_P | rights);
			shared.next_table += 0x1000;
		}
		table = (u32)entry_read(entry) & ~0xfffu;
	}
}

/* Accessed and dirty bits are the CPU's. */
static void map(u32 linear, u32 physical, u32 level)
{
	entry_write(entry_of(linear, level),
		    physical | PAGE_P | PAGE_W | PAGE_U | (level > 1 ? PAGE_S : 0));
}

/* For checks of tables that lie where no table may be. */
static void leave_room(u32 level)
{
	u64 linear = level == 2 ? 0x80000000u : (u64)3 << shift_of(level);

	shared.table_linear[level] = linear;
	shared.table_entry[level] = (u32)entry_of(linear, level);
}

static void make_tables(const struct mode *mode)
{
	for (u32 *at = (u32 *)TABLES; at < (u32 *)WINDOW; at++)
		*at = 0;
	shared.levels = mode->levels;
	shared.entry_size = mode->entry_size;
	shared.root = TABLES;
	shared.next_table = TABLES + 0x1000;
	shared.window = LINEAR;
	shared.big = LINEAR_BIG;
	shared.high = 0;
	for (u32 at = 0; at < IDENTITY; at += 0x1000)
		map(at, at, 1);
	for (u32 at = IDENTITY; at < IDENTITY + 2 * BIG_SIZE; at += BIG_SIZE)
		map(at, at & ~((1u << shift_of(2)) - 1), 2);
	for (u32 i = 0; i < WINDOW_PAGES; i++)
		map(LINEAR + i * 0x1000, WINDOW + i * 0x1000, 1);
	map(LINEAR_BIG, BIG, 2);
	shared.test_entry = (u32)entry_of(LINEAR + PAGE_TEST * 0x1000, 1);
	for (u32 level = 2; level <= mode->levels; level++)
		leave_room(level);
	for (u32 level = 4; level <= mode->levels; level++) {
		u64 alias = (u64)ALIAS << shift_of(level);

		entry_write(entry_of(alias, level), entry_read(entry_of(0, level)));
		shared.high |= alias;
	}
}

static void no_tables(void)
{
	shared.levels = 0;
	shared.window = WINDOW;
	shared.big = BIG;
	shared.high = 0;
}

/* --- modes ---------------------------------------------------------------------------- */

static void set_long_mode(bool on)
{
	u32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(MSR_EFER));
	low = on ? low | EFER_LME : low & ~EFER_LME;
	__asm__ volatile("wrmsr" : : "a"(low), "d"(high), "c"(MSR_EFER));
}

static void set_paging(bool on)
{
	u32 cr0;

	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	cr0 = on ? cr0 | CR0_PG | CR0_WP : cr0 & ~CR0_PG;
	__asm__ volatile("mov %0, %%cr0\n\tjmp 1f\n1:" : : "r"(cr0) : "memory");
}

static void fill_idt(bool long_mode)
{
	u32 stubs = long_mode ? *(const u32 *)(program64 + 8) : (u32)trap_stubs;
	u32 selector = long_mode ? KERNEL_CODE_64 : KERNEL_CODE_32;

	for (u32 i = 0; i < VECTORS; i++) {
		u32 handler = stubs + 16 * i, *gate = long_mode ? &idt[4 * i] : &idt[2 * i];

		gate[0] = selector << 16 | (handler & 0xffff);
		gate[1] = (handler & 0xffff0000) | 0xee00; /* interrupt gate for CPL 3 */
		if (long_mode)
			gate[2] = gate[3] = 0;
	}
}

/* In the mode that they are for. */
static void load_tables(bool long_mode)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		u32 base;
	} pointer = {sizeof(idt) - 1, (u32)idt};
	u32 *tss = (u32 *)(gdt + TASK);

	fill_idt(long_mode);
	for (u32 i = 0; i < 26; i++)
		task[i] = 0;
	task[1] = (u32)(trap_stack + sizeof(trap_stack)); /* ESP0, RSP0 */
	task[2] = long_mode ? 0 : KERNEL_DATA;		  /* SS0, or RSP0's upper half */
	tss[0] = (u32)task << 16 | (sizeof(task) - 1);
	tss[1] = ((u32)task & 0xff000000) | 0x8900 | ((u32)task >> 16 & 0xff);
	tss[2] = tss[3] = 0;
	__asm__ volatile("lidt %0\n\tltr %w1" : : "m"(pointer), "r"(TASK) : "memory");
}

static void run_mode(const struct mode *mode)
{
	bool long_mode = mode->levels >= 4;

	shared.mode = (u32)mode->name;
	if (!mode->levels) {
		no_tables();
		load_tables(false);
		run_checks();
		return;
	}
	make_tables(mode);
	__asm__ volatile("mov %0, %%cr4\n\tmov %1, %%cr3" : : "r"(mode->cr4), "r"(TABLES));
	set_long_mode(long_mode);
	set_paging(true);
	load_tables(long_mode);
	run_checks();
	if (long_mode) {
		shared.mode = (u32)mode->name_64;
		call_64();
	}
	set_paging(false);
	set_long_mode(false);
}

static bool has_mode(const struct mode *mode)
{
	u32 r[4];

	cpuid(0x80000001, r);
	if (mode->levels >= 4 && !(r[3] & 1u << 29))
		return false;
	cpuid(0, r);
	if (!(mode->cr4 & CR4_LA57))
		return true;
	if (r[0] < 7)
		return false;
	cpuid(7, r);
	return r[2] & 1u << 16;
}

/* --- the machine ---------------------------------------------------------------------- */

static bool sums_to_zero(const uint8_t *bytes, u32 size)
{
	uint8_t sum = 0;

	while (size--)
		sum += *bytes++;
	return !sum;
}

/* A table that a root table with entries of 4 or 8 bytes names; below 4 GiB, or 0. */
static const u32 *find_table(u32 root, u32 entry_size, u32 signature)
{
	u32 end = root + ((const u32 *)root)[1];

	for (u32 at = root + 36; at + entry_size <= end; at += entry_size) {
		const u32 *table = *(const u32 **)at;

		if (*table == signature)
			return table;
	}
	return 0;
}

static void read_luvy(const struct luv_acpi_table *table)
{
	if (!table || !sums_to_zero((const uint8_t *)table, sizeof(*table)))
		return;
	shared.has_luvy = table->flags & LUV_ACPI_HAS_KEY;
	for (u32 i = 0; i < 3; i++)
		shared.key[i] = table->key[i];
}

static void read_acpi(void)
{
	const u32 luvy = 0x5956554c, facp = 0x50434146;

	for (u32 at = 0xe0000; at < 0x100000; at += 16) {
		const u32 *rsdp = (const u32 *)at, *table;
		u32 root, size;

		if (rsdp[0] != 0x20445352 || rsdp[1] != 0x20525450 || /* "RSD PTR " */
		    !sums_to_zero((const uint8_t *)at, 20))
			continue;
		/* Revision 2 has an XSDT: then both name LUVY. */
		size = *(const uint8_t *)(at + 15) >= 2 ? 8 : 4;
		root = size == 8 ? rsdp[6] : rsdp[4];
		table = find_table(root, size, facp);
		shared.pm1a_control = table ? table[FADT_PM1A / 4] : 0;
		if (size == 4 || find_table(rsdp[4], 4, luvy))
			read_luvy((const void *)find_table(root, size, luvy));
		return;
	}
}

static void start_pic(void)
{
	static const uint8_t words[][2] = {{0x20, 0x11},
					   {0xa0, 0x11},
					   {0x21, VECTOR_TIMER},
					   {0xa1, VECTOR_TIMER + 8},
					   {0x21, 4},
					   {0xa1, 2},
					   {0x21, 1},
					   {0xa1, 1},
					   {0xa1, 0xff},
					   {0x21, 0xff}};

	for (u32 i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		out8(words[i][0], words[i][1]);
}

void main(void)
{
	static char plan[] = "1..000\n";
	u32 vendor[4];

	for (u32 i = 0; i < sizeof(shared) / 4; i++)
		((volatile u32 *)&shared)[i] = 0;
	cpuid(0, vendor);
	shared.is_amd = vendor[2] == 0x444d4163 || vendor[2] == 0x656e6975; /* "cAMD", "uine" */
	start_pic();
	read_acpi();
	print_start();
	print("TAP version 13\n");
	for (u32 i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (has_mode(&modes[i]))
			run_mode(&modes[i]);
	}
	for (u32 i = 0, n = (u32)shared.tests; i < 3; i++, n /= 10)
		plan[5 - i] = (char)('0' + n % 10);
	print(plan);
	print("# done\n"); /* Bochs loses what was written last */
	power_off();
}
