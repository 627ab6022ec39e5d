/* SPDX-License-Identifier: Apache-2.0 */
/* What a step sees of files: its own layers, RUN --mount, the here-document that it runs, hosts and resolv.conf. Sources are named layers,
 * merged read-only or with a throw-away upper directory; a path in them is resolved by the step's own process, from a descriptor and inside
 * their root, and what is mounted is a clone of that very descriptor (CVE-2024-23651, CVE-2024-9407). Secrets are files in the memory of the
 * step and nowhere else. */
#include "compose/build_exec.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "runtime/overlay.h"
#include "volumes/copyup.h"
#include "volumes/volume.h"

enum { CACHE_INSTANCES = 64, MAX_ID = 0xffffffff };

int step_memory_file(const char *name, const char *text, size_t n, struct err *err)
{
	AUTO_CLOSE int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "memfd");
	return fs_write_all(fd, text, n, err) < 0 ? -1 : TAKE_FD(fd);
}

/* layers/NAME/<what> */
static int open_layer(const struct step *s, const char *name, const char *what, struct err *err)
{
	AUTO_FREE char *path = NULL;
	int fd;
	if (!name || !executor_is_layer_name(name))
		return err_set(err, ERR_INVALID, "the builder names a layer that cannot be one");
	path = xasprintf("layers/%s/%s", name, what);
	fd = openat(s->exec->session.root_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "layer %.12s", name) : fd;
}

struct lower {
	int fds[EXECUTOR_MAX_LAYERS + 1];
	size_t n;
};

static void lower_done(struct lower *l)
{
	while (l->n)
		close(l->fds[--l->n]);
}

/* The named layers, bottom to top, above an empty one when there are fewer than `least`. */
static int lower_open(const struct step *s, const json_t *names, size_t least, struct lower *l, struct err *err)
{
	size_t n = json_array_size(names), i;
	json_t *name;
	l->n = 0;
	if (n > EXECUTOR_MAX_LAYERS)
		return err_set(err, ERR_INVALID, "%zu layers; at most %d are possible", n, EXECUTOR_MAX_LAYERS);
	if (n < least) {
		l->fds[0] = build_session_scratch(&s->exec->session, "empty", err);
		if (l->fds[0] < 0)
			return -1;
		l->n = 1;
	}
	json_array_foreach(names, i, name) {
		l->fds[l->n] = open_layer(s, json_string_value(name), "diff", err);
		if (l->fds[l->n] < 0)
			return -1;
		l->n++;
	}
	return 0;
}

/* The merged view as a detached mount; upper and work -1: read-only. */
static int merge(const struct step *s, const json_t *names, int upper_fd, int work_fd, struct err *err)
{
	CLEANUP(lower_done) struct lower l = { .n = 0 };
	struct overlay o = { .upper_fd = upper_fd, .work_fd = work_fd, .is_volatile = upper_fd >= 0 };
	if (lower_open(s, names, upper_fd >= 0 ? 1 : 2, &l, err) < 0)
		return -1;
	if (l.n < 2 && upper_fd < 0) { /* nothing at all: an overlay without upper has two layers at least */
		l.fds[l.n] = build_session_scratch(&s->exec->session, "empty2", err);
		if (l.fds[l.n] < 0)
			return -1;
		l.n++;
	}
	o.layer_fds = l.fds;
	o.n_layers = l.n;
	return overlay_detached(&o, err);
}

static int open_root(struct step *s, struct err *err)
{
	const char *upper = json_get_str(s->j, "upper", "");
	AUTO_CLOSE int work_fd = -1;
	if (!str_starts(upper, ".tmp-"))
		return err_set(err, ERR_INVALID, "the builder names a layer that cannot be written");
	s->upper_fd = open_layer(s, upper, "diff", err);
	work_fd = s->upper_fd < 0 ? -1 : open_layer(s, upper, "work", err);
	if (work_fd < 0)
		return -1;
	s->root_fd = merge(s, json_object_get(s->j, "layers"), s->upper_fd, work_fd, err);
	return s->root_fd < 0 ? -1 : 0;
}

/* bind: the merged source, and whether it is a directory. */
static int open_bind(struct step *s, struct step_mount *m, size_t i, const json_t *j, struct err *err)
{
	AUTO_CLOSE int upper_fd = -1;
	AUTO_CLOSE int work_fd = -1;
	AUTO_CLOSE int source = -1;
	char quoted[200], path[48];
	struct stat st;
	if (!json_get_bool(j, "read_only", true)) {
		snprintf(m->scratch, sizeof(m->scratch), "%s-%zu", s->name, i);
		snprintf(path, sizeof(path), "%s/diff", m->scratch);
		upper_fd = build_session_scratch(&s->exec->session, path, err);
		snprintf(path, sizeof(path), "%s/work", m->scratch);
		work_fd = upper_fd < 0 ? -1 : build_session_scratch(&s->exec->session, path, err);
		if (work_fd < 0)
			return -1;
	}
	m->fd = merge(s, json_object_get(j, "layers"), upper_fd, work_fd, err);
	if (m->fd < 0)
		return -1;
	m->source = xasprintf("/%s", json_get_str(j, "source", ""));
	source = fs_open_in_root(m->fd, m->source, O_PATH, 0);
	if (source < 0 || fstat(source, &st) < 0)
		return err_set(err, ERR_NOT_FOUND, "mount source \"%s\": not found", err_quote(quoted, sizeof(quoted), m->source));
	m->directory = S_ISDIR(st.st_mode);
	return 0;
}

static int open_seed(struct step *s, struct step_mount *m, const json_t *j, struct err *err)
{
	if (!json_is_array(json_object_get(j, "layers")))
		return 0;
	m->fill_root_fd = merge(s, json_object_get(j, "layers"), -1, -1, err);
	m->source = xasprintf("/%s", json_get_str(j, "source", ""));
	return m->fill_root_fd < 0 ? -1 : 0;
}

int step_open(struct step *s, struct err *err)
{
	const json_t *list = json_object_get(s->j, "mounts");
	size_t i;
	json_t *j;
	if (json_array_size(list) > EXECUTOR_MAX_MOUNTS)
		return err_set(err, ERR_INVALID, "%zu mounts; at most %d are possible", json_array_size(list), EXECUTOR_MAX_MOUNTS);
	for (i = 0; i < EXECUTOR_MAX_MOUNTS; i++)
		s->own[i].fd = s->own[i].lock_fd = s->own[i].fill_fd = s->own[i].fill_root_fd = -1;
	s->n_own = json_array_size(list);
	if (open_root(s, err) < 0)
		return -1;
	json_array_foreach(list, i, j) {
		const char *type = json_get_str(j, "type", ""), *target = json_get_str(j, "target", "");
		struct step_mount *m = &s->own[i];
		if (*target && *target != '/')
			return err_set(err, ERR_INVALID, "a mount target is not absolute");
		m->target = xstrdup(target);
		m->directory = true;
		if ((strcmp(type, "bind") == 0 && open_bind(s, m, i, j, err) < 0) || (strcmp(type, "cache") == 0 && open_seed(s, m, j, err) < 0))
			return err_wrap(err, "mount %s", target);
	}
	return 0;
}

/* --- caches: buildcache/mounts/<key>/<n>/_data with <n>.lock beside */

static unsigned get_id(const json_t *j, const char *key, unsigned def)
{
	int64_t v = json_get_int(j, key, -1);
	return v < 0 || v > MAX_ID ? def : (unsigned)v;
}

/* The directory of instance n, made when it is new, as volumes/copyup.h wants it. */
static int open_instance(int key_fd, const char *n, const json_t *j, struct err *err)
{
	AUTO_CLOSE int fd = fs_make_dir(key_fd, n, 0700, err);
	AUTO_CLOSE int data = -1;
	struct stat st;
	if (fd < 0)
		return -1;
	if (fstatat(fd, "_data", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return TAKE_FD(fd);
	data = fs_make_dir(fd, ".new", 0700, err);
	if (data < 0)
		return -1;
	if (fchown(data, get_id(j, "uid", 0), get_id(j, "gid", 0)) < 0 || fchmod(data, get_id(j, "mode", 0755) & 07777) < 0 ||
		renameat(fd, ".new", fd, "_data") < 0)
		return err_sys(err, errno, "make the cache");
	return TAKE_FD(fd);
}

/* Tries to get an instance of the cache by its sharing: 0, 1 when all that it may have are held, -1 + err. */
static int lock_instance(struct step *s, struct step_mount *m, const json_t *j, struct err *err)
{
	const char *key = json_get_str(j, "key", ""), *sharing = json_get_str(j, "sharing", "shared");
	const bool private = strcmp(sharing, "private") == 0;
	AUTO_FREE char *path = xasprintf("buildcache/mounts/%s", key);
	AUTO_CLOSE int key_fd = -1;
	if (strlen(key) != 64 || strspn(key, "0123456789abcdef") != 64)
		return err_set(err, ERR_INVALID, "the builder names a cache that cannot be one");
	key_fd = fs_make_dir(s->exec->session.root_fd, path, 0700, err);
	if (key_fd < 0)
		return -1;
	for (unsigned i = 0; i < (private ? CACHE_INSTANCES : 1); i++) {
		AUTO_CLOSE int lock = -1;
		char name[16], file[24];
		struct stat st;
		snprintf(name, sizeof(name), "%u", i);
		snprintf(file, sizeof(file), "%u.lock", i);
		lock = openat(key_fd, file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (lock < 0)
			return err_sys(err, errno, "open the cache's lock");
		if (flock(lock, (strcmp(sharing, "shared") == 0 ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0)
			continue;
		if (fstat(lock, &st) < 0 || st.st_nlink == 0)
			return 1; /* just removed by a prune */
		m->fill_fd = open_instance(key_fd, name, j, err);
		m->fd = m->fill_fd < 0 ? -1 : volume_open_data(m->fill_fd, err);
		if (m->fd < 0)
			return -1;
		m->lock_fd = TAKE_FD(lock);
		m->locked = true;
		return 0;
	}
	return 1;
}

static void unlock_caches(struct step *s)
{
	for (size_t i = 0; i < s->n_own; i++) {
		struct step_mount *m = &s->own[i];
		if (!m->locked)
			continue;
		util_close(&m->fd);
		util_close(&m->fill_fd);
		util_close(&m->lock_fd);
		m->locked = false;
	}
}

/* A cache that this step has under another target already. */
static const struct step_mount *same_cache(const struct step *s, const json_t *list, size_t n)
{
	const char *key = json_get_str(json_array_get(list, n), "key", "");
	for (size_t i = 0; i < n; i++)
		if (s->own[i].locked && strcmp(json_get_str(json_array_get(list, i), "key", ""), key) == 0)
			return &s->own[i];
	return NULL;
}

/* All or none: a step that waits holds nothing that another may wait for. */
int step_lock_caches(struct step *s, struct err *err)
{
	const json_t *list = json_object_get(s->j, "mounts");
	size_t i;
	json_t *j;
	json_array_foreach(list, i, j) {
		const struct step_mount *same;
		int rc = 0;
		if (strcmp(json_get_str(j, "type", ""), "cache") != 0)
			continue;
		same = same_cache(s, list, i);
		if (same) {
			s->own[i].fd = fcntl(same->fd, F_DUPFD_CLOEXEC, 3);
			s->own[i].locked = true;
		} else {
			rc = lock_instance(s, &s->own[i], j, err);
		}
		if (rc) {
			unlock_caches(s);
			return rc < 0 ? err_wrap(err, "cache mount %s", s->own[i].target) : 1;
		}
	}
	return 0;
}

/* --- the list of mounts */

static int fill_cache(int root_fd, const char *path, int volume_fd, struct err *err)
{
	return copyup_fill(root_fd, path, volume_fd, err) < 0 ? -1 : 0;
}

static struct container_mount *add_mount(struct step *s, enum container_mount_kind kind, const char *target, int source_fd)
{
	struct container_mount *m = &s->mounts[s->n_mounts++];
	*m = (struct container_mount){ .kind = kind, .target = target, .source_fd = source_fd, .fill_fd = -1, .fill_root_fd = -1 };
	return m;
}

static int find_given(const struct build_given *list, size_t n, const char *id)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].id, id) == 0)
			return list[i].fd;
	return -1;
}

/* The secret as a variable of the step's environment. */
static int add_secret_env(struct step *s, const char *name, int fd, struct err *err)
{
	AUTO_FREE char *value = xcalloc(BUILD_EXEC_MAX_SECRET_BYTES + 1, 1);
	ssize_t n = pread(fd, value, BUILD_EXEC_MAX_SECRET_BYTES, 0);
	if (n < 0)
		return err_sys(err, errno, "read the secret");
	strv_pushf(&s->env, "%s=%.*s", name, (int)strnlen(value, (size_t)n), value);
	explicit_bzero(value, (size_t)n);
	return 0;
}

static int add_secret(struct step *s, struct step_mount *own, const json_t *j, struct err *err)
{
	const char *id = json_get_str(j, "id", ""), *env = json_get_str(j, "env", NULL), *slash = strrchr(id, '/');
	int fd = find_given(s->exec->secrets, s->exec->n_secrets, id);
	struct container_mount *m;
	char quoted[128];
	if (fd < 0) {
		if (!json_get_bool(j, "required", false))
			return 0;
		return err_set(err, ERR_NOT_FOUND, "secret \"%s\" is required and was not given", err_quote(quoted, sizeof(quoted), id));
	}
	if (env && add_secret_env(s, *env ? env : id, fd, err) < 0)
		return -1;
	if (!*own->target && env)
		return 0;
	if (!*own->target) {
		free(own->target);
		own->target = xasprintf("/run/secrets/%s", slash ? slash + 1 : id);
	}
	own->directory = false;
	m = add_mount(s, CONTAINER_MOUNT_FILE, own->target, fd);
	m->read_only = true;
	m->mode = get_id(j, "mode", 0400);
	m->uid = get_id(j, "uid", 0);
	m->gid = get_id(j, "gid", 0);
	return 0;
}

static int add_ssh(struct step *s, struct step_mount *own, const json_t *j, size_t i, struct err *err)
{
	const char *id = json_get_str(j, "id", "");
	int agent = find_given(s->exec->agents, s->exec->n_agents, *id ? id : "default");
	char quoted[128];
	if (agent < 0) {
		if (!json_get_bool(j, "required", false))
			return 0;
		return err_set(err, ERR_NOT_FOUND, "ssh agent \"%s\" is required and was not given", err_quote(quoted, sizeof(quoted), *id ? id : "default"));
	}
	if (!*own->target) {
		free(own->target);
		own->target = xasprintf("/run/buildkit/ssh_agent.%zu", i);
		strv_pushf(&s->env, "SSH_AUTH_SOCK=%s", own->target);
	}
	own->directory = false;
	if (step_ssh_open(s, agent, get_id(j, "mode", 0600), get_id(j, "uid", 0), get_id(j, "gid", 0), &own->fd, err) < 0)
		return -1;
	add_mount(s, CONTAINER_MOUNT_BIND, own->target, own->fd);
	return 0;
}

static int add_one(struct step *s, const json_t *j, size_t i, struct err *err)
{
	const char *type = json_get_str(j, "type", "");
	struct step_mount *own = &s->own[i];
	struct container_mount *m;
	if (strcmp(type, "secret") == 0)
		return add_secret(s, own, j, err);
	if (strcmp(type, "ssh") == 0)
		return add_ssh(s, own, j, i, err);
	if (!*own->target)
		return err_set(err, ERR_INVALID, "a mount has no target");
	if (strcmp(type, "tmpfs") == 0) {
		m = add_mount(s, CONTAINER_MOUNT_TMPFS, own->target, -1);
		m->size_bytes = (uint64_t)MAX(json_get_int(j, "size_bytes", 0), 0);
		m->exec = true;
	} else if (strcmp(type, "bind") == 0) {
		m = add_mount(s, CONTAINER_MOUNT_BIND, own->target, own->fd);
		m->source_path = own->source;
		m->read_only = json_get_bool(j, "read_only", true);
	} else if (strcmp(type, "cache") == 0) {
		m = add_mount(s, CONTAINER_MOUNT_BIND, own->target, own->fd);
		m->read_only = json_get_bool(j, "read_only", false);
		if (own->fill_root_fd >= 0 && own->fill_fd >= 0) {
			m->fill = fill_cache;
			m->fill_fd = own->fill_fd;
			m->fill_root_fd = own->fill_root_fd;
			m->fill_path = own->source;
		}
	} else {
		return err_set(err, ERR_INVALID, "the builder asks for an unknown mount");
	}
	return 0;
}

/* A here-document that is run. */
static int add_script(struct step *s, struct err *err)
{
	const json_t *file = json_object_get(s->j, "file"), *data = json_object_get(file, "data");
	const char *name = json_get_str(file, "name", "");
	struct container_mount *m;
	if (!json_is_object(file))
		return 0;
	if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || !json_is_string(data))
		return err_set(err, ERR_INVALID, "the builder names a here-document that cannot be a file");
	s->file_fd = step_memory_file("script", json_string_value(data), json_string_length(data), err);
	if (s->file_fd < 0)
		return -1;
	s->script_target = xasprintf("/dev/pipes/%s", name);
	m = add_mount(s, CONTAINER_MOUNT_FILE, s->script_target, s->file_fd);
	m->mode = 0755;
	m->read_only = true;
	return 0;
}

int step_prepare_mounts(struct step *s, struct err *err)
{
	const json_t *list = json_object_get(s->j, "mounts");
	const struct {
		const char *target;
		int fd;
	} files[] = { { "/etc/hosts", s->hosts_fd }, { "/etc/resolv.conf", s->resolv_fd } };
	size_t i;
	json_t *j;
	s->n_mounts = 0;
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		struct container_mount *m = add_mount(s, CONTAINER_MOUNT_FILE, files[i].target, files[i].fd);
		m->mode = 0644;
		m->read_only = true;
	}
	json_array_foreach(list, i, j)
		if (add_one(s, j, i, err) < 0)
			return -1;
	return add_script(s, err);
}

/* Below what is mounted over it anyway nothing is made in the step's layer. */
static bool below_kernel_dirs(const char *target)
{
	return str_starts(target, "/dev/") || str_starts(target, "/proc/") || str_starts(target, "/sys/");
}

int step_make_mountpoints(struct step *s, struct err *err)
{
	static const char *const dirs[] = { "/proc", "/dev", "/sys" };
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mountpoints_make(&s->mountpoints, s->root_fd, dirs[i], true, err) < 0)
			return -1;
	for (size_t i = 0; i < s->n_mounts; i++) {
		const struct container_mount *m = &s->mounts[i];
		bool directory = m->kind == CONTAINER_MOUNT_TMPFS;
		for (size_t k = 0; k < s->n_own && m->kind == CONTAINER_MOUNT_BIND; k++)
			if (s->own[k].target == m->target)
				directory = s->own[k].directory;
		if (!below_kernel_dirs(m->target) && mountpoints_make(&s->mountpoints, s->root_fd, m->target, directory, err) < 0)
			return err_wrap(err, "mount %s", m->target);
	}
	return 0;
}

void step_mounts_done(struct step *s)
{
	unlock_caches(s);
	for (size_t i = 0; i < s->n_own; i++) {
		struct step_mount *m = &s->own[i];
		util_close(&m->fd);
		util_close(&m->fill_fd);
		util_close(&m->fill_root_fd);
		util_close(&m->lock_fd);
		if (*m->scratch)
			build_session_scratch_remove(&s->exec->session, m->scratch);
		free(m->target);
		free(m->source);
		m->target = m->source = NULL;
	}
	s->n_own = 0;
	free(s->script_target);
	s->script_target = NULL;
	util_close(&s->file_fd);
	util_close(&s->hosts_fd);
	util_close(&s->resolv_fd);
}
