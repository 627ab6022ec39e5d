/* SPDX-License-Identifier: Apache-2.0 */
/* The cache around a step that makes a layer. A step has two keys. The first is made of definitions alone: this operation on what the step before it is
 * a key of; it needs nothing but the Dockerfile and the digests of what is copied in. The second is made of results: this operation on these
 * contents, so that a step is not run again because one before it was, with the same outcome. To know contents, layers must have been packed; so
 * the second key is asked for only when the operation has ever been run. Last come caches from elsewhere (images/build/cachefrom.h), which know
 * second keys only: a layer of theirs goes the way of one that was run. */
#include <stdio.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "images/build/build_impl.h"
#include "images/build/cachefrom.h"
#include "images/build/cacheto.h"

/* What is written once the layer is in place. */
struct memory {
	struct build *b;
	struct layer *layer, **below; /* the layers it stands on */
	size_t n_below;
	char key[65], op[65], created[40];
	char *text;
	bool forget, own_layer;
	int lock_fd;
};

static void hash2(char ret[static 65], const char *a, const char *b, const char *c)
{
	build_hash(ret, (const char *const []){ a, b, c }, 3);
}

static void remember(void *arg, bool ok)
{
	struct memory *m = arg;
	if (ok && !m->forget) {
		const struct build_state below = { .layers = m->below, .n = m->n_below };
		struct cache_record r = { .size_bytes = m->layer->size_bytes, .text = m->text };
		char content[65], second[65];
		memcpy(r.diff_id, m->layer->diff_id, sizeof(r.diff_id));
		memcpy(r.content, m->layer->content, sizeof(r.content));
		memcpy(r.created, m->created, sizeof(r.created));
		cache_put(m->b->cache, m->key, &r);
		if (m->own_layer) {
			snprintf(content, sizeof(content), "link");
		} else if (build_state_content(&below, content, NULL) < 0) {
			content[0] = '\0';
		}
		hash2(second, "result", m->op, content);
		cache_put(m->b->cache, second, &r);
		cache_put_memo(m->b->cache, m->op, "1");
	}
	cache_unlock(m->b->cache, m->key, m->lock_fd);
	free(m->text);
	free(m->below);
	free(m);
}

int64_t build_step_tell(struct build_stage *st, int64_t id, const char *state, const char *text, int first_line, int last_line)
{
	struct build *b = st->b;
	json_t *j = json_object();
	if (id == 0) {
		pthread_mutex_lock(&b->lock);
		id = ++b->next_step;
		pthread_mutex_unlock(&b->lock);
	}
	json_put_str(j, "event", "step");
	json_put_int(j, "id", id);
	json_put_str(j, "state", state);
	if (text) {
		json_object_set_new(j, "text", json_text(text));
		json_object_set_new(j, "stage", json_text(st->in->name));
		json_put_int(j, "index", st->step);
		json_put_int(j, "total", st->n_steps);
		json_put_int(j, "stage_index", (int64_t)st->index);
		json_put_int(j, "stages", (int64_t)st->b->n_stages);
		json_put_int(j, "first_line", first_line);
		json_put_int(j, "last_line", last_line);
	}
	peers_tell(b->peers, j);
	return id;
}

/* The layer becomes part of the stage. */
static void move_on(struct build_step *s, struct layer *layer, const char *key, const char *created)
{
	struct build_state *state = &s->st->state;
	state->layers = xrealloc(state->layers, state->n + 1, sizeof(*state->layers));
	state->layers[state->n++] = layer;
	memcpy(state->key, key, sizeof(state->key));
	snprintf(state->created, sizeof(state->created), "%s", created);
	imageconfig_history(state->doc, s->history, created, false);
}

/* Is there a record under the key whose layer is there? 0: the stage has moved on; 1: no. */
static int take_record(struct build_step *s, const char *record_key, const char *key)
{
	struct cache_record r = {0};
	struct layer *l;
	if (cache_get(s->st->b->cache, record_key, &r) != 0)
		return 1;
	l = r.diff_id[0] ? layers_open(s->st->b->layers, r.diff_id, NULL) : NULL;
	if (l) {
		memcpy(l->content, r.content, sizeof(l->content));
		l->size_bytes = r.size_bytes;
		move_on(s, l, key, s->st->b->epoch ? s->st->b->epoch : r.created);
		if (record_key != key)
			cache_put(s->st->b->cache, key, &r);
		build_step_tell(s->st, s->id, "cached", s->text, s->in->first_line, s->in->last_line);
	}
	cache_record_done(&r);
	return l ? 0 : 1;
}

/* The second key. 0: taken; 1: nothing; -1 + err. */
static int take_result(struct build_step *s, const char *op, const char *key, struct err *err)
{
	char seen[8], content[65] = "link", second[65];
	if (cache_get_memo(s->st->b->cache, op, seen, sizeof(seen)) != 0)
		return 1;
	if (!s->own_layer && build_state_content(&s->st->state, content, err) < 0)
		return -1;
	hash2(second, "result", op, content);
	return take_record(s, second, key);
}

/* The stage has the layer, which will be remembered. */
static void accept(struct build_step *s, struct memory *m, struct layer *l, const char *created)
{
	struct build_state *state = &s->st->state;
	m->layer = l;
	m->n_below = s->own_layer ? 0 : state->n;
	m->below = xcalloc(state->n + 1, sizeof(*m->below));
	for (size_t i = 0; i < m->n_below; i++)
		m->below[i] = state->layers[i];
	m->text = xstrdup(s->text);
	snprintf(m->created, sizeof(m->created), "%s", created);
	move_on(s, l, m->key, created);
}

/* From a cache elsewhere. 0; 1: it has none. */
static int import(struct build_step *s, struct memory *m)
{
	struct build *b = s->st->b;
	AUTO_FREE char *now = NULL;
	struct layer *l;
	char created[40];
	if (s->st->no_cache || cachefrom_take(b->from, s, m->op, &l, created) != 0)
		return 1;
	now = b->epoch || !*created ? build_created(b) : xstrdup(created);
	accept(s, m, l, now);
	build_step_tell(s->st, s->id, "cached", s->text, s->in->first_line, s->in->last_line);
	return 0;
}

static int run_it(struct build_step *s, struct memory *m, struct err *err)
{
	struct build *b = s->st->b;
	AUTO_FREE char *created = NULL;
	struct layer *l;
	build_step_tell(s->st, s->id, "started", s->text, s->in->first_line, s->in->last_line);
	l = layers_begin(b->layers, err);
	if (!l)
		return -1;
	if (failpoint_err("build.step", err) < 0 || s->run(s, l, &m->forget, err) < 0 || failpoint_err("build.step.ran", err) < 0) {
		layers_drop(l);
		return -1;
	}
	fs_remove_tree(layers_dir_fd(l), "work", NULL);
	layers_fill(l);
	created = build_created(b);
	accept(s, m, l, created);
	build_step_tell(s->st, s->id, "done", NULL, 0, 0);
	return 0;
}

static int look_up(struct build_step *s, const char *op, const char *key, struct err *err)
{
	int rc;
	if (s->st->no_cache)
		return 1;
	rc = take_record(s, key, key);
	return rc == 1 ? take_result(s, op, key, err) : rc;
}

static int do_step(struct build_step *s, struct err *err)
{
	struct build *b = s->st->b;
	AUTO_FREE char *text = json_canonical(s->op);
	struct memory *m;
	char op[65], key[65];
	int rc;
	hash2(op, "operation", text, "");
	hash2(key, "step", op, s->own_layer ? "link" : s->st->state.key);
	s->st->step++;
	pthread_mutex_lock(&b->lock);
	s->id = ++b->next_step;
	pthread_mutex_unlock(&b->lock);
	rc = look_up(s, op, key, err);
	if (rc == 0)
		cacheto_note(b->to, s, op);
	if (rc <= 0)
		return rc;
	if (s->st->state.n >= IMAGE_MAX_LAYERS)
		return err_set(err, ERR_INVALID, "more than %d layers", IMAGE_MAX_LAYERS);
	m = xcalloc(1, sizeof(*m));
	*m = (struct memory){ .b = b, .own_layer = s->own_layer };
	memcpy(m->key, key, sizeof(key));
	memcpy(m->op, op, sizeof(op));
	m->lock_fd = cache_lock(b->cache, key);
	rc = s->st->no_cache ? 1 : take_record(s, key, key); /* somebody else may have run it just now */
	if (rc == 1)
		rc = import(s, m);
	if (rc == 1)
		rc = run_it(s, m, err);
	if (rc == 0 && !m->forget)
		cacheto_note(b->to, s, op);
	if (m->layer)
		layers_place_later(m->layer, remember, m);
	else
		remember(m, false);
	return rc;
}

int build_step_do(struct build_step *s, struct err *err)
{
	AUTO_FREE char *before = s->own_layer ? xstrdup(s->st->state.key) : NULL;
	int rc = do_step(s, err);
	if (rc == 0 && before) { /* what follows stands on both */
		char both[65];
		hash2(both, "linked", before, s->st->state.key);
		memcpy(s->st->state.key, both, sizeof(both));
	}
	if (rc < 0 && s->id)
		build_step_tell(s->st, s->id, s->st->b->cancelled ? "cancelled" : "error", s->text, s->in->first_line, s->in->last_line);
	json_decref(s->op);
	s->op = NULL;
	free(s->text);
	free(s->history);
	s->text = s->history = NULL;
	return rc;
}
