/* SPDX-License-Identifier: Apache-2.0 */
/* A server for the system tests, static so that it runs in any image: answers each datagram, and the first bytes of each
 * connection, on 0.0.0.0:PORT with the same bytes. echo PORT… ; prints "ready" once all are bound. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX = 16 };

static int serve(int type, int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
	int fd = socket(AF_INET, type, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || (type == SOCK_STREAM && listen(fd, 16) < 0)) {
		perror("echo");
		exit(1);
	}
	return fd;
}

static void answer(int fd, int type)
{
	char buf[65536];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n;
	if (type == SOCK_DGRAM) {
		n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);
		if (n >= 0)
			sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, len);
		return;
	}
	fd = accept(fd, NULL, NULL);
	n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));
	if (n > 0 && write(fd, buf, (size_t)n) != n)
		perror("echo");
	close(fd);
}

int main(int argc, char **argv)
{
	struct pollfd fds[MAX];
	nfds_t n = 0;
	for (int i = 1; i < argc && n + 2 <= MAX; i++) {
		fds[n++] = (struct pollfd){ .fd = serve(SOCK_DGRAM, atoi(argv[i])), .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = serve(SOCK_STREAM, atoi(argv[i])), .events = POLLIN };
	}
	puts("ready");
	fflush(stdout);
	while (poll(fds, n, -1) > 0)
		for (nfds_t i = 0; i < n; i++)
			if (fds[i].revents)
				answer(fds[i].fd, i % 2 ? SOCK_STREAM : SOCK_DGRAM);
	return 1;
}
