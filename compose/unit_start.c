/* SPDX-License-Identifier: Apache-2.0 */
/* Starting one container. The order matters at every arrow: the run directory and its files, cgroup, addresses and ports (a port that is taken
 * fails here, before any process), then the child, whose pid is on record before it may go on: it wires itself, mounts, waits for `go`.
 * What the child reports next (prepared, started, failed) comes as an event. A supervisor that dies before `go` takes the child along
 * (PDEATHSIG); one that dies later leaves a container whose record holds pid and start time, so the next one adopts it. */
#include "compose/service_options.h"
#include "compose/supervisor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "network/attach.h"
#include "network/hosts.h"
#include "runtime/probe.h"
#include "volumes/bind.h"
#include "volumes/copyup.h"
#include "volumes/volume.h"

enum { MAX_MOUNTS = 256 };

/* Lower directories of an image, opened once for all its containers. */
struct layer_set {
	int *fds;
	size_t n;
};

/* What a start needs only until the child has been made. */
struct start {
	struct unit *u;
	struct arena *arena;
	struct model_service m;
	struct container_spec spec;
	struct service_options options;
	struct seccomp_program seccomp;    /* for other capabilities than the default ones */
	struct strv argv, env;
	struct container_mount mounts[MAX_MOUNTS];
	int mount_fds[MAX_MOUNTS];
	size_t n_mounts;
	int dir_fd, run_fd, upper_fd, work_fd, hostname_fd, hosts_fd, resolv_fd, stdio[3], fifo_out, fifo_err, mark_fd;
	const char *hostname;
};

static void start_done(struct start *s)
{
	int *fds[] = { &s->dir_fd, &s->run_fd, &s->upper_fd, &s->work_fd, &s->hostname_fd, &s->hosts_fd, &s->resolv_fd,
		       &s->stdio[0], &s->stdio[1], &s->stdio[2], &s->fifo_out, &s->fifo_err, &s->mark_fd };
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		util_close(fds[i]);
	for (size_t i = 0; i < s->n_mounts; i++) {
		util_close(&s->mount_fds[i]);
		if (s->mounts[i].fill)
			util_close(&s->mounts[i].fill_fd);
	}
	seccomp_done(&s->seccomp);
	strv_done(&s->argv);
	strv_done(&s->env);
	arena_free(s->arena);
}

static void layer_set_free(struct layer_set *set)
{
	while (set->n)
		close(set->fds[--set->n]);
	free(set->fds);
	free(set);
}

static const struct layer_set *open_layers(struct supervisor *sv, const json_t *image, struct err *err)
{
	const char *id = json_get_str(image, "id", "");
	struct layer_set *set = map_get(&sv->layer_cache, id);
	AUTO_STRV struct strv layers = {0};
	struct stat st;
	bool whole = set != NULL;
	for (size_t i = 0; whole && i < set->n; i++)
		whole = fstat(set->fds[i], &st) == 0 && st.st_nlink > 0; /* else the image was removed and has come again */
	if (whole)
		return set;
	if (set) {
		map_del(&sv->layer_cache, id);
		layer_set_free(set);
	}
	json_get_strv(image, "layers", &layers);
	set = xcalloc(1, sizeof(*set));
	set->fds = xcalloc(layers.n, sizeof(*set->fds));
	for (size_t i = 0; i < layers.n; i++) {
		AUTO_FREE char *path = xasprintf("layers/%s/diff", layers.v[i]);
		int fd = openat(ANCHOR_FD_ROOT, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0) {
			err_sys(err, errno, "image %s: layer %.12s", json_get_str(image, "ref", id), layers.v[i]);
			layer_set_free(set);
			return NULL;
		}
		set->fds[set->n++] = fd;
	}
	map_put(&sv->layer_cache, id, set);
	return set;
}

/* Writes a small file into the run directory, a new one each time: nobody reads it before the container runs. Returns its descriptor. */
static int text_file(int run_fd, const char *name, const char *text, size_t n, struct err *err)
{
	enum { FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };
	AUTO_CLOSE int fd = openat(run_fd, name, FLAGS, 0644);
	if (fd < 0 && errno == EEXIST && unlinkat(run_fd, name, 0) == 0)
		fd = openat(run_fd, name, FLAGS, 0644);
	if (fd < 0)
		return err_sys(err, errno, "create %s", name);
	return fs_write_all(fd, text, n, err) < 0 ? err_wrap(err, "%s", name) : TAKE_FD(fd);
}

/* extra_hosts; host-gateway is the host as its networks see it. */
static void add_extra_hosts(struct start *s, struct str *ret)
{
	char gateway[16] = "127.0.0.1";
	json_t *v;
	size_t i;
	for (size_t k = s->u->rec->n_endpoints; k-- > 0;) {
		const struct netw *n = nets_find(s->u->sv, s->u->rec->endpoints[k].network_name);
		if (n)
			net_ip_text(n->bridge.gateway, gateway);
	}
	json_array_foreach((json_t *)(uintptr_t)s->options.extra_hosts, i, v) {
		const char *text = json_string_value(v), *eq = strchr(text, '=');
		str_addf(ret, "%s\t%.*s\n", strcmp(eq + 1, "host-gateway") == 0 ? gateway : eq + 1, (int)(eq - text), text);
	}
}

/* A file of the host, for containers that live in its network; empty when it is not there. */
static void add_host_file(const char *path, struct str *ret)
{
	struct err ignored;
	if (fs_read(AT_FDCWD, path, RESOLV_MAX_BYTES, ret, &ignored) != 0)
		str_clear(ret);
}

static void add_resolv(struct start *s, struct str *ret)
{
	AUTO_STRV struct strv search = {0};
	json_t *v;
	size_t i;
	json_array_foreach((json_t *)(uintptr_t)s->options.dns_search, i, v)
		if (json_is_string(v) && strcmp(json_string_value(v), ".") != 0)
			strv_push(&search, json_string_value(v));
	resolv_build(s->options.dns_search ? &search : &s->u->sv->resolv.search, ret);
	json_array_foreach((json_t *)(uintptr_t)s->options.dns_opt, i, v)
		str_addf(ret, "options %s\n", json_is_string(v) ? json_string_value(v) : "");
}

/* /etc/hostname, /etc/hosts and /etc/resolv.conf. */
static int make_files(struct start *s, struct err *err)
{
	AUTO_STR struct str text = {0};
	struct record *r = s->u->rec;
	AUTO_FREE char *names = s->options.domainname ? xasprintf("%s.%s %s", s->hostname, s->options.domainname, s->hostname) : xstrdup(s->hostname);
	struct hosts_entry entries[ATTACH_MAX_LINKS];
	size_t n = 0;
	str_addf(&text, "%s\n", s->hostname);
	s->hostname_fd = text_file(s->run_fd, "hostname", text.p, text.len, err);
	str_clear(&text);
	for (size_t i = 0; i < r->n_endpoints && n < ARRAY_SIZE(entries); i++)
		entries[n++] = (struct hosts_entry){ r->endpoints[i].address, names };
	if (s->options.host_network)
		add_host_file("/etc/hosts", &text);
	else
		hosts_build(entries, n, &text);
	add_extra_hosts(s, &text);
	s->hosts_fd = text_file(s->run_fd, "hosts", str_get(&text), text.len, err);
	str_clear(&text);
	if (s->options.host_network)
		add_host_file("/etc/resolv.conf", &text);
	else
		add_resolv(s, &text);
	s->resolv_fd = text_file(s->run_fd, "resolv.conf", str_get(&text), text.len, err);
	return s->hostname_fd < 0 || s->hosts_fd < 0 || s->resolv_fd < 0 ? -1 : 0;
}

/* FIFOs for the log, and what the container gets as its descriptors 0-2. */
static int make_stdio(struct start *s, struct err *err)
{
	struct unit *u = s->u;
	char key[ANCHOR_KEY_BYTES];
	s->fifo_out = logs_fifo_open(s->run_fd, "out", 0, 0, err);
	s->fifo_err = s->fifo_out < 0 ? -1 : logs_fifo_open(s->run_fd, "err", 0, 0, err);
	if (s->fifo_err < 0)
		return -1;
	unit_key(u, "fifo/out", key);
	supervisor_anchor_put(u->sv, key, s->fifo_out);
	unit_key(u, "fifo/err", key);
	supervisor_anchor_put(u->sv, key, s->fifo_err);
	if (s->m.tty)
		return 0;
	if (u->run_op && u->run_op->stdin_fd >= 0)
		s->stdio[0] = TAKE_FD(u->run_op->stdin_fd);
	else if (s->m.stdin_open)
		s->stdio[0] = logs_fifo_open(s->run_fd, "in", 0, 0, err);
	s->stdio[1] = logs_fifo_writer(s->run_fd, "out", err);
	s->stdio[2] = logs_fifo_writer(s->run_fd, "err", err);
	return s->stdio[1] < 0 || s->stdio[2] < 0 || (s->m.stdin_open && s->stdio[0] < 0) ? -1 : 0;
}

static int fill_volume(int root_fd, const char *target, int volume_fd, struct err *err)
{
	return copyup_fill(root_fd, target, volume_fd, err) < 0 ? -1 : 0;
}

static int open_volume(struct start *s, const struct record_mount *m, struct container_mount *out, struct err *err)
{
	AUTO_JSON json_t *labels = m->anonymous ? json_pack("{s:s}", "com.docker.volume.anonymous", "") : NULL;
	int volume_fd = volume_open(ANCHOR_FD_ROOT, m->source, err), data_fd;
	if (volume_fd < 0) /* an anonymous volume that was pruned, say: make it again */
		volume_fd = volume_create(ANCHOR_FD_ROOT, m->source, labels, NULL, err) < 0 ? -1 : volume_open(ANCHOR_FD_ROOT, m->source, err);
	if (volume_fd < 0)
		return -1;
	data_fd = volume_open_data(volume_fd, err);
	if (data_fd < 0 || m->nocopy) {
		close(volume_fd);
		volume_fd = -1;
	}
	if (data_fd < 0)
		return -1;
	out->fill = m->nocopy ? NULL : fill_volume;
	out->fill_fd = volume_fd;
	s->mount_fds[s->n_mounts] = data_fd;
	return 0;
}

static int open_mounts(struct start *s, struct err *err)
{
	const struct record *r = s->u->rec;
	if (r->n_mounts + s->options.n_tmpfs > MAX_MOUNTS)
		return err_set(err, ERR_INVALID, "%zu mounts; at most %d are possible", r->n_mounts + s->options.n_tmpfs, MAX_MOUNTS);
	for (size_t i = 0; i < r->n_mounts; i++) {
		const struct record_mount *m = &r->mounts[i];
		struct container_mount *out = &s->mounts[s->n_mounts];
		struct bind_source b = { .fd = -1 };
		*out = (struct container_mount){ .kind = CONTAINER_MOUNT_BIND, .target = m->target, .read_only = m->read_only, .fill_fd = -1 };
		if (m->kind == MOUNT_VOLUME) {
			if (open_volume(s, m, out, err) < 0)
				return err_wrap(err, "volume %s", m->source);
		} else {
			if (bind_open(m->source, m->create_host_path, &b, err) < 0)
				return -1;
			out->recursive = true;
			s->mount_fds[s->n_mounts] = b.fd;
		}
		out->source_fd = s->mount_fds[s->n_mounts];
		s->n_mounts++;
	}
	for (size_t i = 0; i < s->options.n_tmpfs; i++) {
		s->mount_fds[s->n_mounts] = -1;
		s->mounts[s->n_mounts++] = s->options.tmpfs[i];
	}
	return 0;
}

/* Leases an address on each network; the record then tells them. */
static int lease_addresses(struct unit *u, const struct model_service *m, struct err *err)
{
	struct record *r = u->rec;
	r->endpoints = xcalloc(m->n_networks, sizeof(*r->endpoints));
	for (size_t i = 0; i < m->n_networks; i++) {
		struct netw *n = nets_need(u->sv, m->networks[i].network, err);
		struct endpoint *e;
		uint32_t ip;
		if (!n)
			return -1;
		if (shared_lease(u->sv, n, r->id, m->networks[i].address, &ip, err) < 0)
			return err_wrap(err, "network %s", n->name);
		e = &r->endpoints[r->n_endpoints++];
		e->network = xstrdup(n->key);
		e->network_name = xstrdup(n->name);
		e->bridge = xstrdup(n->bridge.name);
		net_ip_text(ip, e->address);
		snprintf(e->mac, sizeof(e->mac), "02:42:%02x:%02x:%02x:%02x", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
	}
	return 0;
}

void unit_tell_dns(struct unit *u)
{
	struct record *r = u->rec;
	AUTO_ARENA struct arena *a = arena_new();
	struct model_service m;
	const char *networks[ATTACH_MAX_LINKS], *names[64], *hostname;
	char short_id[SHORT_ID + 1];
	bool forward = false;
	size_t n = 0;
	if (model_read_service(r->service, r->config, a, &m, NULL) < 0)
		return;
	snprintf(short_id, sizeof(short_id), "%.*s", SHORT_ID, r->id);
	hostname = m.hostname ? m.hostname : short_id;
	for (size_t i = 0; i < r->n_endpoints && n < ATTACH_MAX_LINKS; i++) {
		const struct netw *net = nets_find(u->sv, r->endpoints[i].network_name);
		forward |= net && !net->internal;
		networks[n++] = r->endpoints[i].network_name;
	}
	unit_tell_relay(u);
	if (u->dns_udp >= 0)
		dns_control_client_set(&u->sv->dns, r->id, networks, n, forward, u->dns_udp, u->dns_tcp);
	for (size_t i = 0; i < r->n_endpoints; i++) {
		const char **alias = NULL;
		struct in_addr address;
		size_t k = 0;
		names[k++] = r->name;
		names[k++] = short_id;
		if (strcmp(hostname, short_id) != 0)
			names[k++] = hostname;
		if (!r->oneoff || r->use_aliases) {
			names[k++] = r->service;
			for (size_t j = 0; j < m.n_networks; j++)
				if (strcmp(m.networks[j].network, r->endpoints[i].network) == 0)
					alias = m.networks[j].aliases;
		}
		for (; alias && *alias && k < ARRAY_SIZE(names); alias++)
			names[k++] = *alias;
		if (inet_pton(AF_INET, r->endpoints[i].address, &address) != 1)
			continue;
		dns_control_names_set(&u->sv->dns, r->id, r->endpoints[i].network_name, address, names, k);
		if (nets_find(u->sv, r->endpoints[i].network_name))
			shared_publish(u, nets_find(u->sv, r->endpoints[i].network_name), r->endpoints[i].address, names, k);
	}
}

static void tell_logs(struct unit *u, int log_fd, int run_fd, int out, int error)
{
	struct logs_container k = { .log_dirfd = log_fd, .run_dirfd = run_fd, .out_fd = out, .err_fd = error,
				    .tty_fd = u->attached ? -1 : u->console_fd, .first_pidfd = u->proc.pidfd };
	struct model_logging m;
	if (!u->attached && logging_read(u->rec->config, &m) == 0) /* who is attached reads the files themselves */
		k.limits = (struct logs_limits){ .bytes = m.max_bytes, .files = m.max_files, .none = m.none };
	logs_control_add(&u->sv->logs, u->rec->id, &k);
}

void unit_tell_logs(struct unit *u)
{
	struct err err = {0};
	char rel[SHORT_ID + 8];
	AUTO_CLOSE int log_fd = -1;
	AUTO_CLOSE int run_fd = -1;
	AUTO_CLOSE int out = -1;
	AUTO_CLOSE int error = -1;
	snprintf(rel, sizeof(rel), "c/%.*s/log", SHORT_ID, u->rec->id);
	log_fd = fs_make_dir(u->sv->project_fd, rel, 0700, &err);
	snprintf(rel, sizeof(rel), "c/%.*s", SHORT_ID, u->rec->id);
	run_fd = fs_make_dir(u->sv->run_fd, rel, 0700, &err);
	out = run_fd < 0 ? -1 : logs_fifo_open(run_fd, "out", 0, 0, &err);
	error = out < 0 ? -1 : logs_fifo_open(run_fd, "err", 0, 0, &err);
	if (log_fd < 0 || error < 0) {
		log_warn("logs of %s: %s", u->rec->name, err.msg);
		return;
	}
	tell_logs(u, log_fd, run_fd, out, error);
}

/* The same for a start, which has everything open. */
static int start_logs(struct start *s, struct err *err)
{
	AUTO_CLOSE int log_fd = fs_make_dir(s->dir_fd, "log", 0700, err);
	if (log_fd < 0)
		return -1;
	tell_logs(s->u, log_fd, s->run_fd, s->fifo_out, s->fifo_err);
	return 0;
}

/* The `run` client gets the pty's master, or the log files that will hold the output. */
static void hand_over_output(struct unit *u)
{
	AUTO_JSON json_t *event = json_pack("{s:s,s:s,s:s}", "event", "attach", "id", u->rec->id, "name", u->rec->name);
	char path[SHORT_ID + 32];
	int fds[2] = { -1, -1 };
	if (u->console_fd >= 0) {
		server_send(u->attached, event, &u->console_fd, 1);
		return;
	}
	for (int i = 0; i < LOGS_STREAM_N_ && i < 2; i++) {
		AUTO_CLOSE int made = -1;
		snprintf(path, sizeof(path), "c/%.*s/log/%s", SHORT_ID, u->rec->id, logs_stream_files[i]);
		made = openat(u->sv->project_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		fds[i] = openat(u->sv->project_fd, path, O_RDONLY | O_CLOEXEC);
	}
	if (fds[0] >= 0 && fds[1] >= 0)
		server_send(u->attached, event, fds, 2);
	util_close(&fds[0]);
	util_close(&fds[1]);
}

/* The command runs: record, names, events. */
static void unit_started(struct unit *u)
{
	struct err err = {0};
	struct record *r = u->rec;
	failpoint("start.execd");
	u->phase = UNIT_RUNNING;
	u->exec_mono_ns = clock_mono_ns();
	r->status = STATUS_RUNNING;
	r->started_ns = MAX(clock_real_ns(), r->finished_ns + 1); /* also when the clock was set back: else it would look finished */
	r->started_generation = r->generation;
	free(r->error);
	r->error = NULL;
	loop_remove(&u->sync);
	if (record_save_state(r, u->sv->run_fd, &err) < 0)
		log_warn("%s: %s", r->name, err.msg);
	failpoint("start.saved");
	unit_tell_dns(u);
	unit_watch_exit(u);
	failpoint("start.watched");
	server_state(u, "start", false);
	if (r->oneoff && u->op && u->op->client) {
		AUTO_JSON json_t *started = json_pack("{s:s,s:s,s:s}", "event", "started", "id", r->id, "name", r->name);
		server_send(u->op->client, started, NULL, 0);
		if (u->attached)
			u->op->client = NULL; /* from now on it waits for the container, not for the operation */
	}
	u->run_op = NULL;
	if (u->op && !u->stopping) { /* else a stop came in between and waits for the end */
		struct op *op = u->op;
		u->op = NULL;
		apply_action_done(op, u->action, NULL);
	}
}

/* A file system that cannot hold an overlay's upper directory makes every start fail, with no more than an errno: looked at then, because a look costs
 * as much as the rest of a start (unmounting an overlay syncs the file system below). */
static void name_the_cause(struct supervisor *sv, struct err *e)
{
	struct err cause = {0};
	if (sv->overlay_probed || e->code != ERR_SYS || (e->sys != EINVAL && e->sys != EOPNOTSUPP && e->sys != EREMOTE && e->sys != ENODEV))
		return;
	sv->overlay_probed = probe_overlay(sv->project_fd, &cause) == 0;
	if (cause.code == ERR_UNSUPPORTED)
		*e = cause;
}

/* The start failed: everything that it took is given back. One that the restart policy wanted is tried again, unless it failed because of a stop. */
static void unit_start_failed(struct unit *u, const struct err *failure)
{
	struct supervisor *sv = u->sv;
	struct record *r = u->rec;
	struct op *op = u->op;
	size_t action = u->action;
	bool again = !op && r->status == STATUS_RESTARTING && r->want == WANT_RUNNING, stopped = op && u->stopping;
	struct err e = *failure, ignored = {0};
	u->op = NULL;
	u->run_op = NULL;
	loop_remove(&u->sync);
	failpoint("start.failed");
	container_discard(&u->proc);
	name_the_cause(sv, &e);
	u->phase = UNIT_IDLE;
	r->status = r->finished_ns ? STATUS_EXITED : STATUS_CREATED;
	if (e.code == ERR_NO_COMMAND || e.code == ERR_NOT_EXEC)
		r->exit_code = e.code == ERR_NO_COMMAND ? 127 : 126;
	r->pid = 0;
	r->started_ns = MIN(r->started_ns, r->finished_ns); /* it never ran */
	if (r->want == WANT_RUNNING && !again)
		r->want = WANT_STOPPED;
	free(r->error);
	r->error = stopped ? NULL : xstrdup(e.msg);
	logs_control_remove(&u->sv->logs, r->id);
	unit_release(u, again);
	unit_save(u, false, &ignored);
	if (again)
		unit_schedule_restart(u);
	else
		record_save_state(r, u->sv->run_fd, &ignored);
	if (!op)
		log_warn("%s: %s", r->name, e.msg);
	if (u->attached) {
		u->attached->attached = NULL;
		u->attached = NULL;
	}
	if (r->oneoff && r->remove_on_exit)
		unit_discard(u);
	if (op)
		apply_action_done(op, action, stopped ? NULL : &e);
	worker_empty_trash(sv);
}

static void unit_progress(struct loop_source *s, uint32_t events)
{
	struct unit *u = CONTAINER_OF(s, struct unit, sync);
	struct err err = {0};
	(void)events;
	/* container_progress() closes the descriptor once all is decided, and a closed one that a child still holds could not be removed any more */
	loop_remove(s);
	for (;;) {
		int rc = container_progress(&u->proc, &err);
		char key[ANCHOR_KEY_BYTES];
		if (rc == CONTAINER_WAITING) {
			if (loop_add(&u->sv->loop, s, u->proc.sync_fd, EPOLLIN, unit_progress, &err) < 0)
				unit_start_failed(u, &err);
			return;
		}
		if (rc < 0) {
			unit_start_failed(u, &err);
			return;
		}
		if (rc == CONTAINER_STARTED) {
			unit_started(u);
			return;
		}
		if (unit_take_dns(u, &err) < 0) {
			unit_start_failed(u, &err);
			return;
		}
		if (u->proc.console_fd < 0)
			continue; /* told to go already */
		u->console_fd = TAKE_FD(u->proc.console_fd);
		unit_key(u, "tty/master", key);
		supervisor_anchor_put(u->sv, key, u->console_fd);
		if (u->attached)
			hand_over_output(u);
		unit_tell_logs(u);
		if (container_go(&u->proc, &err) < 0) {
			container_progress(&u->proc, &err);
			unit_start_failed(u, &err);
			return;
		}
	}
}

/* The filter: docker's for the default capabilities once, for others whenever one starts (from the cache on disk). */
static int prepare_seccomp(struct start *s, struct err *err)
{
	struct supervisor *sv = s->u->sv;
	const bool is_default = s->options.caps == CONTAINER_DEFAULT_CAPS;
	AUTO_CLOSE int cache_fd = -1;
	if (s->options.unconfined || (is_default && sv->seccomp_ready))
		return 0;
	cache_fd = fs_make_dir(ANCHOR_FD_ROOT, "cache/seccomp", 0700, err);
	if (cache_fd < 0 || seccomp_default(cache_fd, s->options.caps, is_default ? &sv->seccomp : &s->seccomp, err) < 0)
		return -1;
	sv->seccomp_ready |= is_default;
	return 0;
}

static int make_cgroup(struct start *s, struct err *err)
{
	struct unit *u = s->u;
	struct cgroup_limits limits = { .memory_bytes = s->m.memory_bytes, .cpus = s->m.cpus, .pids = s->m.pids };
	AUTO_FREE char *path = record_cgroup(u->rec, u->sv->rootid);
	u->cgroup = cgroup_free(u->cgroup);
	unit_dying(u->sv, path, true); /* wanted again */
	if (cgroup_create(u->sv->cgroups, path, &limits, !s->options.privileged, &u->cgroup, err) < 0)
		return -1;
	u->oom_before = cgroup_oom_kills(u->cgroup);
	repair_cgroups(u->sv);
	return 0;
}

static int open_dirs(struct start *s, struct err *err)
{
	struct unit *u = s->u;
	char rel[SHORT_ID + 4];
	snprintf(rel, sizeof(rel), "c/%.*s", SHORT_ID, u->rec->id);
	s->dir_fd = fs_make_dir(u->sv->project_fd, rel, 0700, err);
	s->run_fd = s->dir_fd < 0 ? -1 : fs_make_dir(u->sv->run_fd, rel, 0700, err);
	if (s->run_fd >= 0)
		s->mark_fd = openat(s->run_fd, UNIT_MARK, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (s->run_fd >= 0 && s->mark_fd < 0)
		return err_sys(err, errno, "create the mark of the start");
	s->upper_fd = s->run_fd < 0 ? -1 : fs_make_dir(s->dir_fd, "upper", 0755, err);
	s->work_fd = s->upper_fd < 0 ? -1 : fs_make_dir(s->dir_fd, "work", 0755, err);
	return s->work_fd < 0 ? -1 : 0;
}

static void fill_spec(struct start *s, const struct layer_set *layers)
{
	struct container_spec *c = &s->spec;
	struct unit *u = s->u;
	const char *image_user = json_get_str(u->rec->image, "user", ""), *image_dir = json_get_str(u->rec->image, "working_dir", "");
	record_argv(u->rec, &s->argv);
	record_environment(u->rec, &s->env);
	container_spec_init(c);
	c->hostname = s->hostname;
	c->argv = s->argv.v;
	c->envp = s->env.v;
	c->cwd = s->m.working_dir ? s->m.working_dir : image_dir;
	c->user = s->m.user ? s->m.user : image_user;
	c->tty = s->m.tty;
	c->init = s->m.init;
	c->layer_fds = layers->fds;
	c->n_layers = layers->n;
	c->upper_fd = s->upper_fd;
	c->work_fd = s->work_fd;
	c->volatile_upper = u->rec->oneoff && u->rec->remove_on_exit; /* its end throws away what else it would sync the whole file system for */
	c->mounts = s->mounts;
	c->n_mounts = s->n_mounts;
	c->hostname_fd = s->hostname_fd;
	c->hosts_fd = s->hosts_fd;
	c->resolv_fd = s->resolv_fd;
	memcpy(c->stdio, s->stdio, sizeof(c->stdio));
	c->init_fd = u->sv->binary_fd;
	c->mark_fd = s->mark_fd;
	c->cgroup = u->cgroup;
	c->seccomp = s->options.unconfined ? NULL : s->seccomp.filter ? &s->seccomp : &u->sv->seccomp;
	c->caps = s->options.caps;
	c->privileged = s->options.privileged;
	c->no_new_privs = s->options.no_new_privs;
	c->read_only_root = s->options.read_only;
	c->shm_bytes = s->options.shm_bytes;
	c->domainname = s->options.domainname;
	c->rlimits = s->options.rlimits;
	c->n_rlimits = s->options.n_rlimits;
	c->sysctls = s->options.sysctls;
	c->n_sysctls = s->options.n_sysctls;
	c->host_network = s->options.host_network;
	c->network = s->options.host_network ? NULL : unit_wire;
	c->network_arg = u;
}

/* Everything up to the child's existence. */
static int start_child(struct start *s, struct err *err)
{
	struct unit *u = s->u;
	const struct layer_set *layers = open_layers(u->sv, u->rec->image, err);
	if (!layers || prepare_seccomp(s, err) < 0 || failpoint_err("start.layers", err) < 0 || open_dirs(s, err) < 0 ||
	    failpoint_err("start.dirs", err) < 0)
		return -1;
	if (lease_addresses(u, &s->m, err) < 0 || failpoint_err("start.addresses", err) < 0 || unit_reserve_ports(u, &s->m, err) < 0 ||
	    failpoint_err("start.ports", err) < 0)
		return -1;
	if (make_files(s, err) < 0 || failpoint_err("start.files", err) < 0 || make_stdio(s, err) < 0 || failpoint_err("start.stdio", err) < 0 ||
	    open_mounts(s, err) < 0 || failpoint_err("start.mounts", err) < 0 || make_cgroup(s, err) < 0 || failpoint_err("start.cgroup", err) < 0)
		return -1;
	fill_spec(s, layers);
	if (!s->argv.n)
		return err_set(err, ERR_INVALID, "no command: neither the service nor its image names one");
	if (container_spawn(&s->spec, &u->proc, err) < 0)
		return -1;
	u->rec->pid = u->proc.pid;
	u->rec->pid_ticks = u->proc.start_ticks;
	proc_boot_id(u->rec->boot_id);
	u->adopted = false;
	if (failpoint_err("start.spawned", err) < 0 || record_save_state(u->rec, u->sv->run_fd, err) < 0)
		return -1;
	return failpoint_err("start.recorded", err);
}

static void forget_endpoints(struct record *r)
{
	for (size_t i = 0; i < r->n_endpoints; i++) {
		free(r->endpoints[i].network);
		free(r->endpoints[i].network_name);
		free(r->endpoints[i].bridge);
	}
	free(r->endpoints);
	r->endpoints = NULL;
	r->n_endpoints = 0;
}

int unit_start(struct unit *u, struct err *err)
{
	struct start s = { .u = u, .arena = arena_new(), .dir_fd = -1, .run_fd = -1, .upper_fd = -1, .work_fd = -1, .hostname_fd = -1, .hosts_fd = -1,
			   .resolv_fd = -1, .stdio = { -1, -1, -1 }, .fifo_out = -1, .fifo_err = -1, .mark_fd = -1 };
	char short_id[SHORT_ID + 1], host[HOST_NAME_MAX + 1] = "";
	const char *key;
	int rc = model_read_service(u->rec->service, u->rec->config, s.arena, &s.m, err);
	snprintf(short_id, sizeof(short_id), "%.*s", SHORT_ID, u->rec->id);
	if (rc == 0)
		rc = service_options_read(u->rec->config, s.arena, &s.options, &key, err);
	if (s.options.host_network)
		s.m.n_ports = 0; /* its ports are the host's already */
	s.hostname = s.m.hostname ? s.m.hostname : s.options.host_network && gethostname(host, sizeof(host)) == 0 ? host : short_id;
	u->stopping = u->unconfirmed = u->keep_ports = false;
	forget_endpoints(u->rec);
	if (rc == 0)
		rc = start_child(&s, err);
	if (rc == 0 && (rc = unit_publish(u, err)) == 0)
		rc = failpoint_err("start.published", err);
	if (rc == 0 && !s.m.tty)
		rc = start_logs(&s, err);
	if (rc == 0 && !s.m.tty) {
		if (u->attached)
			hand_over_output(u);
		rc = failpoint_err("start.logs", err) < 0 ? -1 : container_go(&u->proc, err);
		failpoint("start.go");
	}
	if (rc == 0)
		rc = loop_add(&u->sv->loop, &u->sync, u->proc.sync_fd, EPOLLIN, unit_progress, err);
	start_done(&s);
	if (rc == 0) {
		u->phase = UNIT_STARTING;
		return 0;
	}
	{
		struct err failure = *err;
		u->op = NULL; /* the caller reports it */
		unit_start_failed(u, &failure); /* u may be gone */
	}
	return -1;
}
