/* SPDX-License-Identifier: Apache-2.0 */
/* Text as Go makes it of values: what print does with each, printf's verbs and flags, the escapes of html, js and urlquery, upper and lower case. A
 * verb that does not fit its value is no error there but a remark in the text, "%!d(string=x)". Values are JSON: an integer is Go's int, a real its
 * float64. */
#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <wchar.h>
#include <wctype.h>

#include "compose/template_impl.h"

enum { MAX_WIDTH = 1000 };

/* ---- print ---- */

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **template_sorted_keys(const json_t *object)
{
	const char **keys = xcalloc(json_object_size(object), sizeof(*keys)), *key;
	size_t n = 0;
	json_t *ignored;
	json_object_foreach((json_t *)(uintptr_t)object, key, ignored)
		keys[n++] = key;
	if (n > 1)
		qsort(keys, n, sizeof(*keys), compare_keys);
	return keys;
}

/* The fewest digits that mean this number and no other; with an exponent from 10^6 on and below 10^-4, however many digits there are. */
static void print_real(double v, struct str *ret)
{
	char text[400];
	int digits = 0, exponent;
	do
		snprintf(text, sizeof(text), "%.*e", digits, v);
	while (strtod(text, NULL) != v && ++digits < 17);
	exponent = atoi(strchr(text, 'e') ? strchr(text, 'e') + 1 : "0");
	if (exponent >= -4 && exponent < 6)
		snprintf(text, sizeof(text), "%.*f", MAX(digits - exponent, 0), v);
	str_add(ret, text);
}

void template_print(const json_t *v, struct str *ret)
{
	if (!v) {
		str_add(ret, "<no value>");
	} else if (json_is_string(v)) {
		str_addn(ret, json_string_value(v), json_string_length(v));
	} else if (json_is_array(v)) {
		str_addc(ret, '[');
		for (size_t i = 0; i < json_array_size(v); i++) {
			str_add(ret, i ? " " : "");
			template_print(json_array_get(v, i), ret);
		}
		str_addc(ret, ']');
	} else if (json_is_object(v)) {
		const char **keys = template_sorted_keys(v);
		str_add(ret, "map[");
		for (size_t i = 0; i < json_object_size(v); i++) {
			str_addf(ret, "%s%s:", i ? " " : "", keys[i]);
			template_print(json_object_get(v, keys[i]), ret);
		}
		str_addc(ret, ']');
		free(keys);
	} else if (json_is_null(v)) {
		str_add(ret, "<nil>");
	} else if (json_is_real(v)) {
		print_real(json_real_value(v), ret);
	} else {
		AUTO_FREE char *s = json_dumps(v, JSON_ENCODE_ANY);
		str_add(ret, s ? s : "");
	}
}

const char *template_type(const json_t *v)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "map[string]interface {}", [JSON_ARRAY] = "[]interface {}", [JSON_STRING] = "string", [JSON_INTEGER] = "int",
		[JSON_REAL] = "float64", [JSON_TRUE] = "bool", [JSON_FALSE] = "bool", [JSON_NULL] = "<nil>",
	};
	return v ? names[json_typeof(v)] : "<nil>";
}

/* ---- characters ---- */

/* The code point at p (n > 0 bytes are there) and how many bytes it takes; what is no UTF-8 is U+FFFD of one byte. */
static uint32_t take_rune(const char *p, size_t n, size_t *ret_len)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t len = str_utf8_len(u);
	uint32_t c = 0xfffd;
	*ret_len = len && len <= n ? len : 1;
	if (len == 1)
		c = u[0];
	else if (len && len <= n)
		c = u[0] & (0xffU >> (len + 1));
	for (size_t i = 1; len && len <= n && i < len; i++)
		c = c << 6 | (u[i] & 0x3fU);
	return c;
}

static size_t count_runes(const char *p, size_t n)
{
	size_t count = 0, len;
	for (size_t at = 0; at < n; at += len, count++)
		take_rune(p + at, n - at, &len);
	return count;
}

static bool is_printable(uint32_t c)
{
	return c >= ' ' && c != 0x7f && !(c >= 0x80 && c < 0xa0) && c != 0xad && !(c >= 0x200b && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202e) &&
		c != 0xfeff && !(c >= 0xe000 && c <= 0xf8ff);
}

/* As strconv.Quote: a control byte is \x01, what else cannot be seen \u200b. */
static void quote(const char *p, size_t n, char mark, bool ascii, struct str *ret)
{
	static const char from[] = "\a\b\f\n\r\t\v\\", to[] = "abfnrtv\\";
	size_t len;
	str_addc(ret, mark);
	for (size_t at = 0; at < n; at += len) {
		const uint32_t c = take_rune(p + at, n - at, &len);
		const char *found = c && c < 0x80 ? strchr(from, (int)c) : NULL;
		if (c == (uint32_t)mark)
			str_addf(ret, "\\%c", mark);
		else if (found)
			str_addf(ret, "\\%c", to[found - from]);
		else if (c == 0xfffd && len == 1)
			str_addf(ret, "\\x%02x", (unsigned char)p[at]);
		else if (is_printable(c) && (c < 0x80 || !ascii))
			str_addn(ret, p + at, len);
		else
			str_addf(ret, c < 0x80 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
	}
	str_addc(ret, mark);
}

void template_escape_html(const char *p, size_t n, struct str *ret)
{
	for (size_t i = 0; i < n; i++) {
		switch (p[i]) {
		case '\0': str_add(ret, "\xef\xbf\xbd"); break;
		case '"': str_add(ret, "&#34;"); break;
		case '\'': str_add(ret, "&#39;"); break;
		case '&': str_add(ret, "&amp;"); break;
		case '<': str_add(ret, "&lt;"); break;
		case '>': str_add(ret, "&gt;"); break;
		default: str_addc(ret, p[i]);
		}
	}
}

void template_escape_js(const char *p, size_t n, struct str *ret)
{
	size_t len;
	for (size_t at = 0; at < n; at += len) {
		const uint32_t c = take_rune(p + at, n - at, &len);
		if (c < 0x80 && c && strchr("\\'\"", (int)c))
			str_addf(ret, "\\%c", (int)c);
		else if (c < ' ' || (c < 0x80 && strchr("<>&=", (int)c)) || !(is_printable(c) || c == 0x7f))
			str_addf(ret, "\\u%04X", c);
		else
			str_addn(ret, p + at, len);
	}
}

void template_escape_query(const char *p, size_t n, struct str *ret)
{
	for (size_t i = 0; i < n; i++) {
		const unsigned char c = (unsigned char)p[i];
		if (c == ' ')
			str_addc(ret, '+');
		else if ((c < 0x80 && isalnum(c)) || (c && strchr("-_.~", c)))
			str_addc(ret, (char)c);
		else
			str_addf(ret, "%%%02X", c);
	}
}

/* A letter, digit or underscore, after which title goes on with the same word. */
static bool is_word(uint32_t c, locale_t l)
{
	return c < 0x80 ? isalnum((int)c) || c == '_' : l ? iswalnum_l((wint_t)c, l) : true;
}

void template_change_case(char how, const char *p, size_t n, struct str *ret)
{
	locale_t l = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0); /* without it letters beyond ASCII stay as they are */
	bool inside = false;
	size_t len;
	for (size_t at = 0; at < n; at += len) {
		uint32_t c = take_rune(p + at, n - at, &len);
		const bool up = how == 'u' || (how == 't' && !inside);
		inside = is_word(c, l);
		if (c == 0xfffd || (!up && how != 'l')) {
			str_addn(ret, p + at, len);
			continue;
		}
		if (c < 0x80)
			c = (uint32_t)(up ? toupper((int)c) : tolower((int)c));
		else if (l)
			c = (uint32_t)(up ? towupper_l((wint_t)c, l) : towlower_l((wint_t)c, l));
		str_add_utf8(ret, c);
	}
	if (l)
		freelocale(l);
}

/* ---- printf ---- */

struct verb {
	char name;
	bool left, plus, sharp, space, zero;
	size_t width;
	int precision;           /* -1: none */
};

static void pad(const struct verb *f, const char *p, size_t n, struct str *ret)
{
	const size_t runes = count_runes(p, n), fill = runes < f->width ? f->width - runes : 0;
	const bool zeros = f->zero && !f->left;
	const size_t sign = zeros && n && (*p == '-' || *p == '+' || *p == ' '); /* zeros come behind it */
	str_addn(ret, p, sign);
	for (size_t i = 0; i < fill && !f->left; i++)
		str_addc(ret, zeros ? '0' : ' ');
	str_addn(ret, p + sign, n - sign);
	for (size_t i = 0; i < fill && f->left; i++)
		str_addc(ret, ' ');
}

static void add_unsigned(uint64_t v, unsigned base, bool upper, struct str *ret)
{
	char digits[65];
	size_t at = sizeof(digits);
	do
		digits[--at] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[v % base];
	while ((v /= base));
	str_addn(ret, digits + at, sizeof(digits) - at);
}

/* False when the verb is not one for integers; so in the next ones. */
static bool format_integer(const struct verb *f, json_int_t v, struct str *ret)
{
	static const struct { char verb; unsigned base; const char *prefix; } bases[] = {
		{ 'v', 10, "" }, { 'd', 10, "" }, { 'b', 2, "0b" }, { 'o', 8, "0" }, { 'O', 8, "0o" }, { 'x', 16, "0x" }, { 'X', 16, "0X" },
	};
	const uint64_t size = v < 0 ? -(uint64_t)v : (uint64_t)v;
	AUTO_STR struct str rune = {0};
	str_add_utf8(&rune, v < 0 || v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ? 0xfffd : (uint32_t)v);
	if (f->name == 'c') {
		str_addn(ret, rune.p, rune.len);
		return true;
	}
	if (f->name == 'q') {
		quote(rune.p, rune.len, '\'', f->plus, ret);
		return true;
	}
	if (f->name == 'U') {
		str_addf(ret, "U+%04llX", (unsigned long long)v);
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++)
		if (bases[i].verb == f->name) {
			str_add(ret, v < 0 ? "-" : f->plus ? "+" : f->space ? " " : "");
			str_add(ret, f->sharp || f->name == 'O' ? bases[i].prefix : "");
			add_unsigned(size, bases[i].base, f->name == 'X', ret);
			return true;
		}
	return false;
}

static bool format_real(const struct verb *f, double v, struct str *ret)
{
	char format[8] = "%.*f", text[512];
	if (!strchr("vgGeEfF", f->name))
		return false;
	if (!signbit(v))
		str_add(ret, f->plus ? "+" : f->space ? " " : "");
	if (f->precision < 0 && strchr("vgG", f->name)) {
		print_real(v, ret);
		return true;
	}
	format[3] = f->name == 'v' ? 'g' : f->name == 'F' ? 'f' : f->name;
	snprintf(text, sizeof(text), format, f->precision < 0 ? 6 : MIN(f->precision, 100), v);
	str_add(ret, text);
	return true;
}

static bool format_string(const struct verb *f, const char *p, size_t n, struct str *ret)
{
	size_t end = 0, len;
	for (int i = 0; end < n && (f->precision < 0 || i < f->precision); i++, end += len)
		take_rune(p + end, n - end, &len);
	if (f->name == 'v' || f->name == 's') {
		str_addn(ret, p, end);
	} else if (f->name == 'q') {
		quote(p, end, '"', f->plus, ret);
	} else if (f->name == 'x' || f->name == 'X') {
		for (size_t i = 0; i < (f->precision < 0 ? n : MIN(n, (size_t)f->precision)); i++)
			str_addf(ret, f->name == 'x' ? "%s%02x" : "%s%02X", i && f->space ? " " : "", (unsigned char)p[i]);
	} else {
		return false;
	}
	return true;
}

static void format_value(const struct verb *f, const json_t *v, struct str *ret)
{
	AUTO_STR struct str s = {0};
	struct verb plain = *f;
	bool ok = false;
	if (ret->len > TEMPLATE_MAX_OUTPUT)
		return;
	if (f->name == 'T') {
		str_add(&s, template_type(v));
		ok = true;
	} else if (json_is_array(v)) {
		str_addc(ret, '[');
		for (size_t i = 0; i < json_array_size(v); i++) {
			str_add(ret, i ? " " : "");
			format_value(f, json_array_get(v, i), ret);
		}
		str_addc(ret, ']');
		return;
	} else if (json_is_object(v)) {
		const char **keys = template_sorted_keys(v);
		str_add(ret, "map[");
		for (size_t i = 0; i < json_object_size(v); i++) {
			AUTO_JSON json_t *key = json_text(keys[i]);
			str_add(ret, i ? " " : "");
			format_value(f, key, ret);
			str_addc(ret, ':');
			format_value(f, json_object_get(v, keys[i]), ret);
		}
		str_addc(ret, ']');
		free(keys);
		return;
	} else if (json_is_string(v)) {
		ok = format_string(f, json_string_value(v), json_string_length(v), &s);
	} else if (json_is_integer(v)) {
		ok = format_integer(f, json_integer_value(v), &s);
	} else if (json_is_real(v)) {
		ok = format_real(f, json_real_value(v), &s);
	} else if (json_is_boolean(v) && (f->name == 't' || f->name == 'v')) {
		str_add(&s, json_is_true(v) ? "true" : "false");
		ok = true;
	} else if (f->name == 'v') {
		str_add(&s, "<nil>");
		ok = true;
	}
	if (ok) {
		plain.zero = f->zero && f->name != 'T';
		pad(&plain, str_get(&s), s.len, ret);
		return;
	}
	str_addf(ret, "%%!%c(%s", f->name, template_type(v));
	if (v && !json_is_null(v)) {
		str_addc(ret, '=');
		template_print(v, ret);
	}
	str_addc(ret, ')');
}

static size_t take_count(const char **f)
{
	size_t n = 0;
	for (; isdigit((unsigned char)**f); ++*f)
		n = MIN(n * 10 + (size_t)(**f - '0'), (size_t)MAX_WIDTH);
	return n;
}

/* "*" or digits. used moves on past an argument that was taken. False: there is neither. */
static bool take_number(const char **f, json_t **args, size_t n, size_t *used, json_int_t *ret)
{
	if (**f != '*') {
		bool any = isdigit((unsigned char)**f);
		*ret = (json_int_t)take_count(f);
		return any;
	}
	++*f;
	*ret = *used < n ? MAX(MIN(json_integer_value(args[*used]), MAX_WIDTH), -MAX_WIDTH) : 0;
	++*used;
	return true;
}

/* What stands between "%" and the verb, which *f is left at. */
static struct verb take_verb(const char **f, json_t **args, size_t n, size_t *used)
{
	struct verb v = { .precision = -1 };
	json_int_t number;
	for (; **f && strchr("-+# 0", **f); ++*f) {
		v.left = v.left || **f == '-';
		v.plus = v.plus || **f == '+';
		v.sharp = v.sharp || **f == '#';
		v.space = v.space || **f == ' ';
		v.zero = v.zero || **f == '0';
	}
	if (take_number(f, args, n, used, &number)) {
		v.left = v.left || number < 0;
		v.width = (size_t)(number < 0 ? -number : number);
	}
	if (**f == '.') {
		++*f;
		v.precision = take_number(f, args, n, used, &number) && number > 0 ? (int)number : 0;
	}
	if (**f == '[' && isdigit((unsigned char)(*f)[1])) { /* %[2]s: which argument */
		const char *at = *f + 1;
		size_t which = take_count(&at);
		if (*at == ']' && which) {
			*used = which - 1;
			*f = at + 1;
		}
	}
	v.name = **f;
	return v;
}

void template_printf(const char *f, json_t **args, size_t n, struct str *ret)
{
	size_t used = 0;
	bool chosen = false;
	for (; *f; f++) {
		struct verb v;
		if (*f != '%') {
			str_addc(ret, *f);
			continue;
		}
		chosen = chosen || strcspn(f, "[") < strcspn(f, "svdqtxXobcUeEfFgGT");
		f++;
		v = take_verb(&f, args, n, &used);
		if (!v.name) {
			str_add(ret, "%!(NOVERB)");
			break;
		}
		if (v.name == '%')
			str_addc(ret, '%');
		else if (used >= n)
			str_addf(ret, "%%!%c(MISSING)", v.name);
		else
			format_value(&v, args[used++], ret);
	}
	for (size_t i = used; i < n && !chosen; i++) {
		str_addf(ret, i == used ? "%%!(EXTRA %s" : ", %s", template_type(args[i]));
		if (args[i] && !json_is_null(args[i])) {
			str_addc(ret, '=');
			template_print(args[i], ret);
		}
		str_add(ret, i + 1 == n ? ")" : "");
	}
}
