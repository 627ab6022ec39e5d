/* SPDX-License-Identifier: Apache-2.0 */
/* A fuzz target as a unit test: every file of its corpus goes through it once, and none may crash, leak or take long. The target is
 * included as it is, so that what is fuzzed and what is replayed cannot differ. MUSTER_CORPUS names one more folder (tests/fuzz/coverage). */
#ifndef TESTS_UNIT_SPEC_REPLAY_H
#define TESTS_UNIT_SPEC_REPLAY_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "base/fs.h"

enum { LIMIT_S = 30 }; /* the slowest takes 0.2 s; 40 times that in the emulated machine of tests/vm */

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Replays a folder. The number of files, or -1 after a message. */
static int replay_folder(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;
	if (!dir) {
		printf("%s: %s\n", path, strerror(errno));
		return -1;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		AUTO_STR struct str text = { 0 };
		AUTO_FREE char *name = xasprintf("%s/%s", path, e->d_name);
		struct err err;
		double begun = now_s();
		AUTO_CLOSE int fd = -1;
		if (e->d_name[0] == '.')
			continue;
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fs_read_fd(fd, 16 << 20, &text, &err) < 0) {
			printf("%s: cannot be read\n", name);
			n = -1;
			break;
		}
		LLVMFuzzerTestOneInput((const uint8_t *)str_get(&text), text.len);
		if (now_s() - begun > LIMIT_S) {
			printf("%s: took %.1f s\n", name, now_s() - begun);
			n = -1;
			break;
		}
		n++;
	}
	closedir(dir);
	return n;
}

int main(void)
{
	const char *more = getenv("MUSTER_CORPUS");
	int n = replay_folder("tests/fuzz/corpus/" REPLAY), m = more ? replay_folder(more) : 0;
	printf("%d inputs\n", n + m);
	return n <= 0 || m < 0 ? 1 : 0;
}

#endif
