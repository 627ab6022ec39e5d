/* SPDX-License-Identifier: Apache-2.0 */
/* An image is two records, its configuration and what the index says of it, and no kill may leave one without the other. While they are
 * written or removed, config/<id>.new stands beside the configuration; it gets to the disk no later than what it stands for, as it is in the
 * same directory or in one whose sync follows. Whoever takes the exclusive lock next finds such marks of the dead only: a configuration that
 * the index then knows nothing of was never added, or was to be removed, and goes. Until then nobody sees it (store_ids()).
 * An image that nobody ever named (imported, built or loaded so) is its configuration alone and needs no mark. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "images/store_impl.h"

#define MARK ".new"

int store_mark(struct store *s, const char *id, struct err *err)
{
	AUTO_FREE char *name = xasprintf("%s" MARK, id);
	AUTO_CLOSE int fd = openat(s->config_fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? err_sys(err, errno, "image store: create %s", name) : 0;
}

void store_unmark(struct store *s, const char *id)
{
	AUTO_FREE char *name = xasprintf("%s" MARK, id);
	unlinkat(s->config_fd, name, 0);
}

int store_add_marked(void *arg, const char *name)
{
	AUTO_FREE char *id = str_ends(name, MARK) ? xstrndup(name, strlen(name) - strlen(MARK)) : NULL;
	if (id && store_is_id(id))
		strv_push(arg, id);
	return 0;
}

bool store_is_known(const json_t *index, const char *id)
{
	static const char *const sections[] = { "refs", "digests" };
	AUTO_STRV struct strv names = {0};
	if (json_object_get(json_object_get(index, "manifests"), id))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		const char *ref;
		json_t *entry;
		json_object_foreach(json_object_get(index, sections[i]), ref, entry)
			if (strcmp(json_get_str(entry, "id", ""), id) == 0)
				return true;
	}
	store_platform_refs(index, id, &names);
	return names.n > 0;
}

void store_recover(struct store *s)
{
	AUTO_STRV struct strv marked = {0};
	AUTO_JSON json_t *index = NULL;
	struct err ignored;
	if (fs_each(s->config_fd, ".", store_add_marked, &marked, &ignored) < 0 || marked.n == 0 || store_read_index(s, &index, &ignored) < 0)
		return;
	for (size_t i = 0; i < marked.n; i++) {
		AUTO_FREE char *file = xasprintf("%s.json", marked.v[i]);
		if (!store_is_known(index, marked.v[i]) && unlinkat(s->config_fd, file, 0) < 0 && errno != ENOENT)
			continue;
		store_unmark(s, marked.v[i]);
	}
}
