/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups of hostile images, without a container: what is no number is no entry, files that are no files are refused, nothing
 * outside of the root is read. */
#include <stdio.h>

#include "base/fs.h"
#include "runtime/user.h"
#include "tests/unit/check.h"

static char dir[] = "/tmp/muster-user-XXXXXX";

static void cleanup(void)
{
	fs_remove_tree(AT_FDCWD, dir, NULL);
}

static void put(int root, const char *path, const char *text)
{
	struct err err = { 0 };
	AUTO_CLOSE int fd = -1;
	unlinkat(root, path, 0);
	fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	CHECK(fd >= 0 && fs_write_all(fd, text, strlen(text), &err) == 0, "%s", path);
}

static void resolves(int root, const char *text, uid_t uid, gid_t gid, size_t n_groups, const char *home)
{
	struct user_identity u;
	struct err err = { 0 };
	CHECK(user_resolve(root, text, &u, &err) == 0, "%s: %s", text, err.msg);
	CHECK(u.uid == uid && u.gid == gid && u.n_groups == n_groups && strcmp(u.home, home) == 0, "%s: %u:%u, %zu groups, %s", text, u.uid,
		u.gid, u.n_groups, u.home);
}

static void refused(int root, const char *text, const char *message)
{
	struct user_identity u;
	struct err err = { 0 };
	CHECK(user_resolve(root, text, &u, &err) == -1 && strstr(err.msg, message), "%s: %s", text, err.msg);
}

int main(void)
{
	AUTO_STR struct str big = { 0 };
	int root;
	CHECK(mkdtemp(dir), "mkdtemp");
	atexit(cleanup);
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* an image without any file: numbers only */
	resolves(root, NULL, 0, 0, 1, "/");
	resolves(root, "7:8", 7, 8, 1, "/");
	resolves(root, ":8", 0, 8, 1, "/");
	resolves(root, "2147483647", 2147483647, 0, 1, "/");
	refused(root, "2147483648", "unable to find user 2147483648");
	refused(root, "root", "unable to find user root: no matching entries in passwd file");
	refused(root, "0:wheel", "unable to find group wheel: no matching entries in group file");
	mkdirat(root, "etc", 0755);
	/* lines that do not parse are nobody, never uid 0; the first match wins; comments and short lines are skipped */
	put(root, "etc/passwd",
		"# root:x:0:0::/c:\n\nevil:x:0x0:0::/e:\nneg:x:-1:0::/e:\nempty:x:::\nshort\n"
		":x:5:5::/anon:\nweb:x:10:20::/home/web:/bin/sh\nweb:x:0:0::/second:\n"
		"relative:x:11:21::home:\n12:x:99:99::/numeric-name:\nlast:x:13:23::/last");
	put(root, "etc/group", "g:x:30:web,other\nbad:x:zero:web\nh:x:31:web\nh:x:0:\nprefix:x:32:webx,xweb\n40:x:41:\n");
	refused(root, "evil", "unable to find user evil");
	refused(root, "neg", "unable to find user neg");
	refused(root, "empty", "unable to find user empty");
	refused(root, "short", "unable to find user short");
	refused(root, " web", "unable to find user  web");
	resolves(root, "web", 10, 20, 3, "/home/web");
	resolves(root, "10", 10, 20, 3, "/home/web");
	resolves(root, "web:", 10, 20, 3, "/home/web");
	resolves(root, "web:h", 10, 31, 1, "/home/web");
	resolves(root, "web:40", 10, 40, 1, "/home/web");
	resolves(root, "relative", 11, 21, 1, "/");
	resolves(root, "12", 12, 0, 1, "/"); /* a number is an id, also when a user has it as a name */
	resolves(root, "last", 13, 23, 1, "/last");
	refused(root, "web:bad", "unable to find group bad");
	refused(root, "web\033[31m", "unable to find user web\\x1b[31m");
	/* a link is followed inside the root only; what is not a file, or too large, is refused */
	unlinkat(root, "etc/passwd", 0);
	CHECK(symlinkat("../../../../../../../../etc/passwd", root, "etc/passwd") == 0, "symlink");
	refused(root, "root", "");
	unlinkat(root, "etc/passwd", 0);
	CHECK(mkfifoat(root, "etc/passwd", 0644) == 0, "fifo");
	refused(root, "web", "/etc/passwd is not a regular file");
	while (big.len <= 4 << 20)
		str_add(&big, "someone:x:1:1::/:\n");
	put(root, "etc/passwd", big.p);
	refused(root, "web", "larger than");
	close(root);
	return 0;
}
