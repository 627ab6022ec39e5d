/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: directories of any length, whole messages or an error, descriptors neither lost nor leaked, and a peer that lies or goes
 * away in the middle is an error and no crash. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/sock.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static int count_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;
	while (d && readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_long_path(const char *tmp)
{
	AUTO_STR struct str path = { 0 };
	struct err err = { 0 };
	struct stat st;
	str_add(&path, tmp);
	for (int i = 0; i < 8; i++)
		str_addf(&path, "/a-directory-with-a-rather-long-name-%d", i);
	AUTO_CLOSE int dir = fs_make_dir(AT_FDCWD, str_get(&path), 0700, &err);
	AUTO_CLOSE int server = sock_listen(dir, "control", SOCK_STREAM, &err);
	AUTO_CLOSE int client = sock_connect(dir, "control", SOCK_STREAM, &err);
	AUTO_CLOSE int taken = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	EXPECT(path.len > 200 && server >= 0 && client >= 0 && taken >= 0, "%s", err.msg);
	EXPECT(fstatat(dir, "control", &st, 0) == 0 && (st.st_mode & 0777) == 0600, "mode %o", st.st_mode & 0777);
	EXPECT(sock_peer_uid(taken) == getuid() && sock_peer_uid(dir) == (unsigned)-1, "the peer's user");
	EXPECT(fcntl(server, F_GETFD) == FD_CLOEXEC && fcntl(client, F_GETFD) == FD_CLOEXEC, "not inherited");
	util_close(&server);
	EXPECT(sock_connect(dir, "control", SOCK_STREAM, &err) == -1 && err.sys == ECONNREFUSED, "%s", err.msg);
	EXPECT(sock_connect(dir, "none", SOCK_STREAM, &err) == -1 && err.sys == ENOENT, "%s", err.msg);
	server = sock_listen(dir, "control", SOCK_STREAM, &err);
	EXPECT(server >= 0, "a stale socket is replaced: %s", err.msg);
	memset(path.p, 'n', path.len);
	EXPECT(sock_listen(dir, path.p, SOCK_STREAM, &err) == -1 && err.code == ERR_INVALID, "%s", err.msg);
}

static void test_packets(void)
{
	struct err err = { 0 };
	int pair[2], fds[3], pipes[4], before;
	char buf[16];
	size_t n;
	EXPECT(sock_pair(SOCK_SEQPACKET, pair, &err) == 0, "%s", err.msg);
	if (pipe2(pipes, O_CLOEXEC) < 0 || pipe2(pipes + 2, O_CLOEXEC) < 0 || fcntl(pair[1], F_SETFL, O_NONBLOCK) < 0)
		abort();
	n = 3;
	EXPECT(sock_recv(pair[1], buf, sizeof(buf), fds, &n, &err) == -EAGAIN && n == 0, "nothing is there");
	before = count_open();
	EXPECT(sock_send(pair[0], "hello", 5, pipes, 2, &err) == 0, "%s", err.msg);
	n = 3;
	EXPECT(sock_recv(pair[1], buf, sizeof(buf), fds, &n, &err) == 5 && n == 2 && memcmp(buf, "hello", 5) == 0, "%s", err.msg);
	EXPECT(fcntl(fds[0], F_GETFD) == FD_CLOEXEC && write(fds[1], "x", 1) == 1 && read(pipes[0], buf, 1) == 1, "descriptors that work");
	close(fds[0]);
	close(fds[1]);
	EXPECT(sock_send(pair[0], "x", 1, pipes, 4, &err) == 0, "%s", err.msg);
	n = 1;
	EXPECT(sock_recv(pair[1], buf, sizeof(buf), fds, &n, &err) == 1 && n == 1, "room for one");
	close(fds[0]);
	EXPECT(sock_send(pair[0], "x", 1, pipes, 4, &err) == 0 && sock_recv(pair[1], buf, sizeof(buf), NULL, NULL, &err) == 1, "room for none");
	EXPECT(count_open() == before, "%d descriptors leaked", count_open() - before);
	EXPECT(sock_send(pair[0], "a packet that is longer than the room", 37, NULL, 0, &err) == 0, "%s", err.msg);
	err = (struct err){ 0 };
	EXPECT(sock_recv(pair[1], buf, sizeof(buf), NULL, NULL, &err) < 0 && err.sys == EMSGSIZE, "half a packet is no packet: %s", err.msg);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	while ((n = (size_t)sock_send(pair[0], buf, sizeof(buf), NULL, 0, &err)) == 0)
		;
	EXPECT(n == 1, "a full queue is an outcome");
	close(pair[1]);
	EXPECT(sock_send(pair[0], "x", 1, NULL, 0, &err) == -1 && (err.sys == EPIPE || err.sys == ECONNRESET), "no SIGPIPE: %s", err.msg);
	close(pair[0]);
	for (int i = 0; i < 4; i++)
		close(pipes[i]);
}

/* A frame larger than any socket buffer, both ends non-blocking, with a descriptor. */
static void test_large_frame(void)
{
	enum { SIZE = 3 << 20 };
	AUTO_FREE char *big = xcalloc(SIZE, 1);
	AUTO_STR struct str got = { 0 };
	struct err err = { 0 };
	int pair[2], fds[2], status;
	size_t n = 2;
	pid_t pid;
	for (size_t i = 0; i < SIZE; i++)
		big[i] = (char)(i * 7 + (i >> 10));
	if (sock_pair(SOCK_STREAM, pair, &err) < 0 || (pid = fork()) < 0)
		abort();
	if (pid == 0) {
		close(pair[1]);
		fcntl(pair[0], F_SETFL, O_NONBLOCK);
		_exit(sock_send_frame(pair[0], big, SIZE, (int[]){ 2 }, 1, &err) || sock_send_frame(pair[0], "", 0, NULL, 0, &err));
	}
	close(pair[0]);
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	EXPECT(sock_recv_frame(pair[1], &got, fds, &n, &err) == 1 && got.len == SIZE && memcmp(got.p, big, SIZE) == 0, "%s", err.msg);
	EXPECT(n == 1 && got.p[SIZE] == '\0', "%zu descriptors", n);
	if (n)
		close(fds[0]);
	n = 2;
	EXPECT(sock_recv_frame(pair[1], &got, fds, &n, &err) == 1 && got.len == 0 && n == 0, "an empty frame: %s", err.msg);
	EXPECT(sock_recv_frame(pair[1], &got, NULL, NULL, &err) == 0, "a clean end");
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0, "the sender");
	close(pair[1]);
}

/* What a broken or hostile peer sends. */
static void test_bad_frames(void)
{
	static const struct {
		const char *bytes;
		size_t n;
		enum err_code want;
	} table[] = {
		{ "\x05", 1, ERR_CORRUPT }, { "\x05\0\0", 3, ERR_CORRUPT }, { "\x05\0\0\0", 4, ERR_CORRUPT }, { "\x05\0\0\0ab", 6, ERR_CORRUPT },
		{ "\xff\xff\xff\xff", 4, ERR_INVALID }, { "\x01\0\0\x04", 4, ERR_INVALID },
	};
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		AUTO_STR struct str got = { 0 };
		struct err err = { 0 };
		int pair[2], before = count_open();
		if (sock_pair(SOCK_STREAM, pair, &err) < 0 || send(pair[0], table[i].bytes, table[i].n, MSG_NOSIGNAL) < 0)
			abort();
		close(pair[0]);
		EXPECT(sock_recv_frame(pair[1], &got, NULL, NULL, &err) == -1 && err.code == table[i].want, "case %zu: code %d, %s", i, err.code, err.msg);
		close(pair[1]);
		EXPECT(count_open() == before, "case %zu leaks", i);
	}
}

int main(void)
{
	char tmp[] = "/tmp/base_sock.XXXXXX";
	struct err err = { 0 };
	if (!mkdtemp(tmp))
		return 1;
	test_long_path(tmp);
	test_packets();
	test_large_frame();
	test_bad_frames();
	EXPECT(fs_remove_tree(AT_FDCWD, tmp, &err) == 0, "%s", err.msg);
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
