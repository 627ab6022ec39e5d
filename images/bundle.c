/* SPDX-License-Identifier: Apache-2.0 */
/* The pass over the headers runs without a stream thread: libarchive skips members by moving a position, so 300 blobs of a large
 * archive cost 300 small reads. After a header, libarchive has consumed exactly what lies before the member's data; that
 * position is the member's offset. */
#include "images/bundle.h"

#include <sys/stat.h>

#include "base/fs.h"
#include "images/decode.h"
#include "images/tar.h"

enum { SCAN_BYTES = 32 << 10, MAX_MEMBERS = 20000, MAX_LINKS = 8 };

struct scan {
	int fd;
	uint64_t at, end;
	int failed;                    /* errno of a read */
	unsigned char buf[SCAN_BYTES];
};

static la_ssize_t scan_read(struct archive *a, void *arg, const void **buf)
{
	struct scan *s = arg;
	ssize_t n;
	(void)a;
	do
		n = s->at < s->end ? pread(s->fd, s->buf, MIN(sizeof(s->buf), s->end - s->at), (off_t)s->at) : 0;
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		s->failed = errno;
		return -1;
	}
	s->at += (uint64_t)n;
	*buf = s->buf;
	return n;
}

static la_int64_t scan_skip(struct archive *a, void *arg, la_int64_t n)
{
	struct scan *s = arg;
	(void)a;
	if (n < 0)
		return 0;
	n = (la_int64_t)MIN((uint64_t)n, s->end - s->at);
	s->at += (uint64_t)n;
	return n;
}

static void member_free(struct member *m)
{
	if (m)
		free(m->target);
	free(m);
}

/* Where a link leads, as a clean name: a symlink from the directory of its own name, a hard link from the root. NULL when out of
 * the archive. */
static char *link_target(const char *name, const char *target, bool symlink)
{
	char clean[TAR_PATH_BYTES];
	AUTO_STR struct str path = {0};
	const char *slash = strrchr(name, '/');
	if (symlink && target[0] != '/' && slash)
		str_addn(&path, name, (size_t)(slash - name));
	while (symlink && str_starts(target, "../")) {
		char *up = path.len ? strrchr(path.p, '/') : NULL;
		if (!path.len)
			return NULL;
		path.len = up ? (size_t)(up - path.p) : 0;
		str_reserve(&path, 0)[0] = '\0';
		target += 3;
	}
	str_addf(&path, "/%s", target);
	return tar_clean_path(path.p, clean, NULL) == 0 ? xstrdup(clean) : NULL;
}

static int add_member(struct bundle *b, struct archive *a, struct archive_entry *e, struct err *err)
{
	char name[TAR_PATH_BYTES], shown[128];
	const char *symlink = archive_entry_symlink(e), *link = archive_entry_hardlink(e);
	struct member *m;
	if (tar_clean_path(archive_entry_pathname(e), name, err) < 0)
		return -1;
	if (archive_entry_filetype(e) == AE_IFDIR || (archive_entry_filetype(e) != AE_IFREG && !symlink && !link))
		return 0;
	m = xcalloc(1, sizeof(*m));
	if (symlink || link) {
		m->target = link_target(name, symlink ? symlink : link, symlink != NULL);
	} else {
		int64_t size = archive_entry_size(e);
		m->offset = b->base + (uint64_t)archive_filter_bytes(a, 0);
		m->size = (uint64_t)MAX(size, 0);
		if (archive_entry_sparse_count(e) > 0 || m->size > b->bytes || m->offset - b->base > b->bytes - m->size) {
			member_free(m);
			return err_set(err, ERR_CORRUPT, "the archive is cut off within \"%s\"", err_quote(shown, sizeof(shown), name));
		}
	}
	member_free(map_get(&b->members, name));
	map_put(&b->members, name, m);
	return b->members.n <= MAX_MEMBERS ? 0 : err_set(err, ERR_INVALID, "more than the %d members allowed", MAX_MEMBERS);
}

static int scan_members(struct bundle *b, struct err *err)
{
	struct scan *s = xcalloc(1, sizeof(*s));
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	int rc = ARCHIVE_FATAL, got = 0;
	size_t n = 0;
	if (!a)
		util_oom();
	*s = (struct scan){ .fd = b->fd, .at = b->base, .end = b->base + b->bytes };
	archive_read_support_format_tar(a);
	if (archive_read_open2(a, s, NULL, scan_read, scan_skip, NULL) == ARCHIVE_OK)
		while (got == 0 && ((rc = archive_read_next_header(a, &e)) == ARCHIVE_OK || rc == ARCHIVE_WARN)) {
			n++;
			got = add_member(b, a, e, err);
		}
	if (got == 0 && s->failed)
		got = err_sys(err, s->failed, "read the archive");
	else if (got == 0 && n == 0)
		got = err_set(err, ERR_CORRUPT, "not a tar archive");
	else if (got == 0 && rc != ARCHIVE_EOF)
		got = err_set(err, ERR_CORRUPT, "damaged or cut off tar archive: %s",
			archive_error_string(a) ? archive_error_string(a) : "unknown error");
	archive_read_free(a);
	free(s);
	return got;
}

/* Copies the decompressed input to a file of ours. */
static int spool(const struct work *w, struct bundle *b, struct err *err)
{
	AUTO_STREAM struct stream *s = NULL;
	int fd = w->input_fd;
	const struct stream_source src = { .read = stream_read_fd, .arg = &fd, .wait_fd = fd };
	const void *p;
	ssize_t n;
	b->spool_fd = store_open_spool(w->store, err);
	if (b->spool_fd < 0 || stream_open(&src, &work_stream_limits, &s, err) < 0)
		return -1;
	while ((n = stream_next(s, &p, err)) > 0) {
		if (fs_write_all(b->spool_fd, p, (size_t)n, err) < 0)
			return err_wrap(err, "copy the archive");
		b->bytes += (uint64_t)n;
		w->listener->progress(w->listener->arg, stream_in_bytes(s), w->total_bytes);
	}
	b->fd = b->spool_fd;
	b->spooled = stream_in_bytes(s);
	return n < 0 ? -1 : 0;
}

int bundle_open(const struct work *w, struct bundle *ret, struct err *err)
{
	unsigned char head[DECODE_PEEK];
	struct stat st;
	off_t at;
	ssize_t n;
	*ret = (struct bundle){ .fd = w->input_fd, .spool_fd = -1 };
	if (fstat(w->input_fd, &st) < 0)
		return err_sys(err, errno, "archive");
	at = S_ISREG(st.st_mode) ? lseek(w->input_fd, 0, SEEK_CUR) : -1;
	n = at >= 0 ? pread(w->input_fd, head, sizeof(head), at) : -1;
	if (n >= 0 && decode_sniff(head, (size_t)n) == DECODE_NONE) {
		ret->base = (uint64_t)at;
		ret->bytes = (uint64_t)MAX(st.st_size - at, 0);
	} else if (spool(w, ret, err) < 0) {
		return -1;
	}
	return scan_members(ret, err);
}

void bundle_done(struct bundle *b)
{
	for (struct map_entry *e = map_next(&b->members, NULL); e; e = map_next(&b->members, e))
		member_free(e->value);
	map_done(&b->members);
	util_close(&b->spool_fd);
}

const struct member *bundle_find(const struct bundle *b, const char *name)
{
	char clean[TAR_PATH_BYTES];
	const struct member *m;
	if (tar_clean_path(name, clean, NULL) < 0)
		return NULL;
	m = map_get(&b->members, clean);
	for (int i = 0; i < MAX_LINKS && m && m->target; i++)
		m = map_get(&b->members, m->target);
	return m && !m->target ? m : NULL;
}

static ssize_t cursor_read(void *arg, void *buf, size_t n, struct err *err)
{
	struct bundle_cursor *c = arg;
	ssize_t got;
	n = (size_t)MIN((uint64_t)n, c->end - c->at);
	if (n == 0)
		return 0;
	do
		got = pread(c->b->fd, buf, n, (off_t)c->at);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return got < 0 ? err_sys(err, errno, "read the archive") : err_set(err, ERR_CORRUPT, "the archive is cut off");
	c->at += (uint64_t)got;
	return got;
}

struct stream_source bundle_source(const struct bundle *b, const struct member *m, struct bundle_cursor *cursor)
{
	*cursor = (struct bundle_cursor){ .b = b, .at = m->offset, .end = m->offset + m->size };
	return (struct stream_source){ .read = cursor_read, .arg = cursor, .wait_fd = -1 };
}

int bundle_read(const struct bundle *b, const struct member *m, size_t max_bytes, struct str *ret, struct err *err)
{
	struct bundle_cursor c;
	str_clear(ret);
	bundle_source(b, m, &c);
	if (m->size > max_bytes)
		return err_set(err, ERR_INVALID, "larger than the %zu bytes allowed", max_bytes);
	while (ret->len < m->size) {
		size_t want = (size_t)m->size - ret->len;
		ssize_t n = cursor_read(&c, str_reserve(ret, want), want, err);
		if (n < 0)
			return -1;
		ret->len += (size_t)n;
	}
	str_reserve(ret, 0)[0] = '\0';
	return 0;
}
