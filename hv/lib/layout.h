/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's address space (docs/memory-map.md). Shared by the linker script, assembly and C,
 * so it holds macros only.
 */
#ifndef LIB_LAYOUT_H
#define LIB_LAYOUT_H

/* Where a loader puts us. The image's address is IMAGE_BASE + its load address. */
#define LOAD_ADDRESS 0x100000

#ifdef __ASSEMBLER__
#define LAYOUT_CONST(x) x
#else
#define LAYOUT_CONST(x) x##ull
#endif

/* All RAM below its end, and the first MiB: physical address + DIRECT_BASE. Never executable. */
#define DIRECT_BASE LAYOUT_CONST(0xffff800000000000)
/* As far as it reaches: RAM above is left unused (boot/main.c). */
#define DIRECT_SIZE LAYOUT_CONST(0x7fff80000000)
/* The image, wherever in memory it lies. */
#define IMAGE_BASE LAYOUT_CONST(0xffffffff80000000)
/* Device registers, uncached. */
#define MMIO_BASE LAYOUT_CONST(0xffffffffa0000000)
/* A framebuffer, where there is one. */
#define SCREEN_BASE LAYOUT_CONST(0xffffffffa0200000)
/* A slot for each CPU: percpu.h. */
#define CPU_SLOTS LAYOUT_CONST(0xffffffffc0000000)

#define CPU_SLOT_SIZE  0x8000
#define CPU_STACK_SIZE 0x4000
#define CPU_MAX	       1024

#endif
