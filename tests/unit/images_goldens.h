/* SPDX-License-Identifier: Apache-2.0 */
/* Golden cases as files of parts: "-- NAME --" begins a part, what stands above the first is a comment. Called with "update" a test writes what came
 * out into the part: look at the difference before you keep it. */
#ifndef TESTS_UNIT_IMAGES_GOLDENS_H
#define TESTS_UNIT_IMAGES_GOLDENS_H

#include <dirent.h>
#include <stdio.h>

#include "base/fs.h"

struct golden_part {
	char *name;
	struct str text;
};

struct golden {
	struct golden_part v[12];
	size_t n;
};

static inline void golden_done(struct golden *g)
{
	for (size_t i = 0; i < g->n; i++) {
		free(g->v[i].name);
		str_done(&g->v[i].text);
	}
	*g = (struct golden){ 0 };
}

/* The part's text, NULL when there is none. */
static inline struct str *golden_part(struct golden *g, const char *name)
{
	for (size_t i = 0; i < g->n; i++) {
		if (str_eq(g->v[i].name, name))
			return &g->v[i].text;
	}
	return NULL;
}

static inline void golden_read(struct golden *g, const char *path)
{
	AUTO_STR struct str text = { 0 };
	*g = (struct golden){ .n = 1 };
	g->v[0].name = xstrdup("");
	if (fs_read(AT_FDCWD, path, 1 << 20, &text, NULL) != 0)
		return;
	for (const char *p = str_get(&text), *end; *p; p = end) {
		size_t n;
		end = strchrnul(p, '\n');
		n = (size_t)(end - p);
		end += *end != 0;
		if (n > 6 && str_starts(p, "-- ") && strncmp(p + n - 3, " --", 3) == 0 && g->n < ARRAY_SIZE(g->v))
			g->v[g->n++].name = xstrndup(p + 3, n - 6);
		else
			str_addn(&g->v[g->n - 1].text, p, (size_t)(end - p));
	}
}

/* True when part `name` is `got`; else the difference is printed, or with update the file rewritten. */
static inline bool golden_expect(struct golden *g, const char *path, const char *name, const char *got, bool update)
{
	struct str *want = golden_part(g, name);
	AUTO_STR struct str all = { 0 };
	FILE *out;
	if (want && str_eq(str_get(want), got))
		return true;
	if (!update) {
		printf("%s: %s: got\n%s-- wanted\n%s", path, name, got, want ? str_get(want) : "");
		return false;
	}
	if (!want) {
		g->v[g->n].name = xstrdup(name);
		want = &g->v[g->n++].text;
	}
	str_clear(want);
	str_add(want, got);
	for (size_t i = 0; i < g->n; i++) {
		if (i)
			str_addf(&all, "-- %s --\n", g->v[i].name);
		str_add(&all, str_get(&g->v[i].text));
	}
	out = fopen(path, "w");
	return out && fwrite(str_get(&all), 1, all.len, out) == all.len && fclose(out) == 0;
}

/* Runs fn for each FOLDER/NAME.case; returns how many there were. */
static inline int golden_each(const char *folder, bool (*fn)(struct golden *g, const char *path, bool update), bool update, int *failures)
{
	DIR *d = opendir(folder);
	int n = 0;
	for (struct dirent *e; d && (e = readdir(d));) {
		AUTO_FREE char *path = xasprintf("%s/%s", folder, e->d_name);
		struct golden g;
		if (!str_ends(e->d_name, ".case"))
			continue;
		n++;
		golden_read(&g, path);
		*failures += !fn(&g, path, update);
		golden_done(&g);
	}
	if (d)
		closedir(d);
	return n;
}

#endif
