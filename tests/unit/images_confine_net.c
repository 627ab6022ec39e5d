/* SPDX-License-Identifier: Apache-2.0 */
/* What the process that talks to registries could still do once it is taken over: no file but the copies that name resolution
 * reads, nothing written, no program, no process, no privilege, no socket but to the Internet. What it needs still works. */
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "images/confine.h"

typedef int attempt_fn(void); /* 0: it got through */

static int read_passwd(void) { return open("/etc/passwd", O_RDONLY) < 0; }
static int read_proc(void) { return open("/proc/self/maps", O_RDONLY) < 0; }
static int list_root(void) { return open("/var/lib", O_RDONLY | O_DIRECTORY) < 0; }
static int write_etc(void) { return open("/etc/hosts", O_WRONLY) < 0; }
static int make_file(void) { return open("/x", O_RDWR | O_CREAT, 0600) < 0; }
static int make_dir(void) { return mkdir("/x", 0700) < 0; }
static int unix_socket(void) { return socket(AF_UNIX, SOCK_STREAM, 0) < 0; }
static int netlink_socket(void) { return socket(AF_NETLINK, SOCK_RAW, 0) < 0; }
static int packet_socket(void) { return socket(AF_PACKET, SOCK_RAW, 0) < 0; }
static int raw_socket(void) { return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0; }
static int run_program(void) { return execl("/bin/true", "true", NULL) < 0; }
static int make_process(void) { return fork() < 0; }
static int new_namespace(void) { return unshare(CLONE_NEWUSER) < 0; }
static int listen_here(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return fd < 0 || listen(fd, 1) < 0;
}

static void *thread_main(void *arg) { return arg; }

static int needed(void)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	pthread_t t;
	int pair[2];
	if (socket(AF_INET, SOCK_STREAM, 0) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return 1;
	if (pthread_create(&t, NULL, thread_main, NULL) != 0 || pthread_join(t, NULL) != 0)
		return 2;
	return getaddrinfo("127.0.0.1", "80", &hints, &found) == 0 ? 0 : 3;
}

static const struct {
	const char *what;
	attempt_fn *attempt;
	bool allowed;
} attempts[] = {
	{ "read /etc/passwd", read_passwd, false },   { "read /proc", read_proc, false },         { "open /var/lib", list_root, false },
	{ "write /etc/hosts", write_etc, false },     { "make a file", make_file, false },        { "make a directory", make_dir, false },
	{ "a unix socket", unix_socket, false },      { "a netlink socket", netlink_socket, false }, { "a packet socket", packet_socket, false },
	{ "a raw socket", raw_socket, false },        { "run a program", run_program, false },    { "make a process", make_process, false },
	{ "a new namespace", new_namespace, false },  { "listen", listen_here, false },           { "what it needs", needed, true },
};

int main(void)
{
	int failures = 0;
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		struct err err = {0};
		int status = 0;
		pid_t pid = fork();
		if (pid == 0) {
			if (confine_enter_net(&err) < 0)
				_exit(77);
			_exit(attempts[i].attempt());
		}
		waitpid(pid, &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
			puts("the fence could not be entered");
			return geteuid() == 0 ? 1 : 77;
		}
		if ((WIFEXITED(status) && WEXITSTATUS(status) == 0) != attempts[i].allowed) {
			printf("%s: status %x\n", attempts[i].what, (unsigned)status);
			failures++;
		}
	}
	puts(failures ? "failed" : "passed");
	return failures != 0;
}
