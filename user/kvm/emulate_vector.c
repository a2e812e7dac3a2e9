/* SPDX-License-Identifier: BSD-2-Clause */
/* Moves between memory and XMM, YMM and MMX registers, which live in the XSAVE area. */
#include <string.h>

#include "kvm/emulate_families.h"
#include "kvm/emulate_memory.h"

/* The XSAVE area, standard format: SDM 1 13.4. */
#define AREA_FCW      0
#define AREA_FSW      2
#define AREA_FTW      4
#define AREA_ST	      32
#define AREA_XMM      160
#define AREA_IN_USE   512 /* XSTATE_BV */
#define AREA_YMM_HIGH 576

#define STATE_X87     (1ull << 0)
#define STATE_SSE     (1ull << 1)
#define STATE_AVX     (1ull << 2)
#define STATE_ZMM     (1ull << 6)

#define FSW_TOP	      (7u << 11)
#define FSW_ES	      (1u << 7)

static uint8_t *area_of(const struct emulate *e)
{
	return e->setup.xsave;
}

static uint64_t states_in_use(const struct emulate *e)
{
	uint64_t states;

	memcpy(&states, area_of(e) + AREA_IN_USE, sizeof(states));
	return states;
}

static uint16_t area_word(const struct emulate *e, unsigned offset)
{
	uint16_t word;

	memcpy(&word, area_of(e) + offset, sizeof(word));
	return word;
}

static void area_word_set(struct emulate *e, unsigned offset, uint16_t word)
{
	memcpy(area_of(e) + offset, &word, sizeof(word));
}

/* What is not in use has its initial values, whatever the area holds. Afterwards it is in use.
 */
static void use(struct emulate *e, uint64_t state)
{
	uint64_t states = states_in_use(e);

	e->setup.page->dirty |= LUV_GROUP_FPU;
	if (states & state)
		return;
	if (state == STATE_X87) {
		memset(area_of(e), 0, 24);
		memset(area_of(e) + AREA_ST, 0, AREA_XMM - AREA_ST);
		area_word_set(e, AREA_FCW, 0x37f);
	} else {
		memset(area_of(e) + (state == STATE_SSE ? AREA_XMM : AREA_YMM_HIGH), 0, 256);
	}
	states |= state;
	memcpy(area_of(e) + AREA_IN_USE, &states, sizeof(states));
}

/* SDM 2A 2.4 and 2B tables of #UD and #NM; APM 4 1.2. */
static bool available(struct emulate *e, bool mmx)
{
	const struct luv_vcpu_page *page = e->setup.page;
	bool missing;

	if (e->insn->flags & EMULATE_VEX)
		missing = !(page->cr4 & CR4_OSXSAVE) || (page->xcr0 & 6) != 6;
	else
		missing = (page->cr0 & CR0_EM) || (!mmx && !(page->cr4 & CR4_OSFXSR));
	if (missing)
		return fail_fault(e, VECTOR_UD);
	if (page->cr0 & CR0_TS)
		return fail_fault(e, VECTOR_NM);
	if (!(page->valid & LUV_GROUP_FPU) &&
	    !e->setup.ops->groups(e->setup.context, LUV_GROUP_FPU))
		return fail_unknown(e);
	if (mmx && (states_in_use(e) & STATE_X87) && (area_word(e, AREA_FSW) & FSW_ES))
		return fail_fault(e, VECTOR_MF);
	return true;
}

/* --- XMM and YMM --- */

static void vector_get(const struct emulate *e, unsigned reg, uint8_t value[32])
{
	uint64_t states = states_in_use(e);

	memset(value, 0, 32);
	if (states & STATE_SSE)
		memcpy(value, area_of(e) + AREA_XMM + 16 * reg, 16);
	if (states & STATE_AVX)
		memcpy(value + 16, area_of(e) + AREA_YMM_HIGH + 16 * reg, 16);
}

/* Legacy SSE keeps what is above bit 127, VEX clears what is above its operand. */
static void vector_set(struct emulate *e, unsigned reg, const uint8_t value[32])
{
	use(e, STATE_SSE);
	memcpy(area_of(e) + AREA_XMM + 16 * reg, value, 16);
	if (!(e->insn->flags & EMULATE_VEX))
		return;
	use(e, STATE_AVX);
	memcpy(area_of(e) + AREA_YMM_HIGH + 16 * reg, value + 16, 16);
	if (e->setup.zmm_offset && (states_in_use(e) & STATE_ZMM))
		memset(area_of(e) + e->setup.zmm_offset + 32 * reg, 0, 32);
}

static bool is_half(const struct emulate *e)
{
	return e->insn->operation == VECTOR_LOW_HALF || e->insn->operation == VECTOR_HIGH_HALF;
}

static unsigned part_at(const struct emulate *e)
{
	return e->insn->operation == VECTOR_HIGH_HALF ? 8 : 0;
}

static bool vector_store(struct emulate *e)
{
	const struct emulate_insn *insn = e->insn;
	uint8_t value[32];

	vector_get(e, insn->operand[1].reg, value);
	return memory_write(e, insn->segment, operand_offset(e), value + part_at(e),
			    insn->operand[0].size);
}

/* The operand in memory is the last one; a half keeps the other half of operand number - 1. */
static bool vector_load(struct emulate *e, unsigned number)
{
	const struct emulate_insn *insn = e->insn;
	uint8_t value[32] = {0};

	if (is_half(e)) {
		vector_get(e, insn->operand[number - 1].reg, value);
		memset(value + 16, 0, 16);
	}
	if (!memory_read(e, insn->segment, operand_offset(e), value + part_at(e),
			 insn->operand[number].size, 0))
		return false;
	vector_set(e, insn->operand[0].reg, value);
	return true;
}

/* --- MMX --- */

/*
 * An MMX instruction makes TOP 0 and all registers valid (SDM 1 9.6.2). The area has the x87
 * registers by their distance from TOP, so they move.
 */
static void mmx_enter(struct emulate *e)
{
	uint8_t old[8 * 16];
	unsigned top;

	use(e, STATE_X87);
	top = (area_word(e, AREA_FSW) & FSW_TOP) >> 11;
	memcpy(old, area_of(e) + AREA_ST, sizeof(old));
	for (unsigned i = 0; i < 8; i++)
		memcpy(area_of(e) + AREA_ST + 16 * i, old + 16 * ((i - top) & 7), 16);
	area_word_set(e, AREA_FSW, (uint16_t)(area_word(e, AREA_FSW) & ~FSW_TOP));
	area_of(e)[AREA_FTW] = 0xff;
}

static unsigned mmx_now(const struct emulate *e, unsigned reg)
{
	unsigned top = (area_word(e, AREA_FSW) & FSW_TOP) >> 11;

	return AREA_ST + 16 * ((reg - top) & 7);
}

static bool mmx_store(struct emulate *e)
{
	const struct emulate_insn *insn = e->insn;
	uint64_t value = 0;

	if (states_in_use(e) & STATE_X87)
		memcpy(&value, area_of(e) + mmx_now(e, insn->operand[1].reg), sizeof(value));
	if (!memory_write(e, insn->segment, operand_offset(e), &value, insn->operand[0].size))
		return false;
	mmx_enter(e);
	return true;
}

static bool mmx_load(struct emulate *e)
{
	const struct emulate_insn *insn = e->insn;
	uint8_t *at = area_of(e) + AREA_ST + 16 * insn->operand[0].reg;
	uint64_t value = 0;

	if (!memory_read(e, insn->segment, operand_offset(e), &value, insn->operand[1].size, 0))
		return false;
	mmx_enter(e);
	memcpy(at, &value, sizeof(value));
	at[8] = at[9] = 0xff;
	return true;
}

/* --- all --- */

bool execute_vector(struct emulate *e)
{
	const struct emulate_insn *insn = e->insn;
	const struct emulate_operand *operand = insn->operand;
	bool store = operand[0].kind == EMULATE_MEMORY;
	unsigned last = operand[2].kind == EMULATE_NONE ? 1 : 2;
	unsigned reg_kind = operand[store ? 1 : 0].kind;

	/* Without a memory operand it is for the CPU. */
	if (!store && operand[last].kind != EMULATE_MEMORY)
		return fail_again(e);
	if (!available(e, reg_kind == EMULATE_MMX))
		return false;
	if (insn->operation == VECTOR_ALIGNED &&
	    !memory_is_aligned(e, insn->segment, operand_offset(e),
			       operand[store ? 0 : last].size))
		return fail_fault_error(e, VECTOR_GP, 0);
	if (reg_kind == EMULATE_MMX)
		return store ? mmx_store(e) : mmx_load(e);
	return store ? vector_store(e) : vector_load(e, last);
}
