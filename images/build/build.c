/* SPDX-License-Identifier: Apache-2.0 */
/* From the request to the image. The main thread only listens (images/build/peers.h); another one, started once the jail is closed, reads the
 * Dockerfile, starts the stages that the target needs, waits for them and writes the image. */
#include "images/build/build.h"

#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/proc.h"
#include "images/build/build_impl.h"
#include "images/build/cachefrom.h"
#include "images/build/cacheto.h"
#include "images/build/jail.h"
#include "images/config.h"
#include "images/stream.h"
#include "spec/imageref.h"

void build_hash(char ret[static 65], const char *const *parts, size_t n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char out[32];
	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		util_oom();
	for (size_t i = 0; i < n; i++)
		EVP_DigestUpdate(ctx, parts[i], strlen(parts[i]) + 1);
	EVP_DigestFinal_ex(ctx, out, NULL);
	EVP_MD_CTX_free(ctx);
	for (size_t i = 0; i < sizeof(out); i++)
		snprintf(ret + 2 * i, 3, "%02x", out[i]);
}

char *build_created(const struct build *b)
{
	char text[40];
	return xstrdup(b->epoch ? b->epoch : clock_rfc3339(clock_real_ns(), text));
}

/* ---- the request ---- */

static void read_build_args(struct build *b)
{
	json_t *item;
	size_t i;
	json_array_foreach(json_object_get(b->request, "build_args"), i, item)
		if (json_is_string(item))
			expand_env_add(&b->build_args, json_string_value(item));
}

/* "linux/arm/v7" in the arena; "" = this machine's. */
static int read_platform(struct build *b, const char *text, struct expand_platform *ret, struct err *err)
{
	AUTO_FREE char *normal = *text ? image_config_platform(text) : NULL;
	char *copy, *arch, *variant;
	*ret = (struct expand_platform){ "linux", image_config_host_arch(), "" };
	if (!*text)
		return 0;
	if (!normal)
		return err_set(err, ERR_UNSUPPORTED, "platform \"%s\": linux/ARCH[/VARIANT] is supported", text);
	copy = arena_strdup(b->arena, normal);
	strsep(&copy, "/");
	arch = strsep(&copy, "/");
	variant = strsep(&copy, "/");
	*ret = (struct expand_platform){ "linux", arch, variant ? variant : "" };
	return 0;
}

static int read_epoch(struct build *b, int64_t *ret_s, struct err *err)
{
	const char *text = expand_env_get(&b->build_args, "SOURCE_DATE_EPOCH");
	uint64_t s;
	char stamp[40];
	struct tm tm;
	time_t t;
	*ret_s = -1;
	if (!text || !*text)
		return 0;
	if (!parse_u64(text, 0, 253402300799, &s))
		return err_set(err, ERR_INVALID, "SOURCE_DATE_EPOCH: \"%s\" is not a number of seconds", text);
	t = (time_t)s;
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	b->epoch = arena_strdup(b->arena, stamp);
	*ret_s = (int64_t)s;
	return 0;
}

/* docker's older way to ask for an inline cache. */
static void read_inline_cache(struct build *b)
{
	const char *text = expand_env_get(&b->build_args, "BUILDKIT_INLINE_CACHE");
	if (text && (strcmp(text, "1") == 0 || strcasecmp(text, "true") == 0))
		json_object_set_new(b->request, "inline_cache", json_true());
}

/* What of "run" counts for keys. */
static void read_run_key(struct build *b)
{
	AUTO_JSON json_t *run = json_deep_copy(json_object_get(b->request, "run"));
	const char *name;
	json_t *value;
	void *next;
	json_object_foreach_safe(run, next, name, value)
		if (name[0] == '_')
			json_object_del(run, name);
	b->run_key = json_object_size(run) ? json_canonical(run) : xstrdup("");
}

/* The text of a file that muster opened, or of one in the build context. */
static int read_text(struct build *b, const json_t *which, const int *fds, size_t max, struct str *ret, struct err *err)
{
	const int64_t n = json_get_int(which, "fd", -1);
	const char *path = json_get_str(which, "path", "");
	struct build_context *c = build_context_find(b, "");
	AUTO_WALK struct view_walk w = {0};
	AUTO_CLOSE int fd = -1;
	char base[256];
	struct stat st;
	if (n >= 0 && n < MESSAGE_MAX_FDS && fds[n] >= 0)
		return fs_read_fd(fds[n], max, ret, err);
	if (!c || c->kind != CONTEXT_DIRECTORY || !*path)
		return err_set(err, ERR_INVALID, "there is no Dockerfile");
	if (build_context_open(b, c, err) < 0)
		return -1;
	const struct view view = { .fds = &c->fd, .n = 1, .raw = true };
	if (view_walk_init(&w, &view, err) < 0)
		return -1;
	switch (view_resolve(&w, path, VIEW_FOLLOW, base, &st, err)) {
	case -1:
		return -1;
	case 0:
		fd = view_open(&w, base, &st, err);
		return fd < 0 ? -1 : fs_read_fd(fd, max, ret, err);
	default:
		return err_sys(err, ENOENT, "failed to read dockerfile: open %s", path);
	}
}

static int read_ignore(struct build *b, const int *fds, struct err *err)
{
	const json_t *which = json_object_get(b->request, "ignore");
	AUTO_STR struct str text = {0};
	if (!which)
		return 0;
	if (read_text(b, which, fds, IGNORE_MAX_BYTES, &text, err) < 0)
		return err_wrap(err, ".dockerignore");
	json_object_set_new(b->request, "ignore_text", json_text(str_get(&text)));
	return 0;
}

/* Told instead of the error's message. */
static int told(struct build *b, const struct diags *ds, struct err *err)
{
	AUTO_STR struct str text = {0};
	diags_render(ds, NULL, false, &text);
	b->failure = json_object();
	err_set(err, ERR_INVALID, "the Dockerfile is wrong");
	json_put_str(b->failure, "event", "error");
	json_object_set_new(b->failure, "error", message_from_err(err));
	json_object_set_new(b->failure, "diagnostics", json_text(str_get(&text)));
	json_object_set_new(b->failure, "name", json_text(b->source.path));
	return -1;
}

static int read_dockerfile(struct build *b, const int *fds, struct err *err)
{
	const json_t *which = json_object_get(b->request, "dockerfile");
	AUTO_STR struct str text = {0};
	if (read_text(b, which, fds, DOCKERFILE_MAX_BYTES, &text, err) < 0)
		return -1;
	b->source = *source_new(b->arena, arena_strdup(b->arena, json_get_str(which, "name", "Dockerfile")),
		arena_strndup(b->arena, str_get(&text), text.len), text.len);
	return 0;
}

static int parse_dockerfile(struct build *b, struct err *err)
{
	struct dockerfile *df = NULL;
	if (dockerfile_parse(b->arena, &b->source, &b->diags, &df) < 0 || instruction_parse(b->arena, df, &b->diags, &b->instructions) < 0)
		return told(b, &b->diags, err);
	if (b->instructions->n_stages == 0 || b->instructions->n_stages > BUILD_MAX_STAGES)
		return err_set(err, ERR_INVALID, "%s: %zu stages, 1 to %d are possible", b->source.path, b->instructions->n_stages, BUILD_MAX_STAGES);
	return 0;
}

/* ---- stages ---- */

static bool in_filter(const struct build *b, const char *name)
{
	AUTO_STRV struct strv filter = {0};
	json_get_strv(b->request, "no_cache_filter", &filter);
	for (size_t i = 0; i < filter.n; i++)
		if (*name && strcasecmp(filter.v[i], name) == 0)
			return true;
	return false;
}

static int need_stage(struct build *b, struct build_stage *st, struct err *err);

static int need_named(struct build *b, struct build_stage *st, const char *name, struct err *err)
{
	struct build_stage *other = *name && !build_context_find(b, name) ? build_stage_find(b, st->index, name) : NULL;
	return other ? need_stage(b, other, err) : 0;
}

/* Expands what FROM says, of every stage: a trigger may name one that nothing else does. That its platform is not supported is told when it runs. */
static int expand_from(struct build *b, struct build_stage *st, struct err *err)
{
	const char *platform = "";
	struct err ignored;
	st->base = expand_scope_from(b->arena, st->in, st->in->base, &b->global, NULL, &b->diags);
	if (st->base && *st->in->platform)
		platform = expand_scope_from(b->arena, st->in, st->in->platform, &b->global, NULL, &b->diags);
	if (!st->base || !platform)
		return told(b, &b->diags, err);
	st->platform = b->expand.target;
	if (*platform && read_platform(b, platform, &st->platform, &ignored) < 0)
		st->unsupported = platform;
	return 0;
}

/* The stage and those that it is known to use. */
static int need_stage(struct build *b, struct build_stage *st, struct err *err)
{
	if (st->needed)
		return 0;
	st->needed = true;
	if (st->unsupported)
		return read_platform(b, st->unsupported, &st->platform, err);
	if (need_named(b, st, st->base, err) < 0)
		return -1;
	for (size_t i = 0; i < st->in->n; i++) {
		const struct instruction *in = st->in->v[i];
		if (in->kind == INSTRUCTION_COPY && need_named(b, st, in->copy.from, err) < 0)
			return -1;
		for (size_t k = 0; in->kind == INSTRUCTION_RUN && k < in->command.n_mounts; k++)
			if (need_named(b, st, in->command.mounts[k].from, err) < 0)
				return -1;
	}
	return 0;
}

static int plan_stages(struct build *b, struct err *err)
{
	const char *target = json_get_str(b->request, "target", "");
	b->n_stages = b->instructions->n_stages;
	b->stages = xcalloc(b->n_stages, sizeof(*b->stages));
	b->target = b->n_stages - 1;
	for (size_t i = 0; i < b->n_stages; i++) {
		struct build_stage *st = &b->stages[i];
		*st = (struct build_stage){ .b = b, .in = &b->instructions->stages[i], .index = i };
		st->no_cache = json_get_bool(b->request, "no_cache", false) || in_filter(b, st->in->name);
	}
	if (*target) {
		struct build_stage *st = build_stage_find(b, b->n_stages, target);
		if (!st)
			return err_set(err, ERR_NOT_FOUND, "target stage \"%s\" could not be found", target);
		b->target = st->index;
	}
	b->expand.build_args = &b->build_args;
	b->expand.target_stage = target;
	if (expand_scope_global(b->arena, b->instructions, &b->expand, &b->diags, &b->global) < 0)
		return told(b, &b->diags, err);
	for (size_t i = 0; i < b->n_stages; i++)
		if (expand_from(b, &b->stages[i], err) < 0)
			return -1;
	return need_stage(b, &b->stages[b->target], err);
}

/* Starts them all, waits for the target, then for all of them. */
static int run_stages(struct build *b, struct err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < b->n_stages; i++)
		if (b->stages[i].needed)
			rc = build_stage_start(&b->stages[i], err);
	for (size_t i = b->n_stages; i-- > 0;) /* a stage may still start one before it: a trigger's */
		if (b->stages[i].joinable)
			pthread_join(b->stages[i].thread, NULL);
	if (rc == 0 && b->failed) {
		*err = b->err;
		rc = -1;
	} else if (rc == 0 && b->cancelled) {
		rc = err_set(err, ERR_TIMEOUT, "cancelled");
	}
	return rc;
}

/* ---- the image ---- */

static void add_labels(struct build *b, json_t *config)
{
	json_t *labels = json_object_get(b->request, "labels"), *value, *to = json_object_get(config, "Labels");
	const char *name;
	if (!json_is_object(to) && json_object_size(labels) > 0) {
		to = json_object();
		json_object_set_new(config, "Labels", to);
	}
	json_object_foreach(labels, name, value)
		json_object_set(to, name, value);
}

static int canonical_tags(struct build *b, struct strv *ret, struct err *err)
{
	AUTO_STRV struct strv tags = {0};
	json_get_strv(b->request, "tags", &tags);
	if (tags.n > BUILD_MAX_TAGS)
		return err_set(err, ERR_INVALID, "more than %d tags", BUILD_MAX_TAGS);
	for (size_t i = 0; i < tags.n; i++) {
		struct imageref ref;
		if (imageref_parse(tags.v[i], b->arena, &ref, err) < 0)
			return err_wrap(err, "tag \"%s\"", tags.v[i]);
		strv_push(ret, imageref_full(&ref, b->arena));
	}
	return 0;
}

/* When an image without a layer was made: the same for the same configuration. */
static char *created_of(struct build *b, const struct build_state *s)
{
	AUTO_FREE char *text = NULL, *now = build_created(b);
	char key[65], memo[40];
	if (*s->created)
		return xstrdup(s->created);
	text = json_canonical(s->doc);
	build_hash(key, (const char *const []){ "created", text }, 2);
	if (cache_get_memo(b->cache, key, memo, sizeof(memo)) == 0)
		return xstrdup(memo);
	cache_put_memo(b->cache, key, now);
	return TAKE_PTR(now);
}

static int commit(struct build *b, struct err *err)
{
	struct build_state *s = &b->stages[b->target].state;
	AUTO_STRV struct strv diff_ids = {0}, refs = {0};
	AUTO_FREE char *created = NULL, *text = NULL;
	char id[65];
	json_t *j, *tags;
	int rc;
	add_labels(b, imageconfig_of(s->doc));
	if (canonical_tags(b, &refs, err) < 0)
		return -1;
	for (size_t i = 0; i < s->n; i++) {
		if (layers_sealed(s->layers[i], err) < 0)
			return -1;
		strv_push(&diff_ids, s->layers[i]->diff_id);
	}
	created = created_of(b, s);
	imageconfig_finish(s->doc, &diff_ids, created, b->epoch);
	if (cacheto_inline(b->to, s, s->doc, err) < 0)
		return -1;
	text = json_canonical(s->doc);
	if (layers_place(b->layers, err) < 0 || failpoint_err("build.commit", err) < 0)
		return -1;
	rc = store_commit_image(b->store, text, strlen(text), NULL, 0, refs.v, refs.n, id, err);
	if (rc < 0 || failpoint_err("build.committed", err) < 0 || cacheto_export(b->to, s, err) < 0)
		return -1;
	j = json_object();
	tags = json_array();
	json_put_str(j, "event", "done");
	json_put_str(j, "id", id);
	json_object_set_new(j, "new", json_boolean(rc == 0));
	for (size_t i = 0; i < refs.n; i++)
		json_array_append_new(tags, json_string(refs.v[i]));
	json_object_set_new(j, "tags", tags);
	peers_tell(b->peers, j);
	return 0;
}

/* ---- the process ---- */

struct start {
	struct build *b;
	int fds[SOCK_MAX_FDS];
	int rc;
};

static int build(struct build *b, const int *fds, struct err *err)
{
	const char *check = json_get_str(b->request, "check", NULL);
	int64_t clamp;
	int rc;
	read_build_args(b);
	read_inline_cache(b);
	if (read_epoch(b, &clamp, err) < 0 || read_platform(b, json_get_str(b->request, "platform", ""), &b->expand.target, err) < 0 ||
	    read_platform(b, "", &b->expand.build, err) < 0)
		return -1;
	read_run_key(b);
	if (layers_new(b->store, b->root_fd, clamp, &b->layers, err) < 0 || cache_open(b->root_fd, b->store, &b->cache, err) < 0 ||
	    failpoint_err("build.begun", err) < 0 || build_contexts_open(b, fds, err) < 0 || read_ignore(b, fds, err) < 0 || read_dockerfile(b, fds, err) < 0)
		return -1;
	b->from = cachefrom_new(b, fds);
	peers_on_cancel(b->peers, cachefrom_interrupt, b->from);
	b->to = cacheto_new(b);
	if (check)
		return build_check(b, check) < 0 ? told(b, &b->diags, err) : 0;
	if (parse_dockerfile(b, err) < 0 || plan_stages(b, err) < 0 || build_check_enforce(b, err) < 0)
		return -1;
	rc = run_stages(b, err);
	if (rc == 0)
		rc = commit(b, err);
	else
		layers_place(b->layers, NULL); /* what was done is not done again */
	return rc;
}

static void *main_thread(void *arg)
{
	struct start *start = arg;
	struct build *b = start->b;
	struct err err = {0};
	start->rc = build(b, start->fds, &err);
	if (start->rc < 0) {
		if (!b->failure) {
			b->failure = json_object();
			json_put_str(b->failure, "event", "error");
			json_object_set_new(b->failure, "error", message_from_err(&err));
		}
		peers_tell(b->peers, TAKE_PTR(b->failure));
	}
	build_contexts_close(b);
	peers_on_cancel(b->peers, NULL, NULL);
	cachefrom_free(b->from);
	cacheto_free(b->to);
	layers_free(b->layers);
	peers_stop(b->peers);
	return NULL;
}

static void refuse(int cli_fd, const struct err *err)
{
	AUTO_JSON json_t *j = json_object();
	json_put_str(j, "event", "error");
	json_object_set_new(j, "error", message_from_err(err));
	message_send_blocking(cli_fd, j, NULL, 0, NULL);
}

/* Adds the list's descriptors of directories. */
static void add_directories(const json_t *list, const char *key, const char *value, const int *fds, int *dirs, size_t *which, size_t *n)
{
	const json_t *item;
	size_t i;
	json_array_foreach(list, i, item) {
		const int64_t fd = json_get_int(item, "fd", -1);
		if (strcmp(json_get_str(item, key, ""), value) != 0 || fd < 0 || fd >= MESSAGE_MAX_FDS || fds[fd] < 0 || *n >= MESSAGE_MAX_FDS)
			continue;
		which[*n] = (size_t)fd;
		dirs[(*n)++] = fds[fd];
	}
}

/* The directories of contexts and caches among the descriptors go through the jail's door. */
static int enter_jail(int root_fd, const json_t *request, int *fds, struct err *err)
{
	int dirs[MESSAGE_MAX_FDS];
	size_t which[MESSAGE_MAX_FDS], n = 0, i;
	add_directories(json_object_get(request, "contexts"), "kind", "directory", fds, dirs, which, &n);
	add_directories(json_object_get(request, "cache_from"), "type", "local", fds, dirs, which, &n);
	root_fd = jail_enter_build(root_fd, dirs, n, err);
	for (i = 0; i < n; i++)
		fds[which[i]] = dirs[i];
	return root_fd;
}

int builder_main(int root_fd, int cli_fd, int executor_fd)
{
	struct build *b = xcalloc(1, sizeof(*b));
	struct start start = { .b = b };
	struct rlimit files;
	size_t n_fds = 0;
	pthread_t thread;
	struct err err = {0};
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (message_recv_blocking(cli_fd, &b->request, start.fds, &n_fds, &err) != 0)
		return 1;
	for (size_t i = n_fds; i < ARRAY_SIZE(start.fds); i++)
		start.fds[i] = -1;
	stream_prepare();
	tzset();
	root_fd = enter_jail(root_fd, b->request, start.fds, &err);
	if (root_fd < 0 || store_open(root_fd, &b->store, &err) < 0) {
		refuse(cli_fd, &err);
		return 1;
	}
	umask(0);
	b->root_fd = root_fd;
	b->arena = arena_new();
	diags_init(&b->diags, b->arena);
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->changed, NULL);
	b->peers = peers_new(cli_fd, executor_fd, &b->cancelled);
	store_sweep(b->store, NULL);
	if (pthread_create(&thread, NULL, main_thread, &start) != 0)
		return 1;
	peers_serve(b->peers);
	pthread_mutex_lock(&b->lock);
	pthread_cond_broadcast(&b->changed); /* those who wait for a stage look at `cancelled` */
	pthread_mutex_unlock(&b->lock);
	pthread_join(thread, NULL);
	peers_free(b->peers);
	return start.rc < 0;
}
