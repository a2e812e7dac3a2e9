/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu/log.h"

#include "cpu/console.h"
#include "cpu/crash.h"
#include "cpu/spinlock.h"
#include "lib/printf.h"
#include "lib/ring.h"
#include "lib/string.h"

/* The consoles are shared with others, so there each line says whose it is. */
#define PREFIX	    "luvalley: "
#define PREFIX_SIZE (sizeof(PREFIX) - 1)

static char ring_bytes[LOG_RING_SIZE];
static struct ring ring = {.bytes = ring_bytes, .size = LOG_RING_SIZE};
static struct spinlock log_lock; /* guards the ring and the consoles */

static enum log_mode mode; /* immutable once dom0 runs */

void log_set_mode(enum log_mode new_mode)
{
	mode = new_mode;
}

static void log_args(const char *end, const char *format, va_list args)
{
	char line[PREFIX_SIZE + LOG_LINE_MAX + 1] = PREFIX;
	const size_t room = LOG_LINE_MAX - strlen(end);
	size_t length;
	int wanted;

	wanted = hv_vsnprintf(line + PREFIX_SIZE, room, format, args);
	length = PREFIX_SIZE + (wanted < 0 ? 0 : min_u64((u64)wanted, room - 1));
	memcpy(line + length, end, strlen(end));
	length += strlen(end);
	line[length++] = '\n';

	/* After a crash the lock may never be released, and nobody will read the ring. */
	if (crash_happened()) {
		console_write(line, length);
		return;
	}
	spin_lock(&log_lock);
	ring_write(&ring, line + PREFIX_SIZE, length - PREFIX_SIZE);
	crash_keep_log(line + PREFIX_SIZE, length - PREFIX_SIZE);
	if (mode != LOG_MODE_QUIET)
		console_write(line, length);
	spin_unlock(&log_lock);
}

void hv_log(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args("", format, args);
	va_end(args);
}

void hv_log_counted(u64 *count, const char *format, ...)
{
	u64 now = __atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
	va_list args;

	if (now > LOG_FIRST && mode != LOG_MODE_ALL)
		return;
	va_start(args, format);
	log_args(now == LOG_FIRST && mode != LOG_MODE_ALL ? " (further ones are only counted)" : "", format, args);
	va_end(args);
}

size_t log_read(u64 position, char *to, size_t size, u64 *lost)
{
	size_t got;

	spin_lock(&log_lock);
	got = ring_read(&ring, position, to, size, lost);
	spin_unlock(&log_lock);
	return got;
}
