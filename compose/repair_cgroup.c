/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroups of running containers that somebody else removes: they are made again with their limits, and the processes put back.
 *
 * inotify tells of every cgroup that goes below the project's; most are ours to remove, of containers that have ended. Only the end of one
 * whose container runs leads to a look, a moment later, at all of them: whoever removes one hierarchy's is mostly at the next one already. */
#include "compose/supervisor.h"

#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "base/log.h"

enum { LOOK_MS = 100 };

static bool lives(const struct unit *u)
{
	struct pollfd p = { .fd = u->proc.pidfd, .events = POLLIN };
	return u->phase == UNIT_RUNNING && u->proc.pidfd >= 0 && poll(&p, 1, 0) == 0;
}

static void mend(struct unit *u)
{
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_FREE char *path = record_cgroup(u->rec, u->sv->rootid), *text = NULL;
	struct model_service m = {0};
	struct cgroup_limits limits;
	struct cgroup *cg = NULL;
	struct err err = {0};
	int rc = model_read_service(u->rec->service, u->rec->config, a, &m, &err);
	limits = (struct cgroup_limits){ .memory_bytes = m.memory_bytes, .cpus = m.cpus, .pids = m.pids };
	if (rc == 0)
		rc = cgroup_mend(u->sv->cgroups, path, u->rec->pid, &limits, &cg, &err);
	if (rc == 0)
		return;
	if (cg) {
		cgroup_free(u->cgroup);
		u->cgroup = cg;
		u->oom_before = cgroup_oom_kills(cg);
	}
	text = rc < 0 ? xasprintf("%s: its cgroup was removed: %s", u->rec->name, err.msg) :
			xasprintf("%s: its cgroup was removed: made again, with its limits", u->rec->name);
	log_warn("%s", text);
	server_notice(u->sv, text);
}

static void look(struct loop_timer *t)
{
	struct supervisor *sv = CONTAINER_OF(t, struct supervisor, cgroups_timer);
	for (size_t i = 0; i < sv->n_units; i++)
		if (lives(sv->units[i]))
			mend(sv->units[i]);
	repair_cgroups(sv); /* the parent may be another one now */
}

static bool is_of_living(const struct supervisor *sv, const char *name)
{
	for (size_t i = 0; i < sv->n_units; i++)
		if (strncmp(sv->units[i]->rec->id, name, SHORT_ID) == 0)
			return lives(sv->units[i]);
	return false;
}

static void cgroups_event(struct loop_source *s, uint32_t events)
{
	struct supervisor *sv = CONTAINER_OF(s, struct supervisor, cgroups_source);
	_Alignas(struct inotify_event) char buf[16384];
	bool wanted = false;
	ssize_t n;
	(void)events;
	while ((n = read(s->fd, buf, sizeof(buf))) > 0)
		for (const char *p = buf; p < buf + n;) {
			const struct inotify_event *e = (const void *)p;
			if (e->mask & (IN_DELETE_SELF | IN_Q_OVERFLOW)) {
				wanted = true;
				sv->cgroups_watched = false;
			} else if (e->len && is_of_living(sv, e->name)) {
				wanted = true;
			}
			p += sizeof(*e) + e->len;
		}
	if (wanted && !sv->cgroups_timer.loop)
		loop_timer_set(&sv->loop, &sv->cgroups_timer, LOOK_MS, look);
}

void repair_cgroups(struct supervisor *sv)
{
	struct err err = {0};
	char path[512];
	int fd = sv->cgroups_source.fd, n;
	if (sv->cgroups_watched)
		return;
	snprintf(path, sizeof(path), "muster-%s/%s/c", sv->rootid, sv->project);
	if (!fd) {
		fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (fd < 0 || loop_add(&sv->loop, &sv->cgroups_source, fd, EPOLLIN, cgroups_event, &err) < 0) {
			log_warn("cgroups are not watched: %s", fd < 0 ? strerror(errno) : err.msg);
			util_close(&fd);
			sv->cgroups_watched = true; /* not tried again: everything else works without */
			return;
		}
	}
	n = cgroup_watch(sv->cgroups, path, fd, &err);
	if (n < 0)
		log_warn("%s", err.msg);
	sv->cgroups_watched = n != 0;
}

void repair_cgroups_open(struct supervisor *sv)
{
	loop_timer_set(&sv->loop, &sv->cgroups_timer, LOOK_MS, look);
}
