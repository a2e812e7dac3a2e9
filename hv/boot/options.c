/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/options.h"

#include "lib/printf.h"
#include "lib/string.h"

#define BAUD_MAX     115200
#define UART_PORTS   8
#define SENTENCE_MAX 256
#define QUOTE_MAX    60 /* characters of an option that a sentence repeats */

/* A piece of the line; not terminated. */
struct text {
	const char *at;
	size_t length;
};

struct parser {
	struct options *options;
	bool console_given; /* the default has been replaced */
};

struct option {
	const char *name;
	bool (*set)(struct parser *parser, struct text value); /* NULL: the value is one of `words` */
	const char *accepts;
	size_t at; /* in struct options: the enumeration whose values the words are, in their order */
	const char *words[3];
};

static bool is(struct text text, const char *word)
{
	return text.length == strlen(word) && memcmp(text.at, word, text.length) == 0;
}

static bool take_prefix(struct text *text, const char *prefix)
{
	size_t length = strlen(prefix);

	if (text->length < length || memcmp(text->at, prefix, length) != 0)
		return false;
	text->at += length;
	text->length -= length;
	return true;
}

/* Cuts what follows the first separator off into *rest; false when there is none. */
static bool split(struct text *text, char separator, struct text *rest)
{
	for (size_t i = 0; i < text->length; i++) {
		if (text->at[i] != separator)
			continue;
		*rest = (struct text){text->at + i + 1, text->length - i - 1};
		text->length = i;
		return true;
	}
	return false;
}

/* 16 for no digit. */
static u32 digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

static bool parse_digits(struct text text, u32 base, u64 max, u64 *value)
{
	u64 number = 0;

	for (size_t i = 0; i < text.length; i++) {
		u32 digit = digit_value(text.at[i]);

		if (digit >= base || digit > max || number > (max - digit) / base)
			return false;
		number = number * base + digit;
	}
	*value = number;
	return text.length > 0;
}

static bool parse_hex(struct text text, u64 max, u64 *value)
{
	return take_prefix(&text, "0x") && parse_digits(text, 16, max, value);
}

static bool parse_port(struct text text, u64 *port)
{
	static const struct {
		const char *name;
		u16 port;
	} known[] = {{"com1", 0x3f8}, {"com2", 0x2f8}, {"com3", 0x3e8}, {"com4", 0x2e8}};

	for (u32 i = 0; i < ARRAY_SIZE(known); i++) {
		if (is(text, known[i].name)) {
			*port = known[i].port;
			return true;
		}
	}
	return parse_hex(text, 0x10000 - UART_PORTS, port) && *port > 0;
}

static void replace_default_console(struct parser *parser)
{
	if (parser->console_given)
		return;
	parser->console_given = true;
	parser->options->console_vga = false;
	parser->options->com_count = 0;
}

/* A port named again gets the new speed. */
static bool set_com(struct parser *parser, u64 port, u64 baud)
{
	struct options *options = parser->options;
	u32 i = 0;

	replace_default_console(parser);
	while (i < options->com_count && options->com[i].port != port)
		i++;
	if (i == OPTION_COM_PORTS_MAX)
		return false;
	options->com[i].port = port;
	options->com[i].baud = baud;
	if (i == options->com_count)
		options->com_count++;
	return true;
}

static bool set_console(struct parser *parser, struct text value)
{
	struct text speed;
	u64 port, baud = BAUD_MAX;

	if (is(value, "none")) {
		parser->console_given = false;
		replace_default_console(parser);
		return true;
	}
	if (is(value, "vga")) {
		replace_default_console(parser);
		parser->options->console_vga = true;
		return true;
	}
	if (split(&value, ',', &speed) &&
	    (!parse_digits(speed, 10, BAUD_MAX, &baud) || baud == 0 || BAUD_MAX % baud != 0))
		return false;
	return parse_port(value, &port) && set_com(parser, port, baud);
}

static bool set_boot(struct parser *parser, struct text value)
{
	u64 drive, partition = 0;
	struct text number;

	if (split(&value, ',', &number) && (!parse_digits(number, 10, 4, &partition) || !partition))
		return false;
	if (take_prefix(&value, "hd")) {
		if (!parse_digits(value, 10, 0x7f, &drive))
			return false;
		drive += 0x80;
	} else if (!parse_hex(value, 0xff, &drive)) {
		return false;
	}
	parser->options->boot_drive_set = true;
	parser->options->boot_drive = drive;
	parser->options->boot_partition = partition;
	return true;
}

static bool set_cpus(struct parser *parser, struct text value)
{
	u64 cpus;

	if (!parse_digits(value, 10, UINT32_MAX, &cpus) || cpus == 0)
		return false;
	parser->options->cpus = cpus;
	return true;
}

static bool set_pool(struct parser *parser, struct text value)
{
	u64 unit = 1, number;

	if (value.length > 0) {
		switch (value.at[value.length - 1]) {
		case 'K':
			unit = KIB;
			break;
		case 'M':
			unit = MIB;
			break;
		case 'G':
			unit = GIB;
			break;
		}
		value.length -= unit > 1;
	}
	if (!parse_digits(value, 10, UINT64_MAX / unit, &number) || number == 0)
		return false;
	parser->options->pool = number * unit;
	return true;
}

static bool set_next(struct parser *parser, struct text value)
{
	char *next = parser->options->next;

	if (value.length >= OPTION_NEXT_MAX ||
	    (!is(value, "firmware") && (value.length < 2 || value.at[0] != '\\')))
		return false;
	memcpy(next, value.at, value.length);
	next[value.length] = '\0';
	return true;
}

#define WORDS(name, field, accepts, ...)                                                            \
	{name, NULL, accepts, offsetof(struct options, field), {__VA_ARGS__}}

static const struct option table[] = {
    {"console", set_console,
     "vga, none, com1 to com4 or a port like 0x3f8, these with a speed like ,115200 "
     "(at most 2 ports)", 0, {NULL}},
    {"boot", set_boot, "a BIOS drive like 0x80, or hd0 to hd127, with a partition like ,1", 0, {NULL}},
    {"cpus", set_cpus, "a number from 1", 0, {NULL}},
    {"pool", set_pool, "a size like 64M (K, M, G)", 0, {NULL}},
    {"next", set_next, "firmware or a path like \\EFI\\debian\\shimx64.efi", 0, {NULL}},
    WORDS("apic", apic, "auto, trap or direct", "auto", "trap", "direct"),
    WORDS("crash", crash, "reboot or halt", "reboot", "halt"),
    WORDS("key", key, "acpi, port or none", "acpi", "port", "none"),
    WORDS("log", log, "first, all or quiet", "first", "all", "quiet"),
    WORDS("mitigations", mitigations, "auto, all or off", "auto", "all", "off"),
    WORDS("debug", debug, "none or crash", "none", "crash"),
};
_Static_assert(OPTION_COM_PORTS_MAX == 2, "the sentence says so");

static bool set_word(struct options *options, const struct option *option, struct text value)
{
	for (u32 i = 0; i < ARRAY_SIZE(option->words) && option->words[i]; i++) {
		if (!is(value, option->words[i]))
			continue;
		memcpy((u8 *)options + option->at, &i, sizeof(i));
		return true;
	}
	return false;
}

static const struct option *find_option(struct text name)
{
	for (u32 i = 0; i < ARRAY_SIZE(table); i++) {
		if (is(name, table[i].name))
			return &table[i];
	}
	return NULL;
}

/* False, and why in sentence, when the word is not understood. */
static bool apply(struct parser *parser, struct text word, char *sentence)
{
	struct text name = word, value = {"", 0};
	int quoted = min_u64(word.length, QUOTE_MAX);
	const struct option *option;

	split(&name, '=', &value);
	option = find_option(name);
	if (!option)
		hv_snprintf(
		    sentence, SENTENCE_MAX,
		    "Option '%.*s' is ignored: the options are console, boot, cpus, pool, "
		    "apic, crash, key, log, mitigations, next and debug.",
		    quoted, word.at);
	else if (!(option->set ? option->set(parser, value) : set_word(parser->options, option, value)))
		hv_snprintf(sentence, SENTENCE_MAX, "Option '%.*s' is ignored: %s takes %s.",
			    quoted, word.at, option->name, option->accepts);
	else
		return true;
	return false;
}

static struct text next_word(const char **line)
{
	struct text word;

	while (**line == ' ')
		++*line;
	word = (struct text){*line, 0};
	while (**line && **line != ' ') {
		++*line;
		word.length++;
	}
	return word;
}

void options_parse(const char *line, struct options *options,
		   void (*complain)(void *context, const char *sentence), void *context)
{
	struct parser parser = {.options = options};
	struct text word;

	*options = (struct options){
	    .console_vga = true,
	    .com_count = 1,
	    .com = {{0x3f8, BAUD_MAX}},
	};
	while ((word = next_word(&line)).length > 0) {
		char sentence[SENTENCE_MAX];

		if (!apply(&parser, word, sentence) && complain)
			complain(context, sentence);
	}
}
