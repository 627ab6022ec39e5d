/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery. The order matters and is the reference's: the environment first, then .env next to where the files are
 * expected (it may set COMPOSE_FILE), then the files, then .env of the directory that was found, which adds what is not set
 * yet. A name given with -p or COMPOSE_PROJECT_NAME must be valid as it is; one from a file or a directory is made so. */
#include "spec/discover.h"

#include <ctype.h>
#include <limits.h>
#include <sys/stat.h>

#include "spec/interpolate.h"
#include "spec/paths.h"
#include "spec/yaml.h"

static const struct pos nowhere;

void discovery_done(struct discovery *d)
{
	strv_done(&d->files);
	strv_done(&d->env_files);
	strv_done(&d->profiles);
}

static const char *absolute(struct arena *a, const char *cwd, const char *p)
{
	return *p == '/' ? path_clean(a, p) : path_join(a, cwd, p);
}

/* The project directory as far as it is known: --project-directory, the directory of the first file, the current one. */
static const char *working_dir(struct arena *a, const struct load_options *opts, const struct discovery *d)
{
	if (opts->project_directory && *opts->project_directory)
		return absolute(a, d->cwd, opts->project_directory);
	for (size_t i = 0; i < d->files.n; i++)
		if (strcmp(d->files.v[i], "-") != 0)
			return path_dir(a, d->files.v[i]);
	return d->cwd;
}

static void add_file(struct arena *a, struct discovery *d, const char *path)
{
	strv_push(&d->files, strcmp(path, "-") == 0 ? path : absolute(a, d->cwd, path));
}

static void split(const char *list, const char *separators, struct strv *ret)
{
	for (const char *p = list; ; ) {
		size_t len = strcspn(p, separators), n = len;
		const char *start = p;
		while (n && isspace((unsigned char)*start))
			start++, n--;
		while (n && isspace((unsigned char)start[n - 1]))
			n--;
		if (n)
			strv_take(ret, xstrndup(start, n));
		if (!p[len])
			return;
		p += len + 1;
	}
}

static int load_env_file(struct file_loader *fl, struct discovery *d, const char *path, struct env *env, struct env *out)
{
	if (file_load_env(fl, path, env, out, nowhere, "") < 0)
		return -1;
	if (!strv_has(&d->env_files, path))
		strv_push(&d->env_files, path);
	return 0;
}

/* --env-file or COMPOSE_ENV_FILES, else .env in dir; what they say is added below what is set. */
static int load_env(struct file_loader *fl, const struct load_options *opts, struct env *env, struct discovery *d)
{
	AUTO_STRV struct strv names = { 0 };
	const char *listed = env_get(env, "COMPOSE_ENV_FILES"), *off = env_get(env, "COMPOSE_DISABLE_ENV_FILE"), *dotenv;
	struct env out;
	struct stat st;
	bool valid = true, disabled = off && env_is_true(off, &valid);
	int r = 0;
	for (const char *const *p = opts->env_files; p && *p; p++)
		strv_push(&names, *p);
	if (!names.n && listed)
		split(listed, ",", &names);
	if (!names.n && !valid) {
		diag_error(fl->ds, nowhere, "", "COMPOSE_DISABLE_ENV_FILE: \"%s\" is not true or false", diag_quote(fl->ds, off));
		return -1;
	}
	env_init(&out, fl->a);
	for (size_t i = 0; i < names.n && r == 0; i++)
		r = load_env_file(fl, d, absolute(fl->a, d->cwd, names.v[i]), env, &out);
	dotenv = path_join(fl->a, working_dir(fl->a, opts, d), ".env");
	if (!names.n && !disabled && stat(dotenv, &st) == 0 && !S_ISDIR(st.st_mode))
		r = load_env_file(fl, d, dotenv, env, &out);
	env_merge(env, &out);
	env_done(&out);
	return r;
}

/* The first of names in dir (into *ret_first), warning when there are more. */
static bool find_default(struct file_loader *fl, const char *dir, const char *const *names, size_t n, const char **ret)
{
	AUTO_STR struct str all = { 0 };
	const char *first = NULL;
	size_t found = 0;
	for (size_t i = 0; i < n; i++) {
		const char *path = path_join(fl->a, dir, names[i]);
		if (access(path, F_OK) != 0)
			continue;
		str_addf(&all, "%s%s", found ? ", " : "", path);
		if (!found++)
			first = path;
	}
	if (found > 1)
		diag_hint(fl->ds, diag_warning(fl->ds, nowhere, "", "several compose files: %s", str_get(&all)), "using %s", first);
	*ret = first;
	return found > 0;
}

static void find_files(struct file_loader *fl, const struct load_options *opts, struct discovery *d)
{
	static const char *const names[] = { "compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml" };
	static const char *const overrides[] = { "compose.override.yml", "compose.override.yaml", "docker-compose.override.yml",
		"docker-compose.override.yaml" };
	const char *dir = working_dir(fl->a, opts, d), *file;
	for (;;) {
		if (find_default(fl, dir, names, ARRAY_SIZE(names), &file)) {
			strv_push(&d->files, file);
			if (find_default(fl, dir, overrides, ARRAY_SIZE(overrides), &file))
				strv_push(&d->files, file);
			return;
		}
		if (strcmp(dir, "/") == 0 || strcmp(dir, ".") == 0)
			return;
		dir = path_dir(fl->a, dir);
	}
}

static int files_from_env(struct file_loader *fl, const struct env *env, struct discovery *d)
{
	const char *list = env_get(env, "COMPOSE_FILE"), *separator = env_get(env, "COMPOSE_PATH_SEPARATOR");
	size_t from = d->files.n;
	if (!list || !*list)
		return 0;
	if (!separator || !*separator)
		separator = ":";
	for (const char *p = list; ; ) {
		const char *end = strstr(p, separator);
		size_t len = end ? (size_t)(end - p) : strlen(p);
		add_file(fl->a, d, arena_strndup(fl->a, p, len));
		if (!end)
			break;
		p = end + strlen(separator);
	}
	for (size_t i = from; i < d->files.n; i++) {
		if (strcmp(d->files.v[i], "-") != 0 && access(d->files.v[i], F_OK) != 0) {
			diag_error(fl->ds, nowhere, "", "COMPOSE_FILE: %s: %s", d->files.v[i], strerror(errno));
			return -1;
		}
	}
	return 0;
}

static void find_profiles(const struct load_options *opts, const struct env *env, struct discovery *d)
{
	const char *listed = env_get(env, "COMPOSE_PROFILES");
	for (const char *const *p = opts->profiles; p && *p; p++)
		strv_push(&d->profiles, *p);
	if (!d->profiles.n && listed)
		split(listed, ",", &d->profiles);
}

int discover_files(struct file_loader *fl, const struct load_options *opts, bool need_files, struct env *env, struct discovery *ret)
{
	char cwd[PATH_MAX];
	struct diag *d;
	*ret = (struct discovery){ .name = "" };
	if (!opts->working_dir && !getcwd(cwd, sizeof(cwd))) {
		diag_error(fl->ds, nowhere, "", "the current directory cannot be read: %s", strerror(errno));
		return -1;
	}
	ret->cwd = path_clean(fl->a, opts->working_dir ? opts->working_dir : cwd);
	env_add_list(env, opts->environ);
	if (!env_get(env, "PWD"))
		env_put(env, "PWD", ret->cwd);
	for (const char *const *p = opts->files; p && *p; p++)
		add_file(fl->a, ret, *p);
	if (load_env(fl, opts, env, ret) < 0)
		return -1;
	if (!ret->files.n && files_from_env(fl, env, ret) < 0)
		return -1;
	if (!ret->files.n)
		find_files(fl, opts, ret);
	if (load_env(fl, opts, env, ret) < 0)
		return -1;
	ret->dir = working_dir(fl->a, opts, ret);
	find_profiles(opts, env, ret);
	if (ret->files.n || !need_files)
		return 0;
	d = diag_error(fl->ds, nowhere, "", "no compose file found in %s or above", ret->dir);
	diag_hint(fl->ds, d, "name it compose.yaml, or give it with -f FILE");
	return -1;
}

/* Lower case, only [a-z0-9_-], no leading _ or -. */
static const char *normalize_name(struct arena *a, const char *s)
{
	char *out = arena_alloc(a, strlen(s) + 1);
	size_t n = 0;
	for (; *s; s++) {
		char c = (char)tolower((unsigned char)*s);
		if ((isalnum((unsigned char)c) && (unsigned char)c < 0x80) || ((c == '_' || c == '-') && n))
			out[n++] = c;
	}
	out[n] = '\0';
	return out;
}

static int check_name(struct file_loader *fl, const char *name, const char *origin)
{
	struct diag *d;
	if (strcmp(normalize_name(fl->a, name), name) == 0)
		return 0;
	d = diag_error(fl->ds, nowhere, "", "invalid project name \"%s\" (%s): only lower-case letters, digits, - and _, beginning with a letter or digit",
		diag_quote(fl->ds, name), origin);
	if (*normalize_name(fl->a, name))
		diag_hint(fl->ds, d, "\"%s\" would do", normalize_name(fl->a, name));
	return -1;
}

/* The last top-level name in the files, with its variables replaced; *ret NULL when there is none. */
static int name_from_files(struct file_loader *fl, const struct load_options *opts, const struct env *env, const struct discovery *d, const char **ret)
{
	const struct node *name = NULL;
	int r = 0;
	for (size_t i = 0; i < d->files.n; i++) {
		struct node **docs;
		size_t n;
		if (file_parse(fl, d->files.v[i], nowhere, "", &docs, &n) < 0) {
			r = -1;
			continue;
		}
		for (size_t k = 0; k < n; k++) {
			const struct node *at = node_get(docs[k], "name");
			if (at && at->kind != NODE_SEQ && at->kind != NODE_MAP && *at->text)
				name = at;
		}
	}
	*ret = NULL;
	if (r < 0 || !name)
		return r;
	*ret = name->kind != NODE_STRING || opts->no_interpolate ? name->text : interpolate_string(name, "name", env, &fl->warned, fl->ds);
	if (!*ret)
		return -1;
	*ret = normalize_name(fl->a, *ret);
	return 0;
}

int discover_name(struct file_loader *fl, const struct load_options *opts, struct env *env, struct discovery *d)
{
	const char *from_env = env_get(env, "COMPOSE_PROJECT_NAME"), *from_files;
	if (name_from_files(fl, opts, env, d, &from_files) < 0)
		return -1;
	if (opts->project_name && *opts->project_name) {
		d->name = arena_strdup(fl->a, opts->project_name);
		d->name_origin = "-p";
		if (check_name(fl, d->name, "-p") < 0)
			return -1;
	} else if (from_env && *from_env) {
		d->name = from_env;
		d->name_origin = "COMPOSE_PROJECT_NAME";
		d->name_pos = env_pos(env, "COMPOSE_PROJECT_NAME");
		if (check_name(fl, d->name, "COMPOSE_PROJECT_NAME") < 0)
			return -1;
	} else {
		d->name = from_files ? from_files : d->dir ? normalize_name(fl->a, path_base(fl->a, d->dir)) : "";
		d->name_origin = from_files ? "name" : "the directory";
	}
	env_put(env, "COMPOSE_PROJECT_NAME", d->name);
	return 0;
}
