/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UEFI's way to dom0: the application luvalley.efi has set our memory aside and put the image there, and calls from
 * the middle of the running firmware. The firmware goes on in guest mode, and with it everything it starts
 * from then on: dom0 begins as firmware. docs/boot.md tells it in words.
 */
#include "boot/uefi/main.h"

#include "boot/firmware_view.h"
#include "boot/refuse.h"
#include "boot/steps.h"
#include "boot/uefi/framebuffer.h"
#include "cpu/apic.h"
#include "cpu/desc.h"
#include "cpu/log.h"
#include "cpu/x86.h"
#include "dom0/apic.h"
#include "dom0/firmware.h"
#include "dom0/launch.h"
#include "hypercall/session.h"
#include "lib/string.h"
#include "mem/host.h"
#include "mem/page.h"
#include "vm/world.h"


extern const u8 image_start[], image_end[];

static struct handoff *handoff;

static void give_up(const char *sentence)
{
	str_copy(handoff->sentence, sentence, sizeof(handoff->sentence));
	uefi_leave(handoff);
}

static void read_handoff(void)
{
	start.boot.map = handoff->map;
	start.boot.rsdp = handoff->rsdp;
	start.place = (struct placement){
		.base = handoff->hidden_base,
		.size = handoff->hidden_size,
		.low.base = (u32)handoff->trampoline - LOW_TRAMPOLINE * PAGE_SIZE,
	};
	hidden_divide(&start.place, (u64)(image_end - image_start));
}

/* The screen is reached by our own tables only, so it comes last and catches up. */
static void use_no_screen(void)
{
}

static void show_log(const struct console_screen *screen)
{
	char text[256];
	u64 at = 0, lost;
	size_t length;

	while ((length = log_read(at, text, sizeof(text), &lost)) > 0) {
		for (size_t i = 0; i < length; i++)
			screen->put(text[i]);
		at += lost + length;
	}
}

static void use_screen(void)
{
	const struct console_screen *screen;

	if (!start.options.console_vga)
		return;
	screen = framebuffer_open(&handoff->screen);
	if (!screen)
		return;
	console_use_screen(screen);
	show_log(screen);
}

static void tell_application(void)
{
	start_open_ports();
	firmware_describe_luvy(&handoff->luvy);
	if (!start.has_acpi)
		hv_log("no usable ACPI tables: dom0 finds no table LUVY, so its root has no key");
}

/* The firmware's APs wait for it; from now on its STARTUPs, and the system's, lead here. */
static void claim_other_cpus(void)
{
	start_install_trampoline();
	for (u32 i = 1; i < cpu_count; i++)
		__atomic_store_n(&cpu_slot(i)->state, CPU_FIRMWARE, __ATOMIC_RELEASE);
}

/* The firmware's state in the vCPU, at the application's next instruction. */
static void resume_firmware(struct vcpu *vcpu)
{
	struct vcpu_segments *s = &vcpu->segments;

	vcpu_need(vcpu, VCPU_CONTROL | VCPU_SEGMENTS);
	vcpu->control = (struct vcpu_control){
		.cr0 = handoff->cr0,
		.cr2 = handoff->cr2,
		.cr3 = handoff->cr3,
		.cr4 = handoff->cr4,
		.efer = handoff->efer,
		.dr6 = handoff->dr6,
		.dr7 = handoff->dr7,
	};
	memcpy(s->seg, handoff->seg, sizeof(s->seg));
	/* TR is never null to a CPU: nobody has loaded it yet, and it is as after reset (SDM 3A table 10-1, 3C 27.3.1.2). */
	if (!(s->seg[SEG_TR].attributes & SEGMENT_PRESENT))
		s->seg[SEG_TR] = (struct segment){.attributes = SEGMENT_TSS, .limit = 0xffff};
	s->gdt_base = handoff->gdtr.base;
	s->gdt_limit = handoff->gdtr.limit;
	s->idt_base = handoff->idtr.base;
	s->idt_limit = handoff->idtr.limit;
	vcpu->rip = handoff->resume;
	vcpu->gpr[GPR_RSP] = handoff->rsp;
	vcpu->rflags = RFLAGS_FIXED;
	vcpu->dirty |= VCPU_CONTROL | VCPU_SEGMENTS | VCPU_FLUSH;
	vcpu->shadow = false;
	vcpu->event = 0;
}

/* On the boot CPU's own stack. Up to launch_cpu_on there is a way back. */
static void main_on_cpu_stack(void)
{
	struct cpu *cpu = this_cpu();

	start_prepare_crashes();
	start_hide_memory();
	world_init();
	tell_application();
	start_answer_calls();
	claim_other_cpus();
	start_check_pages(page_pool_free() >= (u64)cpu_count * CPU_SLOT_SIZE);
	start_say_what_is_ours(cpu_count);
	refuse_by(NULL);
	start_check_pages(launch_cpu_on(cpu, start.ops));
	start_trap_apic();
	dom0_apic_expect_firmware(start.ops, handoff->cr3);
	resume_firmware(cpu->vcpu);
	hv_log("dom0 starts: the firmware goes on in guest mode");
	console_release();
	launch_boot_cpu(cpu);
}

noreturn void uefi_main(struct handoff *from)
{
	handoff = from;
	desc_init();
	desc_load();
	refuse_by(give_up);
	console_probe_debug_port();
	read_handoff();
	start_read_options(handoff->cmdline, use_no_screen);
	start_limit_map();
	start_choose_vendor();
	start_count_cpus();
	/* It waits for each of them without end, and none may run outside guest mode. */
	if (handoff->cpus > cpu_count)
		refuse("the firmware waits for all its %u CPUs, and only %u can be had (cpus=, ACPI's MADT)",
		       handoff->cpus, cpu_count);
	start_build_tables();
	write_cr3(host_cr3().addr);
	firmware_view_use_host_tables();
	use_screen();
	start_create_cpus();
	start_go_on(main_on_cpu_stack);
}
