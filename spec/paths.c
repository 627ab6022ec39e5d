/* SPDX-License-Identifier: Apache-2.0 */
/* Relative paths. The helpers are lexical (no file is touched) but for the paths of develop.watch, where a symbolic link
 * on the way is resolved, as the reference does. The pass runs with a relative base for included and extended files and
 * once more with the project directory, so that each path is first made relative to the outer file. */
#include "spec/paths.h"

#include <limits.h>
#include <sys/stat.h>

#include "base/str.h"
#include "spec/pattern.h"

const char *path_clean(struct arena *a, const char *p)
{
	bool rooted = *p == '/';
	char *out = arena_alloc(a, strlen(p) + 2);
	size_t n = 0, keep = 0; /* keep: length that ".." must not eat */
	if (rooted)
		out[n++] = '/';
	keep = n;
	while (*p) {
		size_t len = strcspn(p, "/");
		if (len == 0 || (len == 1 && *p == '.')) {
			/* nothing */
		} else if (len == 2 && p[0] == '.' && p[1] == '.') {
			if (n > keep) {
				while (n > keep && out[n - 1] != '/')
					n--;
				if (n > keep)
					n--;
			} else if (!rooted) {
				if (n)
					out[n++] = '/';
				memcpy(out + n, "..", 2);
				n += 2;
				keep = n;
			}
		} else {
			if (n && out[n - 1] != '/')
				out[n++] = '/';
			memcpy(out + n, p, len);
			n += len;
		}
		p += len + (p[len] == '/');
	}
	if (n == 0)
		out[n++] = '.';
	out[n] = '\0';
	return out;
}

const char *path_join(struct arena *a, const char *dir, const char *p)
{
	if (!*dir)
		return *p ? path_clean(a, p) : "";
	return path_clean(a, *p ? arena_printf(a, "%s/%s", dir, p) : dir);
}

const char *path_dir(struct arena *a, const char *p)
{
	const char *slash = strrchr(p, '/');
	return path_clean(a, arena_strndup(a, p, slash ? (size_t)(slash - p) + 1 : 0));
}

const char *path_base(struct arena *a, const char *p)
{
	const char *clean = path_clean(a, p), *slash = strrchr(clean, '/');
	return slash && slash[1] ? slash + 1 : clean;
}

const char *path_relative(struct arena *a, const char *from, const char *to)
{
	AUTO_STR struct str up = { 0 };
	size_t common = 0, i = 0;
	from = path_clean(a, from);
	to = path_clean(a, to);
	if (strcmp(from, "/") == 0)
		from = "";
	if (strcmp(to, "/") == 0)
		to = "";
	for (;; i++) {
		bool from_ends = from[i] == '/' || !from[i], to_ends = to[i] == '/' || !to[i];
		if (from_ends && to_ends)
			common = i;
		if (from[i] != to[i] || !from[i])
			break;
	}
	for (const char *p = from + common; *p; p++)
		if (*p == '/')
			str_add(&up, up.len ? "/.." : "..");
	if (to[common])
		str_addf(&up, "%s%s", up.len ? "/" : "", to + common + 1);
	return up.len ? arena_strdup(a, str_get(&up)) : ".";
}

const char *path_expand_home(struct arena *a, const char *p, const char *home)
{
	return *p == '~' && home ? path_join(a, home, p + 1) : p;
}

static bool is_separator(char c)
{
	return c == '/' || c == '\\';
}

bool path_is_windows(const char *p)
{
	if (p[0] && p[1] == ':')
		return is_separator(p[2]);
	return p[0] == '\\' && p[1] == '\\' && p[2];
}

bool path_is_remote(const char *p)
{
	static const char *const prefixes[] = { "oci://", "git@", "git://", "ssh://", "github.com/" };
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (str_starts(p, prefixes[i]))
			return true;
	return (str_starts(p, "https://") || str_starts(p, "http://"));
}

struct resolve {
	struct diags *ds;
	struct arena *a;
	const char *base, *home;
	struct pattern_set set;
	int failed;
};

typedef void (*resolve_fn)(struct resolve *r, struct node *n, const struct node_path *path);

static void set_text(struct node *n, const char *text)
{
	n->text = text;
}

/* Relative to the base, ~ expanded; an empty path stays. */
static void resolve_path(struct resolve *r, struct node *n, const struct node_path *path)
{
	const char *p;
	(void)path;
	for (size_t i = 0; n->kind == NODE_SEQ && i < n->n; i++)
		resolve_path(r, n->items[i], path);
	if (n->kind != NODE_STRING)
		return;
	p = path_expand_home(r->a, n->text, r->home);
	set_text(n, *p == '/' || !*p ? p : path_join(r->a, r->base, p));
}

static void resolve_context(struct resolve *r, struct node *n, const struct node_path *path)
{
	if (n->kind == NODE_STRING && (strstr(n->text, "://") || str_starts(n->text, "service:") || path_is_remote(n->text)))
		return;
	resolve_path(r, n, path);
}

static void resolve_unix(struct resolve *r, struct node *n, const struct node_path *path)
{
	const char *p;
	(void)path;
	if (n->kind != NODE_STRING)
		return;
	p = path_expand_home(r->a, n->text, r->home);
	set_text(n, *p == '/' || path_is_windows(p) ? p : path_join(r->a, r->base, p));
}

static void resolve_extends(struct resolve *r, struct node *n, const struct node_path *path)
{
	if (n->kind == NODE_STRING && !path_is_remote(n->text))
		resolve_path(r, n, path);
}

/* The first symbolic link on the way is replaced by what it leads to. */
static void resolve_symlink(struct resolve *r, struct node *n, const struct node_path *path)
{
	resolve_path(r, n, path);
	if (n->kind != NODE_STRING || *n->text != '/')
		return;
	for (const char *p = n->text + 1; ; p++) {
		struct stat st;
		char real[PATH_MAX];
		const char *part;
		if (*p && *p != '/')
			continue;
		part = arena_strndup(r->a, n->text, (size_t)(p - n->text));
		if (lstat(part, &st) == 0 && S_ISLNK(st.st_mode) && realpath(part, real)) {
			set_text(n, arena_printf(r->a, "%s%s", real, p));
			return;
		}
		if (!*p)
			return;
	}
}

static void resolve_mount(struct resolve *r, struct node *n, const struct node_path *path)
{
	struct node *source = node_get(n, "source");
	if (n->kind != NODE_MAP || !str_eq(node_str(n, "type", ""), "bind"))
		return;
	if (!source) {
		struct diag *d = diag_error(r->ds, n->pos, node_path_text(r->a, path), "a bind mount needs a source");
		diag_hint(r->ds, d, "source: is the file or directory of the host");
		r->failed = -1;
		return;
	}
	resolve_unix(r, source, path);
}

/* The local driver with o=bind mounts a directory of the host. */
static void resolve_volume(struct resolve *r, struct node *n, const struct node_path *path)
{
	struct node *opts = node_get(n, "driver_opts"), *device = node_get(opts, "device");
	if (str_eq(node_str(n, "driver", ""), "local") && str_eq(node_str(opts, "o", ""), "bind") && device)
		resolve_unix(r, device, path);
}

static const struct {
	const char *pattern;
	resolve_fn fn;
} rules[] = {
	{ "services.*.build.context", resolve_context },
	{ "services.*.build.additional_contexts.*", resolve_context },
	{ "services.*.build.ssh.*", resolve_unix },
	{ "services.*.env_file.*.path", resolve_path },
	{ "services.*.label_file.*", resolve_path },
	{ "services.*.extends.file", resolve_extends },
	{ "services.*.develop.watch.*.path", resolve_symlink },
	{ "services.*.volumes.*", resolve_mount },
	{ "configs.*.file", resolve_unix },
	{ "secrets.*.file", resolve_unix },
	{ "volumes.*", resolve_volume },
};

static void walk(struct resolve *r, struct node *n, uint64_t live, size_t depth, const struct node_path *path)
{
	int hit = pattern_hit(&r->set, live, depth);
	if (hit >= 0) {
		rules[hit].fn(r, n, path);
		return;
	}
	for (size_t i = 0; i < n->n; i++) {
		bool map = n->kind == NODE_MAP;
		struct node_path step = { .up = path, .key = map ? n->entries[i].key : NULL, .index = i };
		uint64_t next = pattern_step(&r->set, live, depth, step.key);
		if (next)
			walk(r, map ? n->entries[i].value : n->items[i], next, depth + 1, &step);
	}
}

int paths_resolve(struct node *doc, const char *base, const char *home, struct diags *ds)
{
	struct resolve r = { .ds = ds, .a = ds->arena, .base = base, .home = home };
	const char *patterns[ARRAY_SIZE(rules)];
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		patterns[i] = rules[i].pattern;
	pattern_set_init(&r.set, patterns, ARRAY_SIZE(rules));
	walk(&r, doc, pattern_start(&r.set), 0, NULL);
	return r.failed;
}
