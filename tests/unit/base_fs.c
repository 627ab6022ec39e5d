/* SPDX-License-Identifier: Apache-2.0 */
/* Files: replaced whole or not at all, trees removed without leaving them, and fs_open_in_root() the same with and without openat2(2)
 * (a seccomp filter in a child takes the call away): what a hostile image puts into symlinks never opens anything outside the root. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static void put(int dir, const char *name, const char *text)
{
	AUTO_CLOSE int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), name);
}

/* A tree with every kind of trap; "secret" lies beside the root. */
static int make_root(int top)
{
	int root;
	must(mkdirat(top, "root", 0755) == 0, "root");
	put(top, "secret", "secret");
	root = openat(top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(root >= 0 && mkdirat(root, "a", 0755) == 0 && mkdirat(root, "a/b", 0755) == 0, "a/b");
	put(root, "a/b/file", "file");
	static const char *const links[][2] = {
		{ "/a", "abs" }, { "a/b", "rel" }, { "../../../../a", "up" }, { "../secret", "peek" }, { "../../../../../../etc/passwd", "escape" },
		{ "/etc/passwd", "absescape" }, { "loop2", "loop1" }, { "loop1", "loop2" }, { "self", "self" }, { "../..", "a/b/back" },
		{ "/a/new", "dangling" }, { "a//b/./../b/file", "messy" }, { "/", "slash" }, { ".", "dot" }, { "a/b/file", "l1" }, { "rel/", "reldir" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		must(symlinkat(links[i][0], root, links[i][1]) == 0, links[i][1]);
	for (int i = 2; i <= 41; i++) {
		char from[16], to[16];
		snprintf(to, sizeof(to), "l%d", i - 1);
		snprintf(from, sizeof(from), "l%d", i);
		must(symlinkat(to, root, from) == 0, from);
	}
	return root;
}

enum { IS_FILE = 1, IS_ROOT, IS_A, IS_B, IS_LINK, IS_NEW };

/* What the descriptor shows, from the list above; -1: something outside. */
static int identify(int root, int fd)
{
	static const struct {
		const char *path;
		int what;
	} known[] = { { "a/b/file", IS_FILE }, { ".", IS_ROOT }, { "a", IS_A }, { "a/b", IS_B }, { "rel", IS_LINK }, { "a/new", IS_NEW } };
	struct stat st, other;
	must(fstat(fd, &st) == 0, "fstat");
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (fstatat(root, known[i].path, &other, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == other.st_ino && st.st_dev == other.st_dev)
			return known[i].what;
	return -1;
}

static const struct {
	const char *path;
	int flags, want; /* one of the above, or -errno */
} opens[] = {
	{ "a/b/file", O_RDONLY, IS_FILE }, { "/a/b/file", O_RDONLY, IS_FILE }, { "//a/.//b/file", O_RDONLY, IS_FILE },
	{ "abs/b/file", O_RDONLY, IS_FILE }, { "rel/file", O_RDONLY, IS_FILE }, { "up/b/file", O_RDONLY, IS_FILE }, { "messy", O_RDONLY, IS_FILE },
	{ "a/b/back/a/b/file", O_RDONLY, IS_FILE }, { "../../a/b/file", O_RDONLY, IS_FILE }, { "/../a/b/file", O_RDONLY, IS_FILE },
	{ "slash/dot/abs/b/file", O_RDONLY, IS_FILE }, { "l40", O_RDONLY, IS_FILE }, { "l41", O_RDONLY, -ELOOP },
	{ "peek", O_RDONLY, -ENOENT }, { "escape", O_RDONLY, -ENOENT }, { "absescape", O_RDONLY, -ENOENT }, { "../secret", O_RDONLY, -ENOENT },
	{ "a/b/back/../secret", O_RDONLY, -ENOENT }, { "slash/../secret", O_RDONLY, -ENOENT },
	{ "loop1", O_RDONLY, -ELOOP }, { "self/x", O_RDONLY, -ELOOP }, { "a/b/file/x", O_RDONLY, -ENOTDIR }, { "a/b/file/.", O_RDONLY, -ENOTDIR },
	{ "a/b/file/..", O_RDONLY, -ENOTDIR }, { "a/b/file/", O_RDONLY, -ENOTDIR }, { "a/none", O_RDONLY, -ENOENT }, { "none/x", O_RDONLY, -ENOENT },
	{ "", O_RDONLY, -ENOENT }, { ".", O_RDONLY, IS_ROOT }, { "..", O_RDONLY, IS_ROOT }, { "/", O_PATH, IS_ROOT }, { "slash", O_RDONLY, IS_ROOT },
	{ "dot", O_RDONLY, IS_ROOT }, { "a/b/..", O_RDONLY, IS_A }, { "rel/..", O_RDONLY, IS_A }, { "rel", O_RDONLY | O_DIRECTORY, IS_B },
	{ "rel/", O_RDONLY, IS_B }, { "reldir", O_RDONLY, IS_B }, { "a/b/file", O_RDONLY | O_DIRECTORY, -ENOTDIR }, { "a", O_RDWR, -EISDIR },
	{ "rel", O_PATH | O_NOFOLLOW, IS_LINK }, { "rel", O_RDONLY | O_NOFOLLOW, -ELOOP }, { "abs/../rel", O_PATH | O_NOFOLLOW, IS_LINK },
	{ "a/b/file", O_WRONLY | O_CREAT | O_EXCL, -EEXIST }, { "dangling", O_RDONLY, -ENOENT }, { "dangling", O_WRONLY | O_CREAT | O_EXCL, -EEXIST },
	{ "rel", O_WRONLY | O_CREAT | O_EXCL, -EEXIST }, { "dangling", O_WRONLY | O_CREAT, IS_NEW }, { "none/new", O_WRONLY | O_CREAT, -ENOENT },
	{ "a", O_WRONLY | O_CREAT, -EISDIR }, { "escape", O_WRONLY | O_CREAT, -ENOENT },
};

static void check_opens(int root, const char *how)
{
	char name[300], deep[1024] = "";
	int fd;
	for (size_t i = 0; i < ARRAY_SIZE(opens); i++) {
		int got;
		unlinkat(root, "a/new", 0);
		fd = fs_open_in_root(root, opens[i].path, opens[i].flags, 0600);
		got = fd < 0 ? fd : identify(root, fd);
		EXPECT(got == opens[i].want, "%s: \"%s\" with flags %#o is %d, not %d", how, opens[i].path, opens[i].flags, got, opens[i].want);
		if (fd >= 0) {
			EXPECT(fcntl(fd, F_GETFD) & FD_CLOEXEC, "%s: %s is not close-on-exec", how, opens[i].path);
			close(fd);
		}
	}
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	EXPECT(fs_open_in_root(root, name, O_RDONLY, 0) == -ENAMETOOLONG, "%s: a name of 299 bytes", how);
	for (int i = 0; i < 100; i++)
		strcat(deep, "a/b/../../");
	strcat(deep, "a/b/file");
	fd = fs_open_in_root(root, deep, O_RDONLY, 0);
	EXPECT(fd >= 0 && identify(root, fd) == IS_FILE, "%s: a long way gives %d", how, fd);
	util_close(&fd);
}

/* /proc as the root: a magic link such as /proc/self/exe or /proc/self/root must not lead out of it. */
static void check_magic_links(const char *how)
{
	static const char *const paths[] = { "self/exe", "self/root/etc/passwd", "self/cwd", "self/fd/0", "thread-self/root" };
	AUTO_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st, got;
	must(proc >= 0 && fstat(proc, &st) == 0, "/proc");
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		AUTO_CLOSE int fd = fs_open_in_root(proc, paths[i], O_RDONLY, 0);
		EXPECT(fd < 0 || (fstat(fd, &got) == 0 && got.st_dev == st.st_dev), "%s: /proc/%s leads out of /proc", how, paths[i]);
	}
}

/* From here on openat2 fails as on a kernel without it. */
static bool forbid_openat2(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { ARRAY_SIZE(code), code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		return false;
	return syscall(SYS_openat2, -1, "", NULL, 0) < 0 && errno == ENOSYS;
}

static void test_open_in_root(int top)
{
	AUTO_CLOSE int root = make_root(top);
	int status;
	pid_t pid;
	check_opens(root, "openat2");
	check_magic_links("openat2");
	fflush(stdout);
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		failures = 0;
		if (forbid_openat2()) {
			check_opens(root, "components");
			check_magic_links("components");
		} else {
			printf("no seccomp here: the walk by components was not tested\n");
		}
		fflush(stdout);
		_exit(failures != 0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0, "without openat2");
}

static void test_read(int top)
{
	AUTO_STR struct str s = { 0 };
	struct err err = { 0 };
	put(top, "ten", "0123456789");
	EXPECT(fs_read(top, "ten", 10, &s, &err) == 0 && strcmp(str_get(&s), "0123456789") == 0, "%s", err.msg);
	EXPECT(fs_read(top, "ten", 9, &s, &err) == -1 && err.code == ERR_INVALID && strstr(err.msg, "ten"), "%s", err.msg);
	EXPECT(fs_read(top, "absent", 9, &s, &err) == 1, "an absent file is an outcome");
	EXPECT(fs_read(top, "root", 9, &s, &err) == -1 && err.sys == EISDIR, "%s", err.msg);
	put(top, "empty", "");
	EXPECT(fs_read(top, "empty", 0, &s, &err) == 0 && s.len == 0 && *str_get(&s) == '\0', "%s", err.msg);
}

static int count_name(void *arg, const char *name)
{
	int *n = arg;
	return strcmp(name, "stop") == 0 ? 7 : ((*n)++, 0);
}

/* The old file or the new one, and no temporary file beside it whatever happens. */
static void test_write(int top)
{
	AUTO_STR struct str s = { 0 };
	struct err err = { 0 };
	AUTO_CLOSE int dir = fs_make_dir(top, "w/x/../x//y", 0700, &err);
	struct rlimit old, small = { 3, 3 };
	struct stat st;
	int n = 0;
	must(dir >= 0 && getrlimit(RLIMIT_FSIZE, &old) == 0, err.msg);
	EXPECT(fs_write_atomic(dir, "f", "old", 3, 0640, &err) == 0 && fs_read(dir, "f", 99, &s, &err) == 0 && strcmp(s.p, "old") == 0, "%s", err.msg);
	EXPECT(fstatat(dir, "f", &st, 0) == 0 && (st.st_mode & 07777) == 0640, "mode %o whatever the umask", st.st_mode & 07777);
	EXPECT(fs_write_volatile(dir, "f", "new", 3, 0600, &err) == 0 && fs_read(dir, "f", 99, &s, &err) == 0 && strcmp(s.p, "new") == 0, "%s", err.msg);
	small.rlim_max = old.rlim_max;
	must(setrlimit(RLIMIT_FSIZE, &small) == 0, "setrlimit");
	EXPECT(fs_write_atomic(dir, "f", "too long", 8, 0600, &err) == -1 && err.sys == EFBIG, "a full disk: %s", err.msg);
	must(setrlimit(RLIMIT_FSIZE, &old) == 0, "setrlimit");
	EXPECT(fs_read(dir, "f", 99, &s, &err) == 0 && strcmp(s.p, "new") == 0, "the old one stays: %s", str_get(&s));
	must(symlinkat("../../../secret", dir, ".g.tmp") == 0, "symlink");
	fs_write_atomic(dir, "g", "x", 1, 0600, &err);
	EXPECT(fs_read(top, "secret", 99, &s, &err) == 0 && strcmp(s.p, "secret") == 0, "a planted link was written through");
	unlinkat(dir, ".g.tmp", 0);
	unlinkat(dir, "g", 0);
	EXPECT(fs_each(dir, ".", count_name, &n, &err) == 0 && n == 1, "%d files are left", n);
	put(dir, "stop", "");
	EXPECT(fs_each(dir, ".", count_name, &n, &err) == 7, "the walk stops when it is told to");
	EXPECT(fs_each(dir, "none", count_name, &n, &err) == -1 && err.sys == ENOENT, "%s", err.msg);
	EXPECT(fs_each_if_any(dir, "none", count_name, &n, &err) == 0 && fs_each_if_any(dir, ".", count_name, &n, &err) == 7, "%s", err.msg);
	EXPECT(fs_make_dir(top, "ten/x", 0700, &err) == -1 && err.sys == ENOTDIR, "%s", err.msg);
}

/* Symlinks are removed, not followed; a mount below stops it; depth costs no descriptors. */
static void test_remove(int top)
{
	struct err err = { 0 };
	AUTO_CLOSE int dir = fs_make_dir(top, "r/s", 0700, &err);
	AUTO_CLOSE int at = -1;
	AUTO_STR struct str path = { 0 };
	struct rlimit old, few;
	put(dir, "file", "x");
	must(symlinkat("../../root", dir, "link") == 0 && symlinkat("/none", dir, "broken") == 0 && mkfifoat(dir, "fifo", 0600) == 0, "links");
	EXPECT(fs_remove_tree(top, "r/s/link", &err) == 0 && faccessat(top, "root/a/b/file", F_OK, 0) == 0, "a link is removed, not its target");
	must(symlinkat("../../root", dir, "link") == 0, "link");
	at = fs_make_dir(dir, "deep", 0700, &err);
	for (int i = 0; i < 2000 && at >= 0; i++) {
		int next;
		put(at, "f", "");
		must(mkdirat(at, "d", 0700) == 0, "mkdir");
		next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		util_close(&at);
		at = next;
	}
	must(at >= 0 && getrlimit(RLIMIT_NOFILE, &old) == 0, "deep");
	few = old;
	few.rlim_cur = 256;
	must(setrlimit(RLIMIT_NOFILE, &few) == 0, "setrlimit");
	EXPECT(fs_remove_tree(top, "r", &err) == 0, "2000 levels with 256 descriptors: %s", err.msg);
	must(setrlimit(RLIMIT_NOFILE, &old) == 0, "setrlimit");
	EXPECT(faccessat(top, "r", F_OK, 0) < 0 && faccessat(top, "root/a/b/file", F_OK, 0) == 0, "only what is inside is gone");
	EXPECT(fs_remove_tree(top, "r", &err) == 0, "what is absent is removed: %s", err.msg);
}

static void test_remove_mount(int top, const char *path)
{
	struct err err = { 0 };
	AUTO_CLOSE int dir = fs_make_dir(top, "m/inner", 0700, &err);
	AUTO_FREE char *at = xasprintf("%s/m/inner", path);
	if (mount("none", at, "tmpfs", 0, "size=64k") < 0) {
		printf("no right to mount: removal across mounts was not tested\n");
		return;
	}
	AUTO_CLOSE int inner = fs_open_dir(top, "m/inner", &err);
	put(inner, "kept", "x");
	EXPECT(fs_remove_tree(top, "m", &err) == -1 && strstr(err.msg, "mounted"), "%s", err.msg);
	EXPECT(faccessat(inner, "kept", F_OK, 0) == 0, "what is mounted is not touched");
	util_close(&inner);
	must(umount2(at, 0) == 0, "umount");
	EXPECT(fs_remove_tree(top, "m", &err) == 0, "%s", err.msg);
}

/* A page in a pipe is held by somebody else; a child lets go of it later than the kernel waits. */
static void test_seal(void)
{
	AUTO_CLOSE int fd = memfd_create("seal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	AUTO_CLOSE int other = memfd_create("seal", MFD_CLOEXEC);
	int pipe_fd[2];
	pid_t child;
	char c;
	must(fd >= 0 && other >= 0 && pipe2(pipe_fd, O_CLOEXEC) == 0 && write(fd, "text", 4) == 4, "memfd");
	must(splice(fd, &(off_t){ 0 }, pipe_fd[1], NULL, 4, 0) == 4, "splice");
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0 && errno == EBUSY, "a held page is no hindrance: %s", strerror(errno));
	child = fork();
	must(child >= 0, "fork");
	if (child == 0) {
		usleep(400000);
		_exit(read(pipe_fd[0], (char[4]){ 0 }, 4) != 4);
	}
	EXPECT(fs_seal(fd) == 0, "%s", strerror(errno));
	must(waitpid(child, NULL, 0) == child, "waitpid");
	EXPECT(pwrite(fd, "x", 1, 0) < 0 && errno == EPERM && ftruncate(fd, 0) < 0 && pread(fd, &c, 1, 0) == 1 && c == 't', "not sealed");
	EXPECT(fs_seal(other) < 0 && errno == EPERM, "one that forbids it: %s", strerror(errno));
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

int main(void)
{
	char path[] = "/tmp/base_fs.XXXXXX", buf[32];
	struct err err = { 0 };
	AUTO_CLOSE int top = -1;
	signal(SIGXFSZ, SIG_IGN);
	umask(077);
	must(mkdtemp(path) != NULL, "mkdtemp");
	top = fs_open_dir(AT_FDCWD, path, &err);
	must(top >= 0, path);
	test_open_in_root(top);
	test_read(top);
	test_write(top);
	test_remove(top);
	test_remove_mount(top, path);
	test_seal();
	EXPECT(strcmp(fs_fd_path(12, buf), "/proc/self/fd/12") == 0, "%s", buf);
	EXPECT(fs_remove_tree(AT_FDCWD, path, &err) == 0 && access(path, F_OK) < 0, "%s", err.msg);
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
