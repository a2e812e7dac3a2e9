/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/version.h"

#include "luvalley/calls.h"

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

const char hv_version[] = STRING(LUV_VERSION_MAJOR) "." STRING(LUV_VERSION_MINOR) "." STRING(
	LUV_VERSION_PATCH);
