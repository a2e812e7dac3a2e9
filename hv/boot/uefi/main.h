/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BOOT_UEFI_MAIN_H
#define BOOT_UEFI_MAIN_H

#include "boot/uefi/handoff.h"

/* entry.S calls it, with the structure in the direct map. */
noreturn void uefi_main(struct handoff *handoff);

/* Back to the application, this CPU as the firmware had it; root mode must not be on yet. */
noreturn void uefi_leave(struct handoff *handoff);

#endif
