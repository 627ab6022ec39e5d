/* SPDX-License-Identifier: Apache-2.0 */
/* After a restart of the supervisor: taking over what lives, settling what does not.
 *
 * What state.json says is one of four. No pid: nothing runs; a container that waited for its next start waits again. Running, and the process
 * lives: watched from now on through a pidfd. Running, and it is dead: its status comes from record.json when our predecessor got that far,
 * from the anchor's note, from the kernel (while it is a zombie, or from Linux 6.15 on), or it is unknown, which is -1 and never 0. A pid
 * without "running": our predecessor died during the start; the process is stopped and looked at. When it is still our own program the
 * command never ran: it
 * is killed and the container counts as not started, so that carrying on starts it. When it is the command, it counts as started: a job does not
 * run twice. When it is dead, the mark that it leaves right before exec tells.
 *
 * No operation begins before all this is decided. */
#include "compose/supervisor.h"

#include <fcntl.h>
#include <linux/ioctl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "network/netns.h"
#include "network/ports.h"

enum { NOTE_TRIES = 400, NOTE_MS = 5 };

/* The kernel's answer about an exited process to somebody who is not its parent (Linux 6.15). */
struct pidfd_info_exit {
	uint64_t mask, cgroupid;
	uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
};
#define PIDFD_GET_INFO_IOCTL _IOWR(0xFF, 11, struct pidfd_info_exit)
#define PIDFD_INFO_EXIT_MASK (1ULL << 3)

/* ---- status ---- */

/* The anchor's note, or the kernel's own memory: of a zombie, or of one that a pidfd was there for. false: not there yet. */
static bool foreign_status(struct unit *u, int *ret_exit, uint64_t *ret_ns)
{
	struct pidfd_info_exit info = { .mask = PIDFD_INFO_EXIT_MASK };
	struct anchor_exit note;
	int wstatus;
	if (anchor_find_exit(u->sv->run_fd, u->rec->pid, u->rec->pid_ticks, &note)) {
		*ret_exit = proc_exit_code((int)note.wstatus);
		*ret_ns = note.time_ns;
		return true;
	}
	if (proc_zombie_status(u->rec->pid, u->rec->pid_ticks, &wstatus)) {
		*ret_exit = proc_exit_code(wstatus);
		*ret_ns = clock_real_ns();
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

/* The command was exec'd, though nobody was there to see it. */
static void confirm(struct unit *u)
{
	u->unconfirmed = false;
	u->rec->started_generation = u->rec->generation;
}

/* The start ended before the command began. */
static void never_ran(struct unit *u)
{
	struct record *r = u->rec;
	bool again = r->status == STATUS_RESTARTING && r->want == WANT_RUNNING;
	struct err err = {0};
	u->unconfirmed = false;
	u->phase = UNIT_IDLE;
	r->pid = 0;
	r->started_ns = MIN(r->started_ns, r->finished_ns);
	logs_control_remove(&u->sv->logs, r->id);
	unit_release(u, again);
	if (again) {
		unit_schedule_restart(u);
	} else {
		r->status = r->finished_ns ? STATUS_EXITED : STATUS_CREATED;
		if (record_save_state(r, u->sv->run_fd, &err) < 0)
			log_warn("%s: %s", r->name, err.msg);
	}
	if (!r->oneoff)
		unit_settled(u);
	else if (unit_remove(u, true, &err) < 0) /* only its own command could start it: `run` when carried on makes another */
		log_warn("%s", err.msg);
}

/* What the process itself left behind right before exec. */
static bool has_run(const struct unit *u)
{
	char path[SHORT_ID + 16];
	struct stat st;
	snprintf(path, sizeof(path), "c/%.*s/" UNIT_MARK, SHORT_ID, u->rec->id);
	return fstatat(u->sv->run_fd, path, &st, 0) == 0 && st.st_size > 0;
}

static void status_known(struct unit *u, int exit_code, uint64_t time_ns)
{
	struct supervisor *sv = u->sv;
	unit_stop_awaiting(u);
	if (u->unconfirmed && !has_run(u)) {
		never_ran(u);
	} else {
		confirm(u);
		unit_ended(u, exit_code, time_ns);
	}
	server_wake(sv);
}

static void look_for_note(struct loop_timer *t)
{
	struct unit *u = CONTAINER_OF(t, struct unit, note_timer);
	uint64_t when = clock_real_ns();
	bool last = reaped(u) || ++u->exit_tries >= NOTE_TRIES; /* looked at before the notes: a note comes before its reaping */
	int exit_code;
	if (foreign_status(u, &exit_code, &when)) {
		status_known(u, exit_code, when);
	} else if (!last) {
		loop_timer_set(&u->sv->loop, t, NOTE_MS, look_for_note);
	} else {
		log_warn("%s: its exit status cannot be known", u->rec->name);
		status_known(u, -1, when);
	}
}

void unit_stop_awaiting(struct unit *u)
{
	loop_timer_cancel(&u->note_timer);
	if (u->awaiting)
		u->sv->n_awaiting--;
	u->awaiting = false;
}

void unit_await_status(struct unit *u)
{
	loop_remove(&u->exit);
	loop_timer_cancel(&u->timer);
	u->phase = UNIT_ENDING;
	u->exit_tries = 0;
	if (!u->awaiting)
		u->sv->n_awaiting++;
	u->awaiting = true;
	look_for_note(&u->note_timer);
}

void unit_anchor_exit(struct supervisor *sv, const struct anchor_exit *e)
{
	for (size_t i = 0; i < sv->n_units; i++) {
		struct unit *u = sv->units[i];
		if (u->adopted && (u->phase == UNIT_RUNNING || u->awaiting) && u->rec->pid == e->pid && u->rec->pid_ticks == e->pid_ticks) {
			status_known(u, proc_exit_code((int)e->wstatus), e->time_ns);
			return;
		}
	}
}

/* ---- adoption ---- */

/* Whether the command has taken the place of our own program. It is stopped while we look, so that it cannot do so right after; our own
 * program is killed. */
static bool was_execd(const struct unit *u)
{
	char path[40], exe[64] = "";
	AUTO_STR struct str line = {0};
	bool known, ours;
	proc_pidfd_signal(u->proc.pidfd, SIGSTOP);
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)u->rec->pid);
	known = readlink(path, exe, sizeof(exe) - 1) > 0;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)u->rec->pid);
	known = known && fs_read(AT_FDCWD, path, 4096, &line, NULL) == 0;
	ours = !known || (str_starts(exe, "/memfd:muster-run") && line.len > 20 && memcmp(line.p, "muster-run\0supervise", 21) == 0);
	proc_pidfd_signal(u->proc.pidfd, ours ? SIGKILL : SIGCONT);
	return !ours;
}

/* Nobody holds the container's DNS sockets any more: bind them anew in its namespace. The DNS process of our predecessor may still be on its
 * way out with the old ones, or what is short now may be there again: it is tried as long as the container runs. */
static void reopen_dns(struct loop_timer *t)
{
	struct unit *u = CONTAINER_OF(t, struct unit, note_timer);
	char path[32], key[ANCHOR_KEY_BYTES];
	AUTO_CLOSE int ns_fd = -1;
	struct err err = {0};
	struct netns ns = {0};
	int rc;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)u->rec->pid);
	ns_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (ns_fd < 0)
		return; /* it has just ended */
	rc = netns_open(&ns, &u->sv->net, ns_fd, NETNS_WANT_DNS, &err);
	if (rc == 0)
		rc = netns_take_dns(&ns, &u->dns_udp, &u->dns_tcp, &err);
	netns_close(&ns);
	if (rc < 0) {
		if (u->exit_tries == 0 && err.sys != EADDRINUSE)
			log_warn("%s: no DNS: %s", u->rec->name, err.msg);
		loop_timer_set(&u->sv->loop, t, ++u->exit_tries < NOTE_TRIES / 2 ? NOTE_MS : NOTE_MS * 100, reopen_dns);
		return;
	}
	unit_key(u, "dns/udp", key);
	supervisor_anchor_put(u->sv, key, u->dns_udp);
	unit_key(u, "dns/tcp", key);
	supervisor_anchor_put(u->sv, key, u->dns_tcp);
	unit_tell_dns(u);
}

static void hold_fifos(struct unit *u)
{
	char rel[SHORT_ID + 4], key[ANCHOR_KEY_BYTES];
	AUTO_CLOSE int run_fd = -1;
	struct err err = {0};
	snprintf(rel, sizeof(rel), "c/%.*s", SHORT_ID, u->rec->id);
	run_fd = fs_make_dir(u->sv->run_fd, rel, 0700, &err);
	for (int i = 0; run_fd >= 0 && i < 2; i++) {
		AUTO_CLOSE int fifo = logs_fifo_open(run_fd, i ? "err" : "out", 0, 0, &err);
		unit_key(u, i ? "fifo/err" : "fifo/out", key);
		if (fifo >= 0)
			supervisor_anchor_put(u->sv, key, fifo);
	}
}

/* Its state is lost, yet something runs in its cgroup: nobody can tell which process, address and ports are its own any more, and a second container must not
 * come beside it. It ends, with a status that is unknown. */
static void end_lost(struct unit *u)
{
	struct record *r = u->rec;
	AUTO_FREE char *path = record_cgroup(r, u->sv->rootid), *owner = xasprintf("%s/%.*s", r->project, SHORT_ID, r->id);
	AUTO_CGROUP struct cgroup *cg = NULL;
	AUTO_FREE pid_t *pids = NULL;
	CLEANUP(nft_state_done) struct nft_state rules = {0};
	struct err err = {0};
	size_t n = 0;
	if (cgroup_open(u->sv->cgroups, path, &cg, NULL) != 0 || cgroup_pids(cg, &pids, &n, NULL) < 0 || n == 0)
		return;
	log_warn("%s: its state.json is lost or torn: ending what runs of it", r->name);
	r->status = STATUS_EXITED;
	r->exit_code = -1;
	r->finished_ns = clock_real_ns();
	if (cgroup_kill(cg, &err) < 0 || nft_list(&u->sv->net, owner, &rules, &err) < 0)
		log_warn("%s: %s", r->name, err.msg);
	if (rules.n_ports) {
		struct nft_change change = { .del_ports = rules.ports, .n_del_ports = rules.n_ports };
		if (nft_apply(&u->sv->net, &change, &err) < 0)
			log_warn("%s: %s", r->name, err.msg);
	}
	if (unit_save(u, false, &err) < 0 || record_save_state(r, u->sv->run_fd, &err) < 0)
		log_warn("%s: %s", r->name, err.msg);
	unit_bury(u->sv, path);
}

/* Nothing runs. What the anchor kept for a start that did not come to its process is let go. */
static int adopt_idle(struct unit *u, struct err *err)
{
	struct record *r = u->rec;
	char key[ANCHOR_KEY_BYTES];
	util_close(&u->proc.pidfd);
	if (r->oneoff && (r->remove_on_exit || !r->finished_ns)) /* only its own command could start it, and that makes another one */
		return unit_remove(u, true, err);
	if (r->status == STATUS_RESTARTING && r->want == WANT_RUNNING) {
		if (r->n_ports && !u->ports_held)
			unit_hold_ports(u);
		unit_schedule_restart(u);
		return 0;
	}
	if (u->kept) {
		unit_key(u, "*", key);
		supervisor_anchor_drop(u->sv, key);
	}
	u->ports_held = false;
	r->n_ports = 0;
	if (r->status != STATUS_RESTARTING)
		return 0;
	r->status = STATUS_EXITED;
	return record_save_state(r, u->sv->run_fd, err);
}

static int adopt_running(struct unit *u, struct err *err)
{
	struct record *r = u->rec;
	uint64_t now = clock_real_ns(), ran_ns = now > r->started_ns ? now - r->started_ns : 0;
	if (u->unconfirmed)
		confirm(u);
	r->status = STATUS_RUNNING;
	u->phase = UNIT_RUNNING;
	u->exec_mono_ns = clock_mono_ns() - MIN(ran_ns, clock_mono_ns());
	failpoint("adopt.running");
	unit_watch_exit(u);
	if (!u->fifos_kept)
		hold_fifos(u);
	if (r->n_ports && !u->ports_held)
		unit_hold_ports(u);
	if (r->n_endpoints && (u->dns_udp < 0 || u->dns_tcp < 0)) {
		char key[ANCHOR_KEY_BYTES];
		util_close(&u->dns_udp);
		util_close(&u->dns_tcp);
		unit_key(u, "dns/*", key); /* one without the other, when an anchor was killed while it handed them over: it has the address */
		supervisor_anchor_drop(u->sv, key);
		u->exit_tries = 0;
		reopen_dns(&u->note_timer);
	}
	return record_save_state(r, u->sv->run_fd, err);
}

int unit_adopt(struct unit *u, struct err *err)
{
	struct record *r = u->rec;
	AUTO_FREE char *path = record_cgroup(r, u->sv->rootid);
	bool alive;
	u->adopted = true;
	u->ports_held = r->n_ports && u->n_ports_kept == r->n_ports;
	if (!r->pid) {
		if (r->no_state)
			end_lost(u);
		return adopt_idle(u, err);
	}
	u->unconfirmed = r->status != STATUS_RUNNING;
	u->proc.pid = r->pid;
	if (cgroup_open(u->sv->cgroups, path, &u->cgroup, err) < 0)
		log_warn("%s: %s", r->name, err->msg);
	for (size_t i = 0; i < r->n_endpoints; i++) {
		struct netw *n = nets_find(u->sv, r->endpoints[i].network_name);
		uint32_t ip;
		if (n && r->endpoints[i].address[0])
			shared_lease(u->sv, n, r->id, r->endpoints[i].address, &ip, NULL);
	}
	alive = proc_is(r->pid, r->pid_ticks);
	if (alive && u->proc.pidfd < 0) {
		u->proc.pidfd = proc_pidfd_open(r->pid);
		if (u->proc.pidfd < 0 && errno != ESRCH)
			return err_sys(err, errno, "watch process %d", (int)r->pid);
		alive = proc_is(r->pid, r->pid_ticks);
		if (!alive)
			util_close(&u->proc.pidfd); /* of whoever has that number now */
	}
	if (alive && (!u->unconfirmed || was_execd(u)))
		return adopt_running(u, err);
	if (!u->unconfirmed && r->finished_ns >= r->started_ns) { /* our predecessor has recorded its end */
		unit_ended(u, r->exit_code, r->finished_ns);
		return 0;
	}
	unit_await_status(u);
	return 0;
}
