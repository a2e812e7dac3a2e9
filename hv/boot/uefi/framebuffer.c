/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/uefi/framebuffer.h"

#include "mem/host.h"

#define CELL_WIDTH  6u /* of the font, in its dots */
#define CELL_HEIGHT 9u
#define COLUMNS_MAX 160u
#define ROWS_MAX    80u
#define COLUMNS	    80u /* dots are as large as leaves room for so many */
#define TAB	    8u
#define WHITE	    0xffffffffu

/* font.c: for each character from ' ' to '~' five columns from the left, bit 0 at the top. */
extern const u8 framebuffer_font['~' - ' ' + 1][5];

static struct {
	volatile u32 *pixels;
	u32 width, height, pitch;
	u32 dot; /* pixels, each way */
	u32 columns, rows;
	u32 cursor;
	char text[COLUMNS_MAX * ROWS_MAX]; /* reading video memory back is slow */
} fb;

static bool is_set(char c, u32 x, u32 y)
{
	if (c <= ' ' || c > '~' || x >= 5)
		return false;
	return framebuffer_font[c - ' '][x] >> y & 1;
}

static void draw(u32 cell)
{
	u32 left = cell % fb.columns * CELL_WIDTH * fb.dot, top = cell / fb.columns * CELL_HEIGHT * fb.dot;

	for (u32 y = 0; y < CELL_HEIGHT * fb.dot; y++) {
		volatile u32 *line = fb.pixels + (u64)(top + y) * fb.pitch + left;

		for (u32 x = 0; x < CELL_WIDTH * fb.dot; x++)
			line[x] = is_set(fb.text[cell], x / fb.dot, y / fb.dot) ? WHITE : 0;
	}
}

static void set(u32 cell, char c)
{
	if (fb.text[cell] == c)
		return;
	fb.text[cell] = c;
	draw(cell);
}

static void clear(void)
{
	for (u64 y = 0; y < fb.height; y++) {
		for (u32 x = 0; x < fb.width; x++)
			fb.pixels[y * fb.pitch + x] = 0;
	}
	for (u32 i = 0; i < fb.columns * fb.rows; i++)
		fb.text[i] = ' ';
	fb.cursor = 0;
}

static void scroll(void)
{
	u32 cells = fb.columns * fb.rows;

	for (u32 i = 0; i < cells - fb.columns; i++)
		set(i, fb.text[i + fb.columns]);
	for (u32 i = cells - fb.columns; i < cells; i++)
		set(i, ' ');
}

/* As vga_put (cpu/console.c): the cursor is checked where it is used. */
static void put(char c)
{
	u32 cursor = fb.cursor, cells = fb.columns * fb.rows;

	if (cursor >= cells) {
		scroll();
		cursor = cells - fb.columns;
	}
	if (c == '\n')
		cursor += fb.columns - cursor % fb.columns;
	else if (c == '\t')
		cursor += TAB - cursor % TAB;
	else
		set(cursor++, c);
	fb.cursor = cursor;
}

const struct console_screen *framebuffer_open(const struct handoff_screen *screen)
{
	static const struct console_screen console = {clear, put};
	u64 bytes = (u64)screen->pitch * screen->height * sizeof(u32);

	if (!screen->base || screen->pitch < screen->width || bytes > screen->size)
		return NULL;
	fb.dot = (u32)max_u64(1, screen->width / (COLUMNS * CELL_WIDTH));
	fb.columns = (u32)min_u64(screen->width / (CELL_WIDTH * fb.dot), COLUMNS_MAX);
	fb.rows = (u32)min_u64(screen->height / (CELL_HEIGHT * fb.dot), ROWS_MAX);
	if (!fb.columns || !fb.rows)
		return NULL;
	fb.pixels = host_map_screen(hpa(screen->base), bytes);
	if (!fb.pixels)
		return NULL;
	fb.width = screen->width;
	fb.height = screen->height;
	fb.pitch = screen->pitch;
	return &console;
}
