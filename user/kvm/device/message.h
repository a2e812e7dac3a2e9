/* SPDX-License-Identifier: BSD-2-Clause */
/* A message to the local APICs, as an I/O APIC or an MSI sends it. */
#ifndef KVM_DEVICE_MESSAGE_H
#define KVM_DEVICE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

enum message_delivery { /* the redirection entry's and the MSI's encoding */
			MESSAGE_FIXED = 0,
			MESSAGE_LOWEST = 1,
			MESSAGE_SMI = 2,
			MESSAGE_NMI = 4,
			MESSAGE_INIT = 5,
			MESSAGE_EXTINT = 7,
};

struct message {
	uint32_t destination; /* APIC ID, or a logical one; FFh, physical: everybody */
	uint8_t vector;
	uint8_t delivery; /* enum message_delivery, or 3 or 6, which mean nothing */
	bool logical;
	bool level;
	bool tell_eoi; /* the sender wants the EOI although the message is edge-triggered */
};

/* Who carries messages. Returns how many local APICs took it. */
struct message_bus {
	unsigned (*send)(void *context, const struct message *message);
	void *context;
};

#endif
