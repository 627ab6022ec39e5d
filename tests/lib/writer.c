/* SPDX-License-Identifier: Apache-2.0 */
/* Test program for containers. `writer`: numbered lines of 9 bytes, 60 000 a second by the clock (what it is behind it makes up for), until
 * SIGTERM; then "end N", N being the number of lines, and exit code 42. `writer serve`: accepts connections on port 80 until SIGTERM;
 * exit code 7. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RATE = 60000, BATCH = 600 };

static volatile sig_atomic_t ending;

static void on_term(int sig)
{
	(void)sig;
	ending = 1;
}

static void put(const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(1, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			_exit(1);
		p += w;
		n -= (size_t)w;
	}
}

static unsigned long long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long long)t.tv_sec * 1000 + (unsigned long long)t.tv_nsec / 1000000;
}

static int write_lines(void)
{
	unsigned long long n = 0, begun = now_ms();
	char batch[BATCH * 9 + 1];
	while (!ending) {
		while (!ending && n < (now_ms() - begun) * RATE / 1000) {
			for (int i = 0; i < BATCH; i++)
				snprintf(batch + i * 9, 10, "%08llu\n", n++);
			put(batch, BATCH * 9);
		}
		usleep(5000);
	}
	put(batch, (size_t)snprintf(batch, sizeof(batch), "end %llu\n", n));
	return 42;
}

static int serve(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(80) };
	int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s, 16) < 0)
		return 1;
	while (!ending) {
		int c = accept(s, NULL, NULL);
		if (c >= 0) {
			put("served\n", 7);
			close(c);
		}
	}
	return 7;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };
	sigaction(SIGTERM, &sa, NULL);
	return argc > 1 && strcmp(argv[1], "serve") == 0 ? serve() : write_lines();
}
