/* SPDX-License-Identifier: Apache-2.0 */
/* import and load: the same content is the same image however it is packed; an archive that lies about a digest, a size, a layer
 * or a name is refused and leaves the store as it was, without a byte of the refused layers. */
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <zlib.h>

#include "images/import.h"
#include "images/load.h"
#include "tests/unit/images_rig.h"

struct told {
	struct strv loaded;   /* "ref id" */
	int n_warnings;
	uint64_t done, total;
};

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct told *t = arg;
	EXPECT(done >= t->done || t->done == 0, "progress goes back");
	t->done = done;
	t->total = total;
}

static void on_warning(void *arg, const char *text)
{
	(void)text;
	((struct told *)arg)->n_warnings++;
}

static void on_loaded(void *arg, const char *ref, const char *id)
{
	strv_pushf(&((struct told *)arg)->loaded, "%s %s", ref ? ref : "-", id);
}

struct shop {
	struct scratch scratch;
	struct told told;
	struct work_listener listener;
	struct work w;
	struct err err;
};

static void shop_init(struct shop *p)
{
	*p = (struct shop){0};
	scratch_init(&p->scratch);
	p->listener = (struct work_listener){ .arg = &p->told, .progress = on_progress, .warning = on_warning, .loaded = on_loaded };
	p->w.listener = &p->listener;
	NEED(store_open(p->scratch.fd, &p->w.store, &p->err) == 0);
}

static void shop_done(struct shop *p)
{
	p->w.store = store_close(p->w.store);
	strv_done(&p->told.loaded);
	scratch_done(&p->scratch);
}

static int count_name(void *arg, const char *name)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

static int n_in(struct shop *p, const char *dir)
{
	int n = 0;
	fs_each(p->scratch.fd, dir, count_name, &n, NULL);
	return n;
}

/* A file with these bytes, read position at its beginning. */
static int file_of(const struct str *bytes)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);
	NEED(fd >= 0 && fs_write_all(fd, str_get(bytes), bytes->len, NULL) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static int load(struct shop *p, const struct str *bytes)
{
	AUTO_CLOSE int fd = file_of(bytes);
	int rc;
	p->err = (struct err){0};
	p->told.done = 0;
	strv_done(&p->told.loaded);
	p->w.input_fd = fd;
	rc = load_archive(&p->w, &p->err);
	return rc;
}

static int import(struct shop *p, const struct str *bytes, const char *name, const char *const *changes, char id[static 65])
{
	AUTO_CLOSE int fd = file_of(bytes);
	p->err = (struct err){0};
	p->told.done = 0;
	p->w.input_fd = fd;
	return import_rootfs(&p->w, name, changes, NULL, id, &p->err);
}

static void gzip(struct str *out, const struct str *in)
{
	z_stream z = {0};
	NEED(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = (void *)in->p;
	z.avail_in = (uInt)in->len;
	z.avail_out = (uInt)deflateBound(&z, in->len);
	z.next_out = (void *)str_reserve(out, z.avail_out);
	NEED(deflate(&z, Z_FINISH) == Z_STREAM_END);
	out->len += z.total_out;
	deflateEnd(&z);
}

/* Adds a member of any bytes to an archive. */
static void add_bytes(struct str *tar, const char *name, const struct str *bytes)
{
	tar_header(tar, &(struct entry){ .name = name }, name, '0', (long long)bytes->len);
	str_addn(tar, str_get(bytes), bytes->len);
	tar_pad(tar);
}

static void add_text(struct str *tar, const char *name, const char *text)
{
	tar_add(tar, &(struct entry){ .name = name, .data = text });
}

static void sha(const struct str *s, char ret[static 65])
{
	sha256_hex(str_get(s), s->len, ret);
}

/* ---- a small image and its archives ---- */

struct sample {
	struct str layer[2], blob[2], config;  /* blob: the layer gzipped */
	char diff[2][65], digest[2][65], id[65];
};

static void sample_init(struct sample *s)
{
	*s = (struct sample){0};
	tar_build(&s->layer[0], (struct entry[]){ { .name = "bin/", .type = '5' }, { .name = "bin/sh", .data = "sh", .mode = 0755 }, {0} });
	tar_build(&s->layer[1], (struct entry[]){ { .name = "etc/.wh.x" }, { .name = "etc/y", .data = "y" }, {0} });
	for (int i = 0; i < 2; i++) {
		gzip(&s->blob[i], &s->layer[i]);
		sha(&s->layer[i], s->diff[i]);
		sha(&s->blob[i], s->digest[i]);
	}
	str_addf(&s->config, "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"sh\"]},\"rootfs\":{\"type\":\"layers\","
		"\"diff_ids\":[\"sha256:%s\",\"sha256:%s\"]}}", image_config_host_arch(), s->diff[0], s->diff[1]);
	sha(&s->config, s->id);
}

static void sample_done(struct sample *s)
{
	for (int i = 0; i < 2; i++) {
		str_done(&s->layer[i]);
		str_done(&s->blob[i]);
	}
	str_done(&s->config);
}

static void docker_archive(struct str *tar, const struct sample *s, const struct str *layer1, const char *tags)
{
	AUTO_FREE char *config = xasprintf("%s.json", s->id);
	AUTO_FREE char *manifest = xasprintf("[{\"Config\":\"%s\",\"RepoTags\":%s,\"Layers\":[\"a/layer.tar\",\"b/layer.tar\"]}]", config, tags);
	add_bytes(tar, "a/layer.tar", &s->layer[0]);
	if (layer1)
		add_bytes(tar, "b/layer.tar", layer1);
	else
		tar_add(tar, &(struct entry){ .name = "b/layer.tar", .type = '2', .link = "../c/./layer.tar" });
	if (!layer1)
		add_bytes(tar, "c/layer.tar", &s->layer[1]);
	add_bytes(tar, config, &s->config);
	add_text(tar, "manifest.json", manifest);
	tar_end(tar);
}

/* What an OCI archive may get wrong. */
struct oci_lie {
	const char *name;          /* annotation, NULL = none */
	bool wrong_digest, wrong_size, wrong_config, missing, in_index, other_platform;
	bool combined;             /* with a manifest.json too, as docker 25 and later save */
};

static void add_blob(struct str *tar, const char *hex, const struct str *bytes)
{
	AUTO_FREE char *name = xasprintf("blobs/sha256/%s", hex);
	add_bytes(tar, name, bytes);
}

static void oci_archive(struct str *tar, const struct sample *s, const struct oci_lie *lie)
{
	AUTO_STR struct str manifest = {0}, index = {0}, inner = {0}, config = {0};
	char hex[65], inner_hex[65];
	const struct str *second = lie->wrong_digest ? &s->blob[0] : &s->blob[1];
	str_add(&config, str_get(&s->config));
	if (lie->wrong_config)
		config.p[config.len - 1] = ' ';
	str_addf(&manifest, "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:%s\","
		"\"size\":%zu},\"layers\":[", s->id, s->config.len);
	for (int i = 0; i < 2; i++)
		str_addf(&manifest, "%s{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"sha256:%s\",\"size\":%zu}",
			i ? "," : "", s->digest[i], i && lie->wrong_digest ? second->len : s->blob[i].len + (i && lie->wrong_size));
	str_add(&manifest, "]}");
	sha(&manifest, hex);
	str_addf(&inner, "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"x\",\"digest\":\"sha256:%064d\",\"size\":1,"
		"\"platform\":{\"os\":\"linux\",\"architecture\":\"mips\"}},{\"mediaType\":\"x\",\"digest\":\"sha256:%s\",\"size\":%zu,"
		"\"platform\":{\"os\":\"linux\",\"architecture\":\"%s\"}}]}", 0, hex, manifest.len, image_config_host_arch());
	sha(&inner, inner_hex);
	str_addf(&index, "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"x\",\"digest\":\"sha256:%s\",\"size\":%zu",
		lie->in_index ? inner_hex : hex, lie->in_index ? inner.len : manifest.len);
	if (lie->name)
		str_addf(&index, ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"%s\"}", lie->name);
	if (lie->other_platform)
		str_add(&index, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"mips\"}");
	str_add(&index, "}]}");
	add_text(tar, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	add_blob(tar, hex, &manifest);
	add_blob(tar, inner_hex, &inner);
	add_blob(tar, s->id, &config);
	add_blob(tar, s->digest[0], &s->blob[0]);
	if (!lie->missing)
		add_blob(tar, s->digest[1], second);
	add_text(tar, "index.json", index.p);
	if (lie->combined) {
		AUTO_FREE char *docker = xasprintf("[{\"Config\":\"blobs/sha256/%s\",\"RepoTags\":[\"foo:1\"],\"Layers\":"
			"[\"blobs/sha256/%s\",\"blobs/sha256/%s\"]}]", s->id, s->digest[0], s->digest[1]);
		add_text(tar, "manifest.json", docker);
	}
	tar_end(tar);
}

/* Every form of the same image loads as the same image. */
static void test_forms(void)
{
	struct sample s;
	struct shop p;
	struct str forms[7] = {0};
	const char *const want[] = { "foo:1", "foo:1", "foo:1", "-", "foo:1", "-", "foo:1" };
	sample_init(&s);
	docker_archive(&forms[0], &s, NULL, "[\"foo:1\"]");
	docker_archive(&forms[1], &s, &s.blob[1], "[\"foo:1\"]");
	gzip(&forms[2], &forms[0]);
	docker_archive(&forms[3], &s, &s.layer[1], "null");
	oci_archive(&forms[4], &s, &(struct oci_lie){ .name = "docker.io/library/foo:1" });
	oci_archive(&forms[5], &s, &(struct oci_lie){ .name = "latest", .in_index = true });
	oci_archive(&forms[6], &s, &(struct oci_lie){ .combined = true });
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		AUTO_FREE char *line = xasprintf("%s %s", want[i], s.id);
		AUTO_IMAGE struct image img = {0};
		shop_init(&p);
		EXPECT(load(&p, &forms[i]) == 0, "form %zu: %s", i, p.err.msg);
		EXPECT(p.told.loaded.n == 1 && strcmp(p.told.loaded.v[0], line) == 0, "form %zu: %s", i,
			p.told.loaded.n ? p.told.loaded.v[0] : "nothing");
		EXPECT(store_lookup(p.w.store, s.id, &img, &p.err) == 0 && img.size_bytes == 3 && n_in(&p, "layers") == 2, "form %zu", i);
		EXPECT(load(&p, &forms[i]) == 0 && n_in(&p, "layers") == 2, "form %zu again: %s", i, p.err.msg);
		shop_done(&p);
		str_done(&forms[i]);
	}
	sample_done(&s);
}

static void test_pipe(void)
{
	struct sample s;
	struct shop p;
	AUTO_STR struct str tar = {0};
	int fds[2];
	shop_init(&p);
	sample_init(&s);
	docker_archive(&tar, &s, &s.layer[1], "[\"foo:1\",\"bar:2\"]");
	NEED(pipe2(fds, O_CLOEXEC) == 0 && tar.len < 65536 && fs_write_all(fds[1], tar.p, tar.len, NULL) == 0);
	close(fds[1]);
	p.w.input_fd = fds[0];
	EXPECT(load_archive(&p.w, &p.err) == 0 && p.told.loaded.n == 2, "%s", p.err.msg);
	EXPECT(n_in(&p, "layers") == 2, "the copy of the archive is gone");
	close(fds[0]);
	sample_done(&s);
	shop_done(&p);
}

static void expect_refused(const char *what, const struct str *tar, const char *says)
{
	struct shop p;
	shop_init(&p);
	EXPECT(load(&p, tar) < 0 && strstr(p.err.msg, says), "%s: %s", what, p.err.msg[0] ? p.err.msg : "was taken");
	EXPECT(n_in(&p, "layers") == 0 && n_in(&p, "images/config") == 0 && p.told.loaded.n == 0, "%s: something stayed", what);
	shop_done(&p);
}

static void test_lies(void)
{
	struct sample s;
	AUTO_STR struct str t = {0}, evil = {0}, text = {0};
	sample_init(&s);
	docker_archive(&t, &s, &s.layer[0], "[\"foo:1\"]");
	expect_refused("another layer", &t, "layer 2: diff_id is");
	str_clear(&t);
	docker_archive(&t, &s, &s.layer[1], "[\"FOO:1\"]");
	expect_refused("bad name", &t, "lower case");
	str_clear(&t);
	str_addn(&evil, s.layer[1].p, s.layer[1].len);
	evil.p[1024 + 512] ^= 1; /* one byte of a file in the layer */
	docker_archive(&t, &s, &evil, "[\"foo:1\"]");
	expect_refused("changed layer", &t, "layer 2");
	for (size_t cut = 700; cut < t.len - 1024; cut += 1777) {
		struct str part = { .p = t.p, .len = t.len - 1024 - cut };
		expect_refused("cut off", &part, "load: ");
	}
	const struct {
		const char *what;
		struct oci_lie lie;
		const char *says;
	} lies[] = {
		{ "wrong layer digest", { .wrong_digest = true }, "layer 2: digest is" },
		{ "wrong size", { .wrong_size = true }, "has not the size" },
		{ "wrong configuration", { .wrong_config = true }, "digest is" },
		{ "missing layer", { .missing = true }, "layer 2" },
		{ "wrong layer digest in a combined archive", { .wrong_digest = true, .combined = true }, "layer 2: digest is" },
		{ "wrong configuration in a combined archive", { .wrong_config = true, .combined = true }, "digest is" },
		{ "other platform", { .other_platform = true }, "no image for linux/" },
		{ "bad name", { .name = "../x:1" }, "\"../x:1\"" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		str_clear(&t);
		oci_archive(&t, &s, &lies[i].lie);
		expect_refused(lies[i].what, &t, lies[i].says);
	}
	str_clear(&t);
	add_text(&t, "manifest.json", "[{\"Config\":\"../../etc/passwd\",\"Layers\":[]}]");
	tar_end(&t);
	expect_refused("configuration outside", &t, "not in the archive");
	str_clear(&t);
	tar_add(&t, &(struct entry){ .name = "manifest.json", .type = '2', .link = "manifest.json" });
	tar_end(&t);
	expect_refused("link loop", &t, "neither a docker-archive");
	expect_refused("a root file system", &s.layer[0], "no manifest.json and no index.json");
	str_add(&text, "just text");
	expect_refused("text", &text, "not a tar archive");
	sample_done(&s);
}

/* The id depends on content and changes only; packing and time of import do not matter. */
static void test_import(void)
{
	struct sample s;
	struct shop p;
	char a[65], b[65], c[65];
	AUTO_IMAGE struct image img = {0};
	const char *const changes[] = { "CMD [\"x\"]", "ENV A=1", NULL }, *const bad[] = { "RUN x", NULL };
	shop_init(&p);
	sample_init(&s);
	EXPECT(import(&p, &s.layer[0], "base", NULL, a) == 0, "%s", p.err.msg);
	EXPECT(import(&p, &s.blob[0], "base:2", NULL, b) == 1 && strcmp(a, b) == 0, "packing does not matter: %s", p.err.msg);
	EXPECT(import(&p, &s.layer[0], "base", changes, c) == 0 && strcmp(a, c) != 0 && n_in(&p, "layers") == 1, "%s", p.err.msg);
	EXPECT(store_lookup(p.w.store, "base", &img, &p.err) == 0 && strcmp(img.id, c) == 0 && img.cmd.n == 1 && img.env.n == 1, "%s", p.err.msg);
	EXPECT(str_starts(img.created, "2001-09-09T01:46:40"), "created %s", img.created);
	EXPECT(import(&p, &s.layer[0], NULL, bad, b) < 0 && p.err.code == ERR_INVALID && lseek(p.w.input_fd, 0, SEEK_CUR) <= 0, "%s", p.err.msg);
	EXPECT(import(&p, &s.layer[0], "No", NULL, b) < 0 && p.err.code == ERR_INVALID, "%s", p.err.msg);
	EXPECT(n_in(&p, "layers") == 1 && n_in(&p, "images/config") == 2, "nothing else stayed");
	sample_done(&s);
	shop_done(&p);
}

/* The kernel agrees about the form: mounted one over the other, the layers hide, replace and add what the archive said. */
static void check_mounted(struct shop *p, struct sample *s)
{
	AUTO_FREE char *options = NULL;
	char root[100];
	NEED(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	options = xasprintf("lowerdir=%s/layers/%s/diff:%s/layers/%s/diff", p->scratch.path, s->diff[1], p->scratch.path, s->diff[0]);
	snprintf(root, sizeof(root), "%s/mnt", p->scratch.path);
	NEED(mkdir(root, 0700) == 0);
	if (mount("overlay", root, "overlay", 0, options) < 0) {
		printf("no overlay here: %s\n", strerror(errno));
		_exit(0);
	}
	NEED(chdir(root) == 0);
	_exit(access("etc/x", F_OK) != -1 || access("etc/y", F_OK) != 0 || access("opq/old", F_OK) != -1 || access("opq/new", F_OK) != 0 ||
		access("keep/old", F_OK) != 0 || access("dir/old", F_OK) != -1 || access("dir/new", F_OK) != 0);
}

static void test_overlay(void)
{
	struct sample s;
	struct shop p;
	AUTO_STR struct str tar = {0};
	int wstatus;
	pid_t pid;
	sample_init(&s);
	str_done(&s.layer[0]);
	str_done(&s.layer[1]);
	tar_build(&s.layer[0], (struct entry[]){ { .name = "etc/x" }, { .name = "opq/old" }, { .name = "keep/old" }, { .name = "dir/old" }, {0} });
	tar_build(&s.layer[1], (struct entry[]){ { .name = "etc/.wh.x" }, { .name = "etc/y" }, { .name = "opq/.wh..wh..opq" }, { .name = "opq/new" },
		{ .name = "keep/new" }, { .name = ".wh.dir" }, { .name = "dir/", .type = '5' }, { .name = "dir/new" }, {0} });
	str_clear(&s.config);
	for (int i = 0; i < 2; i++)
		sha(&s.layer[i], s.diff[i]);
	str_addf(&s.config, "{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\",\"sha256:%s\"]}}", s.diff[0], s.diff[1]);
	sha(&s.config, s.id);
	docker_archive(&tar, &s, &s.layer[1], "[\"foo:1\"]");
	shop_init(&p);
	EXPECT(load(&p, &tar) == 0, "%s", p.err.msg);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		check_mounted(&p, &s);
	NEED(waitpid(pid, &wstatus, 0) == pid);
	EXPECT(wstatus == 0, "the mounted layers do not show what the archive says (status %d)", wstatus);
	sample_done(&s);
	shop_done(&p);
}

int main(void)
{
	if (geteuid() != 0) {
		printf("needs root: owners of files and whiteouts\n");
		return 77;
	}
	stream_prepare();
	test_forms();
	test_pipe();
	test_lies();
	test_import();
	test_overlay();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
