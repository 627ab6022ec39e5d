/* SPDX-License-Identifier: Apache-2.0 */
/* Who may remove the run directory. Invariant: as long as a command holds it, an anchor that it started and that has ended meanwhile leaves it
 * where it is; the last one who lets it go takes it away. */
#include "compose/own.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "compose/paths.h"
#include "tests/unit/check.h"

static char dir[] = "/tmp/muster-own-XXXXXX";

static void cleanup(void)
{
	fs_remove_tree(AT_FDCWD, dir, NULL);
}

static bool there(const char *path)
{
	return access(path, F_OK) == 0;
}

int main(void)
{
	struct err err = {0};
	char run[64], root[64];
	struct paths p;
	int inherited;
	CHECK(mkdtemp(dir), "mkdtemp");
	atexit(cleanup);
	snprintf(run, sizeof(run), "%s/run", dir);
	snprintf(root, sizeof(root), "%s/root", dir);
	CHECK(paths_open(root, run, true, &p, &err) == 0, "%s", err.msg);
	inherited = dup(p.run_fd);
	CHECK(own_hold_run(inherited, &err) == 0, "%s", err.msg);
	CHECK(fcntl(inherited, F_GETFD) & FD_CLOEXEC, "the descriptor would be inherited");
	own_leave_run(inherited); /* an anchor that found nothing to do */
	CHECK(there(run), "the directory went while a command held it");
	close(inherited);
	inherited = dup(p.run_fd);
	CHECK(own_hold_run(inherited, &err) == 0, "%s", err.msg);
	own_leave_run(p.run_fd); /* the command ends first */
	paths_done(&p);
	CHECK(there(run), "the directory went while an anchor held it");
	own_leave_run(inherited);
	CHECK(!there(run), "the last one left it");
	return 0;
}
