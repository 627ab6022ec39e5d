/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a container: a stop with its grace period, the exit and what it leaves, the restart policy, removal.
 *
 * An exit is looked at without reaping, recorded, then reaped; "exited" is said only when the log process has drained the FIFOs. A
 * container that we adopted is reaped by the anchor, whose note holds the status. What cannot be known is -1, never 0. */
#include "compose/supervisor.h"

#include <fcntl.h>
#include <linux/ioctl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "network/nft.h"
#include "volumes/volume.h"

enum { BACKOFF_MIN_MS = 100, BACKOFF_MAX_MS = 60000, STABLE_NS_PER_S = 1000000000, STABLE_S = 10, NOTE_TRIES = 400, DRAIN_TIMEOUT_MS = 5000 };

/* The kernel's answer about an exited process to somebody who is not its parent (Linux 6.15). */
struct pidfd_info_exit {
	uint64_t mask, cgroupid;
	uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
};
#define PIDFD_GET_INFO_IOCTL _IOWR(0xFF, 11, struct pidfd_info_exit)
#define PIDFD_INFO_EXIT_MASK (1ULL << 3)

static void unit_ended(struct unit *u, int exit_code, uint64_t time_ns);

void unit_release(struct unit *u)
{
	struct record *r = u->rec;
	struct nft_port *ports = xcalloc(r->n_ports, sizeof(*ports));
	struct nft_change change = { .del_ports = ports, .n_del_ports = r->n_ports };
	struct err err = {0};
	char key[ANCHOR_KEY_BYTES];
	AUTO_FREE char *path = record_cgroup(r, u->sv->rootid);
	for (size_t i = 0; i < r->n_ports; i++) {
		ports[i] = (struct nft_port){ .host_port = r->ports[i].host_port, .protocol = r->ports[i].protocol };
		net_ip_parse(r->ports[i].host_ip, &ports[i].host_ip);
	}
	if (r->n_ports && nft_apply(&u->sv->net, &change, &err) < 0)
		log_warn("%s: %s", r->name, err.msg);
	free(ports);
	r->n_ports = 0;
	dns_control_names_remove(&u->sv->dns, r->id);
	dns_control_client_remove(&u->sv->dns, r->id);
	util_close(&u->dns_udp);
	util_close(&u->dns_tcp);
	util_close(&u->console_fd);
	snprintf(key, sizeof(key), "%.*s/*", SHORT_ID, r->id);
	supervisor_anchor_drop(u->sv, key);
	for (size_t i = 0; i < r->n_endpoints; i++) {
		struct netw *n = nets_find(u->sv, r->endpoints[i].network_name);
		uint32_t ip;
		if (n && net_ip_parse(r->endpoints[i].address, &ip))
			ipam_release(&n->ipam, ip);
		r->endpoints[i].address[0] = '\0';
	}
	u->cgroup = cgroup_free(u->cgroup);
	for (int tries = 0; tries < 50 && cgroup_remove(u->sv->cgroups, path, &err) == 1; tries++)
		usleep(200);
	container_proc_done(&u->proc);
}

/* ---- exit ---- */

/* The status of an adopted container: the anchor's note, or the kernel's own memory. false: not there yet. */
static bool foreign_status(struct unit *u, int *ret_exit, uint64_t *ret_ns)
{
	struct pidfd_info_exit info = { .mask = PIDFD_INFO_EXIT_MASK };
	struct anchor_exit note;
	if (anchor_find_exit(u->sv->run_fd, u->rec->pid, u->rec->pid_ticks, &note)) {
		*ret_exit = proc_exit_code((int)note.wstatus);
		*ret_ns = note.time_ns;
		return true;
	}
	if (u->proc.pidfd >= 0 && ioctl(u->proc.pidfd, PIDFD_GET_INFO_IOCTL, &info) == 0 && (info.mask & PIDFD_INFO_EXIT_MASK)) {
		*ret_exit = proc_exit_code(info.exit_code);
		*ret_ns = clock_real_ns();
		return true;
	}
	return false;
}

/* The zombie is gone: whoever reaped it has noted it before, or will never. */
static bool reaped(const struct unit *u)
{
	uint64_t ticks;
	return proc_start_time(u->rec->pid, &ticks) != 0 || ticks != u->rec->pid_ticks;
}

static void look_for_note(struct loop_timer *t)
{
	struct unit *u = CONTAINER_OF(t, struct unit, timer);
	uint64_t when = clock_real_ns();
	bool last = reaped(u) || ++u->exit_tries >= NOTE_TRIES; /* looked at before the notes: a note comes before its reaping */
	int exit_code;
	if (foreign_status(u, &exit_code, &when)) {
		unit_ended(u, exit_code, when);
	} else if (!last) {
		loop_timer_set(&u->sv->loop, t, 5, look_for_note);
	} else {
		log_warn("%s: its exit status cannot be known", u->rec->name);
		unit_ended(u, -1, when);
	}
}

void unit_anchor_exit(struct supervisor *sv, const struct anchor_exit *e)
{
	for (size_t i = 0; i < sv->n_units; i++) {
		struct unit *u = sv->units[i];
		if (u->adopted && u->phase == UNIT_RUNNING && u->rec->pid == e->pid && u->rec->pid_ticks == e->pid_ticks) {
			unit_ended(u, proc_exit_code((int)e->wstatus), e->time_ns);
			return;
		}
	}
}

static void unit_pidfd_ready(struct loop_source *s, uint32_t events)
{
	struct unit *u = CONTAINER_OF(s, struct unit, exit);
	siginfo_t si = {0};
	(void)events;
	loop_remove(s);
	if (u->adopted) {
		u->exit_tries = 0;
		loop_timer_cancel(&u->timer);
		look_for_note(&u->timer);
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
	if (u->proc.pidfd < 0) {
		u->exit_tries = 0;
		loop_timer_set(&u->sv->loop, &u->timer, 0, look_for_note);
	} else if (loop_add(&u->sv->loop, &u->exit, u->proc.pidfd, EPOLLIN, unit_pidfd_ready, &err) < 0) {
		log_warn("%s: %s", u->rec->name, err.msg);
	}
}

static void drain_timeout(struct loop_timer *t)
{
	struct unit *u = CONTAINER_OF(t, struct unit, timer);
	log_warn("%s: the log process does not answer", u->rec->name);
	unit_log_drained(u);
}

/* The first process is dead: note it durably (unless the container goes anyway), reap it, have the log drained. */
static void unit_ended(struct unit *u, int exit_code, uint64_t time_ns)
{
	struct record *r = u->rec;
	struct err err = {0};
	siginfo_t si;
	loop_remove(&u->exit);
	loop_timer_cancel(&u->timer);
	u->phase = UNIT_ENDING;
	r->status = STATUS_EXITED;
	r->exit_code = exit_code;
	r->finished_ns = time_ns;
	r->oom = u->cgroup && cgroup_oom_kills(u->cgroup) > u->oom_before;
	if (u->cgroup)
		cgroup_kill(u->cgroup, NULL);
	if (unit_save(u, r->want != WANT_REMOVED, &err) < 0)
		log_warn("%s: %s", r->name, err.msg);
	if (!u->adopted)
		waitid(P_PIDFD, (id_t)u->proc.pidfd, &si, WEXITED | WNOHANG);
	loop_timer_set(&u->sv->loop, &u->timer, DRAIN_TIMEOUT_MS, drain_timeout);
	logs_control_drain(&u->sv->logs, r->id);
}

static bool wants_restart(const struct unit *u, const struct model_service *m)
{
	const struct record *r = u->rec;
	if (u->stopping || r->want != WANT_RUNNING || r->oneoff)
		return false;
	switch (m->restart) {
	case RESTART_ALWAYS:
	case RESTART_UNLESS_STOPPED:
		return true;
	case RESTART_ON_FAILURE:
		return r->exit_code != 0 && (m->restart_max == 0 || r->restarts < m->restart_max);
	default:
		return false;
	}
}

static void restart_due(struct loop_timer *t)
{
	struct unit *u = CONTAINER_OF(t, struct unit, timer);
	struct err err = {0};
	u->phase = UNIT_IDLE;
	u->rec->restarts++;
	if (unit_start(u, &err) < 0) {
		u->rec->want = WANT_RUNNING; /* a start that fails for now (a port taken meanwhile) is tried again */
		unit_schedule_restart(u);
	}
}

void unit_schedule_restart(struct unit *u)
{
	struct err err = {0};
	u->phase = UNIT_BACKOFF;
	u->rec->status = STATUS_RESTARTING;
	u->backoff_ms = u->backoff_ms ? MIN(u->backoff_ms * 2, (uint64_t)BACKOFF_MAX_MS) : BACKOFF_MIN_MS;
	if (record_save_state(u->rec, u->sv->run_fd, &err) < 0)
		log_warn("%s: %s", u->rec->name, err.msg);
	loop_timer_set(&u->sv->loop, &u->timer, u->backoff_ms, restart_due);
}

/* Everything it wrote is in the log: tell everybody, then restart, remove or leave it. */
void unit_log_drained(struct unit *u)
{
	struct supervisor *sv = u->sv;
	struct record *r = u->rec;
	AUTO_ARENA struct arena *a = arena_new();
	struct model_service m = {0};
	struct err err = {0};
	char id[sizeof(r->id)];
	bool again;
	loop_timer_cancel(&u->timer);
	model_read_service(r->service, r->config, a, &m, NULL);
	again = wants_restart(u, &m);
	if (clock_mono_ns() - u->exec_mono_ns > (uint64_t)STABLE_S * STABLE_NS_PER_S)
		u->backoff_ms = 0;
	u->phase = UNIT_IDLE;
	logs_control_remove(&sv->logs, r->id);
	unit_release(u);
	r->pid = 0;
	server_state(u, "exit", again);
	if (again) {
		unit_schedule_restart(u);
	} else if (record_save_state(r, sv->run_fd, &err) < 0) {
		log_warn("%s: %s", r->name, err.msg);
	}
	server_attached_done(u, r->exit_code < 0 ? 255 : r->exit_code, r->exit_code < 0 ? "the exit status is unknown" : NULL);
	if (u->op) {
		struct op *op = u->op;
		u->op = NULL;
		memcpy(id, r->id, sizeof(id));
		apply_action_done(op, u->action, NULL);
		if (supervisor_find(sv, id) != u)
			return; /* the next action removed it */
	}
	apply_unit_exited(u);
	if (r->oneoff && r->remove_on_exit && u->phase == UNIT_IDLE && !u->op) {
		if (unit_remove(u, true, &err) < 0)
			log_warn("%s", err.msg);
		worker_empty_trash(sv);
	}
}

/* ---- stop ---- */

static void grace_over(struct loop_timer *t)
{
	struct unit *u = CONTAINER_OF(t, struct unit, timer);
	u->killed = true;
	if (u->cgroup)
		cgroup_kill(u->cgroup, NULL);
	if (u->proc.pidfd >= 0)
		proc_pidfd_signal(u->proc.pidfd, SIGKILL);
}

void unit_kill(struct unit *u, int sig)
{
	if (sig == SIGKILL && u->cgroup)
		cgroup_kill(u->cgroup, NULL);
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
	u->rec->want = WANT_STOPPED;
	if (unit_save(u, false, err) < 0)
		return -1;
	if (u->phase == UNIT_BACKOFF) {
		loop_timer_cancel(&u->timer);
		u->phase = UNIT_IDLE;
		u->rec->status = STATUS_EXITED;
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
	if (timeout_ms == 0)
		grace_over(&u->timer);
	else
		loop_timer_set(&u->sv->loop, &u->timer, (uint64_t)timeout_ms, grace_over);
	return 0;
}

/* ---- removal ---- */

/* Moves the container's directory into the trash: from then on it does not exist. The trash may be removed at any moment by its worker. */
static int to_trash(struct unit *u, struct err *err)
{
	char from[SHORT_ID + 4], to[SHORT_ID + 4];
	AUTO_FREE char *dir = xasprintf("trash/%s", u->rec->project);
	snprintf(from, sizeof(from), "c/%.*s", SHORT_ID, u->rec->id);
	snprintf(to, sizeof(to), "%.*s", SHORT_ID, u->rec->id);
	while (faccessat(u->sv->project_fd, from, F_OK, 0) == 0) {
		AUTO_CLOSE int trash_fd = fs_make_dir(ANCHOR_FD_ROOT, dir, 0700, err);
		if (trash_fd < 0 && err->sys != ENOENT)
			return -1;
		if (trash_fd >= 0 && renameat(u->sv->project_fd, from, trash_fd, to) < 0 && errno != ENOENT)
			return err_sys(err, errno, "container %s: move it to the trash", u->rec->name);
	}
	u->sv->trash_added++;
	return fs_remove_tree(u->sv->run_fd, from, err);
}

int unit_remove(struct unit *u, bool volumes, struct err *err)
{
	struct supervisor *sv = u->sv;
	char key[ANCHOR_KEY_BYTES];
	if (u->phase != UNIT_IDLE)
		return err_set(err, ERR_CONFLICT, "container %s is running: stop it first", u->rec->name);
	if (to_trash(u, err) < 0)
		return -1;
	for (size_t i = 0; volumes && i < u->rec->n_mounts; i++)
		if (u->rec->mounts[i].anonymous && volume_remove(ANCHOR_FD_ROOT, u->rec->mounts[i].source, err) < 0)
			log_warn("volume %s: %s", u->rec->mounts[i].source, err->msg);
	snprintf(key, sizeof(key), "%.*s/*", SHORT_ID, u->rec->id);
	supervisor_anchor_drop(sv, key);
	server_state(u, "remove", false);
	supervisor_remove_unit(sv, u);
	return 0;
}
