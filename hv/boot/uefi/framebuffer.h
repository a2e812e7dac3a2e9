/* SPDX-License-Identifier: BSD-2-Clause */
/* The log on a framebuffer: UEFI's machines have no text mode. */
#ifndef BOOT_UEFI_FRAMEBUFFER_H
#define BOOT_UEFI_FRAMEBUFFER_H

#include "boot/uefi/handoff.h"
#include "cpu/console.h"

/*
 * The screen as a console, mapped by host_map_screen; NULL where it is too small for text or cannot be
 * mapped. Once.
 */
const struct console_screen *framebuffer_open(const struct handoff_screen *screen);

#endif
