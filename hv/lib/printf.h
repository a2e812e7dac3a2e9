/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LIB_PRINTF_H
#define LIB_PRINTF_H

#include <stdarg.h>

#include "lib/types.h"

/*
 * The subset of C's vsnprintf that the hypervisor needs: %d %i %u %x %X %p %s %c %%, the length
 * modifiers hh h l ll z, a width and precision (numbers or *, at most 9999), and the flags
 * 0 - # +. %p prints 0x and the digits. An unknown conversion is printed as it stands. Always
 * terminates when size > 0; returns the length that was wanted.
 */
int hv_vsnprintf(char *to, size_t size, const char *format, va_list args);
int hv_snprintf(char *to, size_t size, const char *format, ...) PRINTF(3, 4);

#endif
