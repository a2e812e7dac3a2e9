/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory of a VM: KVM's slots, their dirty log, and what becomes of them when the client
 * changes its own mappings.
 */
#ifndef KVM_MEMORY_H
#define KVM_MEMORY_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm;

/* Into vm->memory: 0 or -ENOMEM. */
int memory_create(struct vm *vm);

/* The hypervisor's VM is gone. The last VM's end unpins all memory. */
void memory_destroy(struct vm *vm);

/* The hypervisor's VM exists now: hands the slots over. 0 or a negative errno value. */
int memory_attach(struct vm *vm);

/* The ioctls. Negative errno values as KVM's. */
int memory_set_region(struct vm *vm, const struct kvm_userspace_memory_region *region);
int memory_get_dirty_log(struct vm *vm, const struct kvm_dirty_log *log);
int memory_clear_dirty_log(struct vm *vm, const struct kvm_clear_dirty_log *log);
/* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: bits of its argument. */
int memory_manual_protect(struct vm *vm, uint64_t flags);

/*
 * Between the two no slot goes away. Nests. Not to be held while waiting for anything but the
 * device models' locks.
 */
void memory_lock(struct vm *vm);
void memory_unlock(struct vm *vm);

/*
 * The client's address of a guest page, with the lock held: NULL: it is in no slot, or (write)
 * in a read-only one. For a write the page counts as dirty.
 */
void *memory_page(struct vm *vm, uint64_t gpa, bool write);

/* True when there is such a page, with the lock held. */
bool memory_has(struct vm *vm, uint64_t gpa, bool write);

/*
 * The guest touched an address of a slot that the hypervisor does not have, since the client
 * has changed its mappings there: 1: it has it (again), 0: the address is in no slot, or it is
 * a write to a read-only one: MMIO; -EFAULT: there is nothing that could be mapped.
 */
int memory_revive(struct vm *vm, uint64_t gpa, bool write);

/*
 * The guest needs memory of the client's at a page's address: pins what is around it. 0 and
 * what is pinned there; -EFAULT or -ENOMEM: it cannot be.
 */
int memory_pin(struct vm *vm, uintptr_t address, uintptr_t *begin, uintptr_t *end);

/*
 * The client is about to change its own mapping of a range (unmap, discard, map over it): if
 * guests use it, it is taken from them, and given back as it then is. True: `end` must follow
 * the change. Any thread; not for signal handlers.
 */
bool memory_change_begin(uintptr_t address, size_t size);
void memory_change_end(void);

#endif
