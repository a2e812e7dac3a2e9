/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest for tests of user/kvm/emulate.h: a vCPU page, an XSAVE area, some RAM and a device
 * whose registers are memory that counts its accesses.
 */
#ifndef TESTS_EMULATE_GUEST_H
#define TESTS_EMULATE_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kvm/emulate.h"

#define GUEST_REGIONS 4
#define GUEST_LOG     64

struct guest_region {
	uint64_t gpa, size; /* pages */
	uint8_t *host;	    /* page aligned */
	bool device;
	bool read_only;
};

struct guest {
	struct emulate emulate;
	struct luv_vcpu_page page;
	uint8_t xsave[4096];
	struct guest_region region[GUEST_REGIONS];
	bool ask; /* device accesses go to the client */
	unsigned asked, answered;
	struct emulate_access log[GUEST_LOG]; /* all device accesses, in order */
	unsigned logged;
	unsigned dirtied; /* calls of memory() for writing that found RAM */
	unsigned walked;  /* calls of memory() */
	/* The ports: what IN gives, what OUT took. */
	uint8_t port_in[4096], port_out[4096];
	unsigned port_read, port_written, port_calls;
	bool port_ask;
};

static struct guest_region *guest_find(struct guest *guest, uint64_t gpa)
{
	for (unsigned i = 0; i < GUEST_REGIONS; i++) {
		struct guest_region *region = &guest->region[i];

		if (gpa - region->gpa < region->size)
			return region;
	}
	return NULL;
}

static void *guest_memory(void *context, uint64_t gpa, bool write)
{
	struct guest *guest = context;
	struct guest_region *region = guest_find(guest, gpa);

	guest->walked++;
	if (!region || region->device || (write && region->read_only))
		return NULL;
	guest->dirtied += write;
	return region->host + (gpa - region->gpa) / 4096 * 4096;
}

/* Devices answer all ones where there is nothing. */
static void guest_device(struct guest *guest, struct emulate_access *access)
{
	for (unsigned i = 0; i < access->size; i++) {
		struct guest_region *region = guest_find(guest, access->gpa + i);
		uint8_t *at = region ? region->host + (access->gpa + i - region->gpa) : NULL;

		if (access->write && at && !region->read_only)
			*at = access->data[i];
		if (!access->write)
			access->data[i] = at ? *at : 0xff;
	}
	guest->log[guest->logged++ % GUEST_LOG] = *access;
}

static bool guest_mmio(void *context, struct emulate_access *access)
{
	struct guest *guest = context;

	guest->asked++;
	if (guest->ask)
		return false;
	guest->answered++;
	guest_device(guest, access);
	return true;
}

static void guest_port_move(struct guest *guest, struct emulate_io *io)
{
	unsigned bytes = io->size * io->count;

	guest->port_calls++;
	if (io->in) {
		memcpy(io->data, guest->port_in + guest->port_read, bytes);
		guest->port_read += bytes;
	} else {
		memcpy(guest->port_out + guest->port_written, io->data, bytes);
		guest->port_written += bytes;
	}
}

static bool guest_port(void *context, struct emulate_io *io)
{
	struct guest *guest = context;

	if (guest->port_ask)
		return false;
	guest_port_move(guest, io);
	return true;
}

static bool guest_groups(void *context, uint64_t groups)
{
	struct guest *guest = context;

	guest->page.valid |= groups;
	return true;
}

static const struct emulate_ops guest_ops = {guest_memory, guest_mmio, guest_port,
					     guest_groups};

static inline void guest_segment(struct guest *guest, unsigned name, uint64_t base,
				 uint64_t limit, uint64_t attributes)
{
	guest->page.segment[name] = (struct luv_segment){base, limit, 8, attributes};
}

#define GUEST_REAL   0
#define GUEST_CODE16 0x09b
#define GUEST_CODE32 0xc9b
#define GUEST_CODE64 0xa9b
#define GUEST_DATA16 0x093
#define GUEST_DATA32 0xc93
#define GUEST_RING3  0x060

/* Flat segments, paging off, privilege 0; code: the attributes of CS. */
static inline void guest_init(struct guest *guest, uint64_t code)
{
	struct emulate_setup setup = {.ops = &guest_ops,
				      .context = guest,
				      .page = &guest->page,
				      .xsave = guest->xsave,
				      .pkru_offset = 2432,
				      .physical_bits = 46};
	bool real = code == GUEST_REAL;

	memset(guest, 0, sizeof(*guest));
	emulate_init(&guest->emulate, &setup);
	guest->page.valid = LUV_GROUPS_ALL;
	guest->page.rflags = 2;
	guest->page.cr0 = real ? 0 : 1;
	guest->page.cr4 = 1 << 9 | 1 << 18;
	guest->page.xcr0 = 7;
	guest->page.efer = code == GUEST_CODE64 ? 0x500 : 0;
	for (unsigned i = 0; i <= LUV_GS; i++)
		guest_segment(guest, i, 0, real ? 0xffff : 0xffffffff,
			      real ? 0x93 : GUEST_DATA32);
	if (!real)
		guest->page.segment[LUV_CS].attributes = code;
	guest->xsave[512] = 7;
}

/* The exit's record for an access there; bytes: the instruction's. */
static inline void guest_exit(struct guest *guest, uint64_t gpa, bool write, const void *bytes,
			      unsigned count)
{
	struct luv_exit_record *exit = &guest->page.exit;

	memset(exit, 0, sizeof(*exit));
	exit->reason = LUV_RUN_MMIO;
	exit->mmio.gpa = gpa;
	exit->mmio.write = write;
	exit->mmio.byte_count = count;
	memcpy(exit->mmio.bytes, bytes, count);
}

/* What the KVM face and its client do until the emulator is satisfied. */
static inline enum emulate_result guest_finish(struct guest *guest, enum emulate_result result)
{
	while (result == EMULATE_MMIO || result == EMULATE_IO) {
		if (result == EMULATE_MMIO)
			guest_device(guest, &guest->emulate.access);
		else
			guest_port_move(guest, &guest->emulate.io);
		result = emulate_resume(&guest->emulate);
	}
	return result;
}

#endif
