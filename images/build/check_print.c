/* SPDX-License-Identifier: Apache-2.0 */
/* Findings as `docker build --check` prints them, and as JSON. The excerpt shows the lines of the instruction with some around them. */
#include "images/build/check.h"

static const char *line_text(const struct source *src, int line, size_t *ret_len)
{
	size_t start, end;
	*ret_len = 0;
	if (line < 1 || (size_t)line > src->n_lines)
		return "";
	start = src->lines[line - 1];
	end = (size_t)line < src->n_lines ? src->lines[line] - 1 : src->len;
	*ret_len = end - start;
	return src->text + start;
}

/* Outside text: no control byte but a tab goes through. */
static void add_safe(struct str *s, const char *text, size_t n)
{
	while (n) {
		size_t len = str_utf8_len((const unsigned char *)text);
		unsigned char c = (unsigned char)*text;
		if (!len || len > n || (c < 0x20 && c != '\t') || c == 0x7f) {
			if (c != '\r')
				str_addf(s, "\\x%02x", c);
			len = 1;
		} else {
			str_addn(s, text, len);
		}
		text += len;
		n -= len;
	}
}

static void print_excerpt(const struct check_report *r, int first, int last, struct str *ret)
{
	int n_lines = (int)r->src->n_lines, start = first, end = MIN(last, n_lines), pad = start == end ? 4 : 2;
	if (first < 1 || first > n_lines)
		return;
	for (int p = 0; p < pad; p++) {
		if (start > 1) {
			start--;
			p++;
		}
		if (end != n_lines) {
			end++;
			p++;
		}
	}
	str_addf(ret, "%s:%d\n--------------------\n", r->src->path, first);
	for (int i = start; i <= end; i++) {
		size_t n;
		const char *text = line_text(r->src, i, &n);
		str_addf(ret, " %3d | %s ", i, i >= first && i <= last ? ">>>" : "   ");
		add_safe(ret, text, n);
		str_addc(ret, '\n');
	}
	str_add(ret, "--------------------\n");
}

void check_render(const struct check_report *r, struct str *ret)
{
	if (r->n == 1)
		str_add(ret, "Check complete, 1 warning has been found!\n");
	else if (r->n)
		str_addf(ret, "Check complete, %zu warnings have been found!\n", r->n);
	else if (!r->errors || !r->errors->n_errors)
		str_add(ret, "Check complete, no warnings found.\n");
	for (size_t i = 0; i < r->n; i++) {
		const struct check_finding *f = &r->v[i];
		str_addf(ret, "\nWARNING: %s - %s\n", f->rule, f->url);
		add_safe(ret, f->message, strlen(f->message));
		str_addc(ret, '\n');
		print_excerpt(r, f->first_line, f->last_line, ret);
	}
	if (r->errors && r->errors->n_errors) {
		if (r->n)
			str_addc(ret, '\n');
		diags_render(r->errors, NULL, false, ret);
	}
}

static json_t *location_json(int first, int last)
{
	json_t *ranges = json_array();
	for (int i = first; i <= last; i++)
		json_array_append_new(ranges, json_pack("{s:{s:i},s:{s:i}}", "start", "line", i, "end", "line", i));
	return json_pack("{s:o}", "ranges", ranges);
}

static json_t *text_json(const char *s)
{
	json_t *j = json_string(s);
	AUTO_STR struct str safe = { 0 };
	if (j)
		return j;
	add_safe(&safe, s, strlen(s));
	return json_string(str_get(&safe));
}

json_t *check_json(const struct check_report *r)
{
	json_t *warnings = json_array(), *sources = json_array(), *all;
	for (size_t i = 0; i < r->n; i++) {
		const struct check_finding *f = &r->v[i];
		json_array_append_new(warnings, json_pack("{s:s,s:s,s:s,s:o,s:o}", "ruleName", f->rule, "description", f->description, "url", f->url, "detail",
							  text_json(f->message), "location", location_json(f->first_line, f->last_line)));
	}
	json_array_append_new(sources, json_pack("{s:o,s:s}", "filename", text_json(r->src->path), "language", "Dockerfile"));
	all = json_pack("{s:o,s:o}", "warnings", warnings, "sources", sources);
	for (size_t i = 0; r->errors && i < r->errors->n; i++) {
		const struct diag *d = &r->errors->v[i];
		if (d->severity != DIAG_ERROR)
			continue;
		json_object_set_new(all, "buildError", json_pack("{s:o,s:o}", "message", text_json(d->message), "location",
								 location_json(d->pos.line ? d->pos.line : 1, d->pos.line ? d->pos.line : 1)));
		break;
	}
	return all;
}
