/* SPDX-License-Identifier: Apache-2.0 */
/* The process behind the pipe has read hostile bytes, so the client believes only what makes sense: every ending of
 * muster-image, sane or not, becomes one result or one clear error, and no child stays behind. This program plays both parts:
 * copied beside itself as muster-image, it does what the image's name tells it to. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "compose/image_client.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- the part of muster-image ---- */

static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		_exit(9);
}

/* What descriptors there are, as a warning: "0 1 2 3 ", and how many environment variables. */
static void say_state(void)
{
	AUTO_STR struct str fds = {0};
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int n_env = 0;
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(d))
			str_addf(&fds, "%s ", e->d_name);
	if (d)
		closedir(d);
	while (environ[n_env])
		n_env++;
	str_addf(&fds, "env %d", n_env);
	AUTO_FREE char *line = xasprintf("{\"event\":\"warning\",\"text\":\"%s\"}\n", fds.p);
	say(line);
}

static int play(const char *what)
{
	AUTO_FREE char *big = xcalloc(1, 200001);
	memset(big, 'x', 200000);
	if (strcmp(what, "good") == 0)
		say("{\"event\":\"progress\",\"done\":5,\"total\":9}\n{\"event\":\"done\",\"id\":\"" ID "\"}\n");
	else if (strcmp(what, "split") == 0)
		for (const char *c = "{\"event\":\"done\",\"id\":\"" ID "\"}\n"; *c; c++)
			say((char[]){ *c, '\0' });
	else if (strcmp(what, "error") == 0)
		say("{\"event\":\"error\",\"code\":3,\"message\":\"it is so\"}\n");
	else if (strcmp(what, "odd-code") == 0)
		say("{\"event\":\"error\",\"code\":-77,\"message\":7}\n");
	else if (strcmp(what, "garbage") == 0)
		say("hello\n");
	else if (strcmp(what, "unknown") == 0)
		say("{\"event\":\"launch\"}\n");
	else if (strcmp(what, "array") == 0)
		say("[1]\n");
	else if (strcmp(what, "endless") == 0)
		say(big), pause();
	else if (strcmp(what, "bad-id") == 0)
		say("{\"event\":\"done\",\"id\":\"../../../etc/passwd\"}\n");
	else if (strcmp(what, "no-id") == 0)
		say("{\"event\":\"done\"}\n");
	else if (strcmp(what, "bad-loaded") == 0)
		say("{\"event\":\"loaded\",\"ref\":\"x\"}\n{\"event\":\"done\",\"id\":\"" ID "\"}\n");
	else if (strcmp(what, "done-then-fails") == 0)
		return say("{\"event\":\"done\",\"id\":\"" ID "\"}\n"), 3;
	else if (strcmp(what, "half") == 0)
		say("{\"event\":\"done\",\"id\":\"" ID);
	else if (strcmp(what, "killed") == 0)
		kill(getpid(), SIGKILL);
	else if (strcmp(what, "sigsys") == 0)
		kill(getpid(), SIGSYS);
	else if (strcmp(what, "state") == 0)
		say_state(), say("{\"event\":\"done\",\"id\":\"" ID "\"}\n");
	return strcmp(what, "exit-5") == 0 ? 5 : 0;
}

/* ---- the client's part ---- */

struct seen {
	int n_progress, n_loaded;
	uint64_t done, total;
	char text[200];
};

static void on_event(void *arg, const struct image_event *ev)
{
	struct seen *s = arg;
	s->n_progress += ev->kind == IMAGE_PROGRESS;
	s->n_loaded += ev->kind == IMAGE_LOADED;
	if (ev->kind == IMAGE_PROGRESS) {
		s->done = ev->done_bytes;
		s->total = ev->total_bytes;
	}
	if (ev->kind == IMAGE_WARNING)
		snprintf(s->text, sizeof(s->text), "%s", ev->text);
}

static int run_client(int root)
{
	static const struct {
		const char *what, *says; /* says NULL: it works */
	} cases[] = {
		{ "good", NULL }, { "split", NULL }, { "error", "it is so" }, { "odd-code", "failed" }, { "garbage", "not understood" },
		{ "unknown", "not understood" }, { "array", "not understood" }, { "endless", "too long" }, { "bad-id", "did not say which" },
		{ "no-id", "did not say which" }, { "bad-loaded", "not understood" }, { "done-then-fails", "exit code 3" },
		{ "half", "without an answer" }, { "killed", "SIGKILL" }, { "sigsys", "forbidden system call" }, { "exit-5", "exit code 5" },
	};
	AUTO_CLOSE int null = open("/dev/null", O_RDWR), extra = open("/dev/null", O_RDONLY);
	struct seen seen = {0};
	struct err err;
	char id[65];
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int rc;
		err = (struct err){0};
		rc = image_client_import(root, null, cases[i].what, NULL, NULL, on_event, &seen, id, &err);
		EXPECT((rc == 0) == !cases[i].says, "%s: %d %s", cases[i].what, rc, err.msg);
		EXPECT(rc == 0 ? strcmp(id, ID) == 0 : strstr(err.msg, cases[i].says) != NULL, "%s: %s", cases[i].what, err.msg);
		EXPECT(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "%s: a child stayed", cases[i].what);
	}
	EXPECT(seen.n_progress == 1 && seen.done == 5 && seen.total == 9 && seen.n_loaded == 0, "progress");
	/* descriptors and variables of ours, without close-on-exec, stay here */
	EXPECT(image_client_import(root, null, "state", NULL, NULL, on_event, &seen, id, &err) == 0, "%s", err.msg);
	EXPECT(strcmp(seen.text, "0 1 2 3 env 0") == 0, "the child has: %s", seen.text);
	EXPECT(extra > 3, "something was there to leak");
	printf("%s\n", failures ? "failed" : "passed");
	fflush(stdout);
	return failures != 0;
}

/* Copies this program to dir/name. */
static void copy_self(int dir, const char *name)
{
	AUTO_STR struct str bytes = {0};
	struct err err = {0};
	if (fs_read(AT_FDCWD, "/proc/self/exe", 256 << 20, &bytes, &err) < 0 || fs_write_volatile(dir, name, bytes.p, bytes.len, 0700, &err) < 0)
		printf("%s\n", err.msg);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/muster-test-XXXXXX", path[64];
	int fd, wstatus = 1;
	if (strcmp(argv[0], "muster-image") == 0)
		return argc == 4 && strcmp(argv[1], "import") == 0 && strcmp(argv[2], "--name") == 0 ? play(argv[3]) : 99;
	if (strcmp(argv[0], "client") == 0)
		return run_client(open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (!mkdtemp(dir) || (fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return 1;
	copy_self(fd, "muster-image");
	copy_self(fd, "client");
	snprintf(path, sizeof(path), "%s/client", dir);
	if (fork() == 0) {
		execl(path, "client", dir, NULL);
		_exit(127);
	}
	wait(&wstatus);
	close(fd);
	fs_remove_tree(AT_FDCWD, dir, NULL);
	return wstatus != 0;
}
