/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtual machine for one test: memory from address 0 on, and vCPUs that start in some mode. */
#ifndef GUEST_MACHINE_H
#define GUEST_MACHINE_H

#include <stddef.h>

#include "guest/test.h"
#include "lib/luvalley.h"

/* Guest physical addresses; everything that is mapped is mapped one to one. */
#define CODE	     0x1000u
#define HANDLER	     0x2000u /* of all interrupts */
#define IDT	     0x6000u
#define GDT	     0x7000u
#define DATA	     0xc000u
#define STACK	     0xf000u /* of vCPU n: n times STACK_SIZE lower */
#define STACK_SIZE   0x400u
#define TABLES	     0x10000u
#define MEMORY	     0x200000u
#define MMIO	     0x300000u /* no memory */
#define MORE	     0x400000u /* for slots that tests add: mapped, 2 MiB */
#define UNMAPPED     0x800000u /* in no page table */

#define PORT_HANDLER 0x12u /* the interrupt handler writes 69h */

#define MACHINE_VCPUS 8u

enum mode { REAL, PROTECTED, PAE, LONG, MODE_COUNT };

struct payload {
	struct {
		const uint8_t *begin, *end;
	} code[3]; /* 16, 32, 64 bits */
};

/* The payload of that name in payloads.S. */
#define PAYLOAD(name) \
	extern const uint8_t payload_##name##_16[], payload_##name##_16_end[], \
		payload_##name##_32[], payload_##name##_32_end[], payload_##name##_64[], \
		payload_##name##_64_end[]; \
	static const struct payload name = {{ \
		{payload_##name##_16, payload_##name##_16_end}, \
		{payload_##name##_32, payload_##name##_32_end}, \
		{payload_##name##_64, payload_##name##_64_end}, \
	}}

struct machine_vcpu {
	struct luv_vcpu_page *page;
	uint8_t *fpu;
	volatile uint8_t *stop;
};

struct machine {
	int session, vm;
	uint8_t *memory;
	uint8_t *owner;
	struct machine_vcpu vcpu[MACHINE_VCPUS];
};

/* A session with dom0's key. */
int open_session(void);

/* Anonymous memory, not pinned; and the same, pinned. */
void *plain_pages(size_t size);
void *pinned_pages(size_t size);

/* luv_vm_create of these. */
int create_vm(int session, uint64_t flags, void *owner_page);

/* A VM with MEMORY bytes in slot 0 (and the flags of slots) and one vCPU. */
void machine_create(struct machine *machine, uint64_t slot_flags);
void machine_create_with(struct machine *machine, uint64_t vm_flags, uint64_t slot_flags);
void machine_destroy(struct machine *machine);
void machine_add_vcpu(struct machine *machine, unsigned index);

/* Puts the code in place and the vCPU before it: ESI at DATA, EDI at MMIO, interrupts off. */
void machine_load(struct machine *machine, const struct payload *payload, enum mode mode);
void machine_start(struct machine *machine, unsigned index, enum mode mode);

/* Maps slot 1 at MORE. */
void machine_map_more(struct machine *machine, void *memory, size_t size, uint64_t flags);

/* RUN, which must return 0 with this reason. */
struct luv_exit_record *machine_run(struct machine *machine, unsigned index, enum luv_run reason);

/* An OUT of this width and value. */
void machine_expect_out(struct machine *machine, unsigned port, unsigned size, uint64_t value);

/* The client moved RIP. */
void machine_skip(struct machine *machine, unsigned length);

#endif
