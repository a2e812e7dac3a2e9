/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu/console.h"

#include "cpu/x86.h"

#define VGA_COLUMNS 80u
#define VGA_CELLS   (VGA_COLUMNS * 25)
#define VGA_BLANK   0x0720 /* a space, light grey on black */
#define VGA_TAB	    8u

/* PC16550D, register offsets. */
#define UART_DATA	   0
#define UART_IER	   1
#define UART_FCR	   2
#define UART_LCR	   3
#define UART_MCR	   4
#define UART_LSR	   5
#define UART_SCRATCH	   7
#define UART_DIVISOR_LOW   0 /* while LCR.DLAB is set */
#define UART_DIVISOR_HIGH  1
#define UART_FCR_ON	   0x07 /* FIFOs on and emptied */
#define UART_LCR_8N1	   0x03
#define UART_LCR_DLAB	   0x80
#define UART_MCR_READY	   0x03 /* DTR, RTS */
#define UART_LSR_THR_EMPTY 0x20
#define UART_CLOCK	   115200u

/* At about 1 us for a port read, 50 ms: a byte takes 33 ms at 300 baud. */
#define UART_POLLS   50000u
#define SERIAL_PORTS 2

#define DEBUG_PORT   0xe9

/*
 * hv_log writes under its lock, a crash without it, perhaps while another CPU is writing: so
 * the cursor is checked where it is used, not where it is changed.
 */
static struct {
	volatile u16 *memory;
	u16 shadow[VGA_CELLS]; /* reading video memory back is slow */
	u32 cursor;
	bool started;
} vga;

struct serial {
	u16 port;
	u16 divisor;
	bool stuck; /* has not taken a byte in time; left alone until a crash */
};

static const struct console_screen *screen;
static struct serial serial[SERIAL_PORTS];
static u32 serial_count;
static bool debug_port;
static bool released;

static void vga_set(u32 cell, u16 value)
{
	vga.shadow[cell] = value;
	vga.memory[cell] = value;
}

static void vga_clear(void)
{
	for (u32 i = 0; i < VGA_CELLS; i++)
		vga_set(i, VGA_BLANK);
	vga.cursor = 0;
}

static void vga_scroll(void)
{
	for (u32 i = 0; i < VGA_CELLS - VGA_COLUMNS; i++)
		vga_set(i, vga.shadow[i + VGA_COLUMNS]);
	for (u32 i = VGA_CELLS - VGA_COLUMNS; i < VGA_CELLS; i++)
		vga_set(i, VGA_BLANK);
}

static void vga_put(char c)
{
	u32 cursor = vga.cursor;

	/* The line feed behind the last line scrolls only when something follows it. */
	if (cursor >= VGA_CELLS) {
		vga_scroll();
		cursor = VGA_CELLS - VGA_COLUMNS;
	}
	if (c == '\n')
		cursor += VGA_COLUMNS - cursor % VGA_COLUMNS;
	else if (c == '\t')
		cursor += VGA_TAB - cursor % VGA_TAB;
	else
		vga_set(cursor++, (u16)((VGA_BLANK & 0xff00) | (u8)c));
	vga.cursor = cursor;
}

void console_use_vga(volatile u16 *text_memory)
{
	vga.memory = text_memory;
	if (!text_memory || vga.started)
		return;
	vga.started = true;
	vga_clear();
}

void console_use_screen(const struct console_screen *new_screen)
{
	screen = new_screen;
	screen->clear();
}

static void serial_program(struct serial *s)
{
	outb(s->port + UART_IER, 0);
	outb(s->port + UART_LCR, UART_LCR_DLAB | UART_LCR_8N1);
	outb(s->port + UART_DIVISOR_LOW, (u8)s->divisor);
	outb(s->port + UART_DIVISOR_HIGH, (u8)(s->divisor >> 8));
	outb(s->port + UART_LCR, UART_LCR_8N1);
	outb(s->port + UART_FCR, UART_FCR_ON);
	outb(s->port + UART_MCR, UART_MCR_READY);
	s->stuck = false;
}

static bool serial_present(u16 port)
{
	outb(port + UART_SCRATCH, 0x5a);
	if (inb(port + UART_SCRATCH) != 0x5a)
		return false;
	outb(port + UART_SCRATCH, 0xa5);
	return inb(port + UART_SCRATCH) == 0xa5;
}

void console_use_serial(u16 port, u32 baud)
{
	struct serial *s;

	if (serial_count == SERIAL_PORTS || baud == 0 || UART_CLOCK % baud ||
	    UART_CLOCK / baud > 0xffff)
		return;
	if (!serial_present(port))
		return;
	s = &serial[serial_count++];
	s->port = port;
	s->divisor = (u16)(UART_CLOCK / baud);
	serial_program(s);
}

static void serial_put(struct serial *s, char c)
{
	u32 polls = 0;

	while (!(inb(s->port + UART_LSR) & UART_LSR_THR_EMPTY)) {
		if (++polls == UART_POLLS) {
			s->stuck = true;
			return;
		}
		cpu_relax();
	}
	outb(s->port + UART_DATA, (u8)c);
}

static void serial_write(struct serial *s, const char *text, size_t length)
{
	for (size_t i = 0; i < length && !s->stuck; i++) {
		if (text[i] == '\n')
			serial_put(s, '\r');
		if (!s->stuck)
			serial_put(s, text[i]);
	}
}

void console_probe_debug_port(void)
{
	debug_port = inb(DEBUG_PORT) == DEBUG_PORT;
}

void console_write(const char *text, size_t length)
{
	if (debug_port)
		for (size_t i = 0; i < length; i++)
			outb(DEBUG_PORT, (u8)text[i]);
	if (released)
		return;
	if (vga.memory)
		for (size_t i = 0; i < length; i++)
			vga_put(text[i]);
	if (screen)
		for (size_t i = 0; i < length; i++)
			screen->put(text[i]);
	for (u32 i = 0; i < serial_count; i++)
		serial_write(&serial[i], text, length);
}

void console_release(void)
{
	released = true;
}

void console_reclaim(void)
{
	released = false;
	if (vga.memory)
		vga_clear();
	if (screen)
		screen->clear();
	for (u32 i = 0; i < serial_count; i++)
		serial_program(&serial[i]);
}
