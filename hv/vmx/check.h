/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VMX_CHECK_H
#define VMX_CHECK_H

#include "vm/vcpu.h"

/*
 * The checks on the guest-state area (SDM 3C 27.3.1) that vm/valid.c does not make for both vendors: NULL, or the
 * check that fails. What a client sets may be nonsense, and emulators accept some of it. `injects`: an external
 * interrupt is to be injected. Pure; control and segments must be readable.
 */
const char *vmx_check_guest(const struct vcpu *vcpu, bool injects);

#endif
