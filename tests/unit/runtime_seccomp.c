/* SPDX-License-Identifier: Apache-2.0 */
/* The filter does what docker's default profile does, compiled or from the cache, and a bad cache file never becomes a filter. Each
 * probe is a child process that loads the program and makes one call. Needs root (a filter without no_new_privs). */
#include "runtime/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <sched.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "runtime/container.h"
#include "tests/unit/check.h"

static char dir[] = "/tmp/muster-seccomp-XXXXXX";

static void cleanup(void)
{
	fs_remove_tree(AT_FDCWD, dir, NULL);
}

/* errno of a call under the filter; 0 when it succeeded. */
static int call(const struct seccomp_program *p, long nr, long a, long b, long c)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) { /* _exit only: cleanup() is the parent's */
		struct err err;
		long rc;
		if (seccomp_load_program(p, &err) < 0)
			_exit(255);
		rc = syscall(nr, a, b, c, 0, 0);
		_exit(rc < 0 ? errno : 0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) != 255, "call %ld: status %d", nr, status);
	return WEXITSTATUS(status);
}

static void test_profile(const struct seccomp_program *p)
{
	static const struct {
		const char *what;
		long nr, a, b, c;
		int want;
	} cases[] = {
		{ "getpid", SYS_getpid, 0, 0, 0, 0 },
		{ "mount", SYS_mount, 0, 0, 0, EPERM },
		{ "unshare", SYS_unshare, CLONE_NEWNS, 0, 0, EPERM },
		{ "clone with a new user namespace", SYS_clone, CLONE_NEWUSER, 0, 0, EPERM },
		{ "clone3: ENOSYS, so that libraries fall back", SYS_clone3, 0, 0, 0, ENOSYS },
		{ "keyctl", SYS_keyctl, 0, 0, 0, EPERM },
		{ "io_uring_setup", SYS_io_uring_setup, 1, 0, 0, EPERM },
		{ "bpf", SYS_bpf, 0, 0, 0, EPERM },
		{ "vsock", SYS_socket, AF_VSOCK, SOCK_STREAM, 0, EPERM },
		{ "unix sockets", SYS_socket, AF_UNIX, SOCK_STREAM, 0, 0 },
		{ "personality query", SYS_personality, 0xffffffff, 0, 0, 0 },
		{ "personality without randomisation", SYS_personality, ADDR_NO_RANDOMIZE, 0, 0, EPERM },
		{ "a call of the future: ENOSYS, not EPERM", 2000, 0, 0, 0, ENOSYS },
		{ "chroot (a default capability allows it)", SYS_chroot, 0, 0, 0, EFAULT },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int got = call(p, cases[i].nr, cases[i].a, cases[i].b, cases[i].c);
		CHECK(got == cases[i].want, "%s: %s", cases[i].what, strerror(got));
	}
}

#if defined(__x86_64__)
/* The other ways into the same kernel are closed the same: 32-bit calls by int 0x80, and x32 numbers. */
static void test_other_abis(const struct seccomp_program *p)
{
	struct err err;
	int status, got = call(p, 0x40000000 | SYS_unshare, CLONE_NEWNS, 0, 0);
	pid_t pid = fork();
	CHECK(got == EPERM || got == ENOSYS, "x32 unshare: %s", strerror(got));
	if (pid == 0) {
		long rc = 310; /* unshare of i386 */
		if (seccomp_load_program(p, &err) < 0)
			_exit(255);
		__asm__ volatile("int $0x80" : "+a"(rc) : "b"(CLONE_NEWNS) : "memory");
		_exit((int)-rc);
	}
	CHECK(waitpid(pid, &status, 0) == pid, "waitpid");
	CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == EPERM || WEXITSTATUS(status) == ENOSYS, "i386 unshare: %d", status);
}
#endif

static int remember(void *arg, const char *name)
{
	snprintf(arg, 80, "%s", name);
	return 0;
}

/* The second start reads what the first has written; another set of capabilities is another file; torn and foreign files are compiled
 * anew. */
static void test_cache(int dirfd, const struct seccomp_program *fresh)
{
	struct seccomp_program p = { 0 };
	struct err err = { 0 };
	AUTO_STR struct str file = { 0 };
	char name[80] = "";
	CHECK(seccomp_default(dirfd, CONTAINER_DEFAULT_CAPS, &p, &err) == 0, "%s", err.msg);
	seccomp_done(&p);
	CHECK(fs_each(dirfd, ".", remember, name, &err) == 0 && strlen(name) == 64, "cache file: %s", name);
	CHECK(fs_read(dirfd, name, 1 << 20, &file, &err) == 0, "%s", err.msg);
	for (size_t cut = 0; cut <= file.len; cut += 997) {
		CHECK(fs_write_volatile(dirfd, name, file.p, cut, 0600, &err) == 0, "%s", err.msg);
		CHECK(seccomp_default(dirfd, CONTAINER_DEFAULT_CAPS, &p, &err) == 0 && p.n == fresh->n &&
				memcmp(p.filter, fresh->filter, p.n * sizeof(struct sock_filter)) == 0,
			"cut at %zu", cut);
		seccomp_done(&p);
	}
	file.p[file.len / 2] ^= 1;
	CHECK(fs_write_volatile(dirfd, name, file.p, file.len, 0600, &err) == 0, "%s", err.msg);
	CHECK(seccomp_default(dirfd, CONTAINER_DEFAULT_CAPS, &p, &err) == 0 &&
			memcmp(p.filter, fresh->filter, p.n * sizeof(struct sock_filter)) == 0,
		"a flipped bit");
	seccomp_done(&p);
	CHECK(seccomp_default(dirfd, CONTAINER_DEFAULT_CAPS | 1ULL << 21, &p, &err) == 0, "%s", err.msg);
	CHECK(call(&p, SYS_unshare, CLONE_NEWUTS, 0, 0) == 0 && call(&p, SYS_clone3, 0, 0, 0) != ENOSYS, "CAP_SYS_ADMIN opens its group");
	seccomp_done(&p);
	CHECK(seccomp_default(dirfd, 0, &p, &err) == 0 && call(&p, SYS_chroot, 0, 0, 0) == EPERM,
		"without CAP_SYS_CHROOT there is no chroot");
	seccomp_done(&p);
	seccomp_done(&p);
}

int main(void)
{
	struct seccomp_program fresh = { 0 };
	struct err err = { 0 };
	int dirfd;
	if (geteuid() != 0) {
		printf("needs root\n");
		return 77;
	}
	CHECK(mkdtemp(dir), "mkdtemp");
	atexit(cleanup);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(seccomp_default(-1, CONTAINER_DEFAULT_CAPS, &fresh, &err) == 0, "%s", err.msg);
	test_profile(&fresh);
#if defined(__x86_64__)
	test_other_abis(&fresh);
#endif
	test_cache(dirfd, &fresh);
	seccomp_done(&fresh);
	close(dirfd);
	return 0;
}
