/* SPDX-License-Identifier: Apache-2.0 */
/* Several pulls or pushes side by side. Each has its own pair of processes, joined by lanes that muster itself keeps no end of: when either
 * dies the other sees it at once. Credentials go into an unnamed file that only the network process gets. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "compose/image_child.h"

struct running {
	struct image_child child;
	struct image_pull *pull;
	pid_t fetch_pid;
};

static void tell(image_event_fn *fn, void *arg, const struct image_pull *pull, enum image_event_kind kind)
{
	const struct image_event ev = { .kind = kind, .pull = pull };
	if (fn)
		fn(arg, &ev);
}

/* The description as the network process's descriptor 0; -1 + err. */
static int describe(const json_t *registry, struct err *err)
{
	AUTO_FREE char *text = json_canonical(registry);
	AUTO_CLOSE int fd = memfd_create("registry", MFD_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "memfd_create");
	if (fs_write_all(fd, text, strlen(text), err) < 0)
		return -1;
	explicit_bzero(text, strlen(text));
	return lseek(fd, 0, SEEK_SET) < 0 ? err_sys(err, errno, "lseek") : TAKE_FD(fd);
}

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		util_close(&fds[i]);
}

static int make_lanes(int *ours, int *theirs, struct err *err)
{
	for (size_t i = 0; i < LANE_MAX_LANES; i++)
		ours[i] = theirs[i] = -1;
	for (size_t i = 0; i < LANE_MAX_LANES; i++) {
		int pair[2];
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			return err_sys(err, errno, "socketpair");
		ours[i] = pair[0];
		theirs[i] = pair[1];
	}
	return 0;
}

static int spawn_fetch(int conf, int null, const int *lanes, pid_t *ret_pid, struct err *err)
{
	static char *const argv[] = { (char *)"muster-image", (char *)"fetch", NULL };
	return image_spawn(&(struct image_fds){ .input = conf, .answer = null, .root = -1, .lanes = lanes }, argv, ret_pid, err);
}

static int start_both(struct running *r, int root_fd, int conf, int null, int *ours, int *theirs, struct err *err)
{
	AUTO_STRV struct strv argv = {0};
	if (make_lanes(ours, theirs, err) < 0)
		return -1;
	strv_push(&argv, "muster-image");
	strv_push(&argv, r->pull->push ? "push" : "pull");
	strv_push(&argv, r->pull->ref);
	if (r->pull->push || r->pull->platform)
		strv_push(&argv, r->pull->push ? r->pull->push : r->pull->platform);
	if (spawn_fetch(conf, null, theirs, &r->fetch_pid, err) < 0)
		return -1;
	if (image_child_start(&r->child, root_fd, null, ours, argv.v, err) == 0)
		return 0;
	kill(r->fetch_pid, SIGKILL);
	waitpid(r->fetch_pid, NULL, 0);
	return -1;
}

static int start(struct running *r, int root_fd, struct err *err)
{
	AUTO_CLOSE int conf = describe(r->pull->registry, err);
	AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int ours[LANE_MAX_LANES], theirs[LANE_MAX_LANES], rc;
	if (conf < 0)
		return -1;
	if (null < 0)
		return err_sys(err, errno, "open /dev/null");
	rc = start_both(r, root_fd, conf, null, ours, theirs, err);
	close_all(ours, LANE_MAX_LANES);
	close_all(theirs, LANE_MAX_LANES);
	return rc;
}

/* Its answer has ended (rc as of image_child_read()). */
static void finish(struct running *r, int rc, image_event_fn *fn, void *arg)
{
	struct image_pull *p = r->pull;
	p->rc = image_child_end(&r->child, rc, &p->err);
	kill(r->fetch_pid, SIGKILL); /* not reaped, so it is still that one; it has nothing to finish */
	while (waitpid(r->fetch_pid, NULL, 0) < 0 && errno == EINTR)
		;
	memcpy(p->id, r->child.id, sizeof(p->id));
	memcpy(p->digest, r->child.digest, sizeof(p->digest));
	p->is_new = r->child.is_new;
	p->manifest_bytes = r->child.bytes;
	tell(fn, arg, p, IMAGE_ENDED);
	*r = (struct running){ .child.fd = -1 };
}

int image_client_pull(int root_fd, struct image_pull *pulls, size_t n, size_t parallel, image_event_fn *fn, void *arg, struct err *err)
{
	struct running *all = xcalloc(parallel, sizeof(*all));
	struct pollfd *polls = xcalloc(parallel, sizeof(*polls));
	size_t next = 0, busy = 0;
	int failed = 0;
	for (size_t i = 0; i < parallel; i++)
		all[i].child.fd = -1;
	while (next < n || busy) {
		for (size_t i = 0; i < parallel && next < n; i++) {
			if (all[i].child.fd >= 0)
				continue;
			all[i] = (struct running){ .pull = &pulls[next++] };
			all[i].child = (struct image_child){ .fn = fn, .arg = arg, .pull = all[i].pull, .fd = -1 };
			tell(fn, arg, all[i].pull, IMAGE_STARTED);
			if (all[i].pull->rc < 0 || start(&all[i], root_fd, &all[i].pull->err) < 0) {
				all[i].pull->rc = -1;
				failed++;
				tell(fn, arg, all[i].pull, IMAGE_ENDED);
				continue;
			}
			busy++;
		}
		for (size_t i = 0; i < parallel; i++)
			polls[i] = (struct pollfd){ .fd = all[i].child.fd, .events = POLLIN };
		if (busy && poll(polls, parallel, -1) < 0 && errno != EINTR) {
			err_sys(err, errno, "poll");
			failed = -1;
			break;
		}
		for (size_t i = 0; i < parallel && busy; i++) {
			struct image_pull *p = all[i].pull;
			int rc;
			if (polls[i].fd < 0 || !polls[i].revents || (rc = image_child_read(&all[i].child, &p->err)) == 0)
				continue;
			finish(&all[i], rc, fn, arg);
			failed += p->rc < 0;
			busy--;
		}
	}
	free(all);
	free(polls);
	return failed;
}

int image_fetch_start(const json_t *registry, int *lanes, pid_t *ret_pid, struct err *err)
{
	AUTO_CLOSE int conf = describe(registry, err);
	AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int theirs[LANE_MAX_LANES], rc;
	if (conf < 0 || null < 0)
		return conf < 0 ? -1 : err_sys(err, errno, "open /dev/null");
	rc = make_lanes(lanes, theirs, err);
	if (rc == 0)
		rc = spawn_fetch(conf, null, theirs, ret_pid, err);
	close_all(theirs, LANE_MAX_LANES);
	if (rc < 0)
		close_all(lanes, LANE_MAX_LANES);
	return rc;
}

int image_client_check_login(const json_t *registry, struct err *err)
{
	AUTO_JSON json_t *question = json_object();
	int lanes[LANE_MAX_LANES], rc;
	struct lane lane;
	char ignored;
	pid_t pid;
	if (image_fetch_start(registry, lanes, &pid, err) < 0)
		return -1;
	json_put_str(question, "op", "check");
	lane_init(&lane, lanes[0]);
	rc = lane_ask(&lane, question, err);
	if (rc == 0)
		rc = lane_read(&lane, &ignored, 1, err) < 0 ? -1 : 0;
	lane_done(&lane);
	kill(pid, SIGKILL); /* not reaped, so it is still that one */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	close_all(lanes, LANE_MAX_LANES);
	return rc;
}
