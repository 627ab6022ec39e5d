/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs and their parts. A part is locked by its writer for as long as he writes; since a lock is taken after the file was opened, who got
 * one looks whether the name still leads to it. A blob gets its name only when it is on the disk, so a name that is there is a
 * blob that is complete; only a damaged disk can make that untrue. */
#include "images/oci.h"

#include <stdio.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"

#define LAYOUT_TEXT "{\"imageLayoutVersion\":\"1.0.0\"}"
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"

struct oci {
	int dir_fd, ingest_fd, blobs_fd;
};

static int open_folder(int dir, const char *name, struct err *err)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
			return err_sys(err, errno, "create %s", name);
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	return fd < 0 ? err_sys(err, errno, "open %s", name) : fd;
}

static bool has_layout(struct oci *o)
{
	struct stat st;
	return fstatat(o->dir_fd, "oci-layout", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The first one to open it makes it; the lock keeps two of them apart. */
static int make_layout(struct oci *o, struct err *err)
{
	AUTO_CLOSE int lock = openat(o->dir_fd, "ingest", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (lock < 0)
		return err_sys(err, errno, "open ingest");
	while (flock(lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "lock ingest");
	if (has_layout(o))
		return 0;
	if (oci_write_index(o, NULL, 0, err) < 0)
		return -1;
	return fs_write_atomic(o->dir_fd, "oci-layout", LAYOUT_TEXT, strlen(LAYOUT_TEXT), 0644, err);
}

static int open_all(struct oci *o, int images_fd, struct err *err)
{
	AUTO_CLOSE int blobs = -1;
	o->dir_fd = open_folder(images_fd, "oci", err);
	if (o->dir_fd < 0)
		return -1;
	o->ingest_fd = open_folder(o->dir_fd, "ingest", err);
	if (o->ingest_fd >= 0)
		blobs = open_folder(o->dir_fd, "blobs", err);
	if (blobs >= 0)
		o->blobs_fd = open_folder(blobs, "sha256", err);
	if (o->blobs_fd < 0)
		return -1;
	return has_layout(o) ? 0 : make_layout(o, err);
}

int oci_open(int images_fd, struct oci **ret, struct err *err)
{
	struct oci *o = xcalloc(1, sizeof(*o));
	*o = (struct oci){ .dir_fd = -1, .ingest_fd = -1, .blobs_fd = -1 };
	if (open_all(o, images_fd, err) < 0) {
		oci_close(o);
		return err_wrap(err, "OCI layout");
	}
	*ret = o;
	return 0;
}

struct oci *oci_close(struct oci *o)
{
	if (!o)
		return NULL;
	util_close(&o->dir_fd);
	util_close(&o->ingest_fd);
	util_close(&o->blobs_fd);
	free(o);
	return NULL;
}

/* ---- blobs ---- */

static bool is_hex(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

bool oci_has(struct oci *o, const char *hex, uint64_t *ret_bytes)
{
	struct stat st;
	if (!is_hex(hex) || fstatat(o->blobs_fd, hex, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	if (ret_bytes)
		*ret_bytes = (uint64_t)st.st_size;
	return true;
}

int oci_open_blob(struct oci *o, const char *hex, uint64_t *ret_bytes, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	struct stat st;
	if (!is_hex(hex))
		return err_set(err, ERR_INVALID, "not a sha256 digest");
	fd = openat(o->blobs_fd, hex, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "blob sha256:%.12s… is not in the store", hex);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_sys(err, errno, "open blob sha256:%.12s…", hex);
	if (ret_bytes)
		*ret_bytes = (uint64_t)st.st_size;
	return TAKE_FD(fd);
}

int oci_read_blob(struct oci *o, const char *hex, size_t max_bytes, struct str *ret, struct err *err)
{
	AUTO_CLOSE int fd = oci_open_blob(o, hex, NULL, err);
	char got[65];
	if (fd < 0 || fs_read_fd(fd, max_bytes, ret, err) < 0)
		return -1;
	sha256_hex(str_get(ret), ret->len, got);
	if (strcmp(got, hex) != 0)
		return err_set(err, ERR_CORRUPT, "blob sha256:%.12s… is damaged", hex);
	return 0;
}

int oci_put(struct oci *o, const void *p, size_t n, char ret_hex[static 65], struct err *err)
{
	struct oci_part part;
	int rc;
	sha256_hex(p, n, ret_hex);
	rc = oci_begin(o, ret_hex, &part, err);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (oci_restart(&part, err) < 0 || oci_append(&part, p, n, err) < 0) {
		oci_discard(o, &part);
		return -1;
	}
	return oci_commit(o, &part, ret_hex, err);
}

int oci_remove(struct oci *o, const char *hex, struct err *err)
{
	if (unlinkat(o->blobs_fd, hex, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove blob sha256:%.12s…", hex);
	return 0;
}

/* ---- parts ---- */

/* Opens and locks the file `name`. Returns the descriptor, -1 + err. */
static int open_locked(struct oci *o, const char *name, struct err *err)
{
	for (;;) {
		AUTO_CLOSE int fd = openat(o->ingest_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		struct stat mine, now;
		if (fd < 0)
			return err_sys(err, errno, "create a blob");
		while (flock(fd, LOCK_EX) < 0)
			if (errno != EINTR)
				return err_sys(err, errno, "lock a blob");
		if (fstat(fd, &mine) == 0 && fstatat(o->ingest_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && mine.st_ino == now.st_ino)
			return TAKE_FD(fd);
	}
}

int oci_begin(struct oci *o, const char *hex, struct oci_part *ret, struct err *err)
{
	struct oci_part p = { .fd = -1 };
	struct stat st;
	ret->fd = -1;
	if (hex && !is_hex(hex))
		return err_set(err, ERR_INVALID, "not a sha256 digest");
	if (hex && oci_has(o, hex, NULL))
		return 1;
	if (hex) {
		snprintf(p.name, sizeof(p.name), "%s.part", hex);
	} else {
		memcpy(p.name, "new-", 4);
		random_hex(p.name + 4, 32);
	}
	p.fd = open_locked(o, p.name, err);
	if (p.fd < 0)
		return -1;
	if (hex && oci_has(o, hex, NULL)) { /* its writer has finished while we waited */
		oci_discard(o, &p);
		return 1;
	}
	if (fstat(p.fd, &st) < 0 || lseek(p.fd, 0, SEEK_END) < 0) {
		int e = errno;
		oci_suspend(o, &p);
		return err_sys(err, e, "open a blob");
	}
	p.have = (uint64_t)st.st_size;
	*ret = p;
	return 0;
}

ssize_t oci_part_read(const struct oci_part *p, uint64_t offset, void *buf, size_t n, struct err *err)
{
	ssize_t got;
	if (offset >= p->have)
		return 0;
	n = (size_t)MIN((uint64_t)n, p->have - offset);
	do
		got = pread(p->fd, buf, n, (off_t)offset);
	while (got < 0 && errno == EINTR);
	return got < 0 ? err_sys(err, errno, "read a blob") : got;
}

int oci_append(struct oci_part *p, const void *buf, size_t n, struct err *err)
{
	size_t now = failpoint_short("image.blob_short", n);
	if (failpoint_err("image.blob_write", err) < 0)
		return err_wrap(err, "write a blob");
	if (fs_write_all(p->fd, buf, now, err) < 0)
		return err_wrap(err, "write a blob");
	p->have += now;
	return now == n ? 0 : err_sys(err, ENOSPC, "write a blob");
}

int oci_restart(struct oci_part *p, struct err *err)
{
	if (p->have && (ftruncate(p->fd, 0) < 0 || lseek(p->fd, 0, SEEK_SET) < 0))
		return err_sys(err, errno, "truncate a blob");
	p->have = 0;
	return 0;
}

int oci_commit(struct oci *o, struct oci_part *p, const char *hex, struct err *err)
{
	if (failpoint_err("image.blob", err) < 0 || fchmod(p->fd, 0444) < 0 || fsync(p->fd) < 0 ||
	    renameat(o->ingest_fd, p->name, o->blobs_fd, hex) < 0) {
		err_sys(err, errno, "put blob sha256:%.12s… into place", hex);
		oci_suspend(o, p);
		return -1;
	}
	util_close(&p->fd);
	if (failpoint_err("image.blob_named", err) < 0)
		return -1;
	return fsync(o->blobs_fd) < 0 ? err_sys(err, errno, "sync the blobs") : 0;
}

void oci_suspend(struct oci *o, struct oci_part *p)
{
	if (p->fd >= 0 && (p->have == 0 || str_starts(p->name, "new-")))
		unlinkat(o->ingest_fd, p->name, 0);
	util_close(&p->fd);
}

void oci_discard(struct oci *o, struct oci_part *p)
{
	if (p->fd >= 0)
		unlinkat(o->ingest_fd, p->name, 0);
	util_close(&p->fd);
}

/* ---- the layout ---- */

static json_t *entry_json(const struct oci_entry *e)
{
	AUTO_FREE char *digest = xasprintf("sha256:%s", e->digest_hex);
	json_t *j = json_object(), *notes = json_object();
	json_put_str(j, "mediaType", e->type);
	json_put_str(j, "digest", digest);
	json_put_int(j, "size", (int64_t)e->size_bytes);
	json_put_str(notes, "io.muster.image.id", e->id);
	if (e->name) {
		json_put_str(notes, "org.opencontainers.image.ref.name", e->name);
		json_put_str(notes, "io.containerd.image.name", e->full_name);
	}
	json_object_set_new(j, "annotations", notes);
	return j;
}

int oci_write_index(struct oci *o, const struct oci_entry *entries, size_t n, struct err *err)
{
	AUTO_JSON json_t *index = json_object();
	AUTO_STR struct str old = {0};
	AUTO_FREE char *text = NULL;
	json_t *list = json_array();
	json_put_int(index, "schemaVersion", 2);
	json_put_str(index, "mediaType", INDEX_TYPE);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, entry_json(&entries[i]));
	json_object_set_new(index, "manifests", list);
	text = json_canonical(index);
	if (fs_read(o->dir_fd, "index.json", 64 << 20, &old, NULL) == 0 && strcmp(str_get(&old), text) == 0)
		return 0;
	if (failpoint_err("image.layout", err) < 0)
		return -1;
	return fs_write_atomic(o->dir_fd, "index.json", text, strlen(text), 0644, err);
}

struct sweep {
	struct oci *o;
	const struct map *keep;
	uint64_t grace_s, now_s;
	uint64_t *bytes;
	struct strv *blobs;
};

/* True when it has not been touched for as long as the grace is. */
static bool is_old(const struct sweep *w, const struct stat *st)
{
	return S_ISREG(st->st_mode) && (uint64_t)MAX(st->st_ctim.tv_sec, 0) + w->grace_s <= w->now_s;
}

static int sweep_blob(void *arg, const char *name)
{
	struct sweep *w = arg;
	struct stat st;
	if (map_get(w->keep, name) || fstatat(w->o->blobs_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !is_old(w, &st) ||
	    unlinkat(w->o->blobs_fd, name, 0) < 0)
		return 0;
	if (w->bytes)
		*w->bytes += (uint64_t)st.st_size;
	if (w->blobs)
		strv_push(w->blobs, name);
	return 0;
}

static int sweep_part(void *arg, const char *name)
{
	struct sweep *w = arg;
	AUTO_CLOSE int fd = openat(w->o->ingest_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
		return 0;
	if (!str_starts(name, "new-") && !is_old(w, &st)) /* one without a digest is of no use to anybody once its writer has gone */
		return 0;
	if (unlinkat(w->o->ingest_fd, name, 0) == 0 && w->bytes)
		*w->bytes += (uint64_t)st.st_size;
	return 0;
}

int oci_sweep(struct oci *o, const struct map *keep, uint64_t grace_s, uint64_t *ret_bytes, struct strv *ret_blobs, struct err *err)
{
	struct sweep w = { .o = o, .keep = keep, .grace_s = grace_s, .bytes = ret_bytes, .blobs = ret_blobs };
	w.now_s = clock_real_ns() / 1000000000;
	if (keep && fs_each(o->blobs_fd, ".", sweep_blob, &w, err) < 0)
		return err_wrap(err, "OCI layout");
	return fs_each(o->ingest_fd, ".", sweep_part, &w, err) < 0 ? err_wrap(err, "OCI layout") : 0;
}

static int add_name(void *arg, const char *name)
{
	if (is_hex(name))
		strv_push(arg, name);
	return 0;
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int oci_list(struct oci *o, struct strv *ret, struct err *err)
{
	if (fs_each(o->blobs_fd, ".", add_name, ret, err) < 0)
		return err_wrap(err, "OCI layout");
	if (ret->n > 1)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare_text);
	return 0;
}
