/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pair of interrupt controllers 8259A with the ELCR of EISA and PCI chipsets (Intel 8259A
 * data sheet; 82371AB (PIIX4) data sheet, section 4.2.4). Pure.
 *
 * Lines 0 to 7 are the master's, 8 to 15 the slave's, whose output is line 2. A level-triggered
 * line is requested while it is high; an edge is remembered. The state is KVM's structure,
 * where last_irr holds the lines as they are.
 */
#ifndef KVM_DEVICE_PIC_H
#define KVM_DEVICE_PIC_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#define PIC_LINES   16u
#define PIC_CASCADE 2u

struct pic {
	struct kvm_pic_state chip[2];
	/* What happened since the caller looked; bit n: line n. The caller clears them. */
	uint16_t completed; /* its service ended: EOI, or at once with automatic EOI */
	uint16_t unmasked;
};

void pic_reset(struct pic *pic);

/* INTR: there is an interrupt for the CPU. */
bool pic_output(const struct pic *pic);

/* Line 0 to 15. 1: a new request; 0: there is one already; -1: the line is masked. */
int pic_set_line(struct pic *pic, unsigned line, bool level);

/* Interrupt acknowledge: the vector. Without a request it is the spurious one, of line 7. */
uint8_t pic_acknowledge(struct pic *pic);

/* Is the port one of 20h, 21h, A0h, A1h, 4D0h, 4D1h? */
bool pic_has_port(uint16_t port);
uint8_t pic_read(struct pic *pic, uint16_t port);
void pic_write(struct pic *pic, uint16_t port, uint8_t value);

/* Takes over one chip, 0 or 1; what cannot be is made sane. */
void pic_set_state(struct pic *pic, unsigned chip, const struct kvm_pic_state *state);

#endif
