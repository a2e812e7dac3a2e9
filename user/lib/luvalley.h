/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libluvalley: Luvalley's call interface for C, one function for each call of luvalley/calls.h.
 *
 * Functions return what the call returns: a number >= 0, or a negative LUV_ERR_ code. Without
 * Luvalley they return LUV_ERR_NOSYS. The answers "more is to do" and "touch the memory" are
 * dealt with here; arguments may lie anywhere in memory, structures are copied where the call
 * wants them in one page. Safe in every thread; sessions and virtual machines serve all threads
 * of their process, but not a forked child.
 *
 * Memory that a virtual machine uses must be pinned first: lib/pin.h.
 */
#ifndef LIB_LUVALLEY_H
#define LIB_LUVALLEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <luvalley/calls.h>
#include <luvalley/vcpu.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Does this system run under Luvalley? The one question that is always safe to ask. */
bool luv_present(void);

/* One of the numbers of enum luv_query. Needs no session. */
int luv_query(enum luv_query item);

/* The key out of the ACPI table LUVY, or from the ports that it names. NULL, or a sentence that says why there is
 * none. */
const char *luv_key_read(uint32_t key[3]);

/* A session for this address space. */
int luv_session_open(const uint32_t key[3]);
int luv_session_close(int session);

/*
 * Up to size bytes of a log (LUV_LOG_) from *position on, which is moved behind them. *lost =
 * how many bytes the ring had already overwritten there. Returns how many were copied; 0 at the
 * end.
 */
int luv_log_read(int session, unsigned which, uint64_t *position, void *buffer, size_t size,
		 uint64_t *lost);

/* dom0's exits on the CPU with that index, 0 to luv_query(LUV_QUERY_CPUS) - 1. */
int luv_cpu_statistics_get(int session, unsigned cpu, struct luv_cpu_statistics *statistics);

/* How this CPU's local APIC is reached (LUV_CALL_APIC_MODE): once on every CPU. */
int luv_apic_mode_set(int session, bool trap);

/* Crashes the hypervisor, and with it the machine. LUV_ERR_PERM unless booted with debug=crash.
 */
int luv_debug_crash(int session);

/* A virtual machine. Its owner page is pinned and holds nothing else but other VMs' marks. */
int luv_vm_create(int session, const struct luv_vm_create *create);
int luv_vm_destroy(int vm);

/* Adds, changes or (size 0) removes guest memory; unpin it only after it was removed. */
int luv_slot_set(int vm, const struct luv_slot *slot);

/* Which of these pages were written since the last time: bit n of the bitmap is page first + n.
 */
int luv_dirty_read(int vm, unsigned slot, uint64_t first, unsigned count, uint64_t *bitmap);

/* Page, FPU page and stop byte are pinned, and stay so until the VM is destroyed. */
int luv_vcpu_create(int vm, const struct luv_vcpu_create *create);

/*
 * Runs the guest until page->exit has something for the client. LUV_RUN_FAULT_IN is dealt with
 * here: the address is touched, and the guest goes on. A slot over memory that is not there
 * therefore raises SIGSEGV here, as touching it oneself would.
 */
int luv_vcpu_run(int vm, unsigned index, struct luv_vcpu_page *page);

/* Takes over the dirty groups of the vCPU's page, and fills in the wanted ones. */
int luv_vcpu_sync(int vm, unsigned index);

/* What CPUID answers in the guest: at most LUV_CPUID_MAX entries. */
int luv_vcpu_cpuid(int vm, unsigned index, const struct luv_cpuid_entry *entries,
		   unsigned count);
int luv_vcpu_statistics(int vm, unsigned index, struct luv_vcpu_statistics *statistics);

struct luv_interrupt {
	uint32_t destination;
	bool logical;	 /* logical destination */
	uint8_t delivery; /* ICR delivery mode */
	uint8_t vector;
	uint8_t level; /* LUV_TRIGGER_ */
	uint64_t kick; /* out: bits of the vCPUs that should be made to look, and perhaps others */
};

/* With LUV_VM_LAPIC: a message to the local APICs. How many vCPUs it reached. */
int luv_interrupt(int vm, struct luv_interrupt *interrupt);

#define LUV_LAPIC_SIZE 1024u
int luv_lapic_read(int vm, unsigned index, uint8_t registers[LUV_LAPIC_SIZE]);
int luv_lapic_write(int vm, unsigned index, const uint8_t registers[LUV_LAPIC_SIZE]);

/* One register, for an instruction of the guest that the client has decoded. */
int luv_lapic_access(int vm, struct luv_lapic_access *access);

/* A sentence for a negative result. */
const char *luv_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif
