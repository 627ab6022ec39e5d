/* SPDX-License-Identifier: Apache-2.0 */
/* A DNS load generator for the bench: keeps N questions for one name in flight over UDP and counts the answers.
 *   dnsload ADDRESS PORT NAME IN-FLIGHT SECONDS    prints answers per second; exit 1 when an answer does not come or is an error
 *   dnsload floor ADDRESS PORT                     answers every question alike, one thread, one question a turn, until it is killed: what
 *                                                  is measured against it is the server, not the machine
 * One socket per question in flight, each with its own id, so that an answer always belongs to the last question of its socket. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_IN_FLIGHT = 512, WAIT_MS = 2000 };

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Writes a question of type A for name; returns its length. */
static size_t make_question(unsigned char *q, const char *name)
{
	static const unsigned char head[12] = { 0x12, 0x34, 1, 0, 0, 1 };
	size_t n = sizeof(head);
	memcpy(q, head, n);
	while (*name) {
		size_t label = strcspn(name, ".");
		if (label == 0 || label > 63 || n + label > 250)
			exit(2);
		q[n++] = (unsigned char)label;
		memcpy(q + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	memcpy(q + n, "\0\0\1\0\1", 5);
	return n + 5;
}

static int open_socket(const char *address, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		fprintf(stderr, "dnsload: %s: %s\n", address, strerror(errno));
		exit(1);
	}
	return fd;
}

static int serve_floor(const char *address, int port)
{
	static const unsigned char record[16] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1 };
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || inet_pton(AF_INET, address, &sa.sin_addr) != 1 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		fprintf(stderr, "dnsload: %s: %s\n", address, strerror(errno));
		return 1;
	}
	for (;;) {
		unsigned char q[512 + sizeof(record)];
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, q, 512, 0, (struct sockaddr *)&from, &len);
		if (n < 12)
			continue;
		q[2] |= 0x80;
		q[7] = 1;
		memcpy(q + n, record, sizeof(record));
		sendto(fd, q, (size_t)n + sizeof(record), 0, (struct sockaddr *)&from, len);
	}
}

int main(int argc, char **argv)
{
	struct pollfd fds[MAX_IN_FLIGHT];
	unsigned char q[300], answer[4096];
	double begun, end;
	unsigned long n = 0;
	int in_flight;
	size_t len;
	if (argc == 4 && strcmp(argv[1], "floor") == 0)
		return serve_floor(argv[2], atoi(argv[3]));
	if (argc != 6 || (in_flight = atoi(argv[4])) < 1 || in_flight > MAX_IN_FLIGHT) {
		fprintf(stderr, "usage: dnsload ADDRESS PORT NAME IN-FLIGHT SECONDS | floor ADDRESS PORT\n");
		return 2;
	}
	len = make_question(q, argv[3]);
	for (int i = 0; i < in_flight; i++)
		fds[i] = (struct pollfd){ .fd = open_socket(argv[1], atoi(argv[2])), .events = POLLIN };
	begun = now();
	end = begun + atof(argv[5]);
	for (int i = 0; i < in_flight; i++)
		if (send(fds[i].fd, q, len, 0) < 0)
			return 1;
	while (now() < end) {
		if (poll(fds, (nfds_t)in_flight, WAIT_MS) <= 0) {
			fprintf(stderr, "dnsload: no answer within %d ms\n", WAIT_MS);
			return 1;
		}
		for (int i = 0; i < in_flight; i++) {
			ssize_t got = fds[i].revents ? recv(fds[i].fd, answer, sizeof(answer), 0) : 0;
			if (!fds[i].revents)
				continue;
			if (got < 12 || (answer[3] & 15) != 0 || answer[7] == 0) {
				fprintf(stderr, "dnsload: an answer with error %d\n", got < 12 ? -1 : answer[3] & 15);
				return 1;
			}
			n++;
			if (send(fds[i].fd, q, len, 0) < 0)
				return 1;
		}
	}
	printf("%.0f\n", (double)n / (now() - begun));
	return 0;
}
