/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BOOT_MAIN_H
#define BOOT_MAIN_H

#include "lib/types.h"

/* entry.S calls it: EAX and EBX as the Multiboot loader left them. */
noreturn void hv_main(u32 magic, u32 info);

#endif
