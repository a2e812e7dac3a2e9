/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the loader to dom0. hv_main is the whole story, one step a line; docs/boot.md tells it
 * in words.
 */
#include "boot/main.h"

#include "boot/firmware_view.h"
#include "boot/multiboot.h"
#include "boot/options.h"
#include "boot/place.h"
#include "boot/refuse.h"
#include "boot/steps.h"
#include "boot/version.h"
#include "cpu/acpi.h"
#include "cpu/apic.h"
#include "cpu/console.h"
#include "cpu/crash.h"
#include "cpu/desc.h"
#include "cpu/log.h"
#include "cpu/power.h"
#include "cpu/smp.h"
#include "cpu/x86.h"
#include "dom0/apic.h"
#include "dom0/chain.h"
#include "dom0/firmware.h"
#include "dom0/launch.h"
#include "dom0/linux.h"
#include "dom0/memory.h"
#include "dom0/port.h"
#include "dom0/sleep.h"
#include "dom0/mtrr.h"
#include "exit/run.h"
#include "hypercall/call.h"
#include "hypercall/session.h"
#include "lib/layout.h"
#include "mem/host.h"
#include "mem/page.h"
#include "mem/ram.h"
#include "vm/virt_ops.h"
#include "vm/world.h"

#define VGA_TEXT 0xb8000ull

extern const u8 image_start[], image_end[];

void image_move(void *to, const void *from, u64 size, u64 cr3);

struct start start;
static struct mem_map dom0_map; /* what dom0 is told */

static void complain(void *context, const char *sentence)
{
	hv_log("%s", sentence);
}

static void use_screen(void)
{
	if (start.options.console_vga)
		console_use_vga(hpa_to_virt(hpa(VGA_TEXT)));
}

void start_read_options(const char *line, void (*use_screen_of_firmware)(void))
{
	/* Twice: nobody can see complaints before the consoles are chosen. */
	options_parse(line, &start.options, NULL, NULL);
	log_set_mode(start.options.log);
	world_set_mitigations(start.options.mitigations);
	use_screen_of_firmware();
	for (u32 i = 0; i < start.options.com_count; i++)
		console_use_serial(start.options.com[i].port, start.options.com[i].baud);
	hv_log("version %s", hv_version);
	options_parse(line, &start.options, complain, NULL);
}

/* What the direct map does not reach is nobody's: dom0's calls could not name it. */
void start_limit_map(void)
{
	u64 end = mem_map_ram_end(&start.boot.map);

	if (end <= DIRECT_SIZE)
		return;
	if (!mem_map_set(&start.boot.map, DIRECT_SIZE, end - DIRECT_SIZE, MEM_RESERVED))
		refuse("the firmware's memory map has too many ranges (%u)", start.boot.map.count);
	hv_log("RAM from 0x%llx on is not used, by dom0 either", (unsigned long long)DIRECT_SIZE);
}

static void read_loader(u32 magic, u32 info)
{
	const char *wrong = multiboot_parse(magic, info, early_view(), &start.boot);

	start_read_options(wrong ? "" : start.boot.cmdline, use_screen);
	if (wrong)
		refuse("%s", wrong);
	start_limit_map();
}

void start_choose_vendor(void)
{
	static const struct virt_ops *const vendors[] = {&svm_ops, &vmx_ops};
	const char *wrong;

	for (u32 i = 0; i < ARRAY_SIZE(vendors) && !start.ops; i++) {
		if (vendors[i]->ident())
			start.ops = vendors[i];
	}
	if (!start.ops)
		refuse("this CPU has neither AMD-V (SVM) nor Intel VT-x (VMX). Start your "
		       "system without Luvalley");
	wrong = start.ops->probe();
	if (wrong)
		refuse("%s", wrong);
}

/* An xAPIC's IPIs have 8 bits for the destination, and FFh is all CPUs. */
static bool can_be_started(u32 apic_id)
{
	return apic_id < 0xff || apic_is_x2apic();
}

static void find_acpi(const struct phys_view *view)
{
	start.has_acpi = start.boot.rsdp ? acpi_root_at(view, start.boot.rsdp, &start.acpi)
					 : acpi_find_root(view, &start.acpi);
}

/* The boot CPU is number 0, the others follow in the MADT's order. */
void start_count_cpus(void)
{
	u32 limit = start.options.cpus ? (u32)min_u64(start.options.cpus, CPU_MAX) : CPU_MAX;
	u32 by_cpuid = smp_initial_apic_id(), out_of_reach = 0;
	const struct phys_view *view = firmware_view(&start.boot.map);
	static u32 ids[CPU_MAX];

	find_acpi(view);
	start.listed_cpus = start.has_acpi ? acpi_madt_cpus(view, &start.acpi, ids, CPU_MAX) : 0;
	if (!start.listed_cpus)
		hv_log("no ACPI table names the CPUs: only the boot CPU is used");
	smp_apic_ids[0] = apic_id_at_boot(by_cpuid);
	for (u32 i = 0; i < min_u64(start.listed_cpus, CPU_MAX); i++) {
		if (ids[i] == smp_apic_ids[0] || ids[i] == by_cpuid)
			continue;
		if (!can_be_started(ids[i]))
			out_of_reach++;
		else if (cpu_count < limit)
			smp_apic_ids[cpu_count++] = ids[i];
	}
	if (out_of_reach)
		hv_log("%u CPUs have APIC IDs above 254, which need x2APIC mode: switch it on in the "
		       "firmware's setup", out_of_reach);
	if (start.listed_cpus > cpu_count)
		hv_log("%u of %u CPUs are used; dom0 cannot start the others", cpu_count,
		       start.listed_cpus);
}

static u32 crash_cpu(void)
{
	return this_cpu()->index;
}

static void crash_finish(void)
{
	if (start.options.crash == CRASH_REBOOT)
		power_reset();
	for (;;)
		__asm__ volatile("cli; hlt");
}

void start_prepare_crashes(void)
{
	static const struct crash_hooks hooks = {run_describe, crash_cpu, crash_finish};

	crash_set_hooks(&hooks);
	crash_use_record(hpa_to_virt(hpa(start.place.crash_record)));
}

void start_build_tables(void)
{
	page_pool_init(hpa(start.place.pool), start.place.pool_size);
	if (!host_build(&start.boot.map, hpa(start.place.base), apic_page()))
		refuse("the pool is too small for page tables: give pool=SIZE a larger value");
}

/* Copies the image to its final place and goes on there, under tables of its own. */
static void relocate(void)
{
	u64 size = (u64)(image_end - image_start);

	start_build_tables();
	image_move(hpa_to_virt(hpa(start.place.base)), image_start, size, host_cr3().addr);
	firmware_view_use_host_tables();
}

void start_check_pages(bool enough)
{
	if (!enough)
		refuse("the pool is too small: give pool=SIZE a larger value");
}

void start_create_cpus(void)
{
	for (u32 i = 0; i < cpu_count; i++) {
		void *host_save;
		struct cpu *cpu = cpu_slot(i);

		start_check_pages(host_map_cpu_slot(i));
		host_save = page_alloc();
		start_check_pages(host_save);
		cpu->index = i;
		cpu->apic_id = smp_apic_ids[i];
		cpu->host_save = virt_to_hpa(host_save);
		cpu->sipi = CPU_NO_SIPI;
	}
}

/* dom0's memory map: the machine's, with our memory and what we lent dom0 reserved. */
static void edit_memory_map(void)
{
	u64 low_end = start.place.low.base + LOW_PAGES * PAGE_SIZE;

	dom0_map = start.boot.map;
	/* The rest of base memory above the low pages, too: 40:13 ends below them. */
	while (mem_map_type(&dom0_map, low_end) == MEM_RAM && low_end < 0xa0000)
		low_end += PAGE_SIZE;
	if (!mem_map_set(&dom0_map, start.place.low.base, low_end - start.place.low.base, MEM_RESERVED) ||
	    !mem_map_set(&dom0_map, start.place.base, start.place.size, MEM_RESERVED) ||
	    !mem_map_set(&dom0_map, start.place.acpi_page, PAGE_SIZE, MEM_RESERVED))
		refuse("the firmware's memory map has too many ranges (%u)", start.boot.map.count);
}

void start_hide_memory(void)
{
	ram_init(&start.boot.map);
	if (start.has_acpi)
		acpi_srat_hotplug(firmware_view(&start.boot.map), &start.acpi, ram_add_hotplug);
	ram_hide(hpa(start.place.base), start.place.size);
	ram_hide(low_page(&start.place.low, LOW_TRAMPOLINE), PAGE_SIZE);
	mtrr_init();
	start_check_pages(dom0_memory_init(start.ops->nested_format(false), &start.boot.map));
}

void start_install_trampoline(void)
{
	hpa_t trampoline = low_page(&start.place.low, LOW_TRAMPOLINE);

	start_check_pages(host_map_identity(trampoline));
	smp_trampoline_install(hpa_to_virt(trampoline), (u32)trampoline.addr, host_cr3().addr,
			       launch_ap);
	launch_set_ops(start.ops);
}

void start_say_what_is_ours(u32 cpus)
{
	hv_log("%s on %u CPU%s; %llu KiB hidden at 0x%llx, pool %llu KiB", start.ops->name, cpus,
	       cpus > 1 ? "s" : "", (unsigned long long)(ram_hidden_bytes() / KIB),
	       (unsigned long long)start.place.base, (unsigned long long)(page_pool_size() / KIB));
}

/* Where one has not come up, the trap keeps dom0 from starting it. */
static void start_other_cpus(void)
{
	u32 started;

	start_install_trampoline();
	started = smp_start_all();
	if (started < cpu_count - 1) {
		hv_log("%u of %u other CPUs did not start; dom0 cannot use them",
		       cpu_count - 1 - started, cpu_count - 1);
		dom0_apic_init(start.ops, true, true);
	}
	start_say_what_is_ours(started + 1);
}

void start_open_ports(void)
{
	bool at_port = start.options.key == KEY_PORT;

	session_init(start.options.key == KEY_ACPI, at_port);
	if (at_port)
		dom0_port_intercept(LUV_KEY_PORT, LUV_KEY_PORTS);
	if (start.has_acpi)
		sleep_init(firmware_view(&start.boot.map), &start.acpi);
}

static u64 show_tables(void)
{
	u64 rsdp = 0;

	start_open_ports();
	if (start.has_acpi)
		rsdp = firmware_show_luvy(firmware_view(&start.boot.map), &start.acpi, hpa(start.place.acpi_page));
	if (!rsdp)
		hv_log("no usable ACPI tables: dom0 finds no table LUVY, so its root has no key");
	return rsdp;
}

void start_answer_calls(void)
{
	const struct call_facts facts = {
		.apic_mode = dom0_apic_mode,
		.set_apic_mode = dom0_apic_set_mode,
		.hidden_base = start.place.base,
		.may_crash = start.options.debug == DEBUG_CRASH,
	};

	call_set_facts(&facts);
}

static u8 boot_drive(void)
{
	if (start.options.boot_drive_set)
		return start.options.boot_drive;
	return start.boot.has_boot_drive && start.boot.boot_drive >= 0x80 ? start.boot.boot_drive
									  : 0x80;
}

static void prepare_dom0(struct vcpu *vcpu, u64 rsdp)
{
	if (start.boot.module_count) {
		const struct boot_module *m = start.boot.module;
		struct linux_modules modules = {
			.kernel = {m[0].base, m[0].size, MEM_RAM},
			.cmdline = m[0].cmdline,
		};
		const char *wrong;

		if (start.boot.module_count > 1)
			modules.initrd = (struct mem_range){m[1].base, m[1].size, MEM_RAM};
		wrong = linux_prepare(vcpu, &modules, &start.place.low, &dom0_map, rsdp);
		if (wrong)
			refuse("%s", wrong);
		hv_log("dom0 starts: direct boot of module 1");
		return;
	}
	if (!chain_prepare(vcpu, &start.place.low, &dom0_map, boot_drive(), start.options.boot_partition,
			   start.options.com_count ? start.options.com[0].port : 0))
		refuse("the firmware's memory map has too many ranges for INT 15h (%u)",
		       dom0_map.count);
	hv_log("dom0 starts: chain boot from BIOS drive 0x%x", boot_drive());
}

/* Without the trap dom0 could start a CPU that is not ours, outside guest mode. */
void start_trap_apic(void)
{
	bool keep = start.options.apic == APIC_MODE_TRAP ||
		    (start.options.apic == APIC_MODE_DEFAULT && !start.ops->init_exits());

	dom0_apic_init(start.ops, keep, start.listed_cpus != cpu_count);
}

/* On the boot CPU's own stack, in the final place. */
static void main_on_cpu_stack(void)
{
	struct cpu *cpu = this_cpu();
	u64 rsdp;

	start_prepare_crashes();
	start_hide_memory();
	edit_memory_map();
	world_init();
	start_check_pages(launch_cpu_on(cpu, start.ops));
	start_trap_apic();
	start_other_cpus();
	rsdp = show_tables();
	start_answer_calls();
	prepare_dom0(cpu->vcpu, rsdp);
	console_release();
	launch_boot_cpu(cpu);
}

noreturn void start_go_on(void (*step)(void))
{
	__asm__ volatile("mov %0, %%rsp\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "call *%1"
			 :
			 : "r"(cpu_stack_top(0)), "r"(step)
			 : "memory");
	__builtin_unreachable();
}

noreturn void hv_main(u32 magic, u32 info)
{
	desc_init();
	desc_load();
	console_probe_debug_port();
	read_loader(magic, info);
	start_choose_vendor();
	start_count_cpus();
	place_choose(&start.boot, cpu_count, start.options.pool, (u64)(image_end - image_start), &start.place);
	relocate();
	start_create_cpus();
	start_go_on(main_on_cpu_stack);
}
