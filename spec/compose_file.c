/* SPDX-License-Identifier: Apache-2.0 */
/* From the names of compose files to one canonical document. Each YAML document of each file goes through the same steps,
 * in the reference's order: tags, interpolation, include, extends, merge over what was there, unicity, schema, canonical form,
 * unicity again. A file is read once, however often it is named. */
#include "spec/compose_file.h"

#include <fcntl.h>

#include "base/fs.h"
#include "spec/canonical.h"
#include "spec/dotenv.h"
#include "spec/interpolate.h"
#include "spec/merge.h"
#include "spec/paths.h"
#include "spec/project.h"
#include "spec/schema.h"
#include "spec/yaml.h"

void file_loader_done(struct file_loader *fl)
{
	map_done(&fl->warned);
	map_done(&fl->texts);
	map_done(&fl->parsed);
	map_done(&fl->extended);
	fl->warned = fl->texts = fl->parsed = fl->extended = (struct map){ 0 };
}

static int read_text(const char *path, struct str *ret, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	struct stat st;
	if (strcmp(path, "-") == 0)
		return fs_read_fd(STDIN_FILENO, FILE_MAX_BYTES, ret, err);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_sys(err, errno, "cannot open the file");
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return err_set(err, ERR_INVALID, "this is a directory, not a file");
	return fs_read_fd(fd, FILE_MAX_BYTES, ret, err);
}

const struct source *file_read(struct file_loader *fl, const char *path, struct pos pos, const char *model_path)
{
	AUTO_STR struct str text = { 0 };
	struct source *src = map_get(&fl->texts, path);
	struct err err;
	char shown[512];
	if (src)
		return src;
	if (read_text(path, &text, &err) < 0) {
		diag_error(fl->ds, pos, model_path, "%s: %s", err_quote(shown, sizeof(shown), path), err.msg);
		return NULL;
	}
	src = source_new(fl->a, path, str_get(&text), text.len);
	src->by = pos;
	src->by_what = str_starts(model_path, "include") ? "included here" : strstr(model_path, ".extends") ? "extended here" : "read because of this";
	map_put(&fl->texts, path, src);
	return src;
}

int file_charge(struct file_loader *fl, size_t nodes, struct pos pos, const char *model_path)
{
	fl->n_nodes += nodes;
	if (diag_too_large(fl->ds, pos, model_path))
		return -1;
	if (fl->n_nodes <= FILE_MAX_NODES)
		return 0;
	diag_error(fl->ds, pos, model_path, "include and extends make more than %d values of this", FILE_MAX_NODES);
	return -1;
}

/* Every document is merged over, and checked with, all that came before: many small ones over a large one would take minutes. */
static int charge_merge(struct file_loader *fl, const struct node *dict, const struct node *doc)
{
	struct diag *d;
	fl->n_revisited += node_count(dict);
	if (fl->n_revisited <= FILE_MAX_REVISITED)
		return 0;
	d = diag_error(fl->ds, doc->pos, "", "too many files and documents for a project of this size");
	diag_hint(fl->ds, d, "merging them means to go through more than %d values: put them together", FILE_MAX_REVISITED);
	return -1;
}

struct parsed {
	struct node **docs;
	size_t n;
};

int file_parse(struct file_loader *fl, const char *path, struct pos pos, const char *model_path, struct node ***ret_docs, size_t *ret_n)
{
	struct parsed *p = map_get(&fl->parsed, path);
	const struct source *src;
	if (!p) {
		if (fl->n_loads++ >= FILE_MAX_COUNT) {
			diag_error(fl->ds, pos, model_path, "more than %d files", FILE_MAX_COUNT);
			return -1;
		}
		p = arena_alloc(fl->a, sizeof(*p));
		src = file_read(fl, path, pos, model_path);
		if (!src || yaml_parse(src, fl->ds, &p->docs, &p->n) < 0)
			return -1;
		for (size_t i = 0; i < p->n; i++)
			if (file_charge(fl, node_count(p->docs[i]), pos, model_path) < 0)
				return -1;
		map_put(&fl->parsed, path, p);
	}
	*ret_docs = p->docs;
	*ret_n = p->n;
	return 0;
}

struct env_lookup {
	const struct env *env;
};

static const char *lookup_env(void *arg, const char *name)
{
	return env_get(((struct env_lookup *)arg)->env, name);
}

static struct pos place_env(void *arg, const char *name)
{
	return env_pos(((struct env_lookup *)arg)->env, name);
}

int file_load_env(struct file_loader *fl, const char *path, const struct env *env, struct env *out, struct pos pos, const char *model_path)
{
	struct env_lookup lookup = { env };
	struct dotenv_vars vars = { .lookup = lookup_env, .place = place_env, .arg = &lookup, .warned = &fl->warned };
	const struct source *src = file_read(fl, path, pos, model_path);
	return src ? dotenv_parse(src, &vars, out, fl->ds) : -1;
}

/* The steps for one document over what was loaded before (NULL: nothing). extended: for `extends`, without include, extends and schema. */
static struct node *load_document(const struct file_context *ctx, struct node *dict, struct node *doc, const char *file,
	bool extended, struct reset_list *ret_reset)
{
	struct file_loader *fl = ctx->fl;
	struct diags *ds = fl->ds;
	size_t errors = ds->n_errors;
	if (doc->kind != NODE_MAP) {
		struct diag *d = diag_error(ds, doc->pos, "", "a compose file must be a mapping, not %s", node_kind_name(doc->kind));
		diag_hint(ds, d, "it begins with a line like \"services:\"");
		return NULL;
	}
	reset_collect(fl->a, doc, ret_reset);
	if (!fl->no_interpolate)
		interpolate_document(doc, ctx->env, &fl->warned, ds);
	if (!extended && include_apply(ctx, doc, ret_reset) < 0)
		return NULL;
	if (dict && charge_merge(fl, dict, doc) < 0)
		return NULL;
	if (dict)
		reset_apply(ret_reset, dict, ds);
	if (!extended && extends_apply(ctx, doc, file, ret_reset) < 0)
		return NULL;
	dict = dict ? merge_documents(dict, doc, ds) : doc;
	unicity_enforce(dict, ds);
	if (!extended && !fl->skip_validation) {
		schema_validate(dict, ds);
		node_del(dict, "version"); /* the schema has said that it means nothing */
	}
	if (ds->n_errors > errors)
		return NULL;
	if (canonical_apply(dict, fl->no_interpolate, ds) < 0 || unicity_enforce(dict, ds) < 0)
		return NULL;
	return dict;
}

static struct node *load_file(const struct file_context *ctx, struct node *dict, const char *path, struct pos pos, const char *model_path,
	bool extended, struct reset_list *ret_reset)
{
	struct node **docs;
	struct diag *d;
	size_t n;
	if (file_parse(ctx->fl, path, pos, model_path, &docs, &n) < 0)
		return NULL;
	map_del(&ctx->fl->parsed, path);
	for (size_t i = 0; i < n; i++) {
		dict = load_document(ctx, dict, docs[i], path, extended, ret_reset);
		if (!dict)
			return NULL;
	}
	if (dict && dict->n)
		return dict;
	d = diag_error(ctx->fl->ds, (struct pos){ .src = map_get(&ctx->fl->texts, path) }, "", "empty compose file");
	diag_hint(ctx->fl->ds, d, "it needs at least one service");
	return NULL;
}

struct node *file_load_extended(const struct file_context *ctx, const char *path, struct pos pos, const char *model_path, struct reset_list *ret_reset)
{
	return load_file(ctx, NULL, path, pos, model_path, true, ret_reset);
}

struct node *file_load_all(const struct file_context *ctx, const char *const *paths, size_t n, struct pos pos, const char *model_path)
{
	struct file_loader *fl = ctx->fl;
	struct node *dict = NULL;
	for (size_t i = 0; i < n; i++) {
		struct file_including link = { .up = ctx->including, .path = paths[i] };
		struct file_context at = *ctx;
		struct reset_list reset;
		at.including = &link;
		dict = load_file(&at, dict, paths[i], pos, model_path, false, &reset);
		if (!dict)
			return NULL;
	}
	if (!dict)
		return NULL;
	canonical_defaults(dict, fl->ds);
	if (!fl->skip_validation && canonical_check(dict, fl->ds) < 0)
		return NULL;
	if (ctx->resolve_paths && paths_resolve(dict, ctx->base, fl->home, fl->ds) < 0)
		return NULL;
	project_resolve_environment(dict, ctx->env, fl->ds);
	return dict;
}
