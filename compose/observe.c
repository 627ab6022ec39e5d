/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a project's records and checking them against the kernel. A container that state.json calls running is so only when
 * its pid lives with the recorded start time; otherwise the anchor's exit notes tell its status, else it is unknown. */
#include "compose/observe.h"

#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "compose/anchor.h"

enum { SETTLE_STEP_US = 1000, SETTLE_MAX_NS = 200000000 };

static int compare_records(const void *a, const void *b)
{
	const struct record *x = *(struct record *const *)a, *y = *(struct record *const *)b;
	int c = strcmp(x->service, y->service);
	if (c == 0)
		c = (int)x->oneoff - (int)y->oneoff;
	if (c == 0)
		c = x->number < y->number ? -1 : x->number > y->number;
	return c ? c : strcmp(x->name, y->name);
}

void observe_sort(struct observed *o)
{
	if (o->n)
		qsort(o->containers, o->n, sizeof(*o->containers), compare_records);
}

struct scan {
	int project_fd, run_fd;
	struct observed *o;
	size_t cap;
};

static int scan_one(void *arg, const char *name)
{
	struct scan *s = arg;
	struct record *r = NULL;
	if (strlen(name) != SHORT_ID)
		return 0;
	if (record_load(s->project_fd, s->run_fd, name, &r, NULL) < 0) {
		strv_push(&s->o->torn, name);
		return 0;
	}
	s->o->containers = vec_grow(s->o->containers, s->o->n, &s->cap, sizeof(*s->o->containers));
	s->o->containers[s->o->n++] = r;
	return 0;
}

static bool just_ended(const struct record *r)
{
	return r->status == STATUS_RUNNING && !proc_is(r->pid, r->pid_ticks);
}

/* Its supervisor is at work between the end of the process and that of its log, a matter of milliseconds: "exited" is said when everything
 * that it wrote can be read. Not waited for longer than until the deadline: the supervisor may itself be dead or stopped. */
static void await_end(struct record **r, const struct scan *s, uint64_t deadline_ns)
{
	while (just_ended(*r) && clock_mono_ns() < deadline_ns) {
		char id[SHORT_ID + 1];
		struct record *now = NULL;
		snprintf(id, sizeof(id), "%.*s", SHORT_ID, (*r)->id);
		usleep(SETTLE_STEP_US);
		if (record_load(s->project_fd, s->run_fd, id, &now, NULL) < 0)
			return;
		record_free(*r);
		*r = now;
	}
}

/* A record that claims to run although its process is gone: what is recorded of its end, else the anchor's note. When there is neither, the
 * supervisor is just about to record it; without one it is unknown. */
static void settle(struct record *r, int run_fd, bool supervised)
{
	struct anchor_exit note;
	if (!just_ended(r))
		return;
	if (r->finished_ns && r->finished_ns >= r->started_ns) {
		r->status = STATUS_EXITED;
	} else if (run_fd >= 0 && anchor_find_exit(run_fd, r->pid, r->pid_ticks, &note)) {
		r->status = STATUS_EXITED;
		r->exit_code = proc_exit_code((int)note.wstatus);
		r->finished_ns = note.time_ns;
	} else if (!supervised) {
		r->status = STATUS_EXITED;
		r->exit_code = -1;
	}
}

/* True when somebody holds the lock file. */
static bool lock_held(int run_fd)
{
	AUTO_CLOSE int fd = openat(run_fd, "anchor.lock", O_RDWR | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

bool observe_supervised(const struct paths *p, const char *project)
{
	AUTO_CLOSE int run_fd = paths_run(p, project, false, NULL);
	return run_fd >= 0 && lock_held(run_fd);
}

int observe_project(const struct paths *p, const char *project, struct observed *ret, struct err *err)
{
	AUTO_CLOSE int project_fd = -1;
	AUTO_CLOSE int run_fd = -1;
	AUTO_JSON json_t *desired = NULL;
	struct observed o = { .project = xstrdup(project) };
	struct scan scan = { .o = &o };
	struct err e = {0};
	uint64_t deadline_ns;
	run_fd = paths_run(p, project, false, NULL);
	project_fd = paths_project(p, project, false, &e);
	o.supervised = run_fd >= 0 && lock_held(run_fd);
	if (project_fd < 0) {
		if (e.sys == ENOENT)
			goto done;
		observe_done(&o);
		*err = e;
		return -1;
	}
	scan.project_fd = project_fd;
	scan.run_fd = run_fd;
	if (fs_each_if_any(project_fd, "c", scan_one, &scan, err) < 0) { /* a `down` may be removing it all right now */
		observe_done(&o);
		return -1;
	}
	if (json_read_file(project_fd, "desired.json", &desired, NULL) == 0) {
		o.working_dir = xstrdup(json_get_str(desired, "working_dir", ""));
		json_get_strv(desired, "config_files", &o.config_files);
	}
	deadline_ns = clock_mono_ns() + SETTLE_MAX_NS;
	for (size_t i = 0; i < o.n; i++) {
		if (o.supervised)
			await_end(&o.containers[i], &scan, deadline_ns);
		settle(o.containers[i], run_fd, o.supervised);
	}
	observe_sort(&o);
done:
	if (!o.working_dir)
		o.working_dir = xstrdup("");
	*ret = o;
	return 0;
}

void observe_done(struct observed *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->n; i++)
		record_free(o->containers[i]);
	free(o->containers);
	free(o->project);
	free(o->working_dir);
	strv_done(&o->config_files);
	strv_done(&o->torn);
	*o = (struct observed){0};
}

static int push_name(void *arg, const char *name)
{
	if (name[0] != '.')
		strv_push(arg, name);
	return 0;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int observe_projects(const struct paths *p, struct strv *ret, struct err *err)
{
	if (p->root_fd < 0)
		return 0;
	if (fs_each_if_any(p->root_fd, "projects", push_name, ret, err) < 0)
		return -1;
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare_strings);
	return 0;
}

struct record *observe_find(const struct observed *o, const char *service, unsigned index)
{
	struct record *first = NULL;
	for (size_t i = 0; i < o->n; i++) {
		struct record *r = o->containers[i];
		if (r->oneoff || strcmp(r->service, service) != 0 || (index && r->number != index))
			continue;
		if (index || r->status == STATUS_RUNNING)
			return r;
		if (!first)
			first = r;
	}
	return first;
}
