/* SPDX-License-Identifier: Apache-2.0 */
/* Layers of anybody's making: what may be unpacked comes out as overlayfs needs it, and nothing that an archive says reaches
 * outside the directory. Each hostile archive is unpacked beside a guard folder whose bytes, mode and names must not change. */
#include "tests/unit/images_rig.h"

struct place {
	struct scratch scratch;
	int root_fd, outside_fd;
	struct layer_result result;
	struct err err;
};

static void place_init(struct place *p)
{
	*p = (struct place){0};
	scratch_init(&p->scratch);
	NEED(mkdirat(p->scratch.fd, "root", 0755) == 0 && mkdirat(p->scratch.fd, "outside", 0700) == 0);
	p->root_fd = fs_open_dir(p->scratch.fd, "root", NULL);
	p->outside_fd = fs_open_dir(p->scratch.fd, "outside", NULL);
	NEED(p->root_fd >= 0 && p->outside_fd >= 0);
	NEED(fs_write_volatile(p->outside_fd, "guard", "guard", 5, 0600, NULL) == 0);
}

static int count_entry(void *arg, const char *name)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

static int entries(int dir, const char *path)
{
	int n = 0;
	return fs_each(dir, path, count_entry, &n, NULL) < 0 ? -1 : n;
}

static void place_done(struct place *p, const char *what)
{
	AUTO_STR struct str text = {0};
	struct stat st;
	EXPECT(entries(p->outside_fd, ".") == 1, "%s: something appeared or vanished outside", what);
	EXPECT(fs_read(p->outside_fd, "guard", 100, &text, NULL) == 0 && strcmp(str_get(&text), "guard") == 0, "%s: the guard changed", what);
	EXPECT(fstatat(p->outside_fd, "guard", &st, 0) == 0 && (st.st_mode & 07777) == 0600 && st.st_nlink == 1 && st.st_uid == 0,
		"%s: the guard's inode changed", what);
	EXPECT(fstat(p->outside_fd, &st) == 0 && (st.st_mode & 07777) == 0700, "%s: the outside folder changed", what);
	EXPECT(entries(p->scratch.fd, ".") == 2, "%s: something appeared beside the root", what);
	close(p->root_fd);
	close(p->outside_fd);
	scratch_done(&p->scratch);
}

static int unpack_list(struct place *p, const struct entry *list)
{
	AUTO_STR struct str tar = {0};
	tar_build(&tar, list);
	return unpack(&tar, p->root_fd, NULL, &p->result, &p->err);
}

/* True when path in the root is a file with this text. */
static bool holds(struct place *p, const char *path, const char *text)
{
	AUTO_STR struct str got = {0};
	return fs_read(p->root_fd, path, 1000, &got, NULL) == 0 && strcmp(str_get(&got), text) == 0;
}

static struct stat stat_of(struct place *p, const char *path)
{
	struct stat st = {0};
	fstatat(p->root_fd, path, &st, AT_SYMLINK_NOFOLLOW);
	return st;
}

/* Owner, mode (set-uid after the owner), times of files and directories, kinds, hard links, long names. */
static void test_plain(void)
{
	char deep[200];
	struct place p;
	struct stat st;
	memset(deep, 'd', sizeof(deep));
	deep[sizeof(deep) - 1] = '\0';
	memcpy(deep, "x/", 2);
	place_init(&p);
	EXPECT(unpack_list(&p, (struct entry[]){
		{ .name = "./", .type = '5', .mode = 0711, .mtime = 5 },
		{ .name = "./bin/", .type = '5', .mode = 01777, .uid = 3, .gid = 4, .mtime = 77 },
		{ .name = "./bin/su", .mode = 04755, .uid = 1, .gid = 2, .data = "su" },
		{ .name = "/bin/same", .type = '1', .link = "./bin/su" },
		{ .name = "bin/abs", .type = '1', .link = "/bin/su" },
		{ .name = "bin/sh", .type = '2', .link = "/bin/busybox", .uid = 7 },
		{ .name = "dev/null", .type = '3', .mode = 0666, .major = 1, .minor = 3 },
		{ .name = "run/pipe", .type = '6', .mode = 0622 },
		{ .name = deep, .data = "deep" },
		{ .name = "grün", .data = "utf" },
		{0} }) == 0, "%s", p.err.msg);
	st = stat_of(&p, "bin/su");
	EXPECT(st.st_mode == (S_IFREG | 04755) && st.st_uid == 1 && st.st_gid == 2 && st.st_nlink == 3 && st.st_mtime == 1000000000, "bin/su");
	EXPECT(holds(&p, "bin/abs", "su") && holds(&p, deep, "deep") && holds(&p, "grün", "utf"), "contents");
	st = stat_of(&p, "bin");
	EXPECT(st.st_mode == (S_IFDIR | 01777) && st.st_uid == 3 && st.st_mtime == 77, "time and mode of a directory that was written to");
	st = stat_of(&p, ".");
	EXPECT((st.st_mode & 07777) == 0711 && st.st_mtime == 5, "the root's own metadata");
	st = stat_of(&p, "bin/sh");
	EXPECT(S_ISLNK(st.st_mode) && st.st_uid == 7 && st.st_mtime == 1000000000, "symlink");
	st = stat_of(&p, "dev/null");
	EXPECT(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) && (st.st_mode & 07777) == 0666, "device");
	EXPECT(S_ISFIFO(stat_of(&p, "run/pipe").st_mode) && (stat_of(&p, "run").st_mode & 07777) == 0755, "fifo, implied parent");
	EXPECT(p.result.n_entries == 10 && p.result.size_bytes == 9 && p.result.newest_mtime_s == 1000000000, "result");
	place_done(&p, "plain");
}

/* Whiteouts in overlayfs form, in either order with entries of the same layer; what looks like one but came as such is left out. */
static void test_whiteouts(void)
{
	struct place p;
	char value[8];
	place_init(&p);
	EXPECT(unpack_list(&p, (struct entry[]){
		{ .name = "etc/.wh.gone" },
		{ .name = "opq/.wh..wh..opq" },
		{ .name = "opq/new", .data = "new" },
		{ .name = "a/.wh.dir" }, { .name = "a/dir/", .type = '5' }, { .name = "a/dir/f", .data = "f" },
		{ .name = "b/dir/f", .data = "f" }, { .name = "b/.wh.dir" },
		{ .name = "c/.wh.file" }, { .name = "c/file", .data = "c" },
		{ .name = "d/file", .data = "d" }, { .name = "d/.wh.file" },
		{ .name = "e/.wh.x" }, { .name = "e/x/y", .data = "y" },
		{ .name = ".wh..wh.plnk/1.2", .data = "aufs" },
		{ .name = "fake", .type = '3' },
		{ .name = "xattr", .data = "x", .xattr = "trusted.overlay.opaque", .xattr_value = "y" },
		{0} }) == 0, "%s", p.err.msg);
	EXPECT(S_ISCHR(stat_of(&p, "etc/gone").st_mode) && stat_of(&p, "etc/gone").st_rdev == 0, "a whiteout is a device 0:0");
	EXPECT(openat(p.root_fd, "opq/new", O_PATH) >= 0, "beside the mark");
	for (const char *const *dir = (const char *const[]){ "opq", "a/dir", "b/dir", "e/x", NULL }; *dir; dir++) {
		AUTO_CLOSE int fd = fs_open_dir(p.root_fd, *dir, NULL);
		EXPECT(fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y', "%s is not opaque", *dir);
	}
	EXPECT(holds(&p, "c/file", "c") && holds(&p, "d/file", "d") && holds(&p, "a/dir/f", "f") && holds(&p, "e/x/y", "y"), "entries stay");
	EXPECT(stat_of(&p, "fake").st_mode == 0 && stat_of(&p, ".wh..wh.plnk").st_mode == 0, "foreign whiteouts and aufs' files");
	EXPECT(p.result.n_left_out == 3, "%llu left out", (unsigned long long)p.result.n_left_out);
	place_done(&p, "whiteouts");
}

/* Later entries replace earlier ones of another kind; a directory keeps what it holds. */
static void test_replace(void)
{
	struct place p;
	place_init(&p);
	EXPECT(unpack_list(&p, (struct entry[]){
		{ .name = "f", .data = "one" }, { .name = "f", .data = "two" },
		{ .name = "d/in", .data = "in" }, { .name = "d/", .type = '5', .mode = 0700 },
		{ .name = "t/in/deep", .data = "x" }, { .name = "t", .data = "file" },
		{ .name = "l", .type = '2', .link = "f" }, { .name = "l", .data = "not through" },
		{ .name = "s", .type = '2', .link = "d" }, { .name = "s/", .type = '5' },
		{ .name = "h", .data = "h" }, { .name = "h", .type = '1', .link = "h" },
		{0} }) == 0, "%s", p.err.msg);
	EXPECT(holds(&p, "f", "two") && holds(&p, "d/in", "in") && holds(&p, "t", "file") && holds(&p, "l", "not through"), "replaced");
	EXPECT((stat_of(&p, "d").st_mode & 07777) == 0700 && S_ISDIR(stat_of(&p, "s").st_mode) && holds(&p, "h", "h"), "kinds");
	place_done(&p, "replace");
}

/* usrmerge: entries through symlinked directories, relative, absolute and dangling, stay inside and land where chroot would put them. */
static void test_through_links(void)
{
	struct place p;
	place_init(&p);
	EXPECT(unpack_list(&p, (struct entry[]){
		{ .name = "usr/lib/", .type = '5' }, { .name = "lib", .type = '2', .link = "usr/lib" }, { .name = "lib/a", .data = "a" },
		{ .name = "abs", .type = '2', .link = "/usr/lib" }, { .name = "abs/b", .data = "b" },
		{ .name = "sbin", .type = '2', .link = "usr/sbin" }, { .name = "sbin/c", .data = "c" },
		{ .name = "x/up", .type = '2', .link = "../../../usr" }, { .name = "x/up/new/d", .data = "d" },
		{ .name = "lib/e", .type = '1', .link = "abs/a" },
		{0} }) == 0, "%s", p.err.msg);
	EXPECT(holds(&p, "usr/lib/a", "a") && holds(&p, "usr/lib/b", "b") && holds(&p, "usr/sbin/c", "c") && holds(&p, "usr/new/d", "d"), "places");
	EXPECT(S_ISLNK(stat_of(&p, "sbin").st_mode) && stat_of(&p, "usr/lib/e").st_nlink == 2, "links stay links");
	place_done(&p, "through links");
}

/* Every way out that archives have been seen to try. They fail or land inside; place_done() looks outside. */
static void test_escapes(void)
{
	static const struct {
		const char *what;
		struct entry list[4];
		bool refused;
	} cases[] = {
		{ "dot dot", { { .name = "../outside/guard", .data = "evil" } }, true },
		{ "dot dot inside", { { .name = "a/../../outside/new", .data = "evil" } }, true },
		{ "dot dot at the end", { { .name = "a/..", .type = '5', .mode = 0777 } }, true },
		{ "absolute", { { .name = "/outside/guard", .data = "evil" } }, false },
		{ "many slashes", { { .name = "////./outside//guard", .data = "evil" } }, false },
		{ "symlink then file", { { .name = "l", .type = '2', .link = "../outside" }, { .name = "l/guard", .data = "evil" } }, false },
		{ "symlink then directory", { { .name = "l", .type = '2', .link = "../outside" }, { .name = "l/", .type = '5', .mode = 0777 } }, false },
		{ "symlink as file", { { .name = "l", .type = '2', .link = "../outside/guard" }, { .name = "l", .data = "evil", .mode = 0777 } }, false },
		{ "symlink to the root", { { .name = "l", .type = '2', .link = "/" }, { .name = "l/outside/guard", .data = "evil" } }, false },
		{ "link over a link", { { .name = "a", .type = '2', .link = "." }, { .name = "a/b", .type = '2', .link = "../outside" },
			{ .name = "a/b/guard", .data = "evil" } }, false },
		{ "link loop", { { .name = "a", .type = '2', .link = "b" }, { .name = "b", .type = '2', .link = "a" }, { .name = "a/x", .data = "x" } }, true },
		{ "hard link out", { { .name = "h", .type = '1', .link = "../outside/guard" } }, true },
		{ "hard link by symlink", { { .name = "l", .type = '2', .link = "../outside" }, { .name = "h", .type = '1', .link = "l/guard" } }, true },
		{ "hard link to a symlink", { { .name = "l", .type = '2', .link = "../outside/guard" }, { .name = "h", .type = '1', .link = "l" },
			{ .name = "h", .data = "evil" } }, false },
		{ "hard link to nothing", { { .name = "h", .type = '1', .link = "nothing" } }, true },
		{ "hard link to a directory", { { .name = "d/", .type = '5' }, { .name = "h", .type = '1', .link = "d" } }, true },
		{ "hard link to the root", { { .name = "h", .type = '1', .link = "/" } }, true },
		{ "whiteout of dot dot", { { .name = ".wh..." } }, true },
		{ "whiteout of the parent", { { .name = "a/.wh..." }, { .name = "a/.wh..", .data = "" } }, true },
		{ "whiteout by symlink", { { .name = "l", .type = '2', .link = "../outside" }, { .name = "l/.wh.guard" } }, false },
		{ "opaque by symlink", { { .name = "l", .type = '2', .link = "../outside" }, { .name = "l/.wh..wh..opq" } }, false },
		{ "device by symlink", { { .name = "l", .type = '2', .link = "../outside" }, { .name = "l/sda", .type = '4', .major = 8 } }, false },
		{ "root as a file", { { .name = ".", .data = "evil" } }, true },
		{ "root as a symlink", { { .name = ".", .type = '2', .link = "../outside" } }, true },
		{ "file as a parent", { { .name = "f", .data = "f" }, { .name = "f/g", .data = "g" } }, true },
		{ "empty symlink", { { .name = "l", .type = '2', .link = "" } }, true },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct place p;
		int rc;
		place_init(&p);
		rc = unpack_list(&p, cases[i].list);
		EXPECT((rc < 0) == cases[i].refused, "%s: %s", cases[i].what, rc < 0 ? p.err.msg : "was taken");
		place_done(&p, cases[i].what);
	}
}

/* Sizes and counts that are out of bounds are refused before they cost anything; damaged archives are, wherever the damage is. */
static void test_damage(void)
{
	static const struct {
		const char *what;
		struct entry list[3];
		enum err_code code;
	} cases[] = {
		{ "huge size", { { .name = "f", .size = 1LL << 60 } }, ERR_INVALID },
		{ "negative size", { { .name = "f", .size = -1 } }, ERR_CORRUPT },
		{ "size beyond the end", { { .name = "f", .data = "abc", .size = 100000 } }, ERR_CORRUPT },
		{ "bad checksum first", { { .name = "f", .data = "abc", .bad_checksum = true } }, ERR_CORRUPT },
		{ "bad checksum later", { { .name = "f", .data = "abc" }, { .name = "g", .data = "abc", .bad_checksum = true } }, ERR_CORRUPT },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct place p;
		place_init(&p);
		EXPECT(unpack_list(&p, cases[i].list) < 0 && (p.err.code == cases[i].code || p.err.code == ERR_INVALID),
			"%s: code %d, %s", cases[i].what, p.err.code, p.err.msg);
		place_done(&p, cases[i].what);
	}
}

/* Cut anywhere but between two entries, an archive is refused; what is no archive at all is called so. */
static void test_cut_off(void)
{
	AUTO_STR struct str tar = {0};
	struct place p;
	tar_build(&tar, (struct entry[]){ { .name = "a", .data = "aaaa" }, { .name = "b", .data = "bbbb" }, {0} });
	for (size_t len = 1; len < 2048; len += 97) {
		struct str part = { .p = tar.p, .len = len };
		place_init(&p);
		EXPECT(unpack(&part, p.root_fd, NULL, &p.result, &p.err) < 0 && p.err.code == ERR_CORRUPT, "cut at %zu: %s", len, p.err.msg);
		place_done(&p, "cut off");
	}
	for (const char *const *text = (const char *const[]){ "", "not a tar archive, just text", NULL }; *text; text++) {
		struct str part = { .p = (char *)(uintptr_t)*text, .len = strlen(*text) };
		place_init(&p);
		EXPECT(unpack(&part, p.root_fd, NULL, &p.result, &p.err) < 0 && strstr(p.err.msg, "not a tar archive"), "%s", p.err.msg);
		place_done(&p, "no archive");
	}
}

static void test_limits(void)
{
	const struct layer_limits two = { .max_entries = 2, .max_bytes = 1000 }, small = { .max_entries = 10, .max_bytes = 5 };
	const struct layer_limits few = { .max_entries = 1000, .max_bytes = 1000, .max_dir_bytes = 4000 };
	struct entry dirs[101] = {{0}};
	AUTO_STR struct str tar = {0};
	struct place p;
	tar_build(&tar, (struct entry[]){ { .name = "a", .data = "aaaa" }, { .name = "b", .data = "bbbb" }, { .name = "c" }, {0} });
	place_init(&p);
	EXPECT(unpack(&tar, p.root_fd, &two, &p.result, &p.err) < 0 && strstr(p.err.msg, "entries"), "%s", p.err.msg);
	place_done(&p, "entries");
	place_init(&p);
	EXPECT(unpack(&tar, p.root_fd, &small, &p.result, &p.err) < 0 && strstr(p.err.msg, "entry \"b\""), "%s", p.err.msg);
	place_done(&p, "bytes");
	for (size_t i = 0; i < 100; i++) /* one directory again and again: what is kept of it in memory is bounded all the same */
		dirs[i] = (struct entry){ .name = "d/", .type = '5', .mode = 0755 };
	str_clear(&tar);
	tar_build(&tar, dirs);
	place_init(&p);
	EXPECT(unpack(&tar, p.root_fd, &few, &p.result, &p.err) < 0 && strstr(p.err.msg, "directories"), "%s", p.err.msg);
	place_done(&p, "directories");
}

static void test_long_names(void)
{
	AUTO_STR struct str name = {0}, parts = {0};
	struct place p;
	for (int i = 0; i < 256; i++)
		str_addc(&name, 'n');
	for (int i = 0; i < 2100; i++)
		str_add(&parts, "p/");
	for (const char *const *n = (const char *const[]){ name.p, parts.p, NULL }; *n; n++) {
		place_init(&p);
		EXPECT(unpack_list(&p, (struct entry[]){ { .name = *n, .data = "x" }, {0} }) < 0 && p.err.code == ERR_INVALID, "%s", p.err.msg);
		EXPECT(entries(p.root_fd, ".") == 0, "nothing was made");
		place_done(&p, "long names");
	}
}

/* Deeper than any process may hold descriptors: still made, replaced and removed. */
static void test_deep(void)
{
	AUTO_STR struct str deep = {0};
	struct place p;
	for (int i = 0; i < 1500; i++)
		str_add(&deep, "p/");
	str_add(&deep, "end");
	place_init(&p);
	EXPECT(unpack_list(&p, (struct entry[]){
		{ .name = deep.p, .data = "x" },
		{ .name = "q", .type = '2', .link = "p" }, { .name = "q", .data = "file" },
		{ .name = "p", .data = "file" },
		{0} }) == 0, "%s", p.err.msg);
	EXPECT(holds(&p, "p", "file") && holds(&p, "q", "file"), "replaced");
	place_done(&p, "deep");
}

/* user.* and file capabilities come through, nobody else's attributes do. */
static void test_xattrs(void)
{
	/* VFS_CAP_REVISION_2 with the effective bit, CAP_NET_RAW; set last, or the change of owner would have removed it */
	static const char cap[20] = "\x01\x00\x00\x02\x00\x20\x00\x00";
	struct place p;
	char value[64];
	place_init(&p);
	EXPECT(unpack_list(&p, (struct entry[]){
		{ .name = "u", .data = "u", .xattr = "user.color", .xattr_value = "green" },
		{ .name = "o", .data = "o", .xattr = "user.overlay.opaque", .xattr_value = "y" },
		{ .name = "s", .data = "s", .xattr = "security.selinux", .xattr_value = "evil_t" },
		{ .name = "t", .data = "t", .xattr = "trusted.overlay.redirect", .xattr_value = "/etc" },
		{ .name = "d/", .type = '5', .xattr = "user.color", .xattr_value = "blue" },
		{ .name = "ping", .data = "p", .mode = 0755, .uid = 9, .xattr = "security.capability", .xattr_value = cap, .xattr_n = sizeof(cap) },
		{0} }) == 0, "%s", p.err.msg);
	if (!p.result.n_no_xattr) {
		AUTO_CLOSE int fd = openat(p.root_fd, "u", O_RDONLY), dir = openat(p.root_fd, "d", O_RDONLY);
		EXPECT(fgetxattr(fd, "user.color", value, sizeof(value)) == 5 && memcmp(value, "green", 5) == 0, "user.*");
		EXPECT(fgetxattr(dir, "user.color", value, sizeof(value)) == 4, "user.* of a directory");
	}
	{
		AUTO_CLOSE int fd = openat(p.root_fd, "ping", O_RDONLY);
		EXPECT(fgetxattr(fd, "security.capability", value, sizeof(value)) == sizeof(cap) && memcmp(value, cap, sizeof(cap)) == 0, "capability");
	}
	for (const char *const *n = (const char *const[]){ "o", "s", "t", NULL }; *n; n++) {
		AUTO_CLOSE int fd = openat(p.root_fd, *n, O_RDONLY);
		EXPECT(fd >= 0 && flistxattr(fd, value, sizeof(value)) == 0, "%s has attributes", *n);
	}
	EXPECT(p.result.n_left_out == 3, "%llu left out", (unsigned long long)p.result.n_left_out);
	place_done(&p, "xattrs");
}

int main(void)
{
	if (geteuid() != 0) {
		printf("needs root: owners, devices and overlay attributes\n");
		return 77;
	}
	stream_prepare();
	test_plain();
	test_whiteouts();
	test_replace();
	test_through_links();
	test_escapes();
	test_damage();
	test_cut_off();
	test_limits();
	test_long_names();
	test_deep();
	test_xattrs();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
