/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/printf.h"

#include "lib/string.h"

#define NUMBER_MAX 9999

struct sink {
	char *to;
	size_t size;
	size_t length; /* wanted so far */
};

enum length_modifier { LENGTH_INT, LENGTH_CHAR, LENGTH_SHORT, LENGTH_LONG };

struct spec {
	bool left, zero, alternate, plus;
	bool has_precision;
	int width;
	int precision;
	enum length_modifier length;
};

static void put(struct sink *sink, char c)
{
	if (sink->length < sink->size)
		sink->to[sink->length] = c;
	sink->length++;
}

static void put_many(struct sink *sink, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put(sink, s[i]);
}

static void pad(struct sink *sink, char c, int n)
{
	for (; n > 0; n--)
		put(sink, c);
}

static void put_text(struct sink *sink, const struct spec *spec, const char *s, int length)
{
	if (!spec->left)
		pad(sink, ' ', spec->width - length);
	put_many(sink, s, length);
	if (spec->left)
		pad(sink, ' ', spec->width - length);
}

static void put_number(struct sink *sink, const struct spec *spec, const char *prefix,
		       u64 value, u32 base, const char *digit_set)
{
	char digits[20]; /* 2^64 has 20 */
	int count = 0, zeros = 0, prefix_length = strlen(prefix), length;

	for (; value; value /= base)
		digits[sizeof(digits) - ++count] = digit_set[value % base];
	if (spec->has_precision)
		zeros = spec->precision - count;
	else if (spec->zero && !spec->left)
		zeros = spec->width - prefix_length - count;
	if (!count && !spec->has_precision && zeros < 1)
		zeros = 1;
	if (zeros < 0)
		zeros = 0;

	length = prefix_length + zeros + count;
	if (!spec->left)
		pad(sink, ' ', spec->width - length);
	put_many(sink, prefix, prefix_length);
	pad(sink, '0', zeros);
	put_many(sink, digits + sizeof(digits) - count, count);
	if (spec->left)
		pad(sink, ' ', spec->width - length);
}

static u64 take_unsigned(const struct spec *spec, va_list *args)
{
	switch (spec->length) {
	case LENGTH_CHAR:
		return (u8)va_arg(*args, unsigned int);
	case LENGTH_SHORT:
		return (u16)va_arg(*args, unsigned int);
	case LENGTH_LONG:
		return va_arg(*args, u64);
	default:
		return va_arg(*args, unsigned int);
	}
}

static s64 take_signed(const struct spec *spec, va_list *args)
{
	switch (spec->length) {
	case LENGTH_CHAR:
		return (signed char)va_arg(*args, int);
	case LENGTH_SHORT:
		return (short)va_arg(*args, int);
	case LENGTH_LONG:
		return va_arg(*args, s64);
	default:
		return va_arg(*args, int);
	}
}

static void put_signed(struct sink *sink, const struct spec *spec, s64 value)
{
	const char *sign = value < 0 ? "-" : spec->plus ? "+" : "";

	put_number(sink, spec, sign, value < 0 ? -(u64)value : (u64)value, 10, "0123456789");
}

static void put_string(struct sink *sink, const struct spec *spec, const char *s)
{
	if (!s)
		s = "(null)";
	put_text(sink, spec, s, strnlen(s, spec->has_precision ? spec->precision : INT32_MAX));
}

/* False for a conversion that is none; nothing is written then. */
static bool convert(struct sink *sink, const struct spec *spec, char conversion, va_list *args)
{
	u64 value;
	char c;

	switch (conversion) {
	case 'd':
	case 'i':
		put_signed(sink, spec, take_signed(spec, args));
		return true;
	case 'u':
		put_number(sink, spec, "", take_unsigned(spec, args), 10, "0123456789");
		return true;
	case 'x':
		value = take_unsigned(spec, args);
		put_number(sink, spec, spec->alternate && value ? "0x" : "", value, 16,
			   "0123456789abcdef");
		return true;
	case 'X':
		value = take_unsigned(spec, args);
		put_number(sink, spec, spec->alternate && value ? "0X" : "", value, 16,
			   "0123456789ABCDEF");
		return true;
	case 'p':
		put_number(sink, spec, "0x", (uintptr_t)va_arg(*args, void *), 16,
			   "0123456789abcdef");
		return true;
	case 's':
		put_string(sink, spec, va_arg(*args, const char *));
		return true;
	case 'c':
		c = va_arg(*args, int);
		put_text(sink, spec, &c, 1);
		return true;
	case '%':
		put(sink, '%');
		return true;
	default:
		return false;
	}
}

static int parse_number(const char **format)
{
	int n = 0;

	for (; **format >= '0' && **format <= '9'; ++*format)
		n = min_u64(n * 10 + (**format - '0'), NUMBER_MAX);
	return n;
}

static int clamp_argument(s64 n)
{
	return n < -NUMBER_MAX ? -NUMBER_MAX : n > NUMBER_MAX ? NUMBER_MAX : n;
}

static bool parse_flag(struct spec *spec, char c)
{
	switch (c) {
	case '-':
		return spec->left = true;
	case '0':
		return spec->zero = true;
	case '#':
		return spec->alternate = true;
	case '+':
		return spec->plus = true;
	default:
		return false;
	}
}

static void parse_width(struct spec *spec, const char **format, va_list *args)
{
	if (**format != '*') {
		spec->width = parse_number(format);
		return;
	}
	++*format;
	spec->width = clamp_argument(va_arg(*args, int));
	if (spec->width < 0) {
		spec->left = true;
		spec->width = -spec->width;
	}
}

static void parse_precision(struct spec *spec, const char **format, va_list *args)
{
	if (**format != '.')
		return;
	++*format;
	if (**format != '*') {
		spec->precision = parse_number(format);
		spec->has_precision = true;
		return;
	}
	++*format;
	spec->precision = clamp_argument(va_arg(*args, int));
	spec->has_precision = spec->precision >= 0;
}

static void parse_length(struct spec *spec, const char **format)
{
	const char *s = *format;

	if (s[0] == 'h') {
		spec->length = s[1] == 'h' ? LENGTH_CHAR : LENGTH_SHORT;
		*format += s[1] == 'h' ? 2 : 1;
	} else if (s[0] == 'l') {
		spec->length = LENGTH_LONG;
		*format += s[1] == 'l' ? 2 : 1;
	} else if (s[0] == 'z') {
		spec->length = LENGTH_LONG;
		*format += 1;
	}
}

/* format stands behind the '%'; returns where the text goes on. */
static const char *put_conversion(struct sink *sink, const char *format, va_list *args)
{
	struct spec spec = {0};
	const char *start = format - 1;

	while (parse_flag(&spec, *format))
		format++;
	parse_width(&spec, &format, args);
	parse_precision(&spec, &format, args);
	parse_length(&spec, &format);
	if (*format && convert(sink, &spec, *format, args))
		return format + 1;
	if (*format)
		format++;
	put_many(sink, start, format - start);
	return format;
}

int hv_vsnprintf(char *to, size_t size, const char *format, va_list args)
{
	struct sink sink = {.to = to, .size = size};
	va_list left;

	va_copy(left, args);
	while (*format) {
		char c = *format++;

		if (c == '%')
			format = put_conversion(&sink, format, &left);
		else
			put(&sink, c);
	}
	va_end(left);
	if (size > 0)
		to[min_u64(sink.length, size - 1)] = '\0';
	return sink.length;
}

int hv_snprintf(char *to, size_t size, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = hv_vsnprintf(to, size, format, args);
	va_end(args);
	return length;
}
