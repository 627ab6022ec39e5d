/* SPDX-License-Identifier: Apache-2.0 */
/* The display of builds. Invariants: plain lines are stable and a step's lines stand together; output split anywhere gives the same lines; a frame
 * has fewer lines than the screen and none is wider; outside text never reaches the terminal raw. */
#include "compose/build_progress.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "compose/table.h"

#define MS 1000000ull

static int failures;

static void check(bool ok, const char *what, const char *detail)
{
	if (ok)
		return;
	failures++;
	fprintf(stderr, "FAILED: %s: %s\n", what, detail);
}

static void step(struct build_progress *p, const char *service, int id, const char *state, const char *stage, int index, const char *text, uint64_t ns)
{
	json_t *j = json_pack("{s:i,s:s,s:s,s:i,s:i,s:s}", "id", id, "state", state, "stage", stage, "index", index, "total", index ? 3 : 0, "text", text);
	build_progress_step(p, 0, service, j, ns);
	json_decref(j);
}

static void log_text(struct build_progress *p, int id, const char *text, size_t piece, uint64_t ns)
{
	for (size_t at = 0, n = strlen(text); at < n; at += piece)
		build_progress_log(p, 0, id, 1, text + at, MIN(piece, n - at), ns);
}

static void read_back(int fd, struct str *ret)
{
	lseek(fd, 0, SEEK_SET);
	fs_read_fd(fd, 1 << 20, ret, NULL);
}

/* The same build whatever the size of the pieces in which its output comes. */
static void test_plain(size_t piece)
{
	static const char want[] =
		"#1 [internal] load\n#1 DONE 0.1s\n\n"
		"#2 [web base 1/3] FROM x\n#2 CACHED\n\n"
		"#3 [web 2/3] RUN make  all\n#3 0.250 one\n#3 0.250 two\n#3 ...\n\n"
		"#4 [web 3/3] RUN b\n#4 ...\n\n"
		"#3 [web 2/3] RUN make  all\n#3 0.500 rest\n#3 DONE 1.0s\n\n"
		"#4 [web 3/3] RUN b\n#4 ERROR: exit code: 1\n\n";
	int fd = memfd_create("out", MFD_CLOEXEC);
	struct build_progress *p = build_progress_new(BUILD_PROGRESS_PLAIN, fd, false);
	AUTO_STR struct str got = {0}, tail = {0};
	step(p, "", 1, "started", "", 0, "[internal] load", 0);
	step(p, "", 1, "done", "", 0, "[internal] load", 100 * MS);
	step(p, "web", 2, "cached", "base", 1, "FROM x", 100 * MS);
	step(p, "web", 3, "started", "", 2, "RUN make\n all", 100 * MS);
	log_text(p, 3, "one\ntwo\r\nre", piece, 350 * MS);
	step(p, "web", 4, "started", "", 3, "RUN b", 400 * MS);
	log_text(p, 3, "st", piece, 600 * MS);
	log_text(p, 3, "\n", piece, 600 * MS);
	step(p, "web", 3, "done", "", 2, "", 1100 * MS);
	step(p, "web", 4, "error", "", 3, "", 1200 * MS);
	build_progress_error(p, 0, 4, "exit code: 1", 1200 * MS);
	build_progress_failure(p, 0, 3, &tail);
	read_back(fd, &got);
	check(strcmp(str_get(&got), want) == 0, "plain", str_get(&got));
	check(strcmp(str_get(&tail), "------\n > [web 2/3] RUN make  all:\none\ntwo\nrest\n------\n") == 0, "failure", str_get(&tail));
	build_progress_free(p);
	close(fd);
}

static void test_frames(void)
{
	struct build_progress *p = build_progress_new(BUILD_PROGRESS_TTY, open("/dev/null", O_WRONLY | O_CLOEXEC), false);
	for (int i = 0; i < 40; i++) {
		step(p, "", 100 + i, "started", "", 2, "RUN something with a long text \033[2J that has control bytes in it", 0);
		log_text(p, 100 + i, "a line\nanother \033[31mline\n", 5, 0);
		if (i % 3)
			step(p, "", 100 + i, i % 3 == 1 ? "done" : "cached", "", 2, "", 50 * MS);
	}
	for (unsigned width = 12; width <= 200; width += 47)
		for (unsigned height = 4; height <= 60; height += 7) {
			AUTO_STR struct str frame = {0};
			unsigned lines = 0;
			build_progress_frame(p, 1000 * MS, width, height, &frame);
			check(!strchr(str_get(&frame), '\033'), "an escape sequence gets through", str_get(&frame));
			for (const char *s = str_get(&frame); *s; lines++) {
				size_t n = strcspn(s, "\n");
				AUTO_FREE char *line = xstrndup(s, n);
				if (lines)
					check(table_width(line) <= width, "a line is too wide", line);
				s += n + (s[n] == '\n');
			}
			check(lines < height, "a frame is too high", str_get(&frame));
		}
	build_progress_free(p);
}

int main(void)
{
	test_plain(1);
	test_plain(3);
	test_plain(1000);
	test_frames();
	puts(failures ? "failed" : "ok");
	return failures != 0;
}
