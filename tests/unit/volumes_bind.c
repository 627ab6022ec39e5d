/* SPDX-License-Identifier: Apache-2.0 */
/* Bind sources: what is there is opened, what is missing is made only when asked for and belongs to whom its parent belongs, errors name the path. */
#include <stdio.h>

#include "base/fs.h"
#include "volumes/bind.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static char base[] = "/tmp/muster-test-XXXXXX";

static int open_below(const char *name, bool create, struct bind_source *ret, struct err *err)
{
	AUTO_FREE char *path = xasprintf("%s/%s", base, name);
	int rc;
	*err = (struct err){0};
	*ret = (struct bind_source){ .fd = -1 };
	rc = bind_open(path, create, ret, err);
	util_close(&ret->fd);
	return rc;
}

int main(void)
{
	AUTO_FREE char *want = NULL;
	struct bind_source s;
	struct stat st;
	struct err err;
	int dir;
	if (!mkdtemp(base) || (dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return 1;
	EXPECT(mkdirat(dir, "d", 0700) == 0 && mknodat(dir, "f", S_IFREG | 0600, 0) == 0 && mknodat(dir, "p", S_IFIFO | 0600, 0) == 0, "set up");
	EXPECT(symlinkat("d", dir, "link") == 0 && symlinkat("nosuch", dir, "dangling") == 0 && symlinkat("loop", dir, "loop") == 0, "set up");
	EXPECT(open_below("d", false, &s, &err) == 0 && s.is_dir && !s.created, "%s", err.msg);
	EXPECT(open_below("f", false, &s, &err) == 0 && !s.is_dir, "%s", err.msg);
	EXPECT(open_below("p", false, &s, &err) == 0 && !s.is_dir, "a FIFO does not block: %s", err.msg);
	EXPECT(open_below("link", false, &s, &err) == 0 && s.is_dir, "%s", err.msg);
	want = xasprintf("bind source \"%s/x\" does not exist", base);
	EXPECT(open_below("x", false, &s, &err) < 0 && err.code == ERR_NOT_FOUND && strcmp(err.msg, want) == 0, "%s", err.msg);
	EXPECT(open_below("f/x", false, &s, &err) < 0 && err.sys == ENOTDIR, "%s", err.msg);
	EXPECT(open_below("f/x", true, &s, &err) < 0 && err.sys == ENOTDIR, "%s", err.msg);
	EXPECT(open_below("loop", true, &s, &err) < 0 && err.sys == ELOOP, "%s", err.msg);
	EXPECT(open_below("dangling", true, &s, &err) < 0 && fstatat(dir, "nosuch", &st, 0) < 0, "a dangling link is not followed to make something");
	EXPECT(open_below("d/new/deep", true, &s, &err) == 0 && s.is_dir && s.created, "%s", err.msg);
	if (geteuid() == 0) {
		EXPECT(fchownat(dir, "d", 1000, 1001, 0) == 0 && open_below("d/home/app", true, &s, &err) == 0, "%s", err.msg);
		EXPECT(fstatat(dir, "d/home/app", &st, 0) == 0 && st.st_uid == 1000 && st.st_gid == 1001 && (st.st_mode & 07777) == 0755, "owner");
	}
	EXPECT(bind_open("relative", true, &s, &err) < 0 && err.code == ERR_INVALID, "%s", err.msg);
	EXPECT(bind_open("", true, &s, &err) < 0 && err.code == ERR_INVALID, "%s", err.msg);
	close(dir);
	fs_remove_tree(AT_FDCWD, base, NULL);
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
