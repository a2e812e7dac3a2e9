/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/uefi/app/app.h"

#include "lib/string.h"

#define FILE_MAX 4096
#define PATH_MAX 256
#define CONF	 "luvalley.conf"

/* Appends words: comments (from # to the end of a line) and line ends become blanks. */
static void append_lines(char *line, size_t size, const char *text, size_t length)
{
	size_t used = strlen(line);
	bool comment = false;

	for (size_t i = 0; i < length && used < size - 1; i++) {
		if (text[i] == '\n')
			comment = false;
		else if (text[i] == '#')
			comment = true;
		line[used++] = comment || text[i] <= ' ' || text[i] > '~' ? ' ' : text[i];
	}
	line[used] = '\0';
}

static void read_conf(const struct efi_loaded_image *image, char *line, size_t size)
{
	char path[PATH_MAX], text[FILE_MAX];
	struct efi_file *volume = open_volume(image), *file;
	u64 length = sizeof(text);
	size_t end;

	if (!volume)
		return;
	own_path(image, path, sizeof(path) - sizeof(CONF));
	for (end = strlen(path); end > 0 && path[end - 1] != '\\' && path[end - 1] != '/'; end--)
		;
	str_copy(path + end, CONF, sizeof(path) - end);
	file = open_file(volume, path);
	if (file && !(file->read(file, &length, text) & EFI_ERROR))
		append_lines(line, size, text, length);
	if (file)
		file->close(file);
	volume->close(volume);
}

/* Firmware's own boot entries may hold anything there: only text counts. */
static bool is_text(const efi_char *options, size_t length)
{
	for (size_t i = 0; i < length && options[i]; i++) {
		if (options[i] < ' ' || options[i] > '~')
			return false;
	}
	return true;
}

/* A shell passes the program's name as the first word. Options have a =. */
static size_t skip_name(const efi_char *options, size_t length)
{
	size_t end = 0;

	for (; end < length && options[end] && options[end] != ' '; end++) {
		if (options[end] == '=')
			return 0;
	}
	if (end >= 4 && options[end - 4] == '.' && (options[end - 3] | 0x20) == 'e' &&
	    (options[end - 2] | 0x20) == 'f' && (options[end - 1] | 0x20) == 'i')
		return end;
	return 0;
}

void read_cmdline(const struct efi_loaded_image *image, char *line, size_t size)
{
	const efi_char *options = image->load_options;
	size_t length = image->load_options_size / sizeof(*options), used;

	line[0] = '\0';
	read_conf(image, line, size);
	used = strlen(line);
	if (!options || !is_text(options, length) || used + 2 > size)
		return;
	line[used++] = ' ';
	for (size_t i = skip_name(options, length); i < length && options[i] && used < size - 1; i++)
		line[used++] = (char)options[i];
	line[used] = '\0';
}
