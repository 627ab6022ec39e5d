/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of a build. Invariants: what is filled gets a diffID, which is that of the same tree wherever it is packed, and a content that does not
 * depend on times; it is below its final name before anybody is told that it is in place, and whoever is told of a failure finds no such name;
 * what is dropped or never placed leaves nothing; names do not change while they are held; twins are one layer. */
#include "images/build/layers.h"

#include <dirent.h>

#include "tests/unit/images_rig.h"

struct rig {
	struct scratch s;
	struct store *store;
	struct layers *pool;
};

static void setup(struct rig *r, int64_t clamp_s)
{
	struct err err = {0};
	scratch_init(&r->s);
	NEED(store_open(r->s.fd, &r->store, &err) == 0);
	NEED(layers_new(r->store, r->s.fd, clamp_s, &r->pool, &err) == 0);
}

static int count(const struct rig *r, bool hidden)
{
	AUTO_FREE char *path = xasprintf("%s/layers", r->s.path);
	int n = 0;
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && (e->d_name[0] == '.') == hidden;
	if (d)
		closedir(d);
	return n;
}

static void teardown(struct rig *r)
{
	layers_free(r->pool);
	EXPECT(count(r, true) == 0, "%d unfinished layers", count(r, true));
	store_close(r->store);
	scratch_done(&r->s);
}

static struct layer *make(struct rig *r, const char *text, time_t mtime)
{
	struct err err = {0};
	struct layer *l = layers_begin(r->pool, &err);
	const struct timespec t[2] = { { .tv_sec = mtime }, { .tv_sec = mtime } };
	NEED(l);
	NEED(fs_write_volatile(l->fd, "file", text, strlen(text), 0644, &err) == 0);
	NEED(utimensat(l->fd, "file", t, 0) == 0 && futimens(l->fd, t) == 0);
	fs_remove_tree(layers_dir_fd(l), "work", NULL);
	layers_fill(l);
	return l;
}

struct told {
	struct rig *r;
	struct layer *l;
	int calls;
	bool ok, there;
};

static void note(void *arg, bool ok)
{
	struct told *t = arg;
	t->calls++;
	t->ok = ok;
	t->there = store_has_layer(t->r->store, t->l->diff_id);
}

static void test_place(void)
{
	struct rig r;
	struct told told[3] = {0};
	struct err err = {0};
	struct layer *a, *b, *c;
	char name[80];
	setup(&r, -1);
	a = make(&r, "one", 1000);
	b = make(&r, "one", 2000);
	c = make(&r, "one", 1000);
	EXPECT(layers_sealed(a, &err) == 0 && layers_sealed(b, &err) == 0 && layers_sealed(c, &err) == 0, "%s", err.msg);
	EXPECT(strcmp(a->diff_id, b->diff_id) != 0 && strcmp(a->content, b->content) == 0, "times: %s %s", a->content, b->content);
	EXPECT(strcmp(a->diff_id, c->diff_id) == 0, "the same tree: %s %s", a->diff_id, c->diff_id);
	snprintf(name, sizeof(name), "%s", a->name);
	layers_hold_names(r.pool);
	EXPECT(str_starts(a->name, ".tmp-"), "%s", a->name);
	layers_release_names(r.pool);
	for (int i = 0; i < 3; i++) {
		told[i] = (struct told){ .r = &r, .l = i == 0 ? a : i == 1 ? b : c };
		layers_place_later(told[i].l, note, &told[i]);
	}
	EXPECT(layers_place(r.pool, &err) == 0, "%s", err.msg);
	for (int i = 0; i < 3; i++)
		EXPECT(told[i].calls == 1 && told[i].ok && told[i].there, "%d: told %d times, %d, there %d", i, told[i].calls, told[i].ok, told[i].there);
	EXPECT(strcmp(a->name, a->diff_id) == 0 && strcmp(name, a->name) != 0, "%s", a->name);
	EXPECT(count(&r, false) == 2, "%d layers", count(&r, false));
	EXPECT(faccessat(a->fd, "file", F_OK, 0) == 0 && faccessat(c->fd, "file", F_OK, 0) == 0, "descriptors stay good, a twin's too");
	teardown(&r);
}

static void test_drop(void)
{
	struct rig r;
	struct told told = {0};
	struct err err = {0};
	struct layer *a, *b;
	setup(&r, -1);
	a = layers_begin(r.pool, &err);
	NEED(a);
	EXPECT(count(&r, true) == 1, "%d", count(&r, true));
	layers_drop(a);
	EXPECT(count(&r, true) == 0, "a dropped layer stays");
	b = make(&r, "two", 1000);
	EXPECT(layers_sealed(b, &err) == 0, "%s", err.msg);
	store_abandon_layer(r.store, b->name); /* it is gone before it can be put into place */
	told = (struct told){ .r = &r, .l = b };
	layers_place_later(b, note, &told);
	EXPECT(layers_place(r.pool, &err) < 0 && told.calls == 1 && !told.ok && !told.there, "told %d times, %d", told.calls, told.ok);
	make(&r, "three", 1000); /* never placed */
	teardown(&r);
}

static void test_later(void)
{
	struct rig r;
	struct told told = {0};
	struct layer *a;
	setup(&r, -1);
	a = make(&r, "four", 1000);
	told = (struct told){ .r = &r, .l = a };
	layers_place_later(a, note, &told);
	for (int i = 0; i < 500 && count(&r, false) == 0; i++)
		usleep(20000);
	EXPECT(count(&r, false) == 1, "what waits is put into place without anybody asking");
	teardown(&r);
	EXPECT(told.calls == 1 && told.ok, "told %d times", told.calls);
}

/* Times after the epoch count as the epoch; and a layer of the store has the content that it had when it was made. */
static void test_clamp_and_reopen(void)
{
	struct rig r;
	struct err err = {0};
	struct layer *a, *b, *again;
	struct told told = {0};
	setup(&r, 500);
	a = make(&r, "five", 1000);
	b = make(&r, "five", 2000);
	EXPECT(layers_sealed(a, &err) == 0 && layers_sealed(b, &err) == 0 && strcmp(a->diff_id, b->diff_id) == 0, "%s %s", a->diff_id, b->diff_id);
	told = (struct told){ .r = &r, .l = a };
	layers_place_later(a, note, &told);
	EXPECT(layers_place(r.pool, &err) == 0, "%s", err.msg);
	again = layers_open_sealing(r.pool, a->diff_id, &err);
	NEED(again);
	EXPECT(strcmp(again->content, a->content) == 0 && strcmp(again->diff_id, a->diff_id) == 0, "%s %s", again->content, a->content);
	EXPECT(!layers_open(r.pool, "0000000000000000000000000000000000000000000000000000000000000000", &err), "a layer that is not there");
	EXPECT(!layers_open_sealing(r.pool, "0000000000000000000000000000000000000000000000000000000000000000", &err), "the same, pinned");
	teardown(&r);
}

int main(void)
{
	umask(0);
	test_place();
	test_drop();
	test_later();
	test_clamp_and_reopen();
	return failures != 0;
}
