/* SPDX-License-Identifier: Apache-2.0 */
/* A new container: id, labels, resolved mounts, directories, record. Nothing runs yet, and all of it can be removed again. */
#include "compose/service_options.h"
#include "compose/supervisor.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "volumes/volume.h"

int unit_save(struct unit *u, bool durable, struct err *err)
{
	return record_save(u->rec, u->sv->project_fd, durable, err);
}

static void label_list(json_t *labels, const char *key, const char **list)
{
	AUTO_STR struct str s = {0};
	for (; list && *list; list++)
		str_addf(&s, "%s%s", s.len ? "," : "", *list);
	json_put_str(labels, key, str_get(&s));
}

static void label_depends(json_t *labels, const struct model_service *m)
{
	static const char *const names[DEPEND_N_] = {
		[DEPEND_STARTED] = "service_started", [DEPEND_HEALTHY] = "service_healthy", [DEPEND_COMPLETED] = "service_completed_successfully",
	};
	AUTO_STR struct str s = {0};
	for (size_t i = 0; i < m->n_depends_on; i++)
		str_addf(&s, "%s%s:%s:%s", s.len ? "," : "", m->depends_on[i].service, names[m->depends_on[i].condition],
			 m->depends_on[i].restart ? "true" : "false");
	json_put_str(labels, "com.docker.compose.depends_on", str_get(&s));
}

void unit_put_labels(struct record *r, const struct desired *d, const struct desired_service *s)
{
	json_t *image_labels = json_object_get(r->image, "labels"), *labels = json_object();
	char number[16];
	if (json_is_object(image_labels))
		json_object_update(labels, image_labels);
	for (size_t i = 0; i < s->model.n_labels; i++)
		json_put_str(labels, s->model.labels[i].key, s->model.labels[i].value ? s->model.labels[i].value : "");
	snprintf(number, sizeof(number), "%u", r->number);
	json_put_str(labels, "com.docker.compose.project", d->project);
	json_put_str(labels, "com.docker.compose.service", r->service);
	json_put_str(labels, "com.docker.compose.container-number", number);
	json_put_str(labels, "com.docker.compose.oneoff", r->oneoff ? "True" : "False");
	json_put_str(labels, "com.docker.compose.config-hash", s->hash);
	json_put_str(labels, "com.docker.compose.image", s->image.id);
	json_put_str(labels, "com.docker.compose.project.working_dir", d->working_dir);
	label_list(labels, "com.docker.compose.project.config_files", d->config_files);
	if (d->environment_files[0])
		label_list(labels, "com.docker.compose.project.environment_file", d->environment_files);
	json_put_str(labels, "com.docker.compose.version", MUSTER_VERSION);
	label_depends(labels, &s->model);
	json_decref(r->labels);
	r->labels = labels;
}

static void add_mount(struct record *r, struct record_mount m)
{
	r->mounts = xrealloc(r->mounts, r->n_mounts + 1, sizeof(*r->mounts));
	r->mounts[r->n_mounts++] = m;
}

static bool has_tmpfs(const struct record *r, const char *target)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct service_options o = {0};
	const char *key;
	if (service_options_read(r->config, a, &o, &key, NULL) == 0)
		for (size_t i = 0; i < o.n_tmpfs; i++)
			if (strcmp(o.tmpfs[i].target, target) == 0)
				return true;
	return false;
}

static bool has_target(const struct record *r, const char *target)
{
	for (size_t i = 0; i < r->n_mounts; i++)
		if (strcmp(r->mounts[i].target, target) == 0)
			return true;
	return false;
}

/* The name of the anonymous volume that the replaced container had at target; NULL when there is none. */
static const char *inherited(const struct unit *old, const char *target)
{
	for (size_t i = 0; old && i < old->rec->n_mounts; i++)
		if (old->rec->mounts[i].anonymous && strcmp(old->rec->mounts[i].target, target) == 0)
			return old->rec->mounts[i].source;
	return NULL;
}

/* Only its name: the volume is made when the record that tells of it is written. */
static void add_anonymous(struct unit *u, const struct unit *old, const char *target, bool read_only, bool nocopy)
{
	const char *kept = inherited(old, target);
	char name[65] = "";
	random_hex(name, 64);
	add_mount(u->rec, (struct record_mount){ .kind = MOUNT_VOLUME, .source = xstrdup(kept ? kept : name), .target = xstrdup(target),
						 .read_only = read_only, .anonymous = true, .nocopy = nocopy });
}

static int make_anonymous(struct unit *u, struct err *err)
{
	AUTO_JSON json_t *labels = json_pack("{s:s,s:s}", "com.docker.compose.project", u->rec->project, "com.docker.volume.anonymous", "");
	for (size_t i = 0; i < u->rec->n_mounts; i++)
		if (u->rec->mounts[i].anonymous && volume_create(ANCHOR_FD_ROOT, u->rec->mounts[i].source, labels, NULL, err) < 0)
			return err_wrap(err, "anonymous volume for %s", u->rec->mounts[i].target);
	return 0;
}

static int resolve_mounts(struct unit *u, const struct desired *d, const struct desired_service *s, const struct unit *old, struct err *err)
{
	for (size_t i = 0; i < s->model.n_mounts; i++) {
		const struct model_mount *m = &s->model.mounts[i];
		const struct desired_volume *v = m->kind == MOUNT_VOLUME && m->source ? desired_volume(d, m->source) : NULL;
		if (m->kind == MOUNT_VOLUME && !m->source) {
			add_anonymous(u, old, m->target, m->read_only, m->nocopy);
			continue;
		}
		if (m->kind == MOUNT_VOLUME && !v)
			return err_set(err, ERR_INVALID, "undefined volume %s", m->source);
		add_mount(u->rec, (struct record_mount){ .kind = m->kind, .source = xstrdup(v ? v->name : m->source ? m->source : ""),
							 .target = xstrdup(m->target), .read_only = m->read_only, .nocopy = m->nocopy,
							 .create_host_path = m->create_host_path });
	}
	for (const char **v = s->image.volumes; v && *v; v++)
		if (!has_target(u->rec, *v) && !has_tmpfs(u->rec, *v))
			add_anonymous(u, old, *v, false, false);
	return 0;
}

/* Directories of the container on disk: overlay's two, and the log's. */
static int make_dirs(struct unit *u, struct err *err)
{
	static const char *const dirs[] = { "upper", "work", "log" };
	char rel[SHORT_ID + 4];
	AUTO_CLOSE int fd = -1;
	snprintf(rel, sizeof(rel), "c/%.*s", SHORT_ID, u->rec->id);
	fd = fs_make_dir(u->sv->project_fd, rel, 0700, err);
	if (fd < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mkdirat(fd, dirs[i], i == 2 ? 0700 : 0755) < 0 && errno != EEXIST)
			return err_sys(err, errno, "create directory %s", dirs[i]);
	return 0;
}

/* Gives up a container that was not completed; the volumes that it was to inherit stay with the one that has them. */
static void undo(struct unit *u, const struct unit *old)
{
	struct err ignored = {0};
	for (size_t i = 0; i < u->rec->n_mounts; i++) {
		const char *kept = inherited(old, u->rec->mounts[i].target);
		if (kept && strcmp(kept, u->rec->mounts[i].source) == 0)
			u->rec->mounts[i].anonymous = false;
	}
	unit_remove(u, true, &ignored);
}

struct unit *unit_create(struct op *op, const struct action *a, struct err *err)
{
	struct record *r = record_new();
	struct unit *u = supervisor_add_unit(op->sv, r), *old = a->inherit_volumes && a->id_old ? supervisor_find(op->sv, a->id_old) : NULL;
	const struct desired_service *s = a->desired;
	record_new_id(r->id);
	r->name = xstrdup(a->name);
	r->project = xstrdup(op->desired.project);
	r->service = xstrdup(s->name);
	r->number = a->number;
	r->generation = op->generation;
	r->config = json_incref((json_t *)(uintptr_t)s->config);
	r->image = json_incref((json_t *)(uintptr_t)s->image_json);
	r->hash = xstrdup(s->hash);
	r->created_ns = clock_real_ns();
	r->want = WANT_STOPPED;
	r->status = STATUS_CREATED;
	unit_put_labels(r, &op->desired, s);
	if (op->oneoff && s == op->oneoff)
		op_run_record(op, r);
	if (resolve_mounts(u, &op->desired, s, old, err) < 0 || make_dirs(u, err) < 0 || failpoint_err("create.dirs", err) < 0 ||
	    unit_save(u, false, err) < 0 || failpoint_err("create.saved", err) < 0 || make_anonymous(u, err) < 0 ||
	    failpoint_err("create.volumes", err) < 0) {
		undo(u, old);
		return NULL;
	}
	return u;
}
