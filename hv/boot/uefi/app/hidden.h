/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Included before all else in each source of luvalley.efi. -fvisibility=hidden is for definitions only; what is
 * declared elsewhere would be reached through a global offset table, which nobody fills.
 */
#ifndef BOOT_UEFI_APP_HIDDEN_H
#define BOOT_UEFI_APP_HIDDEN_H

#pragma GCC visibility push(hidden)

#endif
