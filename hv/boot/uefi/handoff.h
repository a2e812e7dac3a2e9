/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What luvalley.efi (app/) and the hypervisor in it pass each other. Both are built together, so this is no
 * interface to anybody else. The structure lies in memory of the firmware's that is mapped 1:1, below the
 * end of the tables at cr3_between.
 */
#ifndef BOOT_UEFI_HANDOFF_H
#define BOOT_UEFI_HANDOFF_H

/* Offsets for assembly. */
#define HANDOFF_ENTRY  0
#define HANDOFF_CR3    8
#define HANDOFF_RSP    16
#define HANDOFF_RESUME 24
#define HANDOFF_NATIVE 32
#define HANDOFF_CR0    40
#define HANDOFF_CR3_OF_FIRMWARE 48
#define HANDOFF_CR4    56
#define HANDOFF_EFER   64
#define HANDOFF_GDTR   72
#define HANDOFF_IDTR   88
/* The selectors. */
#define HANDOFF_ES     104
#define HANDOFF_CS     120
#define HANDOFF_SS     136
#define HANDOFF_DS     152

#ifndef __ASSEMBLER__

#include "boot/bootinfo.h"
#include "luvalley/acpi.h"
#include "vm/vcpu.h"

struct PACKED handoff_table {
	u16 limit;
	u64 base;
	u8 unused[6];
};

/* 32 bits a pixel. */
struct handoff_screen {
	u64 base; /* physical; 0: none */
	u64 size;
	u32 width, height; /* pixels */
	u32 pitch;	   /* pixels from line to line */
};

#define HANDOFF_SENTENCE 512

struct handoff {
	u64 entry;	 /* uefi_entry */
	u64 cr3_between; /* tables that map low memory 1:1 and at DIRECT_BASE, and the image at IMAGE_BASE */
	/* Where the application goes on: in guest mode with this CPU's state as below; outside. */
	u64 rsp, resume, native;
	/* The CPU as the firmware has it. */
	u64 cr0, cr3, cr4, efer;
	struct handoff_table gdtr, idtr;
	struct segment seg[SEG_COUNT];
	u64 cr2, dr6, dr7;

	char cmdline[BOOT_CMDLINE_MAX];
	struct mem_map map; /* the hidden range and the trampoline's page are RAM in it */
	u64 rsdp;
	u64 hidden_base, hidden_size; /* reserved in the firmware's map; the image is at its beginning */
	u64 trampoline;		      /* a reserved page below 640 KiB */
	u32 cpus;		      /* that the firmware uses; 0: it does not say */
	struct handoff_screen screen;

	/* Answers. */
	struct luv_acpi_table luvy;	 /* without a checksum */
	char sentence[HANDOFF_SENTENCE]; /* why we do not run; only where it goes on outside guest mode */
};
ASSERT_OFFSET(struct handoff, cr3_between, HANDOFF_CR3);
ASSERT_OFFSET(struct handoff, rsp, HANDOFF_RSP);
ASSERT_OFFSET(struct handoff, resume, HANDOFF_RESUME);
ASSERT_OFFSET(struct handoff, native, HANDOFF_NATIVE);
ASSERT_OFFSET(struct handoff, cr0, HANDOFF_CR0);
ASSERT_OFFSET(struct handoff, cr3, HANDOFF_CR3_OF_FIRMWARE);
ASSERT_OFFSET(struct handoff, cr4, HANDOFF_CR4);
ASSERT_OFFSET(struct handoff, efer, HANDOFF_EFER);
ASSERT_OFFSET(struct handoff, gdtr, HANDOFF_GDTR);
ASSERT_OFFSET(struct handoff, idtr, HANDOFF_IDTR);
ASSERT_OFFSET(struct handoff, seg[SEG_ES], HANDOFF_ES);
ASSERT_OFFSET(struct handoff, seg[SEG_CS], HANDOFF_CS);
ASSERT_OFFSET(struct handoff, seg[SEG_SS], HANDOFF_SS);
ASSERT_OFFSET(struct handoff, seg[SEG_DS], HANDOFF_DS);

#endif
#endif
