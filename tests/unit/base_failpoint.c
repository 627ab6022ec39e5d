/* SPDX-License-Identifier: Apache-2.0 */
/* Failpoints: an action is taken at the hit that was asked for and at no other, whichever process of the run root makes it, so a process that
 * replaces a killed one does not die of the same term again. Without a control file nothing happens; what a point cannot do is refused. */
#include "base/failpoint.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CHECK(c) \
	do { \
		if (!(c)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #c); \
			exit(1); \
		} \
	} while (0)

static int run_fd;
static struct err err;

static size_t slot_of(const char *name)
{
	size_t i = 0;
	while (i < n_failpoints && strcmp(failpoints[i].name, name) != 0)
		i++;
	CHECK(i < n_failpoints);
	return i;
}

static struct failpoint_count count_of(const char *name)
{
	struct failpoint_count *all = xcalloc(n_failpoints, sizeof(*all)), c;
	CHECK(failpoint_counts(run_fd, all, &err) == 0);
	c = all[slot_of(name)];
	free(all);
	return c;
}

/* The wait status of a child that comes by the point n times. */
static int child_hits(const char *name, int n)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		failpoint_open(run_fd); /* as after an exec; does nothing when it is mapped already */
		while (n--)
			failpoint(name);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

static void test_without_file(void)
{
	CHECK(failpoint("fs.rename") == 0 && failpoint_short("fs.short", 10) == 10 && failpoint_fd() == -1);
	CHECK(failpoint_counts(run_fd, NULL, &err) == 1);
	CHECK(failpoint_arm(run_fd, "fs.rename=kill9", &err) < 0);
}

static void test_terms(void)
{
	static const char *const bad[] = { "fs.rename", "nothing=kill9", "fs.rename=short", "fs.rename=EWHAT", "fs.rename=kill9@0", "fs.rename=kill9@x",
					   "fs.rename=delay:", "fs.rename=delay:60001", "fs.short=ENOSPC", "start.go=EIO", "=kill9", "fs.rename=" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(failpoint_arm(run_fd, bad[i], &err) < 0);
}

static void test_errno(void)
{
	CHECK(failpoint_arm(run_fd, "fs.rename=ENOSPC@2", &err) == 0);
	errno = EBADF;
	CHECK(failpoint("fs.rename") == 0 && errno == EBADF);
	CHECK(failpoint("fs.rename") == -1 && errno == ENOSPC);
	CHECK(failpoint("fs.rename") == 0);
	CHECK(count_of("fs.rename").hits == 3 && count_of("fs.rename").fired == 1);
	CHECK(failpoint_arm(run_fd, "fs.rename=EIO@2+", &err) == 0);
	CHECK(failpoint_err("fs.rename", &err) == 0 && failpoint_err("fs.rename", &err) < 0 && err.sys == EIO);
	CHECK(failpoint("fs.rename") == -1);
	CHECK(failpoint_arm(run_fd, "fs.rename=off", &err) == 0 && failpoint("fs.rename") == 0);
	CHECK(failpoint_arm(run_fd, "fs.short=short", &err) == 0 && failpoint_short("fs.short", 9) == 5 && failpoint_short("fs.short", 9) == 9);
}

static void test_one_death(void)
{
	int status;
	CHECK(failpoint_arm(run_fd, "exit.peeked=kill9@3", &err) == 0);
	CHECK(child_hits("exit.peeked", 2) == 0);
	status = child_hits("exit.peeked", 1);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(child_hits("exit.peeked", 5) == 0);
	CHECK(count_of("exit.peeked").hits == 8 && count_of("exit.peeked").fired == 1);
	CHECK(failpoint_arm(run_fd, "exit.peeked=abort", &err) == 0);
	status = child_hits("exit.peeked", 1);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* A file of another build, or open to others, arms nobody. */
static void test_strange_file(void)
{
	struct failpoint_count *all = xcalloc(n_failpoints, sizeof(*all));
	int fd = openat(run_fd, FAILPOINT_FILE, O_RDWR);
	char first; /* of the registry's hash: any other will do */
	CHECK(fchmod(fd, 0666) == 0 && failpoint_counts(run_fd, all, &err) < 0);
	CHECK(fchmod(fd, 0600) == 0 && failpoint_counts(run_fd, all, &err) == 0);
	CHECK(pread(fd, &first, 1, 0) == 1 && pwrite(fd, (first ^= 1, &first), 1, 0) == 1 && failpoint_counts(run_fd, all, &err) < 0);
	CHECK(ftruncate(fd, 20) == 0 && failpoint_counts(run_fd, all, &err) < 0);
	close(fd);
	free(all);
}

int main(void)
{
	char dir[] = "/tmp/muster-failpoint-XXXXXX";
	CHECK(mkdtemp(dir));
	run_fd = open(dir, O_RDONLY | O_DIRECTORY);
	test_without_file();
	CHECK(failpoint_create(run_fd, &err) == 0);
	failpoint_open(run_fd);
	CHECK(failpoint_fd() >= 0);
	test_terms();
	test_errno();
	test_one_death();
	CHECK(failpoint_create(run_fd, &err) == 0); /* another one: what is mapped is the old one still */
	test_strange_file();
	unlinkat(run_fd, FAILPOINT_FILE, 0);
	rmdir(dir);
	return 0;
}
