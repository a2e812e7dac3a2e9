/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pinning: keeps memory in its page frames, because the hypervisor uses it by physical address.
 * docs/pinning.md says what can move a page, and why this stops it.
 *
 * The pin belongs to the pages, not to the addresses: memory that is unmapped, discarded or
 * mapped over while it is pinned leaves its old frames with the guest. Remove it from the
 * virtual machine first, then unpin it, then unmap it. A forked child does not inherit the
 * memory, nor the pins.
 */
#ifndef LIB_PIN_H
#define LIB_PIN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Pins the pages that hold these bytes, present, writable and dirty. Pins may overlap; a page
 * is free again after the last one. 0, or a negative LUV_ERR_ code and in *why a sentence for
 * the user.
 */
int luv_pin(void *address, size_t size, const char **why);

/*
 * Takes one luv_pin of exactly these pages back: LUV_ERR_NOENT where there is none. Pages of a
 * pin that overlapped others may stay pinned until those are taken back, too.
 */
int luv_unpin(void *address, size_t size);

/*
 * Does the limit on locked memory allow so many bytes more? For memory that will be pinned
 * later, in pieces: 0, or LUV_ERR_NOMEM and a sentence.
 */
int luv_pin_allowed(size_t size, const char **why);

/* The lowest descriptor from `from` on that new pins need (those that are there do not);
 * negative: none. A program that closes descriptors by range leaves these out. */
int luv_pin_descriptor(int from);

#ifdef __cplusplus
}
#endif

#endif
