/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioctl on KVM's descriptors. A family has a table; a function per request gets its structure
 * already copied from the client, and it is copied back when the request says so.
 */
#ifndef KVM_IOCTL_H
#define KVM_IOCTL_H

#include <stdint.h>

#include "kvm/fds.h"

struct vm;
struct vcpu;

/* With what fds_enter took. The result of ioctl, or a negative errno value. */
int ioctl_serve(struct object *object, uint32_t request, uintptr_t argument);

/* What a request's argument is. */
enum ioctl_argument {
	ARGUMENT_NUMBER,  /* the number itself, as uintptr_t */
	ARGUMENT_POINTER, /* the client's address, as uintptr_t: the function copies */
	ARGUMENT_IN,	  /* a copy of the structure */
	ARGUMENT_OUT,	  /* a zeroed structure, copied out if the result is not negative */
	ARGUMENT_IN_OUT,
};

#define IOCTL_SIZE_MAX 4096u

struct ioctl_entry {
	uint32_t request;
	enum ioctl_argument argument;
	/* `at`: the structure, or for NUMBER and POINTER a uintptr_t. */
	int (*serve)(void *self, void *at);
};

/* Negative errno value ENOTTY: the table has no such request. */
int ioctl_table(const struct ioctl_entry *table, unsigned count, void *self, uint32_t request,
		uintptr_t argument);

int ioctl_system(uint32_t request, uintptr_t argument);
int ioctl_vm(struct vm *vm, uint32_t request, uintptr_t argument);
int ioctl_vcpu(struct vcpu *vcpu, uint32_t request, uintptr_t argument);

#endif
