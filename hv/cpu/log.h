/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's log: a ring in memory that `luvalley log` reads, and the consoles. */
#ifndef CPU_LOG_H
#define CPU_LOG_H

#include "lib/types.h"

#define LOG_RING_SIZE (64 * KIB)
#define LOG_LINE_MAX  512

enum log_mode {
	LOG_MODE_FIRST, /* default: of what repeats, the first few lines */
	LOG_MODE_ALL,	/* every line */
	LOG_MODE_QUIET, /* as FIRST, and none on the consoles: `luvalley log` alone shows them */
};
void log_set_mode(enum log_mode mode);

/* One line, without the newline; longer ones are cut. Lines of different CPUs do not interleave.
 * Safe on every CPU at any time except inside console_* itself. */
void hv_log(const char *format, ...) PRINTF(1, 2);

/*
 * For a line that dom0 can cause as often as it likes: unless told otherwise, each place where it stands logs the
 * first few, the last of which says so; the rest is only counted.
 */
#define LOG_FIRST 8u
#define hv_log_first(...)                                                                          \
	do {                                                                                       \
		static u64 log_count_;                                                             \
		hv_log_counted(&log_count_, __VA_ARGS__);                                          \
	} while (0)
void hv_log_counted(u64 *count, const char *format, ...) PRINTF(2, 3); /* count is atomic */

/*
 * Copies up to size bytes beginning at position (counted from the first byte ever logged) to `to`.
 * Returns how many were copied, *lost = how many bytes from position on were already overwritten
 * (then the copy begins behind them).
 */
size_t log_read(u64 position, char *to, size_t size, u64 *lost);

#endif
