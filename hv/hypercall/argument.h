/* SPDX-License-Identifier: BSD-2-Clause */
/* A call's structure in the caller's memory: u64 fields, 8-byte aligned, within one page. */
#ifndef HYPERCALL_ARGUMENT_H
#define HYPERCALL_ARGUMENT_H

#include "vm/vcpu.h"

/* 0, LUV_ERR_INVAL or LUV_ERR_FAULT. */
s64 argument_read(struct vcpu *caller, u64 from, void *to, u64 size);
s64 argument_write(struct vcpu *caller, u64 to, const void *from, u64 size);

#endif
