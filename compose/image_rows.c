/* SPDX-License-Identifier: Apache-2.0 */
/* Filters have docker's names and meanings: several values of one name are alternatives, of different names all have to hold. A reference is
 * held against the pattern as people write it: "busybox", "busybox:1*", "*\/app". */
#include "compose/image_rows.h"

#include <fnmatch.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "compose/table.h"
#include "spec/duration.h"
#include "spec/imageref.h"

uint64_t image_created_ns(const char *text)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	time_t t = end ? timegm(&tm) : 0;
	uint64_t ns = 0, scale = 100000000;
	if (t <= 0)
		return 0;
	if (*end == '.')
		for (end++; *end >= '0' && *end <= '9'; end++, scale /= 10)
			ns += (uint64_t)(*end - '0') * scale;
	if (*end == '+' || *end == '-') {
		int h = 0, m = 0;
		if (sscanf(end + 1, "%2d:%2d", &h, &m) == 2)
			t += (*end == '-' ? 1 : -1) * (h * 3600 + m * 60);
	}
	return (uint64_t)t * 1000000000 + ns;
}

static int parse_bool(const char *value, int *ret)
{
	static const char *const yes[] = { "true", "1", "t", "T", "TRUE", "True" }, *const no[] = { "false", "0", "f", "F", "FALSE", "False" };
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (strcmp(value, yes[i]) == 0)
			return *ret = 1, 0;
		if (strcmp(value, no[i]) == 0)
			return *ret = 0, 0;
	}
	return -1;
}

/* A point in time: "24h" ago, seconds since 1970, or a date. */
static int parse_until(const char *value, uint64_t *ret)
{
	uint64_t seconds;
	int64_t ns;
	const char *why;
	if (parse_u64(value, 1, UINT64_MAX / 1000000000, &seconds))
		*ret = seconds * 1000000000;
	else if (duration_parse(value, &ns, &why) && ns >= 0)
		*ret = clock_real_ns() - MIN((uint64_t)ns, clock_real_ns());
	else if (image_created_ns(value))
		*ret = image_created_ns(value);
	else {
		struct tm tm = {0};
		const char *end = strptime(value, "%Y-%m-%d", &tm);
		if (!end || *end)
			return -1;
		*ret = (uint64_t)MAX(timegm(&tm), 1) * 1000000000;
	}
	return 0;
}

static int image_time(struct store *s, const char *name, uint64_t *ret, struct err *err)
{
	AUTO_IMAGE struct image img = {0};
	if (store_lookup(s, name, &img, err) < 0)
		return -1;
	*ret = image_created_ns(img.created);
	return 0;
}

static bool is_known(const char *known, const char *name, size_t n)
{
	while (*known) {
		size_t k = strcspn(known, " ");
		if (k == n && strncmp(known, name, n) == 0)
			return true;
		known += k + (known[k] == ' ');
	}
	return false;
}

static int add_term(struct image_filter *f, const char *term, const char *known, struct store *s, struct err *err)
{
	const char *eq = strchr(term, '='), *value = eq ? eq + 1 : "";
	size_t n = eq ? (size_t)(eq - term) : strlen(term);
	char shown[100];
	uint64_t at;
	bool negated = eq && n && term[n - 1] == '!';
	err_quote(shown, sizeof(shown), term);
	n -= negated;
	if (!eq || !*value)
		return err_set(err, ERR_INVALID, "filter \"%s\": not of the form NAME=VALUE", shown);
	if (!is_known(known, term, n) || (negated && strncmp(term, "label", n) != 0))
		return err_set(err, ERR_INVALID, "filter \"%s\": there is no such filter here; known are: %s", shown, known);
	if (strncmp(term, "label", n) == 0) {
		strv_push(negated ? &f->no_labels : &f->labels, value);
	} else if (strncmp(term, "reference", n) == 0) {
		strv_push(&f->references, value);
	} else if (strncmp(term, "dangling", n) == 0) {
		if (parse_bool(value, &f->dangling) < 0)
			return err_set(err, ERR_INVALID, "filter \"%s\": neither true nor false", shown);
	} else if (strncmp(term, "until", n) == 0) {
		if (parse_until(value, &at) < 0)
			return err_set(err, ERR_INVALID, "filter \"%s\": neither a duration (24h) nor a time", shown);
		f->before_ns = f->before_ns ? MIN(f->before_ns, at) : at;
	} else {
		if (image_time(s, value, &at, err) < 0)
			return err_wrap(err, "filter \"%s\"", shown);
		if (*term == 'b')
			f->before_ns = f->before_ns ? MIN(f->before_ns, at) : at;
		else
			f->since_ns = MAX(f->since_ns, at);
	}
	return 0;
}

int image_filter_parse(const struct strv *terms, const char *known, struct store *s, struct image_filter *ret, struct err *err)
{
	*ret = (struct image_filter){ .dangling = -1 };
	for (size_t i = 0; i < terms->n; i++)
		if (add_term(ret, terms->v[i], known, s, err) < 0) {
			image_filter_done(ret);
			return -1;
		}
	return 0;
}

void image_filter_done(struct image_filter *f)
{
	strv_done(&f->labels);
	strv_done(&f->no_labels);
	strv_done(&f->references);
}

static bool has_label(const struct image *img, const char *term)
{
	size_t n = strcspn(term, "=");
	for (size_t i = 0; i < img->label_keys.n; i++)
		if (strlen(img->label_keys.v[i]) == n && strncmp(img->label_keys.v[i], term, n) == 0)
			return !term[n] || strcmp(img->label_values.v[i], term + n + 1) == 0;
	return false;
}

bool image_filter_match(const struct image_filter *f, const struct image *img)
{
	uint64_t created = image_created_ns(img->created);
	if (f->dangling >= 0 && (img->refs.n == 0 && img->digests.n == 0) != (f->dangling == 1))
		return false;
	for (size_t i = 0; i < f->labels.n; i++)
		if (!has_label(img, f->labels.v[i]))
			return false;
	for (size_t i = 0; i < f->no_labels.n; i++)
		if (has_label(img, f->no_labels.v[i]))
			return false;
	return (!f->before_ns || created < f->before_ns) && (!f->since_ns || created > f->since_ns);
}

bool image_filter_match_ref(const struct image_filter *f, const char *ref)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct imageref parsed = {0}, name;
	if (f->references.n == 0)
		return true;
	if (!ref || imageref_parse(ref, a, &parsed, NULL) < 0)
		return false;
	name = parsed;
	name.tag = name.digest = NULL;
	for (size_t i = 0; i < f->references.n; i++)
		if (fnmatch(f->references.v[i], imageref_familiar(&parsed, a), FNM_PATHNAME) == 0 ||
		    fnmatch(f->references.v[i], imageref_familiar(&name, a), FNM_PATHNAME) == 0)
			return true;
	return false;
}

json_t *image_row(struct app *app, const struct image *img, const char *ref, const char *digest, bool no_trunc)
{
	AUTO_FREE char *id = xasprintf("sha256:%s", img->id), *repository = NULL;
	uint64_t created = image_created_ns(img->created), now = clock_real_ns();
	AUTO_FREE char *since = NULL;
	struct imageref parsed = {0};
	char size[24], age[40], shown[80];
	json_t *row = json_object();
	if (ref && imageref_parse(ref, app->arena, &parsed, NULL) == 0) {
		struct imageref name = parsed;
		name.tag = name.digest = NULL;
		repository = xstrdup(imageref_familiar(&name, app->arena));
	}
	since = created ? xasprintf("%s ago", table_human_duration(now > created ? (now - created) / 1000000000 : 0, age)) : xstrdup("N/A");
	snprintf(shown, sizeof(shown), "%.*s", no_trunc ? 71 : SHORT_ID, no_trunc ? id : img->id);
	json_put_str(row, "Repository", repository ? repository : "<none>");
	json_put_str(row, "Tag", parsed.tag ? parsed.tag : "<none>");
	json_put_str(row, "ID", shown);
	json_put_str(row, "Digest", parsed.digest ? parsed.digest : digest ? digest : "<none>");
	json_put_str(row, "CreatedAt", img->created);
	json_put_str(row, "CreatedSince", since);
	json_put_str(row, "Size", table_human_bytes(img->size_bytes, size));
	json_put_str(row, "VirtualSize", size);
	json_put_str(row, "Containers", "N/A"); /* these three docker does not count in a list either */
	json_put_str(row, "SharedSize", "N/A");
	json_put_str(row, "UniqueSize", "N/A");
	return row;
}
