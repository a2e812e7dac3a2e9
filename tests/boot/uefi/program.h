/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests' UEFI applications share: parts of luvalley.efi's, and what those want of its others. */
#ifndef TESTS_UEFI_PROGRAM_H
#define TESTS_UEFI_PROGRAM_H

#include "boot/uefi/app/app.h"

/* The application; program.c has efi_main. */
efi_status run(efi_handle self, const struct efi_loaded_image *image);

#endif
