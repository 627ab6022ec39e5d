/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a container: a stop with its grace period, the exit and what it leaves, the restart policy, removal.
 *
 * An exit is looked at without reaping, recorded, then reaped; "exited" is said only when the log process has drained the FIFOs. What an
 * operation wants of a container that is just ending (start it, remove it) is done right after. */
#include "compose/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "volumes/volume.h"

enum { BACKOFF_MIN_MS = 100, BACKOFF_MAX_MS = 60000, STABLE_NS_PER_S = 1000000000, STABLE_S = 10, DRAIN_TIMEOUT_MS = 5000 };

/* ---- exit ---- */

static void unit_pidfd_ready(struct loop_source *s, uint32_t events)
{
	struct unit *u = CONTAINER_OF(s, struct unit, exit);
	siginfo_t si = {0};
	(void)events;
	loop_remove(s);
	if (u->adopted) {
		unit_await_status(u);
		return;
	}
	if (waitid(P_PIDFD, (id_t)u->proc.pidfd, &si, WEXITED | WNOWAIT | WNOHANG) < 0 || si.si_pid == 0) {
		log_warn("%s: waitid: %s", u->rec->name, strerror(errno));
		unit_ended(u, -1, clock_real_ns());
		return;
	}
	unit_ended(u, si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status, clock_real_ns());
}

void unit_watch_exit(struct unit *u)
{
	struct err err = {0};
	if (loop_add(&u->sv->loop, &u->exit, u->proc.pidfd, EPOLLIN, unit_pidfd_ready, &err) < 0)
		log_warn("%s: %s", u->rec->name, err.msg);
}

static void drain_timeout(struct loop_timer *t)
{
	struct unit *u = CONTAINER_OF(t, struct unit, timer);
	log_warn("%s: the log process does not answer", u->rec->name);
	unit_log_drained(u);
}

static bool wants_restart(const struct unit *u)
{
	const struct record *r = u->rec;
	AUTO_ARENA struct arena *a = arena_new();
	struct model_service m = {0};
	if (u->stopping || r->want != WANT_RUNNING || r->oneoff || model_read_service(r->service, r->config, a, &m, NULL) < 0)
		return false;
	switch (m.restart) {
	case RESTART_ALWAYS:
	case RESTART_UNLESS_STOPPED:
		return true;
	case RESTART_ON_FAILURE:
		return r->exit_code != 0 && (m.restart_max == 0 || r->restarts < m.restart_max);
	default:
		return false;
	}
}

/* What outlived the first process, although its pid namespace is gone: nothing, as a rule. */
static void kill_rest(struct unit *u)
{
	AUTO_FREE pid_t *pids = NULL;
	size_t n = 0;
	if (u->cgroup && cgroup_pids(u->cgroup, &pids, &n, NULL) == 0 && n)
		cgroup_kill(u->cgroup, NULL);
}

/* What is about to be removed is noted in the run directory only, which is in memory: no boot will ask for it, and on a disk that syncs for fifty
 * containers' ends every replaced file waits. */
static int save_going(struct unit *u, bool durable, struct err *err)
{
	const struct record *r = u->rec;
	bool going = r->want == WANT_REMOVED || (durable && r->oneoff && r->remove_on_exit);
	return going ? record_save_state(r, u->sv->run_fd, err) : unit_save(u, durable, err);
}

/* The first process is dead: note it durably (unless the container goes anyway), reap it, have the log drained. From here on plans see it as
 * exited, or as restarting when it will come back by itself. */
void unit_ended(struct unit *u, int exit_code, uint64_t time_ns)
{
	struct record *r = u->rec;
	struct err err = {0};
	siginfo_t si;
	loop_remove(&u->exit);
	loop_timer_cancel(&u->timer);
	loop_timer_cancel(&u->note_timer);
	u->phase = UNIT_ENDING;
	r->exit_code = exit_code;
	r->finished_ns = MAX(time_ns, r->started_ns); /* a clock that was set back must not make it look unfinished */
	failpoint("exit.peeked");
	r->oom = u->cgroup && cgroup_oom_kills(u->cgroup) > u->oom_before;
	u->again = wants_restart(u);
	kill_rest(u);
	if (save_going(u, true, &err) < 0)
		log_warn("%s: %s", r->name, err.msg);
	r->status = u->again ? STATUS_RESTARTING : STATUS_EXITED; /* afterwards: for who comes in between it is one that has just ended */
	failpoint("exit.recorded");
	if (!u->adopted)
		waitid(P_PIDFD, (id_t)u->proc.pidfd, &si, WEXITED | WNOHANG);
	failpoint("exit.reaped");
	loop_timer_set(&u->sv->loop, &u->timer, DRAIN_TIMEOUT_MS, drain_timeout);
	logs_control_drain(&u->sv->logs, r->id);
	failpoint("exit.drain");
}

static void restart_due(struct loop_timer *t)
{
	struct unit *u = CONTAINER_OF(t, struct unit, timer);
	struct err err = {0};
	u->phase = UNIT_IDLE;
	u->rec->restarts++;
	u->rec->started_ns = clock_real_ns();
	failpoint("restart.due");
	if (unit_save(u, false, &err) < 0)
		log_warn("%s: %s", u->rec->name, err.msg);
	unit_start(u, &err); /* when it fails for now (a port taken meanwhile), it is tried again */
}

void unit_schedule_restart(struct unit *u)
{
	struct err err = {0};
	u->phase = UNIT_BACKOFF;
	u->again = false;
	u->rec->status = STATUS_RESTARTING;
	u->backoff_ms = u->backoff_ms ? MIN(u->backoff_ms * 2, (uint64_t)BACKOFF_MAX_MS) : BACKOFF_MIN_MS;
	if (record_save_state(u->rec, u->sv->run_fd, &err) < 0)
		log_warn("%s: %s", u->rec->name, err.msg);
	failpoint("restart.scheduled");
	loop_timer_set(&u->sv->loop, &u->timer, u->backoff_ms, restart_due);
}

void unit_settled(struct unit *u)
{
	struct op *op = u->op;
	enum unit_then then = u->then;
	size_t action = u->action;
	struct err err = {0};
	int rc = 0;
	u->op = NULL;
	u->then = UNIT_THEN_NOTHING;
	if (!op)
		return;
	if (then == UNIT_THEN_START) {
		u->op = op;
		if (unit_start(u, &err) == 0)
			return; /* its end is that of the action */
		rc = -1;
	} else if (then != UNIT_THEN_NOTHING) {
		rc = unit_remove(u, then == UNIT_THEN_REMOVE_ALL, &err);
	}
	apply_action_done(op, action, rc < 0 ? &err : NULL);
}

/* Everything it wrote is in the log: tell everybody, then restart, remove or leave it. */
void unit_log_drained(struct unit *u)
{
	struct supervisor *sv = u->sv;
	struct record *r = u->rec;
	bool again = u->again && !u->stopping && r->want == WANT_RUNNING && !u->op;
	struct client *attached;
	struct err err = {0};
	char id[sizeof(r->id)];
	int exit_code;
	memcpy(id, r->id, sizeof(id));
	loop_timer_cancel(&u->timer);
	if (clock_mono_ns() - u->exec_mono_ns > (uint64_t)STABLE_S * STABLE_NS_PER_S)
		u->backoff_ms = 0;
	u->phase = UNIT_IDLE;
	u->again = false;
	failpoint("exit.drained");
	logs_control_remove(&sv->logs, r->id);
	unit_release(u, again || u->keep_ports);
	failpoint("exit.released");
	r->pid = 0;
	server_state(u, "exit", again);
	if (again) {
		unit_schedule_restart(u);
	} else {
		r->status = STATUS_EXITED;
		if (record_save_state(r, sv->run_fd, &err) < 0)
			log_warn("%s: %s", r->name, err.msg);
	}
	failpoint("exit.saved");
	attached = u->attached;
	exit_code = r->exit_code;
	u->attached = NULL;
	if (attached)
		attached->attached = NULL;
	else if (r->oneoff)
		server_keep_exit(u);
	unit_settled(u);
	u = supervisor_find(sv, id);
	if (u)
		apply_unit_exited(u);
	u = supervisor_find(sv, id);
	if (u && u->rec->oneoff && u->rec->remove_on_exit && !u->op)
		unit_discard(u);
	if (attached) /* last: who hears it finds the container as it is to be */
		server_attached_done(attached, record_exit(exit_code), exit_code < 0 ? "the exit status is unknown" : NULL);
}

/* ---- stop ---- */

static void grace_over(struct loop_timer *t)
{
	struct unit *u = CONTAINER_OF(t, struct unit, timer);
	failpoint("stop.grace");
	unit_kill(u, SIGKILL);
	if (u->cgroup)
		cgroup_thaw(u->cgroup);
}

void unit_kill(struct unit *u, int sig)
{
	/* SIGKILL for the first process takes its whole pid namespace along; what is left in the cgroup, unit_ended() kills */
	if (u->proc.pidfd >= 0)
		proc_pidfd_signal(u->proc.pidfd, sig);
}

static int stop_signal(const struct record *r, const struct model_service *m)
{
	const char *image = json_get_str(r->image, "stop_signal", "");
	int sig = m->stop_signal ? m->stop_signal : *image ? proc_signal_parse(image) : SIGTERM;
	return sig > 0 ? sig : SIGTERM;
}

int unit_stop(struct unit *u, int64_t timeout_ms, struct err *err)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct model_service m = {0};
	u->stopping = true;
	if (u->rec->want == WANT_RUNNING)
		u->rec->want = WANT_STOPPED;
	if (save_going(u, false, err) < 0) {
		if (err->sys != ENOSPC && err->sys != EDQUOT)
			return -1;
		log_warn("%s: %s", u->rec->name, err->msg); /* on a full disk stopping and removing must work: that makes room */
	}
	if (failpoint_err("stop.saved", err) < 0)
		return -1;
	if (u->phase == UNIT_BACKOFF) {
		loop_timer_cancel(&u->timer);
		u->phase = UNIT_IDLE;
		u->rec->status = STATUS_EXITED;
		unit_release(u, u->keep_ports);
		record_save_state(u->rec, u->sv->run_fd, err);
		server_state(u, "stop", false);
		return 1;
	}
	if (u->phase == UNIT_IDLE)
		return 1;
	if (u->phase == UNIT_ENDING)
		return 0;
	if (u->phase == UNIT_STARTING) {
		unit_kill(u, SIGKILL);
		return 0;
	}
	model_read_service(u->rec->service, u->rec->config, a, &m, NULL);
	if (timeout_ms < 0)
		timeout_ms = (int64_t)(m.has_stop_grace ? m.stop_grace_ms : 10000);
	unit_kill(u, stop_signal(u->rec, &m));
	failpoint("stop.signalled");
	if (timeout_ms == 0)
		grace_over(&u->timer);
	else
		loop_timer_set(&u->sv->loop, &u->timer, (uint64_t)timeout_ms, grace_over);
	return 0;
}

/* ---- removal ---- */

/* No room even for a name in the trash: the record goes first, so that what a crash leaves of the rest is removed by the next supervisor. */
static int remove_in_place(struct unit *u, const char *from, struct err *err)
{
	AUTO_FREE char *record = xasprintf("%s/record.json", from);
	if (unlinkat(u->sv->project_fd, record, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "container %s: remove its record", u->rec->name);
	return fs_remove_tree(u->sv->project_fd, from, err);
}

/* Moves the container's directory into the trash: from then on it does not exist. The trash may be removed at any moment by its worker. */
static int to_trash(struct unit *u, struct err *err)
{
	char from[SHORT_ID + 4], to[SHORT_ID + 4];
	AUTO_FREE char *dir = xasprintf("projects/.trash/%s", u->rec->project);
	snprintf(from, sizeof(from), "c/%.*s", SHORT_ID, u->rec->id);
	snprintf(to, sizeof(to), "%.*s", SHORT_ID, u->rec->id);
	while (faccessat(u->sv->project_fd, from, F_OK, 0) == 0) {
		AUTO_CLOSE int trash_fd = fs_make_dir(ANCHOR_FD_ROOT, dir, 0700, err);
		int failure = trash_fd < 0 ? err->sys : renameat(u->sv->project_fd, from, trash_fd, to) < 0 ? errno : 0;
		if (failure == ENOSPC || failure == EDQUOT || failure == EXDEV) {
			if (remove_in_place(u, from, err) < 0)
				return -1;
		} else if (failure && failure != ENOENT) {
			return err_sys(err, failure, "container %s: move it to the trash", u->rec->name);
		}
	}
	u->sv->trash_added++;
	return failpoint_err("remove.moved", err) < 0 ? -1 : fs_remove_tree(u->sv->run_fd, from, err);
}

int unit_remove(struct unit *u, bool volumes, struct err *err)
{
	struct supervisor *sv = u->sv;
	char key[ANCHOR_KEY_BYTES];
	if (u->phase != UNIT_IDLE)
		return err_set(err, ERR_CONFLICT, "container %s is running: stop it first", u->rec->name);
	for (size_t i = 0; volumes && i < u->rec->n_mounts; i++) /* before the record goes: it alone knows them */
		if (u->rec->mounts[i].anonymous && volume_remove(ANCHOR_FD_ROOT, u->rec->mounts[i].source, err) < 0)
			return err_wrap(err, "container %s", u->rec->name);
	if (failpoint_err("remove.volumes", err) < 0 || to_trash(u, err) < 0 || failpoint_err("remove.done", err) < 0)
		return -1;
	snprintf(key, sizeof(key), "%.*s/*", SHORT_ID, u->rec->id);
	supervisor_anchor_drop(sv, key);
	server_state(u, "remove", false);
	supervisor_remove_unit(sv, u);
	return 0;
}

static void discard_due(struct loop_timer *t)
{
	struct unit *u = CONTAINER_OF(t, struct unit, timer);
	if (!u->op)
		unit_discard(u);
}

void unit_discard(struct unit *u)
{
	struct supervisor *sv = u->sv;
	struct err err = {0};
	if (u->phase != UNIT_IDLE)
		return;
	if (unit_remove(u, true, &err) == 0) {
		worker_empty_trash(sv);
		return;
	}
	u->backoff_ms = u->backoff_ms ? MIN(u->backoff_ms * 2, (uint64_t)BACKOFF_MAX_MS) : BACKOFF_MIN_MS;
	if (u->backoff_ms == BACKOFF_MIN_MS)
		log_warn("%s", err.msg);
	loop_timer_set(&sv->loop, &u->timer, u->backoff_ms, discard_due);
}
