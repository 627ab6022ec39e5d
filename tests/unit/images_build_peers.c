/* SPDX-License-Identifier: Apache-2.0 */
/* The builder's two channels for many threads. Invariants: each asker gets its own answer, in whatever order they come, with the descriptors that are
 * meant for it and no others; an error of the other side is the asker's error; a cancelled build, a muster or an executor that is gone lets nobody
 * wait for ever; "opened" is told exactly once, whatever happens; what nobody waits for is thrown away without a leak. */
#include "images/build/peers.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

static int failures;

#define CHECK(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); printf(__VA_ARGS__); putchar('\n'); } } while (0)

struct rig {
	struct peers *p;
	int cli, executor;   /* the other sides' ends */
	int own[2];
	bool cancelled;
	pthread_t server;
	int rc;
};

static void *serve(void *arg)
{
	struct rig *r = arg;
	r->rc = peers_serve(r->p);
	return NULL;
}

static void setup(struct rig *r)
{
	int a[2], b[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, a) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, b) < 0)
		exit(1);
	*r = (struct rig){ .cli = a[0], .executor = b[0], .own = { a[1], b[1] } };
	r->p = peers_new(a[1], b[1], &r->cancelled);
	pthread_create(&r->server, NULL, serve, r);
}

static void teardown(struct rig *r, int want)
{
	if (want == 0)
		peers_stop(r->p);
	pthread_join(r->server, NULL);
	CHECK(r->rc == want, "%d", r->rc);
	peers_free(r->p);
	util_close(&r->cli);
	util_close(&r->executor);
	close(r->own[0]);
	close(r->own[1]);
}

static json_t *receive(int fd)
{
	int fds[SOCK_MAX_FDS];
	size_t n = 0;
	json_t *j = NULL;
	struct err err = {0};
	CHECK(message_recv_blocking(fd, &j, fds, &n, &err) == 0, "%s", err.msg);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	return j;
}

static void answer(int fd, json_t *j, const int *fds, size_t n)
{
	struct err err = {0};
	CHECK(message_send_blocking(fd, j, fds, n, &err) == 0, "%s", err.msg);
	json_decref(j);
}

struct asker {
	struct rig *r;
	int number, rc, opened, code;
	int64_t got;
	int fds[2];
	size_t n_fds;
	struct err err;
	pthread_t thread;
};

static void *ask(void *arg)
{
	struct asker *a = arg;
	json_t *j = json_object(), *got = NULL;
	json_put_int(j, "number", a->number);
	a->rc = peers_ask_for(a->r->p, j, NULL, 0, &got, a->fds, ARRAY_SIZE(a->fds), &a->n_fds, &a->err);
	a->got = a->rc == 0 ? json_get_int(got, "number", -1) : -1;
	if (a->rc == 0)
		json_decref(got);
	return NULL;
}

static void opened(void *arg)
{
	((struct asker *)arg)->opened++;
}

static void *run(void *arg)
{
	struct asker *a = arg;
	json_t *j = json_object();
	json_put_int(j, "id", a->number);
	a->rc = peers_run(a->r->p, j, a->number, opened, a, &a->code, &a->err);
	return NULL;
}

static void start(struct asker *a, struct rig *r, int number, void *(*fn)(void *))
{
	*a = (struct asker){ .r = r, .number = number, .fds = { -1, -1 } };
	pthread_create(&a->thread, NULL, fn, a);
}

static int count_fds(void)
{
	int n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_answers(void)
{
	enum { N = 20 };
	struct asker a[N];
	int64_t ids[N];
	struct rig r;
	setup(&r);
	for (int i = 0; i < N; i++)
		start(&a[i], &r, i, ask);
	for (int i = 0; i < N; i++) {
		AUTO_JSON json_t *j = receive(r.cli);
		ids[json_get_int(j, "number", 0)] = json_get_int(j, "id", -1);
	}
	answer(r.cli, json_pack("{s:s,s:I,s:i}", "op", "reply", "id", (json_int_t)999, "number", 5), NULL, 0); /* nobody's */
	for (int i = N; i-- > 0;)
		answer(r.cli, json_pack("{s:s,s:I,s:i}", "op", "reply", "id", (json_int_t)ids[i], "number", i), NULL, 0);
	for (int i = 0; i < N; i++) {
		pthread_join(a[i].thread, NULL);
		CHECK(a[i].rc == 0 && a[i].got == i && a[i].n_fds == 0, "%d got %lld: %s", i, (long long)a[i].got, a[i].err.msg);
	}
	start(&a[0], &r, 1, ask);
	{
		AUTO_JSON json_t *j = receive(r.cli);
		const struct err failure = { .code = ERR_DENIED, .msg = "no" };
		json_t *reply = json_pack("{s:s,s:I}", "op", "reply", "id", (json_int_t)json_get_int(j, "id", -1));
		json_object_set_new(reply, "error", message_from_err(&failure));
		answer(r.cli, reply, NULL, 0);
	}
	pthread_join(a[0].thread, NULL);
	CHECK(a[0].rc == -1 && a[0].err.code == ERR_DENIED && strcmp(a[0].err.msg, "no") == 0, "%s", a[0].err.msg);
	teardown(&r, 0);
}

static void test_descriptors(void)
{
	struct asker a;
	struct rig r;
	const int three[] = { 0, 1, 2 };
	int before;
	setup(&r);
	before = count_fds();
	answer(r.cli, json_pack("{s:s,s:i}", "op", "reply", "id", 77), three, 3); /* nobody's descriptors */
	start(&a, &r, 1, ask);
	{
		AUTO_JSON json_t *j = receive(r.cli);
		answer(r.cli, json_pack("{s:s,s:I,s:i}", "op", "reply", "id", (json_int_t)json_get_int(j, "id", -1), "number", 1), three, 3);
	}
	pthread_join(a.thread, NULL);
	CHECK(a.rc == 0 && a.n_fds == 2 && a.fds[0] >= 0 && a.fds[1] >= 0, "%zu descriptors", a.n_fds);
	util_close(&a.fds[0]);
	util_close(&a.fds[1]);
	for (int i = 0; i < 100 && count_fds() != before; i++)
		usleep(10000);
	CHECK(count_fds() == before, "%d descriptors, %d before", count_fds(), before);
	teardown(&r, 0);
}

static void test_steps(void)
{
	struct asker a[3];
	struct rig r;
	setup(&r);
	for (int i = 0; i < 3; i++) {
		start(&a[i], &r, i + 1, run);
		json_decref(receive(r.executor));
	}
	answer(r.executor, json_pack("{s:s,s:i}", "event", "opened", "id", 2), NULL, 0);
	answer(r.executor, json_pack("{s:s,s:i,s:i}", "event", "done", "id", 2, "exit_code", 7), NULL, 0);
	answer(r.executor, json_pack("{s:s,s:i,s:b}", "event", "done", "id", 1, "cancelled", 1), NULL, 0); /* never opened */
	pthread_join(a[0].thread, NULL);
	pthread_join(a[1].thread, NULL);
	CHECK(a[1].rc == 0 && a[1].code == 7 && a[1].opened == 1, "%d, code %d, opened %d", a[1].rc, a[1].code, a[1].opened);
	CHECK(a[0].rc == -1 && a[0].opened == 1, "%d, opened %d", a[0].rc, a[0].opened);
	shutdown(r.executor, SHUT_RDWR); /* it is gone */
	pthread_join(a[2].thread, NULL);
	CHECK(a[2].rc == -1 && a[2].opened == 1 && strstr(a[2].err.msg, "gone"), "%d, opened %d: %s", a[2].rc, a[2].opened, a[2].err.msg);
	start(&a[0], &r, 9, run); /* one more, to nobody */
	pthread_join(a[0].thread, NULL);
	CHECK(a[0].rc == -1 && a[0].opened == 1, "%d, opened %d", a[0].rc, a[0].opened);
	CHECK(!r.cancelled, "a build goes on without its executor");
	teardown(&r, 0);
}

static void test_cancel(void)
{
	struct asker a, s;
	struct rig r;
	setup(&r);
	start(&a, &r, 1, ask);
	json_decref(receive(r.cli));
	start(&s, &r, 5, run);
	json_decref(receive(r.executor));
	answer(r.cli, json_pack("{s:s}", "op", "cancel"), NULL, 0);
	pthread_join(a.thread, NULL);
	CHECK(a.rc == -1 && r.cancelled, "%d, cancelled %d", a.rc, r.cancelled);
	{
		AUTO_JSON json_t *j = receive(r.executor);
		CHECK(strcmp(json_get_str(j, "op", ""), "cancel") == 0 && json_get_int(j, "id", 0) == 5, "the executor is not told");
	}
	answer(r.executor, json_pack("{s:s,s:i,s:b}", "event", "done", "id", 5, "cancelled", 1), NULL, 0);
	pthread_join(s.thread, NULL);
	CHECK(s.rc == -1 && s.err.code == ERR_TIMEOUT, "%s", s.err.msg);
	start(&s, &r, 6, run); /* nothing begins any more */
	pthread_join(s.thread, NULL);
	CHECK(s.rc == -1 && s.opened == 1, "%d, opened %d", s.rc, s.opened);
	CHECK(recv(r.executor, &s, sizeof(s), MSG_DONTWAIT) < 0, "the executor is told of a step of a cancelled build");
	teardown(&r, 0);
}

static void test_gone(void)
{
	struct asker a;
	struct rig r;
	setup(&r);
	start(&a, &r, 1, ask);
	json_decref(receive(r.cli));
	util_close(&r.cli);
	pthread_join(a.thread, NULL);
	CHECK(a.rc == -1 && r.cancelled, "%d, cancelled %d", a.rc, r.cancelled);
	start(&a, &r, 2, ask);
	pthread_join(a.thread, NULL);
	CHECK(a.rc == -1, "an answer of nobody");
	teardown(&r, 1);
}

int main(void)
{
	alarm(30);
	test_answers();
	test_descriptors();
	test_steps();
	test_cancel();
	test_gone();
	return failures != 0;
}
