/* SPDX-License-Identifier: Apache-2.0 */
/* Packing: the bytes depend on the tree alone; what is unpacked from them packs to the same bytes again; the merged view is what
 * overlayfs shows; compressed forms hold the same archive. */
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "images/noise.h"
#include "images/pack.h"
#include "tests/unit/images_rig.h"

static int to_str(void *arg, const void *p, size_t n, struct err *err)
{
	(void)err;
	str_addn(arg, p, n);
	return 0;
}

static void pack_dir(int fd, const struct pack_options *o, struct str *ret, struct pack_result *r)
{
	struct err err = {0};
	if (ret)
		str_clear(ret);
	EXPECT(pack_layer(fd, o, ret ? to_str : NULL, ret, r, &err) == 0, "%s", err.msg);
}

static void file(int dir, const char *name, const char *text, mode_t mode)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	NEED(fd >= 0 && fchmod(fd, mode) == 0 && fs_write_all(fd, text, strlen(text), NULL) == 0);
	close(fd);
}

/* The same second for everything, so that two trees made at different times are the same. */
static int settle(void *arg, const char *name);
static void settle_dir(int dir)
{
	const struct timespec t[2] = { { .tv_sec = 1700000000, .tv_nsec = 123 }, { .tv_sec = 1700000000, .tv_nsec = 123 } };
	fs_each(dir, ".", settle, &dir, NULL);
	futimens(dir, t);
}
static int settle(void *arg, const char *name)
{
	const struct timespec t[2] = { { .tv_sec = 1700000000, .tv_nsec = 123 }, { .tv_sec = 1700000000, .tv_nsec = 123 } };
	int dir = *(int *)arg, fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0) {
		settle_dir(fd);
		close(fd);
		return 0;
	}
	return utimensat(dir, name, t, AT_SYMLINK_NOFOLLOW);
}

#define LONG_NAME "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

/* One of everything; order: 1 makes the names in another order. */
static void make_tree(int d, bool reversed)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	static const char *const plain[] = { "b", "a", "c.txt", "a.b", "a-b", "\xc3\xa4", "\xff\xfe", LONG_NAME, LONG_NAME "\xff" };
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		file(d, plain[reversed ? ARRAY_SIZE(plain) - 1 - i : i], "text\n", 0640);
	NEED(mkdirat(d, "dir", 0750) == 0 && mkdirat(d, "dir/" LONG_NAME, 0755) == 0 && mkdirat(d, "a.d", 0755) == 0);
	file(d, "dir/" LONG_NAME "/" LONG_NAME, "deep", 0644);
	file(d, "dir/setuid", "x", 04755);
	NEED(fchownat(d, "dir/setuid", 1000, 3000000, 0) == 0 && fchmodat(d, "dir/setuid", 04755, 0) == 0);
	NEED(symlinkat("../etc/passwd", d, "dir/link") == 0 && symlinkat(LONG_NAME LONG_NAME, d, "longlink") == 0);
	NEED(linkat(d, "b", d, "dir/b2", 0) == 0 && linkat(d, "b", d, "zz", 0) == 0);
	NEED(mknodat(d, "null", S_IFCHR | 0666, makedev(1, 3)) == 0 && mknodat(d, "fifo", S_IFIFO | 0600, 0) == 0);
	NEED(mknodat(d, "gone", S_IFCHR, makedev(0, 0)) == 0 && mknodat(d, "dir/gone", S_IFCHR, makedev(0, 0)) == 0);
	fd = openat(d, "a.d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	NEED(fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) == 0 && fsetxattr(fd, "trusted.overlay.origin", "zzz", 3, 0) == 0);
	close(fd);
	fd = openat(d, "dir/setuid", O_RDONLY | O_CLOEXEC);
	NEED(fsetxattr(fd, "security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, 0) == 0);
	fsetxattr(fd, "user.b", "two\nlines", 9, 0);
	fsetxattr(fd, "user.a", "", 0, 0);
	close(fd);
	fd = openat(d, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	NEED(ftruncate(fd, 1 << 20) == 0 && pwrite(fd, "x", 1, 700000) == 1);
	close(fd);
	snprintf(un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d/socket", d);
	NEED(bind(s, (struct sockaddr *)&un, sizeof(un)) == 0);
	close(s);
	settle_dir(d);
	NEED(fchmod(d, 0755) == 0);
}

static int sub(int dir, const char *name)
{
	int fd;
	NEED(mkdirat(dir, name, 0755) == 0);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	NEED(fd >= 0);
	return fd;
}

static bool contains(const struct str *s, const char *text)
{
	return memmem(str_get(s), s->len, text, strlen(text)) != NULL;
}

static void test_same_bytes(void)
{
	struct scratch s;
	AUTO_STR struct str one = {0}, two = {0}, again = {0};
	struct pack_result r1, r2, r3, r4;
	struct layer_result lr;
	struct err err = {0};
	int a, b, c;
	scratch_init(&s);
	a = sub(s.fd, "a"), b = sub(s.fd, "b"), c = sub(s.fd, "c");
	make_tree(a, false);
	make_tree(b, true);
	pack_dir(a, NULL, &one, &r1);
	pack_dir(b, NULL, &two, &r2);
	EXPECT(one.len == two.len && memcmp(one.p, two.p, one.len) == 0, "the order of making shows");
	EXPECT(strcmp(r1.diff_id, r1.digest) == 0 && r1.tar_bytes == one.len && r1.blob_bytes == one.len && one.len % 512 == 0, "lengths");
	pack_dir(a, NULL, NULL, &r3);
	EXPECT(strcmp(r3.diff_id, r1.diff_id) == 0 && r3.tar_bytes == r1.tar_bytes, "without a sink");
	EXPECT(contains(&one, ".wh.gone") && contains(&one, "dir/.wh.gone") && contains(&one, "a.d/.wh..wh..opq"), "whiteouts");
	EXPECT(contains(&one, "SCHILY.xattr.security.capability=") && !contains(&one, "overlay.origin") && !contains(&one, "socket"), "xattrs");
	EXPECT(contains(&one, " gid=3000000\n"), "a large owner");
	EXPECT(unpack(&one, c, NULL, &lr, &err) == 0 && lr.n_left_out == 0, "%s", err.msg);
	EXPECT(lr.n_entries == r1.n_entries && lr.size_bytes == r1.size_bytes, "%llu entries of %llu", (unsigned long long)lr.n_entries,
		(unsigned long long)r1.n_entries);
	pack_dir(c, NULL, &again, &r4);
	EXPECT(strcmp(r4.diff_id, r1.diff_id) == 0, "what was unpacked packs to other bytes");
	EXPECT(r1.newest_mtime_s == 1700000000, "newest");
	close(a), close(b), close(c);
	scratch_done(&s);
}

static void test_codecs(void)
{
	struct scratch s;
	int d;
	struct pack_result plain;
	scratch_init(&s);
	d = sub(s.fd, "d");
	make_tree(d, false);
	pack_dir(d, NULL, NULL, &plain);
	for (enum pack_codec codec = PACK_PLAIN; codec < PACK_N_; codec++) {
		const struct pack_options o = { .codec = codec };
		AUTO_STR struct str blob = {0}, twice = {0};
		struct pack_result r, r2;
		char hex[65];
		pack_dir(d, &o, &blob, &r);
		pack_dir(d, &o, &twice, &r2);
		sha256_hex(blob.p, blob.len, hex);
		EXPECT(strcmp(hex, r.digest) == 0 && r.blob_bytes == blob.len, "digest of %s", pack_media_type(codec));
		EXPECT(strcmp(r.diff_id, plain.diff_id) == 0 && strcmp(r.digest, r2.digest) == 0, "of %s", pack_media_type(codec));
		if (codec != PACK_PLAIN)
			EXPECT(r.blob_bytes < r.tar_bytes / 10, "%llu bytes", (unsigned long long)r.blob_bytes);
		struct memory m = { .p = blob.p, .n = blob.len };
		const struct stream_source src = memory_source(&m);
		const struct stream_limits none = {0};
		AUTO_STREAM struct stream *st = NULL;
		struct stream_result sr = {0};
		NEED(stream_open(&src, &none, &st, NULL) == 0 && stream_finish(st, &sr, NULL) == 0);
		EXPECT(strcmp(sr.out_sha256, r.diff_id) == 0 && strcmp(sr.in_sha256, r.digest) == 0, "read back");
	}
	close(d);
	scratch_done(&s);
}

enum { PIECE = 256 << 10 };

/* Kinds of content: 0 noise, 1 text, 2 all numbers in order, 3 noise as text. */
static void fill(unsigned char *p, size_t n, int kind)
{
	static uint64_t seed = 88172645463325252ULL;
	for (size_t i = 0; i < n; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		const uint64_t kinds[] = { seed >> 20, (uint64_t)"a line of words, "[i % 17] + (i >> 12) % 5, i, 'A' + (seed >> 20) % 64 };
		p[i] = (unsigned char)kinds[kind];
	}
}

/* What gzip can make smaller is never taken for noise. */
static void test_noise(void)
{
	unsigned char *p = xcalloc(1, PIECE);
	struct noise *n = noise_new();
	for (int kind = 0; kind < 4; kind++) {
		fill(p, PIECE, kind);
		EXPECT(noise_is(n, p, PIECE) == (kind == 0), "kind %d", kind);
		EXPECT(noise_is(n, p, PIECE) == (kind == 0), "kind %d, once more", kind);
	}
	fill(p, PIECE, 0);
	EXPECT(!noise_is(n, p, 100) && !noise_is(n, p, 0), "too little to tell");
	EXPECT(noise_is(n, p, PIECE - 1) && noise_is(n, p, 64 << 10), "odd lengths");
	fill(p + PIECE / 2, PIECE / 2, 1);
	EXPECT(!noise_is(n, p, PIECE), "half of it is text");
	noise_free(n);
	free(p);
}

/* gzip stores noise, goes on packing what follows, and what comes back is the archive. */
static void test_noise_is_stored(void)
{
	static const int kinds[] = { 0, 1, 0, 0, 2, 3, 0 };
	const struct pack_options o = { .codec = PACK_GZIP };
	unsigned char *p = xcalloc(1, PIECE);
	AUTO_STR struct str blob = {0}, twice = {0};
	struct scratch s;
	struct pack_result r, r2;
	size_t noise = 0;
	scratch_init(&s);
	int d = sub(s.fd, "d"), fd = openat(d, "mixed", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const size_t n = PIECE * 2 + i * 1000;
		for (size_t at = 0; at < n; at += PIECE) {
			size_t now = MIN((size_t)PIECE, n - at);
			fill(p, now, kinds[i]);
			NEED(fs_write_all(fd, p, now, NULL) == 0);
		}
		noise += kinds[i] == 0 ? n : kinds[i] == 3 ? n * 77 / 100 : n / 20;
	}
	close(fd);
	pack_dir(d, &o, &blob, &r);
	pack_dir(d, &o, &twice, &r2);
	EXPECT(strcmp(r.digest, r2.digest) == 0, "two digests");
	EXPECT(blob.len < noise + noise / 100 && blob.len > noise / 2, "%zu bytes of %llu, %zu of them noise", blob.len,
		(unsigned long long)r.tar_bytes, noise);
	struct memory m = { .p = blob.p, .n = blob.len };
	const struct stream_source src = memory_source(&m);
	const struct stream_limits none = {0};
	AUTO_STREAM struct stream *st = NULL;
	struct stream_result sr = {0};
	NEED(stream_open(&src, &none, &st, NULL) == 0 && stream_finish(st, &sr, NULL) == 0);
	EXPECT(strcmp(sr.out_sha256, r.diff_id) == 0 && strcmp(sr.in_sha256, r.digest) == 0, "read back");
	close(d);
	scratch_done(&s);
	free(p);
}

static void test_times_and_root(void)
{
	struct scratch s;
	struct pack_result r, kept, other;
	const struct pack_options clamp = { .clamp = true, .latest_s = 1600000000 };
	AUTO_STR struct str tar = {0};
	int d;
	scratch_init(&s);
	d = sub(s.fd, "d");
	file(d, "f", "x", 0644);
	settle_dir(d);
	pack_dir(d, NULL, NULL, &kept);
	pack_dir(d, &clamp, NULL, &r);
	EXPECT(strcmp(kept.diff_id, r.diff_id) != 0 && r.newest_mtime_s == 1600000000, "clamped");
	NEED(utimensat(d, "f", (const struct timespec[2]){ { .tv_sec = 1800000000 }, { .tv_sec = 1800000000 } }, 0) == 0);
	pack_dir(d, &clamp, NULL, &other);
	EXPECT(strcmp(other.diff_id, r.diff_id) == 0, "clamped times differ");
	EXPECT(kept.n_entries == 1, "a plain root is no entry");
	NEED(fchmod(d, 0711) == 0);
	pack_dir(d, &clamp, &tar, &other);
	EXPECT(other.n_entries == 2 && tar.len > 3 && memcmp(tar.p, "./", 3) == 0, "the root's mode goes along");
	NEED(fchmod(d, 0755) == 0);
	file(d, ".wh.x", "", 0644);
	struct err err = {0};
	EXPECT(pack_layer(d, NULL, NULL, NULL, &other, &err) < 0 && strstr(err.msg, ".wh."), "a name that would hide: %s", err.msg);
	close(d);
	scratch_done(&s);
}

/* What is in the layers, bottom to top, in every combination that matters. */
static void make_stack(int *d)
{
	for (int i = 0; i < 3; i++) {
		char name[16];
		snprintf(name, sizeof(name), "only%d", i);
		file(d[i], name, name, 0644);
		NEED(mkdirat(d[i], "shared", 0755) == 0);
		snprintf(name, sizeof(name), "shared/s%d", i);
		file(d[i], name, name, 0644);
	}
	file(d[0], "over", "low", 0644);
	file(d[1], "over", "high", 0600);
	file(d[0], "hidden", "x", 0644);
	NEED(mknodat(d[1], "hidden", S_IFCHR, 0) == 0 && mknodat(d[2], "never", S_IFCHR, 0) == 0);
	file(d[0], "back", "x", 0644);
	NEED(mknodat(d[1], "back", S_IFCHR, 0) == 0 && mkdirat(d[2], "back", 0755) == 0);
	NEED(mkdirat(d[0], "opq", 0755) == 0 && mkdirat(d[1], "opq", 0755) == 0 && mkdirat(d[2], "opq", 0700) == 0);
	file(d[0], "opq/low", "", 0644);
	file(d[1], "opq/mid", "", 0644);
	file(d[2], "opq/top", "", 0644);
	int fd = openat(d[1], "opq", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	NEED(fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) == 0);
	close(fd);
	NEED(mkdirat(d[0], "wasdir", 0755) == 0);
	file(d[0], "wasdir/x", "", 0644);
	file(d[1], "wasdir", "a file now", 0644);
	NEED(mkdirat(d[2], "wasdir", 0755) == 0);
	NEED(linkat(d[0], "only0", d[0], "shared/again", 0) == 0);
	for (int i = 0; i < 3; i++)
		settle_dir(d[i]);
}

static void compare_with_overlay(void)
{
	struct scratch s;
	struct pack_result merged, shown;
	struct err err = {0};
	int d[3], m;
	AUTO_FREE char *options = NULL, *at = NULL;
	scratch_init(&s);
	NEED(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	d[0] = sub(s.fd, "0"), d[1] = sub(s.fd, "1"), d[2] = sub(s.fd, "2");
	m = sub(s.fd, "m");
	close(m);
	make_stack(d);
	options = xasprintf("lowerdir=%s/2:%s/1:%s/0", s.path, s.path, s.path);
	at = xasprintf("%s/m", s.path);
	NEED(mount("overlay", at, "overlay", MS_RDONLY, options) == 0);
	m = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_STR struct str one = {0}, two = {0};
	EXPECT(pack_merged(d, 3, NULL, to_str, &one, &merged, &err) == 0, "%s", err.msg);
	EXPECT(pack_merged(&m, 1, NULL, to_str, &two, &shown, &err) == 0, "%s", err.msg);
	EXPECT(one.len == two.len && memcmp(one.p, two.p, one.len) == 0, "the merged view is not overlayfs': %zu and %zu bytes", one.len, two.len);
	EXPECT(contains(&one, "opq/mid") && !contains(&one, "opq/low") && !contains(&one, "hidden") && !contains(&one, "wasdir/x"), "merged");
	close(m);
	NEED(umount2(at, MNT_DETACH) == 0);
	for (int i = 0; i < 3; i++)
		close(d[i]);
	scratch_done(&s);
}

static void test_merged(void)
{
	int wstatus;
	pid_t pid;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		compare_with_overlay();
		fflush(stdout);
		_exit(failures != 0);
	}
	NEED(waitpid(pid, &wstatus, 0) == pid);
	EXPECT(wstatus == 0, "status %d", wstatus);
}

/* A tree as deep as names can be, and a file that shrinks while nobody looks. */
static void test_deep(void)
{
	struct scratch s;
	struct pack_result r;
	struct err err = {0};
	int d, at;
	scratch_init(&s);
	d = sub(s.fd, "d");
	at = dup(d);
	for (int i = 0; i < 800; i++) {
		int next = sub(at, "n");
		close(at);
		at = next;
	}
	EXPECT(pack_layer(d, NULL, NULL, NULL, &r, &err) == 0 && r.n_entries == 800, "%s", err.msg);
	close(at);
	close(d);
	scratch_done(&s);
}

int main(void)
{
	if (geteuid() != 0) {
		printf("needs root: owners, devices, trusted xattrs\n");
		return 77;
	}
	umask(0);
	stream_prepare();
	test_same_bytes();
	test_codecs();
	test_noise();
	test_noise_is_stored();
	test_times_and_root();
	test_merged();
	test_deep();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
