/* SPDX-License-Identifier: Apache-2.0 */
/* Users of an image: --chown, and who owns what WORKDIR makes. Names are looked up in its /etc/passwd and /etc/group, numbers are taken as they are; a
 * user by name brings its group along, a number stands for a group of the same number. "root" is 0 and needs no file. */
#include <stdio.h>

#include "base/fs.h"
#include "images/build/build_impl.h"

enum { MAX_FILE = 4 << 20 };

static int read_table(const struct view *root, const char *path, struct str *ret, struct err *err)
{
	AUTO_WALK struct view_walk w = {0};
	AUTO_CLOSE int fd = -1;
	char base[256];
	struct stat st;
	int rc = view_walk_init(&w, root, err);
	if (rc == 0)
		rc = view_resolve(&w, path, VIEW_FOLLOW, base, &st, err);
	if (rc != 0 || !S_ISREG(st.st_mode))
		return rc < 0 ? -1 : 0;
	fd = view_open(&w, base, &st, err);
	return fd < 0 ? -1 : fs_read_fd(fd, MAX_FILE, ret, err);
}

/* The fields of the line that begins with `name:`: number in the third, the fourth in *ret_second when it is not NULL. */
static bool find_line(const char *text, const char *name, uint64_t *ret_first, uint64_t *ret_second)
{
	const size_t n = strlen(name);
	for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		const size_t len = strcspn(line, "\n");
		AUTO_FREE char *copy = xstrndup(line, len);
		char *p = copy, *fields[4] = {0};
		if (len <= n || strncmp(line, name, n) != 0 || line[n] != ':')
			continue;
		for (size_t i = 0; i < 4 && p; i++)
			fields[i] = strsep(&p, ":");
		if (!fields[2] || !parse_u64(fields[2], 0, UINT32_MAX - 1, ret_first))
			continue;
		if (!ret_second || (fields[3] && parse_u64(fields[3], 0, UINT32_MAX - 1, ret_second)))
			return true;
	}
	return false;
}

int build_user_lookup(const struct view *root, const char *user, bool must_exist, uid_t *ret_uid, gid_t *ret_gid, struct err *err)
{
	AUTO_FREE char *name = xstrndup(user, strcspn(user, ":"));
	const char *group = strchr(user, ':');
	AUTO_STR struct str passwd = {0}, groups = {0};
	uint64_t uid = 0, gid = 0;
	char shown[80];
	group = group ? group + 1 : "";
	if (parse_u64(name, 0, UINT32_MAX - 1, &uid)) {
		gid = uid;
	} else if (*name && strcmp(name, "root") != 0) {
		if (read_table(root, "/etc/passwd", &passwd, err) < 0)
			return -1;
		if (!find_line(str_get(&passwd), name, &uid, &gid) && must_exist)
			return err_set(err, ERR_NOT_FOUND, "unable to find user %s: no matching entries in passwd file",
				err_quote(shown, sizeof(shown), name));
	}
	if (strcmp(group, "root") == 0) {
		gid = 0;
	} else if (*group && !parse_u64(group, 0, UINT32_MAX - 1, &gid)) {
		if (read_table(root, "/etc/group", &groups, err) < 0)
			return -1;
		if (!find_line(str_get(&groups), group, &gid, NULL) && must_exist)
			return err_set(err, ERR_NOT_FOUND, "unable to find group %s: no matching entries in group file",
				err_quote(shown, sizeof(shown), group));
	}
	*ret_uid = (uid_t)uid;
	*ret_gid = (gid_t)gid;
	return 0;
}
