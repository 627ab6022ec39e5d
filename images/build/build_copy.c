/* SPDX-License-Identifier: Apache-2.0 */
/* COPY, ADD and WORKDIR. Before the cache is asked, everything that the step takes in is known by its digest: files of a context or an image, a
 * download, here-documents; then the step is done on the layers below without a mount (images/build/view.h). */
#include <stdio.h>

#include "base/fs.h"
#include "images/build/build_impl.h"
#include "spec/giturl.h"

/* One source word. */
struct part {
	const char *word;
	struct copy_matches matches;
	int fd;                   /* of a download; -1 */
	struct build_git git;     /* of a repository; url NULL: it is none */
	char *name;               /* its file name */
	bool has_time;
	struct timespec modified;
};

struct job {
	const struct instruction *in;
	struct build_source source;
	bool has_source;
	struct copy_options options;
	struct ignore *excludes;
	char *dest;
	struct part *parts;
	size_t n;
};

static void job_done(struct job *j)
{
	for (size_t i = 0; i < j->n; i++) {
		copy_matches_done(&j->parts[i].matches);
		util_close(&j->parts[i].fd);
		build_git_done(&j->parts[i].git);
		free(j->parts[i].name);
	}
	if (j->has_source)
		build_source_done(&j->source);
	ignore_free(j->excludes);
	free(j->dest);
	free(j->parts);
}

char *build_absolute(const struct build_state *s, const char *path, bool keep_slash)
{
	const char *wd = json_get_str(json_object_get(s->doc, "config"), "WorkingDir", "/");
	AUTO_FREE char *whole = path[0] == '/' ? xstrdup(path) : xasprintf("/%s/%s", wd, path);
	const size_t n = strlen(path);
	const bool slash = keep_slash && (n == 0 || path[n - 1] == '/' || strcmp(path, ".") == 0 || str_ends(path, "/."));
	AUTO_STRV struct strv parts = {0};
	struct str out = {0};
	for (char *save = NULL, *p = strtok_r(whole, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
		if (strcmp(p, ".") == 0)
			continue;
		if (strcmp(p, "..") != 0)
			strv_push(&parts, p);
		else if (parts.n > 0) {
			free(parts.v[--parts.n]);
			parts.v[parts.n] = NULL;
		}
	}
	for (size_t i = 0; i < parts.n; i++)
		str_addf(&out, "/%s", parts.v[i]);
	if (slash || out.len == 0)
		str_addc(&out, '/');
	return str_take(&out);
}

static bool is_url(const char *word)
{
	return str_starts(word, "http://") || str_starts(word, "https://");
}

/* ---- what goes in ---- */

static int select_files(struct build_stage *st, struct job *j, struct part *p, json_t *op, struct err *err)
{
	const struct copy_source *src = &j->source.copy;
	AUTO_FREE char *options = NULL;
	char digest[65], memo[65];
	AUTO_JSON json_t *what = json_object();
	if (copy_select(src, p->word, &j->options, &p->matches, err) < 0)
		return -1;
	if (j->source.identity[0]) { /* layers never change: what was digested once is known */
		json_t *list = json_array();
		json_object_set_new(what, "from", json_string(j->source.identity));
		json_object_set_new(what, "word", json_text(p->word));
		json_object_set_new(what, "parents", json_boolean(j->options.parents));
		json_object_set_new(what, "chown", json_boolean(j->options.chown));
		for (size_t i = 0; i < j->in->copy.excludes.n; i++)
			json_array_append_new(list, json_text(j->in->copy.excludes.v[i]));
		json_object_set_new(what, "excludes", list);
		options = json_canonical(what);
		build_hash(memo, (const char *const []){ "copy", options }, 2);
	}
	if (!options || cache_get_memo(st->b->cache, memo, digest, sizeof(digest)) != 0) {
		if (copy_digest(src, &p->matches, &j->options, digest, err) < 0)
			return -1;
		if (options)
			cache_put_memo(st->b->cache, memo, digest);
	}
	json_array_append_new(json_object_get(op, "sources"), json_string(digest));
	return 0;
}

/* The name of the file that a URL means: the last part of its path. */
static char *url_name(const char *url)
{
	const char *path = strstr(url, "://") + 3;
	const size_t n = strcspn(path, "?#");
	AUTO_FREE char *whole = xstrndup(path, n);
	const char *slash = strrchr(whole, '/');
	return slash && slash[1] ? xstrdup(slash + 1) : NULL;
}

static int hash_fd(int fd, char ret[static 65], struct err *err)
{
	struct statcache *c = statcache_open(-1, "");
	unsigned char digest[STATCACHE_DIGEST];
	struct stat st;
	int rc = fstat(fd, &st) < 0 ? err_sys(err, errno, "download") : statcache_digest(c, fd, &st, digest, err);
	for (size_t i = 0; rc == 0 && i < sizeof(digest); i++)
		snprintf(ret + 2 * i, 3, "%02x", digest[i]);
	statcache_close(c);
	return rc;
}

static int fetch(struct build_stage *st, struct job *j, struct part *p, json_t *op, struct err *err)
{
	const char *checksum = j->in->copy.checksum, *name;
	json_t *ask = json_object(), *answer = NULL;
	char digest[65];
	int64_t modified;
	p->fd = store_open_spool(st->b->store, err);
	if (p->fd < 0)
		return -1;
	json_put_str(ask, "need", "fetch");
	json_object_set_new(ask, "url", json_text(p->word));
	json_put_int(ask, "max_bytes", 64LL << 30);
	if (peers_ask(st->b->peers, ask, &p->fd, 1, &answer, err) < 0)
		return err_wrap(err, "%s", p->word);
	name = json_get_str(answer, "name", "");
	modified = json_get_int(answer, "modified", 0);
	p->name = *name && !strchr(name, '/') && strcmp(name, "..") != 0 ? xstrdup(name) : url_name(p->word);
	p->has_time = true;
	p->modified.tv_sec = modified;
	json_decref(answer);
	if (hash_fd(p->fd, digest, err) < 0)
		return -1;
	if (*checksum && (!str_starts(checksum, "sha256:") || strcmp(checksum + 7, digest) != 0))
		return err_set(err, ERR_CORRUPT, "digest mismatch sha256:%s: %s", digest, checksum);
	if (!p->name && str_ends(j->dest, "/"))
		return err_set(err, ERR_INVALID, "%s: the URL names no file", p->word);
	json_array_append_new(json_object_get(op, "sources"), json_string(digest));
	json_array_append_new(json_object_get(op, "names"), json_text(p->name ? p->name : ""));
	return 0;
}

static int gather(struct build_stage *st, struct job *j, json_t *op, struct err *err)
{
	const struct instruction_copy *c = &j->in->copy;
	json_object_set_new(op, "sources", json_array());
	json_object_set_new(op, "names", json_array());
	j->parts = xcalloc(c->sources.n + 1, sizeof(*j->parts));
	for (j->n = 0; j->n < c->sources.n; j->n++)
		j->parts[j->n] = (struct part){ .word = c->sources.v[j->n], .fd = -1 };
	if (*c->checksum && j->n + c->n_contents > 1)
		return err_set(err, ERR_INVALID, "checksum can't be specified for multiple sources");
	for (size_t i = 0; i < j->n; i++) {
		struct part *p = &j->parts[i];
		const bool add = j->in->kind == INSTRUCTION_ADD;
		if (add && giturl_is(p->word)) {
			if (build_git_resolve(st->b, p->word, c->checksum, c->keep_git_dir, &p->git, err) < 0)
				return err_wrap(err, "%s", p->word);
			json_array_append_new(json_object_get(op, "sources"), json_string(p->git.key));
			continue;
		}
		if (add && is_url(p->word)) {
			if (fetch(st, j, p, op, err) < 0)
				return -1;
			continue;
		}
		if (giturl_is(p->word) || is_url(p->word))
			return err_set(err, ERR_INVALID, "source can't be a %s for COPY", giturl_is(p->word) ? "git ref" : "URL");
		if (*c->checksum)
			return err_set(err, ERR_INVALID, "checksum can't be specified for non-HTTP(S) sources");
		if (!j->has_source && build_source_open(st, c->from, &j->source, err) < 0)
			return -1;
		j->has_source = true;
		if (select_files(st, j, p, op, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- the step ---- */

static int run_copy(struct build_step *s, struct layer *layer, bool *ret_unsure, struct err *err)
{
	struct job *j = s->arg;
	const struct build_state none = {0};
	size_t n;
	int *fds = build_state_fds(s->own_layer ? &none : &s->st->state, layer->fd, &n), rc = 0;
	const struct view dest = { .fds = fds, .n = n, .writable = true };
	j->options.tmp_fd = layers_dir_fd(layer);
	for (size_t i = 0; rc == 0 && i < j->n; i++) {
		struct part *p = &j->parts[i];
		struct copy_options o = j->options;
		bool unsure = false;
		if (p->git.url) {
			AUTO_CLOSE int fd = build_git_fetch(s->st->b, &p->git, err);
			rc = fd < 0 ? -1 : unpack_tree(fd, &o, &dest, err);
			if (rc < 0)
				err_wrap(err, "%s", p->word);
			continue;
		}
		if (p->fd < 0) {
			rc = copy_apply(&j->source.copy, &p->matches, &o, &dest, &unsure, err);
			*ret_unsure |= unsure && j->source.context; /* only a context can change under our hands */
			continue;
		}
		rc = o.unpack ? unpack_into(p->fd, &o, &dest, err) : 1;
		if (rc == 1)
			rc = copy_write(p->name ? p->name : "", NULL, 0, p->fd, 0600, &p->modified, &o, &dest, err);
	}
	for (size_t i = 0; rc == 0 && i < j->in->copy.n_contents; i++) {
		const struct instruction_content *c = &j->in->copy.contents[i];
		rc = copy_write(c->name, c->data, strlen(c->data), -1, 0644, NULL, &j->options, &dest, err);
	}
	free(fds);
	return rc;
}

/* Options, as the instruction gives them; names of users are looked up below. */
static int read_options(struct build_stage *st, struct job *j, bool link, json_t *op, struct err *err)
{
	const struct instruction_copy *c = &j->in->copy;
	const bool add = j->in->kind == INSTRUCTION_ADD;
	mode_t ignored;
	j->dest = build_absolute(&st->state, c->dest, true);
	j->options = (struct copy_options){
		.dest = j->dest, .chmod = c->chmod, .parents = c->parents, .cancelled = &st->b->cancelled, .tmp_fd = -1, .replace = true,
	};
	j->options.unpack = add && c->unpack != 0;
	if (*c->chmod && copy_chmod(c->chmod, 0644, false, &ignored, err) < 0)
		return -1;
	if (c->excludes.n) {
		j->excludes = ignore_new(c->excludes.v, c->excludes.n, err);
		if (!j->excludes)
			return err_wrap(err, "--exclude");
		j->options.excludes = j->excludes;
	}
	if (*c->chown) {
		const struct build_state none = {0};
		size_t n;
		int *fds = build_state_fds(link ? &none : &st->state, -1, &n), rc;
		const struct view root = { .fds = fds, .n = n };
		rc = build_user_lookup(&root, c->chown, true, &j->options.uid, &j->options.gid, err);
		free(fds);
		if (rc < 0)
			return -1;
		j->options.chown = true;
		json_put_int(op, "uid", j->options.uid);
		json_put_int(op, "gid", j->options.gid);
	}
	json_put_str(op, "op", add ? "add" : "copy");
	json_object_set_new(op, "dest", json_text(j->dest));
	json_object_set_new(op, "chmod", json_text(c->chmod));
	json_object_set_new(op, "parents", json_boolean(c->parents));
	json_object_set_new(op, "link", json_boolean(link));
	json_put_int(op, "unpack", c->unpack);
	for (size_t i = 0; i < c->n_contents; i++) {
		char hex[65];
		build_hash(hex, (const char *const []){ c->contents[i].name, c->contents[i].data }, 2);
		if (!json_object_get(op, "contents"))
			json_object_set_new(op, "contents", json_array());
		json_array_append_new(json_object_get(op, "contents"), json_string(hex));
	}
	return 0;
}

/* A word for a remote source is unpacked only when --unpack says so. */
static void settle_unpack(struct job *j)
{
	bool remote = false;
	for (size_t i = 0; i < j->n; i++)
		remote |= j->parts[i].fd >= 0 || j->parts[i].git.url;
	if (remote && j->in->copy.unpack != 1)
		j->options.unpack = false;
}

int build_copy(struct build_stage *st, const struct instruction *in, struct err *err)
{
	struct job j = { .in = in };
	const bool link = in->copy.link && !*in->copy.chmod; /* BuildKit's rule: with --chmod it is an ordinary COPY */
	struct build_step s = { .st = st, .in = in, .run = run_copy, .arg = &j, .own_layer = link };
	int rc;
	s.op = json_object();
	rc = read_options(st, &j, link, s.op, err);
	if (rc == 0)
		rc = gather(st, &j, s.op, err);
	if (rc == 0) {
		settle_unpack(&j);
		s.text = xstrdup(in->code);
		s.history = imageconfig_copy_text(in);
		rc = build_step_do(&s, err);
	} else {
		json_decref(s.op);
	}
	job_done(&j);
	return rc;
}

int build_from_directory(struct build_stage *st, const char *context, struct err *err)
{
	const char *all[] = { "/" };
	const struct instruction in = {
		.kind = INSTRUCTION_COPY, .keyword = st->in->keyword, .code = st->in->code, .pos = st->in->pos, .first_line = st->in->first_line,
		.last_line = st->in->last_line,
		.copy = { .sources = { .v = all, .n = 1 }, .dest = "/", .from = context, .chown = "", .chmod = "", .checksum = "", .keep_git_dir = -1,
			.unpack = -1 },
	};
	st->at = &in;
	if (build_copy(st, &in, err) < 0) {
		st->at = NULL; /* it ends with this frame */
		return err_wrap(err, "FROM %s", st->base);
	}
	st->at = NULL;
	return 0;
}

/* ---- WORKDIR ---- */

struct workdir {
	char *path;
	struct view_owner owner;
};

static int run_workdir(struct build_step *s, struct layer *layer, bool *ret_unsure, struct err *err)
{
	const struct workdir *wd = s->arg;
	AUTO_WALK struct view_walk w = {0};
	size_t n;
	int *fds = build_state_fds(&s->st->state, layer->fd, &n), rc;
	const struct view dest = { .fds = fds, .n = n, .writable = true };
	(void)ret_unsure;
	rc = view_walk_init(&w, &dest, err);
	if (rc == 0)
		rc = view_make_dirs(&w, wd->path, &wd->owner, NULL, err);
	free(fds);
	return rc;
}

int build_workdir(struct build_stage *st, const struct instruction *in, struct err *err)
{
	AUTO_FREE char *path = build_absolute(&st->state, in->text, false);
	const char *user = json_get_str(imageconfig_of(st->state.doc), "User", "");
	struct workdir wd = { .path = path, .owner = { .mode = 0755 } };
	struct build_step s = { .st = st, .in = in, .run = run_workdir, .arg = &wd };
	json_object_set_new(imageconfig_of(st->state.doc), "WorkingDir", json_text(path));
	if (*user) {
		size_t n;
		int *fds = build_state_fds(&st->state, -1, &n), rc;
		const struct view root = { .fds = fds, .n = n };
		/* BuildKit takes root for who is not in the files, and fails only where there is no file system at all */
		rc = build_user_lookup(&root, user, n == 0, &wd.owner.uid, &wd.owner.gid, err);
		free(fds);
		if (rc < 0)
			return -1;
	}
	if (strcmp(path, "/") == 0) { /* is there already */
		imageconfig_history(st->state.doc, "WORKDIR /", "", true);
		return 0;
	}
	s.op = json_object();
	json_put_str(s.op, "op", "workdir");
	json_object_set_new(s.op, "path", json_text(path));
	json_put_int(s.op, "uid", wd.owner.uid);
	json_put_int(s.op, "gid", wd.owner.gid);
	s.text = xstrdup(in->code);
	s.history = xasprintf("WORKDIR %s", path);
	return build_step_do(&s, err);
}
