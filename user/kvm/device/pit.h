/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An interval timer 8254 as a PC wires it (Intel 8254 data sheet; 82371AB (PIIX4) data sheet,
 * section 4.2.3), with port 61h. Pure.
 *
 * Channel 0's output is IRQ 0, its gate is always high. Channel 2's gate is bit 0 of port 61h.
 * `now` is a time in ns that never goes back. A new count starts at once, also where the 8254
 * finishes the present period first.
 */
#ifndef KVM_DEVICE_PIT_H
#define KVM_DEVICE_PIT_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#define PIT_CHANNELS 3u
#define PIT_HZ	     1193182u

/* A guest cannot have interrupts at shorter periods (ns); KVM's limit. */
#define PIT_PERIOD_MIN	 200000u

#define PIT_UNPROGRAMMED 0xffu

struct pit_channel {
	uint32_t count;	 /* in use: 1 to 65536, or to 10000 in BCD */
	uint32_t reload; /* modes 1, 5: what the next trigger loads */
	uint64_t start;	 /* when the count was loaded or the gate rose */
	uint64_t held;	 /* clocks counted when the gate stopped it */
	bool loaded; /* the counter has a count: it does not between control word and count */
	bool triggered; /* modes 1, 5: the gate has risen */
	bool gate;
	bool bcd;
	uint8_t mode;		    /* 0 to 5, or PIT_UNPROGRAMMED */
	uint8_t access;		    /* 1 low byte, 2 high byte, 3 both */
	bool read_high, write_high; /* the second byte is next */
	uint8_t write_low;
	uint16_t latched;
	uint8_t latched_bytes; /* as `access`: what is left to read; 0: not latched */
	bool status_latched;
	uint8_t status;
};

struct pit {
	struct pit_channel channel[PIT_CHANNELS];
	bool speaker_data;
	bool hpet_legacy; /* channel 0 interrupts nobody: the HPET does */
	uint64_t edges;	  /* of channel 0, since its count was loaded */
};

void pit_reset(struct pit *pit, uint64_t now);

/* Ports 40h to 43h. */
uint8_t pit_read(struct pit *pit, uint16_t port, uint64_t now);
void pit_write(struct pit *pit, uint16_t port, uint8_t value, uint64_t now);

/* Port 61h: the gate and output of channel 2, the speaker, the refresh toggle. */
uint8_t pit_speaker_read(const struct pit *pit, uint64_t now);
void pit_speaker_write(struct pit *pit, uint8_t value, uint64_t now);

/* When IRQ 0 rises next; 0: never. It changes by pit_write, pit_set_state and pit_expire. */
uint64_t pit_deadline(const struct pit *pit);

/* How often IRQ 0 has risen until now, since the last time. */
uint64_t pit_expire(struct pit *pit, uint64_t now);

void pit_get_state(const struct pit *pit, struct kvm_pit_state2 *state, uint64_t now);

/* All counts begin anew. What cannot be is made sane. */
void pit_set_state(struct pit *pit, const struct kvm_pit_state2 *state, uint64_t now);

#endif
