/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor: the reconciler of one project. It is the parent of the containers it starts, the only writer of their records, and the
 * server of the control socket. Everything it knows can be had again: from the records, from the kernel and from the descriptors that the
 * anchor keeps. So its start is always the same, after a boot, a crash or a kill: load the records, adopt what runs, settle what does
 * not, tell the log and DNS processes everything, carry on the operation that was under way, serve.
 *
 * It ends by itself (exit code 0: the anchor follows) when no container, network or client is left. */
#include "compose/supervisor.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "network/forward.h"
#include "network/nft.h"
#include "runtime/logs_holder.h"

enum { IDLE_MS = 1000, SYNC_MS = 1000 };

void supervisor_anchor_put(struct supervisor *sv, const char *key, int fd)
{
	struct anchor_packet p = { .op = ANCHOR_PUT };
	struct err err = {0};
	snprintf(p.key, sizeof(p.key), "%s", key);
	if (sock_send(sv->store_fd, &p, sizeof(p), &fd, 1, &err) != 0 && err.sys != EPIPE) /* it died: the loop sees it, too */
		log_warn("anchor: descriptor %s not kept: %s", key, err.msg);
}

void supervisor_anchor_drop(struct supervisor *sv, const char *key)
{
	struct anchor_packet p = { .op = ANCHOR_DROP };
	struct err err = {0};
	snprintf(p.key, sizeof(p.key), "%s", key);
	if (sock_send(sv->store_fd, &p, sizeof(p), NULL, 0, &err) != 0 && err.sys != EPIPE)
		log_warn("anchor: descriptor %s not dropped: %s", key, err.msg);
}

bool supervisor_anchor_sync(struct supervisor *sv)
{
	struct anchor_packet p = { .op = ANCHOR_SYNC };
	struct pollfd ready = { .fd = sv->store_fd, .events = POLLIN };
	if (sock_send(sv->store_fd, &p, sizeof(p), NULL, 0, NULL) != 0)
		return false;
	while (poll(&ready, 1, SYNC_MS) > 0 && sock_recv(sv->store_fd, &p, sizeof(p), NULL, NULL, NULL) == sizeof(p))
		if (p.op == ANCHOR_END)
			return true; /* an exit that was told in between is in the notes, too */
	return false;
}

struct unit *supervisor_add_unit(struct supervisor *sv, struct record *rec)
{
	struct unit *u = xcalloc(1, sizeof(*u));
	u->sv = sv;
	u->rec = rec;
	u->dns_udp = u->dns_tcp = u->console_fd = -1;
	container_proc_init(&u->proc);
	sv->units = vec_grow(sv->units, sv->n_units, &sv->cap_units, sizeof(*sv->units));
	sv->units[sv->n_units++] = u;
	return u;
}

void supervisor_remove_unit(struct supervisor *sv, struct unit *u)
{
	for (size_t i = 0; i < sv->n_units; i++)
		if (sv->units[i] == u) {
			sv->units[i] = sv->units[--sv->n_units];
			break;
		}
	for (size_t i = 0; sv->current && sv->current->made && i < sv->current->plan.n; i++)
		if (sv->current->made[i] == u)
			sv->current->made[i] = NULL;
	loop_remove(&u->sync);
	loop_remove(&u->exit);
	loop_timer_cancel(&u->timer);
	unit_stop_awaiting(u);
	container_proc_done(&u->proc);
	util_close(&u->dns_udp);
	util_close(&u->dns_tcp);
	util_close(&u->console_fd);
	unit_close_relay(u);
	cgroup_free(u->cgroup);
	if (u->attached)
		u->attached->attached = NULL;
	record_free(u->rec);
	free(u);
}

struct unit *supervisor_find(struct supervisor *sv, const char *id)
{
	for (size_t i = 0; i < sv->n_units; i++)
		if (strcmp(sv->units[i]->rec->id, id) == 0)
			return sv->units[i];
	return NULL;
}

void supervisor_observed(struct supervisor *sv, struct observed *ret)
{
	*ret = (struct observed){ .project = (char *)(uintptr_t)sv->project };
	ret->containers = xcalloc(sv->n_units, sizeof(*ret->containers));
	for (size_t i = 0; i < sv->n_units; i++)
		ret->containers[ret->n++] = sv->units[i]->rec;
	observe_sort(ret);
}

void supervisor_maybe_finish(struct supervisor *sv)
{
	for (size_t i = 0; i < sv->n_nets; i++)
		if (!sv->nets[i]->owner)
			return;
	if (sv->finishing || sv->n_units || sv->n_workers || sv->trash_added != sv->trash_done || sv->dying.n || !server_idle(sv))
		return;
	sv->finishing = true;
	sv->loop.quit = true;
}

static void hand_over(int list_fd, const struct unit *u, const char *what, int fd)
{
	struct anchor_handover h = { .fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD, 100) }; /* not close-on-exec */
	unit_key(u, what, h.key);
	if (h.fd >= 0 && fs_write_all(list_fd, &h, sizeof(h), NULL) < 0)
		log_warn("%s: descriptor %s is lost", u->rec->name, what);
}

/* The list of what the new anchor keeps from the start; -1 when there is none. */
static int hand_over_all(const struct supervisor *sv)
{
	int list_fd = memfd_create("muster-handover", MFD_CLOEXEC);
	for (size_t i = 0; list_fd >= 0 && i < sv->n_units; i++) {
		const struct unit *u = sv->units[i];
		hand_over(list_fd, u, "dns/udp", u->dns_udp);
		hand_over(list_fd, u, "dns/tcp", u->dns_tcp);
		hand_over(list_fd, u, "tty/master", u->console_fd);
		for (size_t k = 0; k < u->n_relay_fds; k++) {
			char what[32];
			snprintf(what, sizeof(what), "relay/%zu", k);
			hand_over(list_fd, u, what, u->relay_fds[k]);
		}
		hand_over(list_fd, u, "pid/fd", u->proc.pidfd);
	}
	if (list_fd >= 0)
		lseek(list_fd, 0, SEEK_SET);
	return list_fd;
}

/* The anchor has died. We are the parent of the containers, so it is us who takes its place: the same process goes on as the anchor, with
 * a new supervisor below it that adopts them. What exits meanwhile stays a zombie until the new anchor has noted it; of those that are not our
 * children (adopted ones) the kernel remembers the status as long as we have them by pidfd. The project's lock is ours before the control socket
 * closes, so that no command starts another anchor; when one was faster all the same, there is no place to take. */
_Noreturn static void become_anchor(const struct supervisor *sv)
{
	const char *argv[] = { "muster-run", "anchor", sv->project, sv->rootid, ANCHOR_SAME_ORIGIN, NULL };
	const char *envp[] = { NULL };
	struct err err = {0};
	int list_fd = hand_over_all(sv), dir_fd, lock_fd;
	log_warn("the anchor is gone: taking its place");
	if (anchor_lock(ANCHOR_FD_RUN, sv->project, -1, &dir_fd, &lock_fd, &err) != 0) {
		log_warn("%s", err.msg[0] ? err.msg : "there is another one already");
		_exit(1);
	}
	dup2(lock_fd, ANCHOR_FD_STORE);
	for (int fd = ANCHOR_FD_BINARY; fd <= ANCHOR_FD_RUN; fd++)
		fcntl(fd, F_SETFD, 0);
	if (list_fd < 0)
		close(ANCHOR_FD_READY);
	else if (list_fd != ANCHOR_FD_READY)
		dup2(list_fd, ANCHOR_FD_READY);
	else
		fcntl(list_fd, F_SETFD, 0);
	proc_reset_signals();
	fexecve(ANCHOR_FD_BINARY, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
	_exit(1);
}

static bool anchor_gone(const struct supervisor *sv)
{
	struct pollfd p = { .fd = sv->store_fd };
	return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

static void anchor_readable(struct loop_source *s, uint32_t events)
{
	struct supervisor *sv = CONTAINER_OF(s, struct supervisor, anchor_source);
	struct pollfd ready = { .fd = sv->store_fd, .events = POLLIN };
	struct anchor_packet p;
	ssize_t n;
	(void)events;
	if (poll(&ready, 1, 0) <= 0)
		return; /* somebody has read it in between */
	n = sock_recv(sv->store_fd, &p, sizeof(p), NULL, NULL, NULL);
	if (n == sizeof(p) && p.op == ANCHOR_EXIT)
		unit_anchor_exit(sv, &p.exit);
	else if (n == 0 || (n < 0 && n != -EAGAIN))
		become_anchor(sv);
}

/* Whether a descriptor that the anchor keeps is one of ours; then it is taken over where the unit needs it. */
static bool take_descriptor(struct supervisor *sv, const char *key, int *fd)
{
	char id[SHORT_ID + 1] = "", kind[16] = "", which[16] = "";
	struct unit *u = NULL;
	sscanf(key, "%12[0-9a-f]/%15[a-z]/%15s", id, kind, which);
	for (size_t i = 0; i < sv->n_units && !u; i++)
		if (strncmp(sv->units[i]->rec->id, id, SHORT_ID) == 0)
			u = sv->units[i];
	if (!u)
		return false;
	u->kept = true;
	if (str_eq(kind, "dns") && str_eq(which, "udp") && u->dns_udp < 0)
		u->dns_udp = TAKE_FD(*fd);
	else if (str_eq(kind, "dns") && str_eq(which, "tcp") && u->dns_tcp < 0)
		u->dns_tcp = TAKE_FD(*fd);
	else if (str_eq(kind, "tty") && u->console_fd < 0)
		u->console_fd = TAKE_FD(*fd);
	else if (str_eq(kind, "pid") && u->proc.pidfd < 0)
		u->proc.pidfd = TAKE_FD(*fd);
	else if (str_eq(kind, "fifo"))
		u->fifos_kept = true;
	else if (str_eq(kind, "relay") && strtoul(which, NULL, 10) < UINT16_MAX)
		unit_take_relay(u, strtoul(which, NULL, 10), TAKE_FD(*fd));
	else if (str_eq(kind, "port"))
		u->n_ports_kept++;
	return true;
}

/* Takes back what the anchor keeps; what belongs to nobody is dropped, afterwards: neither side may wait for the other while it sends. */
static int fetch_descriptors(struct supervisor *sv, struct err *err)
{
	struct anchor_packet p = { .op = ANCHOR_LIST };
	AUTO_STRV struct strv nobodys = {0};
	if (sock_send(sv->store_fd, &p, sizeof(p), NULL, 0, err) != 0)
		return -1;
	for (;;) {
		int fds[1] = { -1 };
		size_t n_fds = 1;
		ssize_t n = sock_recv(sv->store_fd, &p, sizeof(p), fds, &n_fds, err);
		if (n == 0)
			become_anchor(sv);
		if (n != sizeof(p))
			return n < 0 ? -1 : err_set(err, ERR_CORRUPT, "a packet of %zd bytes from the anchor", n);
		if (p.op == ANCHOR_END)
			break;
		p.key[sizeof(p.key) - 1] = '\0';
		if (p.op == ANCHOR_ENTRY && n_fds && !take_descriptor(sv, p.key, &fds[0]))
			strv_push(&nobodys, p.key);
		if (n_fds)
			util_close(&fds[0]);
	}
	for (size_t i = 0; i < nobodys.n; i++)
		supervisor_anchor_drop(sv, nobodys.v[i]);
	return 0;
}

static void logs_event(struct logs_control *c, enum logs_op op, uint32_t serial, const char *id)
{
	struct supervisor *sv = CONTAINER_OF(c, struct supervisor, logs);
	struct unit *u;
	(void)serial;
	if (op == LOGS_OP_HELLO) {
		logs_control_reset(c);
		for (size_t i = 0; i < sv->n_units; i++)
			if (sv->units[i]->phase != UNIT_IDLE && sv->units[i]->phase != UNIT_BACKOFF)
				unit_tell_logs(sv->units[i]);
		logs_control_sync(c); /* asks for outstanding drains again */
	} else if (op == LOGS_OP_BUSY) {
		logs_holder_tell(sv->run_fd);
	} else if (op == LOGS_OP_DRAINED && (u = supervisor_find(sv, id)) && u->phase == UNIT_ENDING) {
		unit_log_drained(u);
	}
}

static void tell_dns_all(struct supervisor *sv)
{
	dns_control_reset(&sv->dns);
	dns_control_upstreams_set(&sv->dns, sv->resolv.servers, sv->resolv.n_servers, sv->resolv.search.n > 0);
	for (size_t i = 0; i < sv->n_nets; i++) {
		struct in_addr a = { htonl(sv->nets[i]->bridge.subnet.ip) };
		dns_control_network_set(&sv->dns, sv->nets[i]->name, a, sv->nets[i]->bridge.subnet.prefix_len);
	}
	for (size_t i = 0; i < sv->n_units; i++)
		if (sv->units[i]->phase == UNIT_RUNNING)
			unit_tell_dns(sv->units[i]);
	shared_tell_dns(sv);
	dns_control_sync(&sv->dns);
}

static void dns_event(struct dns_control *c, enum dns_op op, uint32_t serial)
{
	(void)serial;
	if (op == DNS_OP_HELLO)
		tell_dns_all(CONTAINER_OF(c, struct supervisor, dns));
}

/* A container without a readable record is none: what is left of it goes, its processes first. */
static int discard_torn(struct supervisor *sv, const char *id, const struct err *why)
{
	AUTO_FREE char *path = xasprintf("c/%s", id);
	AUTO_FREE char *group = xasprintf("muster-%s/%s/c/%s", sv->rootid, sv->project, id);
	AUTO_CGROUP struct cgroup *cg = NULL;
	struct err err = {0};
	log_warn("%s: removing it", why->msg);
	if (cgroup_open(sv->cgroups, group, &cg, &err) == 0 && cgroup_kill(cg, &err) < 0)
		log_warn("%s", err.msg);
	if (cg)
		unit_bury(sv, group);
	if (fs_remove_tree(sv->project_fd, path, &err) < 0)
		log_warn("%s", err.msg);
	fs_remove_tree(sv->run_fd, path, NULL);
	return 0;
}

static int load_unit(void *arg, const char *name)
{
	struct supervisor *sv = arg;
	struct record *r = NULL;
	struct err err = {0};
	if (strlen(name) != SHORT_ID)
		return 0;
	if (record_load(sv->project_fd, sv->run_fd, name, &r, &err) < 0)
		return err.code == ERR_CORRUPT ? discard_torn(sv, name, &err) : err_set(sv->load_err, err.code, "%s", err.msg);
	supervisor_add_unit(sv, r);
	sv->generation = MAX(sv->generation, r->generation);
	return 0;
}

static int load_all(struct supervisor *sv, struct err *err)
{
	AUTO_JSON json_t *desired = NULL;
	AUTO_FREE char *trash = xasprintf("projects/.trash/%s", sv->project);
	AUTO_CLOSE int dir = fs_make_dir(sv->project_fd, "c", 0700, err);
	sv->load_err = err;
	if (dir < 0 || fs_each(sv->project_fd, "c", load_unit, sv, err) < 0 || failpoint_err("sv.loaded", err) < 0)
		return -1;
	sv->trash_added += faccessat(ANCHOR_FD_ROOT, trash, F_OK, 0) == 0; /* our predecessor's */
	if (json_read_file(sv->project_fd, "desired.json", &desired, NULL) == 0 && desired_parse(desired, &sv->desired, err) < 0)
		log_warn("desired.json: %s", err->msg);
	return nets_load(sv, err) < 0 ? -1 : failpoint_err("sv.nets", err);
}

static int open_all(struct supervisor *sv, struct err *err)
{
	AUTO_FREE char *projects = xasprintf("projects/%s", sv->project);
	sv->paths = (struct paths){ .root_fd = ANCHOR_FD_ROOT, .run_fd = ANCHOR_FD_RUN };
	snprintf(sv->paths.rootid, sizeof(sv->paths.rootid), "%s", sv->rootid);
	sv->binary_fd = ANCHOR_FD_BINARY;
	sv->store_fd = ANCHOR_FD_STORE;
	sv->project_fd = fs_make_dir(ANCHOR_FD_ROOT, projects, 0700, err);
	sv->run_fd = sv->project_fd < 0 ? -1 : fs_make_dir(ANCHOR_FD_RUN, sv->project, 0700, err);
	if (sv->run_fd < 0 || loop_init(&sv->loop, err) < 0)
		return -1;
	if (cgroup_host_open(&sv->cgroups, err) < 0 || net_open(&sv->net, sv->rootid, err) < 0)
		return -1;
	sv->net_open = true;
	if (resolv_read("/etc/resolv.conf", &sv->resolv, err) < 0)
		log_warn("%s", err->msg);
	return 0;
}

static int open_channels(struct supervisor *sv, struct err *err)
{
	if (loop_add(&sv->loop, &sv->anchor_source, sv->store_fd, EPOLLIN, anchor_readable, err) < 0)
		return -1;
	if (logs_control_open(&sv->logs, &sv->loop, ANCHOR_FD_LOGS, logs_event, err) < 0)
		return -1;
	return dns_control_open(&sv->dns, &sv->loop, ANCHOR_FD_DNS, dns_event, err);
}

static int adopt_all(struct supervisor *sv, struct err *err)
{
	if (fetch_descriptors(sv, err) < 0 || failpoint_err("sv.fetched", err) < 0)
		return -1;
	for (size_t i = sv->n_units; i-- > 0;) /* one that is removed is replaced by the last */
		if (unit_adopt(sv->units[i], err) < 0)
			return err_wrap(err, "container %s", sv->units[i]->rec->name);
	failpoint("sv.adopted");
	logs_event(&sv->logs, LOGS_OP_HELLO, 0, "");
	failpoint("sv.logs.told");
	tell_dns_all(sv);
	failpoint("sv.dns.told");
	return 0;
}

/* Answers the command that started us; without one (after a restart) returns false. */
static bool say(const char *what)
{
	struct stat st;
	bool first = fstat(ANCHOR_FD_READY, &st) == 0 && S_ISFIFO(st.st_mode);
	ssize_t ignored = first ? write(ANCHOR_FD_READY, what, strlen(what)) : 0;
	(void)ignored;
	close(ANCHOR_FD_READY);
	return first;
}

/* Once a second: a supervisor that nobody ever talked to and that has nothing to look after ends; one that has done something gives the memory back
 * that it took. */
static void idle(struct loop_timer *t)
{
	struct supervisor *sv = CONTAINER_OF(t, struct supervisor, idle_timer);
	if (sv->generation != sv->generation_trimmed && !sv->current)
		malloc_trim(0);
	sv->generation_trimmed = sv->current ? 0 : sv->generation;
	supervisor_maybe_finish(sv);
	if (!sv->finishing)
		loop_timer_set(&sv->loop, t, IDLE_MS, idle);
}

int supervisor_main(const char *project, const char *rootid)
{
	static struct supervisor sv;
	struct err err = {0};
	sv.project = project;
	snprintf(sv.rootid, sizeof(sv.rootid), "%s", rootid);
	log_init("supervise", 2);
	signal(SIGPIPE, SIG_IGN);
	proc_cloexec_from(3);
	if (open_all(&sv, &err) < 0 || load_all(&sv, &err) < 0 || open_channels(&sv, &err) < 0 || adopt_all(&sv, &err) < 0 ||
	    server_open(&sv, &err) < 0 || repair_open(&sv, &err) < 0 || server_resume(&sv, &err) < 0) {
		AUTO_FREE char *why = xasprintf("e%s", err.msg);
		log_warn("%s", err.msg);
		if (anchor_gone(&sv))
			become_anchor(&sv);
		return say(why) ? ANCHOR_GIVE_UP : 1;
	}
	failpoint("sv.listening");
	say("r");
	loop_timer_set(&sv.loop, &sv.idle_timer, IDLE_MS, idle);
	worker_empty_trash(&sv);
	if (loop_run(&sv.loop, &err) < 0) {
		log_warn("%s", err.msg);
		return 1;
	}
	server_flush(&sv);
	if (sv.finishing) { /* nothing of the project is left but its directory */
		AUTO_FREE char *path = xasprintf("projects/%s", project);
		failpoint("sv.finish");
		unit_await_links(&sv);
		if (nft_release(&sv.net, &err) == 0) /* a worker that was killed may have left them */
			forward_withdraw(&sv.net, &err);
		fs_remove_tree(ANCHOR_FD_ROOT, path, NULL);
		shared_done(&sv);
		failpoint("sv.finished");
	}
	return 0;
}
