/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes: an answer comes whole and in order, errors as they were made; who is to send gives exactly what is wanted, from any offset; neither
 * side believes the other: lengths are capped, order is checked, and nobody waits for one that is gone. */
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include "images/lane.h"
#include "tests/unit/images_rig.h"

static char content[3 << 20];

static int give(void *arg, uint64_t offset, void *buf, size_t n, struct err *err)
{
	size_t *left = arg;
	if (*left == 0)
		return err_set(err, ERR_CORRUPT, "the disk is broken");
	--*left;
	if (offset > sizeof(content) || n > sizeof(content) - offset)
		return err_set(err, ERR_INVALID, "beyond the end");
	memcpy(buf, content + offset, n);
	return 0;
}

/* The other side of one question. */
struct peer {
	int fd, rc;
	int (*serve)(struct lane *l, const json_t *question, struct err *err);
	struct err err;
};

static void *peer_main(void *arg)
{
	struct peer *p = arg;
	AUTO_JSON json_t *q = NULL;
	struct lane l;
	lane_init(&l, p->fd);
	p->rc = lane_next(&l, &q, &p->err);
	if (p->rc == 0)
		p->rc = p->serve(&l, q, &p->err);
	close(p->fd);
	return NULL;
}

static int answer_text(struct lane *l, const json_t *q, struct err *err)
{
	json_t *end = json_object();
	json_put_str(end, "type", json_get_str(q, "op", ""));
	return lane_send(l, content, sizeof(content), err) < 0 || lane_send(l, content, 5, err) < 0 ? -1 : lane_end(l, end, err);
}

static int answer_error(struct lane *l, const json_t *q, struct err *err)
{
	struct err failure;
	(void)q;
	err_set(&failure, ERR_DENIED, "no \x1b[2J here");
	return lane_send(l, content, 2, err) < 0 ? -1 : lane_fail(l, &failure, err);
}

static int want_pieces(struct lane *l, const json_t *q, struct err *err)
{
	static const struct {
		uint64_t offset;
		size_t n;
	} wants[] = { { 0, 10 }, { 5, LANE_MAX_WANT }, { sizeof(content) - 1, 1 }, { 1, 1 }, { 100, 777777 } };
	AUTO_FREE char *buf = xcalloc(1, LANE_MAX_WANT);
	(void)q;
	for (size_t i = 0; i < ARRAY_SIZE(wants); i++) {
		if (lane_want(l, wants[i].offset, buf, wants[i].n, err) < 0)
			return -1;
		if (memcmp(buf, content + wants[i].offset, wants[i].n) != 0)
			return err_set(err, ERR_CORRUPT, "piece %zu is wrong", i);
	}
	return lane_end(l, NULL, err);
}

/* A frame by hand: kind 5 is a want. */
static int want_by_hand(struct lane *l, uint32_t kind, uint32_t len, uint64_t offset, uint64_t n, struct err *err)
{
	const uint32_t head[2] = { kind, len };
	const uint64_t body[2] = { offset, n };
	char byte;
	if (fs_write_all(l->fd, head, sizeof(head), err) < 0 || fs_write_all(l->fd, body, MIN(len, sizeof(body)), err) < 0)
		return -1;
	return read(l->fd, &byte, 1) > 0 ? err_set(err, ERR_CORRUPT, "it was believed") : 0;
}

static int want_too_much(struct lane *l, const json_t *q, struct err *err) { (void)q; return want_by_hand(l, 5, 16, 0, LANE_MAX_WANT + 1, err); }
static int want_nothing(struct lane *l, const json_t *q, struct err *err) { (void)q; return want_by_hand(l, 5, 16, 0, 0, err); }
static int want_shortly(struct lane *l, const json_t *q, struct err *err) { (void)q; return want_by_hand(l, 5, 8, 0, 1, err); }
static int want_endlessly(struct lane *l, const json_t *q, struct err *err) { (void)q; return want_by_hand(l, 5, 1 << 30, 0, 1, err); }
static int say_nonsense(struct lane *l, const json_t *q, struct err *err) { (void)q; return want_by_hand(l, 99, 16, 0, 1, err); }
static int say_nothing(struct lane *l, const json_t *q, struct err *err) { (void)l, (void)q, (void)err; return 0; }

/* Asks, and serves what is wanted (or reads when sends is false). The result, the error in *err. */
static int run(int (*serve)(struct lane *l, const json_t *question, struct err *err), bool sends, size_t pieces, size_t *ret_read, struct peer *peer,
	struct err *err)
{
	AUTO_JSON json_t *q = json_object();
	struct lane l;
	pthread_t t;
	int pair[2], rc;
	ssize_t n = 0;
	char buf[5000];
	*ret_read = 0;
	NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	*peer = (struct peer){ .fd = pair[1], .serve = serve };
	NEED(pthread_create(&t, NULL, peer_main, peer) == 0);
	lane_init(&l, pair[0]);
	json_put_str(q, "op", "x");
	rc = lane_ask(&l, q, err);
	if (rc == 0 && sends)
		rc = lane_serve(&l, give, &pieces, err);
	while (rc == 0 && !sends && (n = lane_read(&l, buf, sizeof(buf), err)) > 0) {
		EXPECT(*ret_read + (size_t)n > sizeof(content) || memcmp(buf, content + *ret_read, (size_t)n) == 0, "wrong at %zu", *ret_read);
		*ret_read += (size_t)n;
	}
	if (rc == 0 && n == 0)
		EXPECT(sends || strcmp(json_get_str(l.end, "type", ""), "x") == 0, "the end's object");
	close(pair[0]);
	NEED(pthread_join(t, NULL) == 0);
	lane_done(&l);
	return rc < 0 || n < 0 ? -1 : 0;
}

int main(void)
{
	static const struct {
		const char *what;
		int (*serve)(struct lane *l, const json_t *question, struct err *err);
		bool sends;
		size_t pieces;
		int want;
		const char *words;
	} cases[] = {
		{ "an answer", answer_text, false, 0, 0, "" }, { "an error", answer_error, false, 0, -1, "here" },
		{ "pieces", want_pieces, true, 100, 0, "" }, { "a source that fails", want_pieces, true, 2, -1, "the disk is broken" },
		{ "an error to who sends", answer_error, true, 1, -1, "unexpected frame" }, { "too much wanted", want_too_much, true, 9, -1, "makes no sense" },
		{ "nothing wanted", want_nothing, true, 9, -1, "makes no sense" }, { "half a want", want_shortly, true, 9, -1, "makes no sense" },
		{ "a frame too long", want_endlessly, true, 9, -1, "too long" }, { "another frame", say_nonsense, true, 9, -1, "unexpected frame" },
		{ "nobody there", say_nothing, true, 9, -1, "has gone" }, { "nobody there to read from", say_nothing, false, 0, -1, "has gone" },
	};
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (char)(i * 2654435761u >> 13);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = {0};
		struct peer peer;
		size_t n;
		int rc = run(cases[i].serve, cases[i].sends, cases[i].pieces, &n, &peer, &err);
		EXPECT(rc == cases[i].want && strstr(err.msg, cases[i].words), "%s: %d, %s", cases[i].what, rc, err.msg);
		EXPECT(cases[i].serve != answer_text || n == sizeof(content) + 5, "%s: %zu bytes", cases[i].what, n);
		EXPECT(peer.err.code == ERR_NONE || !strstr(peer.err.msg, "believed"), "%s: %s", cases[i].what, peer.err.msg);
		EXPECT(rc < 0 || peer.rc == 0, "%s: the other side: %s", cases[i].what, peer.err.msg);
		EXPECT(!strchr(err.msg, '\x1b'), "%s: a control byte", cases[i].what);
	}
	printf(failures ? "failed\n" : "ok\n");
	return failures ? 1 : 0;
}
