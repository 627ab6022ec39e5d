/* SPDX-License-Identifier: Apache-2.0 */
/* Test program for containers. `writer`: numbered lines of 9 bytes, 60 000 a second by the clock (what it is behind it makes up for), until
 * SIGTERM; then "end N", N being the number of lines, and exit code 42. `writer count`: the same, with the number of lines that are surely
 * written in the file /data/written, as the next does it. `writer serve`: accepts connections on port 80 until SIGTERM, exit code 7;
 * meanwhile lines from 0 on, 1000 a second, and in the file /data/written the number of starts, and of lines that are surely written by the
 * run before and by this one: who reads its log after a kill can tell whether the last ones are there. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
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

struct written {
	unsigned long long starts, before, now;
};

/* Numbers that outlive this process; of its own when there is no /data. */
static volatile struct written *written_counter(void)
{
	static struct written own;
	int fd = open("/data/written", O_RDWR | O_CREAT, 0644);
	void *p = fd < 0 || ftruncate(fd, sizeof(own)) < 0 ? MAP_FAILED : mmap(NULL, sizeof(own), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	volatile struct written *w = p == MAP_FAILED ? &own : p;
	w->before = w->now;
	w->now = 0;
	w->starts++;
	return w;
}

static int write_lines(bool count)
{
	volatile struct written *written = count ? written_counter() : NULL;
	unsigned long long n = 0, begun = now_ms();
	char batch[BATCH * 9 + 1];
	while (!ending) {
		while (!ending && n < (now_ms() - begun) * RATE / 1000) {
			for (int i = 0; i < BATCH; i++)
				snprintf(batch + i * 9, 10, "%08llu\n", n++);
			put(batch, BATCH * 9);
			if (written)
				written->now = n;
		}
		usleep(5000);
	}
	put(batch, (size_t)snprintf(batch, sizeof(batch), "end %llu\n", n));
	return 42;
}

static void serve_lines(unsigned long long *n, volatile struct written *written)
{
	char lines[5 * 9 + 1];
	for (int i = 0; i < 5; i++)
		snprintf(lines + i * 9, 10, "%08llu\n", (*n)++);
	put(lines, sizeof(lines) - 1);
	written->now = *n;
}

static int serve(void)
{
	volatile struct written *written;
	unsigned long long n = 0, begun = now_ms();
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(80) };
	int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s, 16) < 0)
		return 1;
	written = written_counter();
	while (!ending) {
		struct pollfd p = { .fd = s, .events = POLLIN };
		if (poll(&p, 1, 5) > 0)
			close(accept(s, NULL, NULL));
		while (!ending && n < now_ms() - begun)
			serve_lines(&n, written);
	}
	return 7;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };
	sigaction(SIGTERM, &sa, NULL);
	return argc > 1 && strcmp(argv[1], "serve") == 0 ? serve() : write_lines(argc > 1 && strcmp(argv[1], "count") == 0);
}
