/* SPDX-License-Identifier: Apache-2.0 */
/* cache_to with type=local: the builder cannot write outside the store, so it says which file of the layout it has, and a child of muster writes it
 * below the directory that the user named. The names are those of an OCI layout, nothing else is written; a file appears whole or not at all,
 * and index.json keeps the entries that have another tag. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "compose/build_client_impl.h"

enum { COPY_BYTES = 1 << 20, MAX_INDEX = 4 << 20 };

_Noreturn static void tell(int fd, int rc, json_t *fields, const struct err *err)
{
	if (rc == 0)
		build_job_tell(fd, json_pack("{s:o}", "reply", fields));
	else
		build_job_tell(fd, json_pack("{s:o}", "error", message_from_err(err)));
	_exit(0);
}

/* "oci-layout", or "blobs/sha256/" and 64 digits. The last component; NULL: neither. */
static const char *layout_name(const char *name)
{
	static const char blobs[] = "blobs/sha256/";
	const char *hex = str_starts(name, blobs) ? name + strlen(blobs) : NULL;
	if (strcmp(name, "oci-layout") == 0)
		return name;
	return hex && strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64 ? hex : NULL;
}

static int copy_bytes(int from, int to, uint64_t size, struct err *err)
{
	AUTO_FREE char *buf = xcalloc(1, COPY_BYTES);
	while (size > 0) {
		const ssize_t n = read(from, buf, (size_t)MIN(size, (uint64_t)COPY_BYTES));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(err, n < 0 ? errno : EIO, "read what is to be written");
		if (failpoint_err("cache.export.write", err) < 0 || fs_write_all(to, buf, (size_t)n, err) < 0)
			return -1;
		size -= (uint64_t)n;
	}
	return 0;
}

/* Writes `name` in dir_fd from in_fd, whole or not at all. */
static int write_file(int dir_fd, const char *name, int in_fd, uint64_t size, struct err *err)
{
	char tmp[32] = ".tmp-";
	AUTO_CLOSE int fd = -1;
	int rc;
	random_hex(tmp + 5, 16);
	fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(err, errno, "create %s", tmp);
	rc = copy_bytes(in_fd, fd, size, err);
	if (rc == 0 && fsync(fd) < 0)
		rc = err_sys(err, errno, "sync %s", tmp);
	if (rc == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
		rc = err_sys(err, errno, "rename %s", tmp);
	if (rc < 0)
		unlinkat(dir_fd, tmp, 0);
	return rc;
}

_Noreturn void build_cache_file(const struct build *b, const json_t *need, const int *fds, size_t n_fds, int fd)
{
	const char *name = json_get_str(need, "name", ""), *last = layout_name(name), *dir = json_get_str(need, "dir", "");
	const uint64_t size = (uint64_t)MAX(json_get_int(need, "size", 0), 0);
	AUTO_FREE char *path = last == name ? xstrdup(dir) : xasprintf("%s/blobs/sha256", dir);
	struct err err = { 0 };
	struct stat st;
	bool exists = false;
	int dir_fd = -1, rc;
	(void)b;
	umask(022);
	rc = last ? 0 : err_set(&err, ERR_CORRUPT, "the builder wants to write a file that no layout has");
	if (rc == 0)
		rc = dir_fd = fs_make_dir(AT_FDCWD, path, 0755, &err);
	if (rc >= 0)
		exists = fstatat(dir_fd, last, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
	if (rc >= 0 && n_fds > 0)
		rc = write_file(dir_fd, last, fds[0], size, &err);
	tell(fd, rc < 0 ? -1 : 0, json_pack("{s:b}", "exists", exists), &err);
}

static const char *tag_of(const json_t *entry)
{
	return json_get_str(json_object_get(entry, "annotations"), "org.opencontainers.image.ref.name", "");
}

_Noreturn void build_cache_index(const struct build *b, const json_t *need, const int *fds, size_t n_fds, int fd)
{
	const char *tag = json_get_str(need, "tag", "latest");
	AUTO_STR struct str old = { 0 };
	AUTO_JSON json_t *index = NULL;
	AUTO_FREE char *text = NULL;
	json_t *list = json_array(), *entry = json_deep_copy(json_object_get(need, "descriptor")), *item, *out;
	struct err err = { 0 };
	size_t i;
	int dir_fd, rc;
	(void)b;
	(void)fds;
	(void)n_fds;
	umask(022);
	rc = dir_fd = fs_make_dir(AT_FDCWD, json_get_str(need, "dir", ""), 0755, &err);
	if (rc >= 0)
		flock(dir_fd, LOCK_EX); /* of two builds that end at once, each keeps the other's entry */
	if (rc >= 0 && fs_read(dir_fd, "index.json", MAX_INDEX, &old, NULL) == 0)
		index = json_loadb(str_get(&old), old.len, 0, NULL);
	json_array_foreach(json_object_get(index, "manifests"), i, item)
		if (strcmp(tag_of(item), tag) != 0)
			json_array_append(list, item);
	json_object_set_new(entry, "annotations", json_pack("{s:o}", "org.opencontainers.image.ref.name", json_text(tag)));
	json_array_append_new(list, entry);
	out = json_pack("{s:i,s:s,s:o}", "schemaVersion", 2, "mediaType", "application/vnd.oci.image.index.v1+json", "manifests", list);
	text = json_canonical(out);
	if (rc >= 0)
		rc = fs_write_atomic(dir_fd, "index.json", text, strlen(text), 0644, &err);
	tell(fd, rc < 0 ? -1 : 0, json_object(), &err);
}
