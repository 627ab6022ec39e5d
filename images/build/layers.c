/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads: one packs what is filled, in order; the other puts groups into place. The digest without times is taken from the same archive:
 * its headers are hashed a second time with their time fields blanked, its file data as they are. */
#include "images/build/layers.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"

enum { PLACE_AFTER_MS = 700, BLOCK = 512 };

struct placing {
	struct layer *layer;
	layers_placed_fn *fn;
	void *arg;
};

struct layers {
	struct store *store;
	int root_fd;
	int64_t clamp_s;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_rwlock_t names;
	pthread_mutex_t placing_now;
	pthread_t sealer, placer;
	struct layer *all, *to_seal, **last_to_seal;
	struct placing *queue;
	size_t n_queue, cap_queue;
	uint64_t queued_ns;      /* since when something waits */
	bool quit;
	struct err err;          /* of packing */
};

/* ---- packing ---- */

struct blanker {
	EVP_MD_CTX *ctx;
	uint64_t data_left;      /* of an entry, padded */
	unsigned char block[BLOCK];
	size_t have;
};

static uint64_t tar_number(const unsigned char *p, size_t n)
{
	uint64_t v = 0;
	if (p[0] & 0x80) {
		for (size_t i = 1; i < n; i++)
			v = v << 8 | p[i];
		return v;
	}
	for (size_t i = 0; i < n && p[i] >= '0' && p[i] <= '7'; i++)
		v = v * 8 + (p[i] - '0');
	return v;
}

static void take_header(struct blanker *b)
{
	const char type = (char)b->block[156];
	b->data_left = 0;
	if (type == '0' || type == '\0' || type == 'x' || type == 'g' || type == '7')
		b->data_left = (tar_number(b->block + 124, 12) + BLOCK - 1) / BLOCK * BLOCK;
	memset(b->block + 136, 0, 20); /* time and checksum */
	EVP_DigestUpdate(b->ctx, b->block, BLOCK);
	b->have = 0;
}

static int blank_times(void *arg, const void *p, size_t n, struct err *err)
{
	struct blanker *b = arg;
	const unsigned char *at = p;
	(void)err;
	while (n > 0) {
		size_t part;
		if (b->data_left > 0) {
			part = MIN(n, b->data_left);
			EVP_DigestUpdate(b->ctx, at, part);
			b->data_left -= part;
		} else {
			part = MIN(n, BLOCK - b->have);
			memcpy(b->block + b->have, at, part);
			b->have += part;
			if (b->have == BLOCK)
				take_header(b);
		}
		at += part;
		n -= part;
	}
	return 0;
}

static int seal(struct layers *p, struct layer *l, struct err *err)
{
	const struct pack_options options = { .codec = PACK_PLAIN, .clamp = p->clamp_s >= 0, .latest_s = p->clamp_s };
	struct blanker b = { .ctx = EVP_MD_CTX_new() };
	struct pack_result r;
	unsigned char out[32];
	int rc;
	if (failpoint_err("layers.seal", err) < 0) {
		EVP_MD_CTX_free(b.ctx);
		return -1;
	}
	if (!b.ctx || EVP_DigestInit_ex(b.ctx, EVP_sha256(), NULL) != 1)
		util_oom();
	rc = pack_layer(l->fd, &options, blank_times, &b, &r, err);
	EVP_DigestFinal_ex(b.ctx, out, NULL);
	EVP_MD_CTX_free(b.ctx);
	if (rc < 0)
		return err_wrap(err, "layer");
	for (size_t i = 0; i < sizeof(out); i++)
		snprintf(l->content + 2 * i, 3, "%02x", out[i]);
	if (!l->placed) /* one that was pulled may have come from another archive than we make of it */
		memcpy(l->diff_id, r.diff_id, sizeof(l->diff_id));
	l->size_bytes = r.size_bytes;
	l->n_entries = r.n_entries;
	l->tar_bytes = r.tar_bytes;
	return 0;
}

static void *run_sealer(void *arg)
{
	struct layers *p = arg;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct layer *l = p->to_seal;
		struct err err = {0};
		int rc;
		if (!l && p->quit)
			break;
		if (!l) {
			pthread_cond_wait(&p->changed, &p->lock);
			continue;
		}
		p->to_seal = l->next_to_seal;
		if (!p->to_seal)
			p->last_to_seal = &p->to_seal;
		pthread_mutex_unlock(&p->lock);
		rc = seal(p, l, &err);
		pthread_mutex_lock(&p->lock);
		l->sealed = rc == 0;
		l->failed = rc < 0;
		if (rc < 0)
			p->err = err;
		pthread_cond_broadcast(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

void layers_fill(struct layer *l)
{
	struct layers *p = l->pool;
	pthread_mutex_lock(&p->lock);
	l->next_to_seal = NULL;
	*p->last_to_seal = l;
	p->last_to_seal = &l->next_to_seal;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

int layers_sealed(struct layer *l, struct err *err)
{
	struct layers *p = l->pool;
	int rc = 0;
	pthread_mutex_lock(&p->lock);
	while (!l->sealed && !l->failed)
		pthread_cond_wait(&p->changed, &p->lock);
	if (l->failed) {
		if (err)
			*err = p->err;
		rc = -1;
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

/* ---- putting into place ---- */

void layers_hold_names(struct layers *p)
{
	pthread_rwlock_rdlock(&p->names);
}

void layers_release_names(struct layers *p)
{
	pthread_rwlock_unlock(&p->names);
}

/* Under placing_now and names. A layer that the store has already stays where it is until the build ends: steps may stand on it. */
static int place_group(struct layers *p, const struct placing *v, size_t n, struct err *err)
{
	struct store_new_layer *group = xcalloc(n + 1, sizeof(*group));
	size_t n_group = 0;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct layer *l = v[i].layer;
		bool twin = false;
		for (size_t k = 0; k < n_group; k++)
			twin |= strcmp(group[k].diff_id, l->diff_id) == 0;
		if (twin || l->placed)
			continue;
		if (store_has_layer(p->store, l->diff_id)) {
			rc = store_pin_layer(p->store, l->diff_id, err);
			continue;
		}
		group[n_group] = (struct store_new_layer){ .size_bytes = l->size_bytes, .n_entries = l->n_entries, .tar_bytes = l->tar_bytes,
			.clamp = p->clamp_s >= 0, .latest_s = MAX(p->clamp_s, 0) };
		snprintf(group[n_group].tmp_name, sizeof(group->tmp_name), "%.31s", l->name);
		memcpy(group[n_group].diff_id, l->diff_id, sizeof(l->diff_id));
		n_group++;
	}
	if (rc == 0 && n_group > 0)
		rc = store_commit_layers(p->store, group, n_group, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct layer *l = v[i].layer;
		for (size_t k = 0; k < n_group; k++) {
			if (strcmp(group[k].tmp_name, l->name) != 0)
				continue;
			snprintf(l->name, sizeof(l->name), "%s", l->diff_id);
			l->placed = true;
		}
	}
	free(group);
	return rc;
}

int layers_place(struct layers *p, struct err *err)
{
	struct placing *v;
	size_t n;
	int rc = 0;
	pthread_mutex_lock(&p->placing_now);
	pthread_mutex_lock(&p->lock);
	v = p->queue;
	n = p->n_queue;
	p->queue = NULL;
	p->n_queue = p->cap_queue = 0;
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = layers_sealed(v[i].layer, err);
	if (rc == 0 && n > 0) {
		pthread_rwlock_wrlock(&p->names);
		rc = failpoint_err("layers.place", err) < 0 ? -1 : place_group(p, v, n, err);
		pthread_rwlock_unlock(&p->names);
	}
	if (rc == 0 && n > 0)
		rc = failpoint_err("layers.placed", err);
	for (size_t i = 0; i < n; i++)
		v[i].fn(v[i].arg, rc == 0);
	free(v);
	pthread_mutex_unlock(&p->placing_now);
	return rc;
}

void layers_place_later(struct layer *l, layers_placed_fn *fn, void *arg)
{
	struct layers *p = l->pool;
	pthread_mutex_lock(&p->lock);
	if (p->n_queue == 0)
		p->queued_ns = clock_mono_ns();
	p->queue = vec_grow(p->queue, p->n_queue, &p->cap_queue, sizeof(*p->queue));
	p->queue[p->n_queue++] = (struct placing){ l, fn, arg };
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static void *run_placer(void *arg)
{
	struct layers *p = arg;
	pthread_mutex_lock(&p->lock);
	while (!p->quit) {
		const uint64_t due = p->queued_ns + PLACE_AFTER_MS * 1000000ULL;
		if (p->n_queue == 0) {
			pthread_cond_wait(&p->changed, &p->lock);
		} else if (clock_mono_ns() < due) {
			const struct timespec at = { .tv_sec = (time_t)(due / 1000000000), .tv_nsec = (long)(due % 1000000000) };
			pthread_cond_timedwait(&p->changed, &p->lock, &at);
		} else {
			pthread_mutex_unlock(&p->lock);
			layers_place(p, NULL);
			pthread_mutex_lock(&p->lock);
		}
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* ---- the pool ---- */

int layers_new(struct store *s, int root_fd, int64_t clamp_s, struct layers **ret, struct err *err)
{
	struct layers *p = xcalloc(1, sizeof(*p));
	pthread_condattr_t attr;
	p->store = s;
	p->root_fd = root_fd;
	p->clamp_s = clamp_s;
	p->last_to_seal = &p->to_seal;
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->placing_now, NULL);
	pthread_rwlock_init(&p->names, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&p->sealer, NULL, run_sealer, p) != 0 || pthread_create(&p->placer, NULL, run_placer, p) != 0)
		return err_set(err, ERR_SYS, "start a thread");
	*ret = p;
	return 0;
}

static void forget(struct layer *l)
{
	if (!l->placed && l->lock_fd >= 0)
		store_abandon_layer(l->pool->store, l->name);
	util_close(&l->fd);
	util_close(&l->lock_fd);
}

void layers_free(struct layers *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->quit = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->sealer, NULL);
	pthread_join(p->placer, NULL);
	for (struct layer *l = p->all, *next; l; l = next) {
		next = l->next;
		forget(l);
		free(l);
	}
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->placing_now);
	pthread_rwlock_destroy(&p->names);
	pthread_cond_destroy(&p->changed);
	free(p->queue);
	free(p);
}

static void enlist(struct layers *p, struct layer *l)
{
	pthread_mutex_lock(&p->lock);
	l->pool = p;
	l->next = p->all;
	p->all = l;
	pthread_mutex_unlock(&p->lock);
}

struct layer *layers_open(struct layers *p, const char *diff_id, struct err *err)
{
	AUTO_FREE char *path = store_layer_path(diff_id);
	int fd = openat(p->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct layer *l;
	if (fd < 0) {
		err_sys(err, errno, "layer %.12s", diff_id);
		return NULL;
	}
	l = xcalloc(1, sizeof(*l));
	l->fd = fd;
	l->lock_fd = -1;
	l->sealed = l->placed = true;
	snprintf(l->name, sizeof(l->name), "%s", diff_id);
	snprintf(l->diff_id, sizeof(l->diff_id), "%s", diff_id);
	snprintf(l->content, sizeof(l->content), "%s", diff_id);
	enlist(p, l);
	return l;
}

struct layer *layers_open_sealing(struct layers *p, const char *diff_id, struct err *err)
{
	struct layer *l;
	if (store_pin_layer(p->store, diff_id, err) < 0)
		return NULL;
	l = layers_open(p, diff_id, err);
	if (!l)
		return NULL;
	l->sealed = false;
	layers_fill(l);
	if (layers_sealed(l, err) < 0)
		return NULL;
	return l;
}

struct layer *layers_begin(struct layers *p, struct err *err)
{
	struct layer *l = xcalloc(1, sizeof(*l));
	char name[32];
	l->fd = -1;
	l->lock_fd = store_begin_layer(p->store, name, err);
	if (l->lock_fd < 0) {
		free(l);
		return NULL;
	}
	snprintf(l->name, sizeof(l->name), "%s", name);
	enlist(p, l);
	l->fd = fs_open_dir(l->lock_fd, "diff", err);
	if (l->fd < 0)
		return NULL;
	if (mkdirat(l->lock_fd, "work", 0700) < 0) {
		err_sys(err, errno, "create a directory for a layer");
		return NULL;
	}
	if (failpoint_err("layers.begun", err) < 0)
		return NULL;
	return l;
}

int layers_dir_fd(const struct layer *l)
{
	return l->lock_fd;
}

void layers_drop(struct layer *l)
{
	store_abandon_layer(l->pool->store, l->name);
	util_close(&l->lock_fd);
}
