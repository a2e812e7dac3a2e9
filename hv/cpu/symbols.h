/* SPDX-License-Identifier: BSD-2-Clause */
/* Names for addresses in crash reports; the table is made from the linked image by
 * tools/symbols. */
#ifndef CPU_SYMBOLS_H
#define CPU_SYMBOLS_H

#include "lib/types.h"

#define SYMBOL_NAME_SIZE 64 /* with the 0 at its end; tools/symbols cuts longer ones */

/* The function that holds the address, and the offset into it; false outside our code. */
bool symbol_find(u64 address, char name[SYMBOL_NAME_SIZE], u64 *offset);

/* True when the address lies in the image's code: [text_start, text_end) of the linker script.
 */
bool symbol_is_code(u64 address);

#endif
