/* SPDX-License-Identifier: Apache-2.0 */
/* The store: what was committed is found, by name, id and prefix; what is removed takes exactly the layers nobody else needs;
 * whoever uses an image keeps it; what a killed writer left is swept, what a living one makes is not. */
#include "images/store_commit.h"
#include "tests/unit/images_rig.h"

struct shop {
	struct scratch scratch;
	struct store *s;
	struct err err;
};

static void shop_init(struct shop *p)
{
	*p = (struct shop){0};
	scratch_init(&p->scratch);
	NEED(store_open(p->scratch.fd, &p->s, &p->err) == 0);
}

static void shop_done(struct shop *p)
{
	p->s = store_close(p->s);
	scratch_done(&p->scratch);
}

/* Commits an image of layers named by digits ('1' = 111…); new layers get one file. */
static int commit(struct shop *p, const char *digits, const char *mark, const char *const *refs, char id[static 65])
{
	AUTO_STR struct str config = {0};
	struct store_new_layer layers[8] = {0};
	int fds[8], rc;
	size_t n = 0, n_refs = 0;
	str_addf(&config, "{\"os\":\"linux\",\"created\":\"%s\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[", mark);
	for (const char *d = digits; *d; d++) {
		char diff[65];
		memset(diff, *d, 64);
		diff[64] = '\0';
		str_addf(&config, "%s\"sha256:%s\"", d == digits ? "" : ",", diff);
		if (store_has_layer(p->s, diff))
			continue;
		fds[n] = store_begin_layer(p->s, layers[n].tmp_name, &p->err);
		NEED(fds[n] >= 0);
		NEED(mknodat(fds[n], "diff/file", S_IFREG | 0644, 0) == 0);
		memcpy(layers[n].diff_id, diff, sizeof(diff));
		layers[n++].size_bytes = 100;
	}
	str_add(&config, "]}}");
	while (refs && refs[n_refs])
		n_refs++;
	rc = store_commit_image(p->s, config.p, config.len, layers, n, (char *const *)(uintptr_t)refs, n_refs, id, &p->err);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	return rc;
}

#define REFS(...) (const char *const[]){ __VA_ARGS__, NULL }

static bool has(struct shop *p, char digit)
{
	char diff[65];
	memset(diff, digit, 64);
	diff[64] = '\0';
	return store_has_layer(p->s, diff);
}

static int count_name(void *arg, const char *name)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

static int n_layers(struct shop *p)
{
	int n = 0;
	fs_each(p->scratch.fd, "layers", count_name, &n, NULL);
	return n;
}

static bool finds(struct shop *p, const char *name, const char *id)
{
	AUTO_IMAGE struct image img = {0};
	p->err = (struct err){0};
	return store_lookup(p->s, name, &img, &p->err) == 0 && strcmp(img.id, id) == 0;
}

static void test_lookup(void)
{
	struct shop p;
	char a[65], b[65], text[80];
	AUTO_IMAGE struct image img = {0};
	struct image *list;
	int *fds;
	size_t n;
	shop_init(&p);
	EXPECT(commit(&p, "12", "2020", REFS("docker.io/library/busybox:latest", "docker.io/alice/app:1"), a) == 0, "%s", p.err.msg);
	EXPECT(commit(&p, "13", "2021", REFS("ghcr.io/x/y:z"), b) == 0, "%s", p.err.msg);
	EXPECT(commit(&p, "13", "2021", REFS("ghcr.io/x/y:z"), b) == 1, "the same again is the same image");
	for (const char *const *name = REFS("busybox", "busybox:latest", "docker.io/busybox", "docker.io/library/busybox:latest", "alice/app:1"); *name; name++)
		EXPECT(finds(&p, *name, a), "%s: %s", *name, p.err.msg);
	EXPECT(finds(&p, "ghcr.io/x/y:z", b) && finds(&p, b, b), "by reference and id");
	snprintf(text, sizeof(text), "sha256:%s", a);
	EXPECT(finds(&p, text, a), "sha256:…");
	snprintf(text, sizeof(text), "%.12s", b);
	EXPECT(finds(&p, text, b), "prefix: %s", p.err.msg);
	EXPECT(!finds(&p, "nosuch:1", a) && p.err.code == ERR_NOT_FOUND && strcmp(p.err.msg, "image \"nosuch:1\" not found locally") == 0, "%s", p.err.msg);
	EXPECT(!finds(&p, "busybox:1.36", a) && p.err.code == ERR_NOT_FOUND, "%s", p.err.msg);
	EXPECT(!finds(&p, "../../etc", a) && p.err.code == ERR_INVALID, "%s", p.err.msg);
	EXPECT(!finds(&p, "alice/app", a) && p.err.code == ERR_NOT_FOUND, "no other tag is taken");
	EXPECT(store_lookup(p.s, "busybox", &img, &p.err) == 0 && img.refs.n == 2 && img.size_bytes == 200 && img.diff_ids.n == 2, "fields");
	EXPECT(store_open_layers(p.s, &img, &fds, &n, &p.err) == 0 && n == 2 && faccessat(fds[0], "file", F_OK, 0) == 0, "%s", p.err.msg);
	close(fds[0]);
	close(fds[1]);
	free(fds);
	EXPECT(store_list(p.s, &list, &n, &p.err) == 0 && n == 2 && strcmp(list[0].id, b) == 0, "newest first: %s", p.err.msg);
	store_list_free(list, n);
	shop_done(&p);
}

/* A name that moves leaves the old image without one; it is still there, by its id. */
static void test_tag(void)
{
	struct shop p;
	char a[65], b[65];
	AUTO_IMAGE struct image img = {0};
	shop_init(&p);
	commit(&p, "1", "2020", REFS("docker.io/library/app:latest"), a);
	commit(&p, "2", "2020", REFS("docker.io/library/app:latest"), b);
	EXPECT(finds(&p, "app", b) && finds(&p, a, a), "moved");
	EXPECT(store_lookup(p.s, a, &img, &p.err) == 0 && img.refs.n == 0, "dangling");
	EXPECT(store_tag(p.s, a, "app:old", &p.err) == 0 && finds(&p, "app:old", a), "%s", p.err.msg);
	EXPECT(store_tag(p.s, "0000000000000000000000000000000000000000000000000000000000000000", "x", &p.err) < 0 &&
		p.err.code == ERR_NOT_FOUND, "%s", p.err.msg);
	EXPECT(store_tag(p.s, a, "UPPER", &p.err) < 0 && p.err.code == ERR_INVALID, "%s", p.err.msg);
	shop_done(&p);
}

static bool in_use(void *arg, const char *id, char by[static 64])
{
	snprintf(by, 64, "container web-1");
	return arg && strcmp(arg, id) == 0;
}

static int rm(struct shop *p, const char *name, bool force, char *used, char **ret_text)
{
	struct store_removed r = {0};
	AUTO_STR struct str text = {0};
	int rc;
	p->err = (struct err){0};
	rc = store_remove(p->s, name, force, in_use, used, &r, &p->err);
	for (size_t i = 0; i < r.untagged.n; i++)
		str_addf(&text, "-%s ", r.untagged.v[i]);
	str_addf(&text, "x%zu", r.deleted.n);
	store_removed_done(&r);
	*ret_text = str_take(&text);
	return rc;
}

#define RM(p, name, force, used, want_rc, want) \
	do { char *t_; int rc_ = rm(p, name, force, used, &t_); \
		EXPECT(rc_ == (want_rc) && strcmp(t_, want) == 0, "%s: %d %s %s", name, rc_, t_, (p)->err.msg); free(t_); } while (0)

static void test_remove(void)
{
	struct shop p;
	char a[65], b[65];
	shop_init(&p);
	commit(&p, "12", "2020", REFS("docker.io/library/a:1", "docker.io/library/a:2"), a);
	commit(&p, "13", "2020", REFS("docker.io/library/b:latest"), b);
	RM(&p, "nosuch", false, NULL, -1, "x0");
	RM(&p, "a:1", false, a, 0, "-a:1 x0");
	EXPECT(has(&p, '2') && finds(&p, "a:2", a), "only untagged");
	store_tag(p.s, a, "a:3", NULL);
	RM(&p, a, false, NULL, -1, "x0");
	EXPECT(p.err.code == ERR_CONFLICT && strstr(p.err.msg, "2 names"), "%s", p.err.msg);
	RM(&p, a, true, NULL, 0, "-a:2 -a:3 x2");
	EXPECT(!has(&p, '2') && has(&p, '1') && has(&p, '3') && !finds(&p, a, a), "layers that only it needed");
	RM(&p, "b", false, b, -1, "x0");
	EXPECT(p.err.code == ERR_CONFLICT && strcmp(p.err.msg, "image \"b\" is in use by container web-1") == 0, "%s", p.err.msg);
	EXPECT(finds(&p, "b", b), "nothing changed");
	RM(&p, "b", true, b, 0, "-b:latest x0");
	EXPECT(finds(&p, b, b) && has(&p, '3'), "in use: nameless, but there");
	RM(&p, b, false, NULL, 0, "x3");
	EXPECT(n_layers(&p) == 0, "%d layers left", n_layers(&p));
	shop_done(&p);
}

/* A damaged configuration is named by lookup and list, can be removed by its id, and costs no other image a layer. */
static void test_damage(void)
{
	struct shop p;
	char a[65], b[65];
	struct image *list;
	size_t n;
	shop_init(&p);
	commit(&p, "1", "2020", REFS("docker.io/library/a:1"), a);
	commit(&p, "12", "2020", REFS("docker.io/library/b:1"), b);
	AUTO_FREE char *path = xasprintf("images/config/%s.json", a);
	AUTO_CLOSE int fd = openat(p.scratch.fd, path, O_WRONLY | O_APPEND);
	NEED(write(fd, " ", 1) == 1);
	EXPECT(!finds(&p, "a:1", a) && p.err.code == ERR_CORRUPT, "%s", p.err.msg);
	EXPECT(store_list(p.s, &list, &n, &p.err) < 0 && p.err.code == ERR_CORRUPT, "%s", p.err.msg);
	RM(&p, "b:1", false, NULL, 0, "-b:1 x1");
	EXPECT(has(&p, '1') && has(&p, '2'), "not all needs are known: layers stay");
	RM(&p, a, false, NULL, 0, "-a:1 x1");
	EXPECT(store_sweep(p.s, &p.err) == 0 && n_layers(&p) == 0, "%d layers after the sweep", n_layers(&p));
	shop_done(&p);
}

static void test_sweep(void)
{
	struct shop p;
	char a[65], name[32];
	int fd;
	shop_init(&p);
	commit(&p, "1", "2020", REFS("docker.io/library/a:1"), a);
	NEED(mkdirat(p.scratch.fd, "layers/.tmp-killed", 0700) == 0 && mkdirat(p.scratch.fd, "layers/.tmp-killed/diff", 0700) == 0);
	NEED(mkdirat(p.scratch.fd, "layers/2222222222222222222222222222222222222222222222222222222222222222", 0700) == 0);
	fd = store_begin_layer(p.s, name, &p.err);
	EXPECT(store_sweep(p.s, &p.err) == 0 && n_layers(&p) == 2 && has(&p, '1'), "%d: the living stay", n_layers(&p));
	close(fd);
	EXPECT(store_sweep(p.s, &p.err) == 0 && n_layers(&p) == 1, "%d: its maker is gone", n_layers(&p));
	shop_done(&p);
}

/* A commit that cannot be whole changes nothing: a layer is missing, or the configuration is none. */
static void test_refused_commit(void)
{
	struct shop p;
	char a[65];
	const char *text = "{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":"
		"[\"sha256:9999999999999999999999999999999999999999999999999999999999999999\"]}}";
	char *ref = (char[]){ "docker.io/library/a:1" };
	shop_init(&p);
	EXPECT(store_commit_image(p.s, text, strlen(text), NULL, 0, &ref, 1, a, &p.err) < 0 && p.err.code == ERR_CONFLICT, "%s", p.err.msg);
	EXPECT(store_commit_image(p.s, "{}", 2, NULL, 0, &ref, 1, a, &p.err) < 0 && p.err.code != ERR_NONE, "%s", p.err.msg);
	EXPECT(!finds(&p, "a:1", a) && p.err.code == ERR_NOT_FOUND, "%s", p.err.msg);
	shop_done(&p);
}

/* Two ids with one prefix: found by trying marks until two configurations agree in two digits. */
static void test_ambiguous(void)
{
	struct shop p;
	char ids[120][65], mark[16], prefix[3];
	bool seen = false;
	shop_init(&p);
	for (int i = 0; i < 120 && !seen; i++) {
		snprintf(mark, sizeof(mark), "%d", i);
		NEED(commit(&p, "1", mark, NULL, ids[i]) == 0);
		for (int k = 0; k < i && !seen; k++) {
			seen = strncmp(ids[i], ids[k], 2) == 0;
			snprintf(prefix, sizeof(prefix), "%.2s", ids[i]);
		}
	}
	NEED(seen);
	EXPECT(!finds(&p, prefix, ids[0]) && p.err.code == ERR_CONFLICT && strstr(p.err.msg, "not unique"), "%s", p.err.msg);
	shop_done(&p);
}

int main(void)
{
	test_lookup();
	test_tag();
	test_remove();
	test_damage();
	test_sweep();
	test_refused_commit();
	test_ambiguous();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
