/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where log lines appear at once: VGA text or another screen, 16550 serial ports, and the debug port E9h of emulators.
 * Screens and serial ports become dom0's when it starts; only a crash takes them back.
 */
#ifndef CPU_CONSOLE_H
#define CPU_CONSOLE_H

#include "lib/types.h"

/* text_memory: the 80x25 text page (physical B8000h) as mapped now; call again after remapping. */
void console_use_vga(volatile u16 *text_memory);

/*
 * A screen that is no text mode (boot/uefi/framebuffer.c). put: also line feed and tab. A crash may call it
 * while another CPU is in it. Kept by reference, and cleared.
 */
struct console_screen {
	void (*clear)(void);
	void (*put)(char c);
};
void console_use_screen(const struct console_screen *screen);

/* Programs the UART (8n1, polled). A port with no UART behind it (the scratch register does not keep a value) is left out.
 * baud must divide 115200. At most two. */
void console_use_serial(u16 port, u32 baud);

/* Uses port E9h if it reads back as E9h, as it does under QEMU and Bochs. */
void console_probe_debug_port(void);

void console_write(const char *text, size_t length);

/* dom0 is about to start: from now on only the debug port is written. */
void console_release(void);

/* A crash: everything is written again, VGA from the top of a cleared screen. */
void console_reclaim(void);

#endif
