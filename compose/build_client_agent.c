/* SPDX-License-Identifier: Apache-2.0 */
/* --ssh ID=FILE: the keys go to a jailed process (images/sshagent.h) that lives as long as the build. Its socket has a name only until it has been
 * opened: the executor and git's process reach it by that descriptor, nobody else by any path. */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/sock.h"
#include "compose/build_client_impl.h"
#include "compose/image_child.h"

static int wait_ready(int fd, struct err *err)
{
	AUTO_STR struct str answer = { 0 };
	AUTO_JSON json_t *j = NULL;
	if (fs_read_fd(fd, 1 << 16, &answer, err) < 0)
		return -1;
	j = json_loadb(str_get(&answer), answer.len, JSON_DISABLE_EOF_CHECK, NULL);
	if (strcmp(json_get_str(j, "event", ""), "done") == 0)
		return 0;
	return json_is_object(j) ? message_to_err(j, err) : err_set(err, ERR_CORRUPT, "the agent has ended");
}

/* One agent for the keys in key_fd: its pid, and an O_PATH descriptor of its socket in *ret_fd. -1 + err. */
static pid_t start(const struct app *app, int key_fd, int *ret_fd, struct err *err)
{
	char name[32] = ".agent-", verb[] = "agent", image[] = "muster-image";
	char *const argv[] = { image, verb, NULL };
	AUTO_CLOSE int listener = -1;
	AUTO_CLOSE int path = -1;
	pid_t pid = -1;
	int p[2], rc;
	random_hex(name + 7, 16);
	listener = sock_listen(app->paths.run_fd, name, SOCK_STREAM, err);
	if (listener < 0)
		return -1;
	path = openat(app->paths.run_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	rc = path < 0 ? err_sys(err, errno, "open the agent's socket") : 0;
	unlinkat(app->paths.run_fd, name, 0);
	if (rc < 0 || lseek(key_fd, 0, SEEK_SET) < 0 || pipe2(p, O_CLOEXEC) < 0)
		return rc < 0 ? -1 : err_sys(err, errno, "start an agent");
	rc = image_spawn(&(struct image_fds){ .input = key_fd, .answer = p[1], .root = listener }, argv, &pid, err);
	close(p[1]);
	if (rc == 0)
		rc = wait_ready(p[0], err);
	close(p[0]);
	if (rc == 0) {
		*ret_fd = TAKE_FD(path);
		return pid;
	}
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return -1;
}

int build_agents_start(struct build *b, struct err *err)
{
	struct build_spec *s = b->spec;
	char quoted[100];
	for (size_t i = 0; i < s->n_agents; i++) {
		int fd = -1;
		pid_t pid;
		if (!s->agents[i].keys)
			continue;
		pid = b->n_agents < ARRAY_SIZE(b->agents) ? start(b->client->app, s->agents[i].fd, &fd, err) :
							    err_set(err, ERR_UNSUPPORTED, "more than %zu agents", ARRAY_SIZE(b->agents));
		if (pid < 0)
			return err_wrap(err, "ssh \"%s\"", err_quote(quoted, sizeof(quoted), s->agents[i].id));
		b->agents[b->n_agents++] = pid;
		close(s->agents[i].fd);
		s->agents[i].fd = fd;
		s->agents[i].keys = false;
	}
	return 0;
}

void build_agents_stop(struct build *b)
{
	while (b->n_agents > 0) {
		pid_t pid = b->agents[--b->n_agents];
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
}
