/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from elsewhere: git repositories and files by URL, as contexts and as sources of ADD. The builder has no network; muster's processes
 * fetch. A commit never changes, so a repository is asked only which commit is meant; a context's files are kept as a layer of the cache under
 * the commit's name, and ADD is a step whose key has the commit in it: what is here is not fetched again. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "images/build/build_impl.h"
#include "spec/giturl.h"

#define MAX_REMOTE_BYTES (64ULL << 30)

static json_t *git_need(const struct build_git *g, bool resolve)
{
	json_t *j = json_object();
	json_put_str(j, "need", "git");
	json_object_set_new(j, "url", json_text(g->url));
	json_object_set_new(j, "checksum", json_text(g->checksum ? g->checksum : ""));
	json_object_set_new(j, "resolve", json_boolean(resolve));
	json_object_set_new(j, "keep_dir", json_boolean(g->keep_dir));
	json_object_set_new(j, "submodules", json_boolean(g->submodules));
	json_put_int(j, "max_bytes", (int64_t)MAX_REMOTE_BYTES);
	return j;
}

int build_git_resolve(struct build *b, const char *text, const char *checksum, int keep_dir, struct build_git *ret, struct err *err)
{
	AUTO_GITURL struct giturl u = {0};
	json_t *answer = NULL;
	const char *commit;
	*ret = (struct build_git){0};
	if (giturl_parse(text, &u, err) < 0)
		return -1;
	if (*checksum && (strlen(checksum) < 7 || strlen(checksum) > 40 || strspn(checksum, "0123456789abcdef") != strlen(checksum)))
		return err_set(err, ERR_INVALID, "invalid checksum \"%.60s\": of a git repository it is a commit, 7 to 40 digits", checksum);
	if (*checksum && *u.checksum && strncmp(checksum, u.checksum, MIN(strlen(checksum), strlen(u.checksum))) != 0)
		return err_set(err, ERR_INVALID, "--checksum and the URL's query name different commits");
	ret->url = xstrdup(text);
	ret->checksum = xstrdup(checksum);
	ret->keep_dir = keep_dir < 0 ? u.keep_git_dir : keep_dir;
	ret->submodules = u.submodules;
	if (peers_ask(b->peers, git_need(ret, true), NULL, 0, &answer, err) < 0)
		return -1;
	commit = json_get_str(answer, "commit", "");
	snprintf(ret->commit, sizeof(ret->commit), "%s", commit);
	json_decref(answer);
	if (!giturl_is_commit(ret->commit))
		return err_set(err, ERR_CORRUPT, "the process that asks the repository names no commit");
	build_hash(ret->key,
		(const char *const []){ "git", u.remote, ret->commit, u.subdir, ret->keep_dir ? u.ref : "-", ret->submodules ? "modules" : "-" }, 6);
	return 0;
}

void build_git_done(struct build_git *g)
{
	free(g->url);
	free(g->checksum);
	*g = (struct build_git){0};
}

int build_git_fetch(struct build *b, const struct build_git *g, struct err *err)
{
	AUTO_CLOSE int out = store_open_spool(b->store, err);
	AUTO_CLOSE int pack = out < 0 ? -1 : store_open_spool(b->store, err);
	json_t *j, *answer = NULL;
	if (pack < 0)
		return -1;
	j = git_need(g, false);
	json_put_str(j, "commit", g->commit); /* the one that was resolved, whatever the ref means by now */
	if (peers_ask(b->peers, j, (int[]){ out, pack }, 2, &answer, err) < 0)
		return -1;
	json_decref(answer);
	return lseek(out, 0, SEEK_SET) < 0 ? err_sys(err, errno, "the repository's files") : TAKE_FD(out);
}

/* ---- contexts ---- */

static void tell(struct build *b, int64_t *id, const char *state, const char *text)
{
	json_t *j = json_object();
	pthread_mutex_lock(&b->lock);
	if (*id == 0)
		*id = ++b->next_step;
	pthread_mutex_unlock(&b->lock);
	json_put_str(j, "event", "step");
	json_put_int(j, "id", *id);
	json_put_str(j, "state", state);
	json_object_set_new(j, "text", json_text(text));
	json_put_str(j, "stage", "");
	json_put_int(j, "index", 0);
	json_put_int(j, "total", 0);
	json_put_int(j, "first_line", 0);
	json_put_int(j, "last_line", 0);
	peers_tell(b->peers, j);
}

struct kept {
	struct build *b;
	struct layer *layer;
	char key[65];
	char *text;
	int lock_fd;
};

/* The layer is in place: the next build finds it. */
static void remember(void *arg, bool ok)
{
	struct kept *k = arg;
	struct cache_record r = { .text = k->text };
	if (ok && k->layer) {
		AUTO_FREE char *created = build_created(k->b);
		r.size_bytes = k->layer->size_bytes;
		memcpy(r.diff_id, k->layer->diff_id, sizeof(r.diff_id));
		memcpy(r.content, k->layer->content, sizeof(r.content));
		snprintf(r.created, sizeof(r.created), "%s", created);
		cache_put(k->b->cache, k->key, &r);
	}
	cache_unlock(k->b->cache, k->key, k->lock_fd);
	free(k->text);
	free(k);
}

static struct layer *find_kept(struct build *b, const char *key)
{
	struct cache_record r = {0};
	struct layer *l;
	if (cache_get(b->cache, key, &r) != 0)
		return NULL;
	l = r.diff_id[0] ? layers_open(b->layers, r.diff_id, NULL) : NULL;
	cache_record_done(&r);
	return l;
}

static struct layer *fetch_layer(struct build *b, const struct build_git *g, struct err *err)
{
	AUTO_CLOSE int fd = build_git_fetch(b, g, err);
	struct layer *l = fd < 0 ? NULL : layers_begin(b->layers, err);
	if (!l)
		return NULL;
	if (unpack_context(fd, l->fd, err) < 0) {
		layers_drop(l);
		return NULL;
	}
	fs_remove_tree(layers_dir_fd(l), "work", NULL);
	layers_fill(l);
	return l;
}

static int open_git(struct build *b, struct build_context *c, int64_t *step, const char *text, struct err *err)
{
	struct build_git g;
	struct layer *l = NULL;
	struct kept *k;
	int rc = build_git_resolve(b, c->ref, "", c->keep_dir ? 1 : -1, &g, err);
	if (rc == 0 && !(l = find_kept(b, g.key))) {
		k = xcalloc(1, sizeof(*k));
		*k = (struct kept){ .b = b, .text = xstrdup(text), .lock_fd = cache_lock(b->cache, g.key) };
		memcpy(k->key, g.key, sizeof(k->key));
		l = find_kept(b, g.key); /* somebody else may have fetched it just now */
		if (l) {
			remember(k, false);
		} else {
			tell(b, step, "started", text);
			l = k->layer = fetch_layer(b, &g, err);
			if (l)
				layers_place_later(l, remember, k);
			else
				remember(k, false);
		}
	}
	build_git_done(&g);
	if (!l)
		return -1;
	c->fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
	return c->fd < 0 ? err_sys(err, errno, "context") : 0;
}

/* A file, in a directory of its own, named as the URL's path ends. */
static int open_url(struct build *b, struct build_context *c, struct err *err)
{
	const char *path = strstr(c->ref, "://") + 3;
	AUTO_FREE char *whole = xstrndup(path, strcspn(path, "?#"));
	const char *slash = strrchr(whole, '/'), *name = slash && slash[1] ? slash + 1 : "index";
	struct layer *l = layers_begin(b->layers, err);
	json_t *j, *answer = NULL;
	AUTO_CLOSE int fd = -1;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	if (!l)
		return -1;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		name = "index";
	fd = openat(l->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "context");
	j = json_pack("{s:s,s:o,s:I}", "need", "fetch", "url", json_text(c->ref), "max_bytes", (json_int_t)MAX_REMOTE_BYTES);
	if (peers_ask(b->peers, j, &fd, 1, &answer, err) < 0)
		return -1;
	times[1].tv_sec = json_get_int(answer, "modified", 0);
	json_decref(answer);
	if (futimens(fd, times) < 0)
		return err_sys(err, errno, "context");
	c->fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
	return c->fd < 0 ? err_sys(err, errno, "context") : 0;
}

int build_context_fetch(struct build *b, struct build_context *c, struct err *err)
{
	AUTO_FREE char *text = xasprintf("[context%s%s] load %s", *c->name ? " " : "", c->name, c->ref);
	char quoted[200];
	int64_t step = 0;
	int rc;
	if (c->remote == CONTEXT_GIT) {
		rc = open_git(b, c, &step, text, err);
	} else {
		tell(b, &step, "started", text);
		rc = open_url(b, c, err);
	}
	tell(b, &step, rc < 0 ? "error" : step ? "done" : "cached", text);
	return rc < 0 ? err_wrap(err, "context \"%s\"", err_quote(quoted, sizeof(quoted), c->ref)) : 0;
}
