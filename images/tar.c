/* SPDX-License-Identifier: Apache-2.0 */
/* A thin layer over libarchive that turns its four kinds of failure into one: an archive is read whole and undamaged, or not at
 * all. ARCHIVE_WARN is let pass (a character set that does not convert leaves the name NULL, which tar_clean_path() refuses);
 * ARCHIVE_RETRY is libarchive's word for a bad header in the middle, so it is an error. */
#include "images/tar.h"

static la_ssize_t read_stream(struct archive *a, void *arg, const void **buf)
{
	struct tar *t = arg;
	ssize_t n = stream_next(t->s, buf, &t->stream_err);
	if (n < 0)
		archive_set_error(a, EIO, "%s", t->stream_err.msg);
	return n;
}

static int tar_error(struct tar *t, struct err *err)
{
	const char *text = archive_error_string(t->a);
	if (t->stream_err.code != ERR_NONE) {
		if (err)
			*err = t->stream_err;
		return -1;
	}
	if (t->n_entries == 0)
		return err_set(err, ERR_CORRUPT, "not a tar archive");
	return err_set(err, ERR_CORRUPT, "damaged or cut off tar archive: %s", text ? text : "unknown error");
}

int tar_open(struct tar *t, struct stream *s, struct err *err)
{
	*t = (struct tar){ .s = s, .a = archive_read_new() };
	if (!t->a)
		util_oom();
	archive_read_support_format_tar(t->a);
	if (archive_read_open2(t->a, t, NULL, read_stream, NULL, NULL) != ARCHIVE_OK)
		return tar_error(t, err);
	return 0;
}

/* Of a damaged pax header libarchive says so and goes on without it; another reader would see another name there. */
static bool is_malformed(struct archive *a)
{
	const char *text = archive_error_string(a);
	return text && strstr(text, "pax extended attribute");
}

int tar_next(struct tar *t, struct archive_entry **ret, struct err *err)
{
	int rc = archive_read_next_header(t->a, ret);
	if (rc == ARCHIVE_EOF && t->n_entries == 0 && archive_format(t->a) == 0)
		return err_set(err, ERR_CORRUPT, "not a tar archive");
	if (rc == ARCHIVE_EOF)
		return 0;
	if ((rc != ARCHIVE_OK && rc != ARCHIVE_WARN) || (rc == ARCHIVE_WARN && is_malformed(t->a)))
		return tar_error(t, err);
	t->n_entries++;
	return 1;
}

int tar_data(struct tar *t, const void **ret_buf, size_t *ret_n, int64_t *ret_offset, struct err *err)
{
	la_int64_t offset;
	int rc = archive_read_data_block(t->a, ret_buf, ret_n, &offset);
	if (rc == ARCHIVE_EOF)
		return 0;
	if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
		return tar_error(t, err);
	*ret_offset = offset;
	return 1;
}

void tar_close(struct tar *t)
{
	if (t->a)
		archive_read_free(t->a);
	t->a = NULL;
}

int tar_clean_path(const char *name, char buf[static TAR_PATH_BYTES], struct err *err)
{
	char shown[128];
	size_t at = 0;
	if (!name)
		return err_set(err, ERR_INVALID, "an entry has no name");
	for (const char *p = name; *p;) {
		size_t n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.')
			return err_set(err, ERR_INVALID, "\"%s\": a name with \"..\" is refused", err_quote(shown, sizeof(shown), name));
		if (n > 255)
			return err_set(err, ERR_INVALID, "\"%s\": a part of the name is too long", err_quote(shown, sizeof(shown), name));
		if (n > 0 && !(n == 1 && p[0] == '.')) {
			if (at + n + 2 > TAR_PATH_BYTES)
				return err_set(err, ERR_INVALID, "\"%s\": the name is too long", err_quote(shown, sizeof(shown), name));
			if (at)
				buf[at++] = '/';
			memcpy(buf + at, p, n);
			at += n;
		}
		p += n;
		p += *p == '/';
	}
	buf[at] = '\0';
	return 0;
}
