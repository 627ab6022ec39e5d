/* SPDX-License-Identifier: Apache-2.0 */
/* builder prune: what builds keep to be fast the next time. Records of steps go by their last use until what only the cache holds is below a
 * budget, then the layers that nothing needs any more; with --all the directories of RUN --mount=type=cache too, those that no step has locked. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/fs.h"
#include "compose/prune.h"
#include "compose/table.h"
#include "images/build/cache.h"
#include "spec/bytes.h"
#include "spec/duration.h"

enum { NS_PER_S = 1000000000 };

/* One lock file of a cache mount, "<n>.lock": when it is free, its directory goes, and the lock with it. */
static int prune_instance(void *arg, const char *name)
{
	const int *key_fd = arg;
	size_t n = strlen(name);
	AUTO_FREE char *dir = n > 5 && str_ends(name, ".lock") ? xstrndup(name, n - 5) : NULL;
	AUTO_CLOSE int lock = dir ? openat(*key_fd, name, O_RDWR | O_CLOEXEC) : -1;
	struct err ignored;
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
		return 0;
	if (fs_remove_tree(*key_fd, dir, &ignored) == 0)
		unlinkat(*key_fd, name, 0);
	return 0;
}

static int prune_mount(void *arg, const char *key)
{
	const int *mounts_fd = arg;
	AUTO_CLOSE int fd = openat(*mounts_fd, key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct err ignored;
	if (fd < 0)
		return 0;
	fs_each(fd, ".", prune_instance, &fd, &ignored);
	unlinkat(*mounts_fd, key, AT_REMOVEDIR);
	return 0;
}

void builder_drop_mounts(const struct app *app)
{
	AUTO_CLOSE int mounts = openat(app->paths.root_fd, "buildcache/mounts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mounts >= 0)
		fs_each(mounts, ".", prune_mount, &mounts, NULL);
}

/* The bounds that the options ask for; 0, or 1 after a message. */
static int bounds(const struct app *app, uint64_t *ret_bytes, uint64_t *ret_age_s)
{
	const char *budget = cli_str(app->args, "keep-storage"), *age = cli_str(app->args, "until"), *why = "";
	int64_t bytes = 0, ns = 0;
	*ret_bytes = *age && !*budget ? UINT64_MAX : 0; /* nothing asked for: everything */
	*ret_age_s = 0;
	if (*budget && (!bytes_parse(budget, &bytes) || bytes < 0))
		return cmd_failf(app, "builder prune --keep-storage: \"%.40s\" is not a size", budget);
	if (*age && (!duration_parse(age, &ns, &why) || ns <= 0))
		return cmd_failf(app, "builder prune --until: \"%.40s\" is not a duration", age);
	if (*budget)
		*ret_bytes = (uint64_t)bytes;
	*ret_age_s = MAX((uint64_t)ns / NS_PER_S, (uint64_t)(ns > 0));
	return 0;
}

int cmd_builder_prune(struct app *app)
{
	AUTO_STORE struct store *store = NULL;
	AUTO_STR struct str out = {0};
	struct cache *cache = NULL;
	struct cache_usage usage = {0};
	uint64_t max_bytes, max_age_s;
	char size[24];
	struct err err;
	int rc;
	if (bounds(app, &max_bytes, &max_age_s) || cmd_paths(app, false))
		return 1;
	if (app->paths.root_fd < 0 || faccessat(app->paths.root_fd, "buildcache", F_OK, 0) < 0) {
		str_add(&out, "Total:\t0B\n");
		return cmd_print(app, &out);
	}
	if (store_open(app->paths.root_fd, &store, &err) < 0 || cache_open(app->paths.root_fd, store, &cache, &err) < 0)
		return cmd_fail(app, &err);
	rc = cache_prune(cache, max_bytes, max_age_s, NULL, app->dry_run, &usage, &err);
	cache_close(cache);
	if (rc == 0 && cli_bool(app->args, "all") && !app->dry_run)
		builder_drop_mounts(app);
	if (rc == 0 && !app->dry_run)
		rc = store_sweep(store, &err);
	if (rc < 0)
		return cmd_fail(app, &err);
	str_addf(&out, "%sTotal:\t%s\n", app->dry_run ? "DRY-RUN MODE - " : "", table_human_bytes(usage.removed_bytes, size));
	return cmd_print(app, &out);
}
