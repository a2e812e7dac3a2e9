/* SPDX-License-Identifier: BSD-2-Clause */
/* Steps of the start that do not depend on who started us: main.c has them, uefi/main.c uses them too. */
#ifndef BOOT_STEPS_H
#define BOOT_STEPS_H

#include "boot/bootinfo.h"
#include "boot/options.h"
#include "boot/place.h"
#include "cpu/acpi.h"
#include "vm/virt_ops.h"

/* What is known so far; the boot CPU alone, before dom0 runs. */
struct start {
	struct boot_info boot;
	struct options options;
	struct placement place;
	struct acpi_root acpi;
	bool has_acpi;
	u32 listed_cpus; /* in the MADT; 0: there is none */
	const struct virt_ops *ops;
};

extern struct start start;

/* Our command line, then consoles: use_screen makes the firmware's screen one, if the options say so. */
void start_read_options(const char *line, void (*use_screen)(void));

/* What the direct map does not reach is nobody's. */
void start_limit_map(void);

/* Refuses where no vendor's virtualization is there. */
void start_choose_vendor(void);
void start_count_cpus(void);

/* The pool and the page tables of our own, which are not loaded yet; needs start.place. */
void start_build_tables(void);
void start_create_cpus(void);

/* Goes on at the top of the boot CPU's own stack, which is mapped now; the step does not return. */
noreturn void start_go_on(void (*step)(void));

/* From here on on the boot CPU's own stack. */
void start_prepare_crashes(void);
void start_hide_memory(void);
void start_install_trampoline(void);
void start_say_what_is_ours(u32 cpus);
void start_open_ports(void); /* the key, where it is behind ports, and the ports of sleep */
void start_answer_calls(void);
void start_trap_apic(void);

/* Refuses where the pool was too small. */
void start_check_pages(bool enough);

#endif
