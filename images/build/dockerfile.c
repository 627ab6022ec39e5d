/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a Dockerfile become instructions: directives at the top, comments, continuation lines, here-documents. The rules are BuildKit's, with
 * its quirks where people's files depend on them: a comment line inside a continued instruction vanishes, so does an empty line (which is a
 * finding for --check), an escape character before the end of the line continues it unless it is doubled, and white space before the first
 * word of a line goes while that of a continuation line stays. A mistake costs one instruction, the next one is read again. */
#include "images/build/dockerfile.h"

#include <stdio.h>
#include <strings.h>

#include "images/build/dockerfile_impl.h"

struct pos dockerfile_line_pos(const struct dockerfile *df, int line)
{
	return (struct pos){ .src = df->src, .line = line, .column = 1 };
}

/* The place of a byte of the source. */
static struct pos dockerfile_offset_pos(const struct source *src, size_t offset)
{
	size_t low = 0, high = src->n_lines;
	int column = 1;
	while (high - low > 1) {
		size_t mid = (low + high) / 2;
		if (src->lines[mid] <= offset)
			low = mid;
		else
			high = mid;
	}
	for (size_t i = src->n_lines ? src->lines[low] : 0; i < offset && i < src->len; i++)
		column += ((unsigned char)src->text[i] & 0xc0) != 0x80;
	return (struct pos){ .src = src, .line = (int)low + 1, .column = column };
}

struct pos dockerfile_pos(const struct dockerfile_node *n, size_t at)
{
	const struct dockerfile_piece *piece = n->pieces;
	if (!n->n_pieces)
		return dockerfile_line_pos(n->file, n->first_line);
	for (size_t i = 1; i < n->n_pieces && n->pieces[i].at <= at; i++)
		piece = &n->pieces[i];
	return dockerfile_offset_pos(n->file->src, piece->offset + (at - piece->at));
}

/* The next line without "\n"; its end with "\r" still there. False at the end of the text. */
static bool dockerfile_next_line(struct dockerfile_parser *p, const char **ret, size_t *ret_len)
{
	const struct source *src = p->df->src;
	const char *line = src->text + p->offset, *end;
	size_t left = src->len - p->offset;
	if (!left)
		return false;
	end = memchr(line, '\n', left);
	*ret_len = end ? (size_t)(end - line) : left;
	*ret = line;
	p->offset += *ret_len + (end != NULL);
	p->line++;
	return true;
}

static size_t trim_newline(const char *line, size_t n)
{
	while (n && (line[n - 1] == '\r' || line[n - 1] == '\n'))
		n--;
	return n;
}

/* Leading white space of line[0..n). */
static size_t leading_space(const char *line, size_t n)
{
	size_t i = 0, len;
	while (i < n && (len = dockerfile_space_len(line + i)) > 0 && i + len <= n)
		i += len;
	return i;
}

static bool is_comment(const char *line, size_t n)
{
	size_t i = leading_space(line, n);
	return i < n && line[i] == '#';
}

/* Takes the continuation character off: true when there was one. */
static bool trim_continuation(const struct dockerfile *df, const char *line, size_t *n)
{
	size_t i = *n;
	while (i && (line[i - 1] == ' ' || line[i - 1] == '\t'))
		i--;
	if (!i || line[i - 1] != df->escape || (i > 1 && line[i - 2] == df->escape))
		return false;
	*n = i - 1;
	return true;
}

struct directive {
	const char *name, *value;
	size_t value_at;         /* from the start of the line */
};

/* `# name = value` with a name of ours. */
static bool parse_directive(struct arena *a, const char *line, size_t n, struct directive *ret)
{
	static const char *const known[] = { "syntax", "escape", "check" };
	size_t i = 0, name, name_end, end = dockerfile_trimmed_len(line, n);
	char *low;
	if (!n || line[i++] != '#')
		return false;
	i += leading_space(line + i, n - i);
	for (name = i; i < end && ((line[i] | 0x20) >= 'a' && (line[i] | 0x20) <= 'z'); i++)
		;
	if (i == name)
		return false;
	while (i < end && (((line[i] | 0x20) >= 'a' && (line[i] | 0x20) <= 'z') || (line[i] >= '0' && line[i] <= '9')))
		i++;
	name_end = i;
	i += leading_space(line + i, end - i);
	if (i >= end || line[i++] != '=')
		return false;
	i += leading_space(line + i, end - i);
	if (i >= end)
		return false;
	low = arena_strndup(a, line + name, name_end - name);
	for (char *c = low; *c; c++)
		*c |= 0x20;
	for (size_t k = 0; k < ARRAY_SIZE(known); k++) {
		if (!str_eq(low, known[k]))
			continue;
		*ret = (struct directive){ .name = known[k], .value = arena_strndup(a, line + i, end - i), .value_at = i };
		return true;
	}
	return false;
}

static void dockerfile_take_directive(struct dockerfile_parser *p, const struct directive *d, const char *line, bool *seen)
{
	struct dockerfile *df = p->df;
	struct pos pos = dockerfile_offset_pos(df->src, (size_t)(line - df->src->text) + d->value_at);
	const char *first = arena_strndup(p->arena, d->value, strcspn(d->value, " "));
	if (*seen) {
		diag_error(p->ds, pos, "", "only one %s parser directive can be used", d->name);
		return;
	}
	*seen = true;
	if (str_eq(d->name, "escape")) {
		if (str_eq(d->value, "\\") || str_eq(d->value, "`"))
			df->escape = d->value[0];
		else
			diag_hint(p->ds, diag_error(p->ds, pos, "", "invalid escape character \"%s\"", diag_quote(p->ds, d->value)),
				  "it can be \\ or `");
	} else if (str_eq(d->name, "syntax")) {
		df->syntax = first;
		df->syntax_line = p->line;
	} else {
		df->check = first;
		df->check_line = p->line;
	}
}

/* The directives at the top; they end with the first line that is none. The lines are read once more as comments. Behind a first line of "#!" there
 * is no escape directive, though the others are. */
static void dockerfile_parse_directives(struct dockerfile_parser *p, int *ret_last)
{
	struct dockerfile_parser saved = *p;
	const char *line;
	size_t n;
	bool seen_syntax = false, seen_escape = false, seen_check = false, script = false;
	*ret_last = 0;
	while (dockerfile_next_line(p, &line, &n)) {
		struct directive d;
		size_t skip;
		n = trim_newline(line, n);
		skip = leading_space(line, n);
		if (p->line == 1 && n >= 2 && line[0] == '#' && line[1] == '!') {
			script = true;
			continue;
		}
		if (!parse_directive(p->arena, line + skip, n - skip, &d))
			break;
		if (script && d.name[0] == 'e')
			continue;
		dockerfile_take_directive(p, &d, line + skip, d.name[0] == 's' ? &seen_syntax : d.name[0] == 'e' ? &seen_escape : &seen_check);
		*ret_last = p->line;
	}
	p->offset = saved.offset;
	p->line = saved.line;
}

/* The bodies of the here-documents of n follow. False when one has no end: nothing is consumed then. */
static bool dockerfile_read_heredocs(struct dockerfile_parser *p, struct dockerfile_node *n)
{
	size_t offset = p->offset;
	int line_number = p->line;
	for (size_t i = 0; i < n->n_heredocs; i++) {
		struct dockerfile_heredoc *h = &n->heredocs[i];
		size_t start = p->offset, stop = start, len;
		const char *line;
		bool found = false;
		h->line = p->line + 1;
		while (!found && dockerfile_next_line(p, &line, &len)) {
			const char *word = line;
			size_t word_len = trim_newline(line, len);
			while (h->chomp && word_len && *word == '\t') {
				word++;
				word_len--;
			}
			found = word_len == strlen(h->name) && memcmp(word, h->name, word_len) == 0;
			stop = (size_t)(line - p->df->src->text);
		}
		if (!found) {
			p->offset = offset;
			p->line = line_number;
			return false;
		}
		h->content = arena_strndup(p->arena, p->df->src->text + start, stop - start);
	}
	return true;
}

/* What follows a continued line, until the end of the instruction. */
static void dockerfile_join(struct dockerfile_parser *p, struct dockerfile_node *n, struct str *text)
{
	size_t cap = n->n_pieces, len;
	const char *line;
	bool more = true, empty = false;
	while (more && dockerfile_next_line(p, &line, &len)) {
		len = trim_newline(line, len);
		if (is_comment(line, len))
			continue;
		if (leading_space(line, len) == len) {
			empty = true;
			continue;
		}
		more = trim_continuation(p->df, line, &len);
		n->pieces = arena_grow(p->arena, n->pieces, n->n_pieces, &cap, sizeof(*n->pieces));
		n->pieces[n->n_pieces++] = (struct dockerfile_piece){ .at = text->len, .offset = (size_t)(line - p->df->src->text) };
		str_addn(text, line, len);
	}
	if (empty) {
		struct dockerfile *df = p->df;
		df->empty_continuations =
			arena_grow(p->arena, df->empty_continuations, df->n_empty_continuations, &p->n_empty_cap, sizeof(*df->empty_continuations));
		df->empty_continuations[df->n_empty_continuations++] = p->line;
	}
}

/* One instruction, whose first line (trimmed on the left) is given. */
static int dockerfile_parse_instruction(struct dockerfile_parser *p, const char *line, size_t len, bool more, struct dockerfile_node *n)
{
	AUTO_STR struct str text = { 0 };
	size_t cap = 0;
	bool known;
	n->file = p->df;
	n->first_line = p->line;
	n->pieces = arena_grow(p->arena, NULL, 0, &cap, sizeof(*n->pieces));
	n->pieces[n->n_pieces++] = (struct dockerfile_piece){ .at = 0, .offset = (size_t)(line - p->df->src->text) };
	str_addn(&text, line, len);
	if (more)
		dockerfile_join(p, n, &text);
	n->last_line = p->line;
	n->original = arena_strndup(p->arena, str_get(&text), text.len);
	if (dockerfile_split(p, n, n->original, 0) < 0)
		return -1;
	known = dockerfile_is_keyword(n->keyword);
	if (strstr(n->original, "<<") && (dockerfile_takes_heredocs(n) || !known)) {
		n->n_heredocs = dockerfile_find_heredocs(p->arena, n->original, &n->heredocs);
		/* a misspelt keyword takes its here-document along when that has an end, so that its lines are no mistakes of their own */
		if (!dockerfile_read_heredocs(p, n) && known) {
			diag_error(p->ds, dockerfile_pos(n, (size_t)(strstr(n->original, "<<") - n->original)), "", "unterminated heredoc: no line \"%s\"",
				   diag_quote(p->ds, n->heredocs[n->n_heredocs - 1].name));
			p->offset = p->df->src->len;
			return -1;
		}
		n->last_line = p->line;
	}
	return 0;
}

/* Comment lines above an instruction; an empty one starts anew. */
struct comments {
	const char **v;
	size_t n, cap;
};

static void comments_add(struct arena *a, struct comments *c, const char *line, size_t n)
{
	size_t skip;
	if (n)
		skip = 1 + leading_space(line + 1, n - 1);
	else
		skip = 0;
	n = dockerfile_trimmed_len(line, n);
	if (skip >= n) {
		*c = (struct comments){ 0 };
		return;
	}
	c->v = arena_grow(a, c->v, c->n, &c->cap, sizeof(*c->v));
	c->v[c->n++] = arena_strndup(a, line + skip, n - skip);
}

static int dockerfile_add(struct dockerfile_parser *p, const char *line, size_t len, bool more, struct comments *comments)
{
	struct dockerfile *df = p->df;
	struct dockerfile_node *n = arena_alloc(p->arena, sizeof(*n));
	if (df->n_nodes >= DOCKERFILE_MAX_NODES) {
		diag_error(p->ds, dockerfile_line_pos(df, p->line), "", "more than %d instructions", DOCKERFILE_MAX_NODES);
		return -1;
	}
	n->comments = comments->v;
	n->n_comments = comments->n;
	*comments = (struct comments){ 0 };
	if (dockerfile_parse_instruction(p, line, len, more, n) < 0)
		return 0;
	df->nodes = arena_grow(p->arena, df->nodes, df->n_nodes, &p->n_nodes_cap, sizeof(*df->nodes));
	df->nodes[df->n_nodes++] = n;
	return 0;
}

static bool dockerfile_check_text(struct dockerfile_parser *p)
{
	const struct source *src = p->df->src;
	const char *nul;
	size_t errors = p->ds->n_errors;
	if (src->len > DOCKERFILE_MAX_BYTES) {
		diag_error(p->ds, (struct pos){ 0 }, "", "%s: larger than %d MB", src->path, DOCKERFILE_MAX_BYTES >> 20);
		return false;
	}
	nul = memchr(src->text, 0, src->len);
	if (nul) {
		diag_error(p->ds, dockerfile_offset_pos(src, (size_t)(nul - src->text)), "", "NUL character: not a text file");
		return false;
	}
	for (size_t i = 0; i < src->n_lines; i++) {
		size_t end = i + 1 < src->n_lines ? src->lines[i + 1] - 1 : src->len;
		if (end - src->lines[i] > DOCKERFILE_MAX_LINE)
			diag_error(p->ds, dockerfile_line_pos(p->df, (int)i + 1), "", "line longer than the allowed %d bytes", DOCKERFILE_MAX_LINE);
	}
	return p->ds->n_errors == errors;
}

/* The same text with lines as Dockerfiles have them: "\n" alone ends one (YAML knows more). */
static const struct source *dockerfile_source(struct arena *a, const struct source *src)
{
	struct source *s = arena_alloc(a, sizeof(*s));
	size_t cap = 0;
	*s = (struct source){ .path = src->path, .text = src->text, .len = src->len };
	s->lines = arena_grow(a, NULL, 0, &cap, sizeof(*s->lines));
	s->lines[s->n_lines++] = src->len >= 3 && memcmp(src->text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	for (const char *p = src->text; (p = memchr(p, '\n', src->len - (size_t)(p - src->text))); p++) {
		s->lines = arena_grow(a, s->lines, s->n_lines, &cap, sizeof(*s->lines));
		s->lines[s->n_lines++] = (size_t)(p - src->text) + 1;
	}
	return s;
}

int dockerfile_parse(struct arena *a, const struct source *src, struct diags *ds, struct dockerfile **ret)
{
	struct dockerfile *df = arena_alloc(a, sizeof(*df));
	struct dockerfile_parser p = { .arena = a, .ds = ds, .df = df };
	struct comments comments = { 0 };
	size_t len, errors = ds->n_errors;
	const char *line;
	int last_directive;
	*df = (struct dockerfile){ .src = dockerfile_source(a, src), .arena = a, .escape = '\\' };
	*ret = df;
	if (!dockerfile_check_text(&p))
		return -1;
	p.offset = df->src->lines[0];
	dockerfile_parse_directives(&p, &last_directive);
	while (dockerfile_next_line(&p, &line, &len)) {
		size_t skip;
		bool more;
		if (is_comment(line, len)) {
			if (p.line > last_directive)
				comments_add(a, &comments, line, len);
			continue;
		}
		len = trim_newline(line, len);
		skip = leading_space(line, len);
		line += skip;
		len -= skip;
		more = trim_continuation(df, line, &len);
		if (!more && !len)
			continue;
		if (dockerfile_add(&p, line, len, more, &comments) < 0)
			break;
	}
	if (!df->n_nodes && ds->n_errors == errors)
		diag_error(ds, (struct pos){ 0 }, "", "%s: file with no instructions", src->path);
	return ds->n_errors == errors ? 0 : -1;
}

int dockerfile_parse_trigger(struct arena *a, const char *name, const char *text, struct diags *ds, struct dockerfile **ret)
{
	const struct source *src = source_new(a, name, text, strlen(text));
	if (dockerfile_parse(a, src, ds, ret) < 0)
		return -1;
	if ((*ret)->n_nodes == 1)
		return 0;
	diag_error(ds, dockerfile_line_pos(*ret, 1), "", "an ONBUILD trigger must be one instruction");
	return -1;
}
