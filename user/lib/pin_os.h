/* SPDX-License-Identifier: BSD-2-Clause */
/* What pin.c needs of an operating system: one file each, pin_linux.c. */
#ifndef LIB_PIN_OS_H
#define LIB_PIN_OS_H

#include <stddef.h>
#include <stdint.h>

#define LUV_PIN_SLOTS	 4096u
#define LUV_PIN_SIZE_MAX 0x40000000u /* of one slot; a slot crosses no multiple of it */

/*
 * Pins whole pages, none of which is in another slot, as luv_pin says. A slot is free or holds
 * one range. 0, or a LUV_ERR_ code and a sentence. Called with a lock held.
 */
int luv_pin_os_hold(unsigned slot, uintptr_t address, size_t size, const char **why);

/* Frees the slot; soon after, the system may move the pages again. */
int luv_pin_os_release(unsigned slot, uintptr_t address, size_t size);

/* See luv_pin_allowed and luv_pin_descriptor. Called without a lock. */
int luv_pin_os_allowed(size_t size, const char **why);
int luv_pin_os_descriptor(int from);

/* In a forked child: forgets all slots, and keeps nothing of the parent's alive. */
void luv_pin_os_forked(void);

#endif
