/* SPDX-License-Identifier: Apache-2.0 */
/* The packet channel. Invariants: sending never blocks; what a slow or dead peer does not take arrives later, complete, in
 * order and with its descriptors, though the sender closed its own; nothing leaks; the end is told once. */
#include "base/chan.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int failures;

#define CHECK(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static unsigned received, closed;
static bool stop_after_one;

static void on_packet(struct chan *c, const void *p, size_t n, int *fds, size_t n_fds)
{
	unsigned number;
	struct stat st;
	if (!p) {
		closed++;
		return;
	}
	memcpy(&number, p, sizeof(number));
	CHECK(n == 4096 && number == received, "packet %u of %zu bytes, expected %u", number, n, received);
	CHECK(n_fds == (number % 3 == 0), "packet %u has %zu descriptors", number, n_fds);
	CHECK(n_fds == 0 || (fstat(fds[0], &st) == 0 && S_ISFIFO(st.st_mode)), "packet %u", number);
	received++;
	if (stop_after_one)
		chan_done(c);
}

static int count_fds(void)
{
	int n = 0;
	for (int fd = 0; fd < 4096; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

int main(void)
{
	struct loop loop;
	struct chan a, b = {0};
	struct err err;
	int pair[2], before, pipe_fds[2];
	unsigned char packet[4096] = {0};
	unsigned sent = 0;
	CHECK(loop_init(&loop, &err) == 0 && sock_pair(SOCK_SEQPACKET, pair, &err) == 0, "%s", err.msg);
	CHECK(chan_open(&a, &loop, pair[0], on_packet, &err) == 0, "%s", err.msg);
	before = count_fds();
	for (; sent < 1000; sent++) { /* 4 MB: many times what the socket holds, and nobody reads */
		memcpy(packet, &sent, sizeof(sent));
		CHECK(pipe(pipe_fds) == 0, "pipe");
		CHECK(chan_send(&a, packet, sizeof(packet), pipe_fds, sent % 3 == 0) == 0, "packet %u", sent);
		close(pipe_fds[0]);
		close(pipe_fds[1]);
	}
	CHECK(a.queued_bytes > 0, "all of it went into the socket");
	for (int i = 0; i < 10; i++)
		loop_run_once(&loop, 0, &err);
	/* the peer dies in the middle; its successor goes on with the same socket */
	stop_after_one = true;
	for (int i = 0; i < 5; i++) {
		CHECK(chan_open(&b, &loop, pair[1], on_packet, &err) == 0, "%s", err.msg);
		while (b.source.loop)
			loop_run_once(&loop, 100, &err);
	}
	stop_after_one = false;
	CHECK(received == 5 && chan_open(&b, &loop, pair[1], on_packet, &err) == 0, "%u", received);
	while (received < sent && loop_run_once(&loop, 1000, &err) == 0)
		;
	CHECK(a.queued_bytes == 0 && count_fds() == before, "%d descriptors, %d before", count_fds(), before);
	/* dropped: gone, descriptors too */
	chan_done(&b);
	for (unsigned i = 0; i < 500; i++)
		chan_send(&a, packet, sizeof(packet), (int[]){ 0, 1 }, 2);
	chan_drop(&a);
	CHECK(a.queued_bytes == 0 && count_fds() == before, "%d descriptors, %d before", count_fds(), before);
	close(pair[1]);
	for (int i = 0; i < 3; i++)
		loop_run_once(&loop, 10, &err);
	CHECK(closed == 1 && a.closed && chan_send(&a, packet, 1, NULL, 0) == 1, "told %u times", closed);
	chan_done(&a);
	chan_done(&a);
	close(pair[0]);
	loop_done(&loop);
	printf("%s\n", failures ? "FAILED" : "passed");
	return failures != 0;
}
