/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking reads and writes of frames; each lane has one thread on either side. A question that meets an unfinished answer drains
 * it first, so that a layer that was given up leaves the lane in order. */
#include "images/lane.h"

#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fs.h"

enum frame_kind { FRAME_ASK = 1, FRAME_DATA, FRAME_END, FRAME_ERROR, FRAME_WANT };

struct frame {
	uint32_t kind, len;
};

struct want {
	uint64_t offset, n;
};

void lane_init(struct lane *l, int fd)
{
	*l = (struct lane){ .fd = fd };
}

void lane_done(struct lane *l)
{
	json_decref(l->end);
	l->end = NULL;
}

static int send_frame(struct lane *l, enum frame_kind kind, const void *p, size_t n, struct err *err)
{
	const struct frame f = { .kind = kind, .len = (uint32_t)n };
	assert(n <= LANE_MAX_FRAME);
	if (fs_write_all(l->fd, &f, sizeof(f), err) < 0 || (n && fs_write_all(l->fd, p, n, err) < 0))
		return -1;
	return 0;
}

static int send_json(struct lane *l, enum frame_kind kind, const json_t *j, struct err *err)
{
	AUTO_FREE char *text = json_canonical(j);
	if (strlen(text) > LANE_MAX_FRAME)
		return err_set(err, ERR_INVALID, "lane: message too long");
	return send_frame(l, kind, text, strlen(text), err);
}

/* read() that goes on after signals, up to the deadline. */
static ssize_t read_some(struct lane *l, void *buf, size_t n, struct err *err)
{
	for (;;) {
		struct pollfd p = { .fd = l->fd, .events = POLLIN };
		const uint64_t now = l->deadline_ns ? clock_mono_ns() : 0;
		ssize_t r = 1;
		if (l->deadline_ns)
			r = poll(&p, 1, now >= l->deadline_ns ? 0 : (int)MIN((l->deadline_ns - now) / 1000000 + 1, (uint64_t)INT_MAX));
		if (r == 0)
			return err_set(err, ERR_TIMEOUT, "the registry does not answer in time");
		if (r > 0)
			r = read(l->fd, buf, n);
		if (r >= 0 || errno != EINTR)
			return r < 0 ? err_sys(err, errno, "lane") : r;
	}
}

/* Exactly n bytes. 0; 1 at a clean end before the first one; -1 + err. */
static int read_all(struct lane *l, void *buf, size_t n, struct err *err)
{
	size_t got = 0;
	while (got < n) {
		ssize_t r = read_some(l, (char *)buf + got, n - got, err);
		if (r < 0)
			return -1;
		if (r == 0)
			return got == 0 ? 1 : err_set(err, ERR_SYS, "lane: cut off");
		got += (size_t)r;
	}
	return 0;
}

/* 0; 1 at the end; -1 + err. */
static int read_frame(struct lane *l, struct frame *ret, struct err *err)
{
	int rc = read_all(l, ret, sizeof(*ret), err);
	if (rc == 0 && ret->len > LANE_MAX_FRAME)
		return err_set(err, ERR_CORRUPT, "lane: frame too long");
	return rc;
}

static int read_json(struct lane *l, const struct frame *f, json_t **ret, struct err *err)
{
	AUTO_FREE char *text = xcalloc(1, f->len + 1);
	if (f->len && read_all(l, text, f->len, err) != 0)
		return err_set(err, ERR_SYS, "lane: cut off");
	*ret = json_loadb(text, f->len, 0, NULL);
	return json_is_object(*ret) ? 0 : err_set(err, ERR_CORRUPT, "lane: message makes no sense");
}

int lane_ask(struct lane *l, const json_t *question, struct err *err)
{
	char sink[4096];
	while (l->open) {
		struct err ignored;
		if (lane_read(l, sink, sizeof(sink), &ignored) <= 0)
			break;
	}
	l->open = true;
	l->left = 0;
	if (send_json(l, FRAME_ASK, question, err) < 0 && errno != EPIPE)
		return -1;
	return 0; /* who closed its end before it was asked has said why */
}

static int take_error(const json_t *j, struct err *err)
{
	int64_t code = json_get_int(j, "code", ERR_INVALID);
	err_set(err, code > ERR_NONE && code < ERR_N_ ? (enum err_code)code : ERR_INVALID, "%s", json_get_str(j, "message", "failed"));
	return -1;
}

/* The next frame of an answer, of this kind, or its end. 1: there is one; 0: the answer's end; -1 + err. */
static int next_frame(struct lane *l, enum frame_kind kind, struct frame *ret, struct err *err)
{
	AUTO_JSON json_t *j = NULL;
	struct frame f;
	int rc = read_frame(l, &f, err);
	if (rc == 1)
		rc = err_set(err, ERR_SYS, "the network process has gone");
	if (rc == 0 && f.kind == kind) {
		*ret = f;
		return 1;
	}
	l->open = false;
	if (rc < 0 || (f.kind != FRAME_END && f.kind != FRAME_ERROR))
		return rc < 0 ? -1 : err_set(err, ERR_CORRUPT, "lane: unexpected frame");
	if (read_json(l, &f, &j, err) < 0)
		return -1;
	if (f.kind == FRAME_ERROR)
		return take_error(j, err);
	json_decref(l->end);
	l->end = TAKE_PTR(j);
	return 0;
}

ssize_t lane_read(struct lane *l, void *buf, size_t n, struct err *err)
{
	ssize_t got;
	while (l->open && l->left == 0) {
		struct frame f;
		int rc = next_frame(l, FRAME_DATA, &f, err);
		if (rc <= 0)
			return rc;
		l->left = f.len;
	}
	if (!l->open)
		return 0;
	n = MIN(n, l->left);
	got = read_some(l, buf, n, err);
	if (got <= 0) {
		l->open = false;
		return got < 0 ? -1 : err_set(err, ERR_SYS, "the network process has gone");
	}
	l->left -= (uint32_t)got;
	return got;
}

int lane_serve(struct lane *l, lane_source_fn *source, void *arg, struct err *err)
{
	AUTO_FREE char *buf = xcalloc(1, LANE_MAX_WANT);
	struct frame f;
	int rc;
	while ((rc = next_frame(l, FRAME_WANT, &f, err)) == 1) {
		struct want w;
		if (f.len != sizeof(w) || read_all(l, &w, sizeof(w), err) != 0 || w.n == 0 || w.n > LANE_MAX_WANT)
			rc = err_set(err, ERR_CORRUPT, "lane: a want that makes no sense");
		else
			rc = source(arg, w.offset, buf, w.n, err);
		if (rc == 0)
			rc = lane_send(l, buf, w.n, err);
		if (rc < 0)
			break;
	}
	if (rc < 0 && l->open) { /* the other side waits for bytes that will not come */
		l->open = false;
		shutdown(l->fd, SHUT_RDWR);
	}
	return rc;
}

int lane_next(struct lane *l, json_t **ret, struct err *err)
{
	struct frame f;
	int rc = read_frame(l, &f, err);
	if (rc != 0)
		return rc;
	if (f.kind != FRAME_ASK)
		return err_set(err, ERR_CORRUPT, "lane: unexpected frame");
	return read_json(l, &f, ret, err);
}

int lane_send(struct lane *l, const void *p, size_t n, struct err *err)
{
	for (size_t at = 0; at < n;) {
		size_t part = MIN(n - at, (size_t)LANE_MAX_FRAME);
		if (send_frame(l, FRAME_DATA, (const char *)p + at, part, err) < 0)
			return -1;
		at += part;
	}
	return 0;
}

int lane_want(struct lane *l, uint64_t offset, void *buf, size_t n, struct err *err)
{
	const struct want w = { offset, n };
	assert(n <= LANE_MAX_WANT);
	if (send_frame(l, FRAME_WANT, &w, sizeof(w), err) < 0)
		return -1;
	for (size_t got = 0; got < n;) {
		struct frame f;
		int rc = read_frame(l, &f, err);
		if (rc == 0 && (f.kind != FRAME_DATA || f.len == 0 || f.len > n - got))
			rc = err_set(err, ERR_CORRUPT, "lane: unexpected frame");
		if (rc == 0)
			rc = read_all(l, (char *)buf + got, f.len, err);
		if (rc != 0)
			return rc < 0 ? -1 : err_set(err, ERR_SYS, "lane: cut off");
		got += f.len;
	}
	return 0;
}

int lane_end(struct lane *l, json_t *end, struct err *err)
{
	AUTO_JSON json_t *j = end ? end : json_object();
	return send_json(l, FRAME_END, j, err);
}

int lane_fail(struct lane *l, const struct err *failure, struct err *err)
{
	AUTO_JSON json_t *j = json_object();
	char safe[sizeof(failure->msg) * 2];
	json_put_int(j, "code", failure->code);
	json_put_str(j, "message", err_quote(safe, sizeof(safe), failure->msg));
	return send_json(l, FRAME_ERROR, j, err);
}
