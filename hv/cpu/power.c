/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu/power.h"

#include "cpu/x86.h"

#define PORT_RESET    0xcf9
#define PORT_KEYBOARD 0x64

static void settle(void)
{
	for (u32 i = 0; i < 1000; i++)
		inb(0x80);
}

noreturn void power_reset(void)
{
	struct PACKED {
		u16 limit;
		u64 base;
	} none = {0, 0};

	/* The crash report, and dom0's own data, must reach memory. */
	wbinvd();
	outb(PORT_RESET, 0x02);
	outb(PORT_RESET, 0x06);
	settle();
	outb(PORT_KEYBOARD, 0xfe);
	settle();
	for (;;)
		__asm__ volatile("lidt %0; int3" : : "m"(none));
}
