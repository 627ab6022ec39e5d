/* SPDX-License-Identifier: Apache-2.0 */
/* Copy-up: a new volume holds exactly what the image has there, with all metadata; never anything from outside the image; never
 * over content; and killed at any moment it is empty or, after the next opening, whole. */
#include <signal.h>
#include <stdio.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "volumes/copyup.h"
#include "volumes/volume.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)
#define NEED(cond) \
	do { if (!(cond)) { printf("%s:%d: %s: errno %s\n", __FILE__, __LINE__, #cond, strerror(errno)); exit(1); } } while (0)

struct lab {
	char path[40];
	int root, image, volume; /* state root, image's root, volumes/v */
	struct err err;
};

static void lab_init(struct lab *l)
{
	*l = (struct lab){0};
	strcpy(l->path, "/tmp/muster-test-XXXXXX");
	NEED(mkdtemp(l->path) && (l->root = open(l->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
	NEED(mkdirat(l->root, "image", 0755) == 0 && (l->image = fs_open_dir(l->root, "image", NULL)) >= 0);
	NEED(volume_create(l->root, "v", NULL, NULL, &l->err) == 0 && (l->volume = volume_open(l->root, "v", &l->err)) >= 0);
}

static void lab_done(struct lab *l)
{
	close(l->volume);
	close(l->image);
	close(l->root);
	EXPECT(fs_remove_tree(AT_FDCWD, l->path, &l->err) == 0, "%s", l->err.msg);
}

static void put(struct lab *l, const char *path, const char *text, mode_t mode, uid_t uid)
{
	AUTO_CLOSE int fd = openat(l->image, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	NEED(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchown(fd, uid, uid) == 0 && fchmod(fd, mode) == 0);
}

static bool holds(struct lab *l, const char *path, const char *text)
{
	AUTO_FREE char *full = xasprintf("_data/%s", path);
	AUTO_STR struct str got = {0};
	return fs_read(l->volume, full, 1 << 20, &got, NULL) == 0 && strcmp(str_get(&got), text) == 0;
}

static struct stat stat_of(struct lab *l, const char *path)
{
	AUTO_FREE char *full = xasprintf("_data/%s", path);
	struct stat st = {0};
	fstatat(l->volume, full, &st, AT_SYMLINK_NOFOLLOW);
	return st;
}

static int count_name(void *arg, const char *name)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

static int n_in(int dir, const char *path)
{
	int n = 0;
	return fs_each(dir, path, count_name, &n, NULL) < 0 ? -1 : n;
}

static void test_everything(void)
{
	const struct timespec times[2] = { { .tv_sec = 11, .tv_nsec = 12 }, { .tv_sec = 21, .tv_nsec = 22 } };
	struct lab l;
	struct stat st;
	char value[8];
	int fd;
	lab_init(&l);
	NEED(mkdirat(l.image, "data", 0755) == 0 && mkdirat(l.image, "data/sub", 0700) == 0);
	put(&l, "data/su", "su", 04755, 70);
	put(&l, "data/sub/one", "one", 0640, 71);
	NEED(linkat(l.image, "data/sub/one", l.image, "data/two", 0) == 0);
	NEED(symlinkat("/etc/passwd", l.image, "data/link") == 0 && fchownat(l.image, "data/link", 72, 73, AT_SYMLINK_NOFOLLOW) == 0);
	NEED(mknodat(l.image, "data/pipe", S_IFIFO | 0600, 0) == 0 && mknodat(l.image, "data/null", S_IFCHR | 0666, makedev(1, 3)) == 0);
	fd = openat(l.image, "data/sub/one", O_RDONLY);
	NEED(fsetxattr(fd, "user.color", "green", 5, 0) == 0 || errno == EOPNOTSUPP);
	close(fd);
	fd = openat(l.image, "data/hole", O_WRONLY | O_CREAT, 0600);
	NEED(pwrite(fd, "begin", 5, 0) == 5 && pwrite(fd, "end", 3, 8 << 20) == 3 && ftruncate(fd, 16 << 20) == 0);
	close(fd);
	NEED(utimensat(l.image, "data/sub", times, 0) == 0 && utimensat(l.image, "data/su", times, 0) == 0);
	NEED(fchownat(l.image, "data", 999, 998, 0) == 0 && fchmodat(l.image, "data", 01770, 0) == 0 && utimensat(l.image, "data", times, 0) == 0);
	EXPECT(copyup_fill(l.image, "/data", l.volume, &l.err) == 0, "%s", l.err.msg);
	st = stat_of(&l, ".");
	EXPECT(st.st_uid == 999 && st.st_gid == 998 && (st.st_mode & 07777) == 01770 && st.st_mtime == 21, "the directory itself");
	st = stat_of(&l, "su");
	EXPECT(st.st_mode == (S_IFREG | 04755) && st.st_uid == 70 && st.st_mtim.tv_nsec == 22 && st.st_atime == 11, "set-uid file");
	st = stat_of(&l, "sub");
	EXPECT((st.st_mode & 07777) == 0700 && st.st_mtime == 21, "time of a directory that was written to");
	EXPECT(holds(&l, "two", "one") && stat_of(&l, "two").st_ino == stat_of(&l, "sub/one").st_ino && stat_of(&l, "two").st_nlink == 2, "hard link");
	st = stat_of(&l, "link");
	EXPECT(S_ISLNK(st.st_mode) && st.st_uid == 72 && st.st_gid == 73, "symlink as such");
	EXPECT(S_ISFIFO(stat_of(&l, "pipe").st_mode) && stat_of(&l, "null").st_rdev == makedev(1, 3), "special files");
	st = stat_of(&l, "hole");
	EXPECT(st.st_size == 16 << 20 && st.st_blocks < 2048, "holes: %lld blocks", (long long)st.st_blocks);
	fd = openat(l.volume, "_data/sub/one", O_RDONLY);
	EXPECT(fgetxattr(fd, "user.color", value, sizeof(value)) == 5 || errno == EOPNOTSUPP, "xattr");
	close(fd);
	EXPECT(n_in(l.volume, ".") == 2 && n_in(l.volume, "_data") == 7, "nothing else");
	lab_done(&l);
}

/* Docker's rule: only an empty volume; and what is there already wins. */
static void test_only_empty(void)
{
	struct lab l;
	int data;
	lab_init(&l);
	NEED(mkdirat(l.image, "data", 0750) == 0);
	put(&l, "data/f", "image", 0644, 0);
	EXPECT(copyup_fill(l.image, "nosuch", l.volume, &l.err) == 1 && copyup_fill(l.image, "data/f", l.volume, &l.err) == 1, "not a directory");
	data = volume_open_data(l.volume, &l.err);
	NEED(data >= 0 && fs_write_volatile(data, "f", "mine", 4, 0644, &l.err) == 0);
	EXPECT(copyup_fill(l.image, "data", l.volume, &l.err) == 1 && holds(&l, "f", "mine"), "content stays");
	NEED(unlinkat(data, "f", 0) == 0);
	EXPECT(copyup_fill(l.image, "data", l.volume, &l.err) == 0 && holds(&l, "f", "image"), "%s", l.err.msg);
	EXPECT(faccessat(data, "f", F_OK, 0) == 0, "a directory that was open before sees it: the inode stays");
	close(data);
	lab_done(&l);
}

static void test_empty_directory(void)
{
	struct lab l;
	lab_init(&l);
	NEED(mkdirat(l.image, "data", 0700) == 0 && fchownat(l.image, "data", 70, 70, 0) == 0);
	EXPECT(copyup_fill(l.image, "data", l.volume, &l.err) == 0 && stat_of(&l, ".").st_uid == 70, "owner: %s", l.err.msg);
	EXPECT((stat_of(&l, ".").st_mode & 07777) == 0700 && n_in(l.volume, "_data") == 0, "mode");
	lab_done(&l);
}

/* Links in the image lead inside it, wherever they point. */
static void test_links_stay_inside(void)
{
	struct lab l;
	lab_init(&l);
	NEED(mkdirat(l.image, "real", 0755) == 0 && mkdirat(l.root, "secret", 0755) == 0);
	NEED(mknodat(l.root, "secret/host", S_IFREG | 0600, 0) == 0);
	put(&l, "real/f", "inside", 0644, 0);
	NEED(symlinkat("/real", l.image, "abs") == 0 && symlinkat("../secret", l.image, "out") == 0 && symlinkat("../../../../real", l.image, "up") == 0);
	NEED(symlinkat("../../secret", l.image, "real/dir") == 0);
	EXPECT(copyup_fill(l.image, "/out", l.volume, &l.err) == 1 && n_in(l.volume, "_data") == 0, "a link out of the image leads nowhere");
	EXPECT(copyup_fill(l.image, "../secret", l.volume, &l.err) == 1, "dot dot");
	EXPECT(copyup_fill(l.image, "/up", l.volume, &l.err) == 0 && holds(&l, "f", "inside"), "%s", l.err.msg);
	EXPECT(S_ISLNK(stat_of(&l, "dir").st_mode), "a link below is a link");
	lab_done(&l);
}

/* What is mounted inside the image's tree is not the image's. */
static void test_mounts_are_not_crossed(void)
{
	struct lab l;
	lab_init(&l);
	NEED(mkdirat(l.image, "data", 0755) == 0 && mkdirat(l.image, "data/mnt", 0755) == 0 && mkdirat(l.root, "host", 0755) == 0);
	NEED(mknodat(l.root, "host/file", S_IFREG | 0600, 0) == 0);
	put(&l, "data/f", "f", 0644, 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		int mnt;
		NEED(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
		NEED(chdir(l.path) == 0);
		NEED(mount("host", "image/data/mnt", NULL, MS_BIND, NULL) == 0);
		mnt = fs_open_dir(AT_FDCWD, "image", NULL);
		_exit(copyup_fill(mnt, "data", l.volume, &l.err) != 0);
	}
	int wstatus;
	NEED(waitpid(pid, &wstatus, 0) == pid);
	EXPECT(wstatus == 0 && holds(&l, "f", "f") && n_in(l.volume, "_data") == 1, "status %d, %d entries", wstatus, n_in(l.volume, "_data"));
	lab_done(&l);
}

/* Killed at random: afterwards the volume is empty or whole, and the next fill makes it whole. */
static void test_kill(void)
{
	struct lab l;
	int seen_empty = 0, seen_full = 0;
	lab_init(&l);
	NEED(mkdirat(l.image, "data", 0755) == 0);
	for (int i = 0; i < 40; i++) {
		char name[32];
		snprintf(name, sizeof(name), "data/f%d", i);
		put(&l, name, "content", 0644, 70);
	}
	for (int round = 0; round < 60; round++) {
		pid_t pid;
		int data, n;
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			_exit(copyup_fill(l.image, "data", l.volume, NULL) < 0);
		usleep((useconds_t)(round * 67 % 4000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		data = volume_open_data(l.volume, &l.err);
		n = n_in(data, ".");
		EXPECT(n == 0 || n == 40, "round %d: %d entries", round, n);
		EXPECT(n_in(l.volume, ".") == 2, "round %d: leftovers", round);
		seen_empty += n == 0;
		seen_full += n == 40;
		close(data);
		if (n == 0)
			EXPECT(copyup_fill(l.image, "data", l.volume, &l.err) == 0 && n_in(l.volume, "_data") == 40, "round %d: %s", round, l.err.msg);
		for (int i = 0; i < 40; i++) {
			char name[32];
			snprintf(name, sizeof(name), "_data/f%d", i);
			unlinkat(l.volume, name, 0);
		}
	}
	printf("killed: %d times empty, %d times full\n", seen_empty, seen_full);
	lab_done(&l);
}

/* The state after a kill between the rename and the last move: finished by whoever opens the volume, newer content wins. */
static void test_interrupted_moves(void)
{
	struct lab l;
	int data;
	lab_init(&l);
	NEED(mkdirat(l.volume, ".filled", 0711) == 0 && fchownat(l.volume, ".filled", 5, 6, 0) == 0);
	NEED(mknodat(l.volume, ".filled/a", S_IFREG | 0600, 0) == 0 && mknodat(l.volume, ".filled/b", S_IFREG | 0600, 0) == 0);
	NEED(mknodat(l.volume, "_data/c", S_IFREG | 0600, 0) == 0 && mknodat(l.volume, "_data/b", S_IFREG | 0644, 0) == 0);
	NEED(mkdirat(l.volume, ".fill-dead", 0700) == 0 && mknodat(l.volume, ".fill-dead/x", S_IFREG | 0600, 0) == 0);
	data = volume_open_data(l.volume, &l.err);
	EXPECT(data >= 0 && n_in(data, ".") == 3 && n_in(l.volume, ".") == 2, "%s", l.err.msg);
	EXPECT(stat_of(&l, ".").st_uid == 5 && stat_of(&l, "b").st_mode == (S_IFREG | 0644), "owner of the directory; the newer b");
	close(data);
	lab_done(&l);
}

/* A copy that fails leaves the volume as empty as it was. */
static void test_failure(void)
{
	struct lab l;
	AUTO_STR struct str path = {0};
	lab_init(&l);
	str_add(&path, "data");
	NEED(mkdirat(l.image, path.p, 0755) == 0);
	put(&l, "data/f", "f", 0644, 0);
	for (int i = 0; i < 210; i++) {
		str_add(&path, "/d");
		NEED(mkdirat(l.image, path.p, 0755) == 0);
	}
	EXPECT(copyup_fill(l.image, "data", l.volume, &l.err) < 0 && strstr(l.err.msg, "nested"), "%s", l.err.msg);
	EXPECT(n_in(l.volume, "_data") == 0 && n_in(l.volume, ".") == 2, "as before");
	lab_done(&l);
}

int main(void)
{
	if (geteuid() != 0) {
		printf("needs root: owners and devices\n");
		return 77;
	}
	umask(022);
	test_everything();
	test_only_empty();
	test_empty_directory();
	test_links_stay_inside();
	test_mounts_are_not_crossed();
	test_kill();
	test_interrupted_moves();
	test_failure();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
