/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of a build. Invariants: what is sent arrives as it was, long or short, with its own descriptors and no other; what is no message of
 * ours (no JSON, no object, a memfd that could still change) is an error and leaks nothing; a layer's name is never a path. */
#include "images/build/executor.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

static int failures;

#define CHECK(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static int count_fds(void)
{
	int n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_round_trip(const int *pair, size_t n)
{
	AUTO_FREE char *text = xcalloc(n + 1, 1);
	AUTO_JSON json_t *sent = json_object(), *got = NULL;
	int fds[SOCK_MAX_FDS], mine[2] = { dup(0), dup(1) }, before = count_fds();
	size_t n_fds = 0;
	struct err err = {0};
	memset(text, 'x', n);
	json_put_str(sent, "text", text);
	CHECK(message_send_blocking(pair[0], sent, mine, 2, &err) == 0, "%s", err.msg);
	CHECK(message_recv_blocking(pair[1], &got, fds, &n_fds, &err) == 0, "%s", err.msg);
	CHECK(json_equal(sent, got) && n_fds == 2, "%zu bytes: %zu descriptors", n, n_fds);
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
	CHECK(count_fds() == before, "%d descriptors, %d before", count_fds(), before);
	close(mine[0]);
	close(mine[1]);
}

static void test_refused(const int *pair)
{
	static const char *const packets[] = { "J", "J[1]", "J{", "X{}", "M", "J{\"a\":1,\"a\":2}" };
	struct err err = {0};
	for (size_t i = 0; i <= ARRAY_SIZE(packets); i++) {
		AUTO_CLOSE int memfd = memfd_create("open", MFD_CLOEXEC); /* not sealed */
		AUTO_JSON json_t *got = NULL;
		int fds[SOCK_MAX_FDS], before = count_fds();
		size_t n_fds = 0;
		const char *p = i < ARRAY_SIZE(packets) ? packets[i] : "M";
		CHECK(write(memfd, "{}", 2) == 2, "write");
		CHECK(sock_send(pair[0], p, strlen(p), &memfd, i == ARRAY_SIZE(packets), &err) == 0, "%s", err.msg);
		CHECK(message_recv_blocking(pair[1], &got, fds, &n_fds, &err) == -1 && !got, "%s is taken", p);
		CHECK(count_fds() == before, "%s: %d descriptors, %d before", p, count_fds(), before);
	}
}

static void test_names(void)
{
	static const char *const bad[] = { "", ".", "..", ".tmp-", ".tmp-../../../../etc", ".tmp-0123456789abcdeF", ".tmp-0123456789abcdef0", "0123",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde/" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(!executor_is_layer_name(bad[i]), "\"%s\"", bad[i]);
	CHECK(executor_is_layer_name(".tmp-0123456789abcdef"), "temporary");
	CHECK(executor_is_layer_name("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"), "digits");
}

int main(void)
{
	static const size_t sizes[] = { 0, 10, MESSAGE_MAX_INLINE - 20, MESSAGE_MAX_INLINE, 100000, 4 << 20 };
	struct err err = {0}, back = {0};
	AUTO_JSON json_t *j = NULL, *got = NULL;
	int pair[2], fds[SOCK_MAX_FDS];
	size_t n_fds;
	CHECK(sock_pair(SOCK_SEQPACKET, pair, &err) == 0, "%s", err.msg);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		test_round_trip(pair, sizes[i]);
	test_refused(pair);
	test_names();
	err_sys(&err, ENOENT, "open \"x\"");
	j = message_from_err(&err);
	CHECK(message_to_err(j, &back) == -1 && back.sys == ENOENT && back.code == ERR_SYS && strcmp(back.msg, err.msg) == 0, "%s", back.msg);
	close(pair[0]);
	CHECK(message_recv_blocking(pair[1], &got, fds, &n_fds, &err) == 1, "the end");
	CHECK(message_send_blocking(pair[1], j, NULL, 0, &err) == 1, "nobody listens");
	close(pair[1]);
	printf("%d failures\n", failures);
	return failures ? 1 : 0;
}
