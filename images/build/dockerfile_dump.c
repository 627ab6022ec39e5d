/* SPDX-License-Identifier: Apache-2.0 */
/* The parse as S-expressions, one instruction a line, in the form of the reference's golden files: the keyword in lower case, the flags, the words
 * in quotation marks as Go prints strings. For tests and for people who wonder what a line was taken for. */
#include "images/build/dockerfile_impl.h"

static void dump_quoted(struct str *s, const char *text)
{
	static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
	str_addc(s, '"');
	while (*text) {
		size_t n = str_utf8_len((const unsigned char *)text);
		const char *e = strchr(from, *text);
		if (str_starts(text, DOCKERFILE_NUL)) {
			str_add(s, "\\x00");
			text += strlen(DOCKERFILE_NUL);
			continue;
		}
		if (e)
			str_addf(s, "\\%c", to[e - from]);
		else if (!n || (unsigned char)*text < 0x20 || *text == 0x7f)
			str_addf(s, "\\x%02x", (unsigned char)*text);
		else
			str_addn(s, text, n);
		text += n ? n : 1;
	}
	str_addc(s, '"');
}

static void dump_node(const struct dockerfile_node *n, struct str *s)
{
	str_addc(s, '(');
	for (const char *c = n->keyword; *c; c++)
		str_addc(s, *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c);
	for (size_t i = 0; i < n->n_flags; i++) {
		str_add(s, i ? " " : " [");
		dump_quoted(s, n->flags[i].text);
	}
	if (n->n_flags)
		str_addc(s, ']');
	for (size_t i = 0; i < n->n_words; i++) {
		str_addc(s, ' ');
		dump_quoted(s, n->words[i].text);
	}
	if (n->trigger) {
		str_addc(s, ' ');
		dump_node(n->trigger, s);
	}
	str_addc(s, ')');
}

void dockerfile_dump(const struct dockerfile *df, struct str *ret)
{
	for (size_t i = 0; i < df->n_nodes; i++) {
		dump_node(df->nodes[i], ret);
		str_addc(ret, '\n');
	}
}
