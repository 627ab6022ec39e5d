/* SPDX-License-Identifier: Apache-2.0 */
/* Word splitting the way the reference does it, so that a command that worked there is the same list of words here, odd
 * corners included: \t and \n are a tab and a line end, backticks and $( ) keep blanks together. */
#include "spec/shellwords.h"

#include "base/str.h"

struct split {
	struct strv *words;
	struct str word;
	bool have_word;
	bool escaped, single, dbl, back, dollar;
};

static void finish_word(struct split *s)
{
	if (s->have_word)
		strv_push(s->words, str_get(&s->word));
	str_clear(&s->word);
	s->have_word = false;
}

static void add(struct split *s, char c)
{
	str_addc(&s->word, c);
	s->have_word = true;
}

enum { STEP_GO, STEP_BAD, STEP_END };

/* Characters with a meaning outside of escapes and blanks. */
static int step_special(struct split *s, char c)
{
	switch (c) {
	case '`':
		if (!s->single && !s->dbl && !s->dollar)
			s->back = !s->back;
		break;
	case ')':
		if (!s->single && !s->dbl && !s->back)
			s->dollar = !s->dollar;
		break;
	case '(':
		if (s->single || s->dbl || s->back)
			break;
		if (s->dollar || !str_ends(str_get(&s->word), "$"))
			return STEP_BAD;
		s->dollar = true;
		str_addc(&s->word, c);
		return STEP_GO;
	case '"':
		if (s->single || s->dollar)
			break;
		s->have_word |= s->dbl;
		s->dbl = !s->dbl;
		return STEP_GO;
	case '\'':
		if (s->dbl || s->dollar)
			break;
		s->have_word |= s->single;
		s->single = !s->single;
		return STEP_GO;
	case ';': case '&': case '|': case '<': case '>':
		if (s->single || s->dbl || s->back || s->dollar)
			break;
		if (c == '>' && s->word.len && *s->word.p >= '0' && *s->word.p <= '9')
			s->have_word = false;
		return STEP_END;
	default:
		break;
	}
	add(s, c);
	return STEP_GO;
}

static int step(struct split *s, char c)
{
	if (s->escaped) {
		s->escaped = false;
		add(s, (char)(c == 't' ? '\t' : c == 'n' ? '\n' : c));
		return STEP_GO;
	}
	if (c == '\\') {
		if (s->single)
			str_addc(&s->word, c);
		else
			s->escaped = true;
		return STEP_GO;
	}
	if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
		if (s->single || s->dbl || s->back || s->dollar)
			str_addc(&s->word, c);
		else
			finish_word(s);
		return STEP_GO;
	}
	return step_special(s, c);
}

bool shellwords_split(const char *text, struct strv *ret, const char **ret_rest)
{
	struct split s = { .words = ret };
	const char *p = text;
	int r = STEP_GO;
	bool ok;
	for (; *p && r == STEP_GO; p++)
		r = step(&s, *p);
	if (ret_rest)
		*ret_rest = r == STEP_END ? p - 1 : NULL;
	finish_word(&s);
	ok = r != STEP_BAD && !s.escaped && !s.single && !s.dbl && !s.back && !s.dollar;
	str_done(&s.word);
	return ok;
}
