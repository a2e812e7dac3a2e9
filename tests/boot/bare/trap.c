/* SPDX-License-Identifier: BSD-2-Clause */
#include "bare.h"

#define COM1	  0x3f8
#define VECTOR_DB 1
#define SLP_EN	  0x2000 /* with SLP_TYP 0: off, in QEMU's and Bochs's firmware */

void *memset(void *to, int byte, __SIZE_TYPE__ size);
void *memcpy(void *to, const void *from, __SIZE_TYPE__ size);

/* What compilers call by themselves. */
void *memset(void *to, int byte, __SIZE_TYPE__ size)
{
	for (volatile uint8_t *at = to; size; size--)
		*at++ = (uint8_t)byte;
	return to;
}

void *memcpy(void *to, const void *from, __SIZE_TYPE__ size)
{
	const uint8_t *byte = from;

	for (volatile uint8_t *at = to; size; size--)
		*at++ = *byte++;
	return to;
}

void print_start(void)
{
	out8(COM1 + 3, 0x80);
	out8(COM1, 1); /* 115200 */
	out8(COM1 + 1, 0);
	out8(COM1 + 3, 3); /* 8 bits */
}

void print(const char *text)
{
	for (; *text; text++) {
		while (!(in8(COM1 + 5) & 0x20))
			;
		out8(COM1, (uint8_t)*text);
	}
}

void power_off(void)
{
	for (const char *at = "Shutdown"; *at; at++)
		out8(0x8900, (uint8_t)*at); /* Bochs */
	if (shared.pm1a_control)
		__asm__ volatile("outw %w0, %w1"
				 :
				 : "a"(SLP_EN), "d"((uint16_t)shared.pm1a_control));
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

/* Ticks behind the one that sets the stop byte count for nothing: RUN has ended. */
static void tick(const struct frame *frame)
{
	out8(0x20, 0x20); /* EOI */
	if (shared.stop_after && shared.stop_byte)
		return;
	if (!shared.ticks++)
		shared.first_ip = frame->ip;
	shared.tick_ip = frame->ip;
	shared.tick_ax = frame->ax;
	shared.tick_di = frame->di;
	if (shared.stop_after && shared.ticks >= shared.stop_after &&
	    *(volatile u32 *)(word)shared.watched)
		shared.stop_byte = 1;
}

static void bail_out(const struct frame *frame)
{
	static const char digits[] = "0123456789abcdef";
	char text[] = "Bail out! exception 00 at 00000000\n";

	text[20] = digits[frame->vector >> 4 & 15];
	text[21] = digits[frame->vector & 15];
	for (unsigned i = 0; i < 8; i++)
		text[26 + i] = digits[frame->ip >> (28 - 4 * i) & 15];
	print(text);
	power_off();
}

void trap(struct frame *frame)
{
	word cr3, dr6;

	if (frame->vector == VECTOR_TIMER) {
		tick(frame);
	} else if (frame->vector == VECTOR_FLUSH) {
		shared.trapped_ax = frame->ax;
		__asm__ volatile("mov %%cr3, %0\n\tmov %0, %%cr3" : "=r"(cr3) : : "memory");
	} else if (frame->vector < VECTOR_TIMER) {
		__asm__ volatile("mov %%dr6, %0\n\tmov %1, %%dr6" : "=&r"(dr6) : "r"((word)0));
		shared.vector = frame->vector;
		shared.ip = frame->ip;
		shared.dr6 = dr6;
		shared.exceptions++;
		if (frame->vector == VECTOR_DB)
			frame->flags &= ~(word)FLAG_TF;
		else if (shared.fixup)
			frame->ip = (word)shared.fixup;
		else
			bail_out(frame);
	}
}
