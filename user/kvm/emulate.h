/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Executes one guest instruction for the CPU: one that touched an address in no memory slot
 * (LUV_RUN_MMIO), or INS and OUTS (LUV_RUN_IO with LUV_IO_STRING).
 *
 *	result = emulate_mmio(e) or emulate_string_io(e);
 *	while (result == EMULATE_MMIO || result == EMULATE_IO) {
 *		ask the client about e->access or e->io, put a read's answer into its data;
 *		result = emulate_resume(e);
 *	}
 *
 * Registers are read from and written to the vCPU's page; page->dirty gets the groups that
 * changed. A fault or an access that waits for a read leaves them untouched: emulate_resume
 * executes the instruction again from its start and gives it the answers that it had. Writes
 * come last: when one is asked of the client, the registers are already those behind the
 * instruction, as KVM's are in KVM_EXIT_MMIO. String instructions with REP commit each element;
 * whoever interrupts them finds RIP on the instruction and the counters stepped.
 *
 * The guest's memory, page tables and instructions may be anything and change at any time. One
 * struct emulate belongs to one vCPU; threads of different vCPUs need no lock between them. No
 * function allocates memory or keeps a pointer that a callback returned beyond its own return.
 */
#ifndef KVM_EMULATE_H
#define KVM_EMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include <luvalley/vcpu.h>

#include "kvm/emulate_insn.h"

enum emulate_result {
	/*
	 * Go on with RUN. RIP is behind the instruction, or still on it (REP not finished, or
	 * the CPU shall do it itself). emulate.step says whether a #DB is owed first.
	 */
	EMULATE_DONE,
	EMULATE_MMIO,  /* emulate.access is to be made; then emulate_resume */
	EMULATE_IO,    /* emulate.io is to be made; then emulate_resume */
	EMULATE_FAULT, /* emulate.fault is to be injected; RFLAGS.RF is set for it */
	/*
	 * Not an instruction that we execute, or its code or page tables are not in RAM.
	 * Nothing has changed. KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_EMULATION. Only at
	 * privilege 0: elsewhere it is #UD, as with KVM, so that no program of the guest's can
	 * end the guest.
	 */
	EMULATE_UNKNOWN,
};

/* An access to memory that no RAM answers, within a page. */
struct emulate_access {
	uint64_t gpa;
	uint8_t data[8]; /* a write: what is written; a read: the answer goes here */
	uint8_t size;	 /* 1 to 8 bytes */
	bool write;
};

#define EMULATE_IO_SIZE 1024u

/* count elements of size bytes to or from one port. */
struct emulate_io {
	uint16_t port;
	uint8_t size; /* 1, 2, 4 */
	bool in;
	uint32_t count;
	uint8_t data[EMULATE_IO_SIZE];
};

struct emulate_fault {
	uint8_t vector;
	bool has_error;
	uint32_t error;
	uint64_t cr2; /* vector 14 */
};

struct emulate_ops {
	/*
	 * Where the page (4 KiB) of that address lies in our memory, or NULL where it is no
	 * RAM. For a write NULL also where it is read-only, and the page counts as dirty from
	 * now on. The pointer is to the page's first byte and stays good until the emulating
	 * function returns.
	 */
	void *(*memory)(void *context, uint64_t gpa, bool write);
	/*
	 * An access that can be answered at once (local APIC, I/O APIC, ioeventfd): true, with
	 * a read's answer in data. Else false: it becomes EMULATE_MMIO.
	 */
	bool (*mmio)(void *context, struct emulate_access *access);
	/* The same for ports (PIC, PIT, ioeventfd): all elements or none. */
	bool (*port)(void *context, struct emulate_io *io);
	/*
	 * Fetches these groups into the page (wanted, luv_vcpu_sync), so that page->valid has
	 * them. Called for LUV_GROUP_FPU only when an instruction needs it.
	 */
	bool (*groups)(void *context, uint64_t groups);
};

struct emulate_setup {
	const struct emulate_ops *ops;
	void *context; /* for the callbacks */
	/* valid must have GENERAL, CONTROL and SEGMENTS; with EVENTS the interrupt shadow is
	 * ended. */
	struct luv_vcpu_page *page;
	uint8_t *xsave; /* the FPU page: XSAVE area in standard format */
	/* From the guest's CPUID leaf 0Dh, EBX of the component's subleaf; 0: there is none. */
	uint16_t pkru_offset;
	uint16_t zmm_offset;   /* ZMM_Hi256 */
	uint8_t physical_bits; /* MAXPHYADDR of the guest, 32 to 52 */
};

/* Elements that one call moves at most before it lets the guest take an interrupt. */
#define EMULATE_REP_MAX	  4096u
#define EMULATE_READS_MAX 16u
#define EMULATE_QUEUE_MAX 16u

/* A piece of a write: to RAM (host) or, where that is NULL, to emulate_ops.mmio. */
struct emulate_piece {
	uint8_t *host;
	struct emulate_access access;
};

enum emulate_wait {
	EMULATE_WAIT_NOTHING,
	EMULATE_WAIT_READ,  /* access: the instruction is executed again with the answer */
	EMULATE_WAIT_WRITE, /* access: the instruction is complete */
	EMULATE_WAIT_IN,    /* io */
	EMULATE_WAIT_OUT,   /* io */
};

struct emulate {
	struct emulate_setup setup;

	/* What the results tell. */
	struct emulate_access access;
	struct emulate_fault fault;
	struct emulate_io io;
	/* EMULATE_DONE: the instruction ran under RFLAGS.TF and owes #DB with DR6.BS. */
	bool step;

	/* The rest is the emulator's own. */
	const struct emulate_insn *insn;
	struct emulate_insn own; /* not from the cache: emulate_string_io */
	enum emulate_result result;
	enum emulate_wait wait;
	uint64_t rip;	   /* of the instruction in progress */
	uint64_t hint_gpa; /* what the exit said about the instruction's only memory operand */
	bool hint, hint_write;
	bool again;	/* a string instruction has elements left */
	bool touched;	/* this element touched what is no RAM */
	bool retry;	/* memory changed under a locked instruction */
	bool shadow;	/* it holds back interrupts for one more instruction */
	bool branch;	/* RIP becomes target */
	bool in_ready;	/* io.data holds the answer for INS */
	bool out_ready; /* io.data holds what OUTS hands out */
	uint64_t target;
	uint64_t locked;   /* what a locked instruction read */
	uint32_t elements; /* moved in this call */
	struct {
		uint64_t linear, gpa; /* pages; linear 1: none */
	} translated[2];	      /* for reads, for writes */
	uint8_t reads, replayed; /* how many of read[] are there, and were used in this pass */
	uint8_t queued, drained;
	struct emulate_access read[EMULATE_READS_MAX];
	struct emulate_piece queue[EMULATE_QUEUE_MAX];
	struct emulate_insn cache[EMULATE_CACHE_SIZE];
};

/* Before anything else; *setup is copied. */
void emulate_init(struct emulate *emulate, const struct emulate_setup *setup);

/*
 * After LUV_RUN_MMIO, page->exit as it was. Not where page->events.pending says that an event
 * was being delivered: that access is not the instruction's.
 */
enum emulate_result emulate_mmio(struct emulate *emulate);

/*
 * The same, shorter, for an instruction that emulate_mmio has seen before: true: e->access is
 * to be made, and emulate_plain_done is called before a write is, and behind a read, whose
 * answer is in its data; unless RIP was moved meanwhile. Of registers GENERAL is enough. For
 * 64-bit code.
 */
bool emulate_plain(struct emulate *emulate);
void emulate_plain_done(struct emulate *emulate);

/* After LUV_RUN_IO with LUV_IO_STRING, page->exit as it was. */
enum emulate_result emulate_string_io(struct emulate *emulate);

/*
 * After EMULATE_MMIO and EMULATE_IO, when the access was made. KVM completes an instruction
 * before it looks at immediate_exit. When the client has moved RIP meanwhile, a waiting read is
 * forgotten.
 */
enum emulate_result emulate_resume(struct emulate *emulate);

/* Is emulate_resume due? */
static inline bool emulate_waits(const struct emulate *emulate)
{
	return emulate->wait != EMULATE_WAIT_NOTHING;
}

/* Forgets what is waited for (the vCPU was reset). */
void emulate_cancel(struct emulate *emulate);

#endif
