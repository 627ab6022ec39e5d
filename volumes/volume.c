/* SPDX-License-Identifier: Apache-2.0 */
/* Named volumes on disk. Whoever changes the set of volumes holds volumes/.lock for the few system calls it takes; leftovers
 * (.new-*, .gone-*) found under the lock are nobody's any more and are deleted after it is released, as their trees may be
 * large. */
#include "volumes/volume.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "volumes/copyup.h"

enum { VOLUME_SCHEMA = 1, MAX_NAME = 255, ANONYMOUS_DIGITS = 64 };

#define NEW_PREFIX ".new-"
#define GONE_PREFIX ".gone-"

static bool is_name(const char *name)
{
	size_t n = strlen(name);
	if (n == 0 || n > MAX_NAME || !isalnum((unsigned char)*name))
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '_' && *name != '.' && *name != '-')
			return false;
	return true;
}

static int check_name(const char *name, struct err *err)
{
	char shown[128];
	if (is_name(name))
		return 0;
	return err_set(err, ERR_INVALID,
		"\"%s\" is not a volume name: only letters, digits, \"_\", \".\" and \"-\", a letter or digit first",
		err_quote(shown, sizeof(shown), name));
}

/* The folder of all volumes, made when missing. */
static int open_folder(int root_fd, struct err *err)
{
	int fd = fs_make_dir(root_fd, "volumes", 0700, err);
	return fd < 0 ? err_wrap(err, "volumes") : fd;
}

static int lock_folder(int folder, struct err *err)
{
	AUTO_CLOSE int fd = openat(folder, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, errno, "volumes: open the lock");
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "volumes: lock");
	return TAKE_FD(fd);
}

static int add_leftover(void *arg, const char *name)
{
	if (str_starts(name, NEW_PREFIX) || str_starts(name, GONE_PREFIX))
		strv_push(arg, name);
	return 0;
}

/* Unlocks, then deletes what earlier processes left. That it stays when it cannot be deleted hurts nobody. */
static void unlock_and_sweep(int folder, int *lock, struct strv *leftovers)
{
	util_close(lock);
	failpoint("volume.sweep");
	for (size_t i = 0; i < leftovers->n; i++)
		fs_remove_tree(folder, leftovers->v[i], NULL);
}

static json_t *make_meta(const char *name, const json_t *labels, bool anonymous)
{
	json_t *meta = json_object(), *copy = labels ? json_deep_copy(labels) : json_object();
	const uint64_t now = clock_real_ns();
	char text[40];
	json_put_int(meta, "schema", VOLUME_SCHEMA);
	json_put_str(meta, "name", name);
	json_put_str(meta, "driver", "local");
	json_put_str(meta, "created", clock_rfc3339(now, text));
	json_put_int(meta, "created_ns", (int64_t)now);
	json_object_set_new(meta, "anonymous", json_boolean(anonymous));
	json_object_set_new(meta, "labels", copy);
	return meta;
}

/* Makes tmp whole, on disk, and renames it. Under the lock, so that "not there" stays true. */
static int build(int folder, const char *tmp, const char *name, const json_t *meta, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	if (failpoint("volume.make") < 0 || mkdirat(folder, tmp, 0700) < 0)
		return err_sys(err, errno, "create");
	fd = fs_open_dir(folder, tmp, err);
	if (fd < 0)
		return -1;
	if (mkdirat(fd, "_data", 0755) < 0 || fchmodat(fd, "_data", 0755, 0) < 0)
		return err_sys(err, errno, "create");
	if (json_write_file(fd, "meta.json", meta, true, err) < 0)
		return -1;
	if (failpoint("volume.rename") < 0 || renameat(folder, tmp, folder, name) < 0)
		return err_sys(err, errno, "rename");
	return failpoint("volume.renamed") < 0 || fsync(folder) < 0 ? err_sys(err, errno, "sync") : 0;
}

int volume_create(int root_fd, const char *name, const json_t *labels, char **ret_name, struct err *err)
{
	const bool anonymous = !name || !*name;
	char digits[ANONYMOUS_DIGITS + 1], tmp[32] = NEW_PREFIX;
	AUTO_STRV struct strv leftovers = {0};
	AUTO_CLOSE int folder = -1, lock = -1;
	AUTO_JSON json_t *meta = NULL;
	struct stat st;
	int rc = 0;
	if (anonymous) {
		random_hex(digits, ANONYMOUS_DIGITS);
		name = digits;
	} else if (check_name(name, err) < 0) {
		return -1;
	}
	folder = open_folder(root_fd, err);
	if (folder < 0)
		return -1;
	lock = lock_folder(folder, err);
	if (lock < 0 || fs_each(folder, ".", add_leftover, &leftovers, err) < 0)
		return -1;
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		rc = S_ISDIR(st.st_mode) ? 1 : err_set(err, ERR_EXISTS, "volume %s: something else has that name", name);
	} else {
		random_hex(tmp + strlen(tmp), 16);
		meta = make_meta(name, labels, anonymous);
		rc = build(folder, tmp, name, meta, err);
		if (rc < 0) {
			fs_remove_tree(folder, tmp, NULL);
			err_wrap(err, "volume %s", name);
		}
	}
	unlock_and_sweep(folder, &lock, &leftovers);
	if (rc >= 0 && ret_name)
		*ret_name = xstrdup(name);
	return rc;
}

/* Reads meta.json of the volume in fd; a damaged one counts as absent. */
static void read_meta(int fd, const char *name, struct volume *ret)
{
	AUTO_JSON json_t *meta = NULL;
	json_t *labels, *value;
	const char *key;
	struct stat st;
	int64_t created = 0;
	*ret = (struct volume){ .name = xstrdup(name), .labels = json_object() };
	if (json_read_file(fd, "meta.json", &meta, NULL) == 0) {
		labels = json_object_get(meta, "labels");
		json_object_foreach(labels, key, value)
			if (json_is_string(value))
				json_object_set(ret->labels, key, value);
		created = json_get_int(meta, "created_ns", 0);
		ret->anonymous = json_get_bool(meta, "anonymous", false) || json_object_get(labels, "com.docker.volume.anonymous");
	}
	ret->driver = xstrdup(json_get_str(meta, "driver", "local"));
	if (created <= 0 && fstat(fd, &st) == 0)
		created = (int64_t)st.st_ctim.tv_sec * 1000000000;
	ret->created_ns = (uint64_t)MAX(created, 0);
}

int volume_lookup(int root_fd, const char *name, struct volume *ret, struct err *err)
{
	AUTO_CLOSE int folder = -1, fd = -1;
	if (check_name(name, err) < 0)
		return -1;
	folder = open_folder(root_fd, err);
	if (folder < 0)
		return -1;
	fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 1 : err_sys(err, errno, "volume %s", name);
	read_meta(fd, name, ret);
	return 0;
}

static int add_name(void *arg, const char *name)
{
	if (is_name(name))
		strv_push(arg, name);
	return 0;
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int volume_list(int root_fd, struct volume **ret, size_t *ret_n, struct err *err)
{
	AUTO_STRV struct strv names = {0};
	AUTO_CLOSE int folder = open_folder(root_fd, err);
	struct volume *volumes;
	size_t n = 0;
	if (folder < 0 || fs_each(folder, ".", add_name, &names, err) < 0)
		return -1;
	if (names.n)
		qsort(names.v, names.n, sizeof(*names.v), compare_text);
	volumes = xcalloc(names.n, sizeof(*volumes));
	for (size_t i = 0; i < names.n; i++) {
		AUTO_CLOSE int fd = openat(folder, names.v[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
			continue; /* removed while we were reading, or not a volume */
		if (fd < 0) {
			err_sys(err, errno, "volume %s", names.v[i]);
			volume_list_free(volumes, n);
			return -1;
		}
		read_meta(fd, names.v[i], &volumes[n++]);
	}
	*ret = volumes;
	*ret_n = n;
	return 0;
}

void volume_list_free(struct volume *volumes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		volume_done(&volumes[i]);
	free(volumes);
}

void volume_done(struct volume *v)
{
	if (!v)
		return;
	free(v->name);
	free(v->driver);
	json_decref(v->labels);
	*v = (struct volume){0};
}

int volume_open(int root_fd, const char *name, struct err *err)
{
	AUTO_CLOSE int folder = -1;
	int fd;
	if (check_name(name, err) < 0)
		return -1;
	folder = open_folder(root_fd, err);
	if (folder < 0)
		return -1;
	fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "volume %s does not exist", name);
	return fd < 0 ? err_sys(err, errno, "volume %s", name) : fd;
}

int volume_open_data(int volume_fd, struct err *err)
{
	int fd;
	if (copyup_recover(volume_fd, err) < 0)
		return -1;
	fd = openat(volume_fd, "_data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "open the volume's data") : fd;
}

int volume_remove(int root_fd, const char *name, struct err *err)
{
	char gone[32] = GONE_PREFIX;
	AUTO_STRV struct strv leftovers = {0};
	AUTO_CLOSE int folder = -1, lock = -1;
	int rc = 0;
	if (check_name(name, err) < 0)
		return -1;
	folder = open_folder(root_fd, err);
	if (folder < 0)
		return -1;
	lock = lock_folder(folder, err);
	if (lock < 0)
		return -1;
	random_hex(gone + strlen(gone), 16);
	if (failpoint("volume.remove") < 0 || renameat(folder, name, folder, gone) < 0)
		rc = errno == ENOENT ? 1 : err_sys(err, errno, "volume %s: remove", name);
	if (rc < 0)
		return -1;
	if (rc == 0 && (failpoint("volume.gone") < 0 || fsync(folder) < 0))
		return err_sys(err, errno, "volume %s: sync", name);
	if (fs_each(folder, ".", add_leftover, &leftovers, err) < 0)
		return err_wrap(err, "volume %s", name);
	unlock_and_sweep(folder, &lock, &leftovers);
	return rc;
}
