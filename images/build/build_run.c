/* SPDX-License-Identifier: Apache-2.0 */
/* RUN: what it runs with becomes the key, then a message to the executor. Files of the build context that are mounted are put into a layer first
 * (kept in the cache like any other): the command sees what .dockerignore leaves, as it was when it was digested, and the process that mounts
 * never gets to see a context. */
#include <stdio.h>

#include "base/fs.h"
#include "images/build/build_impl.h"
#include "images/build/pattern.h"

struct mount {
	const struct instruction_mount *in;
	struct build_source source;
	bool has_source;
	char digest[65];
	struct copy_matches matches;
	struct layer *snapshot;   /* of a context */
	char *path;               /* of the source in its layers */
};

struct job {
	const struct instruction *in;
	struct instruction_script script;
	struct strv argv, env, hidden;
	struct mount *mounts;
	size_t n;
	char *cwd, *platform;
};

static void job_done(struct job *j)
{
	for (size_t i = 0; i < j->n; i++) {
		if (j->mounts[i].has_source)
			build_source_done(&j->mounts[i].source);
		copy_matches_done(&j->mounts[i].matches);
		free(j->mounts[i].path);
	}
	free(j->mounts);
	free(j->cwd);
	free(j->platform);
	strv_done(&j->argv);
	strv_done(&j->env);
	strv_done(&j->hidden);
}

/* ---- mounts ---- */

static int digest_source(struct mount *m, struct err *err)
{
	struct copy_matches *matches = &m->matches;
	const struct copy_options none = { .chmod = "", .dest = "/" };
	AUTO_FREE char *path = xasprintf("/%s", m->in->source + strspn(m->in->source, "/"));
	m->path = TAKE_PTR(path);
	matches->v = vec_grow(NULL, 0, &matches->cap, sizeof(*matches->v));
	matches->v[0] = (struct copy_match){ xstrdup(m->path), xstrdup(""), NULL, false };
	matches->n = 1;
	if (m->source.identity[0]) {
		build_hash(m->digest, (const char *const []){ "mount", m->source.identity, m->path }, 3);
		return 0;
	}
	return copy_digest(&m->source.copy, matches, &none, m->digest, err);
}

struct snapshot_memory {
	struct build *b;
	struct layer *layer;
	char key[65];
};

static void remember_snapshot(void *arg, bool ok)
{
	struct snapshot_memory *m = arg;
	struct cache_record r = { .size_bytes = m->layer->size_bytes, .text = (char []){ "mounted files of a context" } };
	memcpy(r.diff_id, m->layer->diff_id, sizeof(r.diff_id));
	memcpy(r.content, m->layer->content, sizeof(r.content));
	if (ok)
		cache_put(m->b->cache, m->key, &r);
	free(m);
}

/* Copies what is mounted of a context to the same place in a layer of its own; the cache keeps it. */
static int take_snapshot(struct build_stage *st, struct mount *m, struct err *err)
{
	struct build *b = st->b;
	AUTO_FREE char *dest = NULL;
	struct copy_options o = { .chmod = "", .tmp_fd = -1, .cancelled = &b->cancelled };
	struct cache_record r = {0};
	struct view view = { .n = 1, .writable = true };
	char key[65];
	bool unsure = false;
	int fd;
	build_hash(key, (const char *const []){ "snapshot", m->digest, m->path }, 3);
	if (cache_get(b->cache, key, &r) == 0) {
		m->snapshot = layers_open(b->layers, r.diff_id, NULL);
		cache_record_done(&r);
		if (m->snapshot)
			return 0;
	}
	m->snapshot = layers_begin(b->layers, err);
	if (!m->snapshot)
		return -1;
	fd = m->snapshot->fd;
	view.fds = &fd;
	dest = xstrdup(m->path);
	o.dest = dest;
	if (copy_apply(&m->source.copy, &m->matches, &o, &view, &unsure, err) < 0)
		return -1;
	fs_remove_tree(layers_dir_fd(m->snapshot), "work", NULL);
	layers_fill(m->snapshot);
	if (!unsure) {
		struct snapshot_memory *memory = xcalloc(1, sizeof(*memory));
		*memory = (struct snapshot_memory){ .b = b, .layer = m->snapshot };
		memcpy(memory->key, key, sizeof(key));
		layers_place_later(m->snapshot, remember_snapshot, memory);
	}
	return 0;
}

/* Opens what a mount takes files from; the digest goes into the key. */
static int open_mount(struct build_stage *st, struct mount *m, struct err *err)
{
	const struct instruction_mount *in = m->in;
	int rc;
	if (in->type != MOUNT_BIND && !(in->type == MOUNT_CACHE && *in->from))
		return 0;
	if (build_source_open(st, in->from, &m->source, err) < 0)
		return -1;
	m->has_source = true;
	rc = digest_source(m, err);
	return rc < 0 ? err_wrap(err, "mount %s", *in->target ? in->target : in->source) : 0;
}

/* Without a target a mount is over the working directory; a secret and a socket have places of their own. */
static char *mount_target(const struct build_stage *st, const struct instruction_mount *in)
{
	if (!*in->target && (in->type == MOUNT_SECRET || in->type == MOUNT_SSH))
		return xstrdup("");
	return build_absolute(&st->state, in->target, false);
}

/* What a secret is asked for by: source= is another word for id=, and the target's last part stands for either. */
static const char *mount_id(const struct instruction_mount *in)
{
	const char *slash = strrchr(in->target, '/');
	if (in->type == MOUNT_SECRET && *in->source)
		return in->source;
	return *in->id || in->type != MOUNT_SECRET ? in->id : slash ? slash + 1 : in->target;
}

/* A cache is told by its id, whom it belongs to and what it begins with, as BuildKit does: one that belongs to somebody else is another one.
 * The mount as the key has it (for_key) or as the executor gets it. New reference. */
static json_t *describe_mount(const struct build_stage *st, const struct mount *m, bool for_key)
{
	const struct instruction_mount *in = m->in;
	AUTO_FREE char *target = mount_target(st, in), *written = pattern_clean_path(in->target);
	json_t *j = json_object();
	const char *id = *in->id ? in->id : written;
	char key[65];
	json_put_str(j, "type", instruction_mount_name(in->type));
	json_object_set_new(j, "target", json_text(target));
	json_object_set_new(j, "read_only", json_boolean(in->read_only));
	if (in->type == MOUNT_TMPFS)
		json_put_int(j, "size_bytes", in->size_bytes);
	if (in->type == MOUNT_SECRET || in->type == MOUNT_SSH) {
		json_object_set_new(j, "id", json_text(mount_id(in)));
		if (in->env)
			json_object_set_new(j, "env", json_text(*in->env ? in->env : mount_id(in)));
		json_object_set_new(j, "required", json_boolean(in->required));
	}
	if (in->type == MOUNT_CACHE) {
		const bool own = in->mode >= 0 || in->uid >= 0 || in->gid >= 0;
		AUTO_FREE char *owner = xasprintf("%lld:%lld:%lld", (long long)in->mode, (long long)in->uid, (long long)in->gid);
		build_hash(key, (const char *const []){ "cache mount", id, owner, m->has_source ? m->digest : "" }, own || m->has_source ? 4 : 2);
		json_put_str(j, "key", key);
		json_put_str(j, "sharing", in->sharing == SHARING_UNSET ? "shared" : instruction_sharing_name(in->sharing));
	}
	if (in->type == MOUNT_CACHE || in->type == MOUNT_SECRET || in->type == MOUNT_SSH) {
		json_put_int(j, "mode", in->mode);
		json_put_int(j, "uid", in->uid);
		json_put_int(j, "gid", in->gid);
	}
	if (m->has_source && for_key) {
		json_put_str(j, "digest", m->digest);
	} else if (m->has_source) {
		json_t *names = json_array();
		if (m->snapshot)
			json_array_append_new(names, json_string(m->snapshot->name));
		for (size_t i = 0; !m->snapshot && i < m->source.state.n; i++)
			json_array_append_new(names, json_string(m->source.state.layers[i]->name));
		json_object_set_new(j, "layers", names);
		json_object_set_new(j, "source", json_text(m->path));
	}
	return j;
}

/* ---- the step ---- */

static const char *network_of(const struct build_stage *st, const struct instruction *in)
{
	if (in->command.network != NETWORK_DEFAULT)
		return instruction_network_name(in->command.network);
	return json_get_str(st->b->request, "network", "default");
}

/* What the command runs with; with descriptions of mounts as the key has them, or as the executor gets them. New reference. */
static json_t *describe(const struct build_stage *st, const struct job *j, bool for_key)
{
	json_t *op = json_object(), *mounts = json_array(), *devices = json_array(), *env = json_from_strv(j->env.v);
	json_object_set_new(op, "argv", json_from_strv(j->argv.v));
	for (size_t i = 0; !for_key && i < j->hidden.n; i++)
		json_array_append_new(env, json_text(j->hidden.v[i]));
	json_object_set_new(op, "env", env);
	json_object_set_new(op, "cwd", json_text(j->cwd));
	json_object_set_new(op, "user", json_text(json_get_str(json_object_get(st->state.doc, "config"), "User", "")));
	json_put_str(op, "platform", j->platform);
	json_put_str(op, "network", network_of(st, j->in));
	json_object_set_new(op, "insecure", json_boolean(j->in->command.insecure));
	for (size_t i = 0; i < j->n; i++)
		json_array_append_new(mounts, describe_mount(st, &j->mounts[i], for_key));
	json_object_set_new(op, "mounts", mounts);
	for (size_t i = 0; i < j->in->command.n_devices; i++) {
		json_t *d = json_object();
		json_object_set_new(d, "name", json_text(j->in->command.devices[i].name));
		json_object_set_new(d, "required", json_boolean(j->in->command.devices[i].required));
		json_array_append_new(devices, d);
	}
	json_object_set_new(op, "devices", devices);
	if (j->script.file_name) {
		json_t *f = json_object();
		json_object_set_new(f, "name", json_text(j->script.file_name));
		json_object_set_new(f, "data", json_text(j->script.file_data));
		json_object_set_new(op, "file", f);
	}
	return op;
}

/* The working directory, when the image names one that it does not have. */
static int make_cwd(struct build_stage *st, const struct job *j, const struct layer *layer, struct err *err)
{
	static const struct view_owner owner = { .mode = 0755 };
	AUTO_WALK struct view_walk w = {0};
	size_t n;
	int *fds, rc;
	if (strcmp(j->cwd, "/") == 0)
		return 0;
	fds = build_state_fds(&st->state, layer->fd, &n);
	const struct view dest = { .fds = fds, .n = n, .writable = true };
	rc = view_walk_init(&w, &dest, err);
	if (rc == 0)
		rc = view_make_dirs(&w, j->cwd, &owner, NULL, err);
	free(fds);
	return rc;
}

static void let_names_go(void *arg)
{
	layers_release_names(arg);
}

static int run_run(struct build_step *s, struct layer *layer, bool *ret_unsure, struct err *err)
{
	struct job *j = s->arg;
	struct build_stage *st = s->st;
	AUTO_STR struct str command = {0};
	char shown[400];
	json_t *message, *names;
	int code = 0;
	(void)ret_unsure;
	if (make_cwd(st, j, layer, err) < 0)
		return -1;
	for (size_t i = 0; i < j->n; i++)
		if (j->mounts[i].has_source && j->mounts[i].source.context && take_snapshot(st, &j->mounts[i], err) < 0)
			return -1;
	names = json_array();
	layers_hold_names(st->b->layers);
	message = describe(st, j, false);
	json_put_str(message, "op", "run");
	json_put_int(message, "id", s->id);
	for (size_t i = 0; i < st->state.n; i++)
		json_array_append_new(names, json_string(st->state.layers[i]->name));
	json_object_set_new(message, "layers", names);
	json_put_str(message, "upper", layer->name);
	json_object_set(message, "options", json_object_get(st->b->request, "run"));
	if (peers_run(st->b->peers, message, s->id, let_names_go, st->b->layers, &code, err) < 0)
		return -1;
	if (code == 0)
		return 0;
	st->exit_code = code;
	st->failed_step = s->id;
	for (size_t i = 0; i < j->argv.n; i++)
		str_addf(&command, "%s%s", i ? " " : "", j->argv.v[i]);
	return err_set(err, ERR_INVALID, "process \"%s\" did not complete successfully: exit code: %d",
		err_quote(shown, sizeof(shown), str_get(&command)), code);
}

/* What was not allowed is not taken from the cache either. */
static int check_rights(const struct build_stage *st, const struct instruction *in, struct err *err)
{
	static const char how[] = "%s is not allowed: allow it with \"entitlements: [%s]\" of the build, or with --allow %s";
	const bool insecure = in->command.insecure && !json_get_bool(st->b->request, "insecure", false);
	const char *denied = insecure ? "security.insecure" : "network.host";
	if (!insecure && (strcmp(network_of(st, in), "host") != 0 || json_get_bool(st->b->request, "host_network", false)))
		return 0;
	return err_set(err, ERR_DENIED, how, denied, denied, denied);
}

static int prepare(struct build_stage *st, struct job *j, struct err *err)
{
	const struct instruction_command *c = &j->in->command;
	if (check_rights(st, j->in, err) < 0)
		return -1;
	instruction_script(st->arena, c, &j->script);
	if (j->script.shell)
		imageconfig_shell(st->state.doc, &j->argv);
	for (size_t i = 0; i < j->script.args.n; i++)
		strv_push(&j->argv, j->script.args.v[i]);
	if (j->script.shell && j->script.args.n == 0)
		strv_push(&j->argv, "");
	if (j->argv.n == 0)
		return err_set(err, ERR_INVALID, "there is nothing to run");
	expand_scope_run_env(&st->state.scope, &st->b->build_args, &j->env, &j->hidden);
	j->cwd = build_absolute(&st->state, "", false);
	j->platform = xasprintf("%s/%s%s%s", st->platform.os, st->platform.arch, *st->platform.variant ? "/" : "", st->platform.variant);
	j->mounts = xcalloc(c->n_mounts + 1, sizeof(*j->mounts));
	for (j->n = 0; j->n < c->n_mounts; j->n++)
		j->mounts[j->n].in = &c->mounts[j->n];
	for (size_t i = 0; i < j->n; i++)
		if (open_mount(st, &j->mounts[i], err) < 0)
			return -1;
	return 0;
}

int build_run(struct build_stage *st, const struct instruction *in, struct err *err)
{
	struct job j = { .in = in };
	struct build_step s = { .st = st, .in = in, .run = run_run, .arg = &j };
	int rc = prepare(st, &j, err);
	if (rc == 0) {
		s.op = describe(st, &j, true);
		json_put_str(s.op, "op", "run");
		json_put_str(s.op, "options", st->b->run_key);
		s.text = xstrdup(in->code);
		s.history = imageconfig_run_text(&j.argv, &st->state.scope.declared, &st->state.scope.env);
		rc = build_step_do(&s, err);
	}
	job_done(&j);
	return rc;
}
