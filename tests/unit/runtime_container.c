/* SPDX-License-Identifier: Apache-2.0 */
/* Containers seen from inside: what a process finds at its first instruction, who it is, what it cannot reach, how a failed start
 * reads. Real containers of a busybox layer; needs root. Each function names the invariant that it protects. */
#include "tests/unit/runtime_rig_run.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>

#include "runtime/probe.h"
#include "runtime/seccomp.h"

static bool says(const struct rig *r, const char *text)
{
	return strstr(str_get(&r->out), text) != NULL;
}

/* Signals, capabilities, descriptors, umask, session and cgroups are what the specification says, whatever state the supervisor itself
 * is in. */
static void test_first_instruction(struct rig *r, struct seccomp_program *program)
{
	struct container_spec s;
	struct cgroup *cg = NULL;
	struct err err = { 0 };
	sigset_t set, old;
	char path[96];
	rig_spec(r, &s);
	snprintf(path, sizeof(path), "%s/c/first", r->base);
	CHECK(cgroup_create(r->host, path, NULL, true, &cg, &err) == 0, "%s", err.msg);
	s.cgroup = cg;
	s.seccomp = program;
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, &old);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	umask(077);
	CHECK(rig_sh(r, &s, "exec cat /proc/self/status /proc/1/cgroup /proc/self/oom_score_adj") == 0, "%s", str_get(&r->out));
	umask(022);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	CHECK(says(r, "SigBlk:\t0000000000000000") && says(r, "SigIgn:\t0000000000000000"), "signals leak into the container: %s",
		str_get(&r->out));
	CHECK(says(r, "CapInh:\t0000000000000000") && says(r, "CapAmb:\t0000000000000000"), "inheritable capabilities: %s",
		str_get(&r->out));
	CHECK(says(r, "CapPrm:\t00000000a80425fb") && says(r, "CapEff:\t00000000a80425fb") && says(r, "CapBnd:\t00000000a80425fb"), "%s",
		str_get(&r->out));
	CHECK(says(r, "NoNewPrivs:\t0") && says(r, "Seccomp:\t2") && says(r, "Umask:\t0022"), "%s", str_get(&r->out));
	CHECK(says(r, "\nPid:\t1\n") && says(r, "NSsid:\t1") && says(r, "TracerPid:\t0"), "%s", str_get(&r->out));
	CHECK(!says(r, "muster-test") && (says(r, "memory:/\n") || says(r, "0::/\n")) && says(r, "\n0\n"), "the cgroup's path shows: %s",
		str_get(&r->out));
	CHECK(rig_sh(r, &s, "ls /proc/self/fd; pwd; hostname; echo $HOME $PATH $HOSTNAME") == 0, "ls");
	CHECK(says(r, "0\n1\n2\n3\n/\nrig\n/root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin rig\n"),
		"more than 0-2 is open: %s", str_get(&r->out));
	cg = cgroup_free(cg);
	CHECK(cgroup_remove(r->host, path, &err) == 0, "%s", err.msg);
	cgroup_remove_parents(r->host, path);
}

/* What docker masks or write-protects stays so, for root inside; made devices cannot be opened. */
static void test_confined(struct rig *r, struct seccomp_program *program)
{
	static const char *const refused[] = {
		"echo 1 > /proc/sys/kernel/panic",
		"echo b > /proc/sysrq-trigger",
		"echo x > /proc/irq/default_smp_affinity",
		"mkdir /sys/x",
		"mkdir /sys/fs/cgroup/x",
		"mkdir /sys/fs/cgroup/memory/x",
		"mount -t tmpfs x /tmp",
		"mount -o remount,rw /sys",
		"unshare -n true",
		"hostname x",
		"ls /sys/firmware/acpi",
	};
	struct container_spec s;
	struct cgroup *cg = NULL;
	struct err err = { 0 };
	struct stat st;
	char path[96], script[256];
	rig_spec(r, &s);
	snprintf(path, sizeof(path), "%s/c/confined", r->base);
	CHECK(cgroup_create(r->host, path, NULL, true, &cg, &err) == 0, "%s", err.msg);
	s.cgroup = cg;
	s.seccomp = program;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		CHECK(rig_sh(r, &s, refused[i]) != 0, "allowed: %s", refused[i]);
	CHECK(rig_sh(r, &s, "cat /proc/timer_list /proc/keys /proc/interrupts 2>/dev/null | wc -c") == 0 && says(r, "0\n"), "masked: %s",
		str_get(&r->out));
	CHECK(rig_sh(r, &s, "ls -A /sys/firmware /proc/acpi 2>/dev/null | grep -v : | grep . | wc -l") == 0 && says(r, "0\n"), "masked: %s",
		str_get(&r->out));
	CHECK(stat("/", &st) == 0, "stat");
	snprintf(script, sizeof(script), "mknod /tmp/disk b %u %u && dd if=/tmp/disk of=/dev/null bs=1 count=1", major(st.st_dev),
		minor(st.st_dev));
	CHECK(rig_sh(r, &s, script) != 0 && says(r, "not permitted"), "the host's disk can be read: %s", str_get(&r->out));
	CHECK(rig_sh(r, &s, "mknod /tmp/n c 1 3 && echo x > /tmp/n && head -c 4 /dev/zero | wc -c") == 0 && says(r, "4\n"), "%s",
		str_get(&r->out));
	s.read_only_root = true;
	CHECK(rig_sh(r, &s, "touch /new") != 0 && rig_sh(r, &s, "touch /dev/shm/new") == 0, "read-only root");
	s.read_only_root = false;
	s.no_new_privs = true;
	CHECK(rig_sh(r, &s, "grep -E 'NoNewPrivs:.1' /proc/self/status") == 0, "no_new_privs");
	cg = cgroup_free(cg);
	CHECK(cgroup_remove(r->host, path, &err) == 0, "%s", err.msg);
	cgroup_remove_parents(r->host, path);
}

/* Users come from the image's own files; a number is always an id; other users have no capabilities left. */
static void test_users(struct rig *r)
{
	static const struct {
		const char *user, *want;
	} cases[] = {
		{ NULL, "uid=0(root) gid=0(root) groups=0(root),29(audio)" },
		{ "web", "uid=1000(web) gid=1001(web) groups=29(audio),44(video)" },
		{ "1000", "uid=1000(web) gid=1001(web) groups=29(audio),44(video)" },
		{ "web:video", "uid=1000(web) gid=44(video)" },
		{ "1234:5678", "uid=1234 gid=5678" },
		{ "4321", "uid=4321 gid=0(root)" },
	};
	static const struct {
		const char *user, *message;
	} bad[] = {
		{ "nobody", "unable to find user nobody: no matching entries in passwd file" },
		{ "bad", "unable to find user bad: no matching entries in passwd file" },
		{ "web:nogroup", "unable to find group nogroup: no matching entries in group file" },
		{ "-1", "unable to find user -1" },
		{ "4294967296", "unable to find user 4294967296" },
		{ "0x0", "unable to find user 0x0" },
		{ "a:b:c", "invalid user" },
	};
	char *const argv[] = { (char *)(uintptr_t) "true", NULL };
	struct container_spec s;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		rig_spec(r, &s);
		s.user = cases[i].user;
		CHECK(rig_sh(r, &s, "id") == 0 && says(r, cases[i].want), "user %s: %s", cases[i].user ? cases[i].user : "",
			str_get(&r->out));
	}
	s.user = "web";
	CHECK(rig_sh(r, &s,
		      "grep -E 'Cap(Inh|Prm|Eff|Amb).*0000000000000000' /proc/self/status | wc -l; echo $HOME; "
		      "echo hi > /dev/stdout; ls -ld /proc/self/fd/1") ==
				0 &&
			says(r, "4\n/home\nhi\n"),
		"%s", str_get(&r->out));
	s.argv = argv;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = { 0 };
		s.user = bad[i].user;
		CHECK(rig_run(r, &s, &err) == -1 && strstr(err.msg, bad[i].message) && err.code == ERR_INVALID, "user %s: %s", bad[i].user,
			err.msg);
	}
}

static void fails(struct rig *r, struct container_spec *s, const char *command, enum err_code code, const char *message)
{
	char *const argv[] = { (char *)(uintptr_t)command, NULL };
	struct err err = { 0 };
	int rc;
	s->argv = argv;
	rc = rig_run(r, s, &err);
	CHECK(rc == -1 && err.code == code && strstr(err.msg, message), "%s: %d, code %d: %s (%s)", command, rc, (int)err.code, err.msg,
		err.origin);
}

/* A start that fails reads like a local error, with the code that decides the exit status. */
static void test_failures(struct rig *r)
{
	struct container_spec s;
	char escape[64];
	rig_spec(r, &s);
	fails(r, &s, "nosuchcmd", ERR_NO_COMMAND, "exec: \"nosuchcmd\": executable file not found in $PATH");
	fails(r, &s, "/bin/nosuchcmd", ERR_NO_COMMAND, "exec: \"/bin/nosuchcmd\": stat /bin/nosuchcmd: no such file or directory");
	fails(r, &s, "/etc/passwd", ERR_NOT_EXEC, "exec: \"/etc/passwd\": permission denied");
	fails(r, &s, "/etc", ERR_NOT_EXEC, "is a directory");
	fails(r, &s, "", ERR_NO_COMMAND, "executable file not found");
	rig_file(r->dirfd, "layer/bin/text", "no interpreter", 0755);
	fails(r, &s, "text", ERR_NOT_EXEC, "exec format error");
	rig_file(r->dirfd, "layer/bin/script", "#!/no/such/interpreter\n", 0755);
	fails(r, &s, "script", ERR_NO_COMMAND, "interpreter is missing");
	s.cwd = "/etc/passwd";
	fails(r, &s, "true", ERR_INVALID, "working directory: mount target /etc/passwd is not a directory");
	s.cwd = "etc";
	fails(r, &s, "true", ERR_INVALID, "working directory \"etc\" is not absolute");
	/* CVE-2024-21626: no descriptor of the host's file system can be entered */
	for (int fd = 3; fd < 40; fd++) {
		struct err err = { 0 };
		char *const argv[] = { (char *)(uintptr_t) "/bin/ls", NULL };
		snprintf(escape, sizeof(escape), "/proc/self/fd/%d", fd);
		s.cwd = escape;
		s.argv = argv;
		CHECK(rig_run(r, &s, &err) != 0, "entered %s: %s", escape, str_get(&r->out));
	}
	s.cwd = "/made/for/it";
	CHECK(rig_sh(r, &s, "pwd") == 0 && says(r, "/made/for/it\n"), "%s", str_get(&r->out));
}

/* Images whose /proc, /sys or /dev is a symlink start nothing (CVE-2019-19921, CVE-2025-52565). */
static void test_symlinked_places(struct rig *r)
{
	static const char *const places[] = { "proc", "sys", "dev" };
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct container_spec s;
		char dir[32], link[40];
		int fds[2];
		snprintf(dir, sizeof(dir), "evil%zu", i);
		mkdirat(r->dirfd, dir, 0755);
		snprintf(link, sizeof(link), "%s/%s", dir, places[i]);
		rig_link(r->dirfd, "/etc", link);
		rig_spec(r, &s);
		fds[0] = r->layer_fd;
		fds[1] = openat(r->dirfd, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		mkdirat(r->dirfd, "upper2", 0755); /* fresh ones: a directory made by the last round would hide the link */
		mkdirat(r->dirfd, "work2", 0755);
		s.layer_fds = fds;
		s.n_layers = 2;
		s.upper_fd = openat(r->dirfd, "upper2", O_PATH | O_DIRECTORY | O_CLOEXEC);
		s.work_fd = openat(r->dirfd, "work2", O_PATH | O_DIRECTORY | O_CLOEXEC);
		fails(r, &s, "true", ERR_INVALID, "of the image is not a directory");
		close(fds[1]);
		close(s.upper_fd);
		close(s.work_fd);
		CHECK(fs_remove_tree(r->dirfd, "upper2", NULL) == 0 && fs_remove_tree(r->dirfd, "work2", NULL) == 0, "remove");
	}
}

/* Volumes appear where they are asked for, outer before inner, and no symlink of the image leads a mount outside of its root. */
static void test_mounts(struct rig *r)
{
	struct container_mount m[5] = {
		{ .kind = CONTAINER_MOUNT_BIND, .target = "/data/inner", .read_only = true },
		{ .kind = CONTAINER_MOUNT_BIND, .target = "/data" },
		{ .kind = CONTAINER_MOUNT_TMPFS, .target = "/scratch", .size_bytes = 1 << 20, .source_fd = -1 },
		{ .kind = CONTAINER_MOUNT_BIND, .target = "/escape/file" },
		{ .kind = CONTAINER_MOUNT_BIND, .target = "/dangling" },
	};
	struct container_spec s;
	struct stat st;
	mkdirat(r->dirfd, "outer", 0755);
	mkdirat(r->dirfd, "outer/inner", 0755);
	mkdirat(r->dirfd, "in", 0755);
	rig_file(r->dirfd, "in/inside", "inside", 0644);
	rig_file(r->dirfd, "file", "content", 0644);
	rig_link(r->dirfd, "../../../../../../tmp/muster-escape", "layer/escape");
	rig_link(r->dirfd, "/not/there", "layer/dangling");
	rig_spec(r, &s);
	m[0].source_fd = openat(r->dirfd, "in", O_PATH | O_CLOEXEC);
	m[1].source_fd = openat(r->dirfd, "outer", O_PATH | O_CLOEXEC);
	m[3].source_fd = m[4].source_fd = s.hosts_fd = s.hostname_fd = s.resolv_fd = openat(r->dirfd, "file", O_PATH | O_CLOEXEC);
	s.mounts = m;
	s.n_mounts = ARRAY_SIZE(m);
	CHECK(rig_sh(r, &s,
		      "cat /data/inner/inside /tmp/muster-escape/file /not/there /etc/hosts /etc/hostname "
		      "/etc/resolv.conf; touch /data/new; touch /data/inner/new;"
		      "dd if=/dev/zero of=/scratch/x bs=1M count=2 2>&1 | grep -c 'No space'") == 0,
		"%s", str_get(&r->out));
	CHECK(says(r, "insidecontentcontentcontentcontentcontent") && says(r, "Read-only file system") && says(r, "1\n"), "%s",
		str_get(&r->out));
	CHECK(fstatat(r->dirfd, "outer/new", &st, 0) == 0 && fstatat(r->dirfd, "in/new", &st, 0) < 0, "volumes");
	CHECK(lstat("/tmp/muster-escape", &st) < 0 && lstat("/not", &st) < 0, "a mount target left the root");
	s.n_mounts = 1;
	m[0].target = "/proc/sys";
	fails(r, &s, "true", ERR_DENIED, "is inside /proc");
	m[0].target = "/tmp/..";
	fails(r, &s, "true", ERR_INVALID, "is the root itself");
	m[0].target = "/etc/passwd";
	fails(r, &s, "true", ERR_INVALID, "is not a directory");
	m[0].target = "relative";
	fails(r, &s, "true", ERR_INVALID, "is not absolute");
	close(m[0].source_fd);
	close(m[1].source_fd);
	close(s.hosts_fd);
}

/* The init reaps orphans, passes signals on, and ends as its command did; a command that is missing is still found out before it runs. */
static void test_init(struct rig *r)
{
	struct container_spec s;
	struct err err = { 0 };
	AUTO_CLOSE int binary = proc_seal_binary("/proc/self/exe", &err);
	struct container_mount libs[] = {
		{ .kind = CONTAINER_MOUNT_BIND, .target = "/lib", .read_only = true, .source_fd = open("/lib", O_PATH | O_CLOEXEC) },
		{ .kind = CONTAINER_MOUNT_BIND, .target = "/lib64", .read_only = true, .source_fd = open("/lib64", O_PATH | O_CLOEXEC) },
		{ .kind = CONTAINER_MOUNT_BIND,
			.target = "/usr/lib",
			.read_only = true,
			.source_fd = open("/usr/lib", O_PATH | O_CLOEXEC) },
	};
	struct container_proc p;
	char *const argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
		(char *)(uintptr_t) "trap 'exit 7' USR1; while :; do sleep 0.05; done", NULL };
	int status;
	CHECK(binary >= 0, "%s", err.msg);
	rig_spec(r, &s);
	s.init = true;
	s.init_fd = binary;
	s.mounts = libs;
	s.n_mounts = ARRAY_SIZE(libs);
	s.user = "web";
	CHECK(rig_sh(r, &s, "(sleep 0.1 &) ; sleep 0.3; ps -o pid,stat,args; exit 3") == 3, "exit code: %s", str_get(&r->out));
	CHECK(says(r, INIT_NAME) && !says(r, "Z"), "zombies or no init: %s", str_get(&r->out));
	CHECK(rig_sh(r, &s, "kill -9 $$") == 137, "a signal's exit code");
	fails(r, &s, "nosuchcmd", ERR_NO_COMMAND, "executable file not found");
	s.argv = argv;
	CHECK(container_spawn(&s, &p, &err) == 0 && container_go(&p, &err) == 0 && rig_wait_started(&p, &err) == 0, "%s", err.msg);
	usleep(200000);
	proc_pidfd_signal(p.pidfd, SIGUSR1);
	waitpid(p.pid, &status, 0);
	CHECK(proc_exit_code(status) == 7, "the signal was not passed on: %d", proc_exit_code(status));
	container_proc_done(&p);
	for (size_t i = 0; i < ARRAY_SIZE(libs); i++)
		close(libs[i].source_fd);
}

/* A pty of the container's own devpts: controlling terminal, size, Ctrl+C, /dev/console; nothing of the host's terminal. */
static void test_tty(struct rig *r)
{
	struct container_spec s;
	struct container_proc p;
	struct err err = { 0 };
	char *script =
		(char *)(uintptr_t) "trap 'exit 42' INT; tty; stty size; ls -l /dev/console; echo $TERM; while :; do sleep 0.05; done";
	char *const argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", script, NULL };
	char buf[4096];
	size_t at = 0;
	int status;
	rig_spec(r, &s);
	s.tty = true;
	s.tty_rows = 33;
	s.tty_cols = 77;
	s.user = "web";
	s.argv = argv;
	CHECK(container_spawn(&s, &p, &err) == 0 && container_go(&p, &err) == 0 && rig_wait_started(&p, &err) == 0, "%s", err.msg);
	CHECK(p.console_fd >= 0, "no console");
	while (at < sizeof(buf) - 1 && !(at && strstr(buf, "xterm"))) {
		ssize_t n = read(p.console_fd, buf + at, sizeof(buf) - 1 - at);
		CHECK(n > 0, "the pty closed early");
		at += (size_t)n;
		buf[at] = '\0';
	}
	CHECK(strstr(buf, "/dev/pts/0") && strstr(buf, "33 77") && strstr(buf, "136,   0"), "%s", buf);
	CHECK(write(p.console_fd, "\003", 1) == 1, "write");
	waitpid(p.pid, &status, 0);
	CHECK(proc_exit_code(status) == 42, "Ctrl+C: %d", proc_exit_code(status));
	container_proc_done(&p);
}

static int compare_text(const char *path, struct str *before)
{
	AUTO_STR struct str now = { 0 };
	CHECK(fs_read(AT_FDCWD, path, 1 << 24, &now, NULL) == 0, "%s", path);
	if (!before->p) {
		*before = now;
		now = (struct str){ 0 };
		return 0;
	}
	return strcmp(before->p, now.p);
}

/* Nothing runs before go; the network namespace is there at once; whoever dies on the way, parent or child, leaves no process and no
 * mount. */
static void test_every_arrow(struct rig *r)
{
	char *const argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "echo ran > /mark; sleep 30", NULL };
	struct str mounts = { 0 };
	struct container_spec s;
	struct container_proc p;
	struct err err = { 0 };
	struct stat own, net;
	rig_spec(r, &s);
	s.argv = argv;
	compare_text("/proc/self/mountinfo", &mounts);
	CHECK(container_spawn(&s, &p, &err) == 0, "%s", err.msg);
	CHECK(fstat(container_netns_fd(&p), &net) == 0 && stat("/proc/self/ns/net", &own) == 0 && net.st_ino != own.st_ino,
		"network namespace");
	CHECK(proc_is(p.pid, p.start_ticks), "start time");
	while (!p.prepared)
		CHECK(container_progress(&p, &err) >= 0, "%s", err.msg);
	usleep(20000);
	CHECK(fstatat(r->dirfd, "upper/mark", &own, 0) < 0, "it ran before go");
	container_release_netns(&p);
	CHECK(kill(p.pid, SIGKILL) == 0 && rig_wait_started(&p, &err) == -1 && strstr(err.msg, "killed before its start"), "%s", err.msg);
	for (int step = 0; step < 12; step++) { /* the parent dies at different moments */
		int pipefd[2], status;
		pid_t parent, child = 0;
		uint64_t ticks = 0;
		CHECK(pipe2(pipefd, O_CLOEXEC) == 0, "pipe");
		parent = fork();
		if (parent == 0) {
			if (container_spawn(&s, &p, &err) < 0 || write(pipefd[1], &p.pid, sizeof(p.pid)) != sizeof(p.pid) ||
				write(pipefd[1], &p.start_ticks, sizeof(p.start_ticks)) != sizeof(p.start_ticks))
				_exit(1);
			for (struct err e; step > 8 && !p.prepared;)
				container_progress(&p, &e);
			usleep((useconds_t)step * 150);
			_exit(0);
		}
		CHECK(read(pipefd[0], &child, sizeof(child)) == sizeof(child) && read(pipefd[0], &ticks, sizeof(ticks)) == sizeof(ticks),
			"spawn in a child");
		waitpid(parent, &status, 0);
		for (int i = 0; i < 200 && proc_is(child, ticks); i++)
			usleep(10000);
		CHECK(!proc_is(child, ticks), "step %d: the child outlived its parent", step);
		close(pipefd[0]);
		close(pipefd[1]);
	}
	CHECK(fstatat(r->dirfd, "upper/mark", &own, 0) < 0, "it ran before go");
	CHECK(compare_text("/proc/self/mountinfo", &mounts) == 0, "mounts are left on the host");
	str_done(&mounts);
}

/* Network namespaces: a new one with docker's sysctls, the caller's own, or another container's; resource limits as documented. */
static void test_networks_and_limits(struct rig *r)
{
	static const struct container_rlimit limits[] = { { RLIMIT_NOFILE, 100, 200 }, { RLIMIT_CORE, 0, 0 } };
	char *const argv[] = { (char *)(uintptr_t) "sleep", (char *)(uintptr_t) "30", NULL };
	struct container_spec s;
	struct container_proc p;
	struct err err = { 0 };
	struct rlimit own;
	struct stat st;
	char want[64];
	rig_spec(r, &s);
	CHECK(getrlimit(RLIMIT_NOFILE, &own) == 0, "getrlimit");
	CHECK(rig_sh(r, &s, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range; ulimit -n; ulimit -Hn") == 0,
		"%s", str_get(&r->out));
	snprintf(want, sizeof(want), "0\n0\t2147483647\n%llu\n",
		(unsigned long long)(own.rlim_max < CONTAINER_DEFAULT_NOFILE ? own.rlim_max : CONTAINER_DEFAULT_NOFILE));
	CHECK(says(r, want), "%s", str_get(&r->out));
	s.rlimits = limits;
	s.n_rlimits = ARRAY_SIZE(limits);
	CHECK(rig_sh(r, &s, "ulimit -n; ulimit -Hn; ulimit -c") == 0 && says(r, "100\n200\n0\n"), "%s", str_get(&r->out));
	s.host_network = true;
	CHECK(stat("/proc/self/ns/net", &st) == 0 && rig_sh(r, &s, "readlink /proc/self/ns/net") == 0, "host network");
	snprintf(want, sizeof(want), "net:[%llu]\n", (unsigned long long)st.st_ino);
	CHECK(says(r, want), "%s", str_get(&r->out));
	s.host_network = false;
	s.argv = argv;
	CHECK(container_spawn(&s, &p, &err) == 0 && container_go(&p, &err) == 0 && rig_wait_started(&p, &err) == 0, "%s", err.msg);
	s.join_netns_fd = container_netns_fd(&p);
	CHECK(fstat(s.join_netns_fd, &st) == 0 && rig_sh(r, &s, "readlink /proc/self/ns/net; ls /sys/class/net") == 0, "%s", str_get(&r->out));
	snprintf(want, sizeof(want), "net:[%llu]\nlo\n", (unsigned long long)st.st_ino);
	CHECK(says(r, want), "%s", str_get(&r->out));
	container_discard(&p);
}

/* As the entrypoint: a program that tries to overwrite the binary that started it, by the descriptor it was run from (CVE-2019-5736). */
static int attack(void)
{
	int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	dup2(fd, 9);
	execl("/bin/sh", "sh", "-c", "sleep 0.1; echo pwned > /proc/self/fd/9 && echo WROTE || echo REFUSED", (char *)NULL);
	return 1;
}

static void test_self_exe(struct rig *r)
{
	struct container_mount libs[] = {
		{ .kind = CONTAINER_MOUNT_BIND, .target = "/lib", .read_only = true, .source_fd = open("/lib", O_PATH | O_CLOEXEC) },
		{ .kind = CONTAINER_MOUNT_BIND, .target = "/lib64", .read_only = true, .source_fd = open("/lib64", O_PATH | O_CLOEXEC) },
		{ .kind = CONTAINER_MOUNT_BIND,
			.target = "/usr/lib",
			.read_only = true,
			.source_fd = open("/usr/lib", O_PATH | O_CLOEXEC) },
	};
	char *const argv[] = { (char *)(uintptr_t) "/proc/self/exe", (char *)(uintptr_t) "attack", NULL };
	AUTO_STR struct str before = { 0 }, after = { 0 };
	struct container_spec s;
	struct err err = { 0 };
	CHECK(fs_read(AT_FDCWD, "/proc/self/exe", 1 << 28, &before, &err) == 0, "%s", err.msg);
	rig_spec(r, &s);
	s.mounts = libs;
	s.n_mounts = ARRAY_SIZE(libs);
	s.argv = argv;
	CHECK(rig_run(r, &s, &err) == 0 && says(r, "REFUSED") && !says(r, "WROTE"), "%s %s", err.msg, str_get(&r->out));
	CHECK(fs_read(AT_FDCWD, "/proc/self/exe", 1 << 28, &after, &err) == 0 && after.len == before.len &&
			memcmp(after.p, before.p, after.len) == 0,
		"overwritten");
	for (size_t i = 0; i < ARRAY_SIZE(libs); i++)
		close(libs[i].source_fd);
}

static void test_probes(struct rig *r)
{
	struct err err = { 0 };
	AUTO_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY);
	CHECK(probe_kernel(&err) == 0 && probe_overlay(r->dirfd, &err) == 0, "%s", err.msg);
	CHECK(probe_overlay(proc, &err) == -1, "an overlay on /proc");
}

int main(int argc, char **argv)
{
	struct rig r;
	struct seccomp_program program = { 0 };
	struct err err = { 0 };
	int binary;
	if (strcmp(argv[0], INIT_NAME) == 0)
		return init_main(argc, argv);
	if (argc > 1 && strcmp(argv[1], "attack") == 0)
		return attack();
	if (argc == 1) { /* everything runs from a sealed copy, as muster-run does */
		binary = proc_seal_binary("/proc/self/exe", &err);
		CHECK(binary >= 0, "%s", err.msg);
		fexecve(binary, (char *const[]){ argv[0], (char *)(uintptr_t) "sealed", NULL }, environ);
		CHECK(false, "fexecve: %s", strerror(errno));
	}
	rig_init(&r);
	CHECK(seccomp_default(-1, CONTAINER_DEFAULT_CAPS, &program, &err) == 0, "%s", err.msg);
	test_probes(&r);
	test_first_instruction(&r, &program);
	test_confined(&r, &program);
	test_users(&r);
	test_failures(&r);
	test_symlinked_places(&r);
	test_mounts(&r);
	test_init(&r);
	test_tty(&r);
	test_every_arrow(&r);
	test_networks_and_limits(&r);
	test_self_exe(&r);
	seccomp_done(&program);
	rig_done(&r);
	return 0;
}
