/* SPDX-License-Identifier: Apache-2.0 */
/* The two processes behind a build. Neither gets our environment, our terminal's signals or a descriptor that is not its own. */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/failpoint.h"
#include "base/proc.h"
#include "compose/anchor.h"
#include "compose/build_client_impl.h"
#include "compose/build_exec.h"

enum { MAX_GIVEN_FDS = 8, COPY_ABOVE = 40 };

/* In the child: from[i] becomes descriptor i (-1: closed), nothing else stays open. */
static void take_descriptors(const int *from, int n)
{
	int copy[16];
	for (int i = 0; i < n; i++)
		copy[i] = from[i] < 0 ? -1 : fcntl(from[i], F_DUPFD_CLOEXEC, COPY_ABOVE);
	for (int i = 0; i < n; i++) {
		if (from[i] < 0)
			close(i);
		else if (copy[i] < 0 || dup2(copy[i], i) < 0)
			_exit(126);
	}
}

_Noreturn static void become_builder(struct build *b, const char *path, int cli, int executor, pid_t parent)
{
	char name[] = "muster-image", verb[] = "build";
	char *const argv[] = { name, verb, NULL }, *const envp[] = { NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int from[] = { null, null, 2, b->client->app->paths.root_fd, failpoint_fd(), cli, executor };
	take_descriptors(from, ARRAY_SIZE(from));
	proc_close_from(ARRAY_SIZE(from), NULL, 0);
	proc_reset_signals();
	setsid();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(126);
	execve(path, argv, envp);
	_exit(errno == ENOENT ? 127 : 126);
}

int build_start_builder(struct build *b, struct err *err)
{
	AUTO_FREE char *path = paths_binary("muster-image", err);
	pid_t parent = getpid();
	int cli[2], executor[2];
	if (!path || sock_pair(SOCK_SEQPACKET, cli, err) < 0)
		return -1;
	if (sock_pair(SOCK_SEQPACKET, executor, err) < 0) {
		close(cli[0]);
		close(cli[1]);
		return -1;
	}
	b->builder_pid = fork();
	if (b->builder_pid == 0)
		become_builder(b, path, cli[1], executor[1], parent);
	close(cli[1]);
	close(executor[1]);
	b->builder_fd = cli[0];
	b->wanted_fd = executor[0];
	return b->builder_pid < 0 ? err_sys(err, errno, "start muster-image") : 0;
}

_Noreturn static void become_executor(const struct app *app, int binary, int cli, int builder, bool sweep)
{
	const char *argv[] = { "muster-run", "build", app->paths.rootid, sweep ? "sweep" : NULL, NULL };
	const char *envp[] = { NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int from[] = { null, null, 2, app->paths.root_fd, app->paths.run_fd, cli, builder, binary };
	take_descriptors(from, ARRAY_SIZE(from));
	proc_close_from(ARRAY_SIZE(from), NULL, 0);
	fcntl(BUILD_EXEC_FD_N_, F_SETFD, FD_CLOEXEC);
	proc_reset_signals();
	setsid();
	if (chdir("/") < 0)
		_exit(126);
	fexecve(BUILD_EXEC_FD_N_, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
	_exit(126);
}

/* One message of the set-up: up to MAX_GIVEN_FDS of the list from *at on. */
static int send_some(int fd, const char *key, const struct build_secret *list, size_t n, size_t *at, struct err *err)
{
	AUTO_JSON json_t *j = json_pack("{s:s}", "op", "setup");
	json_t *map = json_object();
	int fds[MAX_GIVEN_FDS], rc;
	size_t n_fds = 0;
	json_object_set_new(j, key, map);
	for (; *at < n && n_fds < MAX_GIVEN_FDS; (*at)++) {
		json_put_int(map, list[*at].id, (int64_t)n_fds);
		fds[n_fds++] = list[*at].fd;
	}
	rc = message_send_blocking(fd, j, fds, n_fds, err);
	return rc < 0 ? -1 : 0;
}

static int send_setup(const struct build *b, int fd, struct err *err)
{
	const struct build_spec *s = b->spec;
	AUTO_JSON json_t *j = json_pack("{s:s,s:b,s:b,s:b}", "op", "setup", "last", 1, "insecure", s->insecure, "host_network", s->host_network);
	for (size_t at = 0; at < s->n_secrets;)
		if (send_some(fd, "secrets", s->secrets, s->n_secrets, &at, err) < 0)
			return -1;
	for (size_t at = 0; at < s->n_agents;)
		if (send_some(fd, "ssh", s->agents, s->n_agents, &at, err) < 0)
			return -1;
	return message_send_blocking(fd, j, NULL, 0, err) < 0 ? -1 : 0;
}

int build_start_executor(struct build *b, struct err *err)
{
	const struct app *app = b->client->app;
	AUTO_CLOSE int binary = anchor_binary(&app->paths, BUILD_RUN_DIR, err);
	AUTO_CLOSE int builder = TAKE_FD(b->wanted_fd);
	int cli[2], rc;
	if (binary < 0 || sock_pair(SOCK_SEQPACKET, cli, err) < 0)
		return -1;
	b->exec_pid = fork();
	if (b->exec_pid == 0)
		become_executor(app, binary, cli[1], builder, false);
	close(cli[1]);
	b->exec_fd = cli[0];
	if (b->exec_pid < 0)
		return err_sys(err, errno, "start muster-run");
	rc = failpoint_err("muster.build.executor", err) < 0 ? -1 : send_setup(b, cli[0], err);
	return rc;
}

void build_sweep(struct app *app)
{
	struct err err;
	AUTO_CLOSE int binary = anchor_binary(&app->paths, BUILD_RUN_DIR, &err);
	pid_t pid = binary < 0 ? -1 : fork();
	if (pid == 0)
		become_executor(app, binary, -1, -1, true);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
