/* SPDX-License-Identifier: Apache-2.0 */
/* image save; export, commit and diff of a container. The work is done by muster-image in its jail; here are the names, the container's
 * directory and the file that is written: under a name of its own first, so that no half archive is ever taken for a whole one. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "compose/cmd.h"
#include "compose/image_client.h"
#include "runtime/cgroup.h"

/* Where an archive goes. */
struct output {
	char *path, *tmp;   /* NULL: standard output */
	int fd;
	bool unnamed;       /* tmp is the name that it will have for a moment: killed before, nothing is left of it */
};

static int output_open(const struct app *app, const char *what, const char *path, struct output *ret)
{
	AUTO_FREE char *folder = NULL;
	const char *slash;
	char random[17];
	*ret = (struct output){ .fd = -1 };
	if (!*path) {
		if (isatty(1))
			return cmd_failf(app, "%s: standard output is a terminal: use --output FILE or redirect it", what);
		ret->fd = dup(1);
		return ret->fd < 0 ? cmd_failf(app, "%s: %s", what, strerror(errno)) : 0;
	}
	random_hex(random, 16);
	ret->path = xstrdup(path);
	ret->tmp = xasprintf("%s.tmp-%s", path, random);
	slash = strrchr(path, '/');
	folder = slash ? xstrndup(path, (size_t)MAX(slash - path, 1)) : xstrdup(".");
	ret->fd = open(folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
	ret->unnamed = ret->fd >= 0;
	if (!ret->unnamed) /* a file system without such files, or no folder */
		ret->fd = open(ret->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return ret->fd < 0 ? cmd_failf(app, "%s: create %s: %s", what, ret->tmp, strerror(errno)) : 0;
}

/* Gives an unnamed file the name that the final one is made of. */
static int output_link(const struct output *o)
{
	char path[32];
	return o->unnamed ? linkat(AT_FDCWD, fs_fd_path(o->fd, path), AT_FDCWD, o->tmp, AT_SYMLINK_FOLLOW) : 0;
}

/* ok: it is whole and takes its name. 0, or 1 after a message. */
static int output_close(const struct app *app, struct output *o, bool ok)
{
	int rc = 0;
	if (o->tmp && ok && (fsync(o->fd) < 0 || failpoint("archive.written") < 0 || output_link(o) < 0 || rename(o->tmp, o->path) < 0))
		rc = cmd_failf(app, "write %s: %s", o->path, strerror(errno));
	else if (o->tmp && ok)
		failpoint("archive.named");
	if (o->tmp && (!ok || rc))
		unlink(o->tmp);
	util_close(&o->fd);
	free(o->path);
	free(o->tmp);
	return rc;
}

static void tell_warning(void *arg, const struct image_event *ev)
{
	if (ev->kind == IMAGE_WARNING)
		cmd_warn(arg, "%s", ev->text);
}

int cmd_image_save(struct app *app)
{
	const struct strv *names = &app->args->args;
	AUTO_STRV struct strv argv = {0};
	struct output o;
	struct err err;
	int rc;
	if (cmd_paths(app, true))
		return 1;
	strv_push(&argv, "muster-image");
	strv_push(&argv, "save");
	strv_push(&argv, "--format");
	strv_push(&argv, cli_str(app->args, "format"));
	if (*cli_str(app->args, "compression")) {
		strv_push(&argv, "--compression");
		strv_push(&argv, cli_str(app->args, "compression"));
	}
	for (size_t i = 0; i < names->n; i++)
		strv_push(&argv, names->v[i]);
	if (app->dry_run) {
		for (size_t i = 0; i < names->n; i++)
			cmd_dry_run(app, "Image", names->v[i], "Save");
		return 0;
	}
	if (output_open(app, "image save", cli_str(app->args, "output"), &o))
		return 1;
	rc = image_client_run(app->paths.root_fd, o.fd, -1, argv.v, tell_warning, app, NULL, &err);
	if (rc < 0)
		cmd_fail(app, &err);
	return output_close(app, &o, rc == 0) || rc < 0;
}

/* ---- containers ---- */

/* The container of SERVICE (--index), its image's id and its upper directory (-1: it was never started, so it has changed nothing). */
struct subject {
	struct observed o;
	const struct record *r;
	const char *image_id;
	int upper_fd;
};

static int subject_open(struct app *app, struct subject *s)
{
	const char *service = app->args->args.v[0], *project, *id;
	int64_t index = cli_int(app->args, "index");
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int dir = -1;
	char quoted[100];
	struct err err;
	int rc;
	*s = (struct subject){ .upper_fd = -1 };
	rc = cmd_observe(app, &project, &s->o);
	if (rc)
		return rc;
	s->r = observe_find(&s->o, service, index > 0 ? (unsigned)index : 0);
	if (!s->r) {
		AUTO_STRV struct strv one = {0};
		strv_push(&one, service);
		if (cmd_check_services(app, &s->o, &one) == 0)
			cmd_failf(app, "service \"%s\" has no container%s", err_quote(quoted, sizeof(quoted), service), index > 0 ? " with this index" : "");
		return 1;
	}
	id = json_get_str(s->r->image, "id", "");
	s->image_id = str_starts(id, "sha256:") ? id + strlen("sha256:") : id;
	dir = paths_project(&app->paths, project, false, &err);
	if (dir < 0)
		return cmd_fail(app, &err);
	path = xasprintf("c/%.12s/upper", s->r->id);
	s->upper_fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->upper_fd < 0)
		return cmd_failf(app, "container %s: open its directory: %s", s->r->name, strerror(errno));
	return 0;
}

static void subject_done(struct subject *s)
{
	util_close(&s->upper_fd);
	observe_done(&s->o);
}

static int run_on(struct app *app, const struct subject *s, const char *task, int output_fd)
{
	char *const argv[] = { (char *)(uintptr_t)"muster-image", (char *)(uintptr_t)task, (char *)(uintptr_t)s->image_id, NULL };
	struct err err;
	if (image_client_run(app->paths.root_fd, output_fd, s->upper_fd, argv, tell_warning, app, NULL, &err) == 0)
		return 0;
	err_wrap(&err, "container %s", s->r->name);
	return cmd_fail(app, &err);
}

int cmd_export(struct app *app)
{
	struct subject s;
	struct output o;
	int rc = subject_open(app, &s);
	if (rc == 0 && app->dry_run) {
		cmd_dry_run(app, "Container", s.r->name, "Export");
		subject_done(&s);
		return 0;
	}
	if (rc == 0)
		rc = output_open(app, "export", cli_str(app->args, "output"), &o);
	if (rc == 0) {
		rc = run_on(app, &s, "export", o.fd);
		rc = output_close(app, &o, rc == 0) || rc;
	}
	subject_done(&s);
	return rc;
}

int cmd_diff(struct app *app)
{
	struct subject s;
	int rc = subject_open(app, &s);
	if (rc == 0)
		rc = run_on(app, &s, "diff", 1);
	subject_done(&s);
	return rc;
}

static void put_member(json_t *to, const char *key, json_t *from, const char *name)
{
	json_t *v = json_object_get(from, name);
	if (v && !json_is_null(v))
		json_object_set(to, key, v);
}

/* What the container runs with in place of its image's configuration. */
static json_t *container_config(const struct record *r)
{
	AUTO_STRV struct strv env = {0};
	json_t *j = json_object(), *labels = json_object(), *value;
	const char *key, *text;
	record_environment(r, &env);
	json_object_set_new(j, "Env", json_from_strv(env.v));
	put_member(j, "Entrypoint", r->config, "entrypoint");
	put_member(j, "Cmd", r->config, "command");
	if ((text = json_get_str(r->config, "user", NULL)))
		json_put_str(j, "User", text);
	if ((text = json_get_str(r->config, "working_dir", NULL)))
		json_put_str(j, "WorkingDir", text);
	json_object_foreach(r->labels, key, value)
		json_object_set(labels, key, value);
	json_object_set_new(j, "Labels", labels);
	return j;
}

static void push_option(struct strv *argv, const char *option, const char *value)
{
	if (!value || !*value)
		return;
	strv_push(argv, option);
	strv_push(argv, value);
}

/* ---- commit ---- */

/* A container that stands still as long as a pipe is open: a child lets it go on when we close our end, die or are killed. */
struct pause {
	int fd;
	pid_t pid;
};

static int pause_begin(struct app *app, const struct record *r, struct pause *ret, struct err *err)
{
	AUTO_FREE char *path = record_cgroup(r, app->paths.rootid);
	struct cgroup_host *h = NULL;
	AUTO_CGROUP struct cgroup *cg = NULL;
	int fds[2], rc = -1;
	*ret = (struct pause){ .fd = -1 };
	if (r->status != STATUS_RUNNING)
		return 0;
	if (cgroup_host_open(&h, err) < 0 || cgroup_open(h, path, &cg, err) != 0 || pipe2(fds, O_CLOEXEC) < 0) {
		cgroup_host_close(h);
		return err_set(err, ERR_UNSUPPORTED, "cannot be paused (try --pause=false)");
	}
	ret->pid = fork();
	if (ret->pid == 0) {
		char c;
		setsid();
		close(fds[1]);
		while (read(fds[0], &c, 1) < 0 && errno == EINTR)
			;
		cgroup_freeze(cg, false, NULL);
		_exit(0);
	}
	close(fds[0]);
	ret->fd = fds[1];
	if (ret->pid > 0)
		rc = cgroup_freeze(cg, true, err);
	else
		err_sys(err, errno, "fork");
	cgroup_free(TAKE_PTR(cg));
	cgroup_host_close(h);
	return rc;
}

static void pause_end(struct pause *p)
{
	util_close(&p->fd);
	while (p->pid > 0 && waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int commit(struct app *app, const struct subject *s)
{
	const struct cli_args *a = app->args;
	AUTO_STRV struct strv argv = {0};
	AUTO_JSON json_t *config = container_config(s->r);
	AUTO_FREE char *text = json_canonical(config), *command = record_command(s->r);
	const struct strv *changes = cli_list(a, "change");
	struct pause pause = { .fd = -1 };
	char id[65];
	struct err err;
	int rc;
	strv_push(&argv, "muster-image");
	strv_push(&argv, "commit");
	strv_push(&argv, s->image_id);
	push_option(&argv, "--name", a->args.n > 1 ? a->args.v[1] : NULL);
	push_option(&argv, "--author", cli_str(a, "author"));
	push_option(&argv, "--message", cli_str(a, "message"));
	push_option(&argv, "--created-by", command);
	push_option(&argv, "--config", text);
	for (size_t i = 0; i < changes->n; i++)
		push_option(&argv, "--change", changes->v[i]);
	rc = cli_bool(a, "pause") ? pause_begin(app, s->r, &pause, &err) : 0;
	if (rc == 0)
		rc = image_client_run(app->paths.root_fd, -1, s->upper_fd, argv.v, tell_warning, app, id, &err);
	pause_end(&pause);
	if (rc < 0) {
		err_wrap(&err, "container %s", s->r->name);
		return cmd_fail(app, &err);
	}
	printf("sha256:%s\n", id);
	return fflush(stdout) ? 1 : 0;
}

int cmd_commit(struct app *app)
{
	struct subject s;
	int rc = subject_open(app, &s);
	if (rc == 0 && app->dry_run)
		cmd_dry_run(app, "Container", s.r->name, "Commit");
	else if (rc == 0)
		rc = commit(app, &s);
	subject_done(&s);
	return rc;
}
