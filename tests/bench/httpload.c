/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP server and its load generator, both one thread around epoll, connections kept alive:
 *   httpload serve ADDRESS PORT                         until it is killed
 *   httpload load ADDRESS PORT CONNECTIONS SECONDS      prints answers per second; exit 1 when a connection breaks or an answer is not 200
 * The bench runs the same server on the host and behind a published port: the ratio is what the way through NAT, bridge and veth costs. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_EVENTS = 64, BODY_BYTES = 512, MAX_CONNECTIONS = 512 };

static const char request[] = "GET /page HTTP/1.1\r\nHost: bench\r\n\r\n";
static char answer[BODY_BYTES + 128];
static size_t answer_len;

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "httpload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void make_answer(void)
{
	answer_len = (size_t)sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", BODY_BYTES);
	memset(answer + answer_len, 'x', BODY_BYTES);
	answer_len += BODY_BYTES;
}

static struct sockaddr_in address_of(const char *address, const char *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	if (inet_pton(AF_INET, address, &sa.sin_addr) != 1)
		die(address);
	return sa;
}

static void watch(int epoll_fd, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll_ctl");
}

/* One request is one packet here: as many answers as there are ends of a header. */
static void serve_one(int fd)
{
	char buf[4096];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);
	if (n <= 0) {
		close(fd);
		return;
	}
	buf[n] = '\0';
	for (const char *p = buf; (p = strstr(p, "\r\n\r\n")); p += 4)
		if (send(fd, answer, answer_len, MSG_NOSIGNAL) < 0) {
			close(fd);
			return;
		}
}

static int serve(char **argv)
{
	struct sockaddr_in sa = address_of(argv[2], argv[3]);
	int listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), epoll_fd = epoll_create1(EPOLL_CLOEXEC), one = 1;
	if (listen_fd < 0 || epoll_fd < 0)
		die("socket");
	setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listen_fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(listen_fd, 512) < 0)
		die("listen");
	watch(epoll_fd, listen_fd);
	for (;;) {
		struct epoll_event ready[MAX_EVENTS];
		int n = epoll_wait(epoll_fd, ready, MAX_EVENTS, -1);
		for (int i = 0; i < n; i++) {
			int fd = ready[i].data.fd;
			if (fd != listen_fd) {
				serve_one(fd);
				continue;
			}
			fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
			if (fd >= 0)
				watch(epoll_fd, fd);
		}
	}
}

static void ask(int fd)
{
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
		die("send");
}

static int load(char **argv)
{
	struct sockaddr_in sa = address_of(argv[2], argv[3]);
	int connections = atoi(argv[4]), epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	static size_t got[65536];
	unsigned long answers = 0;
	double begun, end;
	if (connections < 1 || connections > MAX_CONNECTIONS || epoll_fd < 0)
		return 2;
	begun = now();
	end = begun + atof(argv[5]);
	for (int i = 0; i < connections; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
			die("connect");
		watch(epoll_fd, fd);
		ask(fd);
	}
	while (now() < end) {
		struct epoll_event ready[MAX_EVENTS];
		int n = epoll_wait(epoll_fd, ready, MAX_EVENTS, 2000);
		if (n <= 0)
			die("no answer");
		for (int i = 0; i < n; i++) {
			int fd = ready[i].data.fd;
			char buf[8192];
			ssize_t len = recv(fd, buf, sizeof(buf), 0);
			if (len <= 0 || (got[fd] == 0 && strncmp(buf, "HTTP/1.1 200", 12) != 0))
				die("answer");
			got[fd] += (size_t)len;
			if (got[fd] < answer_len)
				continue;
			got[fd] = 0;
			answers++;
			ask(fd);
		}
	}
	printf("%.0f\n", (double)answers / (now() - begun));
	return 0;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	make_answer();
	if (argc == 4 && strcmp(argv[1], "serve") == 0)
		return serve(argv);
	if (argc == 6 && strcmp(argv[1], "load") == 0)
		return load(argv);
	fprintf(stderr, "usage: httpload serve ADDRESS PORT | load ADDRESS PORT CONNECTIONS SECONDS\n");
	return 2;
}
