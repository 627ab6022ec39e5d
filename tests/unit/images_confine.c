/* SPDX-License-Identifier: Apache-2.0 */
/* What a reader of archives that has been taken over could still do: nothing outside the store's folders, no socket, no program,
 * no process, no mount, no privilege. Each attempt is made by a child of its own inside the jail; what must still work (files,
 * devices, overlay attributes, threads) is tried too, or the jail would be of no use. */
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "images/confine.h"
#include "tests/unit/images_rig.h"

/* Runs inside; root: the jail's root descriptor. Returns 0 when the attempt got through, a positive errno when it was refused. */
typedef int attempt_fn(int root);

static int refused_unless(bool done)
{
	return done ? 0 : errno ? errno : EIO;
}

static int host_file(int root)
{
	(void)root;
	return refused_unless(open("/etc/passwd", O_RDONLY) >= 0);
}

static int dot_dot(int root)
{
	return refused_unless(openat(root, "images/../../../../../../etc/passwd", O_RDONLY) >= 0 || openat(root, "../projects", O_RDONLY) >= 0);
}

static int sibling(int root)
{
	return refused_unless(openat(root, "projects", O_RDONLY) >= 0);
}

static int own_proc(int root)
{
	(void)root;
	return refused_unless(open("/proc/self/mem", O_RDWR) >= 0);
}

static int write_root(int root)
{
	return refused_unless(openat(root, "new", O_WRONLY | O_CREAT, 0600) >= 0);
}

static int make_socket(int root)
{
	(void)root;
	return refused_unless(socket(AF_INET, SOCK_STREAM, 0) >= 0);
}

static int unix_socket(int root)
{
	(void)root;
	return refused_unless(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
}

static int run_program(int root)
{
	(void)root;
	execl("/bin/true", "true", NULL);
	return refused_unless(false);
}

static int make_process(int root)
{
	(void)root;
	return refused_unless(fork() >= 0);
}

static int trace(int root)
{
	(void)root;
	return refused_unless(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
}

static int mount_something(int root)
{
	(void)root;
	return refused_unless(mount("none", "/images", "tmpfs", 0, NULL) == 0);
}

static int new_namespace(int root)
{
	(void)root;
	return refused_unless(unshare(CLONE_NEWUSER) == 0);
}

static int kill_parent(int root)
{
	(void)root;
	return refused_unless(kill(getpid(), 0) == 0);
}

static int executable_memory(int root)
{
	(void)root;
	return refused_unless(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

static int by_handle(int root)
{
	struct file_handle *h = xcalloc(1, sizeof(*h) + 128);
	h->handle_bytes = 8;
	return refused_unless(open_by_handle_at(root, h, O_RDONLY) >= 0);
}

static int device_by_node(int root)
{
	if (mknodat(root, "layers/null", S_IFCHR | 0666, makedev(1, 3)) < 0)
		return 0; /* counts as got through: making it must work */
	return refused_unless(openat(root, "layers/null", O_RDWR) >= 0);
}

static int ordinary_work(int root)
{
	int dir;
	if (mkdirat(root, "layers/d", 0700) < 0)
		return errno;
	dir = openat(root, "layers/d", O_RDONLY | O_DIRECTORY);
	if (dir < 0 || fsetxattr(dir, "trusted.overlay.opaque", "y", 1, 0) < 0 || mknodat(dir, "wh", S_IFCHR, 0) < 0)
		return errno;
	if (fchownat(dir, "wh", 1000, 1000, AT_SYMLINK_NOFOLLOW) < 0 || fs_write_atomic(dir, "f", "x", 1, 04755, NULL) < 0)
		return errno;
	if (linkat(dir, "f", root, "layers/f2", 0) < 0 || renameat(dir, "f", root, "layers/f3") < 0 || syncfs(dir) < 0)
		return errno;
	return fs_remove_tree(root, "layers/d", NULL) < 0 ? EIO : 0;
}

static int open_store(int root)
{
	struct store *s = NULL;
	struct err err = {0};
	return store_open(root, &s, &err) < 0 || store_sweep(s, &err) < 0 ? EIO : 0;
}

static void *thread_main(void *arg)
{
	return arg;
}

static int start_thread(int root)
{
	pthread_t t;
	int rc = pthread_create(&t, NULL, thread_main, &root);
	return rc ? rc : pthread_join(t, NULL);
}

/* Kernels that lack one of the two fences: the call that would begin it says so. */
enum kernel { KERNEL_FULL, KERNEL_NO_LANDLOCK, KERNEL_NO_MOUNTS, KERNEL_NEITHER };

static void pretend(enum kernel kernel)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	if (kernel == KERNEL_NO_LANDLOCK || kernel == KERNEL_NEITHER)
		NEED(seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SYS_landlock_create_ruleset, 0) == 0);
	if (kernel == KERNEL_NO_MOUNTS || kernel == KERNEL_NEITHER)
		NEED(seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SYS_open_tree, 0) == 0);
	NEED(kernel == KERNEL_FULL || seccomp_load(f) == 0);
	seccomp_release(f);
}

/* What the attempt comes to: 0 got through, errno, or 1000 + the signal that ended the child. */
static int outcome(enum kernel kernel, attempt_fn *attempt)
{
	static const char *const dirs[] = { "images", "layers", NULL };
	struct scratch scratch;
	int wstatus = 0, rc;
	pid_t pid;
	scratch_init(&scratch);
	NEED(mkdirat(scratch.fd, "projects", 0700) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct err err = {0};
		int root;
		pretend(kernel);
		root = confine_enter(dup(scratch.fd), dirs, &err);
		close(scratch.fd);
		if (root < 0) {
			printf(kernel == KERNEL_NEITHER ? "" : "%s\n", err.msg);
			fflush(stdout);
			_exit(err.code == ERR_UNSUPPORTED ? 254 : 255);
		}
		errno = 0;
		_exit(attempt(root));
	}
	NEED(waitpid(pid, &wstatus, 0) == pid);
	rc = WIFSIGNALED(wstatus) ? 1000 + WTERMSIG(wstatus) : WEXITSTATUS(wstatus);
	scratch_done(&scratch);
	return rc;
}

int main(void)
{
	static const struct {
		const char *what;
		attempt_fn *attempt;
		int want; /* 0: must work; -1: any refusal; else exactly this */
	} cases[] = {
		{ "ordinary work", ordinary_work, 0 }, { "the store", open_store, 0 }, { "a thread", start_thread, 0 },
		{ "a host file", host_file, -1 }, { "dot dot", dot_dot, -1 }, { "a sibling folder", sibling, -1 }, { "/proc/self/mem", own_proc, -1 },
		{ "a file beside the folders", write_root, -1 }, { "a device node of its own making", device_by_node, -1 },
		{ "executable memory", executable_memory, EPERM },
		{ "an Internet socket", make_socket, 1000 + SIGSYS }, { "a unix socket", unix_socket, 1000 + SIGSYS },
		{ "execve", run_program, 1000 + SIGSYS }, { "fork", make_process, EPERM }, { "ptrace", trace, 1000 + SIGSYS },
		{ "mount", mount_something, 1000 + SIGSYS }, { "unshare", new_namespace, 1000 + SIGSYS }, { "kill", kill_parent, 1000 + SIGSYS },
		{ "open_by_handle_at", by_handle, 1000 + SIGSYS },
	};
	if (geteuid() != 0) {
		printf("needs root: mount namespaces, devices and overlay attributes\n");
		return 77;
	}
	for (int k = KERNEL_FULL; k <= KERNEL_NO_MOUNTS; k++)
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			int got;
			if (cases[i].attempt == device_by_node && k == KERNEL_NO_MOUNTS)
				continue; /* who may make devices may mount too: only the mounts refuse them */
			got = outcome((enum kernel)k, cases[i].attempt);
			if (cases[i].want < 0)
				got = got == 0 || got >= 254 ? got : cases[i].want;
			EXPECT(got == cases[i].want, "kernel %d: %s: %d, expected %d", k, cases[i].what, got, cases[i].want);
		}
	EXPECT(outcome(KERNEL_NEITHER, ordinary_work) == 254, "without either fence nothing foreign is read");
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
