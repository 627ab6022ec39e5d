/* SPDX-License-Identifier: Apache-2.0 */
/* COPY and ADD on views of layers. Invariants: what arrives where is what the Dockerfile reference says (sections ADD and COPY), in a layer that
 * holds the changes only; symlinks of the image and of the context are resolved inside it and never lead out; the digest of a selection changes
 * with everything that counts and with nothing else (not with times, nor with what is left out). Needs root: owners, devices. */
#include "images/build/copy.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "images/build/unpack.h"

static int failures;

#define CHECK(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static int top_fd; /* everything is below it */

static void made(int rc)
{
	CHECK(rc == 0, "%s", strerror(errno));
}

static void put(int dir, const char *path, const char *text, mode_t mode, uid_t uid)
{
	AUTO_FREE char *copy = xstrdup(path);
	char *slash = strrchr(copy, '/');
	int fd;
	if (slash) {
		*slash = '\0';
		close(fs_make_dir(dir, copy, 0755, NULL));
	}
	if (!text) {
		close(fs_make_dir(dir, path, 0755, NULL));
		made(fchownat(dir, path, uid, uid, 0));
		made(fchmodat(dir, path, mode, 0));
		return;
	}
	fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) >= 0, "%s", path);
	CHECK(fchown(fd, uid, uid) == 0 && fchmod(fd, mode) == 0, "%s", path);
	close(fd);
}

static int make(const char *name)
{
	struct err err = {0};
	int fd;
	fs_remove_tree(top_fd, name, NULL);
	fd = fs_make_dir(top_fd, name, 0755, &err);
	CHECK(fd >= 0, "%s", err.msg);
	return fd;
}

/* "d 755 0:0 /a", "f 644 1:1 /a/b text", "l /c -> x", one a line; of one directory as it is. */
static void list(struct view_walk *w, struct str *out)
{
	AUTO_STRV struct strv names = {0};
	struct err err = {0};
	CHECK(view_list(w, &names, &err) == 0, "%s", err.msg);
	for (size_t i = 0; i < names.n; i++) {
		AUTO_FREE char *dir = view_path(w);
		struct stat st;
		char text[4096] = "";
		view_find(w, names.v[i], &st, NULL);
		str_addf(out, "%c ", S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : S_ISREG(st.st_mode) ? 'f' : S_ISFIFO(st.st_mode) ? 'p' : 'c');
		if (!S_ISLNK(st.st_mode))
			str_addf(out, "%o ", st.st_mode & 07777);
		str_addf(out, "%u:%u %s/%s", st.st_uid, st.st_gid, dir[1] ? dir : "", names.v[i]);
		if (S_ISLNK(st.st_mode) && view_readlink(w, names.v[i], text, NULL) == 0)
			str_addf(out, " -> %s", text);
		if (S_ISREG(st.st_mode)) {
			AUTO_CLOSE int fd = view_open(w, names.v[i], &st, NULL);
			ssize_t n = read(fd, text, sizeof(text) - 1);
			text[n > 0 ? n : 0] = '\0';
			str_addf(out, " %s", text);
		}
		str_addc(out, '\n');
		if (S_ISDIR(st.st_mode) && view_down(w, names.v[i], NULL) == 0) {
			list(w, out);
			view_up(w);
		}
	}
}

static char *list_dir(int fd)
{
	const struct view view = { .fds = &fd, .n = 1 };
	struct view_walk w;
	struct str out = {0};
	CHECK(view_walk_init(&w, &view, NULL) == 0, "walk");
	list(&w, &out);
	view_walk_done(&w);
	return str_take(&out);
}

/* The image: two layers. The second hides /gone and makes /opaque anew. */
static void make_image(int low, int high)
{
	put(low, "etc/passwd", "root:x:0:0::/:\nbin:x:7:9::/:\n", 0644, 0);
	put(low, "dir", NULL, 0700, 5);
	put(low, "dir/old", "old", 0640, 5);
	put(low, "file", "file", 0644, 0);
	put(low, "gone", "x", 0644, 0);
	put(low, "opaque/below", "x", 0644, 0);
	put(low, "empty", NULL, 0755, 0);
	put(low, "full/x", "x", 0644, 0);
	made(symlinkat("dir", low, "link"));
	made(symlinkat("/dir", low, "abs"));
	made(symlinkat("/new/name", low, "dangling"));
	made(symlinkat("../../../../../outside", low, "up"));
	made(symlinkat("loop", low, "loop"));
	made(mknodat(high, "gone", S_IFCHR, 0));
	put(high, "opaque/above", "y", 0644, 0);
	CHECK(fsetxattr(openat(high, "opaque", O_RDONLY), "trusted.overlay.opaque", "y", 1, 0) == 0, "opaque");
}

static void make_context(int ctx)
{
	put(ctx, "a.txt", "A", 0644, 33);
	put(ctx, "b.txt", "B", 0755, 33);
	put(ctx, "c.md", "C", 0600, 33);
	put(ctx, "sub/x", "X", 0644, 33);
	put(ctx, "sub/deep/y.txt", "Y", 04755, 33);
	put(ctx, "sub/old", "new", 0644, 33);
	put(ctx, "we[i]rd", "W", 0644, 33);
	put(ctx, "empty", NULL, 0711, 33);
	made(symlinkat("a.txt", ctx, "to-a"));
	made(symlinkat("../../../../etc/passwd", ctx, "out"));
	made(symlinkat("/sub", ctx, "to-sub"));
	made(symlinkat("y.txt", ctx, "sub/deep/link"));
	made(mkfifoat(ctx, "pipe", 0600));
}

struct test {
	const char *sources[4], *dest;
	struct copy_options o;
	const char *ignore, *exclude;
	const char *expect;   /* the upper layer; "!" + text: the error has it */
};

#define OWN .chown = true, .uid = 7, .gid = 8
static const struct test tests[] = {
	{ { "a.txt" }, "/", { .chmod = "" }, .expect = "f 644 0:0 /a.txt A\n" },
	{ { "a.txt" }, "/n", { .chmod = "" }, .expect = "f 644 0:0 /n A\n" },
	{ { "a.txt" }, "/n/", { .chmod = "" }, .expect = "d 755 0:0 /n\nf 644 0:0 /n/a.txt A\n" },
	{ { "a.txt" }, "/dir", { .chmod = "" }, .expect = "d 700 5:5 /dir\nf 644 0:0 /dir/a.txt A\n" },
	{ { "a.txt" }, "/link/", { .chmod = "" }, .expect = "d 700 5:5 /dir\nf 644 0:0 /dir/a.txt A\n" },
	{ { "a.txt" }, "/abs/q", { .chmod = "" }, .expect = "d 700 5:5 /dir\nf 644 0:0 /dir/q A\n" },
	{ { "a.txt" }, "/dangling", { .chmod = "" }, .expect = "d 755 0:0 /new\nf 644 0:0 /new/name A\n" },
	{ { "a.txt" }, "/up/f", { .chmod = "" }, .expect = "d 755 0:0 /outside\nf 644 0:0 /outside/f A\n" },
	{ { "a.txt" }, "/loop/f", { .chmod = "" }, .expect = "!symbolic links" },
	{ { "a.txt" }, "/file", { .chmod = "" }, .expect = "f 644 0:0 /file A\n" },
	{ { "a.txt" }, "/file/x", { .chmod = "" }, .expect = "!Not a directory" },
	{ { "a.txt" }, "/gone", { .chmod = "" }, .expect = "f 644 0:0 /gone A\n" },
	{ { "a.txt" }, "/opaque/below", { .chmod = "" }, .expect = "d 755 0:0 /opaque\nf 644 0:0 /opaque/below A\n" },
	{ { "./sub/../a.txt" }, "/n", { .chmod = "" }, .expect = "f 644 0:0 /n A\n" },
	{ { "../a.txt", "/b.txt" }, "/n/", { .chmod = "" }, .expect = "d 755 0:0 /n\nf 644 0:0 /n/a.txt A\nf 755 0:0 /n/b.txt B\n" },
	{ { "sub" }, "/n", { .chmod = "" },
	  .expect = "d 755 0:0 /n\nd 755 0:0 /n/deep\nl 0:0 /n/deep/link -> y.txt\nf 4755 0:0 /n/deep/y.txt Y\nf 644 0:0 /n/old new\nf 644 0:0 /n/x X\n" },
	{ { "sub" }, "/dir", { .chmod = "" }, .exclude = "deep",
	  .expect = "d 700 5:5 /dir\nf 644 0:0 /dir/old new\nf 644 0:0 /dir/x X\n" },
	{ { "sub" }, "/file", { .chmod = "" }, .expect = "!cannot copy to non-directory" },
	{ { "empty" }, "/n/m", { .chmod = "", OWN }, .expect = "d 755 7:8 /n\nd 755 7:8 /n/m\n" },
	{ { "*.txt" }, "/n/", { .chmod = "0600", OWN }, .expect = "d 755 7:8 /n\nf 600 7:8 /n/a.txt A\nf 600 7:8 /n/b.txt B\n" },
	{ { "?.txt" }, "/n/", { .chmod = "g+w,o=" }, .expect = "d 755 0:0 /n\nf 660 0:0 /n/a.txt A\nf 770 0:0 /n/b.txt B\n" },
	{ { "*.nothing" }, "/n/", { .chmod = "" }, .expect = "" },
	{ { "we[[]i]rd" }, "/n", { .chmod = "" }, .expect = "f 644 0:0 /n W\n" },
	{ { "missing" }, "/n", { .chmod = "" }, .expect = "!\"/missing\": not found" },
	{ { "a.txt" }, "/n", { .chmod = "" }, .ignore = "*.txt", .expect = "!not found: .dockerignore" },
	{ { "." }, "/n/", { .chmod = "" }, .ignore = "*\n!sub/x\n", .expect = "d 755 0:0 /n\nd 755 0:0 /n/sub\nf 644 0:0 /n/sub/x X\n" },
	{ { "sub*" }, "/n/", { .chmod = "" }, .ignore = "sub/deep\n", .expect = "d 755 0:0 /n\nf 644 0:0 /n/old new\nf 644 0:0 /n/x X\n" },
	{ { "to-a" }, "/n/", { .chmod = "" }, .expect = "d 755 0:0 /n\nf 644 0:0 /n/to-a A\n" },
	{ { "out" }, "/n", { .chmod = "" }, .expect = "!\"/out\": not found" },
	{ { "to-sub/x" }, "/n", { .chmod = "" }, .expect = "f 644 0:0 /n X\n" },
	{ { "pipe" }, "/n", { .chmod = "" }, .expect = "p 600 0:0 /n\n" },
	{ { "a.txt" }, "/full", { .chmod = "" }, .expect = "d 755 0:0 /full\nf 644 0:0 /full/a.txt A\n" },
	{ { "a.txt", "sub/x" }, "/p", { .chmod = "", .parents = true },
	  .expect = "d 755 0:0 /p\nf 644 0:0 /p/a.txt A\nd 755 0:0 /p/sub\nf 644 0:0 /p/sub/x X\n" },
	{ { "./sub/./deep/*.txt" }, "/p/", { .chmod = "", .parents = true }, .expect = "d 755 0:0 /p\nd 755 0:0 /p/deep\nf 4755 0:0 /p/deep/y.txt Y\n" },
	{ { "./**/*.txt" }, "/p", { .chmod = "", .parents = true },
	  .expect = "d 755 0:0 /p\nf 644 0:0 /p/a.txt A\nf 755 0:0 /p/b.txt B\nd 755 0:0 /p/sub\nd 755 0:0 /p/sub/deep\nf 4755 0:0 /p/sub/deep/y.txt Y\n" },
	{ { "*" }, "/n/", { .chmod = "" }, .exclude = "*.txt", .ignore = "sub\npipe\nout\nto-*\nwe*\nempty",
	  .expect = "d 755 0:0 /n\nf 600 0:0 /n/c.md C\n" },
};

static int run_test(const struct test *t, int ctx, const int *image, char digest[static 65], struct err *err)
{
	const struct view source = { .fds = &ctx, .n = 1, .raw = true }, dest = { .fds = image, .n = 3, .writable = true };
	struct ignore *g = t->ignore ? ignore_parse(t->ignore, strlen(t->ignore), err) : NULL;
	struct ignore *x = t->exclude ? ignore_new(&t->exclude, 1, err) : NULL;
	struct copy_source src = { .view = &source, .ignore = g, .stat = statcache_open(-1, ""), .reset_owner = true };
	struct copy_options o = t->o;
	struct copy_matches m = {0};
	bool unsure = false;
	int rc = 0;
	o.dest = t->dest;
	o.excludes = x;
	o.tmp_fd = top_fd;
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(t->sources) && t->sources[i]; i++)
		rc = copy_select(&src, t->sources[i], &o, &m, err);
	if (rc == 0)
		rc = copy_digest(&src, &m, &o, digest, err);
	if (rc == 0)
		rc = copy_apply(&src, &m, &o, &dest, &unsure, err);
	CHECK(!unsure, "nothing has changed");
	copy_matches_done(&m);
	statcache_close(src.stat);
	ignore_free(g);
	ignore_free(x);
	return rc;
}

static void test_table(int ctx, int low, int high)
{
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		const struct test *t = &tests[i];
		AUTO_CLOSE int upper = make("upper");
		const int image[] = { low, high, upper };
		char digest[65];
		struct err err = {0};
		int rc = run_test(t, ctx, image, digest, &err);
		AUTO_FREE char *got = list_dir(upper);
		if (t->expect[0] == '!')
			CHECK(rc < 0 && strstr(err.msg, t->expect + 1), "%s to %s: %d %s", t->sources[0], t->dest, rc, err.msg);
		else
			CHECK(rc == 0 && strcmp(got, t->expect) == 0, "%s to %s: %s\ngot:\n%sexpected:\n%s", t->sources[0], t->dest, err.msg, got, t->expect);
	}
}

/* The digest of "." of the context. */
static void digest_all(int ctx, const char *ignore, char ret[static 65])
{
	const struct test t = { { "." }, "/n/", { .chmod = "" }, ignore, NULL, NULL };
	AUTO_CLOSE int upper = make("upper2"), low = make("low2");
	const int image[] = { low, low, upper };
	struct err err = {0};
	CHECK(run_test(&t, ctx, image, ret, &err) == 0, "%s", err.msg);
}

static void test_digest(int ctx)
{
	char first[65], now[65];
	digest_all(ctx, "ignored", first);
	utimensat(ctx, "a.txt", (struct timespec[2]){ { 1, 0 }, { 2, 0 } }, 0);
	put(ctx, "ignored", "text", 0644, 0);
	fchmod(ctx, 0700);
	digest_all(ctx, "ignored", now);
	CHECK(strcmp(first, now) == 0, "times, what is left out and the context's own mode do not count");
	for (int i = 0; i < 5; i++) {
		switch (i) {
		case 0: put(ctx, "a.txt", "a", 0644, 33); break;
		case 1: made(fchmodat(ctx, "a.txt", 0600, 0)); break;
		case 2: renameat(ctx, "c.md", ctx, "d.md"); break;
		case 3: made(unlinkat(ctx, "to-a", 0)); made(symlinkat("b.txt", ctx, "to-a")); break;
		default: made(fchmodat(ctx, "sub", 0750, 0)); break;
		}
		digest_all(ctx, "ignored", now);
		CHECK(strcmp(first, now) != 0, "change %d counts", i);
		memcpy(first, now, sizeof(first));
	}
}

/* A file whose state is remembered is not read; one that changed is. */
static void test_statcache(int ctx)
{
	unsigned char a[STATCACHE_DIGEST], b[STATCACHE_DIGEST];
	AUTO_CLOSE int dir = make("stat");
	struct statcache *c = statcache_open(dir, "table");
	int fd = openat(ctx, "b.txt", O_RDWR);
	struct stat st;
	usleep(150000); /* what is younger than this is not remembered */
	fstat(fd, &st);
	CHECK(statcache_digest(c, fd, &st, a, NULL) == 0, "digest");
	statcache_close(c);
	c = statcache_open(dir, "table");
	CHECK(statcache_find(c, &st, b) == 0 && memcmp(a, b, sizeof(a)) == 0, "it is remembered");
	CHECK(pwrite(fd, "z", 1, 0) == 1, "write");
	fstat(fd, &st);
	CHECK(statcache_find(c, &st, b) == 1, "another state is not known");
	statcache_close(c);
	c = statcache_open(dir, "table");
	close(openat(dir, "table", O_WRONLY | O_TRUNC));
	statcache_close(c);
	close(fd);
}

static void test_chmod(void)
{
	static const struct { const char *text; mode_t mode; bool directory; int expect; } all[] = {
		{ "755", 0644, false, 0755 }, { "4711", 0, false, 04711 }, { "+x", 0644, false, 0755 }, { "u=rwX,go=rX", 0600, false, 0644 },
		{ "u=rwX,go=rX", 0600, true, 0755 }, { "u=rwX,go=rX", 0700, false, 0755 }, { "g=u", 0640, false, 0660 }, { "a-w", 0666, false, 0444 },
		{ "u+s,+t", 0755, false, 05755 }, { "o=", 0777, false, 0770 }, { "go-rwx", 0755, true, 0700 }, { "u=g,g=", 0750, false, 0500 },
		{ "", 0644, false, -1 }, { "9", 0644, false, -1 }, { "77777", 0644, false, -1 }, { "u", 0644, false, -1 }, { "z+x", 0644, false, -1 },
		{ "u+q", 0644, false, -1 }, { "u+x,", 0644, false, -1 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		mode_t mode = 0;
		int rc = copy_chmod(all[i].text, all[i].mode, all[i].directory, &mode, NULL);
		CHECK(all[i].expect < 0 ? rc < 0 : rc == 0 && (int)mode == all[i].expect, "%s: %d %o", all[i].text, rc, mode);
	}
}

int main(void)
{
	char dir[] = "/tmp/muster-copy-XXXXXX";
	AUTO_CLOSE int ctx = -1, low = -1, high = -1;
	if (geteuid() != 0) {
		printf("needs root\n");
		return 77;
	}
	umask(0);
	CHECK(mkdtemp(dir), "%s", dir);
	top_fd = open(dir, O_RDONLY | O_DIRECTORY);
	ctx = make("ctx");
	low = make("low");
	high = make("high");
	make_image(low, high);
	make_context(ctx);
	test_table(ctx, low, high);
	test_statcache(ctx);
	test_digest(ctx);
	test_chmod();
	fs_remove_tree(AT_FDCWD, dir, NULL);
	printf("%d failures\n", failures);
	return failures ? 1 : 0;
}
