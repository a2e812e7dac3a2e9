/* SPDX-License-Identifier: BSD-2-Clause */
/* Luvalley's own command line. Pure. */
#ifndef BOOT_OPTIONS_H
#define BOOT_OPTIONS_H

#include "cpu/log.h"
#include "vm/world.h"

enum apic_mode {
	APIC_MODE_DEFAULT, /* direct on hardware, trap where INIT cannot be intercepted */
	APIC_MODE_TRAP,
	APIC_MODE_DIRECT,
};

enum crash_action {
	CRASH_REBOOT, /* default: a machine without a screen comes back */
	CRASH_HALT,
};

enum key_mode {
	KEY_ACPI, /* default: the key is in the ACPI table LUVY */
	KEY_PORT, /* it is behind I/O ports, and the table says so */
	KEY_NONE, /* no key is handed out: dom0 runs, nobody can call */
};

enum debug_call {
	DEBUG_NONE,
	DEBUG_CRASH, /* the crash call works, for testing the crash report */
};

#define OPTION_COM_PORTS_MAX 2
#define OPTION_NEXT_MAX	     256

struct options {
	bool console_vga;
	u32 com_count;
	struct {
		u16 port; /* I/O port base: com1 0x3f8, com2 0x2f8, com3 0x3e8, com4 0x2e8 */
		u32 baud; /* divides 115200 */
	} com[OPTION_COM_PORTS_MAX];
	bool boot_drive_set;
	u8 boot_drive;
	u8 boot_partition; /* 1 to 4: its boot sector instead of the drive's; 0: none */
	u32 cpus; /* use at most so many; 0 = all */
	u64 pool; /* bytes; 0 = default */
	enum apic_mode apic;
	enum crash_action crash;
	enum key_mode key;
	enum log_mode log;
	enum mitigation_mode mitigations;
	enum debug_call debug;
	char next[OPTION_NEXT_MAX]; /* UEFI: what is started next; empty: the default */
};

/*
 * Sets *options to the defaults, then parses the space-separated line:
 *   console=vga|comN[,BAUD]|0xPORT[,BAUD]|none   repeatable; the first replaces the default,
 *                                                which is vga and com1,115200
 *   boot=0xNN[,P] | boot=hdN[,P]   the BIOS drive to boot dom0 from (hd0 = 0x80), else the loader's; its partition
 *   cpus=N   pool=SIZE (K, M, G suffixes)   apic=auto|trap|direct   crash=reboot|halt
 *   key=acpi|port|none   log=first|all|quiet   mitigations=auto|all|off   debug=none|crash
 *   next=\PATH|firmware     UEFI: the loader that is started next, on our own partition; firmware: none,
 *                            whoever started us goes on
 * Where one contradicts another the last counts; console=none undoes those before it. Unknown
 * and malformed ones are reported through `complain` (a full sentence that names the option and
 * what is accepted; NULL: nobody) and ignored; the rest still count.
 */
void options_parse(const char *line, struct options *options,
		   void (*complain)(void *context, const char *sentence), void *context);

#endif
