/* SPDX-License-Identifier: Apache-2.0 */
/* One step, from the builder's "run" to its "done". Everything may happen at any time: the phases are
 *   waiting   its layers are open; a cache that it wants is locked by another step
 *   starting  the child mounts, its network is wired
 *   running   its output is passed on as long as muster keeps up with it: what is not read stays in the pipe, and the step waits
 *   ending    it has exited and its output is at its end; the cgroup goes, then the answer
 * The answer comes last: no process, no mount, no address is left then, and muster has all of the output. */
#include "compose/build_exec.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/proc.h"

enum { OUTPUT_QUEUE_MAX = 1 << 20, RETRY_MS = 5, MAX_HOSTS = 1024, HOST_NAME = 64 };

#define STEP_HOSTNAME "buildkitsandbox"

static void step_progress(struct loop_source *src, uint32_t events);
static void step_exited(struct loop_source *src, uint32_t events);
static void step_readable(struct loop_source *src, uint32_t events);
static void step_end(struct step *s);

static void retry_due(struct loop_timer *t)
{
	step_retry_all(CONTAINER_OF(t, struct build_exec, retry));
}

static void retry_later(struct step *s)
{
	if (!s->exec->retry.loop)
		loop_timer_set(&s->exec->loop, &s->exec->retry, RETRY_MS, retry_due);
}

void build_exec_warn(struct build_exec *e, const char *text)
{
	char packet[600];
	if (!*text || strcmp(e->warned, text) == 0)
		return;
	snprintf(e->warned, sizeof(e->warned), "%s", text);
	snprintf(packet, sizeof(packet), "W%s", text);
	chan_send(&e->cli, packet, strlen(packet), NULL, 0);
}

static void step_free(struct step *s)
{
	struct step **p = &s->exec->steps;
	while (*p && *p != s)
		p = &(*p)->next;
	if (*p)
		*p = s->next;
	json_decref(s->j);
	strv_done(&s->argv);
	for (size_t i = 0; i < s->env.n; i++)
		explicit_bzero(s->env.v[i], strlen(s->env.v[i]));
	strv_done(&s->env);
	free(s);
}

/* --- the end */

/* Nothing of the step runs any more: mount points, mounts, addresses, cgroup. 0; 1 when something in the cgroup is still dying. */
static int release(struct step *s)
{
	char path[BUILD_CGROUP_BYTES];
	struct err ignored;
	for (int i = 0; i < 2; i++) {
		loop_remove(&s->out[i].source);
		util_close(&s->out[i].fd);
	}
	loop_remove(&s->sync);
	loop_remove(&s->exit);
	step_ssh_done(s);
	container_proc_done(&s->proc);
	if (s->root_fd >= 0 && !s->cancelled)
		mountpoints_remove(&s->mountpoints);
	util_close(&s->root_fd);
	if (s->upper_fd >= 0)
		mountpoints_tidy(&s->mountpoints, s->upper_fd);
	mountpoints_done(&s->mountpoints);
	util_close(&s->upper_fd);
	step_mounts_done(s);
	build_net_release(&s->exec->net, s->lease);
	s->lease = 0;
	s->cgroup = cgroup_free(s->cgroup);
	if (!s->registered)
		return 0;
	build_session_cgroup(&s->exec->session, s->name, path);
	if (cgroup_remove(s->exec->cgroups, path, &ignored) == 1)
		return 1;
	build_session_step_done(&s->exec->session, s->name);
	s->registered = false;
	return 0;
}

static void answer(struct step *s)
{
	json_t *j = json_pack("{s:s,s:I}", "event", "done", "id", (json_int_t)s->id);
	struct err ignored;
	if (s->cancelled)
		json_object_set_new(j, "cancelled", json_true());
	if (s->cancelled && !s->failed)
		err_set(&s->err, ERR_INVALID, "cancelled");
	if (s->failed || s->cancelled)
		json_object_set_new(j, "error", message_from_err(&s->err));
	else
		json_put_int(j, "exit_code", s->exit_code);
	message_send(&s->exec->builder, j, NULL, 0, &ignored);
	json_decref(j);
}

/* The step's own work is over. Frees it, now or as soon as nothing of it is left. */
static void step_end(struct step *s)
{
	s->phase = STEP_ENDING;
	if (release(s) == 1 || s->exec->cli.queued_bytes) {
		retry_later(s);
		return;
	}
	failpoint("executor.step.released");
	answer(s);
	step_free(s);
}

static void fail(struct step *s, const struct err *err)
{
	s->failed = true;
	s->err = *err;
	if (s->proc.pid > 0)
		container_discard(&s->proc);
	step_end(s);
}

/* --- output */

static void pause_output(struct step_output *o)
{
	loop_remove(&o->source);
	retry_later(o->step);
}

static void resume_output(struct step_output *o)
{
	struct err err;
	if (o->fd >= 0 && !o->source.loop && loop_add(&o->step->exec->loop, &o->source, o->fd, EPOLLIN, step_readable, &err) < 0)
		build_exec_warn(o->step->exec, err.msg);
}

static void maybe_end(struct step *s)
{
	if (s->exited && s->out[0].fd < 0 && s->out[1].fd < 0)
		step_end(s);
}

static void step_readable(struct loop_source *src, uint32_t events)
{
	struct step_output *o = CONTAINER_OF(src, struct step_output, source);
	struct step *s = o->step;
	unsigned char packet[CHAN_MAX_PACKET];
	uint32_t id = (uint32_t)s->id;
	ssize_t n;
	(void)events;
	for (int i = 0; i < 16; i++) {
		if (s->exec->cli.queued_bytes > OUTPUT_QUEUE_MAX) {
			pause_output(o);
			return;
		}
		n = read(o->fd, packet + BUILD_EXEC_OUTPUT_HEADER, sizeof(packet) - BUILD_EXEC_OUTPUT_HEADER);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			loop_remove(&o->source);
			util_close(&o->fd);
			maybe_end(s);
			return;
		}
		packet[0] = 'O';
		packet[1] = (unsigned char)o->stream;
		for (int k = 0; k < 4; k++)
			packet[2 + k] = (unsigned char)(id >> (8 * k));
		chan_send(&s->exec->cli, packet, (size_t)n + BUILD_EXEC_OUTPUT_HEADER, NULL, 0);
	}
}

static void step_exited(struct loop_source *src, uint32_t events)
{
	struct step *s = CONTAINER_OF(src, struct step, exit);
	int status = 0;
	(void)events;
	if (waitpid(s->proc.pid, &status, WNOHANG) != s->proc.pid)
		return;
	loop_remove(src);
	s->proc.pid = 0;
	failpoint("executor.step.exited");
	s->exited = true;
	s->exit_code = proc_exit_code(status);
	if (s->cgroup && cgroup_oom_kills(s->cgroup) > s->oom_before)
		build_exec_warn(s->exec, "the kernel has killed a process of a step for lack of memory");
	maybe_end(s);
}

/* --- the start */

static int open_outputs(struct step *s, int write_fds[2], struct err *err)
{
	for (int i = 0; i < 2; i++) {
		int p[2];
		if (pipe2(p, O_CLOEXEC) < 0)
			return err_sys(err, errno, "pipe");
		s->out[i].fd = p[0];
		write_fds[i] = p[1];
		fcntl(p[0], F_SETFL, O_NONBLOCK);
		if (loop_add(&s->exec->loop, &s->out[i].source, p[0], EPOLLIN, step_readable, err) < 0)
			return -1;
	}
	return 0;
}

static bool is_address(const char *text)
{
	unsigned char buf[16];
	return inet_pton(AF_INET, text, buf) == 1 || inet_pton(AF_INET6, text, buf) == 1;
}

/* "name=address", "name:address"; host-gateway is where the host is from the step's point of view. */
static int add_host(struct step *s, const char *entry, const char *network, struct str *text, struct err *err)
{
	size_t n = strcspn(entry, "=:");
	const char *address = entry[n] ? entry + n + 1 : "";
	char quoted[128], gateway[16] = "127.0.0.1";
	uint32_t ip;
	if (strcmp(address, "host-gateway") == 0) {
		if (strcmp(network, "default") == 0) {
			if (build_net_gateway(&s->exec->net, &ip, err) < 0)
				return -1;
			net_ip_text(ip, gateway);
		}
		address = gateway;
	}
	if (!n || n > 253 || strcspn(entry, " \t\n\r#") < n || !is_address(address))
		return err_set(err, ERR_INVALID, "extra host \"%s\" is not of the form name=address", err_quote(quoted, sizeof(quoted), entry));
	str_addf(text, "%s\t%.*s\n", address, (int)n, entry);
	return 0;
}

static int make_files(struct step *s, const char *network, struct err *err)
{
	const json_t *hosts = json_object_get(json_object_get(s->j, "options"), "extra_hosts");
	AUTO_STR struct str text = { 0 };
	size_t i;
	json_t *h;
	str_add(&text, "127.0.0.1\tlocalhost " STEP_HOSTNAME "\n::1\tlocalhost ip6-localhost ip6-loopback\n");
	json_array_foreach(hosts, i, h)
		if (i >= MAX_HOSTS || !json_is_string(h) || add_host(s, json_string_value(h), network, &text, err) < 0)
			return i >= MAX_HOSTS || !json_is_string(h) ? err_set(err, ERR_INVALID, "extra hosts: too many, or not text") : -1;
	s->hosts_fd = step_memory_file("hosts", str_get(&text), text.len, err);
	str_clear(&text);
	build_net_resolv(strcmp(network, "host") != 0, &text);
	s->resolv_fd = s->hosts_fd < 0 ? -1 : step_memory_file("resolv.conf", str_get(&text), text.len, err);
	return s->resolv_fd < 0 ? -1 : 0;
}

static int make_limits(struct step *s, struct err *err)
{
	static const struct {
		const char *name;
		int resource;
	} names[] = {
		{ "as", RLIMIT_AS }, { "core", RLIMIT_CORE }, { "cpu", RLIMIT_CPU }, { "data", RLIMIT_DATA }, { "fsize", RLIMIT_FSIZE },
		{ "locks", RLIMIT_LOCKS }, { "memlock", RLIMIT_MEMLOCK }, { "msgqueue", RLIMIT_MSGQUEUE }, { "nice", RLIMIT_NICE },
		{ "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC }, { "rss", RLIMIT_RSS }, { "rtprio", RLIMIT_RTPRIO },
		{ "rttime", RLIMIT_RTTIME }, { "sigpending", RLIMIT_SIGPENDING }, { "stack", RLIMIT_STACK },
	};
	json_t *all = json_object_get(json_object_get(s->j, "options"), "ulimits"), *v;
	const char *name;
	char quoted[64];
	json_object_foreach(all, name, v) {
		int64_t soft = json_get_int(v, "soft", -1), hard = json_get_int(v, "hard", -1);
		size_t i = 0;
		while (i < ARRAY_SIZE(names) && strcmp(names[i].name, name) != 0)
			i++;
		if (i == ARRAY_SIZE(names) || s->n_limits == ARRAY_SIZE(s->limits))
			return err_set(err, ERR_INVALID, "ulimit \"%s\" is not known", err_quote(quoted, sizeof(quoted), name));
		s->limits[s->n_limits++] = (struct container_rlimit){ names[i].resource, soft < 0 ? RLIM_INFINITY : (uint64_t)soft,
			hard < 0 ? RLIM_INFINITY : (uint64_t)hard };
	}
	return 0;
}

static int make_cgroup(struct step *s, struct err *err)
{
	struct cgroup_limits limits = { .memory_bytes = (uint64_t)MAX(json_get_int(json_object_get(s->j, "options"), "memory_bytes", 0), 0) };
	char path[BUILD_CGROUP_BYTES];
	if (build_session_step(&s->exec->session, s->name, err) < 0)
		return -1;
	s->registered = true;
	build_session_cgroup(&s->exec->session, s->name, path);
	if (failpoint_err("executor.step.noted", err) < 0 ||
		cgroup_create(s->exec->cgroups, path, &limits, !json_get_bool(s->j, "insecure", false), &s->cgroup, err) < 0)
		return -1;
	s->oom_before = cgroup_oom_kills(s->cgroup);
	return 0;
}

static int load_filter(struct build_exec *e, struct err *err)
{
	AUTO_CLOSE int cache_fd = e->seccomp_ready ? -1 : fs_make_dir(e->session.root_fd, "cache/seccomp", 0700, err);
	if (e->seccomp_ready)
		return 0;
	if (cache_fd < 0 || seccomp_default(cache_fd, CONTAINER_DEFAULT_CAPS, &e->seccomp, err) < 0)
		return -1;
	e->seccomp_ready = true;
	return 0;
}

static void fill_spec(struct step *s, struct container_spec *c, const char *network, const int out[2])
{
	bool insecure = json_get_bool(s->j, "insecure", false);
	container_spec_init(c);
	c->hostname = STEP_HOSTNAME;
	c->argv = s->argv.v;
	c->envp = s->env.v;
	c->cwd = json_get_str(s->j, "cwd", "/");
	c->user = json_get_str(s->j, "user", "");
	c->bound = true;
	c->root_fd = s->root_fd;
	c->mounts = s->mounts;
	c->n_mounts = s->n_mounts;
	c->shm_bytes = (uint64_t)MAX(json_get_int(json_object_get(s->j, "options"), "shm_size", 0), 0);
	c->stdio[1] = out[0];
	c->stdio[2] = out[1];
	c->cgroup = s->cgroup;
	c->seccomp = insecure ? NULL : &s->exec->seccomp;
	c->privileged = insecure;
	c->caps = insecure ? UINT64_MAX : CONTAINER_DEFAULT_CAPS;
	c->rlimits = s->limits;
	c->n_rlimits = s->n_limits;
	c->host_network = strcmp(network, "host") == 0;
}

static int wire(struct step *s, const char *network, struct err *err)
{
	int fd = container_netns_fd(&s->proc), rc = 0;
	if (strcmp(network, "none") == 0)
		rc = build_net_none(&s->exec->net, fd, err);
	else if (strcmp(network, "host") != 0)
		rc = build_net_join(&s->exec->net, fd, s->name, &s->lease, err);
	build_exec_warn(s->exec, s->exec->net.warning);
	container_release_netns(&s->proc);
	return rc;
}

static int start(struct step *s, struct err *err)
{
	const char *network = json_get_str(s->j, "network", "default");
	struct container_spec c;
	int out[2] = { -1, -1 }, rc;
	json_get_strv(s->j, "env", &s->env);
	json_get_strv(s->j, "argv", &s->argv);
	if (!s->argv.n || s->argv.n > EXECUTOR_MAX_ARGS || s->env.n > EXECUTOR_MAX_ARGS)
		return err_set(err, ERR_INVALID, "a step without a command, or with too many words");
	if (make_files(s, network, err) < 0 || make_limits(s, err) < 0 || step_prepare_mounts(s, err) < 0 || step_make_mountpoints(s, err) < 0 ||
		failpoint_err("executor.step.mounts", err) < 0 || load_filter(s->exec, err) < 0 || make_cgroup(s, err) < 0 ||
		failpoint_err("executor.step.cgroup", err) < 0)
		return -1;
	rc = open_outputs(s, out, err);
	if (rc == 0) {
		fill_spec(s, &c, network, out);
		rc = container_spawn(&c, &s->proc, err);
	}
	util_close(&out[0]);
	util_close(&out[1]);
	if (rc < 0 || failpoint_err("executor.step.spawned", err) < 0 || wire(s, network, err) < 0 ||
		failpoint_err("executor.step.wired", err) < 0 || container_go(&s->proc, err) < 0)
		return -1;
	return loop_add(&s->exec->loop, &s->sync, s->proc.sync_fd, EPOLLIN, step_progress, err);
}

/* What the machine cannot run: say why, when it is because of the platform. */
static void explain_platform(const struct step *s, struct err *err)
{
	static const char host[] =
#if defined(__x86_64__)
		"linux/amd64";
#elif defined(__aarch64__)
		"linux/arm64";
#else
		"";
#endif
	const char *platform = json_get_str(s->j, "platform", host);
	struct err first = *err;
	char quoted[64];
	if ((err->code == ERR_NOT_EXEC || err->code == ERR_NO_COMMAND) && *host && *platform && !str_starts(platform, host))
		err_set(err, first.code,
			"%.280s: the stage is for %s, this machine is %s; to run its programs, register an emulator with binfmt_misc (flag F), as "
			"the package qemu-user-static does",
			first.msg, err_quote(quoted, sizeof(quoted), platform), host);
}

static void step_progress(struct loop_source *src, uint32_t events)
{
	struct step *s = CONTAINER_OF(src, struct step, sync);
	struct err err = { 0 };
	int rc;
	(void)events;
	loop_remove(src); /* container_progress() may close it */
	do
		rc = container_progress(&s->proc, &err);
	while (rc == CONTAINER_PREPARED);
	if (rc == CONTAINER_WAITING)
		rc = loop_add(&s->exec->loop, src, s->proc.sync_fd, EPOLLIN, step_progress, &err);
	else if (rc == CONTAINER_STARTED) {
		s->phase = STEP_RUNNING;
		rc = loop_add(&s->exec->loop, &s->exit, s->proc.pidfd, EPOLLIN, step_exited, &err);
	}
	if (rc >= 0)
		return;
	explain_platform(s, &err);
	fail(s, &err);
}

static void try_start(struct step *s)
{
	struct err err = { 0 };
	int rc = step_lock_caches(s, &err);
	if (rc == 1) {
		retry_later(s);
		return;
	}
	s->phase = STEP_STARTING;
	if (rc < 0 || start(s, &err) < 0)
		fail(s, &err);
}

static int check(const struct step *s, struct err *err)
{
	static const char how[] = "allow it with \"entitlements: [%s]\" of the build, or with --allow %s";
	const json_t *devices = json_object_get(s->j, "devices");
	const char *network = json_get_str(s->j, "network", "default"), *denied = NULL;
	size_t i, n = 0;
	json_t *d;
	char quoted[128], hint[200];
	for (const struct step *o = s->exec->steps; o; o = o->next)
		n++;
	if (n > EXECUTOR_MAX_STEPS)
		return err_set(err, ERR_INVALID, "more than %d steps at once", EXECUTOR_MAX_STEPS);
	if (json_get_bool(s->j, "insecure", false) && !s->exec->insecure)
		denied = "security.insecure";
	if (strcmp(network, "host") == 0 && !s->exec->host_network)
		denied = "network.host";
	if (denied) {
		snprintf(hint, sizeof(hint), how, denied, denied);
		return err_set(err, ERR_DENIED, "%s is not allowed: %s", denied, hint);
	}
	err_quote(quoted, sizeof(quoted), network);
	if (strcmp(network, "host") != 0 && strcmp(network, "none") != 0 && strcmp(network, "default") != 0)
		return err_set(err, ERR_UNSUPPORTED, "network \"%s\" of a build step: there are default, none and host", quoted);
	json_array_foreach(devices, i, d) {
		err_quote(quoted, sizeof(quoted), json_get_str(d, "name", ""));
		if (json_get_bool(d, "required", false))
			return err_set(err, ERR_UNSUPPORTED, "device \"%s\": devices of build steps are not supported", quoted);
	}
	return 0;
}

void step_run(struct build_exec *e, json_t *message)
{
	struct step *s = xcalloc(1, sizeof(*s));
	AUTO_JSON json_t *opened = NULL;
	struct err err = { 0 };
	*s = (struct step){ .exec = e, .id = json_get_int(message, "id", 0), .j = json_incref(message), .next = e->steps };
	s->root_fd = s->upper_fd = s->file_fd = s->hosts_fd = s->resolv_fd = -1;
	e->steps = s;
	container_proc_init(&s->proc);
	random_hex(s->name, BUILD_SESSION_ID);
	for (int i = 0; i < 2; i++)
		s->out[i] = (struct step_output){ .step = s, .fd = -1, .stream = i + 1 };
	if (check(s, &err) < 0 || step_open(s, &err) < 0) {
		fail(s, &err);
		return;
	}
	opened = json_pack("{s:s,s:I}", "event", "opened", "id", (json_int_t)s->id);
	message_send(&e->builder, opened, NULL, 0, &err);
	failpoint("executor.step.opened");
	try_start(s);
}

static void kill_step(struct step *s)
{
	struct err ignored;
	if (s->cgroup)
		cgroup_kill(s->cgroup, &ignored);
	if (s->proc.pidfd >= 0)
		proc_pidfd_signal(s->proc.pidfd, SIGKILL);
}

void step_cancel(struct build_exec *e, int64_t id)
{
	struct step *s = e->steps;
	while (s && s->id != id)
		s = s->next;
	if (!s || s->cancelled)
		return;
	s->cancelled = true;
	if (s->phase == STEP_WAITING)
		step_end(s);
	else
		kill_step(s); /* its end comes as any end does */
}

void step_retry_all(struct build_exec *e)
{
	struct step *next;
	for (struct step *s = e->steps; s; s = next) {
		next = s->next;
		if (s->phase == STEP_WAITING) {
			try_start(s);
		} else if (s->phase == STEP_ENDING) {
			step_end(s);
		} else if (e->cli.queued_bytes > OUTPUT_QUEUE_MAX) {
			retry_later(s);
		} else {
			resume_output(&s->out[0]);
			resume_output(&s->out[1]);
		}
	}
}

void step_kill_all(struct build_exec *e)
{
	for (struct step *s = e->steps; s; s = s->next) {
		s->cancelled = true;
		kill_step(s);
	}
	while (e->steps) {
		struct step *s = e->steps;
		container_discard(&s->proc);
		for (int i = 0; release(s) == 1 && i < 1000; i++)
			usleep(2000);
		step_free(s);
	}
}
