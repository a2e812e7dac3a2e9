/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu/log.h"

#include "cpu/console.h"
#include "cpu/crash.h"
#include "cpu/spinlock.h"
#include "lib/printf.h"
#include "lib/ring.h"

/* The consoles are shared with others, so there each line says whose it is. */
#define PREFIX	    "luvalley: "
#define PREFIX_SIZE (sizeof(PREFIX) - 1)

static char ring_bytes[LOG_RING_SIZE];
static struct ring ring = {.bytes = ring_bytes, .size = LOG_RING_SIZE};
static struct spinlock log_lock; /* guards the ring and the consoles */

void hv_log(const char *format, ...)
{
	char line[PREFIX_SIZE + LOG_LINE_MAX + 1] = PREFIX;
	va_list args;
	size_t length;
	int wanted;

	va_start(args, format);
	wanted = hv_vsnprintf(line + PREFIX_SIZE, LOG_LINE_MAX, format, args);
	va_end(args);
	length = PREFIX_SIZE + (wanted < 0 ? 0 : min_u64((u64)wanted, LOG_LINE_MAX - 1));
	line[length++] = '\n';

	/* After a crash the lock may never be released, and nobody will read the ring. */
	if (crash_happened()) {
		console_write(line, length);
		return;
	}
	spin_lock(&log_lock);
	ring_write(&ring, line + PREFIX_SIZE, length - PREFIX_SIZE);
	console_write(line, length);
	spin_unlock(&log_lock);
}

size_t log_read(u64 position, char *to, size_t size, u64 *lost)
{
	size_t got;

	spin_lock(&log_lock);
	got = ring_read(&ring, position, to, size, lost);
	spin_unlock(&log_lock);
	return got;
}
