/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/refuse.h"

#include <stdarg.h>

#include "cpu/log.h"
#include "cpu/power.h"
#include "cpu/x86.h"
#include "lib/printf.h"

/* The keyboard controller: bit 0 of the status says that a byte waits. */
#define PORT_KEYBOARD_DATA   0x60
#define PORT_KEYBOARD_STATUS 0x64

static void (*instead)(const char *sentence);

void refuse_by(void (*how)(const char *sentence))
{
	instead = how;
}

noreturn void refuse(const char *format, ...)
{
	char sentence[LOG_LINE_MAX];
	va_list args;

	va_start(args, format);
	hv_vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	log_set_mode(LOG_MODE_FIRST);
	hv_log("cannot start: %s.", sentence);
	if (instead)
		instead(sentence);
	hv_log("Press a key to restart.");
	while (inb(PORT_KEYBOARD_STATUS) & 1)
		inb(PORT_KEYBOARD_DATA);
	while (!(inb(PORT_KEYBOARD_STATUS) & 1))
		cpu_relax();
	power_reset();
}
