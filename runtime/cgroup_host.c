/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroup layout of a host, from /proc/self/mountinfo alone. A controller belongs to the v1 hierarchy that names it in its mount
 * options, else to v2 when cgroup.controllers lists it. The base of everything we make is the mount point, not our own cgroup: the
 * session or service that ran the command may end, its containers must not; and in a nested host the mount point is already the
 * delegated subtree. Only where we may not write there (a container without the right, a user's session), our own v2 cgroup is the
 * base: what was delegated to us. */
#include "runtime/cgroup_host.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"

static const char *const names[] = {
	[CGROUP_CPU] = "cpu",
	[CGROUP_CPUACCT] = "cpuacct",
	[CGROUP_MEMORY] = "memory",
	[CGROUP_PIDS] = "pids",
	[CGROUP_DEVICES] = "devices",
	[CGROUP_FREEZER] = "freezer",
};
static_assert(ARRAY_SIZE(names) == CGROUP_CONTROLLER_N_, "one name per controller");

const char *cgroup_controller_name(enum cgroup_controller c)
{
	return names[c];
}

int cgroup_file_write(const struct cgroup_hierarchy *h, const char *path, const char *file, const char *text)
{
	char full[CGROUP_PATH_MAX + 64];
	AUTO_CLOSE int fd = -1;
	snprintf(full, sizeof(full), "%s%s%s", path, *path ? "/" : "", file);
	fd = openat(h->dirfd, full, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

ssize_t cgroup_file_read(const struct cgroup_hierarchy *h, const char *path, const char *file, char *buf, size_t size)
{
	char full[CGROUP_PATH_MAX + 64];
	AUTO_CLOSE int fd = -1;
	size_t at = 0;
	ssize_t n = 0;
	snprintf(full, sizeof(full), "%s%s%s", path, *path ? "/" : "", file);
	fd = openat(h->dirfd, full, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	while (at < size - 1 && (n = read(fd, buf + at, size - 1 - at)) > 0)
		at += (size_t)n;
	buf[at] = '\0';
	return n < 0 ? -errno : (ssize_t)at;
}

/* Turns the octal escapes of mountinfo (\040 …) back, in place. */
static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* The bits of our controllers in a list separated by commas (v1 options) or blanks (cgroup.controllers). */
static unsigned parse_controllers(const char *list)
{
	unsigned bits = 0;
	while (*list) {
		size_t n = strcspn(list, ", \n");
		for (int c = 0; c < CGROUP_CONTROLLER_N_; c++)
			if (strlen(names[c]) == n && strncmp(list, names[c], n) == 0)
				bits |= 1U << c;
		list += n + strspn(list + n, ", \n");
	}
	return bits;
}

static bool known(const struct cgroup_host *h, unsigned bits)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->hierarchies[i].controllers & bits)
			return true;
	return false;
}

/* The controllers' part of a v1 hierarchy's super options ("rw,cpu,cpuacct" -> "cpu,cpuacct"). */
static void v1_options(const char *super, char *ret, size_t size)
{
	size_t at = 0;
	ret[0] = '\0';
	while (*super) {
		size_t n = strcspn(super, ",");
		bool skip = (n == 2 && (strncmp(super, "rw", 2) == 0 || strncmp(super, "ro", 2) == 0)) ||
			strncmp(super, "release_agent=", 14) == 0 || strncmp(super, "clone_children", 14) == 0 ||
			strncmp(super, "xattr", 5) == 0;
		if (!skip && at + n + 2 < size)
			at += (size_t)snprintf(ret + at, size - at, "%s%.*s", at ? "," : "", (int)n, super);
		super += n + (super[n] == ',');
	}
}

void cgroup_path_of(pid_t pid, char *buf, size_t size)
{
	AUTO_STR struct str text = { 0 };
	char *save = NULL, path[40];
	snprintf(buf, size, "/");
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (fs_read(AT_FDCWD, path, 1 << 16, &text, NULL) != 0 || text.len == 0)
		return;
	for (char *line = strtok_r(text.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (str_starts(line, "0::/") && !strstr(line, "/.."))
			snprintf(buf, size, "%s", line + 3);
}

/* The directory to work below: the mount point, or our own cgroup there. Malloc'ed. */
static char *v2_base(const char *mount_point)
{
	char own[CGROUP_PATH_MAX];
	AUTO_FREE char *path = NULL;
	if (access(mount_point, W_OK) == 0)
		return xstrdup(mount_point);
	cgroup_path_of(getpid(), own, sizeof(own));
	path = xasprintf("%s%s", mount_point, own);
	return access(path, W_OK) == 0 ? TAKE_PTR(path) : xstrdup(mount_point);
}

static void add_hierarchy(struct cgroup_host *h, bool v2, unsigned bits, const char *mount_point, const char *super)
{
	struct cgroup_hierarchy *new = &h->hierarchies[h->n];
	int fd;
	if (h->n == CGROUP_HIERARCHY_MAX)
		return;
	fd = open(mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	new->dirfd = fd;
	new->v2 = v2;
	new->controllers = bits;
	v1_options(super, new->options, sizeof(new->options));
	h->n++;
}

/* One line of mountinfo: v1 hierarchies that carry a controller of ours are added, the first v2 mount point is remembered. */
static void read_line(struct cgroup_host *h, char *line, char **v2_mount)
{
	char *field[5], *save = NULL, *rest = strstr(line, " - "), *type, *super;
	unsigned bits;
	if (!rest)
		return;
	*rest = '\0';
	type = strtok_r(rest + 3, " ", &save);
	strtok_r(NULL, " ", &save);
	super = strtok_r(NULL, " ", &save);
	if (!type || !super || !str_starts(type, "cgroup"))
		return;
	save = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(field); i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return;
	}
	unescape(field[4]);
	if (strcmp(type, "cgroup2") == 0) {
		if (!*v2_mount)
			*v2_mount = xstrdup(field[4]);
		return;
	}
	bits = parse_controllers(super);
	if (strcmp(type, "cgroup") == 0 && bits && !known(h, bits))
		add_hierarchy(h, false, bits, field[4], super);
}

/* Adds v2 when it carries something of ours that v1 does not. Devices (by BPF), freezing and CPU accounting are built into it. */
static void add_v2(struct cgroup_host *h, const char *mount_point)
{
	AUTO_FREE char *base = v2_base(mount_point);
	struct cgroup_hierarchy probe = { .dirfd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	char list[512] = "";
	unsigned bits;
	if (probe.dirfd < 0)
		return;
	cgroup_file_read(&probe, "", "cgroup.controllers", list, sizeof(list));
	close(probe.dirfd);
	bits = parse_controllers(list) | 1U << CGROUP_DEVICES | 1U << CGROUP_FREEZER | 1U << CGROUP_CPUACCT;
	for (size_t i = 0; i < h->n; i++)
		bits &= ~h->hierarchies[i].controllers;
	if ((bits & ~(1U << CGROUP_CPUACCT)) == 0)
		return;
	h->v2 = (int)h->n;
	add_hierarchy(h, true, bits, base, "");
	if ((size_t)h->v2 == h->n) {
		h->v2 = -1;
		return;
	}
	h->hierarchies[h->v2].delegated = faccessat(h->hierarchies[h->v2].dirfd, "cgroup.type", F_OK, 0) == 0; /* the real root has none */
	h->v2_mount = xstrdup(mount_point);
}

int cgroup_host_read(char *mountinfo, struct cgroup_host **ret, struct err *err)
{
	struct cgroup_host *h = xcalloc(1, sizeof(*h));
	AUTO_FREE char *v2_mount = NULL;
	char *save = NULL;
	h->v2 = h->device_program_fd = -1;
	for (char *line = strtok_r(mountinfo, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		read_line(h, line, &v2_mount);
	if (v2_mount)
		add_v2(h, v2_mount);
	for (int c = 0; c < CGROUP_CONTROLLER_N_; c++) {
		h->by_controller[c] = -1;
		for (size_t i = 0; i < h->n; i++)
			if (h->hierarchies[i].controllers & 1U << c)
				h->by_controller[c] = (int)i;
	}
	if (h->n == 0) {
		cgroup_host_close(h);
		return err_set(err, ERR_UNSUPPORTED, "no cgroup file system is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
	}
	*ret = h;
	return 0;
}

int cgroup_host_open(struct cgroup_host **ret, struct err *err)
{
	AUTO_STR struct str text = { 0 };
	int rc = fs_read(AT_FDCWD, "/proc/self/mountinfo", 64 << 20, &text, err);
	if (rc != 0)
		return rc < 0 ? -1 : err_set(err, ERR_UNSUPPORTED, "cgroups: /proc is not mounted");
	return cgroup_host_read(text.p ? text.p : (char[1]){ "" }, ret, err);
}

struct cgroup_host *cgroup_host_close(struct cgroup_host *h)
{
	if (!h)
		return NULL;
	for (size_t i = 0; i < h->n; i++)
		close(h->hierarchies[i].dirfd);
	util_close(&h->device_program_fd);
	free(h->v2_mount);
	free(h);
	return NULL;
}

const char *cgroup_host_describe(const struct cgroup_host *h)
{
	if (h->v2 >= 0)
		return h->n > 1 ? "hybrid" : "v2";
	return "v1";
}
