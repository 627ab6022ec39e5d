/* SPDX-License-Identifier: Apache-2.0 */
/* See build_exec.h. The end of either channel is the end of the build: what runs is killed, everything that was made is removed. */
#include "compose/build_exec.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/proc.h"

static void take_given(const json_t *map, struct build_given *list, size_t *n, int *fds, size_t n_fds)
{
	const char *id;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)map, id, v) {
		int64_t at = json_is_integer(v) ? json_integer_value(v) : -1;
		if (*n == BUILD_EXEC_MAX_SECRETS || at < 0 || (size_t)at >= n_fds || fds[at] < 0)
			continue;
		list[(*n)++] = (struct build_given){ .id = xstrdup(id), .fd = TAKE_FD(fds[at]) };
	}
}

static void from_cli(struct chan *c, const void *p, size_t n, int *fds, size_t n_fds)
{
	struct build_exec *e = CONTAINER_OF(c, struct build_exec, cli);
	AUTO_JSON json_t *j = NULL;
	struct err err;
	int *own;
	size_t n_own;
	if (!p) {
		e->loop.quit = true;
		return;
	}
	if (message_parse(p, n, fds, n_fds, &j, &own, &n_own, &err) < 0 || strcmp(json_get_str(j, "op", ""), "setup") != 0)
		return;
	take_given(json_object_get(j, "secrets"), e->secrets, &e->n_secrets, own, n_own);
	take_given(json_object_get(j, "ssh"), e->agents, &e->n_agents, own, n_own);
	e->insecure = e->insecure || json_get_bool(j, "insecure", false);
	e->host_network = e->host_network || json_get_bool(j, "host_network", false);
	if (json_get_bool(j, "last", false))
		e->set_up = true;
}

static void from_builder(struct chan *c, const void *p, size_t n, int *fds, size_t n_fds)
{
	struct build_exec *e = CONTAINER_OF(c, struct build_exec, builder);
	AUTO_JSON json_t *j = NULL;
	struct err err;
	int *own;
	size_t n_own;
	if (!p) {
		e->loop.quit = true;
		return;
	}
	if (message_parse(p, n, fds, n_fds, &j, &own, &n_own, &err) < 0)
		build_exec_warn(e, err.msg);
	else if (strcmp(json_get_str(j, "op", ""), "run") == 0)
		step_run(e, j);
	else if (strcmp(json_get_str(j, "op", ""), "cancel") == 0)
		step_cancel(e, json_get_int(j, "id", 0));
}

static void given_done(struct build_given *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(list[i].id);
		close(list[i].fd);
	}
}

/* The set-up comes before the first step is looked at: muster sends it before it lets anybody else speak. */
static int run(struct build_exec *e, struct err *err)
{
	if (chan_open(&e->cli, &e->loop, BUILD_EXEC_FD_CLI, from_cli, err) < 0)
		return -1;
	while (!e->set_up && !e->loop.quit)
		if (loop_run_once(&e->loop, -1, err) < 0)
			return -1;
	if (!e->loop.quit && chan_open(&e->builder, &e->loop, BUILD_EXEC_FD_BUILDER, from_builder, err) < 0)
		return -1;
	return loop_run(&e->loop, err);
}

static int serve(const char *rootid, struct cgroup_host *cgroups, struct err *err)
{
	struct build_exec *e = xcalloc(1, sizeof(*e));
	int rc;
	failpoint_open(BUILD_EXEC_FD_RUN);
	e->cgroups = cgroups;
	if (build_session_open(&e->session, BUILD_EXEC_FD_ROOT, BUILD_EXEC_FD_RUN, rootid, cgroups, err) < 0 || loop_init(&e->loop, err) < 0)
		return -1;
	build_net_init(&e->net, e->session.all_fd, rootid);
	rc = failpoint_err("executor.session", err) < 0 ? -1 : run(e, err);
	failpoint("executor.end");
	step_kill_all(e);
	chan_done(&e->builder);
	chan_done(&e->cli);
	build_net_done(&e->net);
	failpoint("executor.net.done");
	build_session_close(&e->session);
	given_done(e->secrets, e->n_secrets);
	given_done(e->agents, e->n_agents);
	seccomp_done(&e->seccomp);
	loop_done(&e->loop);
	free(e);
	return rc;
}

int build_exec_main(const char *rootid, bool sweep_only)
{
	struct cgroup_host *cgroups = NULL;
	struct err err = { 0 };
	int rc = 0;
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* secrets */
	proc_cloexec_from(3);
	if (strlen(rootid) != NET_ROOTID_LEN || cgroup_host_open(&cgroups, &err) < 0)
		rc = -1;
	else if (sweep_only)
		build_session_sweep(BUILD_EXEC_FD_ROOT, BUILD_EXEC_FD_RUN, rootid, cgroups);
	else
		rc = serve(rootid, cgroups, &err);
	cgroup_host_close(cgroups);
	if (rc < 0 && err.msg[0])
		dprintf(2, "muster-run: the executor of the build: %s\n", err.msg);
	return rc < 0;
}
