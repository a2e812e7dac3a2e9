/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/emulate.h"

#include <string.h>

#include "kvm/emulate_decode.h"
#include "kvm/emulate_families.h"
#include "kvm/emulate_memory.h"

#define LOCKED_TRIES 64u

void emulate_init(struct emulate *e, const struct emulate_setup *setup)
{
	memset(e, 0, sizeof(*e));
	e->setup = *setup;
	if (e->setup.physical_bits < 32)
		e->setup.physical_bits = 32;
	if (e->setup.physical_bits > 52)
		e->setup.physical_bits = 52;
}

void emulate_cancel(struct emulate *e)
{
	e->wait = EMULATE_WAIT_NOTHING;
	e->in_ready = false;
	e->out_ready = false;
	e->hint = false;
}

static void begin(struct emulate *e)
{
	emulate_cancel(e);
	memory_forget(e);
	e->reads = 0;
	e->rip = e->setup.page->rip;
	e->elements = 0;
	e->step = false;
	e->again = false;
}

/* --- behind an instruction, or an element of one --- */

static void step_rip(struct emulate *e)
{
	struct luv_vcpu_page *page = e->setup.page;

	page->rip = e->branch ? e->target : page->rip + e->insn->length;
	if (code_bits(page) != 64)
		page->rip &= 0xffffffff;
	/* SDM 3B 17.3.1.1; APM 2 13.1.3.1 */
	page->rflags &= ~RFLAGS_RF;
	e->hint = false;
}

/* tf: RFLAGS.TF as it was before. */
static void complete(struct emulate *e, bool tf)
{
	struct luv_vcpu_page *page = e->setup.page;

	if (!e->again)
		step_rip(e);
	page->dirty |= LUV_GROUP_GENERAL;
	if ((page->valid & LUV_GROUP_EVENTS) && page->events.shadow != e->shadow) {
		page->events.shadow = e->shadow;
		page->dirty |= LUV_GROUP_EVENTS;
	}
	e->step = tf;
	e->in_ready = false;
	e->reads = 0;
}

/* Makes the writes. False: one is the client's. */
static bool hand_out(struct emulate *e)
{
	if (!memory_drain(e))
		return false;
	if (!e->out_ready)
		return true;
	e->out_ready = false;
	if (e->setup.ops->port(e->setup.context, &e->io))
		return true;
	e->wait = EMULATE_WAIT_OUT;
	e->result = EMULATE_IO;
	return false;
}

/*
 * A string instruction goes on while it touches devices. What is RAM alone the CPU does faster,
 * and the guest's single steps and now and then its interrupts come between elements.
 */
static bool finished(struct emulate *e)
{
	e->elements++;
	return !e->again || e->step || !e->touched || e->elements >= EMULATE_REP_MAX;
}

/* --- executing --- */

/* The instruction, or one element of it. */
static bool execute(struct emulate *e)
{
	bool tf = e->setup.page->rflags & RFLAGS_TF;

	for (unsigned i = 0; i < LOCKED_TRIES; i++) {
		e->again = false;
		e->touched = false;
		e->retry = false;
		e->branch = false;
		e->shadow = false;
		e->replayed = 0;
		e->queued = 0;
		if (e->insn->execute(e)) {
			complete(e, tf);
			memory_commit(e);
			return true;
		}
		if (!e->retry)
			break;
	}
	return false;
}

/* Nothing has changed, but for elements that are complete. */
static enum emulate_result stop(struct emulate *e)
{
	struct luv_vcpu_page *page = e->setup.page;

	if (e->result == EMULATE_UNKNOWN && current_privilege(page) > 0)
		fail_fault(e, VECTOR_UD);
	if (e->result == EMULATE_FAULT) {
		/* In the image that a fault pushes: SDM 3B 17.3.1.1. */
		page->rflags |= RFLAGS_RF;
		page->dirty |= LUV_GROUP_GENERAL;
	}
	if (!emulate_waits(e))
		emulate_cancel(e);
	return e->result;
}

static enum emulate_result go_on(struct emulate *e)
{
	for (;;) {
		if (!execute(e))
			return stop(e);
		if (!hand_out(e))
			return e->result;
		if (finished(e))
			return EMULATE_DONE;
	}
}

enum emulate_result emulate_mmio(struct emulate *e)
{
	const struct luv_exit_record *exit = &e->setup.page->exit;

	begin(e);
	if (!emulate_decode(e, exit->mmio.bytes, (unsigned)exit->mmio.byte_count))
		return stop(e);
	e->hint = true;
	e->hint_gpa = exit->mmio.gpa;
	e->hint_write = exit->mmio.write;
	return go_on(e);
}

/* The length where the CPU does not say it. False: RIP is no longer on INS or OUTS. */
static bool string_length(struct emulate *e, uint8_t *length)
{
	static const uint8_t nothing[16];

	*length = (uint8_t)e->setup.page->exit.instruction_length;
	if (*length)
		return true;
	if (!emulate_decode(e, nothing, 0))
		return false;
	*length = e->insn->length;
	return e->insn->execute == execute_by_cpu || fail_again(e);
}

enum emulate_result emulate_string_io(struct emulate *e)
{
	const struct luv_exit_record *exit = &e->setup.page->exit;
	bool in = exit->io.flags & LUV_IO_IN;
	uint8_t length;

	begin(e);
	if (!string_length(e, &length))
		return stop(e);
	e->own = (struct emulate_insn){
	    .length = length,
	    .flags = exit->io.flags & LUV_IO_REP ? EMULATE_REP : 0,
	    .operand_size = (uint8_t)exit->io.size,
	    .address_size = (uint8_t)(exit->io.address_bits / 8),
	    .segment = (uint8_t)exit->io.segment,
	    .execute = in ? execute_in_string : execute_out_string,
	};
	e->io.port = (uint16_t)exit->io.port;
	e->io.size = (uint8_t)exit->io.size;
	e->insn = &e->own;
	return go_on(e);
}

enum emulate_result emulate_resume(struct emulate *e)
{
	enum emulate_wait wait = e->wait;

	e->wait = EMULATE_WAIT_NOTHING;
	if (wait == EMULATE_WAIT_NOTHING)
		return EMULATE_DONE;
	memory_forget(e);
	if (wait == EMULATE_WAIT_WRITE || wait == EMULATE_WAIT_OUT) {
		if (!hand_out(e))
			return e->result;
		return finished(e) ? EMULATE_DONE : go_on(e);
	}
	if (e->setup.page->rip != e->rip) {
		emulate_cancel(e);
		return EMULATE_DONE;
	}
	if (wait == EMULATE_WAIT_READ)
		e->read[e->reads++] = e->access;
	else
		e->in_ready = true;
	return go_on(e);
}
