/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups of an image. Both files are hostile: read below the root by descriptor, only when regular, at most 4 MiB, and a
 * line whose numbers do not parse as a whole is no entry at all (reading it as 0 would make somebody root). The order of the rules is
 * runc's: a number is always an id; the first matching line wins; an explicit group replaces the supplementary ones. */
#include "runtime/user.h"

#include <stdio.h>

#include "base/fs.h"

enum { USER_FILE_MAX = 4 << 20, USER_ID_MAX = 0x7fffffff };

/* A file's text, NUL-terminated. The usual few kilobytes stay on the stack: in the child of a big parent a large allocation tidies the
 * whole inherited heap and pays a page fault for each page of it (0.5 ms). */
struct text {
	char *p;
	char small[8192];
	struct str large;
};

static void text_done(struct text *t)
{
	str_done(&t->large);
}

/* Reads a file of the image; one that is absent, or below something that is no directory, is empty. */
static int read_file(int root_fd, const char *path, struct text *ret, struct err *err)
{
	AUTO_CLOSE int fd = fs_open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	size_t at = 0;
	ssize_t n = 0;
	struct stat st;
	ret->p = ret->small;
	ret->small[0] = '\0';
	ret->large = (struct str){ 0 };
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return err_sys(err, -fd, "open /%s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "/%s is not a regular file", path);
	while (at < sizeof(ret->small) - 1 && (n = read(fd, ret->small + at, sizeof(ret->small) - 1 - at)) > 0)
		at += (size_t)n;
	ret->small[at] = '\0';
	if (n < 0)
		return err_sys(err, errno, "read /%s", path);
	if (at < sizeof(ret->small) - 1)
		return 0;
	if (lseek(fd, 0, SEEK_SET) < 0 || fs_read_fd(fd, USER_FILE_MAX, &ret->large, err) < 0)
		return err_wrap(err, "/%s", path);
	ret->p = ret->large.p;
	return 0;
}

/* Cuts the next line off *at and splits it at colons into field[0..n); missing fields are "". False at the end of the text. */
static bool next_line(char **at, char *field[], size_t n)
{
	char *line, *end;
	do {
		line = *at;
		if (!line || !*line)
			return false;
		end = strchr(line, '\n');
		*at = end ? end + 1 : NULL;
		if (end)
			*end = '\0';
	} while (*line == '\0' || *line == '#');
	for (size_t i = 0; i < n; i++) {
		char *colon = strchr(line, ':');
		field[i] = line;
		if (colon)
			*colon = '\0';
		line = colon ? colon + 1 : line + strlen(line);
	}
	return true;
}

static bool parse_id(const char *s, uint64_t *ret)
{
	return parse_u64(s, 0, USER_ID_MAX, ret);
}

/* Finds text in /etc/passwd and fills uid, gid and home; ret_name is the matching line's user name, or "". */
static int find_user(int root_fd, const char *text, struct user_identity *ret, char *ret_name, size_t size, struct err *err)
{
	CLEANUP(text_done) struct text file;
	uint64_t want = 0, uid, gid;
	bool numeric = *text == '\0' || parse_id(text, &want);
	char *at, *field[6], quoted[128];
	if (read_file(root_fd, "etc/passwd", &file, err) < 0)
		return -1;
	at = file.p;
	while (next_line(&at, field, ARRAY_SIZE(field))) {
		if (!parse_id(field[2], &uid) || !parse_id(field[3], &gid))
			continue;
		if (numeric ? uid != want : strcmp(field[0], text) != 0)
			continue;
		ret->uid = (uid_t)uid;
		ret->gid = (gid_t)gid;
		if (field[5][0] == '/' && strlen(field[5]) < sizeof(ret->home))
			strcpy(ret->home, field[5]);
		snprintf(ret_name, size, "%s", field[0]);
		return 0;
	}
	if (!numeric)
		return err_set(err, ERR_INVALID, "unable to find user %s: no matching entries in passwd file",
			err_quote(quoted, sizeof(quoted), text));
	ret->uid = (uid_t)want;
	return 0;
}

static bool list_has(char *list, const char *name)
{
	char *save = NULL;
	for (char *m = strtok_r(list, ",", &save); m; m = strtok_r(NULL, ",", &save))
		if (strcmp(m, name) == 0)
			return true;
	return false;
}

/* With an explicit group: finds it and sets gid. Without: collects the groups that list the user. */
static int find_groups(int root_fd, const char *group, const char *user, struct user_identity *ret, struct err *err)
{
	CLEANUP(text_done) struct text file;
	uint64_t want = 0, gid;
	bool numeric = parse_id(group, &want);
	char *at, *field[4], quoted[128];
	if (*group && numeric) {
		ret->gid = (gid_t)want;
		return 0;
	}
	if (read_file(root_fd, "etc/group", &file, err) < 0)
		return -1;
	at = file.p;
	while (next_line(&at, field, ARRAY_SIZE(field))) {
		if (!parse_id(field[2], &gid))
			continue;
		if (*group && strcmp(field[0], group) == 0) {
			ret->gid = (gid_t)gid;
			return 0;
		}
		if (!*group && ret->n_groups < ARRAY_SIZE(ret->groups) && list_has(field[3], user))
			ret->groups[ret->n_groups++] = (gid_t)gid;
	}
	if (*group)
		return err_set(err, ERR_INVALID, "unable to find group %s: no matching entries in group file",
			err_quote(quoted, sizeof(quoted), group));
	return 0;
}

/* Who may not do what the group may not must not get around that by leaving it (CVE-2022-36109): the group is a supplementary one as well. */
static void add_own_group(struct user_identity *u)
{
	for (size_t i = 0; i < u->n_groups; i++) {
		if (u->groups[i] == u->gid)
			return;
	}
	if (u->n_groups == ARRAY_SIZE(u->groups))
		u->n_groups--;
	u->groups[u->n_groups++] = u->gid;
}

int user_resolve(int root_fd, const char *text, struct user_identity *ret, struct err *err)
{
	char user[256], name[256] = "", quoted[128];
	const char *colon;
	size_t n;
	text = text ? text : "";
	colon = strchr(text, ':');
	n = colon ? (size_t)(colon - text) : strlen(text);
	ret->uid = ret->gid = 0;
	ret->n_groups = 0;
	strcpy(ret->home, "/");
	if (n >= sizeof(user) || (colon && strchr(colon + 1, ':')))
		return err_set(
			err, ERR_INVALID, "invalid user \"%s\": expected user or user:group", err_quote(quoted, sizeof(quoted), text));
	memcpy(user, text, n);
	user[n] = '\0';
	if (find_user(root_fd, user, ret, name, sizeof(name), err) < 0)
		return -1;
	if (((colon && colon[1]) || *name) && find_groups(root_fd, colon ? colon + 1 : "", name, ret, err) < 0)
		return -1;
	add_own_group(ret);
	return 0;
}
