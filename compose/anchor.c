/* SPDX-License-Identifier: Apache-2.0 */
/* The anchor process. It knows nothing of containers: it starts three children from the sealed binary and starts them again when they die,
 * reaps orphans (noting their status in <run>/<project>/exits before the zombie goes), and keeps descriptors under names.
 *
 * A command of another build has everything replaced: the children end, and the anchor goes on as the new binary, the same process with all
 * that it keeps. The containers are its children in between.
 *
 * When the anchor itself dies, the supervisor, which is the containers' parent, goes on as the anchor: anchor_main() finds children then.
 *
 * Invariants: nothing is allocated after anchor_setup(); an exit is noted before it is reaped, so that a kill between the two repeats the
 * note instead of losing it; the project's lock is held from before the first child to after the run directory is gone; both ends of the
 * log and DNS sockets stay open here, so a restart of either side loses no packet. */
#include "compose/anchor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/sock.h"
#include "compose/own.h"
#include "runtime/logs_holder.h"

enum { MAX_KEPT = 8192, SPARE_FD = 100, OTHERS_MS = 50 };
enum child_kind { CHILD_SUPERVISE, CHILD_LOGS, CHILD_DNS, CHILD_N_ };

struct child {
	pid_t pid;             /* 0: not running */
	uint64_t started_ns, due_ns, delay_ms;
};

struct kept {
	int fd;                /* -1: free, as are all from n_kept on, which are never touched: 400 KB of memory */
	char key[ANCHOR_KEY_BYTES];
};

struct anchor {
	const char *project, *rootid, *origin;
	int root_fd, run_fd, project_run_fd, binary_fd, lock_fd, exits_fd, signal_fd, ready_fd;
	int store_fd;          /* our end; one pair per supervisor */
	int logs[2], dns[2];   /* [0] supervisor's end */
	struct child children[CHILD_N_];
	struct kept *kept;     /* MAX_KEPT of them */
	int n_kept;            /* entries in use lie in [0, n_kept) */
	int first_free;        /* there is no free one before it */
	bool joined;           /* our own cgroup */
	bool finish, keep;     /* keep: containers may still need the run directory */
};

static const char *const child_names[CHILD_N_] = { [CHILD_SUPERVISE] = "supervise", [CHILD_LOGS] = "logs", [CHILD_DNS] = "dns" };

/* Puts from[i] at descriptor i + 3 for each i, without close-on-exec; everything else above 2 is closed. */
static void place_descriptors(const int from[ANCHOR_FD_N_])
{
	int high[ANCHOR_FD_N_];
	for (int i = ANCHOR_FD_BINARY; i < ANCHOR_FD_N_; i++)
		high[i] = from[i] < 0 ? -1 : fcntl(from[i], F_DUPFD, SPARE_FD);
	for (int i = ANCHOR_FD_BINARY; i < ANCHOR_FD_N_; i++) {
		close(i);
		if (high[i] >= 0)
			dup2(high[i], i);
		else
			open("/dev/null", O_RDWR); /* gets number i: a free one would go to the first file that the child opens */
	}
	proc_close_from(ANCHOR_FD_N_, NULL, 0);
}

static void child_exec(const struct anchor *a, enum child_kind kind, int store_end)
{
	const char *argv[] = { "muster-run", child_names[kind], a->project, a->rootid, NULL };
	const char *envp[] = { NULL };
	int from[ANCHOR_FD_N_];
	close(a->lock_fd);
	memset(from, -1, sizeof(from));
	from[ANCHOR_FD_BINARY] = a->binary_fd;
	from[ANCHOR_FD_RUN] = a->run_fd;
	if (kind != CHILD_DNS)
		from[ANCHOR_FD_ROOT] = a->root_fd;
	from[ANCHOR_FD_STORE] = store_end;
	if (kind != CHILD_DNS)
		from[ANCHOR_FD_LOGS] = a->logs[kind == CHILD_LOGS];
	if (kind != CHILD_LOGS)
		from[ANCHOR_FD_DNS] = a->dns[kind == CHILD_DNS];
	if (kind == CHILD_SUPERVISE)
		from[ANCHOR_FD_READY] = a->ready_fd;
	proc_reset_signals();
	place_descriptors(from);
	failpoint("anchor.child.exec");
	fexecve(ANCHOR_FD_BINARY, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
	_exit(126);
}

static void child_start(struct anchor *a, enum child_kind kind)
{
	struct child *c = &a->children[kind];
	int pair[2] = { -1, -1 };
	struct err err = {0};
	c->started_ns = clock_mono_ns();
	c->due_ns = c->started_ns + 1000000000; /* when it fails */
	if (kind == CHILD_SUPERVISE) {
		util_close(&a->store_fd);
		if (sock_pair(SOCK_SEQPACKET, pair, &err) < 0) {
			log_warn("%s", err.msg);
			return;
		}
		a->store_fd = pair[0];
	}
	c->pid = failpoint("anchor.fork") < 0 ? -1 : fork();
	if (c->pid == 0)
		child_exec(a, kind, pair[1]);
	if (c->pid < 0)
		log_warn("fork: %s", strerror(errno));
	c->pid = MAX(c->pid, 0);
	util_close(&pair[1]);
	failpoint("anchor.forked");
	if (kind == CHILD_SUPERVISE && c->pid)
		util_close(&a->ready_fd);
}

/* One of ours has ended: the supervisor with 0 means that the project is gone; anything else is started again, with a growing pause when it keeps dying. */
static void child_ended(struct anchor *a, enum child_kind kind, int wstatus)
{
	struct child *c = &a->children[kind];
	uint64_t now = clock_mono_ns();
	c->pid = 0;
	failpoint("anchor.child.ended");
	if (kind == CHILD_SUPERVISE && WIFEXITED(wstatus) && (WEXITSTATUS(wstatus) == 0 || WEXITSTATUS(wstatus) == ANCHOR_GIVE_UP)) {
		a->finish = true;
		a->keep = WEXITSTATUS(wstatus) != 0 && faccessat(a->project_run_fd, "c", F_OK, 0) == 0;
		return;
	}
	log_warn("%s ended with status %d, starting it again", child_names[kind], proc_exit_code(wstatus));
	c->delay_ms = now - c->started_ns > 1000000000 ? 0 : c->delay_ms ? MIN(c->delay_ms * 2, (uint64_t)5000) : 5;
	c->due_ns = now + c->delay_ms * 1000000;
}

static void note_exit(struct anchor *a, pid_t pid, int wstatus)
{
	struct anchor_packet p = { .op = ANCHOR_EXIT, .exit = { .pid = pid, .time_ns = clock_real_ns(), .wstatus = wstatus } };
	proc_start_time(pid, &p.exit.pid_ticks);
	if (failpoint("anchor.exit") < 0 || fs_write_all(a->exits_fd, &p.exit, sizeof(p.exit), NULL) < 0)
		log_warn("exit of %d not noted: %s", (int)pid, strerror(errno));
	if (a->store_fd >= 0)
		send(a->store_fd, &p, sizeof(p), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void reap(struct anchor *a)
{
	for (;;) {
		siginfo_t si = {0};
		enum child_kind kind = CHILD_N_;
		int wstatus;
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0)
			return;
		wstatus = si.si_code == CLD_EXITED ? (si.si_status & 0xff) << 8 : si.si_status & 0x7f;
		for (int k = 0; k < CHILD_N_; k++)
			if (a->children[k].pid == si.si_pid)
				kind = (enum child_kind)k;
		if (kind == CHILD_N_)
			note_exit(a, si.si_pid, wstatus);
		failpoint("anchor.exit.noted");
		waitid(P_PID, (id_t)si.si_pid, &si, WEXITED | WNOHANG);
		if (kind != CHILD_N_)
			child_ended(a, kind, wstatus);
	}
}

/* A pattern is a key, or the beginning of keys and a star. */
static void store_drop(struct anchor *a, const char *pattern)
{
	size_t n = strlen(pattern);
	bool begins = n && pattern[n - 1] == '*';
	n = begins ? n - 1 : n + 1; /* else with its end */
	for (int i = 0; i < a->n_kept; i++)
		if (a->kept[i].fd >= 0 && memcmp(a->kept[i].key, pattern, n) == 0) {
			util_close(&a->kept[i].fd);
			a->first_free = MIN(a->first_free, i);
		}
	while (a->n_kept && a->kept[a->n_kept - 1].fd < 0)
		a->n_kept--;
}

static void store_put(struct anchor *a, const char *key, int fd)
{
	int i;
	store_drop(a, key);
	i = MIN(a->first_free, a->n_kept);
	while (i < a->n_kept && a->kept[i].fd >= 0)
		i++;
	a->first_free = i;
	if (i == MAX_KEPT) {
		log_warn("no room to keep descriptor %s", key);
		close(fd);
		return;
	}
	a->kept[i].fd = fd;
	memcpy(a->kept[i].key, key, ANCHOR_KEY_BYTES);
	a->n_kept = MAX(a->n_kept, i + 1);
}

/* The supervisor is what a command waits for, and its first question comes when it is about to listen: until then it has the processors for
 * itself. What it tells the other two meanwhile waits in their sockets. */
static void start_others(struct anchor *a)
{
	for (int k = 0; k < CHILD_N_; k++)
		if (!a->children[k].started_ns)
			a->children[k].due_ns = 0;
}

/* Sends what is kept (all or nothing of it), then the end. */
static void store_list(struct anchor *a, bool all)
{
	struct anchor_packet p = { .op = ANCHOR_ENTRY };
	for (int i = 0; all && i < a->n_kept; i++) {
		if (a->kept[i].fd < 0)
			continue;
		memcpy(p.key, a->kept[i].key, ANCHOR_KEY_BYTES);
		failpoint("anchor.list");
		if (sock_send(a->store_fd, &p, sizeof(p), &a->kept[i].fd, 1, NULL) != 0)
			return;
	}
	p = (struct anchor_packet){ .op = ANCHOR_END };
	sock_send(a->store_fd, &p, sizeof(p), NULL, 0, NULL);
	start_others(a);
}

/* The lock file tells who holds it and what the sealed binary was made from. */
static void write_holder(const struct anchor *a, const char *origin)
{
	if (ftruncate(a->lock_fd, 0) < 0 || lseek(a->lock_fd, 0, SEEK_SET) < 0 || dprintf(a->lock_fd, "%d %s\n", (int)getpid(), origin) < 0)
		log_warn("anchor.lock: %s", strerror(errno));
}

/* The descriptors that are kept, as anchor_inherit() reads them; above all fixed numbers and open for what follows. */
static int kept_list(const struct anchor *a)
{
	int list_fd = memfd_create("muster-handover", MFD_CLOEXEC);
	for (int i = 0; list_fd >= 0 && i < a->n_kept; i++) {
		struct anchor_handover h = { .fd = a->kept[i].fd < 0 ? -1 : fcntl(a->kept[i].fd, F_DUPFD, SPARE_FD) };
		memcpy(h.key, a->kept[i].key, sizeof(h.key));
		if (h.fd >= 0 && fs_write_all(list_fd, &h, sizeof(h), NULL) < 0)
			log_warn("descriptor %s is lost", h.key);
	}
	if (list_fd >= 0)
		lseek(list_fd, 0, SEEK_SET);
	return list_fd;
}

/* Ends the children and becomes binary_fd, which was made from origin. Returns when that cannot be: then the children are started again. */
static void renew(struct anchor *a, int binary_fd, const char *origin)
{
	const char *argv[] = { "muster-run", "anchor", a->project, a->rootid, ANCHOR_SAME_ORIGIN, NULL };
	const char *envp[] = { NULL };
	int seals = fcntl(binary_fd, F_GET_SEALS), list_fd, list_high, lock_high, binary_high;
	if (seals < 0 || !(seals & F_SEAL_WRITE)) {
		log_warn("the binary of another build is not sealed: refused");
		return;
	}
	log_warn("another build is installed: going on as that one");
	for (int k = 0; k < CHILD_N_; k++)
		if (a->children[k].pid) {
			kill(a->children[k].pid, SIGKILL);
			waitpid(a->children[k].pid, NULL, 0);
			a->children[k].pid = 0;
		}
	util_close(&a->store_fd);
	failpoint("anchor.renew");
	list_fd = kept_list(a);
	list_high = list_fd < 0 ? -1 : fcntl(list_fd, F_DUPFD_CLOEXEC, SPARE_FD);
	lock_high = fcntl(a->lock_fd, F_DUPFD_CLOEXEC, SPARE_FD);
	binary_high = fcntl(binary_fd, F_DUPFD_CLOEXEC, SPARE_FD);
	if (list_high < 0 || lock_high < 0 || binary_high < 0)
		return;
	write_holder(a, origin);
	dup2(binary_high, ANCHOR_FD_BINARY);
	dup2(lock_high, ANCHOR_FD_STORE);
	dup2(list_high, ANCHOR_FD_READY);
	for (int fd = ANCHOR_FD_ROOT; fd <= ANCHOR_FD_RUN; fd++)
		fcntl(fd, F_SETFD, 0);
	proc_reset_signals();
	fexecve(ANCHOR_FD_BINARY, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
	log_warn("exec of another build: %s", strerror(errno));
	_exit(1); /* descriptors are not where they were; the next command starts everything and adopts what runs */
}

/* One packet of the supervisor; false when it has gone. */
static bool store_serve(struct anchor *a)
{
	struct anchor_packet p;
	int fds[1];
	size_t n_fds = 1;
	ssize_t n = sock_recv(a->store_fd, &p, sizeof(p), fds, &n_fds, NULL);
	if (n <= 0)
		return n == -EAGAIN;
	if ((size_t)n != sizeof(p)) {
		if (n_fds)
			close(fds[0]);
		return true;
	}
	p.key[ANCHOR_KEY_BYTES - 1] = '\0';
	failpoint("anchor.packet");
	if (p.op == ANCHOR_PUT && n_fds) {
		store_put(a, p.key, fds[0]);
	} else if (p.op == ANCHOR_RENEW && n_fds) {
		p.origin[ANCHOR_ORIGIN_BYTES - 1] = '\0';
		renew(a, fds[0], p.origin);
		close(fds[0]);
		return a->store_fd >= 0;
	} else if (n_fds) {
		close(fds[0]);
	}
	if (p.op == ANCHOR_DROP)
		store_drop(a, p.key);
	else if (p.op == ANCHOR_LIST || p.op == ANCHOR_SYNC)
		store_list(a, p.op == ANCHOR_LIST);
	return true;
}

/* Takes every packet that waits; closes our end once the supervisor's is closed (its death follows as SIGCHLD). */
static void store_drain(struct anchor *a)
{
	struct pollfd p = { .fd = a->store_fd, .events = POLLIN };
	while (poll(&p, 1, 0) > 0)
		if (!store_serve(a)) {
			util_close(&a->store_fd);
			return;
		}
}

/* A supervisor that takes its dead anchor's place leaves the lock where its socket was, and a list of the descriptors to keep instead of a
 * pipe. 0, or as anchor_lock(). */
static int anchor_inherit(struct anchor *a, struct err *err)
{
	struct anchor_handover h;
	struct stat st;
	if (fstat(ANCHOR_FD_STORE, &st) < 0 || !S_ISREG(st.st_mode))
		return anchor_lock(a->run_fd, a->project, a->ready_fd, &a->project_run_fd, &a->lock_fd, err);
	a->ready_fd = -1;
	a->lock_fd = ANCHOR_FD_STORE;
	while (a->n_kept < MAX_KEPT && read(ANCHOR_FD_READY, &h, sizeof(h)) == sizeof(h)) {
		a->kept[a->n_kept].fd = h.fd;
		memcpy(a->kept[a->n_kept++].key, h.key, sizeof(h.key));
	}
	close(ANCHOR_FD_READY);
	a->project_run_fd = fs_open_dir(a->run_fd, a->project, err);
	return a->project_run_fd < 0 ? -1 : 0;
}

static void note_holder(const struct anchor *a)
{
	char old[128] = "", origin[ANCHOR_ORIGIN_BYTES];
	ssize_t n = pread(a->lock_fd, old, sizeof(old) - 1, 0);
	snprintf(origin, sizeof(origin), "%s", a->origin);
	if (n > 0 && strcmp(a->origin, ANCHOR_SAME_ORIGIN) == 0)
		sscanf(old, "%*d %95s", origin);
	write_holder(a, origin);
}

static int anchor_setup(struct anchor *a, struct err *err)
{
	sigset_t mask;
	int log_fd, rc = own_hold_run(a->run_fd, err) < 0 ? -1 : anchor_inherit(a, err);
	if (rc != 0)
		return rc;
	log_fd = openat(a->project_run_fd, "muster.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log_fd >= 0) {
		dup2(log_fd, 2);
		close(log_fd);
	}
	log_init("anchor", 2);
	note_holder(a);
	if (failpoint_err("anchor.locked", err) < 0)
		return -1;
	a->joined = true; /* wholly or in part */
	if (own_join(a->rootid, a->project, err) < 0 || failpoint_err("anchor.cgroup", err) < 0)
		return -1;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return err_sys(err, errno, "prctl(PR_SET_CHILD_SUBREAPER)");
	a->exits_fd = openat(a->project_run_fd, "exits", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (a->exits_fd < 0)
		return err_sys(err, errno, "open the exit notes");
	if (sock_pair(SOCK_SEQPACKET, a->logs, err) < 0 || sock_pair(SOCK_SEQPACKET, a->dns, err) < 0)
		return -1;
	sigfillset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	a->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (a->signal_fd < 0)
		return err_sys(err, errno, "signalfd");
	return 0;
}

/* Starts what is due; returns the milliseconds until the next one, -1 when none waits. */
static int start_due(struct anchor *a)
{
	int wait_ms = -1;
	for (int k = 0; k < CHILD_N_; k++) {
		struct child *c = &a->children[k];
		uint64_t now = clock_mono_ns();
		if (!c->pid && c->due_ns <= now)
			child_start(a, (enum child_kind)k);
		if (!c->pid) {
			int due_ms = (int)((c->due_ns - now) / 1000000) + 1;
			wait_ms = wait_ms < 0 ? due_ms : MIN(wait_ms, due_ms);
		}
	}
	return wait_ms;
}

static int remove_but_lock(void *arg, const char *name)
{
	if (strcmp(name, "anchor.lock") != 0)
		fs_remove_tree(*(const int *)arg, name, NULL);
	return 0;
}

/* The lock goes after everything else that it guards: the moment it is gone, a new anchor may be at work in the directory, which then stays. */
static void remove_run_directory(struct anchor *a)
{
	fs_each(a->project_run_fd, ".", remove_but_lock, &a->project_run_fd, NULL);
	unlinkat(a->project_run_fd, "anchor.lock", 0);
	failpoint("anchor.unlocked");
	unlinkat(a->run_fd, a->project, AT_REMOVEDIR);
}

static void anchor_end(struct anchor *a)
{
	failpoint("anchor.end");
	for (int k = 0; k < CHILD_N_; k++)
		if (a->children[k].pid && !(a->keep && k == CHILD_LOGS)) { /* what runs on writes on */
			kill(a->children[k].pid, SIGKILL);
			waitpid(a->children[k].pid, NULL, 0);
		}
	if (!a->keep)
		logs_holder_kill(a->project_run_fd);
	own_leave(a->rootid, a->project, a->keep);
	failpoint("anchor.left");
	if (!a->keep)
		remove_run_directory(a);
	failpoint("anchor.removed");
	own_leave_run(a->run_fd);
}

int anchor_main(const char *project, const char *rootid, const char *origin)
{
	static struct kept slots[MAX_KEPT];
	static struct anchor a;
	struct err err = {0};
	int rc;
	a = (struct anchor){ .project = project, .rootid = rootid, .origin = origin, .root_fd = ANCHOR_FD_ROOT, .run_fd = ANCHOR_FD_RUN,
			     .binary_fd = ANCHOR_FD_BINARY, .ready_fd = ANCHOR_FD_READY, .lock_fd = -1, .project_run_fd = -1, .exits_fd = -1,
			     .store_fd = -1, .kept = slots };
	proc_cloexec_from(3);
	rc = anchor_setup(&a, &err);
	if (rc != 0) {
		if (rc < 0)
			log_warn("%s", err.msg);
		if (a.joined)
			own_leave(rootid, project, true);
		return rc < 0;
	}
	reap(&a);
	for (int k = CHILD_SUPERVISE + 1; k < CHILD_N_; k++)
		a.children[k].due_ns = clock_mono_ns() + (uint64_t)OTHERS_MS * 1000000;
	while (!a.finish) {
		int wait_ms = start_due(&a);
		struct pollfd p[2] = { { .fd = a.signal_fd, .events = POLLIN }, { .fd = a.store_fd, .events = POLLIN } };
		struct signalfd_siginfo si;
		if (poll(p, 2, wait_ms) < 0 && errno != EINTR)
			return 1;
		if (p[1].revents)
			store_drain(&a);
		while (read(a.signal_fd, &si, sizeof(si)) == sizeof(si))
			;
		reap(&a);
	}
	anchor_end(&a);
	return 0;
}
