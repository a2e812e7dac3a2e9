/* SPDX-License-Identifier: BSD-2-Clause */
/* The library is built with hidden names; what it puts before the C library's own is not. */
#ifndef KVM_EXPORT_H
#define KVM_EXPORT_H

#define EXPORT	 __attribute__((visibility("default")))

#define KVM_PATH "/dev/kvm"

#endif
