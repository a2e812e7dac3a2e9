/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BOOT_VERSION_H
#define BOOT_VERSION_H

extern const char hv_version[]; /* "0.1.0" */

#endif
