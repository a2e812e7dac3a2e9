/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/device/pic.h"

#define BIT(n)	    (1u << (n))

#define MASTER_PORT 0x20u
#define SLAVE_PORT  0xa0u
#define ELCR_PORT   0x4d0u
#define MASTER_ELCR 0xf8u /* lines 0, 1, 2 are edges for ever */
#define SLAVE_ELCR  0xdeu /* 8, 13 */
#define SPURIOUS    7u

/* ICW1, OCW2, OCW3: the same address (data sheet, figures 7 and 8). */
#define ICW1	       BIT(4)
#define ICW1_ICW4      BIT(0)
#define ICW4_AEOI      BIT(1)
#define ICW4_SFNM      BIT(4)
#define OCW3	       BIT(3)
#define OCW3_READ_ISR  BIT(0)
#define OCW3_READ      BIT(1)
#define OCW3_POLL      BIT(2)
#define OCW3_SMM       BIT(5)
#define OCW3_SET_SMM   BIT(6)
#define OCW2_ROTATE    BIT(7)
#define OCW2_SPECIFIC  BIT(6)
#define OCW2_EOI       BIT(5)
#define POLL_REQUESTED BIT(7)

/* init_state: the word that is expected. */
enum { OPERATION, EXPECT_ICW2, EXPECT_ICW3, EXPECT_ICW4 };

/* --- priorities --- */

/* The line of the highest priority in the mask, which is not 0: priority_add has the first. */
static unsigned first_of(const struct kvm_pic_state *s, uint8_t mask)
{
	unsigned line = s->priority_add;

	while (!(mask & BIT(line)))
		line = (line + 1) & 7;
	return line;
}

/* 0 is the highest; 8: nothing in the mask. */
static unsigned priority_of(const struct kvm_pic_state *s, uint8_t mask)
{
	return mask ? (first_of(s, mask) - s->priority_add) & 7 : 8;
}

/* What holds back requests of lower or equal priority. */
static uint8_t blocking(const struct kvm_pic_state *s, bool master)
{
	uint8_t in_service = s->isr;

	/* Special mask mode: what is masked no longer counts as in service. */
	if (s->special_mask)
		in_service &= (uint8_t)~s->imr;
	/* Special fully nested: the slave may interrupt itself. */
	if (master && s->special_fully_nested_mode)
		in_service &= (uint8_t)~BIT(PIC_CASCADE);
	return in_service;
}

/* The line that this chip asks for, or -1. */
static int requested(const struct kvm_pic_state *s, bool master)
{
	uint8_t wanted = s->irr & (uint8_t)~s->imr;

	if (s->init_state != OPERATION ||
	    priority_of(s, wanted) >= priority_of(s, blocking(s, master)))
		return -1;
	return (int)first_of(s, wanted);
}

static bool is_master(const struct pic *pic, const struct kvm_pic_state *s)
{
	return s == &pic->chip[0];
}

/* The slave's output is a level on the master's line, whatever that line's own mode. */
static void update_cascade(struct pic *pic)
{
	struct kvm_pic_state *master = &pic->chip[0];

	if (requested(&pic->chip[1], false) >= 0) {
		master->irr |= BIT(PIC_CASCADE);
		master->last_irr |= BIT(PIC_CASCADE);
	} else {
		master->irr &= (uint8_t)~BIT(PIC_CASCADE);
		master->last_irr &= (uint8_t)~BIT(PIC_CASCADE);
	}
}

bool pic_output(const struct pic *pic)
{
	return requested(&pic->chip[0], true) >= 0;
}

/* --- lines --- */

static void complete(struct pic *pic, struct kvm_pic_state *s, uint8_t lines)
{
	s->isr &= (uint8_t)~lines;
	pic->completed |= (uint16_t)(is_master(pic, s) ? lines : lines << 8);
}

int pic_set_line(struct pic *pic, unsigned line, bool level)
{
	struct kvm_pic_state *s = &pic->chip[line >> 3 & 1];
	uint8_t bit = (uint8_t)BIT(line & 7);
	bool rises = level && !(s->last_irr & bit), waits = s->irr & bit;

	if (line == PIC_CASCADE)
		return -1;
	if (level && (rises || s->elcr & bit))
		s->irr |= bit;
	if (!level && s->elcr & bit)
		s->irr &= (uint8_t)~bit;
	s->last_irr = level ? s->last_irr | bit : s->last_irr & (uint8_t)~bit;
	update_cascade(pic);
	if (s->imr & bit)
		return -1;
	return rises && !(s->elcr & bit) ? !waits : 1;
}

static void acknowledge_line(struct pic *pic, struct kvm_pic_state *s, unsigned line)
{
	s->isr |= (uint8_t)BIT(line);
	if (!(s->elcr & BIT(line)))
		s->irr &= (uint8_t)~BIT(line);
	if (!s->auto_eoi)
		return;
	if (s->rotate_on_auto_eoi)
		s->priority_add = (line + 1) & 7;
	complete(pic, s, (uint8_t)BIT(line));
}

uint8_t pic_acknowledge(struct pic *pic)
{
	struct kvm_pic_state *master = &pic->chip[0], *slave = &pic->chip[1];
	int line = requested(master, true), slave_line;
	uint8_t vector = (uint8_t)(master->irq_base + (line < 0 ? SPURIOUS : (unsigned)line));

	if (line >= 0)
		acknowledge_line(pic, master, (unsigned)line);
	if (line == (int)PIC_CASCADE) {
		slave_line = requested(slave, false);
		vector = (uint8_t)(slave->irq_base +
				   (slave_line < 0 ? SPURIOUS : (unsigned)slave_line));
		if (slave_line >= 0)
			acknowledge_line(pic, slave, (unsigned)slave_line);
	}
	update_cascade(pic);
	return vector;
}

/* --- command words --- */

/* ICW1 (data sheet, "Initialization Command Words 1 and 2"). A line must fall before it counts
 * as an edge again. */
static void initialize(struct pic *pic, struct kvm_pic_state *s, uint8_t icw1)
{
	complete(pic, s, s->isr);
	s->irr = s->last_irr & s->elcr;
	s->imr = 0;
	s->priority_add = 0;
	s->special_mask = 0;
	s->read_reg_select = 0;
	s->poll = 0;
	s->init4 = icw1 & ICW1_ICW4;
	if (!s->init4)
		s->special_fully_nested_mode = s->auto_eoi = 0;
	s->rotate_on_auto_eoi = 0;
	s->init_state = EXPECT_ICW2;
}

/* An EOI that names no line ends the service of the highest; in special mask mode masked ones
 * are left alone. */
static void end_of_interrupt(struct pic *pic, struct kvm_pic_state *s, uint8_t ocw2)
{
	uint8_t candidates = s->special_mask ? s->isr & (uint8_t)~s->imr : s->isr;
	unsigned line = ocw2 & 7;

	if (!(ocw2 & OCW2_SPECIFIC)) {
		if (!candidates)
			return;
		line = first_of(s, candidates);
	}
	complete(pic, s, s->isr & (uint8_t)BIT(line));
	if (ocw2 & OCW2_ROTATE)
		s->priority_add = (line + 1) & 7;
}

static void write_ocw2(struct pic *pic, struct kvm_pic_state *s, uint8_t value)
{
	if (value & OCW2_EOI)
		end_of_interrupt(pic, s, value);
	else if ((value & (OCW2_ROTATE | OCW2_SPECIFIC)) == (OCW2_ROTATE | OCW2_SPECIFIC))
		s->priority_add = (value + 1) & 7;
	else if (!(value & OCW2_SPECIFIC))
		s->rotate_on_auto_eoi = !!(value & OCW2_ROTATE);
}

static void write_ocw3(struct kvm_pic_state *s, uint8_t value)
{
	if (value & OCW3_POLL)
		s->poll = 1;
	else if (value & OCW3_READ)
		s->read_reg_select = value & OCW3_READ_ISR;
	if (value & OCW3_SET_SMM)
		s->special_mask = !!(value & OCW3_SMM);
}

static void write_command(struct pic *pic, struct kvm_pic_state *s, uint8_t value)
{
	if (value & ICW1)
		initialize(pic, s, value);
	else if (value & OCW3)
		write_ocw3(s, value);
	else
		write_ocw2(pic, s, value);
}

static void write_mask(struct pic *pic, struct kvm_pic_state *s, uint8_t value)
{
	uint8_t opened = s->imr & (uint8_t)~value;

	pic->unmasked |= (uint16_t)(is_master(pic, s) ? opened : opened << 8);
	s->imr = value;
}

/* ICW3 says who is cascaded where, which is wired here. */
static void write_data(struct pic *pic, struct kvm_pic_state *s, uint8_t value)
{
	switch (s->init_state) {
	case EXPECT_ICW2:
		s->irq_base = value & 0xf8;
		s->init_state = EXPECT_ICW3;
		break;
	case EXPECT_ICW3:
		s->init_state = s->init4 ? EXPECT_ICW4 : OPERATION;
		break;
	case EXPECT_ICW4:
		s->special_fully_nested_mode = !!(value & ICW4_SFNM);
		s->auto_eoi = !!(value & ICW4_AEOI);
		s->init_state = OPERATION;
		break;
	default:
		write_mask(pic, s, value);
	}
}

/* A poll is an interrupt acknowledge of this chip alone. */
static uint8_t poll(struct pic *pic, struct kvm_pic_state *s)
{
	int line = requested(s, is_master(pic, s));

	s->poll = 0;
	if (line < 0)
		return SPURIOUS;
	acknowledge_line(pic, s, (unsigned)line);
	return (uint8_t)(POLL_REQUESTED | (unsigned)line);
}

static void write_elcr(struct kvm_pic_state *s, uint8_t value)
{
	s->elcr = value & s->elcr_mask;
	/* A line that is level-triggered is requested while it is high. */
	s->irr = (uint8_t)((s->irr & ~s->elcr) | (s->last_irr & s->elcr));
}

/* --- ports --- */

bool pic_has_port(uint16_t port)
{
	return (port & 0xff7e) == MASTER_PORT || (port & 0xfffe) == ELCR_PORT;
}

static struct kvm_pic_state *chip_at(struct pic *pic, uint16_t port)
{
	if ((port & 0xfffe) == ELCR_PORT)
		return &pic->chip[port & 1];
	return &pic->chip[port >= SLAVE_PORT];
}

uint8_t pic_read(struct pic *pic, uint16_t port)
{
	struct kvm_pic_state *s = chip_at(pic, port);
	uint8_t value;

	if ((port & 0xfffe) == ELCR_PORT)
		return s->elcr;
	if (s->poll) {
		value = poll(pic, s);
		update_cascade(pic);
		return value;
	}
	if (port & 1)
		return s->imr;
	return s->read_reg_select ? s->isr : s->irr;
}

void pic_write(struct pic *pic, uint16_t port, uint8_t value)
{
	struct kvm_pic_state *s = chip_at(pic, port);

	if ((port & 0xfffe) == ELCR_PORT)
		write_elcr(s, value);
	else if (port & 1)
		write_data(pic, s, value);
	else
		write_command(pic, s, value);
	update_cascade(pic);
}

/* --- state --- */

void pic_reset(struct pic *pic)
{
	*pic = (struct pic){.chip = {{.elcr_mask = MASTER_ELCR}, {.elcr_mask = SLAVE_ELCR}}};
}

void pic_set_state(struct pic *pic, unsigned chip, const struct kvm_pic_state *state)
{
	struct kvm_pic_state *s = &pic->chip[chip & 1];

	*s = *state;
	s->priority_add &= 7;
	s->irq_base &= 0xf8;
	s->read_reg_select &= 1;
	s->poll &= 1;
	s->special_mask &= 1;
	s->init_state &= 3;
	s->auto_eoi &= 1;
	s->rotate_on_auto_eoi &= 1;
	s->special_fully_nested_mode &= 1;
	s->init4 &= 1;
	s->elcr_mask = chip ? SLAVE_ELCR : MASTER_ELCR;
	s->elcr &= s->elcr_mask;
	update_cascade(pic);
}
