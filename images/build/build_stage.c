/* SPDX-License-Identifier: Apache-2.0 */
/* A stage: its base, the triggers that the base brings along, its instructions. What a stage needs of others is waited for where it is needed, and
 * what it may need has been started before (build.c). */
#include <stdio.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "images/build/build_impl.h"

void build_state_copy(struct build_state *to, const struct build_state *from)
{
	*to = (struct build_state){ .doc = json_deep_copy(from->doc), .n = from->n };
	to->layers = xcalloc(from->n + 1, sizeof(*to->layers));
	for (size_t i = 0; i < from->n; i++)
		to->layers[i] = from->layers[i];
	memcpy(to->key, from->key, sizeof(to->key));
	memcpy(to->created, from->created, sizeof(to->created));
	expand_scope_copy(&to->scope, &from->scope);
}

void build_state_done(struct build_state *s)
{
	json_decref(s->doc);
	free(s->layers);
	expand_scope_done(&s->scope);
	*s = (struct build_state){0};
}

int *build_state_fds(const struct build_state *s, int extra, size_t *ret_n)
{
	int *fds = xcalloc(s->n + 1, sizeof(*fds));
	for (size_t i = 0; i < s->n; i++)
		fds[i] = s->layers[i]->fd;
	*ret_n = s->n;
	if (extra >= 0)
		fds[(*ret_n)++] = extra;
	return fds;
}

int build_state_content(const struct build_state *s, char ret[static 65], struct err *err)
{
	const char **parts = xcalloc(s->n + 1, sizeof(*parts));
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < s->n; i++) {
		rc = layers_sealed(s->layers[i], err);
		parts[i] = s->layers[i]->content;
	}
	if (rc == 0)
		build_hash(ret, parts, s->n);
	free(parts);
	return rc;
}

/* ---- finding and waiting ---- */

struct build_stage *build_stage_find(struct build *b, size_t from, const char *name)
{
	uint64_t index;
	if (!*name)
		return NULL;
	for (size_t i = MIN(from, b->n_stages); i-- > 0;)
		if (*b->stages[i].in->name && strcasecmp(b->stages[i].in->name, name) == 0)
			return &b->stages[i];
	return from > 0 && parse_u64(name, 0, from - 1, &index) ? &b->stages[index] : NULL;
}

int build_stage_wait(struct build_stage *st, struct err *err)
{
	struct build *b = st->b;
	int rc;
	if (build_stage_start(st, err) < 0)
		return -1;
	pthread_mutex_lock(&b->lock);
	while (st->status == STAGE_RUNNING && !b->cancelled)
		pthread_cond_wait(&b->changed, &b->lock);
	rc = st->status == STAGE_DONE ? 0 : err_set(err, ERR_TIMEOUT, "cancelled");
	pthread_mutex_unlock(&b->lock);
	return rc;
}

/* ---- the base ---- */

static void start_scope(struct build_state *s)
{
	AUTO_STRV struct strv env = {0};
	json_get_strv(json_object_get(s->doc, "config"), "Env", &env);
	for (size_t i = 0; i < env.n; i++)
		expand_env_add(&s->scope.env, env.v[i]);
}

static int open_base(struct build_stage *st, struct strv *ret_onbuild, struct err *err)
{
	struct build *b = st->b;
	const struct build_context *c = build_context_find(b, st->base);
	struct build_stage *other = c ? NULL : build_stage_find(b, st->index, st->base);
	AUTO_FREE char *platform = xasprintf("%s/%s/%s", st->platform.os, st->platform.arch, st->platform.variant);
	if (other) {
		if (build_stage_wait(other, err) < 0)
			return -1;
		build_state_copy(&st->state, &other->state);
		json_get_strv(imageconfig_of(st->state.doc), "OnBuild", ret_onbuild);
		json_object_del(imageconfig_of(st->state.doc), "OnBuild");
		return 0;
	}
	if (!c && strcmp(st->base, "scratch") == 0) {
		st->state.doc = imageconfig_new(st->platform.os, st->platform.arch, st->platform.variant);
		build_hash(st->state.key, (const char *const []){ "scratch", platform }, 2);
	} else if (c && c->kind == CONTEXT_EMPTY) {
		return err_set(err, ERR_INVALID, "FROM %s: there is no such context", st->base);
	} else if (c && c->kind == CONTEXT_DIRECTORY) {
		st->state.doc = imageconfig_new(st->platform.os, st->platform.arch, st->platform.variant);
		build_hash(st->state.key, (const char *const []){ "scratch", platform }, 2);
		st->n_steps++;
		if (build_from_directory(st, c->name, err) < 0)
			return -1;
	} else if (build_image_open(st, c ? c->ref : st->base, &st->platform, &st->state, ret_onbuild, err) < 0) {
		return -1;
	}
	start_scope(&st->state);
	return 0;
}

/* ---- instructions ---- */

/* The errors in the stage's diagnostics become the stage's error. */
static int diagnosed(struct build_stage *st, struct err *err)
{
	(void)st;
	return err_set(err, ERR_INVALID, "the Dockerfile is wrong");
}

static int do_arg(struct build_stage *st, const struct instruction *in, struct err *err)
{
	struct instruction *decided = NULL;
	if (expand_scope_arg(st->arena, &st->state.scope, in, &st->b->global, &st->b->build_args, NULL, &st->diags, &decided) < 0)
		return diagnosed(st, err);
	imageconfig_apply(st->state.doc, decided, &st->state.cmd_set);
	return 0;
}

static int do_instruction(struct build_stage *st, const struct instruction *in, struct err *err)
{
	struct build_state *s = &st->state;
	struct instruction *x = NULL;
	st->at = in;
	if (st->b->cancelled)
		return err_set(err, ERR_TIMEOUT, "cancelled");
	if (in->kind == INSTRUCTION_ARG)
		return do_arg(st, in, err);
	if (instruction_expand(st->arena, in, &s->scope.env, NULL, &st->diags, &x) < 0)
		return diagnosed(st, err);
	st->at = x;
	switch (in->kind) {
	case INSTRUCTION_RUN:
		return build_run(st, x, err);
	case INSTRUCTION_COPY:
	case INSTRUCTION_ADD:
		return build_copy(st, x, err);
	case INSTRUCTION_WORKDIR:
		return build_workdir(st, x, err);
	case INSTRUCTION_ENV:
		expand_scope_env(&s->scope, x);
		break;
	default:
		break;
	}
	imageconfig_apply(s->doc, x, &s->cmd_set);
	return 0;
}

static bool makes_layer(const struct instruction *in)
{
	return in->kind == INSTRUCTION_RUN || in->kind == INSTRUCTION_COPY || in->kind == INSTRUCTION_ADD || in->kind == INSTRUCTION_WORKDIR;
}

static int run_stage(struct build_stage *st, struct err *err)
{
	AUTO_STRV struct strv onbuild = {0};
	struct instruction **triggers;
	st->n_steps = 1;
	for (size_t i = 0; i < st->in->n; i++)
		st->n_steps += makes_layer(st->in->v[i]);
	st->step = 1;
	if (st->unsupported)
		return err_set(err, ERR_UNSUPPORTED, "platform \"%s\": linux/ARCH[/VARIANT] is supported", st->unsupported);
	if (failpoint_err("build.stage", err) < 0 || open_base(st, &onbuild, err) < 0)
		return -1;
	triggers = arena_alloc(st->arena, (onbuild.n + 1) * sizeof(*triggers));
	for (size_t i = 0; i < onbuild.n; i++) {
		if (instruction_parse_trigger(st->arena, st->base, onbuild.v[i], &st->diags, &triggers[i]) < 0)
			return diagnosed(st, err);
		st->n_steps += makes_layer(triggers[i]);
	}
	for (size_t i = 0; i < onbuild.n; i++)
		if (do_instruction(st, triggers[i], err) < 0)
			return -1;
	for (size_t i = 0; i < st->in->n; i++)
		if (do_instruction(st, st->in->v[i], err) < 0)
			return -1;
	st->at = NULL;
	return 0;
}

/* The lines around the instruction, as BuildKit shows them. free() it. */
static char *excerpt(const struct build *b, int first, int last)
{
	struct str out = {0};
	const char *p = b->source.text, *end = p + b->source.len;
	str_addf(&out, "%s:%d\n--------------------\n", b->source.path, first);
	for (int line = 1; p < end && line <= last + 2; line++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const size_t n = (size_t)((nl ? nl : end) - p);
		if (line >= first - 2)
			str_addf(&out, "%4d | %s %.*s\n", line, line >= first && line <= last ? ">>>" : "   ", (int)n, p);
		p += n + 1;
	}
	str_add(&out, "--------------------\n");
	return str_take(&out);
}

/* Keeps the first failure of the build, and stops the other stages. */
static void fail(struct build_stage *st, const struct err *err)
{
	struct build *b = st->b;
	bool first;
	pthread_mutex_lock(&b->lock);
	first = !b->failed && !b->cancelled;
	b->failed = true;
	if (first) {
		AUTO_STR struct str text = {0};
		b->err = *err;
		b->failure = json_object();
		json_put_str(b->failure, "event", "error");
		json_object_set_new(b->failure, "error", message_from_err(err));
		if (st->diags.n_errors) {
			diags_render(&st->diags, NULL, false, &text);
			json_object_set_new(b->failure, "diagnostics", json_text(str_get(&text)));
		}
		if (st->at) {
			AUTO_FREE char *lines = excerpt(b, st->at->first_line, st->at->last_line);
			json_put_int(b->failure, "first_line", st->at->first_line);
			json_put_int(b->failure, "last_line", st->at->last_line);
			json_object_set_new(b->failure, "excerpt", json_text(lines));
			json_object_set_new(b->failure, "text", json_text(st->at->code));
		}
		json_object_set_new(b->failure, "name", json_text(b->source.path));
		json_object_set_new(b->failure, "stage", json_text(st->in->name));
		if (st->exit_code) {
			json_put_int(b->failure, "exit_code", st->exit_code);
			json_put_int(b->failure, "step", st->failed_step);
		}
	}
	pthread_mutex_unlock(&b->lock);
	if (first)
		peers_cancel(b->peers);
}

static void *stage_main(void *arg)
{
	struct build_stage *st = arg;
	struct build *b = st->b;
	struct err err = {0};
	int rc = run_stage(st, &err);
	if (rc < 0)
		fail(st, &err);
	pthread_mutex_lock(&b->lock);
	st->status = rc < 0 ? STAGE_FAILED : STAGE_DONE;
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

int build_stage_start(struct build_stage *st, struct err *err)
{
	struct build *b = st->b;
	int rc = 0;
	pthread_mutex_lock(&b->lock);
	if (st->status == STAGE_IDLE && !b->cancelled) {
		st->arena = arena_new();
		diags_init(&st->diags, st->arena);
		st->status = STAGE_RUNNING;
		if (pthread_create(&st->thread, NULL, stage_main, st) != 0) {
			st->status = STAGE_FAILED;
			rc = err_set(err, ERR_SYS, "start a thread");
		} else {
			st->joinable = true;
		}
	}
	pthread_mutex_unlock(&b->lock);
	return rc;
}
