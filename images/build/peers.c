/* SPDX-License-Identifier: Apache-2.0 */
/* A list of those who wait, each with its own condition on the one lock. Everything ends when muster is gone; when the executor is gone, those
 * who wait for it fail. */
#include "images/build/peers.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "images/build/executor.h"


struct waiter {
	struct waiter *next;
	int64_t id;
	bool executor;       /* waits for the executor, else for muster */
	bool opened, done;
	json_t *answer;      /* NULL: the other side is gone */
	int *fds;            /* where the answer's descriptors go; NULL: nowhere */
	size_t max_fds, n_fds;
	pthread_cond_t changed;
};

struct peers {
	pthread_mutex_t lock, send;
	struct waiter *waiters;
	int cli_fd, executor_fd, stop_fd;
	int64_t next_id;
	bool *cancelled;
	bool cli_gone, executor_gone, cancel_sent;
	void (*on_cancel)(void *arg); /* under the lock */
	void *on_cancel_arg;
};

struct peers *peers_new(int cli_fd, int executor_fd, bool *cancelled)
{
	struct peers *p = xcalloc(1, sizeof(*p));
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->send, NULL);
	p->cli_fd = cli_fd;
	p->executor_fd = executor_fd;
	p->cancelled = cancelled;
	p->stop_fd = eventfd(0, EFD_CLOEXEC);
	return p;
}

void peers_free(struct peers *p)
{
	if (!p)
		return;
	util_close(&p->stop_fd);
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->send);
	free(p);
}

static int send_to(struct peers *p, int fd, const json_t *j, const int *fds, size_t n_fds, struct err *err)
{
	int rc;
	pthread_mutex_lock(&p->send);
	rc = message_send_blocking(fd, j, fds, n_fds, err);
	pthread_mutex_unlock(&p->send);
	return rc;
}

void peers_tell(struct peers *p, json_t *j)
{
	send_to(p, p->cli_fd, j, NULL, 0, NULL);
	json_decref(j);
}

static void enlist(struct peers *p, struct waiter *w)
{
	pthread_cond_init(&w->changed, NULL);
	pthread_mutex_lock(&p->lock);
	w->next = p->waiters;
	p->waiters = w;
	w->done = w->executor ? p->executor_gone : p->cli_gone;
	pthread_mutex_unlock(&p->lock);
}

/* With the lock held. */
static void delist(struct peers *p, struct waiter *w)
{
	struct waiter **at = &p->waiters;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	pthread_cond_destroy(&w->changed);
}

int peers_ask_for(struct peers *p, json_t *j, const int *fds, size_t n_fds, json_t **ret_answer, int *ret_fds, size_t max, size_t *ret_n,
	struct err *err)
{
	struct waiter w = { .fds = ret_fds, .max_fds = max };
	const json_t *failure;
	int rc;
	pthread_mutex_lock(&p->lock);
	w.id = ++p->next_id;
	pthread_mutex_unlock(&p->lock);
	json_put_int(j, "id", w.id);
	enlist(p, &w);
	rc = send_to(p, p->cli_fd, j, fds, n_fds, err);
	json_decref(j);
	pthread_mutex_lock(&p->lock);
	while (rc == 0 && !w.done)
		pthread_cond_wait(&w.changed, &p->lock);
	delist(p, &w);
	pthread_mutex_unlock(&p->lock);
	if (!w.answer)
		return rc < 0 ? -1 : err_set(err, ERR_TIMEOUT, "cancelled");
	failure = json_object_get(w.answer, "error");
	if (failure) {
		message_to_err(failure, err);
		while (w.n_fds > 0)
			util_close(&w.fds[--w.n_fds]);
		json_decref(w.answer);
		return -1;
	}
	*ret_answer = w.answer;
	if (ret_n)
		*ret_n = w.n_fds;
	return 0;
}

int peers_ask(struct peers *p, json_t *j, const int *fds, size_t n_fds, json_t **ret_answer, struct err *err)
{
	return peers_ask_for(p, j, fds, n_fds, ret_answer, NULL, 0, NULL, err);
}

int peers_run(struct peers *p, json_t *j, int64_t id, void (*opened)(void *arg), void *arg, int *ret_code, struct err *err)
{
	struct waiter w = { .id = id, .executor = true };
	bool told = false;
	int rc = 0;
	enlist(p, &w);
	pthread_mutex_lock(&p->lock);
	w.done = w.done || *p->cancelled; /* whoever cancels from now on finds us in the list */
	told = w.done;
	pthread_mutex_unlock(&p->lock);
	if (told) /* nothing is begun */
		opened(arg);
	else
		rc = send_to(p, p->executor_fd, j, NULL, 0, err);
	json_decref(j);
	pthread_mutex_lock(&p->lock);
	while (rc == 0 && !w.done) {
		if (w.opened && !told) {
			told = true;
			opened(arg);
		}
		pthread_cond_wait(&w.changed, &p->lock);
	}
	delist(p, &w);
	pthread_mutex_unlock(&p->lock);
	if (!told)
		opened(arg);
	if (!w.answer)
		return rc < 0 ? -1 : err_set(err, ERR_CORRUPT, *p->cancelled ? "cancelled" : "the process that runs the steps is gone");
	rc = 0;
	if (json_object_get(w.answer, "error"))
		rc = message_to_err(json_object_get(w.answer, "error"), err);
	else if (json_get_bool(w.answer, "cancelled", false))
		rc = err_set(err, ERR_TIMEOUT, "cancelled");
	else
		*ret_code = (int)json_get_int(w.answer, "exit_code", 255);
	json_decref(w.answer);
	return rc;
}

/* One message for the one who waits for it. */
static void hand_out(struct peers *p, json_t *j, bool executor, int *fds, size_t n_fds)
{
	const char *event = json_get_str(j, "event", "");
	const int64_t id = json_get_int(j, "id", -1);
	pthread_mutex_lock(&p->lock);
	for (struct waiter *w = p->waiters; w; w = w->next) {
		if (w->id != id || w->executor != executor || w->done)
			continue;
		if (executor && strcmp(event, "opened") == 0) {
			w->opened = true;
		} else if (!executor || strcmp(event, "done") == 0) {
			w->done = true;
			w->answer = json_incref(j);
			for (size_t i = 0; i < n_fds && w->n_fds < w->max_fds; i++)
				w->fds[w->n_fds++] = TAKE_FD(fds[i]);
		}
		pthread_cond_broadcast(&w->changed);
	}
	pthread_mutex_unlock(&p->lock);
}

static void hang_up(struct peers *p, bool executor)
{
	pthread_mutex_lock(&p->lock);
	if (executor)
		p->executor_gone = true;
	else
		p->cli_gone = true;
	for (struct waiter *w = p->waiters; w; w = w->next) {
		if (w->executor != executor)
			continue;
		w->done = true;
		pthread_cond_broadcast(&w->changed);
	}
	pthread_mutex_unlock(&p->lock);
}

/* One message from fd. Returns false at its end. */
static bool take(struct peers *p, int fd, bool executor)
{
	AUTO_JSON json_t *j = NULL;
	int fds[SOCK_MAX_FDS];
	size_t n_fds = 0;
	if (message_recv_blocking(fd, &j, fds, &n_fds, NULL) != 0) {
		hang_up(p, executor);
		return false;
	}
	if (!executor && strcmp(json_get_str(j, "op", ""), "cancel") == 0)
		peers_cancel(p);
	else
		hand_out(p, j, executor, fds, n_fds);
	for (size_t i = 0; i < n_fds; i++)
		util_close(&fds[i]);
	return true;
}

int peers_serve(struct peers *p)
{
	struct pollfd fds[] = { { .fd = p->stop_fd, .events = POLLIN }, { .fd = p->cli_fd, .events = POLLIN },
		{ .fd = p->executor_fd, .events = POLLIN } };
	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return 1;
		if (fds[0].revents)
			return 0;
		if (fds[2].revents && !take(p, p->executor_fd, true))
			fds[2].fd = -1;
		if (fds[1].revents && !take(p, p->cli_fd, false)) {
			peers_cancel(p);
			return 1;
		}
	}
}

void peers_stop(struct peers *p)
{
	const uint64_t one = 1;
	if (write(p->stop_fd, &one, sizeof(one)) < 0)
		_exit(1);
}

void peers_on_cancel(struct peers *p, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&p->lock);
	p->on_cancel = fn;
	p->on_cancel_arg = arg;
	pthread_mutex_unlock(&p->lock);
}

void peers_cancel(struct peers *p)
{
	int64_t ids[EXECUTOR_MAX_STEPS];
	size_t n = 0;
	pthread_mutex_lock(&p->lock);
	*p->cancelled = true;
	if (p->on_cancel)
		p->on_cancel(p->on_cancel_arg);
	for (struct waiter *w = p->waiters; w; w = w->next) {
		if (w->executor && n < ARRAY_SIZE(ids))
			ids[n++] = w->id;
		if (w->executor)
			continue;
		w->done = true; /* nobody wants the image that is still being pulled; its answer will find no one */
		pthread_cond_broadcast(&w->changed);
	}
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < n; i++) {
		AUTO_JSON json_t *j = json_object();
		json_put_str(j, "op", "cancel");
		json_put_int(j, "id", ids[i]);
		send_to(p, p->executor_fd, j, NULL, 0, NULL);
	}
}
