/* SPDX-License-Identifier: Apache-2.0 */
/* Where files come from: contexts (directories that muster has opened, now below the jail's root), other stages, images of the store, which muster
 * gets when they are not here. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "images/build/build_impl.h"
#include "spec/imageref.h"

/* ---- contexts ---- */

struct build_context *build_context_find(struct build *b, const char *name)
{
	if (!*name)
		return b->n_contexts && !*b->contexts[0].name ? &b->contexts[0] : NULL;
	for (size_t i = 0; i < b->n_contexts; i++)
		if (*b->contexts[i].name && strcasecmp(b->contexts[i].name, name) == 0)
			return &b->contexts[i];
	return NULL;
}

/* A table for this directory, wherever it is mounted. */
static void name_table(struct build_context *c)
{
	struct stat st;
	char text[80], hex[65];
	if (fstat(c->fd, &st) < 0)
		return;
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	build_hash(hex, (const char *const []){ "context", text }, 2);
	snprintf(c->stat_name, sizeof(c->stat_name), "%.32s", hex);
}

static int unpack_tar(struct build *b, struct build_context *c, int fd, struct err *err);

/* The build argument that is meant for the builder. */
static bool keep_git_dir(const struct build *b)
{
	const char *v = expand_env_get(&b->build_args, "BUILDKIT_CONTEXT_KEEP_GIT_DIR");
	return v && (strcmp(v, "1") == 0 || strcasecmp(v, "true") == 0 || strcasecmp(v, "t") == 0);
}

int build_contexts_open(struct build *b, const int *fds, struct err *err)
{
	const json_t *list = json_object_get(b->request, "contexts"), *item;
	size_t i;
	json_array_foreach(list, i, item) {
		struct build_context *c = &b->contexts[b->n_contexts];
		const char *kind = json_get_str(item, "kind", "");
		const int64_t n = json_get_int(item, "fd", -1);
		if (b->n_contexts >= BUILD_MAX_CONTEXTS)
			return err_set(err, ERR_INVALID, "more than %d contexts", BUILD_MAX_CONTEXTS);
		*c = (struct build_context){ .name = xstrdup(json_get_str(item, "name", "")), .fd = -1 };
		pthread_mutex_init(&c->lock, NULL);
		b->n_contexts++;
		if (strcmp(kind, "image") == 0) {
			c->kind = CONTEXT_IMAGE;
			c->ref = xstrdup(json_get_str(item, "id", json_get_str(item, "ref", "")));
		} else if (strcmp(kind, "git") == 0 || strcmp(kind, "url") == 0) {
			c->kind = CONTEXT_DIRECTORY;
			c->remote = strcmp(kind, "git") == 0 ? CONTEXT_GIT : CONTEXT_URL;
			c->ref = xstrdup(json_get_str(item, "url", ""));
			c->keep_dir = !*c->name && keep_git_dir(b);
		} else if (strcmp(kind, "empty") == 0) {
			c->kind = CONTEXT_EMPTY;
		} else if ((strcmp(kind, "directory") == 0 || strcmp(kind, "tar") == 0) && n >= 0 && n < MESSAGE_MAX_FDS && fds[n] >= 0) {
			c->kind = CONTEXT_DIRECTORY;
			if (strcmp(kind, "tar") == 0 && unpack_tar(b, c, fds[n], err) < 0)
				return -1;
			if (strcmp(kind, "directory") == 0) {
				c->fd = fds[n];
				name_table(c);
			}
		} else {
			return err_set(err, ERR_UNSUPPORTED, "context \"%s\": this kind is not supported", c->name);
		}
	}
	return 0;
}

/* An archive becomes a temporary layer, which goes with the build. */
static int unpack_tar(struct build *b, struct build_context *c, int fd, struct err *err)
{
	struct layer *l = layers_begin(b->layers, err);
	if (!l || unpack_context(fd, l->fd, err) < 0)
		return l ? err_wrap(err, "build context") : -1;
	c->fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
	return c->fd < 0 ? err_sys(err, errno, "build context") : 0;
}

void build_contexts_close(struct build *b)
{
	for (size_t i = 0; i < b->n_contexts; i++) {
		statcache_close(b->contexts[i].stat);
		ignore_free(b->contexts[i].ignore);
		free(b->contexts[i].name);
		free(b->contexts[i].ref);
		util_close(&b->contexts[i].fd);
	}
	b->n_contexts = 0;
}

/* The text of a file of the context; 1: there is none. */
static int read_file(const struct build_context *c, const char *path, struct str *ret, struct err *err)
{
	AUTO_WALK struct view_walk w = {0};
	AUTO_CLOSE int fd = -1;
	char base[256];
	struct stat st;
	int rc = view_walk_init(&w, &c->view, err);
	if (rc == 0)
		rc = view_resolve(&w, path, VIEW_FOLLOW, base, &st, err);
	if (rc != 0 || !S_ISREG(st.st_mode))
		return rc < 0 ? -1 : 1;
	fd = view_open(&w, base, &st, err);
	return fd < 0 ? -1 : fs_read_fd(fd, IGNORE_MAX_BYTES, ret, err);
}

static int read_ignore(struct build *b, struct build_context *c, struct err *err)
{
	AUTO_STR struct str text = {0};
	const json_t *given = *c->name ? NULL : json_object_get(b->request, "ignore_text");
	const char *dockerfile = json_get_str(json_object_get(b->request, "dockerfile"), "path", "");
	int rc = 1;
	if (json_is_string(given)) {
		str_add(&text, json_string_value(given));
		rc = 0;
	} else if (*dockerfile && !*c->name) {
		AUTO_FREE char *own = xasprintf("%s.dockerignore", dockerfile);
		rc = read_file(c, own, &text, err);
	}
	if (rc == 1)
		rc = read_file(c, ".dockerignore", &text, err);
	if (rc != 0)
		return rc < 0 ? err_wrap(err, ".dockerignore") : 0;
	c->ignore = ignore_parse(str_get(&text), text.len, err);
	return c->ignore ? 0 : err_wrap(err, ".dockerignore");
}

/* Once for each context that is used. */
int build_context_open(struct build *b, struct build_context *c, struct err *err)
{
	int rc = 0;
	pthread_mutex_lock(&c->lock);
	if (!c->opened && c->failed)
		rc = err_set(err, ERR_NOT_FOUND, "context \"%s\": could not be fetched", c->name);
	else if (!c->opened && c->fd < 0 && (rc = build_context_fetch(b, c, err)) == 0)
		name_table(c);
	c->failed = rc < 0;
	if (!c->opened && rc == 0) {
		c->view = (struct view){ .fds = &c->fd, .n = 1, .raw = true };
		rc = read_ignore(b, c, err);
		c->stat = statcache_open(*c->stat_name ? cache_stat_fd(b->cache) : -1, c->stat_name);
		c->opened = true;
	}
	pthread_mutex_unlock(&c->lock);
	return rc;
}

/* ---- images ---- */

static int platform_matches(const struct image *img, const struct expand_platform *p)
{
	return strcmp(img->os, p->os) == 0 && strcmp(img->architecture, p->arch) == 0 &&
	       (!*p->variant || !*img->variant || strcmp(img->variant, p->variant) == 0);
}

static int need_image(struct build_stage *st, const char *ref, const char *platform, bool pull, char ret_id[static 65], struct err *err)
{
	json_t *j = json_object(), *answer = NULL;
	const char *id;
	json_put_str(j, "need", "image");
	json_put_str(j, "ref", ref);
	json_put_str(j, "platform", platform);
	json_object_set_new(j, "pull", json_boolean(pull));
	if (peers_ask(st->b->peers, j, NULL, 0, &answer, err) < 0)
		return -1;
	id = json_get_str(answer, "image", "");
	snprintf(ret_id, 65, "%s", id);
	json_decref(answer);
	return 0;
}

static bool is_id(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

/* What another service or a layout has is taken as it is. */
static void warn_platform(struct build_stage *st, const struct image *img, const char *platform)
{
	json_t *j = json_pack("{s:s}", "event", "warning");
	AUTO_FREE char *text = xasprintf("InvalidBaseImagePlatform: base image %.12s has platform \"%s/%s\", expected \"%s\" for current build", img->id,
		img->os, img->architecture, platform);
	json_put_int(j, "line", st->in->first_line);
	json_object_set_new(j, "text", json_text(text));
	peers_tell(st->b->peers, j);
}

/* Finds the image here, or has muster get it. */
static int find_image(struct build_stage *st, const char *ref, const struct expand_platform *p, struct image *ret, struct err *err)
{
	AUTO_FREE char *platform = xasprintf("%s/%s%s%s", p->os, p->arch, *p->variant ? "/" : "", p->variant);
	const bool layout = str_starts(ref, "oci-layout://"); /* a context's: muster loads it */
	const bool pull = layout || (json_get_bool(st->b->request, "pull", false) && !is_id(ref));
	char id[65];
	if (!pull && store_lookup(st->b->store, ref, ret, err) == 0) {
		if (is_id(ref) && !platform_matches(ret, p))
			warn_platform(st, ret, platform);
		if (is_id(ref) || platform_matches(ret, p))
			return 0;
		image_done(ret);
	} else if (!pull && err->code != ERR_NOT_FOUND) {
		return -1;
	}
	if (is_id(ref))
		return -1;
	if (need_image(st, ref, platform, pull, id, err) < 0)
		return err_wrap(err, "%s", ref);
	return store_lookup(st->b->store, id, ret, err);
}

static int open_layers(struct build_stage *st, const struct image *img, struct build_state *ret, struct err *err)
{
	ret->layers = xcalloc(img->diff_ids.n + 1, sizeof(*ret->layers));
	for (size_t i = 0; i < img->diff_ids.n; i++) {
		ret->layers[i] = layers_open(st->b->layers, img->diff_ids.v[i], err);
		if (!ret->layers[i])
			return -1;
		ret->n++;
	}
	return 0;
}

int build_image_open(struct build_stage *st, const char *ref, const struct expand_platform *platform, struct build_state *ret, struct strv *ret_onbuild,
	struct err *err)
{
	AUTO_IMAGE struct image img = {0};
	AUTO_FREE char *text = is_id(ref) ? xasprintf("FROM %.12s", ref) : xasprintf("FROM %s", ref), *ids = NULL;
	int64_t id = build_step_tell(st, 0, "started", text, st->in->first_line, st->in->last_line);
	if (find_image(st, ref, platform, &img, err) < 0 || open_layers(st, &img, ret, err) < 0) {
		build_step_tell(st, id, "error", text, st->in->first_line, st->in->last_line);
		return -1;
	}
	ret->doc = imageconfig_from(img.json, ret_onbuild);
	ids = json_canonical(ret->doc); /* the configuration decides what the steps run with */
	build_hash(ret->key, (const char *const []){ "image", ids }, 2);
	snprintf(ret->created, sizeof(ret->created), "%.39s", img.created);
	build_step_tell(st, id, "done", text, st->in->first_line, st->in->last_line);
	return 0;
}

/* ---- sources ---- */

static int open_state(struct build_source *s, struct err *err)
{
	const char **parts = xcalloc(s->state.n + 1, sizeof(*parts));
	size_t n = 0;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < s->state.n; i++) {
		rc = layers_sealed(s->state.layers[i], err);
		parts[i] = s->state.layers[i]->diff_id;
	}
	build_hash(s->identity, parts, s->state.n);
	free(parts);
	s->fds = build_state_fds(&s->state, -1, &n);
	s->view = (struct view){ .fds = s->fds, .n = n };
	s->stat = statcache_open(-1, "");
	s->copy = (struct copy_source){ .view = &s->view, .stat = s->stat };
	return rc;
}

/* A stage that comes later, or this one, hides an image of its name. */
static int not_later(const struct build_stage *st, const char *from, struct err *err)
{
	const struct build_stage *other = *from ? build_stage_find(st->b, st->b->n_stages, from) : NULL;
	if (!other)
		return 0;
	return err_set(err, ERR_INVALID, "stage \"%s\" needs to be defined before the stage that uses it", from);
}

int build_source_open(struct build_stage *st, const char *from, struct build_source *ret, struct err *err)
{
	struct build *b = st->b;
	struct build_context *c = build_context_find(b, from);
	struct build_stage *other = c || !*from ? NULL : build_stage_find(b, st->index, from);
	*ret = (struct build_source){0};
	if (!c && !other && not_later(st, from, err) < 0)
		return -1;
	if (!*from && (!c || c->kind == CONTEXT_EMPTY))
		return err_set(err, ERR_INVALID, "there is no build context");
	if (c && c->kind == CONTEXT_DIRECTORY) {
		if (build_context_open(b, c, err) < 0)
			return -1;
		ret->context = c;
		ret->copy = (struct copy_source){ .view = &c->view, .ignore = c->ignore, .stat = c->stat, .reset_owner = true };
		return 0;
	}
	if (other) {
		if (build_stage_wait(other, err) < 0)
			return -1;
		build_state_copy(&ret->state, &other->state);
	} else if (!c && strcmp(from, "scratch") == 0) {
		ret->state.doc = imageconfig_new("linux", st->platform.arch, "");
	} else if (build_image_open(st, c ? c->ref : from, &st->platform, &ret->state, NULL, err) < 0) {
		return -1;
	}
	return open_state(ret, err);
}

void build_source_done(struct build_source *s)
{
	statcache_close(s->stat);
	free(s->fds);
	build_state_done(&s->state);
	*s = (struct build_source){0};
}
